"""Integers for XNNPACK, on a tiny network."""

import pytest
import torch

from mnv4_executorch import target
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import LoweringError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.progress import Progress
from mnv4_mobile.quantize.calibration import choose_images
from mnv4_mobile.quantize.rounding import rounded
from mnv4_mobile.recipe import Keep, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.tensors import answer, feed
from mnv4_mobile.testing import tiny_model

pytestmark = pytest.mark.toolchain("executorch")

PREPROCESS = Preprocess(
    size=(64, 64), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
)
INT8 = load_recipe("int8")


def build(path, model, recipe=INT8, **options):
    """Lowers a tiny network; also its worst SQNR over outputs and pictures."""
    spec = BuildSpec(model=model, preprocess=PREPROCESS, **options)
    net = MobileNetV4(model, spec.outputs)
    net.load_state_dict(random_state(model, 0))
    program = export(net.eval(), spec, "nhwc")
    target.check(spec, recipe)
    calibration = choose_images("random", PREPROCESS, images=8, seed=0, progress=Progress())
    before = [n.meta.keys() for n in program.graph.nodes], program.graph_module.code
    weights = {name: value.clone() for name, value in program.state_dict.items()}
    lowered = target.lower(program, spec, recipe, calibration, path)
    assert before == ([n.meta.keys() for n in program.graph.nodes], program.graph_module.code)
    assert all(torch.equal(value, weights[name]) for name, value in program.state_dict.items())
    images = random_images(PREPROCESS, spec.batch, seed=5)
    found = target.open(path, 1)(feed(lowered.input, images, PREPROCESS))
    reference = eager(net, images, spec)
    db = {}
    for output in lowered.outputs:
        value = answer([output], found, "test")[output.name]
        if output.layout == "nhwc":
            value = value.transpose(0, 3, 1, 2)
        db[output.name] = float(sqnr_db(reference[output.kind], value).min())
    return lowered, db


@pytest.fixture(scope="module")
def static(tmp_path_factory):
    path = tmp_path_factory.mktemp("int8") / "model.pte"
    return build(path, tiny_model(), outputs=("logits", "stage_0", "stage_1"))


def test_one_delegate_and_close_to_float(static):
    lowered, decibel = static
    assert target.operators(lowered.path) == {"delegate": 1}
    assert decibel["stage_0"] > 30
    assert min(decibel.values()) > 15  # random weights


def test_what_is_not_int8_says_why(static):
    lowered, _ = static
    found = {layer.name: (layer.precision, layer.why) for layer in lowered.layers}
    assert found["stages.1.1.add"] == ("float32", "keep.residual_additions")
    assert found["head.classifier"] == ("int8-dynamic", "keep.after_pooling")
    assert found["stages.1.4.softmax"][0] == "float32"
    assert "stem.conv" not in found


def test_weights_take_a_byte(static):
    lowered, _ = static
    weights = sum(row.cost.params for row in tiny_model().table())
    # The rest are the graph, scales and biases, which weigh much in so small a network.
    assert lowered.path.stat().st_size < 4 * weights


def test_additions_in_integers_a_batch_of_bytes_and_pooled_queries(tmp_path):
    recipe = replace(INT8, keep=Keep(after_pooling=True))
    lowered, decibel = build(
        tmp_path / "model.pte",
        tiny_model("relu6", pooled_queries=True),
        recipe,
        input="pixels",
        batch=2,
    )
    assert target.operators(lowered.path) == {"delegate": 1}
    assert decibel["logits"] > 12
    found = {layer.name: layer for layer in lowered.layers}
    assert (found["stages.1.2.add"].precision, found["stages.1.2.add"].why) == ("int8", None)


def test_kept_modules_and_other_activations(tmp_path):
    keep = replace(INT8.keep, modules=("stages.1.4",))
    recipe = replace(INT8, keep=keep)
    lowered, decibel = build(tmp_path / "model.pte", tiny_model("gelu"), recipe)
    assert target.operators(lowered.path) == {"delegate": 1}
    assert decibel["logits"] > 12
    found = {layer.name: layer.why for layer in lowered.layers}
    assert found["stages.1.4.output"] == "keep.modules: stages.1.4"


@pytest.mark.parametrize("aa", ["avg", "blurpc"])
def test_anti_aliasing_is_in_integers_and_in_the_delegate(aa, tmp_path):
    tiny = tiny_model()
    model = replace(tiny, stages=(tiny.stages[0], tiny.stages[1][:1]), aa_layer=aa)
    lowered, decibel = build(tmp_path / "model.pte", model)
    assert target.operators(lowered.path) == {"delegate": 1}
    assert decibel["logits"] > 20
    assert not [layer for layer in lowered.layers if layer.name.endswith(".aa")]


def test_integers_in_and_out(tmp_path):
    lowered, decibel = build(
        tmp_path / "model.pte", tiny_model(), outputs=("logits", "stage_1"), io="int8"
    )
    assert target.operators(lowered.path) == {"delegate": 1}
    assert {t.dtype for t in (lowered.input, *lowered.outputs)} == {"int8"}
    assert all(t.quantization.scale > 0 for t in (lowered.input, *lowered.outputs))
    assert min(decibel.values()) > 12  # random weights


def test_no_unsigned_integers(tmp_path):
    with pytest.raises(LoweringError, match=r"io: found 'uint8', supported.*: float32, int8"):
        build(tmp_path / "model.pte", tiny_model(), io="uint8")


def test_weights_that_are_rounded_already_keep_their_integers():
    from mnv4_executorch.quantize import quantized

    model = tiny_model()
    spec = BuildSpec(model=model, preprocess=PREPROCESS)
    net = MobileNetV4(model, spec.outputs).eval()
    net.load_state_dict(random_state(model, 0))
    calibration = choose_images("random", PREPROCESS, images=8, seed=0, progress=Progress())
    program = rounded(export(net, spec, "nhwc"), spec, INT8, calibration)
    graph, _, _ = quantized(program.module(check_guards=False), spec, INT8, calibration)
    pairs = [
        [graph.get_buffer(argument.target) for argument in node.args[:2]]
        for node in graph.graph.nodes
        if node.target is torch.ops.quantized_decomposed.dequantize_per_channel.default
    ]
    given = [w for w in program.state_dict.values() if w.dim() == 4]
    assert len(pairs) == len(given)
    for integers, scale in pairs:
        found = integers * scale.view(-1, 1, 1, 1).float()
        assert any(w.shape == found.shape and torch.allclose(w, found, rtol=1e-5) for w in given)
