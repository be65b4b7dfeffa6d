"""Quantized and compressed packages, judged by the bytes on disk."""

import numpy as np
import pytest
import torch
from torch import nn

from mnv4_coreml import target
from mnv4_coreml.activations import _round, quantize_activations
from mnv4_coreml.compress import k_means
from mnv4_coreml.lower import _convert
from mnv4_coreml.mil import Program
from mnv4_coreml.mil.saved import SavedModel
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import ConfigError, LoweringError
from mnv4_mobile.files import sha256, size
from mnv4_mobile.images import IMAGENET_MEAN, IMAGENET_STD, Preprocess, normalise, random_images
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.export import export
from mnv4_mobile.program.operations import operations
from mnv4_mobile.quantize.assignment import assignments
from mnv4_mobile.quantize.calibration import Calibration
from mnv4_mobile.quantize.neural_engine import Rounding
from mnv4_mobile.quantize.ranges import Ranges
from mnv4_mobile.quantize.rounding import rounded
from mnv4_mobile.recipe import Keep, Weights, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import completed
from mnv4_mobile.tensors import answer, feed
from mnv4_mobile.testing import tiny_model

pytestmark = pytest.mark.toolchain("coreml")

PREPROCESS = Preprocess(
    size=(56, 72), crop=0.95, interpolation="bicubic", mean=IMAGENET_MEAN, std=IMAGENET_STD
)
CALIBRATION = Calibration(paths=(), random=4, seed=1, preprocess=PREPROCESS)
INT8 = load_recipe("int8")
LABELS = tuple(f"class {i}" for i in range(10))
SOME = ("stages.1.4", "*.middle.conv")
GROUPS = Weights(bits=6, form="palette", clustering="uniform", per="group", size=8)
RECIPES = {
    "fp16": load_recipe("fp16"),
    "int8": INT8,
    "int8-some": replace(INT8, keep=Keep(modules=SOME)),
    "int8-weights": replace(INT8, activations=None, keep=Keep(modules=("head.*",))),
    "int4-weights": load_recipe("int4-weights"),
    "palettize-8": load_recipe("palettize-8"),
    "palettize-4": load_recipe("palettize-4"),
    "palettes": replace(load_recipe("palettize-6"), weights=GROUPS),
}
IOS = {"int4-weights": 18, "palettes": 18, "palettize-4": 16}  # the others 17


class Case:
    """A network, and its packages by recipe."""

    def __init__(self, folder, **options) -> None:
        self.folder = folder
        self.spec = BuildSpec(
            model=tiny_model(pooled_queries=True), preprocess=PREPROCESS, **options
        )
        net = MobileNetV4(self.spec.model, outputs=self.spec.outputs).eval()
        net.load_state_dict(random_state(self.spec.model, seed=1))
        self.program = export(net, self.spec, "nchw")
        self.images = random_images(PREPROCESS, self.spec.batch, seed=5)
        self.reference = eager(net, self.images, self.spec)
        self.found = {}

    @property
    def convolutions(self):
        """Their names, in the order in which they run."""
        return [found.name for found in operations(self.program.graph) if found.kind == "conv"]

    def __getitem__(self, name):
        if name not in self.found:
            self.found[name] = self.lower(name, self.folder / f"{name}.mlpackage")
        return self.found[name]

    def lower(self, name, out):
        ios = {"min_ios": IOS.get(name, 17)}
        recipe, io = RECIPES[name], self.spec.io
        spec = completed(self.spec, target, recipe, io=io, options=ios)
        target.check(spec, RECIPES[name])
        return target.lower(self.program, spec, RECIPES[name], CALIBRATION, out)

    def db(self, name) -> dict[str, float]:
        lowered = self[name]
        found = target.open(lowered.path, 1)(feed(lowered.input, self.images, PREPROCESS))
        return {
            t.kind: float(sqnr_db(self.reference[t.kind], found[t.name]).min())
            for t in lowered.outputs
        }


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("quantized"), outputs=("logits", "stage_1"))


