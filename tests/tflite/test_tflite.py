"""The LiteRT target, on small networks; artifacts run in a process of their own.

LiteRT's and ExecuTorch's runtimes do not share a process, and the other target's tests may be here.
"""

import dataclasses
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from flatbuffers.table import Table

from mnv4_mobile.config import load_model
from mnv4_mobile.errors import BundleError, LoweringError
from mnv4_mobile.images import Preprocess, random_images
from mnv4_mobile.model.deploy import DeployNet
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.model.spec import (
    ConvSpec,
    FusedIBSpec,
    HeadSpec,
    MMQASpec,
    ModelSpec,
    UIRSpec,
)
from mnv4_mobile.parity import sqnr_db
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import BuildSpec, Lowered, check_recipe, feed
from mnv4_tflite import target

pytestmark = pytest.mark.toolchain("tflite")

LABELS = tuple(f"class {i}" for i in range(1000))


def attention(channels: int, heads: int, pool: int | None, kv: int | None) -> MMQASpec:
    return MMQASpec(
        out_channels=channels,
        attention_channels=4 * channels,
        num_heads=heads,
        query_pooling_stride=pool,
        kv_kernel_size=3 if kv else None,
        kv_stride=kv,
    )


def uir(channels: int, extra: int | None, middle: int | None, stride: int) -> UIRSpec:
    return UIRSpec(
        out_channels=channels,
        hidden_channels=2 * channels,
        extra_kernel_size=extra,
        middle_kernel_size=middle,
        stride=stride,
    )


def hybrid(act: str, head_act: str) -> ModelSpec:
    """Every kind of block; its last stage pools the queries of an odd map, 5 x 7."""
    return ModelSpec(
        name="tiny-hybrid",
        stem=ConvSpec(out_channels=8, kernel_size=3, stride=2),
        stages=(
            (FusedIBSpec(out_channels=16, hidden_channels=24, kernel_size=3, stride=2),),
            (attention(16, 2, None, 2), uir(24, 3, 5, 2), uir(24, 5, None, 1)),
            (uir(32, None, 3, 2), attention(32, 4, 2, None), uir(32, None, None, 1)),
        ),
        final=ConvSpec(out_channels=48, kernel_size=1, stride=1),
        head=HeadSpec(hidden_channels=64, num_classes=10, act=head_act),
        act=act,
        layer_scale=1e-5,
        features=(1, 2),
        input_size=(80, 112),
    )


def small(act: str, head_act: str) -> ModelSpec:
    """Few layers, which are quick to lower."""
    return ModelSpec(
        name="small",
        stem=ConvSpec(out_channels=32, kernel_size=3, stride=2),
        stages=(
            (
                FusedIBSpec(out_channels=64, hidden_channels=64, kernel_size=3, stride=2),
                uir(64, 3, None, 1),
            ),
        ),
        final=ConvSpec(out_channels=128, kernel_size=1, stride=1),
        head=HeadSpec(act=head_act),
        act=act,
    )


@dataclasses.dataclass(frozen=True)
class Case:
    """An artifact with everything it came from."""

    net: MobileNetV4
    program: torch.export.ExportedProgram
    spec: BuildSpec
    lowered: Lowered

    def lower(self, recipe: str, out: Path, **options) -> Lowered:
        spec = dataclasses.replace(self.spec, **options)
        return target.lower(self.program, spec, load_recipe(recipe), out)


def build(out: Path, recipe: str, model: ModelSpec, size: tuple[int, int], **options) -> Case:
    preprocess = Preprocess(
        size=size, crop=1, interpolation="bilinear", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5)
    )
    spec = BuildSpec(model=model, preprocess=preprocess, **options)
    net = MobileNetV4(model, spec.outputs)
    net.load_state_dict(random_state(model, 0))
    pixels = spec.input == "pixels"
    deploy = DeployNet(net.eval(), size, target.attention, preprocess if pixels else None)
    x = torch.zeros((spec.batch, 3, *size), dtype=torch.uint8 if pixels else torch.float32)
    program = torch.export.export(deploy, (x,))
    target.check(spec, load_recipe(recipe))
    return Case(net, program, spec, target.lower(program, spec, load_recipe(recipe), out))


