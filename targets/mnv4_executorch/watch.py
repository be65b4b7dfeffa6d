"""Shows the values of a `.pte`'s layers: the same program, whose delegates have more outputs.

XNNPACK logs no values. Its graphs in the program are data, so that values inside them can be made
outputs, which the program then returns. Layers outside XNNPACK have no values here: they share
memory that the program plans.
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
    if outside := [call.name for call in program.calls if "conv" in call.name]:
        raise LoweringError(
            f"{path}: found {outside[0]} outside XNNPACK, so that convolutions cannot be told apart"
        )
    with damaged(path, KIND):
        found = layer_values(graph_of(program, layers), layers)
        parts = {layer: name.split(".") for layer, name in found.items()}
        places = {layer: (int(one[0]), int(one[1])) for layer, one in parts.items() if one[1:]}
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


class _Delegate:
    """A delegate call of a method, and the graph that it runs."""

    def __init__(self, plan: Any, call: Any, held: Any) -> None:
        self.plan, self.call, self._held = plan, call, held
        self.graph = xnnpack_graph(bytes(held.data))
        self.tensors = {_tensor(entry)["id_out"]: entry for entry in self.graph["xvalues"]}

    def give(self, place: int) -> tuple[int | None, int]:
        """Makes what reads a value read a new input instead.

        Returns:
            The value's number in the program, if it leaves the delegate, and the input's.
        """
        tensor, entry = _tensor(self.tensors[place]), self._another(place)
        for node in self.graph["xnodes"]:
            union = node["xnode_union"]
            for key in filter(_READ.fullmatch, union):
                if union[key] == place:
                    union[key] = _tensor(entry)["id_out"]
        outside = self.call.args[tensor["external_id"]] if tensor["flags"] & _OUTPUT else None
        return outside, self._port(entry, _INPUT)

    def show(self, place: int) -> int:
        """Makes a value an output; returns its number in the program."""
        entry = self.tensors[place]
        if _tensor(entry)["flags"] & _OUTPUT:  # what follows in the program reads that one
            entry = self._another(place)
            copied = {"input_id": place, "output_id": _tensor(entry)["id_out"], "flags": 0}
            node = {"xnode_union_type": "XNNCopy", "xnode_union": copied, "debug_handle": 0}
            self.graph["xnodes"].append(node)
        return self._port(entry, _OUTPUT)

    def _another(self, place: int) -> dict[str, Any]:
        """Adds a value like another one."""
        entry: dict[str, Any] = copy.deepcopy(self.tensors[place])
        number = 1 + max(_tensor(one)["id_out"] for one in self.graph["xvalues"])
        _tensor(entry).update(id_out=number, flags=0)
        self.graph["xvalues"].append(entry)
        return entry

    def _port(self, entry: dict[str, Any], flag: int) -> int:
        """Makes a value an input or output of the delegate; returns its number in the program."""
        from executorch.exir import schema

        tensor = _tensor(entry)
        tensor["external_id"], tensor["flags"] = self.graph["num_externs"], tensor["flags"] | flag
        self.graph["num_externs"] += 1
        self.graph["input_ids" if flag == _INPUT else "output_ids"].append(tensor["id_out"])
        dtype = _TYPES[tensor["datatype"]]
        sizes = self.plan.non_const_buffer_sizes
        offset = sizes[1] + -sizes[1] % _ALIGNED
        sizes[1] = offset + prod(tensor["dims"]) * np.dtype(dtype).itemsize
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
        self.call.args.append(len(self.plan.values))
        self.plan.values.append(schema.EValue(val=made))
        return len(self.plan.values) - 1

    def save(self) -> None:
        """Writes the graph back into the program."""
        self._held.data = with_xnnpack_graph(bytes(self._held.data), self.graph)


def _with_ports(
    data: bytes, places: Mapping[str, tuple[int, int]], given: Sequence[str]
) -> tuple[bytes, dict[str, _Value]]:
    """Returns a program that takes the given layers as further inputs, and returns all layers.

    Args:
        data: The program.
        places: The call and the number of each layer's value in the graph of its delegate.
        given: The layers whose readers read an input instead.

    Returns:
        The program, and how it keeps the layers.
    """
    from executorch.exir import schema

    file = program_of(data)
    (plan,) = (one for one in file.program.execution_plan if one.name == "forward")
    calls = [
        one.instr_args
        for chain in plan.chains
        for one in chain.instructions
        if isinstance(one.instr_args, schema.KernelCall | schema.DelegateCall)
    ]
    delegates = {}
    for index in {call for call, _ in places.values()}:
        processed = plan.delegates[calls[index].delegate_index].processed
        held = file.program.backend_delegate_data[processed.index]
        delegates[index] = _Delegate(plan, calls[index], held)
    kept = {layer: _value(delegates[i].tensors[place]) for layer, (i, place) in places.items()}
    for layer in given:
        index, place = places[layer]
        outside, number = delegates[index].give(place)
        plan.inputs.append(number)
        for call in calls[index + 1 :]:
            call.args = [number if value == outside else value for value in call.args]
    plan.outputs = [delegates[index].show(place) for index, place in places.values()]
    for delegate in delegates.values():
        delegate.save()
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