class Graph:
    """What reads and gives the values of a saved program."""

    def __init__(self, path) -> None:
        self.operations = list(SavedModel(path).block().operations)
        self.makers = {o.name: op for op in self.operations for o in op.outputs}
        self.readers = {}
        for op in self.operations:
            for argument in op.inputs.values():
                for binding in argument.arguments:
                    self.readers.setdefault(binding.name, []).append(op)

    def maker(self, op, key):
        """The type of the operation that gives an argument."""
        maker = self.makers.get(op.inputs[key].arguments[0].name)
        return maker.type if maker else "input"

    def argument(self, op, key):
        """The saved value of a constant argument."""
        (binding,) = op.inputs[key].arguments
        return self.makers[binding.name].attributes["val"]

    def users(self, op):
        return self.readers.get(op.outputs[0].name, [])


def compressed(case, name):
    """Whether the weights of each convolution are compressed, by its name."""
    graph = Graph(case[name].path)
    kinds = [graph.maker(op, "weight") for op in graph.operations if op.type == "conv"]
    names = case.convolutions
    return {n: kind.startswith("constexpr") for n, kind in zip(names, kinds, strict=True)}


def weights(case, name):
    """The weights that the interpreter computes with, by convolution."""
    graph, constants = Graph(case[name].path), Program(case[name].path)._constants
    values = [
        constants[op.inputs["weight"].arguments[0].name]
        for op in graph.operations
        if op.type == "conv"
    ]
    return dict(zip(case.convolutions, values, strict=True))


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "fp16"])
def test_no_convolution_stays_float_unlisted(case, name):
    listed = {layer.name: layer for layer in case[name].layers}
    for convolution, small in compressed(case, name).items():
        left = convolution in listed and listed[convolution].precision == "float16"
        assert left != small, convolution
        assert small or listed[convolution].why
    assert any(compressed(case, name).values())


@pytest.mark.parametrize(
    ("name", "operator", "least"),
    [
        ("int8", "constexpr_affine_dequantize", 40),
        ("int8-some", "constexpr_affine_dequantize", 40),
        ("int8-weights", "constexpr_affine_dequantize", 40),
        ("int4-weights", "constexpr_blockwise_shift_scale", 17),
        ("palettize-8", "constexpr_lut_to_dense", 40),
        ("palettize-4", "constexpr_lut_to_dense", 17),
        ("palettes", "constexpr_lut_to_dense", 25),
    ],
)
def test_weights(case, name, operator, least):
    """What the interpreter decompresses, against the float package's weights."""
    small = compressed(case, name)
    assert target.operators(case[name].path)[operator] == sum(small.values())
    ratios = {}
    for (convolution, found), expected in zip(
        weights(case, name).items(), weights(case, "fp16").values(), strict=True
    ):
        ratios[convolution] = float(sqnr_db(expected[None], found[None])[0])
    assert all(db == 200 for convolution, db in ratios.items() if not small[convolution])
    assert min(ratios.values()) >= least


def test_weights_that_are_rounded_already_keep_their_integers(tmp_path):
    """Half a step would be another integer; scales and values are float16 here."""
    case = Case(tmp_path)
    case.program = rounded(case.program, case.spec, INT8, CALIBRATION)
    parameters = case.program.graph_signature.inputs_to_parameters
    given = [
        case.program.state_dict[parameters[operation.node.args[1].name]].numpy()
        for operation in operations(case.program.graph)
        if operation.kind == "conv"
    ]
    for found, expected in zip(weights(case, "int8").values(), given, strict=True):
        step = np.abs(expected).max((1, 2, 3), keepdims=True) / 127
        assert (np.abs(found - expected) < 0.2 * step).all()


@pytest.mark.parametrize(("name", "least"), [("int8", 14), ("int8-some", 12), ("int8-weights", 15)])
def test_outputs(case, name, least):
    """Random weights amplify every error, so that this is far from what a trained network gives."""
    assert min(case.db(name).values()) >= least


