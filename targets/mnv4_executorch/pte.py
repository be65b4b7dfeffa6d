"""Reads the contents of a `.pte` from its flatbuffer.

ExecuTorch's own deserializer needs all of exir and its flatc, so the few tables that are needed are
read here (field numbers: executorch/schema/program.fbs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnv4_mobile.errors import damaged
from mnv4_mobile.flatbuffer import Buffer, Table
from mnv4_mobile.tensors import TensorSpec, declared_input

_PROGRAM_PLANS, _PROGRAM_SEGMENTS = 1, 4
_PLAN_NAME, _PLAN_VALUES, _PLAN_INPUTS, _PLAN_OUTPUTS = 0, 2, 3, 4
_PLAN_CHAINS, _PLAN_OPERATORS, _PLAN_DELEGATES = 5, 6, 7
_CHAIN_INSTRUCTIONS = 2
_TYPE, _VALUE = 0, 1  # of a union
_KERNEL_CALL, _DELEGATE_CALL, _TENSOR, _STRING = 1, 2, 5, 6
_CALLED, _ARGUMENTS = 0, 1  # of either call
_DELEGATE_DATA, _DATA_INDEX = 1, 1
_SEGMENT_OFFSET, _SEGMENT_SIZE = 0, 1
_TENSOR_TYPE, _TENSOR_SIZES = 0, 2
_BASE = slice(24, 32)  # segments' offset, in the extended header (executorch/schema/README.md)
_TYPES = {0: "uint8", 1: "int8", 3: "int32", 4: "int64", 5: "float16", 6: "float32"}
KIND = "ExecuTorch program"


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A tensor outside the delegates."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Call:
    """An instruction of the program that calls an operator or a delegate."""

    name: str
    """Name of the operator; empty for a delegate."""
    arguments: tuple[int, ...]
    """Numbers of the values that it reads and writes; the last one is an operator's output."""
    delegate: Buffer | None = None
    """The data of the delegate; None for an operator."""


class Program:
    """The method `forward` of a `.pte`.

    Attributes:
        calls: The calls that it makes, in order.
        tensors: Those of its values that are tensors, by number.

    Raises:
        BundleError: The file is not an ExecuTorch program, or is damaged.
    """

    def __init__(self, path: Path) -> None:
        file = _read(path)
        with damaged(path, KIND):
            root = file.root()
            plan = _plans(root)["forward"]
            self.calls = _calls(plan, _segments(file, root))
            self.tensors = _tensors(plan)


def _calls(plan: Table, segments: Sequence[Buffer]) -> list[Call]:
    """Returns the calls of a method.

    The data of delegates is in segments, because `extract_delegate_segments` is on by default.
    """
    names = [f"{op.text(0)}.{op.text(1)}".rstrip(".") for op in plan.tables(_PLAN_OPERATORS)]
    delegates = [one.table(_DELEGATE_DATA) for one in plan.tables(_PLAN_DELEGATES)]
    found = []
    for chain in plan.tables(_PLAN_CHAINS):
        for instruction in chain.tables(_CHAIN_INSTRUCTIONS):
            kind = instruction.integer(_TYPE, 8)
            if kind not in (_KERNEL_CALL, _DELEGATE_CALL):
                continue
            call = instruction.table(_VALUE)
            called, arguments = call.integer(_CALLED, 32), call.integers(_ARGUMENTS)
            if kind == _KERNEL_CALL:
                found.append(Call(name=names[called], arguments=arguments))
            else:
                data = segments[delegates[called].integer(_DATA_INDEX, 32)]
                found.append(Call(name="", arguments=arguments, delegate=data))
    return found


def _segments(file: Buffer, root: Table) -> list[Buffer]:
    base = int.from_bytes(file.data[_BASE], "little")
    return [
        file.part(base + one.integer(_SEGMENT_OFFSET, 64), one.integer(_SEGMENT_SIZE, 64))
        for one in root.tables(_PROGRAM_SEGMENTS)
    ]


def _read(path: Path) -> Buffer:
    return Buffer.read(path, b"ET", KIND)


def _plans(program: Table) -> dict[str, Table]:
    """Returns the methods of a program by name."""
    return {plan.text(_PLAN_NAME): plan for plan in program.tables(_PROGRAM_PLANS)}


def inputs(path: Path) -> tuple[TensorSpec, ...]:
    """Returns the inputs of `forward`, with the names that `mnv4_executorch.session` uses.

    Raises:
        BundleError: The file is not an ExecuTorch program, is damaged, or has other inputs than
            tensors.
    """
    file = _read(path)
    with damaged(path, KIND):
        plans = _plans(file.root())
        numbers, tensors = plans["forward"].integers(_PLAN_INPUTS), _tensors(plans["forward"])
        if others := [number for number in numbers if number not in tensors]:
            raise ValueError(f"inputs {others} are not tensors")
        names = port_names("input", len(numbers), _texts(plans.get("get_input_names")))
        return tuple(
            declared_input(name, tensors[number].shape, tensors[number].dtype)
            for name, number in zip(names, numbers, strict=True)
        )


def _texts(constant: Table | None) -> list[str]:
    """Returns the strings that a constant method returns; none if there is no such method."""
    if constant is None:
        return []
    values = constant.tables(_PLAN_VALUES)
    chosen = [values[number] for number in constant.integers(_PLAN_OUTPUTS)]
    return [value.table(_VALUE).text(0) for value in chosen if value.integer(_TYPE, 8) == _STRING]


def port_names(kind: str, count: int, own: Sequence[str]) -> list[str]:
    """Returns the names of a program's inputs or outputs: its own, or else their positions."""
    return list(own) or [f"{kind}_{i}" for i in range(count)]


def _tensors(plan: Table) -> dict[int, Tensor]:
    found = {}
    for number, value in enumerate(plan.tables(_PLAN_VALUES)):
        if value.integer(_TYPE, 8) == _TENSOR:
            tensor = value.table(_VALUE)
            code = tensor.integer(_TENSOR_TYPE, 8)
            found[number] = Tensor(
                dtype=_TYPES.get(code, f"type {code}"),
                shape=tensor.shape(_TENSOR_SIZES),
            )
    return found


def operators(path: Path) -> dict[str, int]:
    """Returns how often each operator is called, with `delegate` for calls of a delegate.

    Raises:
        BundleError: The file is not an ExecuTorch program, or is damaged.
    """
    return dict(Counter(call.name or "delegate" for call in Program(path).calls))
