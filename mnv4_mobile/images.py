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
import stat
import warnings
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from mnv4_mobile import limits
from mnv4_mobile.errors import ConfigError, ImageError
from mnv4_mobile.files import Read
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
_STRIP = 2**22  # number of pixels

Side = Annotated[int, Meta(ge=1, le=16384)]
"""A height or width of an input. Larger ones are mistakes and would take gigabytes."""
# Not tuple[Side, Side]: msgspec 0.23 crashes if a type allows a bounded number or a pair.
InputSize = Side | Annotated[tuple[Side, ...], Meta(min_length=2, max_length=2)]
"""An input size as YAML files give it: a number, or [height, width]."""


def height_and_width(size: int | tuple[int, ...]) -> tuple[int, int]:
    """Returns height and width of an input size as YAML files give it."""
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


Size = tuple[Side, Side]
"""Height and width of an input."""


class Preprocess(Record, frozen=True, kw_only=True):
    """How a decoded image becomes a model's input."""

    size: Size
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


def read_image(path: str | os.PathLike[str], read: Read = Path.read_bytes) -> npt.NDArray[np.uint8]:
    """Decodes an image (step 1 above).

    Args:
        path: The file.
        read: Returns its bytes.

    Returns:
        (H, W, 3) RGB.

    Raises:
        ImageError: The path is not a file, or the file is damaged, cut short, in a format that is
            not read, or larger than the limits (`mnv4_mobile.limits`).
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.preinit()
    if limits.lifted():
        Image.MAX_IMAGE_PIXELS = None
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):  # a FIFO would block, a device never end
            raise ImageError(f"{path}: a directory or device, must be a file")
        limits.check(path, "bytes", state.st_size, limits.IMAGE_BYTES, ImageError)
        data = read(Path(path))
    except OSError as error:
        raise ImageError(f"{path}: not readable as an image: {error.strerror}") from error
    try:
        with warnings.catch_warnings():
            # Warnings are about damaged metadata and large images; neither changes the pixels.
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data), formats=_FORMATS) as image:
                found = image.width * image.height
                limits.check(path, "pixels", found, limits.IMAGE_PIXELS, ImageError)
                image.load()
                if image.format == "PNG":
                    _check_rows(image, data)
                ImageOps.exif_transpose(image, in_place=True)
                return _rgb(image)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path}: not an image in a format that is read ({', '.join(_FORMATS)})"
        ) from error
    except Image.DecompressionBombError as error:  # raised by formats that decode when opened
        allowed = f"{limits.IMAGE_PIXELS}"
        raise ImageError(limits.too_large(path, "more pixels", allowed)) from error
    except Exception as error:  # a decoder may raise any error on foreign bytes
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{path}: not readable as an image: {reason}") from error


def _check_rows(image: Image.Image, data: bytes) -> None:
    """Refuses a PNG whose compressed data end before its last row, which Pillow reads as black.

    Rows are counted only if the last ones are black, because that takes as long as decoding.
    """
    last = image.crop((0, max(image.height - 2, 0), *image.size))
    black = [
        last.crop((0, row, last.width, row + 1)).getbbox(alpha_only=False) is None
        for row in range(last.height)
    ]
    if any(black) and (missing := _missing_bytes(data)) > 0:
        raise ValueError(f"image file is truncated ({missing} bytes of pixels are missing)")


def _missing_bytes(data: bytes) -> int:
    """Returns how many bytes of pixels a PNG's compressed data lack."""
    inflate = zlib.decompressobj()
    with BytesIO(data) as file:
        file.seek(8)
        wanted = 0
        while header := file.read(8):
            size, name = int.from_bytes(header[:4]), header[4:]
            if name == b"IHDR":
                wanted = _png_bytes(file.read(size))
            elif name == b"IDAT":
                rest = file.read(size)
                while rest and not inflate.eof and wanted > 0:
                    wanted -= len(inflate.decompress(rest, 2**20))
                    rest = inflate.unconsumed_tail
            else:
                file.seek(size, os.SEEK_CUR)
            if wanted <= 0:
                break
            file.seek(4, os.SEEK_CUR)
    return wanted


_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2))
_PASSES = (*_ADAM7, (0, 1, 1, 2))
"""The passes of an interlaced PNG: first column and row, steps of columns and rows."""


def _png_bytes(header: bytes) -> int:
    """Returns the size of a PNG's pixels before compression, from the fields of its IHDR chunk."""
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    bits = header[8] * {2: 3, 4: 2, 6: 4}.get(header[9], 1)
    passes = _PASSES if header[12] else ((0, 0, 1, 1),)
    total = 0
    for left, top, right, down in passes:
        columns, rows = -(-(width - left) // right), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total


def _rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """Returns the pixels of a loaded image, converted in strips to save memory."""
    if image.mode == "F":
        raise ValueError("found floating-point samples, must be 8 or 16 bits")
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP // max(width, 1))
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(top + rows, height)))
        if strip.mode.startswith("I"):  # convert("RGB") would clip 16-bit grey to 255
            grey = np.asarray(strip)
            if grey.min() < 0 or grey.max() > 0xFFFF:
                raise ValueError("found 32-bit samples, must be 8 or 16 bits")
            rgb[top : top + rows] = (grey >> 8)[:, :, None]
        else:
            rgb[top : top + rows] = np.asarray(strip.convert("RGB"))
    return rgb


def pixels(image: npt.NDArray[np.uint8], preprocess: Preprocess) -> npt.NDArray[np.uint8]:
    """Resizes and crops an image to the model's input (steps 2 and 3 above).

    Args:
        image: (h, w, 3) RGB of any size.
        preprocess: Its size, crop and interpolation are used.

    Returns:
        (H, W, 3) RGB.

    Raises:
        ImageError: The image is so long that it would be resized beyond the limit of pixels.
    """
    from PIL import Image

    height, width = _resized(image.shape[0], image.shape[1], preprocess)
    place = f"an image of {image.shape[0]}x{image.shape[1]}, resized to {height}x{width}"
    limits.check(place, "pixels", height * width, limits.IMAGE_PIXELS, ImageError)
    resampling = Image.Resampling[preprocess.interpolation.upper()]
    # The width first, as on devices: Pillow 13 chooses the order, and its rounding, by the sizes.
    narrow = Image.fromarray(image).resize((width, image.shape[0]), resampling)
    resized = np.asarray(narrow.resize((width, height), resampling))
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
    Links are followed, but each folder is read once: links may lead in circles.

    Raises:
        ImageError: The folder is missing, not readable, or holds no image.
    """

    def refuse(error: OSError) -> None:
        raise ImageError(f"{error.filename}: {error.strerror}") from error

    found: list[Path] = []
    visited: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        state = os.stat(parent)
        if (state.st_dev, state.st_ino) in visited:
            folders.clear()
            continue
        visited.add((state.st_dev, state.st_ino))
        folders.sort()  # which of two paths to a folder counts does not depend on the disk
        found += [
            Path(parent, name)
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