def test_int8_convolutions_lie_between_pairs(case):
    graph = Graph(case["int8"].path)
    floats = {layer.name for layer in case["int8"].layers if layer.precision == "int8-weights"}
    assert floats == {"head.conv.conv", "head.classifier"}
    operators = [op for op in graph.operations if op.type == "conv"]
    for name, op in zip(case.convolutions, operators, strict=True):
        (user, *others) = graph.users(op)
        last = user if user.type == "relu" and not others else op
        before = graph.maker(op, "x") == "dequantize"
        behind = "quantize" in {user.type for user in graph.users(last)}
        assert (before, behind) == (name not in floats,) * 2, name
    # The image, 22 convolutions, 4 sums, what pooling and what attention give.
    found = target.operators(case["int8"].path)
    assert (found["quantize"], found["dequantize"]) == (29, 29)


@pytest.mark.parametrize(
    ("act", "fused"),
    [
        ("gelu", False),
        ("silu", False),
        ("hard_swish", False),
        ("leaky_relu", True),
        ("relu6", True),
    ],
)
def test_the_neural_engine_fuses_few_activations(act, fused):
    model = replace(tiny_model(act), stages=tiny_model(act).stages[:1], features=())
    spec = BuildSpec(model=model, preprocess=PREPROCESS)
    program = export(MobileNetV4(model).eval(), spec, "nchw").run_decompositions({})
    assigned = assignments(program.graph, INT8, weights_alone="int8-weights")
    stem = assigned[0].operation.node
    with torch.no_grad():
        quantize_activations(program, assigned, spec, INT8, CALIBRATION)
    (activation,) = stem.users
    assert "conv" not in activation.name
    assert ("quantize" in activation.name) == (not fused)
    if not fused:
        ((activation,),) = [user.users for user in activation.users]
    assert [user.name.split("_")[0] for user in activation.users] == ["quantize"]


def test_zero_points_are_zero(case):
    """Types are unsigned after ReLU, signed elsewhere."""
    path = case["int8"].path
    graph, model = Graph(path), SavedModel(path)
    kinds = set()
    for op in graph.operations:
        if op.type == "quantize":
            assert "zero_point" not in op.inputs
            kinds.add(
                (graph.maker(op, "input") == "relu", model.tensor_type(op.outputs[0].type)[0])
            )
    assert kinds == {(True, "uint8"), (False, "int8")}


def integer_ports(case, path, recipe=INT8, **options):
    spec = completed(
        replace(case.spec, **options), target, recipe, io="int8", options={"min_ios": 26}
    )
    target.check(spec, recipe)
    return target.lower(case.program, spec, recipe, CALIBRATION, path)


def ports_db(case, lowered):
    session = target.open(lowered.path, 1)
    raw = session(feed(lowered.input, case.images, PREPROCESS))
    assert {o.name: str(raw[o.name].dtype) for o in lowered.outputs} == {
        o.name: o.dtype for o in lowered.outputs
    }
    found = answer(lowered.outputs, raw, "")
    return {
        o.kind: float(sqnr_db(case.reference[o.kind], found[o.name]).min()) for o in lowered.outputs
    }


def test_int8_inputs_and_outputs_stand_for_floats(case, tmp_path):
    lowered = integer_ports(case, tmp_path / "a.mlpackage")
    assert [port.dtype for port in (lowered.input, *lowered.outputs)] == ["int8"] * 3
    assert lowered.requires["min_ios"] == "26"
    assert any("rdar://155895085" in note for note in lowered.notes)
    # The manifest's numbers are those of the program.
    graph, model = Graph(lowered.path), SavedModel(lowered.path)
    image = lowered.input.quantization
    (reader,) = graph.readers["image"]
    assert (reader.type, image.zero_point) == ("dequantize", 0)
    assert "zero_point" not in reader.inputs
    assert {op.type for op in graph.users(reader)} == {"conv"}  # not rounded a second time
    for output in lowered.outputs:
        op = graph.makers[output.name]
        assert op.type == "quantize"
        assert float(model.value(graph.argument(op, "scale"))) == output.quantization.scale
    features = [*model.spec.description.input, *model.spec.description.output]
    assert {f.type.multiArrayType.dataType for f in features} == {131080}  # INT8
    # Rounding the outputs costs little, and the artifact with floats rounds its input alike.
    floats = case.db("int8")
    for name, db in ports_db(case, lowered).items():
        assert db > floats[name] - 2, (name, db, floats)