@pytest.fixture(scope="session")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tflite")


@pytest.fixture(scope="session")
def conv(folder) -> Case:
    """A shipped network with labels."""
    model = load_model("conv-small-035")
    return build(folder / "conv.tflite", "fp32", model, (64, 96), labels=LABELS)


@pytest.fixture(scope="session")
def maps(folder) -> Case:
    """Every kind of block and output, the outputs in an order of their own; a batch of 2."""
    outputs = ("stage_2", "probabilities", "stage_1", "embedding", "logits")
    model = hybrid("gelu", "hard_swish")
    return build(folder / "maps.tflite", "fp32", model, (80, 112), outputs=outputs, batch=2)


@pytest.fixture(scope="session")
def half(folder) -> Case:
    """Float16 weights, bytes in."""
    model = small("leaky_relu", "silu")
    return build(folder / "half.tflite", "fp16", model, (32, 64), input="pixels")


@pytest.fixture(scope="session")
def few(folder) -> Case:
    return build(folder / "few.tflite", "fp32", small("relu6", "relu6"), (32, 64))


RUN = """
import json, sys
from pathlib import Path
import numpy as np
from mnv4_tflite import target
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter

session = target.open(Path(sys.argv[1]), 1)
np.savez(sys.argv[3], **session(dict(np.load(sys.argv[2]))))
heavy = [name for name in ("torch", "litert_torch", "tensorflow") if name in sys.modules]
interpreter = Interpreter(sys.argv[1])
tensors = [d["name"] for d in interpreter.get_input_details() + interpreter.get_output_details()]
print(json.dumps({
    "heavy": heavy,
    "signatures": interpreter.get_signature_list(),
    "tensors": tensors,
    "layers": [d["name"] for d in interpreter.get_tensor_details()],
    "delegated": CompiledModel.from_file(sys.argv[1]).is_fully_accelerated(),
}))
"""


def run(case: Case) -> tuple[dict, dict[str, float]]:
    """What the runtime says about an artifact, and how close it comes to the network, in dB."""
    path, spec = case.lowered.path, case.spec
    pixels = random_images(spec.preprocess, spec.batch, 0)
    inputs, outputs = path.with_suffix(".in.npz"), path.with_suffix(".out.npz")
    np.savez(inputs, **feed(case.lowered.input, pixels, spec.preprocess))
    command = [sys.executable, "-c", RUN, path, inputs, outputs]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    floats = feed(
        dataclasses.replace(case.lowered.input, dtype="float32", layout="nchw"),
        pixels,
        spec.preprocess,
    )
    with torch.no_grad():
        expected = case.net(torch.from_numpy(floats["image"]))
    found = np.load(outputs)
    assert set(found) == {output.name for output in case.lowered.outputs}
    decibel = {}
    for output in case.lowered.outputs:
        reference = expected[output.name].numpy()
        if output.layout == "nhwc":
            reference = np.moveaxis(reference, 1, -1)
        assert found[output.name].shape == output.shape == reference.shape
        assert found[output.name].dtype == output.dtype
        decibel[output.name] = float(sqnr_db(reference, found[output.name]).min())
    return json.loads(done.stdout.splitlines()[-1]), decibel


def test_convolutions_only(conv):
    assert target.operators(conv.lowered.path) == {
        "PAD": 5,
        "CONV_2D": 32,
        "DEPTHWISE_CONV_2D": 15,
        "ADD": 10,
        "MEAN": 1,
        "RESHAPE": 1,
    }
    said, decibel = run(conv)
    assert decibel["logits"] > 100
    assert said["heavy"] == []
    assert said["delegated"]
    assert said["signatures"] == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
    assert conv.lowered.input.shape == (1, 64, 96, 3)
    assert conv.lowered.input.layout == "nhwc"


