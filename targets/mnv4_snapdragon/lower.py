"""Lowers programs to `.tflite` files for a Snapdragon's NPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from torch.export import ExportedProgram

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import LoweringError
from mnv4_mobile.files import write_bytes
from mnv4_mobile.layers import Layer
from mnv4_mobile.recipe import INT16, Recipe
from mnv4_mobile.target import Images, Lowered
from mnv4_snapdragon.compiled import (
    DISPATCH,
    SOURCE,
    layer_of,
    outside,
    program_of,
    read_compiled,
)
from mnv4_snapdragon.socs import LITERT_QAIRT, SOCS, release
from mnv4_snapdragon.speedups import compiled
from mnv4_tflite import lower as tflite
from mnv4_tflite.flatbuffer import pack, read_model, write_model

WEIGHTS_ALONE = INT16
"""The scheme for weights whose activations a recipe keeps in float. Qualcomm's compiler takes no
int8 weights with float activations, neither ranges found while running nor a scale per channel."""


def lower(
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images | None,
    out: Path,
) -> Lowered:
    """Lowers a deploy form to the file `out`; see `Target.lower`.

    Raises:
        LoweringError: The NPU does not take an operator, or Qualcomm's compiler failed.
    """
    soc = str(spec.options["soc"])
    with TemporaryDirectory(prefix="mnv4-snapdragon-") as name:
        plain = Path(name) / "plain.tflite"
        lowered = tflite.lower(
            program, spec, recipe, calibration, plain, weights_alone=WEIGHTS_ALONE
        )
        model = read_model(plain.read_bytes())
        if spec.input == "pixels":
            _bytes_as_integers(model)
        _unsigned(model)
        plain.write_bytes(write_model(model))
        made = compiled(plain, soc, Path(name))
        whole = read_compiled(made)
        on_cpu = {layer_of(whole, step): step.kind for step in outside(whole)}
        left = [f"{kind} {layer}" for layer, kind in on_cpu.items()]
        if left and not spec.options["partial"]:
            raise LoweringError(
                f"snapdragon: soc {soc}: the NPU does not take {', '.join(left)}; "
                "--set snapdragon.partial=true leaves them to the CPU"
            )
        (step, *_) = (step for step in whole.steps if step.kind == DISPATCH)
        qairt = program_of(made, step).qairt
        # The compiler drops the class names, which are packed after the model.
        data = tflite.with_labels(made.read_bytes(), spec)
        if spec.options["watchable"]:
            data = pack(data, SOURCE, plain.read_bytes())
        write_bytes(out, data)
    return replace(
        lowered,
        path=out,
        layers=tuple(_on_npu(one) if one.name not in on_cpu else one for one in lowered.layers),
        requires={
            "soc": soc,
            "htp": SOCS[soc],
            "qairt": qairt,
            "litert_qairt": LITERT_QAIRT,
        },
        notes=(*lowered.notes, *_notes(left, qairt)),
    )


def _on_npu(layer: Layer) -> Layer:
    """Returns a layer as the NPU computes it, which has no float32."""
    if layer.precision != "float32":
        return layer
    return Layer(name=layer.name, precision="float16", why=layer.why)


def _bytes_as_integers(model: Any) -> None:
    """Makes a model (`ModelT`) read its bytes as integers with a scale of 1: the same numbers.

    Qualcomm's compiler takes a CAST of bytes without a scale, and computes something else.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    (image,) = graph.inputs
    (cast,) = (operator for operator in graph.operators if image in operator.inputs)
    code, parameters = schema.OperatorCodeT(), schema.QuantizationParametersT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.DEQUANTIZE
    code.version = 2  # the first version with 8 bits
    parameters.scale, parameters.zeroPoint = np.array([1], np.float32), np.array([0], np.int64)
    graph.tensors[image].quantization = parameters
    cast.opcodeIndex, cast.builtinOptions, cast.builtinOptionsType = (
        len(model.operatorCodes),
        None,
        schema.BuiltinOptions.NONE,
    )
    model.operatorCodes.append(code)


def _unsigned(model: Any) -> None:
    """Gives a model (`ModelT`) the integers of 16 bits that Qualcomm's compiler takes everywhere.

    Its depthwise convolutions and paddings take activations of 16 bits without a sign only, and
    biases of 32 bits; LiteRT's have a sign and biases of 64 bits.
    """
    from ai_edge_litert import schema_py_generated as schema

    kinds = schema.TensorType
    graph = model.subgraphs[0]
    for tensor in graph.tensors:
        if tensor.type == kinds.INT16:
            tensor.type = kinds.UINT16
            tensor.quantization.zeroPoint = np.array([1 << 15], np.int64)
    for operator in graph.operators:
        for index in operator.inputs[2:3]:
            bias = graph.tensors[index]
            if bias.type == kinds.INT64:
                _shorten(model, bias, graph.tensors[operator.inputs[1]])


def _shorten(model: Any, bias: Any, weights: Any) -> None:
    """Makes a bias one of 32 bits.

    Where it does not fit, the channel's weights are next to zero (the bias is 500 times what they
    can add to it): bias and weights get a scale that is coarser by a power of two.
    """
    from ai_edge_litert import schema_py_generated as schema

    def set_values(tensor: Any, values: Any, dtype: type) -> None:
        buffer = schema.BufferT()  # a new one: tensors may share the old one
        buffer.data = np.frombuffer(np.rint(values).astype(dtype).tobytes(), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1

    long = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int64)
    factor = 2.0 ** np.maximum(np.frexp(np.abs(long).astype(float))[1] - 31, 0)
    set_values(bias, long / factor, np.int32)
    bias.type = schema.TensorType.INT32
    if (factor > 1).any():
        axis = weights.quantization.quantizedDimension
        by_channel = [-1 if place == axis else 1 for place in range(len(weights.shape))]
        finer = np.frombuffer(bytes(model.buffers[weights.buffer].data), np.int8)
        set_values(weights, finer.reshape(weights.shape) / factor.reshape(by_channel), np.int8)
        for one in (bias, weights):
            one.quantization.scale = (one.quantization.scale * factor).astype(np.float32)


def _notes(left: list[str], qairt: str) -> list[str]:
    """Returns messages about what may go wrong on the phone."""
    found = [f"on the CPU, not the NPU: {', '.join(left)}"] if left else []
    if release(qairt) > release(LITERT_QAIRT):
        found.append(
            f"compiled with QAIRT {qairt}, and LiteRT 2.3 brings {LITERT_QAIRT} to phones, which "
            "refuses newer programs: ship the newer libraries, or install an older onnxruntime-qnn"
        )
    return found
