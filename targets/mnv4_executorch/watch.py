"""Shows the values of a `.pte`'s layers: the same program, whose delegate has more outputs.

XNNPACK logs no values. Its graph in the program is data, so that values inside it can be made
outputs, which the program then returns.
"""

from __future__ import annotations

import copy
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_executorch.lint import graph_of
from mnv4_executorch.pte import KIND, Program
from mnv4_executorch.speedups import (
    extension,
    load_program,
    program_data,
    program_of,
    set_threads,
    with_xnnpack_graph,
    xnnpack_graph,
)
from mnv4_mobile.errors import BundleError, LoweringError, damaged
from mnv4_mobile.tensors import Quantization, Tensors
from mnv4_mobile.watch import Watch, as_nchw, from_nchw, layer_values

_INPUT, _OUTPUT = 1, 2  # XNN_VALUE_FLAG_EXTERNAL_INPUT, XNN_VALUE_FLAG_EXTERNAL_OUTPUT
_NONE = 2**32 - 1  # XNN_INVALID_VALUE_ID
_READ = re.compile(r"input\d*_id")
_ALIGNED = 16  # bytes, of tensors in the runtime's memory
_TYPES = {"xnn_datatype_fp32": "float32", "xnn_datatype_fp16": "float16"} | {
    "xnn_datatype_qint8": "int8"
}
_Run = Callable[[Sequence[npt.NDArray[Any]]], list[npt.NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class _Value:
    """A value of the delegate's graph."""

    dtype: str
    quantization: Quantization | None


def watch(path: Path, layers: Sequence[str], threads: int) -> Watch:
    """Loads a program so that it returns the values of its layers; see `Watchable.watch`."""
    program = Program(path)
    with damaged(path, KIND):
        found = layer_values(graph_of(program, layers), layers)
    delegates = [index for index, call in enumerate(program.calls) if call.delegate is not None]
    if len(delegates) != 1 or any(not n.startswith(f"{delegates[0]}.") for n in found.values()):
        raise LoweringError(
            f"{path}: found {len(delegates)} delegate calls; layers show their values only if all "
            "are in one: build it with a head that XNNPACK takes as a whole (mnv4 lint names the "
            "operators between the calls)"
        )
    places = {layer: int(name.partition(".")[2]) for layer, name in found.items()}
    data = path.read_bytes()

    @cache
    def opened(given: tuple[str, ...]) -> tuple[_Run, dict[str, _Value]]:
        changed, values = _with_ports(data, places, given)
        return _loaded(path, changed, threads), values

    def run(inputs: Tensors, given: Tensors) -> dict[str, npt.NDArray[Any]]:
        forward, values = opened(tuple(layer for layer in places if layer in given))
        (image,) = inputs.values()
        fed = [
            from_nchw(given[layer], "nhwc", values[layer].dtype, values[layer].quantization)
            for layer in places
            if layer in given
        ]
        returned = forward([image, *fed])
        return {
            layer: as_nchw(value, "nhwc", values[layer].quantization)
            for layer, value in zip(places, returned, strict=True)
        }

    return run


def _with_ports(
    data: bytes, places: Mapping[str, int], given: Sequence[str]
) -> tuple[bytes, dict[str, _Value]]:
    """Returns a program that takes the given layers as further inputs, and returns all layers.

    Args:
        data: The program, with one delegate.
        places: The number of each layer's value in the delegate's graph.
        given: The layers whose readers read an input instead.

    Returns:
        The program, and how it keeps the layers.
    """
    from executorch.exir import schema

    file = program_of(data)
    (plan,) = (one for one in file.program.execution_plan if one.name == "forward")
    (call,) = (
        one.instr_args
        for chain in plan.chains
        for one in chain.instructions
        if isinstance(one.instr_args, schema.DelegateCall)
    )
    held = file.program.backend_delegate_data[plan.delegates[call.delegate_index].processed.index]
    graph = xnnpack_graph(bytes(held.data))
    tensors = {_tensor(entry)["id_out"]: entry for entry in graph["xvalues"]}

    def added(entry: dict[str, Any], flag: int) -> int:
        """Makes a value an input or output of the delegate; returns its number in the program."""
        tensor = _tensor(entry)
        tensor["external_id"], tensor["flags"] = graph["num_externs"], tensor["flags"] | flag
        graph["num_externs"] += 1
        graph["input_ids" if flag == _INPUT else "output_ids"].append(tensor["id_out"])
        dtype = _TYPES[tensor["datatype"]]
        offset = plan.non_const_buffer_sizes[1]
        size = prod(tensor["dims"]) * np.dtype(dtype).itemsize
        plan.non_const_buffer_sizes[1] += size + -size % _ALIGNED
        kind = {"float32": "FLOAT", "float16": "HALF", "int8": "CHAR"}[dtype]
        made = schema.Tensor(
            scalar_type=schema.ScalarType[kind],
            storage_offset=0,
            sizes=tensor["dims"],
            dim_order=list(range(len(tensor["dims"]))),
            requires_grad=False,
            layout=0,
            data_buffer_idx=0,
            allocation_info=schema.AllocationDetails(
                memory_id=1,
                memory_offset_low=offset & _NONE,
                memory_offset_high=offset >> 32,
            ),
            shape_dynamism=schema.TensorShapeDynamism.STATIC,
        )
        call.args.append(len(plan.values))
        plan.values.append(schema.EValue(val=made))
        return len(plan.values) - 1

    plan.non_const_buffer_sizes[1] += -plan.non_const_buffer_sizes[1] % _ALIGNED
    for layer in given:
        entry = copy.deepcopy(tensors[places[layer]])
        _tensor(entry)["id_out"] = number = 1 + max(_tensor(x)["id_out"] for x in graph["xvalues"])
        graph["xvalues"].append(entry)
        for node in graph["xnodes"]:
            union = node["xnode_union"]
            for key in filter(_READ.fullmatch, union):
                if union[key] == places[layer]:
                    union[key] = number
        plan.inputs.append(added(entry, _INPUT))
    plan.outputs = [added(tensors[place], _OUTPUT) for place in places.values()]
    held.data = with_xnnpack_graph(bytes(held.data), graph)
    kept = {layer: _value(tensors[place]) for layer, place in places.items()}
    return program_data(file), kept


def _tensor(entry: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of a value that quantized and float ones share."""
    union: dict[str, Any] = entry["xvalue_union"]
    tensor: dict[str, Any] = union.get("tensor_value", union)
    return tensor


def _value(entry: dict[str, Any]) -> _Value:
    grid = entry["xvalue_union"].get("quant_params")
    return _Value(
        dtype=_TYPES[_tensor(entry)["datatype"]],
        quantization=Quantization(scale=grid["scale"], zero_point=grid["zero_point"])
        if grid
        else None,
    )


def _loaded(path: Path, data: bytes, threads: int) -> _Run:
    """Loads a program; the inputs and outputs are in its order."""
    import torch

    runtime = extension()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, path.name)
        file.write_bytes(data)
        try:
            program = load_program(runtime, str(file), profiled=False)
            set_threads(runtime, threads)
            forward = program.load_method("forward")
        except RuntimeError as error:
            raise BundleError(f"{path}: cannot be loaded with more outputs: {error}") from None

    def run(arrays: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        values = forward.call([torch.from_numpy(np.ascontiguousarray(x)) for x in arrays])
        return [value.numpy().copy() for value in values]  # the runtime's own buffers

    return run
