"""Makes tests/golden/: what the preprocessing of all languages is tested against.

    python -m tools.golden

One case a line; arrays are base64, in C order.

preprocess.json   a decoded picture (`height`, `width`, `rgb`), how it is preprocessed (`size`,
                  `crop`, `interpolation`), and the bytes after resizing and cropping (`pixels`),
                  from which lanczos may differ by 1, as its sine differs by platform
normalise.json    bytes of a small input (`size`, `pixels`), `mean` and `std`, and the `normalised`
                  input: float32, little-endian, channels first
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from mnv4_mobile.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Interpolation,
    Preprocess,
    normalise,
    pixels,
    random_images,
)

FOLDER = Path(__file__).parents[1] / "tests/golden"
_INTERPOLATIONS: tuple[Interpolation, ...] = ("nearest", "bilinear", "bicubic", "lanczos")
# (height, width) of the picture, (H, W) of the input, crop: odd sizes, halves that are rounded to
# even, long pictures, enlarging, a single pixel, sides that keep their length.
_SHAPES = (
    ((37, 53), (14, 14), 0.875),
    ((53, 37), (24, 24), 1.0),
    ((46, 34), (16, 24), 0.9),
    ((7, 5), (19, 19), 0.95),
    ((3, 41), (8, 8), 0.75),
    ((1, 1), (4, 4), 1.0),
    ((24, 31), (24, 24), 1.0),
    ((33, 24), (24, 24), 1.0),
    ((26, 39), (20, 30), 1.0),
    ((38, 25), (15, 30), 0.6),
)


_SCALES = ((IMAGENET_MEAN, IMAGENET_STD), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


def files() -> dict[str, list[dict[str, Any]]]:
    """The cases by file name."""
    resized = [
        _resized(seed, *shape, interpolation)
        for seed, shape in enumerate(_SHAPES)
        for interpolation in _INTERPOLATIONS
    ]
    normalised = [_normalised(*scale) for scale in _SCALES]
    return {"preprocess.json": resized, "normalise.json": normalised}


def _resized(
    seed: int,
    picture: tuple[int, int],
    size: tuple[int, int],
    crop: float,
    interpolation: Interpolation,
) -> dict[str, Any]:
    rgb = random_images(Preprocess(size=picture), 1, seed)[0]
    if seed % 2:  # noise reaches the clipping of bicubic and lanczos
        rgb = np.random.default_rng(seed).integers(0, 256, rgb.shape, np.uint8)
    preprocess = Preprocess(size=size, crop=crop, interpolation=interpolation)
    return {
        "height": picture[0],
        "width": picture[1],
        "rgb": _text(rgb),
        "size": size,
        "crop": crop,
        "interpolation": interpolation,
        "pixels": _text(pixels(rgb, preprocess)),
    }


def _normalised(
    mean: tuple[float, float, float], std: tuple[float, float, float]
) -> dict[str, Any]:
    size = (16, 17)
    values = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    values[:, :16] = np.arange(256).reshape(16, 16, 1)  # each byte in each channel
    found = normalise(values, Preprocess(size=size, mean=mean, std=std))
    return {
        "size": size,
        "mean": mean,
        "std": std,
        "pixels": _text(values),
        "normalised": _text(found.astype("<f4")),
    }


def _text(array: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def text(cases: list[dict[str, Any]]) -> str:
    """A file's text."""
    return "[\n" + ",\n".join(map(json.dumps, cases)) + "\n]\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, cases in files().items():
        (FOLDER / name).write_text(text(cases), "utf-8")
