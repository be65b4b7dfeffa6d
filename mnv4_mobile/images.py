"""Images and their preprocessing: the specification that the Kotlin, Swift and browser code follow.

Golden cases pin it. Sizes are (height, width); real numbers are IEEE doubles unless said otherwise;
`rint` rounds halves to even. The result equals, bit for bit, timm's evaluation transform
(`timm.data.create_transform`, crop_mode "center") on the same decoded image.

1. Decode (`read_image`) to 8-bit RGB: the first frame, turned as EXIF's orientation says. Palettes
   are looked up, grey is repeated, the high byte of 16-bit samples is kept, CMYK is 255 less ink
   (r = (255 - c) (255 - k) / 255). Colour profiles are not applied and alpha is dropped without
   blending, as in timm, torchvision and everything else that trained on `convert("RGB")`, so the
   colour of a transparent pixel counts.
2. Resize (h, w) to cover the target (th, tw) = (floor(H / crop), floor(W / crop)):
   th == tw:   the shorter side becomes th, the longer floor(th * longer / shorter);
   otherwise:  r = min(h / th, w / tw); the sides become rint(h / r) and rint(w / r).
   The width is filtered first, then the height, with 8-bit values in between; a side that keeps its
   length is not filtered. For value i of m, made from n values v with the kernel f of radius R:
       scale = n / m;  s = max(scale, 1);  c = (i + 0.5) * scale
       j runs from floor(max(c - R s + 0.5, 0)) up to, but excluding, min(floor(c + R s + 0.5), n)
       weight_j = f((j - c + 0.5) * (1 / s)), divided by the sum of all weights of this i, times
           2^22, rounded to an integer (halves away from zero)
       result = (2^21 + sum of weight_j * v_j) >> 22, clipped to 0..255
   bilinear:  R = 1, f(x) = 1 - |x|
   bicubic:   R = 2, f(x) = 1.5 |x|^3 - 2.5 |x|^2 + 1 where |x| < 1,
                     f(x) = -0.5 |x|^3 + 2.5 |x|^2 - 4 |x| + 2 elsewhere
   lanczos:   R = 3, f(x) = sinc(x) sinc(x / 3) with sinc(x) = sin(pi x) / (pi x); another
              platform's sin may move a weight by one step, and so, rarely, a result by one
   nearest:   value i is v[floor(p_i)], where p_0 = scale / 2 and p_i+1 = p_i + scale
3. Crop H x W from the centre: top = rint((h - H) / 2), left = rint((w - W) / 2).
4. Normalise, in float32 after every operation: ((x / 255) - mean) / std, channels first.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from mnv4_mobile.errors import ConfigError, ImageError
from mnv4_mobile.records import Finite, Positive, Record

if TYPE_CHECKING:  # imported on first use, so that the command starts fast
    from PIL import Image

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Only some of Pillow's formats, because it would pass an EPS file to Ghostscript. The formats of
# Image.preinit() come first, so that Pillow loads its forty other plug-ins only for the rare ones.
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000", "AVIF")
_SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".gif", ".ppm", ".pgm"),
    *(".webp", ".tif", ".tiff", ".jp2", ".avif"),
)
_MAX_PIXELS = 178_956_970
"""Pillow's limit against decompression bombs, applied to the resized image too."""


Side = Annotated[int, Meta(ge=1, le=16384)]
"""A height or width of an input. Larger ones are mistakes and would take gigabytes."""
# Not tuple[Side, Side]: msgspec 0.23 crashes if a type allows a bounded number or a pair.
InputSize = Side | Annotated[tuple[Side, ...], Meta(min_length=2, max_length=2)]
"""An input size as YAML files give it: a number, or [height, width]."""


def height_and_width(size: int | tuple[int, ...]) -> tuple[int, int]:
    """Returns height and width of an input size as YAML files give it."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


class Preprocess(Record, frozen=True, kw_only=True):
    """How a decoded image becomes a model's input."""

    size: tuple[Side, Side]
    """Height and width of the model's input."""
    crop: Annotated[float, Meta(ge=0.01, le=1)] = 0.875
    """Share of the resized image that the centre crop keeps (timm's crop_pct)."""
    interpolation: Interpolation = "bicubic"
    """The filter that resizes the image."""
    mean: tuple[Finite, Finite, Finite] = IMAGENET_MEAN
    """Mean of red, green and blue, which are between 0 and 1."""
    std: tuple[Positive, Positive, Positive] = IMAGENET_STD
    """Standard deviation of red, green and blue."""