def test_attention_and_feature_maps_without_transposes(maps):
    found = target.operators(maps.lowered.path)
    assert found.keys().isdisjoint({"TRANSPOSE", "FULLY_CONNECTED", "DEQUANTIZE", "CAST"})
    assert found["BATCH_MATMUL"] == 4
    assert found["RESIZE_BILINEAR"] == 1
    assert found["GELU"] == 9
    said, decibel = run(maps)
    assert said["delegated"]
    assert min(decibel.values()) > 100
    assert said["tensors"] == ["image", *maps.spec.outputs]
    assert tuple(output.name for output in maps.lowered.outputs) == maps.spec.outputs
    assert [output.layout for output in maps.lowered.outputs] == ["nhwc", None, "nhwc", None, None]
    assert {"stem.act", "stages.1.1.middle.conv", "head.conv.act"} <= set(said["layers"])
    assert len(set(said["layers"])) == len(said["layers"])


def test_float16_weights_and_bytes(half):
    found = target.operators(half.lowered.path)
    assert found.keys().isdisjoint({"TRANSPOSE", "QUANTIZE", "FULLY_CONNECTED"})
    assert found["DEQUANTIZE"] == found["CONV_2D"] + found["DEPTHWISE_CONV_2D"]
    assert found["CAST"] == found["SUB"] == 1
    said, decibel = run(half)
    assert decibel["logits"] > 35
    assert half.lowered.input.dtype == "uint8"
    assert half.lowered.input.shape == (1, 32, 64, 3)
    assert not said["delegated"]  # the cast from bytes, and nothing else, is left to the runtime


def test_float16_in_nchw_on_request(few, folder):
    lowered = few.lower("fp16", folder / "nchw.tflite", layout="nchw")
    assert lowered.input.shape == (1, 3, 32, 64)
    assert lowered.input.layout == "nchw"
    assert target.operators(lowered.path)["TRANSPOSE"] == 1
    assert lowered.path.stat().st_size < 0.55 * few.lowered.path.stat().st_size
    said, decibel = run(dataclasses.replace(few, lowered=lowered))
    assert said["delegated"]
    assert decibel["logits"] > 35
    # What lets XNNPACK compute in float16.
    assert b"reduced_precision_support" in lowered.path.read_bytes()
    assert b"reduced_precision_support" not in few.lowered.path.read_bytes()


def test_constants_of_another_order_are_copied():
    """Whether the converter confuses them otherwise is up to the memory allocator."""
    from mnv4_tflite.lower import _make_contiguous

    inner = torch.nn.Conv2d(2, 3, 2)
    inner.weight = torch.nn.Parameter(inner.weight.to(memory_format=torch.channels_last))
    inner.register_buffer("offset", torch.arange(6.0).reshape(2, 3).T)
    outer = torch.nn.Sequential(inner)
    given = {name: tensor.clone() for name, tensor in outer.state_dict().items()}
    offset = inner.offset
    _make_contiguous(outer)
    found = outer.state_dict()
    assert found.keys() == given.keys()
    assert all(torch.equal(found[name], given[name]) for name in given)
    assert all(tensor.is_contiguous() for tensor in found.values())
    assert not offset.is_contiguous()


def test_constants_are_aligned(half):
    from ai_edge_litert.schema_py_generated import Model

    data = np.fromfile(half.lowered.path, np.uint8)
    model = Model.GetRootAs(data, 0)
    buffers = (model.Buffers(index) for index in range(model.BuffersLength()))
    constants = [buffer.DataAsNumpy() for buffer in buffers if buffer.DataLength()]
    assert len(constants) > 10
    assert {(values.ctypes.data - data.ctypes.data) % 16 for values in constants} == {0}


def test_same_bytes_again_and_the_program_as_it_was(few, folder):
    before = few.program.graph_module.code, [n.meta for n in few.program.graph.nodes]
    again = few.lower("fp32", folder / "again.tflite")
    assert again.path.read_bytes() == few.lowered.path.read_bytes()
    after = few.program.graph_module.code, [n.meta for n in few.program.graph.nodes]
    assert after[0] == before[0]
    assert all(a is b for a, b in zip(after[1], before[1], strict=True))
    assert all("DeployNet" in str(meta.get("nn_module_stack", "DeployNet")) for meta in after[1])


def table(parent: Table, slot: int, index: int | None = None) -> Table:
    """A table's field, or an element of it, that is a table."""
    at = parent.Pos + parent.Offset(4 + 2 * slot)
    if index is not None:
        at = parent.Vector(parent.Offset(4 + 2 * slot)) + 4 * index
    return Table(parent.Bytes, parent.Indirect(at))


