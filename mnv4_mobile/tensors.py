"""Describes inputs and outputs of artifacts, and converts images and results to and from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from mnv4_mobile.errors import DeviceError, ParityError
from mnv4_mobile.images import Preprocess, Size, normalise
from mnv4_mobile.records import Count, Positive, Record, replace, whole

Layout = Literal["nchw", "nhwc"]
Io = Literal["float32", "float16", "int8", "uint8"]
Tensors = Mapping[str, npt.NDArray[Any]]

CLASSES = ("logits", "probabilities")
"""Kinds of outputs with one value per class."""


Kind = Annotated[
    str,
    Meta(
        pattern=whole("[a-z][a-z0-9_]*"),
        description="image, logits, probabilities, embedding, stage_N, or a head's own",
    ),
]
Shape = Annotated[tuple[Count, ...], Meta(min_length=1)]
_MAX_BYTES = 2**31 - 1


class Quantization(Record, frozen=True, kw_only=True):
    """What an integer stands for: (integer - zero_point) * scale."""

    scale: Positive
    """The step between two neighbouring integers."""
    zero_point: Annotated[int, Meta(ge=-128, le=255)]
    """The integer that stands for 0."""


class TensorSpec(Record, frozen=True, kw_only=True, omit_defaults=True):
    """An input or output of an artifact, as a caller sees it."""

    name: str
    """The name by which the runtime knows the tensor."""
    kind: Kind
    """`image` for the input; `logits`, `probabilities`, `embedding`, `stage_N`, or the name that a
    head of one's own gives to an output."""
    shape: Shape
    """Length of every axis; the tensor has less than 2^31 bytes."""
    dtype: Io
    """Type of the elements, little-endian."""
    layout: Layout | None
    """Order of the axes of a four-dimensional tensor; null for others."""
    quantization: Quantization | None = None
    """Present only if integers stand for floats. An input of uint8 without it takes RGB bytes."""

    def __post_init__(self) -> None:
        check_bytes(self.shape, self.dtype)
        if self.quantization is not None and self.dtype not in ("int8", "uint8"):
            raise ValueError(f"quantization: found with {self.dtype}, must be with int8 or uint8")


def declared_input(name: str, shape: Sequence[int], dtype: str) -> TensorSpec:
    """Returns an input as an artifact declares it, which says neither its kind nor its layout.

    The type may be one that artifacts of this package never have: `int32`.

    Raises:
        ValueError: No array has this type and shape.
    """
    if any(size < 1 for size in shape):
        raise ValueError(f"input {name}: found shape {list(shape)}, must be 1 or more in all axes")
    return TensorSpec(
        name=name, kind="image", shape=tuple(shape), dtype=cast(Any, dtype), layout=None
    )


def check_bytes(shape: Sequence[int], dtype: str) -> None:
    """Raises ValueError if a tensor is larger than arrays can be in some of the languages."""
    if math.prod(shape) * np.dtype(dtype).itemsize > _MAX_BYTES:
        raise ValueError(f"shape: found {list(shape)}, must have {_MAX_BYTES} bytes at most")


def check_inputs(
    path: Path, tensors: Tensors, *expected: Mapping[str, tuple[tuple[int, ...], str]]
) -> None:
    """Refuses arrays that are not an artifact's inputs, which some runtimes take in any shape.

    Args:
        path: The artifact, for the message.
        tensors: Arrays by input name.
        expected: Shape and type of each input, by its name; once for each input size.

    Raises:
        DeviceError: Naming what was found and what is expected.
    """
    found = {name: (value.shape, value.dtype.name) for name, value in tensors.items()}
    if found not in expected:
        allowed = " or ".join(map(str, expected))
        raise DeviceError(f"{path}: inputs: found {found}, must be {allowed}")


def sizes_text(sizes: Iterable[Size]) -> str:
    """Returns sizes as names and messages have them: `224x224`, or `224x224_256x320`."""
    return "_".join(f"{height}x{width}" for height, width in sizes)


def resized(tensor: TensorSpec, sides: Sequence[int]) -> TensorSpec:
    """Returns a tensor of four axes with other sides (height, width)."""
    batch, *rest = tensor.shape
    channels = rest[2] if tensor.layout == "nhwc" else rest[0]
    shape = (*sides, channels) if tensor.layout == "nhwc" else (channels, *sides)
    return replace(tensor, shape=(batch, *shape))


def feed(image: TensorSpec, pixels: npt.NDArray[np.uint8], preprocess: Preprocess) -> Tensors:
    """Returns RGB pixels as an artifact's input: normalised, reordered, quantized and converted.

    Args:
        image: The artifact's input.
        pixels: (N, H, W, 3) RGB, after resizing.
        preprocess: Its mean and std are used, unless the input takes pixels.
    """
    grid = image.quantization
    if image.dtype == "uint8" and grid is None:
        values: npt.NDArray[Any] = pixels
        if image.layout == "nchw":
            values = np.moveaxis(values, -1, 1)
    else:
        values = normalise(pixels, preprocess)
        if image.layout == "nhwc":
            values = np.moveaxis(values, 1, -1)
        if grid is not None:
            limits = np.iinfo(image.dtype)
            integers = np.round(values / grid.scale) + grid.zero_point
            values = integers.clip(limits.min, limits.max)
    return {image.name: np.ascontiguousarray(values, dtype=image.dtype)}


def answer(
    outputs: Sequence[TensorSpec], found: Tensors, where: str
) -> dict[str, npt.NDArray[Any]]:
    """Returns an artifact's outputs, with integers that stand for floats converted to them.

    Args:
        outputs: The outputs that the artifact should have.
        found: What it returned, by name.
        where: What returned them, with which messages begin.

    Raises:
        ParityError: An output is missing, or is not numbers of the right shape.
    """
    return {output.name: _answered(output, found, where) for output in outputs}


def _answered(output: TensorSpec, found: Tensors, where: str) -> npt.NDArray[Any]:
    if output.name not in found:
        names = ", ".join(found) or "none"
        raise ParityError(f"{where}: outputs: found {names}, must have {output.name}")
    values = found[output.name]
    if values.shape != output.shape or values.dtype.kind not in "fiu":
        raise ParityError(
            f"{where}: output {output.name}: found {values.dtype} of shape {list(values.shape)}, "
            f"must be {output.dtype} of shape {list(output.shape)}"
        )
    if output.quantization is None:
        return values
    integers = values.astype(np.float32) - output.quantization.zero_point
    return integers * np.float32(output.quantization.scale)
