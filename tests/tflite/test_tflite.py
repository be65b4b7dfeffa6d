"""The LiteRT target, on small networks."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mnv4_mobile.errors import BundleError, LoweringError
from mnv4_mobile.recipe import Weights, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import check_recipe
from mnv4_tflite import target
from mnv4_tflite.flatbuffer import kinds, read_model

pytestmark = pytest.mark.toolchain("tflite")


def test_convolutions_only(conv):
    assert target.operators(conv.lowered.path) == {
        "PAD": 5,
        "CONV_2D": 32,
        "DEPTHWISE_CONV_2D": 15,
        "ADD": 10,
        "MEAN": 1,
        "RESHAPE": 1,
    }
    said, decibel = conv.run()
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
    said, decibel = maps.run()
    assert said["delegated"]
    assert min(decibel.values()) > 100
    assert said["tensors"] == ["image", *maps.spec.outputs]
    assert tuple(output.name for output in maps.lowered.outputs) == maps.spec.outputs
    assert [output.layout for output in maps.lowered.outputs] == ["nhwc", None, "nhwc", None, None]
    assert {"stem.act", "stages.1.1.middle.conv", "head.conv.act"} <= set(said["layers"])
    assert len(set(said["layers"])) == len(said["layers"])
    # Some GPUs compute products of rank 3 wrongly.
    model = read_model(maps.lowered.path.read_bytes())
    graph = model.subgraphs[0]
    products = (
        operator
        for kind, operator in zip(kinds(model), graph.operators, strict=True)
        if kind == "BATCH_MATMUL"
    )
    ranks = {len(graph.tensors[i].shape) for one in products for i in (*one.inputs, *one.outputs)}
    assert ranks == {4}


def test_float16_weights_and_bytes(half):
    found = target.operators(half.lowered.path)
    assert found.keys().isdisjoint({"TRANSPOSE", "QUANTIZE", "FULLY_CONNECTED"})
    assert found["DEQUANTIZE"] == found["CONV_2D"] + found["DEPTHWISE_CONV_2D"]
    assert found["CAST"] == found["SUB"] == 1
    said, decibel = half.run()
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
    said, decibel = replace(few, lowered=lowered).run()
    assert said["delegated"]
    assert decibel["logits"] > 35
    # What lets XNNPACK compute in float16.
    assert b"reduced_precision_support" in lowered.path.read_bytes()
    assert b"reduced_precision_support" not in few.lowered.path.read_bytes()


def test_constants_of_another_order_are_copied():
    """Whether the converter confuses them otherwise is up to the memory allocator."""
    from mnv4_tflite.lower import _laid_out

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(2, 3, 2).to(memory_format=torch.channels_last)
            self.register_buffer("offset", torch.arange(6.0).reshape(2, 3).T)

        def forward(self, x):
            return {"logits": self.conv(x).mean(3) + self.offset}

    image = torch.zeros(1, 2, 3, 4)
    given = torch.export.export(Net().requires_grad_(False), (image,))
    found = _laid_out(given, "nchw", image).state_dict
    assert found.keys() == given.state_dict.keys()
    for name, tensor in given.state_dict.items():
        assert torch.equal(found[name], tensor)
        assert found[name].is_contiguous()
        assert name == "conv.bias" or not tensor.is_contiguous()


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


def test_what_is_refused(conv):
    spec = replace(conv.spec, io="float16")
    recipe = load_recipe("fp16")
    with pytest.raises(LoweringError, match=r"tflite: io: found 'float16', supported: float32"):
        check_recipe(target, spec, recipe)
    other = replace(recipe, weights=Weights(bits=4))
    with pytest.raises(LoweringError, match=r"found 'int4-weights', supported: fp16, fp32, int8"):
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
