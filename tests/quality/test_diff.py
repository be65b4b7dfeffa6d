"""Comparing programs layer by layer: planted faults, refusals, and how channels correspond."""

import json

import numpy as np
import pytest

from benchmarks.faults import convolutions, folded, spoil
from mnv4_mobile.bundle.folder import write_manifest
from mnv4_mobile.errors import ConfigError, LoweringError
from mnv4_mobile.lint import Convolution, Graph, Operator, Value
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.diff import check_same_network, diff
from mnv4_mobile.quality.sides import artifact_sides
from mnv4_mobile.records import replace
from mnv4_mobile.watch import layer_values

TARGETS = ("executorch", "coreml", "coreai")


@pytest.fixture(scope="module")
def network(demo_bundle):
    """The demo network's deploy form, as one side of a comparison."""
    return folded(demo_bundle("tflite"))


@pytest.fixture
def spoiled(network, demo_bundle, tmp_path):
    """A function that plants a fault in a layer of the demo bundle for LiteRT."""

    def plant(kind, layer):
        convs = convolutions(network.program)
        index = [conv.layer for conv in convs].index(layer)
        return spoil(kind, demo_bundle("tflite"), convs[index], index, tmp_path / "spoiled")

    return plant


@pytest.mark.toolchain("tflite")
def test_the_layer_with_a_wrong_padding_is_named(network, spoiled):
    bundle, layer = spoiled("padding", "stages.1.0.conv"), "stages.1.0.conv"
    images = bundle.golden("input")["pixels"][:1]
    with artifact_sides([bundle], (), 1) as sides:
        (pair,) = diff([network, *sides], images, 40, Progress()).pairs
    assert (pair.worst.layer, pair.first_below.layer) == (layer, layer)
    assert not pair.missing
    assert min(one.own_db for one in pair.layers if one.layer != layer) > 100
    assert pair.layers[-1].sqnr_db < 40


@pytest.mark.toolchain("tflite")
def test_the_command_names_the_layer_with_transposed_weights(mnv4, demo_bundle, spoiled, tmp_path):
    layer, page = "stages.2.3.project.conv", tmp_path / "page.html"
    bundle, other = demo_bundle("tflite"), spoiled("transposed", "stages.2.3.project.conv")
    code, out, err = mnv4("diff", bundle.path, other.path, "--json", "--bound", 40, "-o", page)
    assert code == 0, err
    (pair,) = json.loads(out)["pairs"]
    assert (pair["worst"]["layer"], pair["first_below"]["layer"]) == (layer, layer)
    before = [one["sqnr_db"] for one in pair["layers"]][:10]
    assert before == [200] * 10  # up to the fault, both are the same program
    text = page.read_text()
    assert "<svg" in text
    assert f"first layer below 40 dB: {layer}, " in text


@pytest.mark.parametrize(
    "target",
    [pytest.param(name, marks=pytest.mark.toolchain(name)) for name in TARGETS],
)
def test_every_layer_of_a_target_is_that_of_pytorch(network, demo_bundle, target):
    bundle = demo_bundle(target)
    images = bundle.golden("input")["pixels"][:1]
    with artifact_sides([bundle], (), 1) as sides:
        (pair,) = diff([network, *sides], images, 40, Progress()).pairs
        watched = sides[0].values(images, {})["head.classifier"].reshape(1, -1)
    # To be watched does not change what a runtime computes.
    np.testing.assert_array_equal(watched, bundle.golden("artifact")["logits"][:1])
    assert not pair.missing
    assert {*bundle.convolutions, "stages.2.1.add", "mean"} <= {one.layer for one in pair.layers}
    assert min(one.own_db for one in pair.layers) > 45


class Values:
    """A side whose layers are given."""

    batch, reruns, executor = 1, False, ""

    def __init__(self, name, preparation=(), **layers):
        self.name, self.preparation = name, preparation
        self._layers = {layer.replace("_", "."): value for layer, value in layers.items()}

    def values(self, images, given):
        return self._layers


IMAGE = np.zeros((1, 1, 1, 3), np.uint8)
MAP = np.random.default_rng(0).normal(size=(1, 6, 2, 2)).astype(np.float32)


def test_channels_of_queries_are_matched():
    turned = MAP[:, np.arange(6).reshape(2, 3).T.ravel()]
    one, other = Values("a", b_query=MAP, b_conv=MAP), Values("b", b_query=turned, b_conv=turned)
    (pair,) = diff([one, other], IMAGE, 40, Progress()).pairs
    found = {one.layer: one.sqnr_db for one in pair.layers}
    assert found["b.query"] == 200
    assert found["b.conv"] < 10
    assert pair.first_below.layer == "b.conv"
    assert pair.worst is None


