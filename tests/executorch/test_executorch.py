from collections import Counter

import numpy as np
import pytest

from mnv4_executorch import target
from mnv4_executorch.pte import Program
from mnv4_executorch.xnnpack_graph import read
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import BundleError, LoweringError
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, random_images
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.tensors import feed
from mnv4_mobile.testing import check_target, tiny_model

pytestmark = pytest.mark.toolchain("executorch")


def build(folder, recipe="fp32", act="relu", pooled=False, size=(64, 64), **options):
    model = tiny_model(act, pooled_queries=pooled)
    preprocess = Preprocess(
        size=size, crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    spec = BuildSpec(model=model, preprocess=preprocess, **options)
    net = MobileNetV4(model, spec.outputs)
    net.load_state_dict(random_state(model, 0))
    net.eval()
    images = random_images(preprocess, spec.batch, seed=0)
    program = export(net, spec, "nhwc")
    lowered = target.lower(program, spec, load_recipe(recipe), None, folder / "model.pte")
    found = target.open(lowered.path, 1)(feed(lowered.input, images, preprocess))
    return lowered, eager(net, images, spec), found


def test_contract(tmp_path):
    check_target(target, tmp_path)


def test_one_program_takes_several_sizes(tmp_path):
    tiny = tiny_model()
    model = replace(tiny, stages=(tiny.stages[0], tiny.stages[1][:1]))
    spec = BuildSpec(
        model=model,
        preprocess=Preprocess(size=(64, 96)),
        more_sizes=((32, 96), (64, 64)),
        outputs=("logits", "stage_0"),
        layout="nhwc",
    )
    target.check_sizes(spec)
    net = MobileNetV4(model, spec.outputs).eval()
    net.load_state_dict(random_state(model, 0))
    program = export(net, spec, "nhwc")
    lowered = target.lower(program, spec, load_recipe("fp32"), None, tmp_path / "model.pte")
    assert target.operators(lowered.path) == {"delegate": 1}
    assert target.inputs(lowered.path) == (replace(lowered.input, layout=None),)
    assert lowered.input.shape == (1, 64, 96, 3)
    run = target.open(lowered.path, 1)
    for size in spec.sizes:
        one = spec.at(size)
        images = random_images(one.preprocess, 1, seed=0)
        found, reference = run(feed(lowered.input, images, one.preprocess)), eager(net, images, one)
        assert found["stage_0"].shape == (1, size[0] // 4, size[1] // 4, 16)
        assert sqnr_db(reference["logits"], found["logits"]).min() > 100


def test_pixels_channels_last_and_a_batch(tmp_path):
    lowered, reference, found = build(tmp_path, input="pixels", batch=2, size=(64, 96))
    assert lowered.input.shape == (2, 64, 96, 3)
    assert lowered.input.dtype == "uint8"
    assert sqnr_db(reference["logits"], found["logits"]).min() > 100
    assert target.operators(lowered.path) == {"delegate": 1}
    # The next run must leave what the last one returned alone.
    session = target.open(lowered.path, 1)
    images = np.zeros(lowered.input.shape, np.uint8)
    first = session({"image": images})["logits"]
    kept = first.copy()
    assert (session({"image": images + 255})["logits"] != kept).all()
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize(
    "options",
    [{}, {"layout": "nhwc"}, {"input": "pixels"}, {"input": "pixels", "layout": "nchw"}],
)
def test_float16_casts_in_the_delegate(tmp_path, options):
    outputs = ("logits", "stage_1")
    lowered, reference, found = build(tmp_path, "fp16", outputs=outputs, **options)
    assert {name: found[name].dtype for name in outputs} == dict.fromkeys(outputs, np.float32)
    if lowered.input.layout == "nhwc":
        found["stage_1"] = found["stage_1"].transpose(0, 3, 1, 2)
    for name in outputs:
        assert sqnr_db(reference[name], found[name]).min() > 40
    assert target.operators(lowered.path) == {"delegate": 1}


def test_float16_weights_are_stored_as_float16(tmp_path):
    full, _, _ = build(tmp_path)
    size = full.path.stat().st_size
    weights = sum(row.cost.params for row in tiny_model().table())
    half, reference, found = build(tmp_path, "fp16", io="float16", outputs=("probabilities",))
    assert size - half.path.stat().st_size > 1.8 * weights  # two bytes fewer a weight
    assert found["probabilities"].dtype == np.float16
    assert sqnr_db(reference["probabilities"], found["probabilities"]).min() > 40
    assert target.operators(half.path) == {"delegate": 1}


@pytest.mark.parametrize("recipe", ["fp32", "fp16"])
def test_pooled_queries_on_odd_maps_in_one_delegate(tmp_path, recipe):
    # 72 / 8 = 9: pooling leaves 4 x 4 of 9 x 9.
    lowered, reference, found = build(tmp_path, recipe, pooled=True, size=(72, 72))
    assert target.operators(lowered.path) == {"delegate": 1}
    assert sqnr_db(reference["logits"], found["logits"]).min() > (100 if recipe == "fp32" else 40)


def test_layers_in_several_delegates_show_their_values(tmp_path):
    """XNNPACK does not take the upsampling, and what is given to one delegate is read by all."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge, to_edge_transform_and_lower
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1)

        def forward(self, image):
            return self.last(self.b(self.a(image).relu()))

        def last(self, b):
            return self.c(nn.functional.interpolate(b, scale_factor=2, mode="nearest"))

    net, image, given = Net().eval(), torch.randn(1, 3, 8, 8), torch.randn(1, 8, 6, 6)
    exported = torch.export.export(net, (image,))
    edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
    path = tmp_path / "several.pte"
    path.write_bytes(edge.to_executorch().buffer)
    assert target.operators(path)["delegate"] == 2
    watch = target.watch(path, ["a", "b", "c"], threads=1, unit=None)
    inputs = {"image": image.numpy()}
    with torch.no_grad():
        np.testing.assert_allclose(watch(inputs, {})["c"], net(image), atol=1e-5)
        found = watch(inputs, {"a": given.numpy(), "b": given.numpy()})
        np.testing.assert_allclose(found["a"], net.a(image).relu(), atol=1e-5)
        np.testing.assert_allclose(found["b"], net.b(given), atol=1e-5)
        np.testing.assert_allclose(found["c"], net.last(given), atol=1e-5)
    path.write_bytes(to_edge(exported).to_executorch().buffer)
    with pytest.raises(LoweringError, match=r"found aten::convolution.out outside XNNPACK"):
        target.watch(path, ["a", "b", "c"], threads=1, unit=None)


def test_gelu_is_float32_in_a_float16_delegate_and_says_so(tmp_path):
    lowered, reference, found = build(tmp_path, "fp16", act="gelu", io="float16")
    assert {(layer.precision, layer.why) for layer in lowered.layers} == {
        ("float32", "XNNPACK has no float16 GELU")
    }
    assert sqnr_db(reference["logits"], found["logits"]).min() > 40

    def kinds(path):
        (call,) = Program(path).calls
        return Counter(operator.kind for operator in read(call.delegate, "")[0])

    with_gelu = kinds(lowered.path)
    lowered, _, _ = build(tmp_path, "fp16", io="float16")
    gelus = with_gelu["Gelu"]
    assert gelus > 0
    assert with_gelu - kinds(lowered.path) == {"Gelu": gelus, "Convert": 2 * gelus}


@pytest.mark.parametrize("act", ["relu6", "silu", "hard_swish", "leaky_relu"])
def test_every_activation_is_delegated(tmp_path, act):
    lowered, reference, found = build(tmp_path, act=act)
    assert target.operators(lowered.path) == {"delegate": 1}
    assert sqnr_db(reference["logits"], found["logits"]).min() > 100


def test_the_program_says_what_an_app_must_know(tmp_path):
    labels = tuple(f"class {i}" for i in range(10))
    lowered, _, _ = build(tmp_path, labels=labels, outputs=("embedding", "logits"))
    from executorch.extension.pybindings import _C

    program = _C._load_program(str(lowered.path))

    def constant(name):
        return program.load_method(name).call([])

    assert constant("get_output_names") == ["embedding", "logits"]
    assert constant("get_labels") == list(labels)
    assert constant("get_mean") == pytest.approx(IMAGENET_MEAN)


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    assert build(first)[0].path.read_bytes() == build(second)[0].path.read_bytes()


def test_float16_tensors_of_a_float32_program_are_refused():
    spec = BuildSpec(
        model=tiny_model(),
        preprocess=Preprocess(
            size=(64, 64), crop=1.0, interpolation="bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD
        ),
        io="float16",
    )
    with pytest.raises(LoweringError, match=r"io: found 'float16', supported .*: float32"):
        target.check(spec, load_recipe("fp32"))


@pytest.mark.parametrize("data", [b"", b"not a program at all, but long enough", b"\0" * 64])
def test_a_damaged_file_is_refused(tmp_path, data):
    path = tmp_path / "broken.pte"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"broken\.pte"):
        target.operators(path)
    with pytest.raises(BundleError, match=r"broken\.pte"):
        target.open(path, 1)
