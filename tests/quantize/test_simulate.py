"""Simulated integers, on trained weights."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.quantize.simulate import Simulation
from mnv4_mobile.recipe import Keep, load_recipe
from mnv4_mobile.records import replace
from tools.reference.sheet import read_sheet

DATA = Path(__file__).parents[1] / "data"
INT8 = load_recipe("int8")


@pytest.fixture(scope="module")
def trained(trained_hybrid):
    """The trained hybrid, what is built of it, and the logits of the evaluation's pictures."""
    net, spec = trained_hybrid
    pictures = read_sheet(DATA / "reference_evaluation.npz")[0][::4]
    return net, spec, pictures, eager(net, pictures, spec)["logits"]


@pytest.fixture(scope="module")
def simulation(trained):
    net, spec, *_ = trained
    found = Simulation(net, spec, INT8)
    found.adopt(found.observe(read_sheet(DATA / "reference_calibration.npz")[0]))
    return found


def test_as_close_to_float_as_artifacts_are(trained, simulation):
    _, _, pictures, logits = trained
    simulation.quantize()
    found = simulation.run(pictures)["logits"]
    # Without preparation: 30.6 dB; ExecuTorch and LiteRT are within 0.5 dB of the simulation.
    assert 28 < np.median(sqnr_db(logits, found)) < 34
    simulation.quantize(())
    assert sqnr_db(logits, simulation.run(pictures)["logits"]).min() > 100


def test_one_layer_alone(trained, simulation):
    _, _, pictures, logits = trained
    assert simulation.layers[0] == "stem.conv"
    assert "stages.0.0.project.conv" in simulation.layers
    assert not any(name.endswith(".add") for name in simulation.layers)
    simulation.quantize(("stem.conv",))
    one = np.median(sqnr_db(logits, simulation.run(pictures)["logits"]))
    simulation.quantize()
    every = np.median(sqnr_db(logits, simulation.run(pictures)["logits"]))
    assert every + 3 < one < 100


def test_gradients_reach_the_folded_weights(simulation):
    simulation.quantize()
    weights = dict(simulation.named_parameters())
    stem = next(w for name, w in weights.items() if name.endswith("stem.conv.weight"))
    stem.requires_grad_()
    simulation(torch.randn(16, 3, 96, 96))["logits"].square().mean().backward()
    assert stem.grad.abs().max() > 0
    stem.requires_grad_(False)


def test_what_a_recipe_keeps_is_not_rounded(trained):
    net, spec, *_ = trained
    keep = Keep(modules=("stages.*",))
    found = Simulation(net, spec, replace(INT8, keep=keep), batch=1)
    assert set(found.layers) == {"stem.conv", "final.conv", "head.conv.conv", "head.classifier"}


def test_activations_of_16_bits_are_not_rounded(trained):
    net, spec, *_ = trained
    keep = Keep(residual_additions=True, int16=("stages.2",))
    simulation = Simulation(net, spec, replace(INT8, keep=keep))
    simulation.quantize(("stages.2.1.expand.conv", "stages.2.1.add"))
    on = [rounding for rounding in simulation._roundings if rounding.on]
    assert [type(rounding).__name__ for rounding in on] == ["_Weights"]


def test_palettes_are_refused(trained):
    net, spec, *_ = trained
    with pytest.raises(ConfigError, match="palettize-8: cannot be simulated"):
        Simulation(net, spec, load_recipe("palettize-8"))
