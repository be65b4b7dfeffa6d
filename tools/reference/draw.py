"""Composes the reference images of a task.

    python -m tools.reference.draw --split calibration --count 512 -o DIR

The task `figures` shows a figure of one of 24 classes on a cluttered background; `--task` names
another one (see `surfaces`). The command writes DIR/<class>/<index>.png, as `mnv4 build --calibrate
DIR` and `mnv4 evaluate` expect it; `-o FILE.npz` writes the images as one sheet
(`sheet.read_sheet`), which is lossy but small.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mnv4_mobile.images import Preprocess, random_images
from tools.reference import canvas, surfaces
from tools.reference.canvas import Draw, rotate
from tools.reference.figures import LABELS, TEXTURES, figures, textures
from tools.reference.sheet import write_sheet

SIDE = 96
BLOCK = 64
"""The number of images that share a random generator: image i is i % BLOCK of block i // BLOCK."""
SPLITS = {"training": 1, "calibration": 2, "evaluation": 3}
"""The seeds of the splits, each with its own figures, clutter and randomness."""
PREPROCESS = Preprocess(
    size=(SIDE, SIDE), crop=1.0, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3
)
_SOURCES, _CLUTTER = 64, 12
_ROWS, _QUALITY = 8, 85
_PHOTOS = Path(__file__).parents[2] / "mnv4_mobile" / "demo" / "photos"
_BACKDROP = 256


@cache
def _figures(split: str) -> Tensor:
    """Returns the figures of a split, (classes * _SOURCES, 2, FIELD, FIELD)."""
    return figures(_SOURCES, SPLITS[split])


@cache
def _backgrounds(split: str) -> Tensor:
    """Returns the backgrounds of a split's images, (1, 3, squares * _BACKDROP, _BACKDROP)."""
    squares = [canvas.square(Image.open(path), _BACKDROP) for path in sorted(_PHOTOS.glob("*.jpg"))]
    squares = squares * 2 + list(_leaves(torch.cat(squares, 2), SPLITS[split]))
    return torch.cat(squares, 1)[None]


