"""Makes tests/golden/: the cases that the implementations in all languages are tested with.

    python -m tools.golden

One case per line; arrays are base64, in C order.

preprocess.json   a decoded image (`height`, `width`, `rgb`), how it is preprocessed (`size`,
                  `crop`, `interpolation`), and the bytes after resizing and cropping (`pixels`);
                  lanczos may differ by 1, as its sine differs by platform
normalise.json    bytes of a small input (`size`, `pixels`), `mean` and `std`, and the `normalised`
                  input: float32, little-endian, channels first
quantise.json     the same for integer inputs: `dtype`, `layout`, `quantization` (null for RGB bytes
                  as they are); `input` has the integers
orientation.json  a stored image (`height`, `width`, `rgb`), its EXIF `orientation`, and the
                  `upright` image
frame.json        a camera frame in three planes `y`, `u`, `v` (each with `data`, `row_stride`,
                  `pixel_stride`), the `crop` (left, top, width, height), the `degrees` by which to
                  turn it clockwise, and the `upright` image of `width` and `height`: BT.601, full
                  range, with each chroma value repeated for its four pixels; may differ by 1
colour.json       for each `matrix` and range (`full_range`), bytes of `yuv` and the `rgb` that they
                  stand for, interleaved; may differ by 1

documents/KIND.json has records: manifest, plan, job and result. Every language accepts each `text`
of `accept`, and refuses each `text` of `refuse` with a message that contains `key`, the place of
the error (`outputs[0].shape`). The key is empty if the text as a whole is wrong.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from PIL import Image, ImageOps

from mnv4_mobile.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Interpolation,
    Preprocess,
    normalise,
    pixels,
    random_images,
)
from mnv4_mobile.records import plain
from mnv4_mobile.tensors import Io, Layout, Quantization, TensorSpec, feed
from tools.documents import Documents, documents

FOLDER = Path(__file__).parents[1] / "tests/golden"
_INTERPOLATIONS: tuple[Interpolation, ...] = ("nearest", "bilinear", "bicubic", "lanczos")
# (height, width) of the image, (H, W) of the input, crop: odd sizes, halves that are rounded to
# even, long images, enlarging, a single pixel, sides that keep their length, more rows than are
# processed at a time, a long one whose height Pillow 13 would filter first.
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
    ((150, 2), (160, 2), 1.0),
    ((60, 22), (10, 10), 1.0),
)


# (height, width), (row stride, pixel stride) of luma and of chroma, crop, degrees: planar and
# interleaved chroma, gaps after rows, odd sizes, crops at odd places, all turns.
_FRAMES = (
    ((6, 8), ((8, 1), (4, 1)), (0, 0, 8, 6), 0),
    ((6, 8), ((12, 1), (10, 2)), (0, 0, 8, 6), 90),
    ((7, 9), ((9, 1), (10, 2)), (1, 2, 7, 5), 180),
    ((7, 9), ((16, 1), (5, 1)), (3, 1, 5, 6), 270),
    ((8, 6), ((6, 1), (6, 2)), (1, 1, 3, 6), 90),
)
_GRIDS: tuple[tuple[Io, Quantization | None], ...] = (
    ("uint8", None),
    ("uint8", Quantization(scale=0.0186, zero_point=114)),
    ("int8", Quantization(scale=0.0186, zero_point=-14)),
    ("int8", Quantization(scale=1e-30, zero_point=14)),  # no int holds the quotients
)
_MATRICES = {
    "ITU_R_601_4": (0.299, 0.114),
    "ITU_R_709_2": (0.2126, 0.0722),
    "ITU_R_2020": (0.2627, 0.0593),
}
"""The shares of red and blue in luma, by Core Video's names of the matrices."""
_SCALES = ((IMAGENET_MEAN, IMAGENET_STD), ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


def files() -> dict[str, str]:
    """Returns the files' texts by name."""
    return {name: text(cases) for name, cases in _cases().items()} | {
        name: _documents(found) for name, found in documents().items()
    }


def _cases() -> dict[str, list[dict[str, Any]]]:
    resized = [
        _resized(seed, *shape, interpolation)
        for seed, shape in enumerate(_SHAPES)
        for interpolation in _INTERPOLATIONS
    ]
    normalised = [_normalised(*scale) for scale in _SCALES]
    quantised = [
        _quantised(dtype, layout, grid) for dtype, grid in _GRIDS for layout in get_args(Layout)
    ]
    return {
        "preprocess.json": resized,
        "normalise.json": normalised,
        "quantise.json": quantised,
        "orientation.json": [_turned(orientation) for orientation in range(1, 9)],
        "frame.json": [_frame(seed, *shape) for seed, shape in enumerate(_FRAMES)],
        "colour.json": [_coloured(matrix, full) for matrix in _MATRICES for full in (True, False)],
    }


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


def _quantised(dtype: Io, layout: Layout, grid: Quantization | None) -> dict[str, Any]:
    case = _normalised(*_SCALES[0])
    size, mean, std = case["size"], case["mean"], case["std"]
    preprocess = Preprocess(size=size, mean=mean, std=std)
    values = np.frombuffer(base64.b64decode(case["pixels"]), np.uint8).reshape(1, *size, 3)
    shape = (1, 3, *size) if layout == "nchw" else (1, *size, 3)
    image = TensorSpec(
        name="image", kind="image", shape=shape, dtype=dtype, layout=layout, quantization=grid
    )
    return {
        "size": size,
        "mean": mean,
        "std": std,
        "dtype": dtype,
        "layout": layout,
        "quantization": grid and plain(grid),
        "pixels": case["pixels"],
        "input": _text(feed(image, values, preprocess)["image"]),
    }


def _turned(orientation: int) -> dict[str, Any]:
    rgb = np.random.default_rng(orientation).integers(0, 256, (3, 5, 3), np.uint8)
    picture = Image.fromarray(rgb)
    picture.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(picture))
    return {
        "height": rgb.shape[0],
        "width": rgb.shape[1],
        "rgb": _text(rgb),
        "orientation": orientation,
        "upright": _text(upright),
    }