@pytest.mark.parametrize("first", ["float", "pixels"])
def test_int8_ports_of_other_programs(case, tmp_path, first):
    if first == "float":  # Nothing rounds the image, so that its range decides.
        recipe = replace(INT8, keep=Keep(modules=("stem.*",)))
        lowered = integer_ports(case, tmp_path / "a.mlpackage", recipe)
        assert lowered.input.quantization.zero_point != 0
        assert {op.type for op in Graph(lowered.path).readers["image"]} == {"dequantize"}
    else:
        case = Case(tmp_path, input="pixels", outputs=("probabilities", "embedding"), labels=LABELS)
        lowered = integer_ports(case, tmp_path / "a.mlpackage")
        assert (lowered.input.dtype, lowered.input.quantization) == ("uint8", None)
        assert [output.dtype for output in lowered.outputs] == ["float32", "int8"]
        assert lowered.outputs[0].quantization is None  # a dictionary of a classifier
    assert min(ports_db(case, lowered).values()) > 10


def test_scales_follow_the_calibration_images(case):
    ranges = Ranges(INT8.activations)
    for picture in CALIBRATION:
        ranges.observe("image", normalise(picture[None], PREPROCESS))
    expected = max(map(abs, ranges.of("image"))) / 127
    path = case["int8"].path
    first = next(op for op in Graph(path).operations if op.type == "quantize")
    found = Program(path)._constants[first.inputs["scale"].arguments[0].name]
    assert found == pytest.approx(expected, rel=1e-3)


def test_additions_are_listed(case):
    listed = {layer.name: (layer.precision, layer.why) for layer in case["int8"].layers}
    assert listed["stages.1.1.add"] == ("float16", "keep.residual_additions")
    listed = {layer.name: (layer.precision, layer.why) for layer in case["int8-some"].layers}
    assert listed["stages.1.1.add"] == ("int8", None)
    assert listed["stages.1.4.add"] == ("float16", "keep.modules: stages.1.4")
    graph = Graph(case["int8-some"].path)
    sums = [op for op in graph.operations if op.type == "add"]
    both = [{graph.maker(op, "x"), graph.maker(op, "y")} == {"dequantize"} for op in sums]
    assert sum(both) == 3


def test_blocks_and_groups_that_do_not_divide(case):
    whys = {layer.name: layer.why for layer in case["int4-weights"].layers}
    assert whys["stem.conv"] == "3 inputs: a block needs a multiple of 8"
    assert whys["stages.1.1.expand.conv"] == "in blocks of 8: 24 inputs do not divide by 32"
    whys = {layer.name: layer.why for layer in case["palettes"].layers}
    assert whys["head.classifier"] == "10 outputs do not divide by 8"
    assert whys["stages.1.1.middle.conv"] == "a palette would take more than it saves"


def test_compressed_packages_are_smaller(case):
    whole = size(case["fp16"].path)  # int8 has more operations, which weigh more than tiny weights
    assert all(size(case[n].path) < whole for n in RECIPES.keys() - {"fp16", "int8", "int8-some"})


def test_pattern_that_matches_nothing(case, tmp_path):
    recipe = replace(INT8, keep=Keep(modules=("stages.9.*",)))
    with pytest.raises(ConfigError, match=r"keep.modules: 'stages.9.\*'"):
        target.lower(case.program, case.spec, recipe, CALIBRATION, tmp_path / "a.mlpackage")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["int8", "palettize-4"])
def test_same_bytes_twice(case, tmp_path, name):
    again = case.lower(name, tmp_path / "again.mlpackage")
    assert sha256(again.path) == sha256(case[name].path)