def text(parent: Table, slot: int) -> str:
    return parent.String(parent.Pos + parent.Offset(4 + 2 * slot)).decode()


def floats(parent: Table, slot: int) -> list[float]:
    offset = parent.Offset(4 + 2 * slot)
    start, length = parent.Vector(offset), parent.VectorLen(offset)
    return list(struct.unpack_from(f"<{length}f", parent.Bytes, start))


def metadata(path: Path) -> Table:
    """The root of the TFLite metadata, read by the slots of metadata_schema.fbs."""
    from ai_edge_litert.schema_py_generated import ModelT

    model = ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    (entry,) = (m for m in model.metadata if m.name == b"TFLITE_METADATA")
    data = model.buffers[entry.buffer].data.tobytes()
    assert data[4:8] == b"M001"
    return Table(data, struct.unpack_from("<I", data)[0])


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [("conv", [127.5, 102, 76.5], [51, 63.75, 127.5]), ("half", [0, 0, 0], [1, 1, 1])],
)
def test_metadata(request, name, mean, std):
    case = request.getfixturevalue(name)
    root = metadata(case.lowered.path)
    assert text(root, 0) == case.spec.model.name
    subgraph = table(root, 3, 0)
    image = table(subgraph, 2, 0)
    assert text(image, 0) == "image"
    size = table(table(table(image, 3), 1), 1)  # content, image properties
    width, height = (size.Get(_uint32(), size.Pos + size.Offset(4 + 2 * s)) for s in (0, 1))
    assert (height, width) == case.spec.preprocess.size
    normalization = table(table(image, 4, 0), 1)
    assert floats(normalization, 0) == pytest.approx(mean)
    assert floats(normalization, 1) == pytest.approx(std)
    logits = table(subgraph, 3, 0)
    assert text(logits, 0) == "logits"
    if case.spec.labels:
        assert text(table(logits, 6, 0), 0) == "labels.txt"
        packed = zipfile.ZipFile(case.lowered.path).read("labels.txt").decode()
        assert tuple(packed.splitlines()) == LABELS
    else:
        assert not logits.Offset(4 + 2 * 6)
        assert not zipfile.is_zipfile(case.lowered.path)


def _uint32():
    from flatbuffers.number_types import Uint32Flags

    return Uint32Flags


def test_what_is_refused(conv):
    spec = dataclasses.replace(conv.spec, io="float16")
    recipe = load_recipe("fp16")
    with pytest.raises(LoweringError, match=r"tflite: io: found 'float16', supported: float32"):
        check_recipe(target, spec, recipe)
    other = dataclasses.replace(recipe, name="int9")
    with pytest.raises(LoweringError, match=r"recipe: found 'int9', supported: fp16, fp32"):
        check_recipe(target, conv.spec, other)


def _opened(path: Path) -> str:
    """How opening an artifact ends, in a process of its own."""
    code = (
        "import sys; from pathlib import Path; from mnv4_tflite import target\n"
        "from mnv4_mobile.errors import MobileError\n"
        "import numpy as np\n"
        "try: target.open(Path(sys.argv[1]), 1)({'image': np.zeros((2, 32, 32, 3), np.float32)})\n"
        "except MobileError as error: print(type(error).__name__, error)"
    )
    command = [sys.executable, "-c", code, path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_unreadable_models_and_wrong_inputs(conv, folder):
    path = folder / "damaged.tflite"
    path.write_bytes(conv.lowered.path.read_bytes()[:10_000])
    assert _opened(path).startswith(f"BundleError {path}: not a readable LiteRT model")
    path.unlink()
    assert _opened(path).startswith(f"BundleError {path}: not a readable LiteRT model")
    assert "must be {'image': ((1, 64, 96, 3), 'float32')}" in _opened(conv.lowered.path)


def test_operators_of_another_file(folder):
    path = folder / "text.tflite"
    path.write_bytes(b"not a model at all")
    with pytest.raises(BundleError, match=r"text.tflite: not a LiteRT model"):
        target.operators(path)


def test_importing_the_target_imports_no_toolchain():
    code = (
        "import sys, mnv4_tflite\n"
        "print([m for m in ('torch', 'litert_torch', 'ai_edge_litert') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
