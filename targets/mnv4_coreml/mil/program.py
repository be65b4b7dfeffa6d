"""The program of an .mlpackage, ready to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mnv4_coreml.mil import compressed, operators, spatial
from mnv4_coreml.mil.saved import MAIN, Array, Message, SavedModel, Value, stored
from mnv4_mobile.errors import BundleError, ConfigError, LoweringError, damaged

OPERATORS = operators.TABLE | spatial.TABLE | compressed.TABLE
"""The operators that the interpreter supports, by MIL name; `const` does not count as one."""

See = Callable[[str, Value], Value]

_FAILURES = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
"""What operators raise for arguments that they do not support."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """An input or an output of a program."""

    name: str
    shape: tuple[int, ...]
    """(1, H, W, 3) for an image, (1,) for a label, (1, classes) for probabilities."""
    dtype: str
    """numpy's name of the type: `uint8` for an image, `str` for a label."""
    kind: Literal["tensor", "image", "label", "probabilities"]
    """What Core ML calls multiArray, image, string and dictionary."""
    layout: str = ""
    """Colour layout in the program, `RGB` or `BGR`; an image is fed as RGB in either case."""


@dataclass(frozen=True, kw_only=True)
class _Result:
    name: str
    dtype: str
    """MIL type; empty if the result is no tensor."""
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Step:
    """One operation: its operator, its literals and names of values by parameter, its results."""

    operator: str
    literals: dict[str, Value]
    names: dict[str, list[str]]
    results: tuple[_Result, ...]


