"""Shows the values of a `.tflite`'s layers: the same model, with more outputs.

The interpreter can keep all tensors, but then it runs without XNNPACK, and so other kernels than
the artifact's. With more outputs, the delegate and the GPU run what they run otherwise.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import damaged
from mnv4_mobile.target import Session
from mnv4_mobile.tensors import Tensors
from mnv4_mobile.watch import Watch, as_nchw, from_nchw, layer_values
from mnv4_tflite.flatbuffer import read_model, write_model
from mnv4_tflite.integer_io import grid
from mnv4_tflite.lint import graph_of
from mnv4_tflite.reader import KIND, Model


def watch(path: Path, layers: Sequence[str], open_: Callable[[Path], Session]) -> Watch:
    """Loads a model so that it returns the values of its layers; see `Watchable.watch`.

    Args:
        path: The model.
        layers: Names of the network's convolutions in the order in which they run.
        open_: Opens the changed model on the unit that was asked for.
    """
    model = Model(path)
    with damaged(path, KIND):
        numbers = {
            layer: int(number)
            for layer, number in layer_values(graph_of(model, layers), layers).items()
        }
    types = {layer: model.tensors[number].dtype for layer, number in numbers.items()}
    ports = {layer: model.names.get(number, layer) for layer, number in numbers.items()}
    data = path.read_bytes()
    whole = read_model(data)
    grids = {layer: grid(whole, number) for layer, number in numbers.items()}

    @cache
    def opened(given: frozenset[str]) -> Session:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, path.name)
            file.write_bytes(_with_ports(data, numbers, given))
            return open_(file)

    def run(inputs: Tensors, given: Tensors) -> dict[str, npt.NDArray[Any]]:
        known = {layer: given[layer] for layer in numbers if layer in given}
        fed = {
            layer: from_nchw(value, "nhwc", types[layer], grids[layer])
            for layer, value in known.items()
        }
        found = opened(frozenset(known))({**inputs, **fed})
        return {layer: as_nchw(found[ports[layer]], "nhwc", grids[layer]) for layer in numbers}

    return run


def _with_ports(data: bytes, numbers: Mapping[str, int], given: Collection[str]) -> bytes:
    """Returns a model that also returns the layers, and takes the given ones as inputs.

    Args:
        data: The model.
        numbers: The tensor of each layer.
        given: The layers whose readers read an input instead.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = read_model(data)
    graph = model.subgraphs[0]
    (signature,) = model.signatureDefs

    def port(name: str, number: int) -> Any:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), number
        return entry

    instead: dict[int, int] = {}
    for layer in given:
        fed = copy.copy(graph.tensors[numbers[layer]])
        fed.name, fed.buffer = f"given;{layer}".encode(), 0
        instead[numbers[layer]] = len(graph.tensors)
        signature.inputs.append(port(layer, len(graph.tensors)))
        graph.tensors.append(fed)
    for operator in graph.operators:
        operator.inputs = np.array([instead.get(i, i) for i in operator.inputs], np.int32)
    known = {entry.tensorIndex for entry in signature.outputs}
    signature.outputs += [port(layer, n) for layer, n in numbers.items() if n not in known]
    graph.inputs, graph.outputs = (
        np.array([entry.tensorIndex for entry in ports], np.int32)
        for ports in (signature.inputs, signature.outputs)
    )
    return write_model(model)