def test_channels_are_scaled_if_two_programs_were_prepared_differently():
    scaled = MAP * np.array([1, 2, 4, 8, 0.5, 3], np.float32).reshape(6, 1, 1)
    one = Values("a", b_conv=MAP, head_conv=MAP)
    for preparation, rescaled in (((), False), (("int8", "a"), True)):
        other = Values("b", preparation, b_conv=scaled, head_conv=scaled)
        (pair,) = diff([one, other], IMAGE, 40, Progress()).pairs
        found = {one.layer: one.sqnr_db for one in pair.layers}
        assert pair.rescaled is rescaled
        assert (found["b.conv"] > 120) is rescaled
        assert found["head.conv"] < 10


@pytest.mark.parametrize(
    ("layer", "factor", "fits"),
    [
        ("b_query", 0.25, True),
        ("b_query", 1.5, False),
        ("head_conv", 2, True),
        ("head_classifier", 2, False),
    ],
)
def test_only_what_guard_scales_by_powers_of_two_may_differ_by_them(layer, factor, fits):
    one, other = Values("a", **{layer: MAP}), Values("b", ("fp16",), **{layer: factor * MAP})
    (pair,) = diff([one, other], IMAGE, 40, Progress()).pairs
    assert (pair.first_below is None) is fits


def test_programs_without_a_common_layer_are_refused():
    with pytest.raises(ConfigError, match="a and b: have no layer in common"):
        diff([Values("a", one=MAP), Values("b", two=MAP)], IMAGE, 40, Progress())


def test_layers_end_with_their_bias_and_clamp():
    convolution = Convolution(inputs=1, outputs=1, groups=1, kernel=(1, 1), weights="float32")
    graph = Graph(
        operators=[
            Operator(kind="conv2d", inputs=("x",), outputs=("a",), convolution=convolution),
            Operator(kind="broadcasting_add", inputs=("a", "bias"), outputs=("b",)),
            Operator(kind="relu", inputs=("b",), outputs=("c",)),
            Operator(kind="conv2d", inputs=("c",), outputs=("d",), convolution=convolution),
            Operator(kind="ADD", inputs=("d", "c"), outputs=("e",)),
            Operator(kind="MEAN", inputs=("e",), outputs=("f",)),
        ],
        layers=[],
        values={name: Value(dtype="float32", shape=()) for name in "xabcdef"},
    )
    names = ["stem.conv", "stages.0.1.project.conv", "head.classifier"]
    assert layer_values(graph, names) == {
        "stem.conv": "c",
        "stages.0.1.project.conv": "d",
        "stages.0.1.add": "e",
        "mean": "f",
    }
    with pytest.raises(
        LoweringError, match="found 2 convolutions in the artifact, the network has 1"
    ):
        layer_values(graph, names[:1])


@pytest.mark.toolchain("tflite")
def test_a_folder_without_images_is_refused(mnv4, demo_bundle, tmp_path):
    path = demo_bundle("tflite").path
    code, out, err = mnv4("diff", path, path, "--images", tmp_path)
    assert (code, out) == (2, "")
    assert f"{tmp_path}: no image found" in err


@pytest.mark.toolchain("tflite")
def test_bundles_of_different_networks_are_refused(demo_bundle):
    bundle = demo_bundle("tflite")
    model = replace(bundle.manifest.model, weights_sha256="0" * 64)
    other = replace(bundle, manifest=replace(bundle.manifest, model=model))
    with pytest.raises(ConfigError, match=r"weights: found demo \(0+\), must be that of"):
        check_same_network([bundle, other])


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "found one program; name another bundle, two units"),
        (("--model", "conv-small"), "--model: found 'conv-small' without --weights"),
        (("--unit", "npu,cpu"), "unit: found 'npu', which tflite does not have"),
        (("--weights", "demo", "--calibrate", "x"), "was built without calibration images"),
    ],
)
@pytest.mark.toolchain("tflite")
def test_what_cannot_be_compared(mnv4, demo_bundle, words, text):
    code, out, err = mnv4("diff", demo_bundle("tflite").path, *words)
    assert (code, out) == (2, ""), err
    assert text in err


DYING = """
import os
from mnv4_tflite import LiteRT

class Dying(LiteRT):
    name, suffix = "dying", ".dying"

    def watch(self, path, layers, *, threads, unit):
        os._exit(3)

target = Dying()
"""
HIDING = DYING.replace("dying", "hiding").replace("def watch", "watch = None\n    def unused")


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize(
    ("name", "source", "code", "text"),
    [
        ("dying", DYING, 5, "dying runtime ("),
        ("hiding", HIDING, 2, "hiding: its runtime does not show the values of layers"),
    ],
)
def test_runtimes_that_die_or_hide(
    mnv4, demo_bundle, install_target, tmp_path, name, source, code, text
):
    install_target(name, source)
    bundle = demo_bundle("tflite")
    bundle.copy_to(tmp_path / "copy")
    write_manifest(tmp_path / "copy", replace(bundle.manifest, target=name))
    found, out, err = mnv4("diff", tmp_path / "copy", tmp_path / "copy")
    assert (found, out) == (code, ""), err
    assert text in err
    assert code == 2 or "ended with code 3" in err
