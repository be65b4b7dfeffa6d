"""Preprocessing against timm and against its own description, and generated pictures."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from mnv4_mobile.errors import ConfigError, ImageError
from mnv4_mobile.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Interpolation,
    Preprocess,
    _resized,
    normalise,
    pixels,
    random_images,
)
from mnv4_mobile.records import check

Bytes = npt.NDArray[np.uint8]
INTERPOLATIONS: list[Interpolation] = ["nearest", "bilinear", "bicubic", "lanczos"]


def preprocess(
    size: tuple[int, int] = (224, 224),
    *,
    crop: float = 0.875,
    interpolation: Interpolation = "bicubic",
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> Preprocess:
    return Preprocess(size=size, crop=crop, interpolation=interpolation, mean=mean, std=std)


def picture(height: int, width: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# --- Preprocess


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", (224, 0)),
        ("size", (224,)),
        ("size", (224.0, 224.0)),
        ("crop", 0.0),
        ("crop", 1.01),
        ("crop", math.nan),
        ("crop", "0.9"),
        ("interpolation", "cubic"),
        ("mean", (0.5, 0.5)),
        ("mean", (0.5, math.nan, 0.5)),
        ("std", (0.2, 0.2, 0.0)),
        ("std", (0.2, 0.2, math.inf)),
        ("std", (0.2, 0.2, None)),
    ],
)
def test_preprocess_refuses(field: str, value: object) -> None:
    changes: dict[str, Any] = {field: value}
    with pytest.raises(ConfigError, match=rf"^it: {field}.*: found .*(must be|allowed)"):
        check(preprocess(**changes), "it")


def test_import_is_light() -> None:
    code = "import sys, mnv4_mobile.images; print({'torch', 'PIL.Image'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


# --- pixels and normalise, against timm and against the module's own text


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("size", [(224, 224), (96, 96), (64, 96), (97, 41)])
@pytest.mark.parametrize("crop", [0.875, 0.95, 1.0])
def test_pixels_and_normalise_equal_timm(
    interpolation: Interpolation, size: tuple[int, int], crop: float
) -> None:
    data = pytest.importorskip("timm.data")
    ours = preprocess(size, crop=crop, interpolation=interpolation)
    kwargs = {
        "input_size": (3, *size),
        "crop_pct": crop,
        "crop_mode": "center",
        "interpolation": interpolation,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
    }
    to_bytes = data.create_transform(**kwargs, normalize=False)
    to_floats = data.create_transform(**kwargs)
    shapes = [(1, 1), (3, 50), (301, 7), (256, 256), (331, 223), (223, 332), size]
    for image in (picture(*shape) for shape in shapes):
        cropped = pixels(image, ours)
        theirs = Image.fromarray(image)
        np.testing.assert_array_equal(np.moveaxis(cropped, -1, 0), to_bytes(theirs).numpy())
        np.testing.assert_array_equal(normalise(cropped, ours), to_floats(theirs).numpy())


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 400), st.integers(1, 400)),
    size=st.tuples(st.integers(1, 96), st.integers(1, 96)),
    square=st.booleans(),
    crop=st.floats(0.2, 1.0),
    interpolation=st.sampled_from(INTERPOLATIONS),
)
def test_pixels_equal_timm_for_any_size(
    shape: tuple[int, int],
    size: tuple[int, int],
    square: bool,
    crop: float,
    interpolation: Interpolation,
) -> None:
    data = pytest.importorskip("timm.data")
    size = (size[0], size[0]) if square else size
    transform = data.create_transform(
        (3, *size), crop_pct=crop, crop_mode="center", interpolation=interpolation, normalize=False
    )
    spec = preprocess(size, crop=crop, interpolation=interpolation)
    (height, width), (resized_height, resized_width) = shape, _resized(*shape, spec)
    # Pillow 13 filters the height of long images first, and rounds in between.
    assume(height - resized_height <= max(2 * (width - resized_width), 0))
    image = picture(*shape)
    theirs = transform(Image.fromarray(image)).numpy()
    np.testing.assert_array_equal(np.moveaxis(pixels(image, spec), -1, 0), theirs)


def sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


def cubic(x: float) -> float:
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


KERNELS: dict[str, tuple[int, Callable[[float], float]]] = {
    "bilinear": (1, lambda x: max(0.0, 1 - x)),
    "bicubic": (2, cubic),
    "lanczos": (3, lambda x: sinc(x) * sinc(x / 3) if x < 3 else 0.0),
}


def resized_as_documented(values: Bytes, m: int, interpolation: Interpolation) -> Bytes:
    """Step 2 of the module's text along axis 0, in plain Python."""
    n = len(values)
    if n == m:
        return values
    scale = n / m
    if interpolation == "nearest":
        at, indices = scale / 2, []
        for _ in range(m):
            indices.append(math.floor(at))
            at += scale
        return values[indices]
    radius, kernel = KERNELS[interpolation]
    s = max(scale, 1.0)
    out = []
    for i in range(m):
        c = (i + 0.5) * scale
        span = range(
            math.floor(max(c - radius * s + 0.5, 0)), min(math.floor(c + radius * s + 0.5), n)
        )
        weights = [kernel(abs((j - c + 0.5) * (1 / s))) for j in span]
        total = sum(weights)
        fixed = [math.floor(abs(w / total) * 2**22 + 0.5) * (1 if w > 0 else -1) for w in weights]
        result = 2**21 + sum(
            w * values[j].astype(np.int64) for w, j in zip(fixed, span, strict=True)
        )
        out.append(np.clip(result >> 22, 0, 255))
    return np.array(out, np.uint8)


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("shape", [(70, 50), (23, 90), (40, 40), (1, 3), (34, 61)])
@pytest.mark.parametrize(("size", "to"), [((30, 30), (34, 34)), ((24, 40), (27, 45))])
def test_pixels_follow_the_documented_algorithm(
    interpolation: Interpolation, shape: tuple[int, int], size: tuple[int, int], to: tuple[int, int]
) -> None:
    image = picture(*shape)
    h, w = shape
    if to[0] == to[1]:
        new = (to[0] * h // min(shape), to[0] * w // min(shape))
    else:
        ratio = min(h / to[0], w / to[1])
        new = (round(h / ratio), round(w / ratio))
    wide = resized_as_documented(image.transpose(1, 0, 2), new[1], interpolation)
    whole = resized_as_documented(wide.transpose(1, 0, 2), new[0], interpolation)
    top, left = round((new[0] - size[0]) / 2), round((new[1] - size[1]) / 2)
    expected = whole[top : top + size[0], left : left + size[1]]
    ours = pixels(image, preprocess(size, interpolation=interpolation))
    np.testing.assert_array_equal(ours, expected)


def test_pixels_leave_a_picture_of_the_right_size_alone() -> None:
    image = picture(48, 64)
    np.testing.assert_array_equal(pixels(image, preprocess((48, 64), crop=1.0)), image)


def test_pixels_refuse_a_sliver() -> None:
    with pytest.raises(ImageError, match=r"1x60000, resized to 256x15360000: found"):
        pixels(np.zeros((1, 60_000, 3), np.uint8), preprocess())


def test_normalise_takes_any_leading_axes() -> None:
    images = random_images(preprocess((8, 6)), 4, seed=1)
    one = [normalise(image, preprocess()) for image in images]
    together = normalise(images.reshape(2, 2, 8, 6, 3), preprocess())
    assert together.shape == (2, 2, 3, 8, 6)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(together.reshape(4, 3, 8, 6), one)


# --- random_images


def test_random_images_are_the_same_everywhere() -> None:
    images = random_images(preprocess((33, 50)), 3, seed=7)
    assert images.shape == (3, 33, 50, 3)
    assert hashlib.sha256(images.tobytes()).hexdigest() == (
        "59e68acb726ec4ea012a889f7f58ec3e1621b6407331ba4ee64db8237536d92a"
    )
    np.testing.assert_array_equal(images[:2], random_images(preprocess((33, 50)), 2, seed=7))
    assert (random_images(preprocess((33, 50)), 3, seed=8) != images).mean() > 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (64, 3)])
def test_random_images_of_small_sizes(size: tuple[int, int]) -> None:
    assert random_images(preprocess(size), 2, seed=0).shape == (2, *size, 3)


def test_random_images_look_natural() -> None:
    images = random_images(preprocess((256, 256)), 8, seed=0).astype(np.float64)
    assert 100 < images.mean() < 140  # ImageNet: 116
    assert 40 < images.std() < 75  # ImageNet: 58
    assert ((images == 0) | (images == 255)).mean() < 0.1
    left, right = images[:, :, :-1].ravel(), images[:, :, 1:].ravel()
    assert np.corrcoef(left, right)[0, 1] > 0.9  # white noise: 0
    grey = images.mean(axis=-1) - images.mean(axis=(1, 2, 3))[:, None, None]
    power = (np.abs(np.fft.fft2(grey)) ** 2).mean(axis=0)
    distance = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256) * 256] * 2))
    bands = [(power[(distance >= f) & (distance < 2 * f)]).mean() for f in (4, 8, 16, 32)]
    slope = np.polyfit(np.arange(4), np.log2(bands), 1)[0]
    assert -3 < slope < -1.5  # natural scenes: about -2, white noise: 0