def _leaves(photos: Tensor, seed: int) -> Tensor:
    """Returns (_CLUTTER, 3, side, side) images of overlapping objects in the photos' colours.

    This is the dead leaves model: objects of all sizes, each in front of the last, whose edges and
    sizes are distributed as in photographs of the world.
    """
    draw = Draw(_CLUTTER, seed)
    about = Preprocess(
        size=(_BACKDROP,) * 2, crop=1.0, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    base = torch.from_numpy(random_images(about, _CLUTTER, seed)).permute(0, 3, 1, 2) / 255
    image = base.clone()
    at = (torch.arange(_BACKDROP) + 0.5) * (2 / _BACKDROP) - 1
    colours = photos.flatten(1).T
    for _ in range(90):
        size = 0.05 / draw.uniform(0.06, 1) ** 0.8
        x, y = rotate(
            at - draw.uniform(-1.1, 1.1),
            at[:, None] - draw.uniform(-1.1, 1.1),
            draw.uniform(0, 3.2),
        )
        y = y * draw.uniform(1, 2.5)
        reach = torch.where(draw.chance(0.5), (x**2 + y**2).sqrt(), torch.maximum(x.abs(), y.abs()))
        cover = ((size - reach) * (_BACKDROP / 2) + 0.5).clamp(0, 1)
        colour = colours[draw.index(len(colours))][:, :, None, None]
        shade = 1 + draw.uniform(-0.4, 0.4) * x / size + draw.uniform(0, 0.8) * (base - 0.5)
        image = torch.lerp(image, colour * shade, cover)
    return image.clamp(0, 1)


def render(split: str, block: int, task: str = "figures") -> tuple[Tensor, Tensor]:
    """Returns one block of a split: (BLOCK, 3, SIDE, SIDE) uint8 RGB and (BLOCK,) labels."""
    chosen = TASKS[task]
    labels = (block * BLOCK + torch.arange(BLOCK)) % len(chosen.labels)
    seed = SPLITS[split] * 1_000_000 + block
    return chosen.compose(split, labels, seed, SIDE, 1), labels


def compose(split: str, labels: Tensor, seed: int, side: int, busy: float) -> Tensor:
    """Composes one image per label of the task `figures`.

    Args:
        split: The split whose figures and backgrounds are used.
        labels: The classes, (N,).
        seed: The same seed gives the same images.
        side: The side of the images, a multiple of 8.
        busy: From 0, a large upright figure on white, to 1, the images of the split.

    Returns:
        (N, 3, side, side) uint8 RGB.
    """
    fields, backgrounds = _figures(split), _backgrounds(split)
    draw, pixel, size = Draw(len(labels), seed), 2 / side, (side, side)
    line = (torch.arange(side) + 0.5) * pixel - 1
    x, y = (at.expand(1, 1, *size) for at in (line.view(1, 1, 1, -1), line.view(1, 1, -1, 1)))

    image = canvas.backdrop(draw, backgrounds, x, y)
    middle = image.mean((2, 3), keepdim=True)
    image = middle + (image - middle) * draw.uniform(0.1, 0.8)
    image = (1 - busy) + busy * image
    # Another figure beside it, then the figure itself.
    for main in (False, True):
        scale = draw.log_uniform(0.5, 0.9) if main else draw.log_uniform(0.2, 0.4)
        scale = scale**busy * 0.9 ** (1 - busy)
        room = (0.95 - 0.8 * scale).clamp(min=0.05) if main else 0.9
        at = (draw.uniform(-busy, busy) * room, draw.uniform(-busy, busy) * room)
        fx, fy = _bent(draw, (x - at[0]) / scale, (y - at[1]) / scale, busy)
        chosen = labels if main else draw.index(len(LABELS))
        source = chosen * _SOURCES + draw.index(_SOURCES)
        cover = canvas.strokes(draw, fields[source], fx, fy, pixel / scale)
        paint = _paint(draw, chosen, fx, fy) + _colour(draw, image, cover, busy)
        shadow = torch.roll(cover, (3, 3), (2, 3)) * draw.chance(0.3) * 0.5
        shown = 1.0 if main else draw.chance(0.4 * busy)
        image = image * (1 - shadow * shown)
        image = torch.lerp(image, paint, cover * draw.uniform(0.8, 1) * shown)

    # Objects in front of it: strips that begin away from its middle.
    for _ in range(2):
        thing = canvas.cut(draw, x, y, at, 0.45 * scale) * draw.chance(0.2 * busy)
        image = torch.lerp(image, draw.uniform(0.05, 0.95, 3).expand_as(image), thing)
    return canvas.photograph(draw, image, x, y)


def _bent(draw: Draw, x: Tensor, y: Tensor, busy: float) -> tuple[Tensor, Tensor]:
    """Returns a figure's coordinates, turned, sheared, stretched and warped."""
    size = (x.shape[-2], x.shape[-1])
    x, y = rotate(x, y, draw.uniform(-0.3 * busy, 0.3 * busy))
    aspect = draw.log_uniform(0.8, 1.25)
    x, y = (x + draw.uniform(-0.2, 0.2) * y * busy) * aspect, y / aspect
    x = x + draw.uniform(0, 0.06) * draw.smooth((4, 4), size)
    y = y + draw.uniform(0, 0.06) * draw.smooth((4, 4), size)
    return x, y


def _colour(draw: Draw, image: Tensor, cover: Tensor, busy: float) -> Tensor:
    """Returns colours, (N, 3, 1, 1), that are roughly lighter or darker than what figures cover."""
    apart = draw.log_uniform(0.28, 0.65) * torch.where(draw.chance(0.5), 1.0, -1.0)
    apart = torch.lerp(torch.full_like(apart, -0.7), apart, busy)
    behind = (image * cover).sum((2, 3), keepdim=True) / (cover.sum((2, 3), keepdim=True) + 1)
    middle = behind.mean(1, keepdim=True)
    apart = torch.where((middle + apart - 0.5).abs() > 0.48, -apart, apart)
    return middle + apart + draw.uniform(-0.25, 0.25, 3)


def _paint(draw: Draw, labels: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Returns (N, 3, H, W) to add to a figure's colour: its texture, or a shade if it has none."""
    u, v = rotate(x, y, draw.uniform(0, math.pi))
    pitch = draw.log_uniform(0.22, 0.5)
    kind = (labels - (len(LABELS) - len(TEXTURES))).view(-1, 1, 1, 1)
    at_u, at_v = (w / pitch + draw.uniform(-0.3, 0.3) for w in (u, v))
    patterns = textures(at_u, at_v)
    pattern = patterns.gather(1, kind.clamp(min=0).expand(-1, 1, *patterns.shape[2:]))
    strength = draw.log_uniform(0.10, 0.4) * (1 + draw.uniform(-0.5, 0.5, 3))
    shade = draw.uniform(-0.25, 0.25) * u + draw.uniform(0, 0.1) * draw.smooth(
        (12, 12), (x.shape[-2], x.shape[-1])
    )
    return torch.where(kind >= 0, pattern * strength, shade)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What the images show."""

    labels: tuple[str, ...]
    compose: Callable[[str, Tensor, int, int, float], Tensor]
    """Composes one image per label; the arguments are those of the function `compose`."""


def _textures(split: str, labels: Tensor, seed: int, side: int, busy: float) -> Tensor:
    return surfaces.compose_textures(labels, seed, side, busy)


def _pairs(split: str, labels: Tensor, seed: int, side: int, busy: float) -> Tensor:
    fields = _figures(split)
    fields = fields.view(len(LABELS), -1, *fields.shape[1:])
    return surfaces.compose_pairs(fields, labels, seed, side, busy)


TASKS = {
    "figures": Task(labels=LABELS, compose=compose),
    "textures": Task(labels=surfaces.SURFACES, compose=_textures),
    "pairs": Task(labels=surfaces.PAIRS, compose=_pairs),
}


def pictures(split: str, count: int, task: str = "figures") -> tuple[Tensor, Tensor]:
    """Returns the first `count` images of a split, (count, 3, SIDE, SIDE) uint8 RGB, and labels."""
    blocks = [render(split, block, task) for block in range(-(-count // BLOCK))]
    images, labels = (torch.cat(parts)[:count] for parts in zip(*blocks, strict=True))
    return images, labels


def write_folder(split: str, count: int, folder: Path, task: str = "figures") -> None:
    """Writes FOLDER/<class>/<index>.png."""
    names = TASKS[task].labels
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for at, (image, label) in enumerate(zip(*pictures(split, count, task), strict=True)):
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        picture.save(folder / names[label] / f"{at:05}.png")


def main() -> None:
    """Draws images of a split and writes them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--task", choices=TASKS, default="figures")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("-o", "--out", type=Path, required=True, help="a folder, or an .npz file")
    options = parser.parse_args()
    if options.out.suffix == ".npz":
        images, labels = pictures(options.split, options.count, options.task)
        pixels = images.permute(0, 2, 3, 1).numpy()
        write_sheet(options.out, pixels, labels.numpy().astype(np.uint8), _ROWS, _QUALITY)
    else:
        write_folder(options.split, options.count, options.out, options.task)


if __name__ == "__main__":
    main()
