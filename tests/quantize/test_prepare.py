"""Preparation: equalising changes nothing that is computed, distillation brings integers closer."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.progress import Progress
from mnv4_mobile.quantize.calibration import choose_images
from mnv4_mobile.quantize.distillation import _optimizer, attached
from mnv4_mobile.quantize.prepare import prepared
from mnv4_mobile.quantize.simulate import Simulation
from mnv4_mobile.recipe import Activations, Distill, Keep, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.testing import tiny_model
from tools.reference.outliers import add_outliers
from tools.reference.sheet import read_sheet

DATA = Path(__file__).parents[1] / "data"
PREPROCESS = Preprocess(
    size=(64, 64), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
)
IMAGES = random_images(PREPROCESS, 4, seed=3)
EQUALIZED = load_recipe("int8")


@pytest.fixture(scope="module")
def calibration():
    return choose_images("random", PREPROCESS, images=4, seed=0, progress=Progress())


def equalized(net, calibration, recipe=EQUALIZED):
    spec = BuildSpec(model=net.spec, preprocess=PREPROCESS, outputs=net.outputs)
    return prepared(net, spec, recipe, calibration)


def uneven(model, outputs):
    """A network whose channels have very different ranges."""
    net = MobileNetV4(model, outputs)
    net.load_state_dict(random_state(model, 0))
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            factor = torch.exp(0.75 * torch.randn(module.num_features, generator=generator))
            module.weight.data.mul_(factor)
            module.bias.data.mul_(factor)
    return net.eval().requires_grad_(False)


def channel_ranges(net, name):
    """The largest range of a module's output's channels, by the median one."""
    found = []
    net.get_submodule(name).register_forward_hook(lambda _, __, y: found.append(y))
    spec = BuildSpec(model=net.spec, preprocess=PREPROCESS, outputs=net.outputs)
    eager(net, IMAGES, spec)
    ranges = found[0].amax((0, 2, 3)) - found[0].amin((0, 2, 3))
    return float(ranges.max() / ranges.median())


@pytest.mark.parametrize("act", ["relu", "leaky_relu", "relu6", "gelu"])
@pytest.mark.parametrize("outputs", [("logits",), ("stage_0", "embedding", "logits", "stage_1")])
@pytest.mark.parametrize(("pooled", "aa"), [(False, None), (True, None), (False, "blurpc")])
def test_equalizing_computes_the_same(calibration, act, outputs, pooled, aa):
    net = uneven(replace(tiny_model(act, pooled_queries=pooled), aa_layer=aa), outputs)
    spec = BuildSpec(model=net.spec, preprocess=PREPROCESS, outputs=outputs)
    found = equalized(net, calibration)
    changed = [n for n, w in found.state_dict().items() if not torch.equal(w, net.state_dict()[n])]
    assert "stages.1.2.project.norm.weight" in changed
    expected, got = eager(net, IMAGES, spec), eager(found, IMAGES, spec)
    for name in outputs:
        assert sqnr_db(expected[name], got[name]).min() > 60  # float32 at clamps; int8 has 30


def test_equalizing_brings_ranges_together(calibration):
    net = uneven(tiny_model(), ("logits",))
    found = equalized(net, calibration)
    # Inside a block, and a stream that additions and attention share.
    for name in ("stages.1.0.expand", "stages.1.0.middle", "stages.1.3", "final"):
        assert channel_ranges(found, name) < 0.7 * channel_ranges(net, name)


def test_outputs_and_bounded_activations_are_left_alone(calibration):
    net = uneven(tiny_model("relu6"), ("stage_0", "stage_1", "logits"))
    found, given = equalized(net, calibration).state_dict(), net.state_dict()
    for name in ("stages.0.0.project", "stages.0.0.expand", "final", "stem"):
        assert torch.equal(found[f"{name}.norm.weight"], given[f"{name}.norm.weight"])


@pytest.mark.parametrize("steps", [3, 10, 19, 100])
def test_the_rate_rises_and_falls_for_any_number_of_steps(steps):
    parameter = nn.Parameter(torch.zeros(1))
    optimizer, schedule = _optimizer([parameter], Distill(steps=steps))
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert max(rates) == pytest.approx(Distill(steps=steps).rate)
    assert rates[0] < max(rates) > rates[-1]


def test_without_steps_nothing_changes(calibration):
    net = uneven(tiny_model(), ("logits",))
    recipe = replace(EQUALIZED, prepare=())
    found = equalized(net, calibration, recipe)
    assert all(torch.equal(w, net.state_dict()[n]) for n, w in found.state_dict().items())


@pytest.fixture(scope="module")
def trained(trained_hybrid):
    """The trained hybrid, what is built of it, calibration pictures and others."""
    pictures = read_sheet(DATA / "reference_evaluation.npz")[0][::3]
    return *trained_hybrid, pictures


class Pictures(list):
    """Calibration pictures that are decoded already."""

    seed = 0

    def __init__(self, pictures, preprocess):
        super().__init__(pictures)
        self.preprocess = preprocess


@pytest.fixture(scope="module")
def seen(trained):
    return Pictures(read_sheet(DATA / "reference_calibration.npz")[0][:64], trained[1].preprocess)


def decibel(net, spec, recipe, seen, pictures):
    """The median SQNR of the simulated integers to the float network on pictures."""
    simulation = Simulation(net, spec, recipe, batch=32)
    simulation.adopt(simulation.observe(seen))
    found = simulation.run(pictures)["logits"]
    return float(np.median(sqnr_db(eager(net, pictures, spec)["logits"], found)))


@pytest.mark.slow
def test_channels_with_outliers_break_integers_until_they_are_equalized(trained, seen):
    net, spec, pictures = trained
    broken = copy.deepcopy(net)
    add_outliers(broken)
    expected = eager(net, pictures, spec)["logits"]
    assert sqnr_db(expected, eager(broken, pictures, spec)["logits"]).min() > 80
    stock = replace(
        EQUALIZED, keep=Keep(), activations=Activations(mode="static", range="minmax"), prepare=()
    )
    assert decibel(broken, spec, stock, seen, pictures) < 15
    mended = prepared(broken, spec, EQUALIZED, seen)
    assert decibel(mended, spec, EQUALIZED, seen, pictures) > 27


class Told(Progress):
    def __init__(self):
        self.updates, self.notes = [], []

    def update(self, text, worker=""):
        self.updates.append(text)

    def note(self, text):
        self.notes.append(text)


DISTILLED = replace(EQUALIZED, prepare=("distill",), distill=Distill(steps=10, rate=0.1))


@pytest.mark.slow
def test_distillation_comes_closer_on_other_pictures(trained, seen):
    net, spec, pictures = trained
    net = copy.deepcopy(net)
    add_outliers(net)  # there is much to gain in few steps
    told = Told()
    given = copy.deepcopy(net.state_dict())
    found = prepared(net, spec, DISTILLED, seen, told)
    assert "on held-out images" in told.updates[-1]
    assert told.notes == []
    before = decibel(net, spec, DISTILLED, seen, pictures)
    assert decibel(found, spec, DISTILLED, seen, pictures) > before + 5
    # Attention, too, whose norm is folded into three convolutions.
    changed = {n for n, w in found.state_dict().items() if not torch.equal(w, given[n])}
    assert "stages.2.2.norm.weight" in changed
    expected, got = (eager(n, pictures, spec)["logits"] for n in (net, found))
    assert sqnr_db(expected, got).min() > 80
    assert all(torch.equal(w, given[n]) for n, w in net.state_dict().items())


@pytest.mark.parametrize("outputs", [("logits",), ("stage_0", "embedding", "logits", "stage_1")])
@pytest.mark.parametrize("pooled", [False, True])
def test_what_is_learned_with_is_what_the_network_becomes(outputs, pooled):
    net = uneven(tiny_model(pooled_queries=pooled), outputs)
    spec = BuildSpec(model=net.spec, preprocess=PREPROCESS, outputs=outputs)
    learning = Simulation(net, spec, EQUALIZED, batch=4)
    generator = torch.Generator().manual_seed(0)
    for group, factor in attached(net, learning.body):
        factor.logarithm.data.copy_(torch.randn(group.count, generator=generator))
        group.scale(factor.logarithm.detach().exp())
    expected = Simulation(net, spec, EQUALIZED, batch=4)
    for name, weight in expected.body.named_parameters():
        module, _, kind = name.rpartition(".")
        found = getattr(learning.body.get_submodule(module), kind)
        torch.testing.assert_close(found, weight, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_distillation_is_the_same_again(trained, seen):
    net, spec, _ = trained
    net = copy.deepcopy(net)
    add_outliers(net)
    recipe = replace(DISTILLED, distill=Distill(steps=3, rate=0.1))
    first, again = (prepared(net, spec, recipe, seen).state_dict() for _ in range(2))
    assert any(not torch.equal(w, first[n]) for n, w in net.state_dict().items())
    assert all(torch.equal(w, again[n]) for n, w in first.items())


@pytest.mark.slow
def test_what_distillation_does_not_improve_stays(trained, seen):
    net, spec, _ = trained
    recipe = replace(DISTILLED, distill=Distill(steps=3, rate=0.9))
    told = Told()
    found = prepared(net, spec, recipe, seen, told)
    assert all(torch.equal(w, net.state_dict()[n]) for n, w in found.state_dict().items())
    assert "nothing better" in told.notes[0]


def test_distillation_needs_pictures(trained, seen):
    net, spec, _ = trained
    few = Pictures(seen[:10], spec.preprocess)
    with pytest.raises(ConfigError, match="found 10 calibration images, must be 64 or more"):
        prepared(net, spec, DISTILLED, few)