def _frame(
    seed: int,
    size: tuple[int, int],
    strides: tuple[tuple[int, int], tuple[int, int]],
    crop: tuple[int, int, int, int],
    degrees: int,
) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    height, width = size
    half = ((height + 1) // 2, (width + 1) // 2)
    planes = [rng.integers(0, 256, shape, np.uint8) for shape in (size, half, half)]
    entries: dict[str, Any] = {}
    for name, plane, (row, pixel) in zip(
        "yuv", planes, (strides[0], strides[1], strides[1]), strict=True
    ):
        # The bytes between the values are not part of the plane.
        data = rng.integers(0, 256, plane.shape[0] * row, np.uint8)
        for i, values in enumerate(plane):
            data[i * row : i * row + pixel * len(values) : pixel] = values
        entries[name] = {"data": _text(data), "row_stride": row, "pixel_stride": pixel}
    y, u, v = (plane.astype(np.float64) for plane in planes)
    blue, red = (np.repeat(np.repeat(plane, 2, 0), 2, 1)[:height, :width] - 128 for plane in (u, v))
    rgb = np.stack([y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue], -1)
    left, top, wide, high = crop
    seen = np.clip(np.rint(rgb), 0, 255).astype(np.uint8)[top : top + high, left : left + wide]
    upright = np.rot90(seen, -degrees // 90)
    return {
        **entries,
        "crop": crop,
        "degrees": degrees,
        "height": upright.shape[0],
        "width": upright.shape[1],
        "upright": _text(upright),
    }


def _coloured(matrix: str, full_range: bool) -> dict[str, Any]:
    yuv = np.random.default_rng(0).integers(0, 256, (64, 3), np.uint8)
    of_red, of_blue = _MATRICES[matrix]
    y, blue, red = (column.astype(np.float64) for column in yuv.T)
    blue, red = blue - 128, red - 128
    if not full_range:
        y, blue, red = (y - 16) * 255 / 219, blue * 255 / 224, red * 255 / 224
    r, b = y + 2 * (1 - of_red) * red, y + 2 * (1 - of_blue) * blue
    g = (y - of_red * r - of_blue * b) / (1 - of_red - of_blue)
    rgb = np.clip(np.rint(np.stack([r, g, b], -1)), 0, 255).astype(np.uint8)
    return {"matrix": matrix, "full_range": full_range, "yuv": _text(yuv), "rgb": _text(rgb)}


def _text(array: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def text(cases: Sequence[Mapping[str, Any]]) -> str:
    """Returns the text of a file, with one case per line."""
    lines = (json.dumps(case, ensure_ascii=False) for case in cases)
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _documents(found: Documents) -> str:
    accept, refuse = (text(found[part]).rstrip("\n") for part in ("accept", "refuse"))
    return f'{{"accept": {accept},\n"refuse": {refuse}}}\n'


if __name__ == "__main__":
    for name, content in files().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")
