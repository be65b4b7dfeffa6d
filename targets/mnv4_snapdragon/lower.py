"""Lowers programs to `.tflite` files for a Snapdragon's NPU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch.export import ExportedProgram

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import LoweringError
from mnv4_mobile.files import write_bytes
from mnv4_mobile.layers import Layer
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import Images, Lowered
from mnv4_snapdragon.compiled import DISPATCH, layer_of, outside, program_of, read_compiled
from mnv4_snapdragon.socs import LITERT_QAIRT, SOCS, release
from mnv4_snapdragon.speedups import compiled
from mnv4_tflite import lower as tflite
from mnv4_tflite.flatbuffer import read_model, write_model

WEIGHTS_ALONE = tflite.WIDE
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
        if spec.input == "pixels":
            plain.write_bytes(_bytes_as_integers(plain.read_bytes()))
        made = compiled(plain, soc, Path(name))
        model = read_compiled(made)
        on_cpu = {layer_of(model, step): step.kind for step in outside(model)}
        left = [f"{kind} {layer}" for layer, kind in on_cpu.items()]
        if left and not spec.options["partial"]:
            raise LoweringError(
                f"snapdragon: soc {soc}: the NPU does not take {', '.join(left)}; "
                "--set snapdragon.partial=true leaves them to the CPU"
            )
        (step, *_) = (step for step in model.steps if step.kind == DISPATCH)
        qairt = program_of(made, step).qairt
        # The compiler drops the class names, which are packed after the model.
        write_bytes(out, tflite.with_labels(made.read_bytes(), spec))
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


def _bytes_as_integers(data: bytes) -> bytes:
    """Makes a model read its bytes as integers with a scale of 1, which are the same numbers.

    Qualcomm's compiler takes a CAST of bytes without a scale, and computes something else.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = read_model(data)
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
    return write_model(model)


def _notes(left: list[str], qairt: str) -> list[str]:
    """Returns messages about what may go wrong on the phone."""
    found = [f"on the CPU, not the NPU: {', '.join(left)}"] if left else []
    if release(qairt) > release(LITERT_QAIRT):
        found.append(
            f"compiled with QAIRT {qairt}, and LiteRT 2.3 brings {LITERT_QAIRT} to phones, which "
            "refuses newer programs: ship the newer libraries, or install an older onnxruntime-qnn"
        )
    return found
