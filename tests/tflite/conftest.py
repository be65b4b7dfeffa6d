"""Small networks lowered to LiteRT, and a way to run them in a process of their own.

LiteRT's and ExecuTorch's runtimes do not share a process, and the other target's tests may be here.
"""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mnv4_mobile import records
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.images import Preprocess, random_images
from mnv4_mobile.model.deploy import DeployNet
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.model.spec import ConvSpec, HeadSpec, ModelSpec
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Lowered
from mnv4_mobile.tensors import answer, feed
from mnv4_tflite import target
from tests.blocks import fused, mmqa, uir

LABELS = tuple(f"class {i}" for i in range(1000))


def hybrid(act: str, head_act: str) -> ModelSpec:
    """Every kind of block; its last stage pools the queries of an odd map, 5 x 7."""
    return ModelSpec(
        name="tiny-hybrid",
        stem=ConvSpec(out_channels=8, kernel_size=3, stride=2),
        stages=(
            (fused(16, 24, stride=2),),
            (mmqa(16, 64, 2, None, 3), uir(24, 48, 3, 5, 2), uir(24, 48, 5, None)),
            (uir(32, 64, None, 3, 2), mmqa(32, 128, 4, 2), uir(32, 64, None, None)),
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
        stages=((fused(64, 64, stride=2), uir(64, 128, 3, None)),),
        final=ConvSpec(out_channels=128, kernel_size=1, stride=1),
        head=HeadSpec(act=head_act),
        act=act,
    )


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


@dataclasses.dataclass(frozen=True)
class Case:
    """An artifact with everything it came from."""

    net: MobileNetV4
    program: torch.export.ExportedProgram
    spec: BuildSpec
    lowered: Lowered

    def lower(self, recipe: str, out: Path, **options) -> Lowered:
        spec = replace(self.spec, **options)
        return target.lower(self.program, spec, load_recipe(recipe), None, out)

    def run(self) -> tuple[dict, dict[str, float]]:
        """What the runtime says about an artifact, and how close it comes to the network, in dB."""
        path, spec = self.lowered.path, self.spec
        pixels = random_images(spec.preprocess, spec.batch, 0)
        inputs, outputs = path.with_suffix(".in.npz"), path.with_suffix(".out.npz")
        np.savez(inputs, **feed(self.lowered.input, pixels, spec.preprocess))
        command = [sys.executable, "-c", RUN, path, inputs, outputs]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        floats = feed(
            records.replace(self.lowered.input, dtype="float32", layout="nchw", quantization=None),
            pixels,
            spec.preprocess,
        )
        with torch.no_grad():
            expected = self.net(torch.from_numpy(floats["image"]))
        found = np.load(outputs)
        assert set(found) == {output.name for output in self.lowered.outputs}
        decibel = {}
        for output in self.lowered.outputs:
            reference = expected[output.name].numpy()
            if output.layout == "nhwc":
                reference = np.moveaxis(reference, 1, -1)
            assert found[output.name].shape == output.shape == reference.shape
            assert found[output.name].dtype == output.dtype
            floats = answer([output], found, "test")[output.name]
            decibel[output.name] = float(sqnr_db(reference, floats).min())
        return json.loads(done.stdout.splitlines()[-1]), decibel


def build(out: Path, recipe: str, model: ModelSpec, size: tuple[int, int], **options) -> Case:
    preprocess = Preprocess(
        size=size, crop=1, interpolation="bilinear", mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.5)
    )
    spec = BuildSpec(model=model, preprocess=preprocess, **options)
    net = MobileNetV4(model, spec.outputs)
    net.load_state_dict(random_state(model, 0))
    pixels = spec.input == "pixels"
    deploy = DeployNet(net.eval(), size, "nhwc", preprocess if pixels else None)
    x = torch.zeros((spec.batch, 3, *size), dtype=torch.uint8 if pixels else torch.float32)
    program = torch.export.export(deploy, (x,))
    target.check(spec, load_recipe(recipe))
    return Case(net, program, spec, target.lower(program, spec, load_recipe(recipe), None, out))


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
