"""Lowering to Core AI assets, judged by the bytes on disk, which Core AI on Linux runs."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mnv4_coreai import target
from mnv4_coreai.speedups import Metadata, save
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import ConfigError, LoweringError
from mnv4_mobile.files import sha256
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import check_units, completed
from mnv4_mobile.tensors import feed
from mnv4_mobile.testing import check_target, tiny_model
from tools.reference.sheet import read_sheet

pytestmark = pytest.mark.toolchain("coreai")

DATA = Path(__file__).parent.parent / "data"
SIZE = (56, 72)  # attention sees an odd map, 7 x 9
LABELS = tuple(f"class {i}" for i in range(10))


class Case:
    """A network, what it was exported as, and what it computes."""

    def __init__(self, size=SIZE, **options) -> None:
        options.setdefault("model", tiny_model(pooled_queries=True))
        self.preprocess = Preprocess(
            size=size, crop=0.95, interpolation="bicubic", mean=IMAGENET_MEAN, std=IMAGENET_STD
        )
        self.spec = BuildSpec(preprocess=self.preprocess, **options)
        net = MobileNetV4(self.spec.model, outputs=self.spec.outputs).eval()
        net.load_state_dict(random_state(self.spec.model, seed=1))
        self.program = export(net, self.spec, "nchw")
        self.images = random_images(self.preprocess, self.spec.batch, seed=5)
        self.reference = eager(net, self.images, self.spec)

    def lower(self, out, name="fp32", *, io=None, calibration=None, **changes):
        recipe = load_recipe(name)
        spec = completed(replace(self.spec, **changes), target, recipe, io=io)
        target.check(spec, recipe)
        return target.lower(self.program, spec, recipe, calibration, out)

    def worst_db(self, lowered) -> float:
        """The lowest SQNR of all outputs, which must be the ones that were described."""
        found = target.open(lowered.path, 1)(feed(lowered.input, self.images, self.preprocess))
        assert {t.name: (t.shape, t.dtype) for t in lowered.outputs} == {
            name: (value.shape, str(value.dtype)) for name, value in found.items()
        }
        return min(sqnr_db(self.reference[t.kind], found[t.name]).min() for t in lowered.outputs)


@pytest.fixture(scope="session")
def plain() -> Case:
    return Case()


@pytest.fixture(scope="session")
def hybrid(trained_hybrid):
    net, spec = trained_hybrid
    images = read_sheet(DATA / "reference_calibration.npz")[0][:24]
    return net, spec, images, eager(net, images[16:], spec)["logits"]


def test_contract(tmp_path):
    check_target(target, tmp_path)


@pytest.mark.parametrize("act", ["gelu", "relu6"])
def test_activations_stay_one_operator(tmp_path, act):
    case = Case(model=tiny_model(act=act))
    lowered = case.lower(tmp_path / "a.aimodel")
    assert case.worst_db(lowered) > 95
    parts = {"erf", "exp", "tanh", "sigmoid", "broadcasting_mul", "get_shape", "batch_norm"}
    assert not parts & set(target.operators(lowered.path))


def test_every_output_a_batch_and_pixels(tmp_path):
    outputs = ("probabilities", "logits", "embedding", "stage_0", "stage_1")
    case = Case(outputs=outputs, batch=2, input="pixels")
    lowered = case.lower(tmp_path / "a.aimodel")
    assert (lowered.input.dtype, lowered.input.shape) == ("uint8", (2, 3, *SIZE))
    assert case.worst_db(lowered) > 95
    half = case.lower(tmp_path / "b.aimodel", "fp16")
    assert half.input.dtype == "uint8"
    assert {output.dtype for output in half.outputs} == {"float16"}
    assert case.worst_db(half) > 35


@pytest.mark.parametrize(
    ("recipe", "least_db", "share"),
    [
        ("fp32", 95, 1.01),
        ("fp16", 40, 0.55),
        ("int8", 25, 0.35),
        ("palettize-6", 15, 0.3),
        ("int4-weights", 12, 0.3),
    ],
)
def test_recipes(hybrid, tmp_path, recipe, least_db, share):
    net, spec, images, reference = hybrid
    loaded = load_recipe(recipe)
    spec = completed(spec, target, loaded)
    program = export(net, spec, "nchw")
    lowered = target.lower(program, spec, loaded, images[:16], tmp_path / "a.aimodel")
    run = target.open(lowered.path, 1)
    found = [
        run(feed(lowered.input, image[None], spec.preprocess))["logits"] for image in images[16:24]
    ]
    assert np.median(sqnr_db(reference, np.concatenate(found).astype(np.float32))) > least_db
    weights = sum(value.numel() for value in program.state_dict.values())
    assert (lowered.path / "main.mlirb").stat().st_size < share * 4 * weights + 60_000
    assert ("quantize" in target.operators(lowered.path)) == (recipe == "int8")


def test_layers_that_float16_cannot_hold_are_float32(unscalable, tmp_path):
    lowered, found = unscalable(target, tmp_path / "a.aimodel", "palettize-8")
    assert found > 20  # fp16: see tests/builder/test_advice.py
    float32 = {layer.name for layer in lowered.layers if layer.precision == "float32"}
    assert {"stem.conv", "stem.act", "stages.0.0.expand.conv", "stages.1.4.softmax"} < float32
    assert target.operators(lowered.path)["cast"] == 6


@pytest.mark.parametrize("recipe", ["int4-weights"])
def test_the_same_network_gives_the_same_bytes(plain, tmp_path, recipe):
    first, second = (plain.lower(tmp_path / f"{name}.aimodel", recipe).path for name in "ab")
    assert sha256(first) == sha256(second)
    assert b"site-packages" not in (first / "main.mlirb").read_bytes()


def test_a_map_as_high_as_a_head_has_channels(tmp_path):
    """coreai-core 1.0.0b3 multiplies the map instead of the matrix; see `guard_products`."""
    case = Case(size=(64, 96), model=tiny_model())
    assert case.worst_db(case.lower(tmp_path / "a.aimodel")) > 95


def test_metadata(plain, tmp_path):
    lowered = plain.lower(tmp_path / "a.aimodel", labels=LABELS, licence="MIT")
    found = json.loads((lowered.path / "metadata.json").read_text())
    assert found["license"] == "MIT"
    assert "tiny" in found["description"]
    custom = found["creatorDefinedMetadata"]
    assert custom["labels"] == list(LABELS)
    assert custom["preprocess"]["size"] == list(SIZE)
    assert "creationDate" not in found
    assert lowered.requires["min_ios"] == "27"
    assert lowered.requires["converter"].startswith("coreai-torch 0.4.3, coreai-core ")


@pytest.mark.parametrize(
    ("changes", "io", "message"),
    [
        ({"layout": "nhwc"}, None, "coreai: layout: found 'nhwc', supported: nchw"),
        ({}, "float16", "coreai: io: found 'float16', supported: float32 with recipe fp32"),
    ],
)
def test_what_is_not_supported_is_named(plain, tmp_path, changes, io, message):
    with pytest.raises(LoweringError, match=message):
        plain.lower(tmp_path / "a.aimodel", io=io, **changes)


class Lacking(torch.nn.Module):
    def forward(self, image):
        return (torch.special.i0(image),)


def test_an_operator_that_the_converter_lacks_is_named(tmp_path):
    program = torch.export.export(Lacking(), (torch.zeros(1, 3, 8, 8),))
    out = tmp_path / "a.aimodel"
    with pytest.raises(LoweringError, match=r"^coreai: .* aten\.i0\.default; use others, or"):
        save(program, ["logits"], Metadata(description="", licence="", custom={}), out)
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="has these units")
@pytest.mark.parametrize("unit", ["gpu", "npu"])
def test_units_of_macos_are_refused_elsewhere(unit):
    message = f"unit: found '{unit}', which coreai does not have on this machine; it has: cpu"
    with pytest.raises(ConfigError, match=message):
        check_units(target, (unit,))
