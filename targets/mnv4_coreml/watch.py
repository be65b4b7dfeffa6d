"""Shows the values of an `.mlpackage`'s layers, as the interpreter computes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_coreml.lint import graph_of
from mnv4_coreml.mil import Program
from mnv4_coreml.mil.saved import SavedModel, Value
from mnv4_mobile.errors import damaged
from mnv4_mobile.tensors import Tensors
from mnv4_mobile.watch import Watch, as_nchw, from_nchw, layer_values


def watch(path: Path, layers: Sequence[str]) -> Watch:
    """Loads a package so that it returns the values of its layers; see `Watchable.watch`."""
    model = SavedModel(path)
    with damaged(model.path, "program"):
        names = layer_values(graph_of(model, layers), layers)
    program, layer_of = Program(path), {name: layer for layer, name in names.items()}

    def run(inputs: Tensors, given: Tensors) -> dict[str, npt.NDArray[Any]]:
        found: dict[str, npt.NDArray[Any]] = {}

        def see(name: str, value: Value) -> Value:
            layer = layer_of.get(name)
            if layer is None:
                return value
            assert isinstance(value, np.ndarray)
            found[layer] = as_nchw(value, "nchw")
            return from_nchw(given[layer], "nchw", value.dtype.name) if layer in given else value

        program(inputs, see)
        return found

    return run
