"""Inputs and outputs of artifacts: their description, and images and answers in their form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mnv4_mobile.images import Preprocess, normalise

Layout = Literal["nchw", "nhwc"]
Io = Literal["float32", "float16", "int8", "uint8"]
Tensors = Mapping[str, npt.NDArray[Any]]

CLASSES = ("logits", "probabilities")
"""Outputs that tell classes apart."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """What an integer stands for: (integer - zero_point) * scale."""

    scale: float
    zero_point: int


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """An input or output of an artifact, as a caller sees it."""

    name: str
    kind: str
    """`image` for the input; `logits`, `probabilities`, `embedding` or `stage_N` for an output."""
    shape: tuple[int, ...]
    dtype: Io
    layout: Layout | None = None
    """Of four-dimensional tensors."""
    quantization: Quantization | None = None
    """Of integers that stand for floats; pixels stand for themselves."""


def feed(image: TensorSpec, pixels: npt.NDArray[np.uint8], preprocess: Preprocess) -> Tensors:
    """RGB pixels as an artifact's input wants them: normalised or not, ordered, quantized, typed.

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


def answer(outputs: Sequence[TensorSpec], found: Tensors) -> dict[str, npt.NDArray[Any]]:
    """What an artifact gave, in floats where its integers stand for them."""
    return {
        o.name: found[o.name]
        if o.quantization is None
        else (found[o.name].astype(np.float32) - o.quantization.zero_point)
        * np.float32(o.quantization.scale)
        for o in outputs
    }