Assumable = Literal["mean", "std", "crop", "interpolation"]
"""The keys of preprocessing that have a default."""


class KnownPreprocess(Record, frozen=True, kw_only=True):
    """What a checkpoint or a user says about preprocessing; None for what is not said."""

    size: tuple[Side, Side] | None = None
    """Height and width of the model's input."""
    crop: Annotated[float, Meta(ge=0.01, le=1)] | None = None
    """Share of the resized image that the centre crop keeps."""
    interpolation: Interpolation | None = None
    """The filter that resizes the image."""
    mean: tuple[Finite, Finite, Finite] | None = None
    """Mean of red, green and blue, from 0 to 1."""
    std: tuple[Positive, Positive, Positive] | None = None
    """Standard deviation of red, green and blue, from 0 to 1."""

    def completed(self, size: tuple[int, int]) -> Preprocess:
        """Returns preprocessing with defaults for the unknown keys, and `size` for the size."""
        known = {
            name: value
            for name in self.__struct_fields__
            if (value := getattr(self, name)) is not None
        }
        return Preprocess(**{"size": size, **known})

    @property
    def assumed(self) -> tuple[Assumable, ...]:
        """The unknown keys, except the size; `completed` gives them their defaults."""
        return tuple(name for name in get_args(Assumable) if getattr(self, name) is None)


def assumption(assumed: Sequence[Assumable]) -> str:
    """Returns a note that says what was assumed, and which options change it."""
    statistics = " and ".join(name for name in ("mean", "std") if name in assumed)
    default = Preprocess(size=(1, 1))
    parts = [f"ImageNet {statistics}"] if statistics else []
    parts += [f"crop {default.crop}"] if "crop" in assumed else []
    parts += [default.interpolation] if "interpolation" in assumed else []
    return f"assumed {', '.join(parts)}; override with {', '.join(f'--{n}' for n in assumed)}"


def check_scale(place: str, values: Sequence[float]) -> None:
    """Refuses means or standard deviations of samples between 0 and 255.

    Raises:
        ConfigError: Naming the values to give instead.
    """
    if max(values) > 1:
        found, divided = (
            ",".join(f"{value / scale:.6g}" for value in values) for scale in (1, 255)
        )
        raise ConfigError(
            f"{place}: found {found}, must be at most 1, as samples are scaled to 0..1; divide by "
            f"255: {divided}"
        )


def read_image(path: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Decodes an image (step 1 above).

    Returns:
        (H, W, 3) RGB.

    Raises:
        ImageError: The file is missing, damaged, in a format that is not read, or has more pixels
            than Pillow's limit.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.preinit()
    try:
        with warnings.catch_warnings():
            # Warnings are about damaged metadata and large images; neither changes the pixels.
            warnings.simplefilter("ignore")
            with Image.open(path, formats=_FORMATS) as image:
                return _rgb(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path}: not an image in a format that is read ({', '.join(_FORMATS)})"
        ) from error
    except Exception as error:  # a decoder may raise any error on foreign bytes
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{path}: not readable as an image: {reason}") from error


