"""Runs a `.tflite` through the Python runtime, on the CPU with XNNPACK."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mnv4_mobile.errors import BundleError
from mnv4_mobile.target import Session
from mnv4_mobile.tensors import Tensors, check_inputs
from mnv4_tflite.reader import input_sizes


def open_session(path: Path, threads: int) -> Session:
    """Loads a model; inputs and outputs have the names of its only signature.

    A model without a signature, from elsewhere, has the names of its tensors.

    Raises:
        BundleError: The model is missing or damaged, or has several signatures.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_path=str(path), num_threads=threads)
        interpreter.allocate_tensors()
        if interpreter.get_signature_list():
            runner = interpreter.get_signature_runner()
            details = runner.get_input_details()
        else:
            runner = partial(_invoke, interpreter)
            details = {detail["name"]: detail for detail in interpreter.get_input_details()}
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{path}: not a readable LiteRT model: {error}") from None
    expected = {
        name: (tuple(detail["shape"].tolist()), detail["dtype"].__name__)
        for name, detail in details.items()
    }
    others = [
        {name: (shape, dtype) for name, (_, dtype) in expected.items()}
        for shape in input_sizes(path)
    ]

    def run(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
        # Without this check, the runtime would try to resize the model to any shape.
        check_inputs(path, tensors, expected, *others)
        outputs: dict[str, npt.NDArray[Any]] = runner(**tensors)
        return outputs

    return run


def _invoke(interpreter: Any, **tensors: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Runs a model without a signature."""
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], tensors[detail["name"]])
    interpreter.invoke()
    return {
        detail["name"]: interpreter.get_tensor(detail["index"])
        for detail in interpreter.get_output_details()
    }
