"""Exports to runtimes that this project has no target for, and runs their artifacts.

They are no dependencies of this project. To measure them, install them beside it:

    uv pip install -c constraints.txt onnxscript pnnx ncnn MNN

Each export is the one that the runtime's own documentation shows for a PyTorch module. It gets the
module, normalised images (1, 3, H, W), `fp32` or `int8`, and the path of the artifact. int8
calibrates with the images; otherwise the first one gives the shape.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

Floats = npt.NDArray[np.float32]


class Opened(NamedTuple):
    """An opened artifact, in three steps; only `run` is timed."""

    feed: Callable[[Floats], Any]
    """Makes the runtime's input of a normalised image (1, 3, H, W)."""
    run: Callable[[Any], Any]
    read: Callable[[Any], Floats]
    """Returns the logits (1, classes) of what `run` returned."""


def onnx(model: nn.Module, images: list[Tensor], recipe: str, out: Path) -> None:
    """Writes an ONNX model; int8 is ONNX Runtime's static quantization in QDQ form."""
    program = torch.onnx.export(
        model, (images[0],), dynamo=True, input_names=["image"], output_names=["logits"]
    )
    assert program is not None
    program.save(str(out))
    if recipe == "fp32":
        return
    from onnxruntime.quantization import CalibrationDataReader, quant_pre_process, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.images = iter(images)

        def get_next(self) -> dict[str, Floats] | None:
            found = next(self.images, None)
            return None if found is None else {"image": found.numpy()}

    with TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(out), str(prepared))
        quantize_static(str(prepared), str(out), Reader(), per_channel=True)


def ncnn(model: nn.Module, images: list[Tensor], recipe: str, out: Path) -> None:
    """Writes a folder with ncnn's two files, through pnnx, in fp32.

    ncnn's wheel lacks the tools for int8 (`ncnn2table`, `ncnn2int8`).
    """
    assert recipe == "fp32"
    import pnnx

    out.mkdir()
    pnnx.export(model, str(out / "model.pt"), (images[0],), fp16=False)
    for path in out.iterdir():
        if path.name not in ("model.ncnn.param", "model.ncnn.bin"):
            path.unlink()


def mnn(model: nn.Module, images: list[Tensor], recipe: str, out: Path) -> None:
    """Writes an MNN model from an ONNX one; int8 is only the weights.

    Integer activations need `mnnquant`, which ends with `std::length_error` in the wheel of 3.6.1.
    """
    with TemporaryDirectory() as name:
        file = Path(name) / "model.onnx"
        onnx(model, images, "fp32", file)
        arguments = ["-f", "ONNX", "--modelFile", str(file), "--MNNModel", str(out)]
        arguments += ["--bizCode", "mnn", *(["--weightQuantBits", "8"] if recipe == "int8" else [])]
        # Not MNN's command: it installs a package with the first `pip` on the path, and reports to
        # a server. In a process of its own, which an error ends.
        call = "import sys, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"
        subprocess.run([sys.executable, "-c", call, *arguments], check=True)


def open_onnx(path: Path, threads: int) -> Opened:
    """Opens an ONNX model in ONNX Runtime's CPU provider."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # On x86-64 without VNNI, int8 saturates otherwise: conv-small loses 12 dB.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    return Opened(
        feed=lambda image: {"image": image},
        run=lambda inputs: session.run(None, inputs),
        read=lambda outputs: outputs[0],
    )


def open_ncnn(path: Path, threads: int) -> Opened:
    """Opens ncnn's two files."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    # By default ncnn keeps weights and maps in float16, which costs 50 dB.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.load_param(str(path / "model.ncnn.param"))
    net.load_model(str(path / "model.ncnn.bin"))

    def run(image: Any) -> Any:
        extractor = net.create_extractor()
        extractor.input("in0", image)
        return extractor.extract("out0")[1]

    return Opened(
        feed=lambda image: ncnn.Mat(image[0]), run=run, read=lambda logits: np.array(logits)[None]
    )


def open_mnn(path: Path, threads: int) -> Opened:
    """Opens an MNN model on the CPU, in float32."""
    import MNN

    settings: Any = {"backend": "CPU", "numThread": threads, "precision": "high"}
    manager = MNN.nn.create_runtime_manager((settings,))
    module = MNN.nn.load_module_from_file(str(path), ["image"], ["logits"], runtime_manager=manager)
    return Opened(
        feed=lambda image: MNN.expr.const(image, image.shape, MNN.expr.NCHW),
        run=lambda image: module.forward([image])[0].read(),
        read=lambda logits: np.array(logits),
    )