def test_int8_classifier_of_pictures(tmp_path):
    labels = tuple(f"class {i}" for i in range(10))
    case = Case(tmp_path, input="pixels", outputs=("logits", "probabilities"), labels=labels)
    assert min(case.db("int8").values()) >= 10
    assert target.operators(case["int8"].path)["quantize"] == 29


def test_int8_batch_with_float16_around_it(tmp_path):
    case = Case(tmp_path, batch=2, io="float16")
    assert min(case.db("int8").values()) >= 10
    assert "cast" not in target.operators(case["int8"].path)


class Reshaping(nn.Module):
    """Values that are rounded on both sides of a reshape."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(2, 4, 3)

    def forward(self, x):
        return {"logits": self.second(self.first(x).reshape(1, 2, 124, 62))}


def test_pairs_around_a_reshape_survive(tmp_path):
    """coremltools would drop one, though its scale is another (`int_op_canonicalization`)."""
    torch.manual_seed(0)
    image = torch.randn(1, 3, 64, 64)
    program = torch.export.export(Reshaping().eval(), (image,)).run_decompositions({})
    nodes = {node.name: node for node in program.graph.nodes}
    for name, bound in (("conv2d", 1), ("view", 0.1)):
        users = list(nodes[name].users)
        one = Rounding(value=nodes[name], readers=users, dtype="int8", scale=bound / 127)
        _round(program.graph, one)
    program.graph_module.recompile()
    model = tiny_model()
    preprocess = replace(PREPROCESS, size=model.input_size)
    options = {"min_ios": 17, "compute_unit": "all"}
    spec = BuildSpec(model=model, preprocess=preprocess, options=options)
    out = tmp_path / "a.mlpackage"
    out.mkdir()
    _convert(program, spec, load_recipe("fp32"), [], [], out)
    operators = target.operators(out)
    assert (operators["quantize"], operators["dequantize"]) == (2, 2)
    expected = program.module()(image)["logits"].detach().numpy()
    found = Program(out)({"image": image.numpy()})["logits"]
    assert sqnr_db(expected, found) > 50


@pytest.mark.parametrize(
    ("recipe", "ios", "io", "message"),
    [
        ("int8", 16, "float32", r"found 16, supported: 17 or later .* int8 .*coreml.min_ios=17"),
        ("int4-weights", 17, "float32", r"found 17, supported: 18 .* int4 .*coreml.min_ios=18"),
        (
            "palettes",
            17,
            "float32",
            r"found 17, .* for palettes per group .*min_ios=18",
        ),
        ("int8-weights", 16, "float16", None),
    ],
)
def test_refuses_what_an_ios_does_not_have(recipe, ios, io, message):
    shared = BuildSpec(model=tiny_model(), preprocess=PREPROCESS)
    spec = completed(shared, target, RECIPES[recipe], io=io, options={"min_ios": ios})
    if message is None:
        target.check(spec, RECIPES[recipe])
        return
    with pytest.raises(LoweringError, match=f"^coreml: min_ios: {message}"):
        target.check(spec, RECIPES[recipe])


def test_k_means_is_near_the_optimum():
    from coremltools._deps import kmeans1d

    values = np.random.default_rng(0).standard_t(5, 5000).astype(np.float16)
    centres, indices = k_means(values, 64)
    assert (centres.dtype, len(centres), indices.shape) == (values.dtype, 64, values.shape)
    best = kmeans1d.cluster(values.astype(np.float64), 64)
    optimum = np.array(best.centroids)[best.clusters]
    found, most = (sqnr_db(values[None], v[None])[0] for v in (centres[indices], optimum))
    assert most - 1 < found <= most + 0.01


def test_k_means_of_few_values_is_exact():
    values = np.array([[0.5, -1, 0.5, 2]], np.float16)
    centres, indices = k_means(values, 16)
    assert len(centres) == 16
    np.testing.assert_array_equal(centres[indices], values.ravel())