def _rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    if image.mode == "F":
        raise ValueError("found floating-point samples, must be 8 or 16 bits")
    if image.mode.startswith("I"):  # convert("RGB") would clip 16-bit grey to 255
        grey = np.asarray(image)
        if grey.min() < 0 or grey.max() > 0xFFFF:
            raise ValueError("found 32-bit samples, must be 8 or 16 bits")
        return np.repeat((grey >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
    return np.array(image.convert("RGB"))


def pixels(image: npt.NDArray[np.uint8], preprocess: Preprocess) -> npt.NDArray[np.uint8]:
    """Resizes and crops an image to the model's input (steps 2 and 3 above).

    Args:
        image: (h, w, 3) RGB of any size.
        preprocess: Its size, crop and interpolation are used.

    Returns:
        (H, W, 3) RGB.

    Raises:
        ImageError: The image is so long that it would be resized beyond Pillow's limit.
    """
    from PIL import Image

    height, width = _resized(image.shape[0], image.shape[1], preprocess)
    if height * width > _MAX_PIXELS:
        raise ImageError(
            f"an image of {image.shape[0]}x{image.shape[1]} would be resized to {height}x{width}, "
            f"at most {_MAX_PIXELS} pixels are allowed"
        )
    resampling = Image.Resampling[preprocess.interpolation.upper()]
    resized = np.asarray(Image.fromarray(image).resize((width, height), resampling))
    top, left = (
        round((have - want) / 2)
        for have, want in zip((height, width), preprocess.size, strict=True)
    )
    return resized[top : top + preprocess.size[0], left : left + preprocess.size[1]].copy()


def _resized(height: int, width: int, preprocess: Preprocess) -> tuple[int, int]:
    """Returns the resized sides: torchvision's Resize if the target is square, else timm's rule."""
    to_height, to_width = (math.floor(side / preprocess.crop) for side in preprocess.size)
    if to_height != to_width:
        ratio = min(height / to_height, width / to_width)
        return round(height / ratio), round(width / ratio)
    shorter = min(height, width)
    return to_height * height // shorter, to_height * width // shorter


def normalise(pixels: npt.NDArray[np.uint8], preprocess: Preprocess) -> npt.NDArray[np.float32]:
    """Turns RGB bytes into a model's float input (step 4 above).

    Args:
        pixels: (..., H, W, 3).
        preprocess: Its mean and std are used.

    Returns:
        (..., 3, H, W).
    """
    mean, std = (
        np.array(values, np.float32)[:, None, None] for values in (preprocess.mean, preprocess.std)
    )
    planes = np.moveaxis(pixels, -1, -3).astype(np.float32, order="C")
    planes /= np.float32(255)
    planes -= mean
    planes /= std
    return planes


def list_images(folder: str | os.PathLike[str]) -> list[Path]:
    """Finds the images in a folder and its subfolders by suffix, sorted by path.

    Hidden files are left out: macOS writes a `._name.jpg` beside every image on foreign disks.

    Raises:
        ImageError: The folder is missing, not readable, or holds no image.
    """

    def refuse(error: OSError) -> None:
        raise ImageError(f"{error.filename}: {error.strerror}") from error

    found = [
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=refuse, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")
    ]
    if not found:
        raise ImageError(f"{folder}: no image found, looked for {' '.join(_SUFFIXES)}")
    return sorted(found, key=lambda path: path.relative_to(folder).parts)


def random_images(preprocess: Preprocess, n: int, seed: int) -> npt.NDArray[np.uint8]:
    """Generates images with the statistics of natural ones, for golden pairs if none are given.

    Each image is smooth noise in octaves of equal strength, which has the 1/f amplitude spectrum of
    natural scenes, covered by rectangles for their edges. Image i depends on the seed and i alone.
    All arithmetic is elementwise IEEE, so that every platform gets the same bytes.

    Returns:
        (n, H, W, 3) RGB of the size in `preprocess`.
    """
    images = np.empty((n, *preprocess.size, 3), np.uint8)
    for i in range(n):
        rng = np.random.default_rng((seed, i))
        scene = _noise(preprocess.size, rng)
        _add_rectangles(scene, rng)
        images[i] = np.clip(np.rint(scene * 0.375 + 120), 0, 255)
    return images


def _colours(shape: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Returns random colours (H, W, 3) around 0, mostly grey, as in natural scenes."""
    grey = rng.integers(-128, 128, (*shape, 1))
    return grey + rng.integers(-32, 32, (*shape, 3))


def _noise(size: tuple[int, int], rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Returns noise (H, W, 3): octaves from the coarsest down, doubled bilinearly at each step."""

    def cells(octave: int) -> tuple[int, int]:
        return -(-size[0] >> octave) + 1, -(-size[1] >> octave) + 1

    octaves = max(size).bit_length()
    noise = _colours(cells(octaves), rng).astype(np.float64)
    for octave in range(octaves - 1, -1, -1):
        height, width = cells(octave)
        for axis in (0, 1):
            noise = _doubled(noise, axis)
        noise = noise[:height, :width]
        if octave:  # neighbouring pixels of a photo hardly differ
            noise += _colours((height, width), rng)
    return noise[: size[0], : size[1]]


def _doubled(grid: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Inserts the mean of each two neighbours between them: n values become 2 n - 1."""
    values = np.moveaxis(grid, axis, 0)
    out = np.empty((2 * len(values) - 1, *values.shape[1:]))
    out[::2] = values
    out[1::2] = (values[:-1] + values[1:]) / 2
    return np.moveaxis(out, 0, axis)


def _add_rectangles(scene: npt.NDArray[np.float64], rng: np.random.Generator) -> None:
    """Covers the scene with twelve rectangles, an eighth to half as long as each side."""
    height, width, _ = scene.shape
    for colour in _colours((12, 1), rng)[:, 0]:
        top, left = int(rng.integers(height)), int(rng.integers(width))
        high, wide = (1 + (side >> int(rng.integers(1, 4))) for side in (height, width))
        covered = scene[top : top + high, left : left + wide]
        covered *= 0.25
        covered += colour * 1.5