class Program:
    """An ML Program read from an .mlpackage folder, and from nothing else.

    Every tensor is rounded to the type that the program declares for it, so that a float16 program
    stores float16 between operators, as the Neural Engine does. Inside an operator the arithmetic
    is float32 and sums are float64; the Neural Engine may accumulate with less precision.

    Args:
        package: The .mlpackage folder.
        name: The function of its program.

    Raises:
        BundleError: A package that is incomplete or damaged; it names the file.
        LoweringError: Operators, types or features that the interpreter does not support, by name.
    """

    def __init__(self, package: Path, name: str = MAIN) -> None:
        model = SavedModel(package, name)
        self.path = model.path
        block = model.block()
        self._count = Counter(op.type for op in block.operations if op.type != "const")
        unknown = sorted(self._count.keys() - OPERATORS.keys())
        if unknown:
            raise LoweringError(
                f"{self.path}: operators that the interpreter does not support: "
                + ", ".join(unknown)
            )
        self._declared = {port.name: model.tensor_type(port.type) for port in model.function.inputs}
        self._steps: list[_Step] = []
        self._constants: dict[str, Value] = {}
        description = model.description
        with damaged(self.path, "program"):
            self._load(model, block)
            types = {result.name: result for step in self._steps for result in step.results}
            self.inputs = tuple(self._input(feature) for feature in description.input)
            self.outputs = tuple(self._output(feature, types) for feature in description.output)
        kept = {port.name for port in self.outputs}
        self._last_use = {
            name: step
            for step in self._steps
            for name in _names(step)
            if name not in self._constants and name not in kept
        }

    @property
    def class_labels(self) -> tuple[str, ...] | None:
        """The classifier's labels in the order of its probabilities; None if it has none."""
        for step in self._steps:
            if step.operator == "classify":
                classes = step.literals["classes"]
                assert isinstance(classes, list)
                return tuple(map(str, classes))
        return None

    def operators(self) -> dict[str, int]:
        """Returns how often each operation occurs in the program, without constants."""
        return dict(self._count)

    def __call__(self, inputs: Mapping[str, Array], see: See | None = None) -> dict[str, Array]:
        """Returns the outputs by name.

        Args:
            inputs: Arrays by name: a tensor in its declared shape, an image as uint8 RGB
                (1, H, W, 3).
            see: Called with the name and value of every result, as soon as it is computed. Returns
                what the operations after it read: the same value, or another one in its place.

        Raises:
            ConfigError: An input that is missing or unknown, or has the wrong type or shape.
            LoweringError: An operator with arguments that the interpreter does not support.
        """
        if inputs.keys() != self._declared.keys():
            raise ConfigError(
                f"inputs: found {', '.join(inputs) or 'none'}, must be {', '.join(self._declared)}"
            )
        values = dict(self._constants)
        values.update((port.name, self._feed(port, inputs[port.name])) for port in self.inputs)
        with np.errstate(all="ignore"):  # a value beyond float16 becomes inf
            for step in self._steps:
                self._run(step, values)
                if see is not None:
                    for result in step.results:
                        values[result.name] = see(result.name, values[result.name])
                for name in _names(step):
                    if self._last_use.get(name) is step:
                        values.pop(name, None)
        return {
            port.name: np.asarray(values[port.name], port.dtype).reshape(port.shape)
            for port in self.outputs
        }

    def _load(self, model: SavedModel, block: Message) -> None:
        """Decodes the constants, decompresses the weights and collects the steps."""
        known = set(self._declared)
        for op in block.operations:
            results = tuple(self._result(model, output) for output in op.outputs)
            if op.type == "const":
                self._constants[results[0].name] = model.value(op.attributes["val"])
            else:
                step = self._step(model, op, results)
                missing = set(_names(step)) - known
                if missing:
                    raise BundleError(
                        f"{self.path}: {op.type} uses {', '.join(sorted(missing))}, "
                        "which nothing before it defines"
                    )
                if op.type.startswith("constexpr_"):
                    self._run(step, self._constants)
                else:
                    self._steps.append(step)
            known.update(result.name for result in results)

    def _result(self, model: SavedModel, output: Message) -> _Result:
        if output.type.WhichOneof("type") != "tensorType":
            return _Result(name=output.name, dtype="", shape=())
        dtype, shape = model.tensor_type(output.type)
        return _Result(name=output.name, dtype=dtype, shape=shape)

    def _step(self, model: SavedModel, op: Message, results: tuple[_Result, ...]) -> _Step:
        """Reads an operation. Older operators have literals as attributes, newer ones as inputs."""
        literals = {key: model.value(op.attributes[key]) for key in op.attributes if key != "name"}
        names: dict[str, list[str]] = {}
        for key in op.inputs:
            bindings = op.inputs[key].arguments
            if bindings[0].WhichOneof("binding") == "value":
                literals[key] = model.value(bindings[0].value)
            else:
                names[key] = [binding.name for binding in bindings]
        return _Step(operator=op.type, literals=literals, names=names, results=results)

    def _run(self, step: _Step, values: dict[str, Value]) -> None:
        arguments = dict(step.literals)
        for key, names in step.names.items():
            found = [values[name] for name in names]
            arguments[key] = found if len(found) > 1 else found[0]
        where = f"{self.path}: {step.operator} ({step.results[0].name})"
        try:
            given = OPERATORS[step.operator](**arguments)
            pairs = list(zip(step.results, _as_tuple(given), strict=True))
        except _FAILURES as error:
            raise LoweringError(f"{where}: {error!r}") from error
        for result, value in pairs:
            if result.dtype:
                value = stored(value, result.dtype)
                if value.shape != result.shape:
                    raise LoweringError(
                        f"{where}: found shape {value.shape}, the program declares {result.shape}"
                    )
            values[result.name] = value

    def _input(self, feature: Message) -> Port:
        dtype, shape = self._declared[feature.name]
        kind = feature.type.WhichOneof("Type")
        if kind == "multiArrayType":
            return Port(name=feature.name, shape=shape, dtype=dtype, kind="tensor")
        if kind == "imageType":
            image = feature.type.imageType
            field = image.DESCRIPTOR.fields_by_name["colorSpace"]
            layout = field.enum_type.values_by_number[image.colorSpace].name
            if layout in ("RGB", "BGR"):
                return Port(
                    name=feature.name,
                    shape=(1, image.height, image.width, 3),
                    dtype="uint8",
                    kind="image",
                    layout=layout,
                )
            kind = f"{kind} in {layout}"
        raise LoweringError(
            f"{self.path}: input {feature.name}: found {kind}, the interpreter supports "
            "multiArrayType and imageType in RGB or BGR"
        )

    def _output(self, feature: Message, types: dict[str, _Result]) -> Port:
        name, result = feature.name, types[feature.name]
        match feature.type.WhichOneof("Type"):
            case "multiArrayType":
                return Port(name=name, shape=result.shape, dtype=result.dtype, kind="tensor")
            case "stringType" | "int64Type":
                return Port(name=name, shape=(1,), dtype="str", kind="label")
            case "dictionaryType":
                shape = (1, len(self.class_labels or ()))
                return Port(name=name, shape=shape, dtype="float32", kind="probabilities")
            case kind:
                raise LoweringError(
                    f"{self.path}: output {name}: found {kind}, the interpreter supports "
                    "multiArrayType, stringType, int64Type and dictionaryType"
                )

    def _feed(self, port: Port, value: Array) -> Array:
        found = np.asarray(value)
        if found.shape != port.shape or (port.kind == "image" and found.dtype != np.uint8):
            raise ConfigError(
                f"input {port.name}: found {found.dtype} of shape {found.shape}, must be "
                f"{port.dtype} of shape {port.shape}"
            )
        if port.kind == "image":
            # Core ML hands the program planes of 0 to 255; scale and bias are operators in it.
            found = found[..., ::-1] if port.layout == "BGR" else found
            found = found.transpose(0, 3, 1, 2)
        return stored(found, self._declared[port.name][0])


def _names(step: _Step) -> Iterator[str]:
    for names in step.names.values():
        yield from names


def _as_tuple(given: Array | tuple[Array, ...]) -> tuple[Array, ...]:
    return given if isinstance(given, tuple) else (given,)
