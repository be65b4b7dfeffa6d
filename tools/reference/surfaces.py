"""Composes images of the two tasks that are all about texture.

`textures` shows one of 12 patterns over the whole image. In `pairs`, one of 17 figures lies on one
of seven patterns, and each pair is a class of its own: 119 classes, most of which differ from six
others only in the pattern and from sixteen only in the figure, so that the margins between a
network's best logits are small.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tools.reference import canvas
from tools.reference.canvas import Draw, rotate
from tools.reference.figures import LABELS, TEXTURES, textures

_FIGURES = LABELS[: -len(TEXTURES)]
SURFACES = (*TEXTURES, "weave", "hexagons", "scales", "spiral", "marble")
PAIRS = tuple(f"{figure} on {texture}" for figure in _FIGURES for texture in TEXTURES)


def _more_textures(draw: Draw, u: Tensor, v: Tensor) -> Tensor:
    """Returns the last five of SURFACES, (N, 5, H, W) from -1 to 1, in units of their pitch."""
    wave = 2 * math.pi
    to_u, to_v = (u % 1 - 0.5).abs(), (v % 1 - 0.5).abs()
    over = (u.floor() + v.floor()) % 2 == 0
    # A hexagon's centre is the nearer one of two lattices of rectangles.
    tall, centres = math.sqrt(3), []
    for shift in (0.0, 0.5):
        x, y = (u + shift) % 1 - 0.5, (v / tall + shift) % 1 - 0.5
        centres.append((x.abs(), y.abs() * tall))
    (ax, ay), (bx, by) = centres
    near = ax**2 + ay**2 < bx**2 + by**2
    x, y = torch.where(near, ax, bx), torch.where(near, ay, by)
    row = v.floor()
    scale = (((u + row % 2 / 2) % 1 - 0.5) ** 2 + (v - row) ** 2).sqrt()
    radius, angle = (u**2 + v**2).sqrt(), torch.atan2(v, u)
    bent = u + 0.5 * draw.smooth((5, 5), (u.shape[-2], u.shape[-1]))
    found = [
        (0.36 - torch.where(over, to_u, to_v)) * 12,
        (torch.maximum(x, x / 2 + y * tall / 2) - 0.42) * 16,
        torch.sin(wave * 2 * scale) * 4,
        torch.sin(wave * radius + angle) * 4,
        torch.sin(wave * bent) * 2,
    ]
    return torch.cat(found, 1).clamp(-1, 1)


def _coordinates(side: int) -> tuple[Tensor, Tensor]:
    line = (torch.arange(side) + 0.5) * (2 / side) - 1
    return line.expand(1, 1, side, side), line[:, None].expand(1, 1, side, side)


def _surface(draw: Draw, kinds: Tensor, x: Tensor, y: Tensor, busy: float) -> Tensor:
    """Returns (N, 3, H, W) of each image's pattern, turned, tilted and warped, in two colours."""
    size = (x.shape[-2], x.shape[-1])
    u, v = rotate(x, y, draw.uniform(-math.pi, math.pi) * busy)
    tilt = 1 + 0.25 * busy * (draw.uniform(-1, 1) * u + draw.uniform(-1, 1) * v)
    pitch = draw.log_uniform(0.22, 0.5)
    u, v = (
        w / tilt / pitch
        + draw.uniform(-1, 1)
        + busy * draw.uniform(0, 0.12) * draw.smooth((4, 4), size)
        for w in (u, v)
    )
    patterns = torch.cat([textures(u, v), _more_textures(draw, u, v)], 1)
    pattern = patterns.gather(1, kinds.view(-1, 1, 1, 1).expand(-1, 1, *size))
    strength = draw.log_uniform(0.08, 0.3) ** busy * 0.4 ** (1 - busy)
    ground = draw.uniform(0.25, 0.75, 3) + busy * 0.06 * draw.smooth((12, 12), size)
    painted: Tensor = ground + pattern * strength * (1 + draw.uniform(-0.5, 0.5, 3))
    return painted


def compose_textures(labels: Tensor, seed: int, side: int, busy: float) -> Tensor:
    """Composes one image per label of SURFACES; see `draw.compose`."""
    draw = Draw(len(labels), seed)
    x, y = _coordinates(side)
    image = _surface(draw, labels, x, y, busy)
    middle = (torch.zeros(1, 1, 1, 1),) * 2
    for _ in range(2):
        thing = canvas.cut(draw, x, y, middle, draw.uniform(0.3, 0.9)) * draw.chance(0.5 * busy)
        image = torch.lerp(image, draw.uniform(0.05, 0.95, 3).expand_as(image), thing)
    return canvas.photograph(draw, image, x, y)


def compose_pairs(fields: Tensor, labels: Tensor, seed: int, side: int, busy: float) -> Tensor:
    """Composes one image per label of PAIRS; see `draw.compose`.

    Args:
        fields: The split's figures, (classes, sources, 2, FIELD, FIELD).
        labels: The classes, (N,).
        seed: The same seed gives the same images.
        side: The side of the images, a multiple of 8.
        busy: From 0, large upright figures on patterns of high contrast, to 1.
    """
    draw, pixel = Draw(len(labels), seed), 2 / side
    x, y = _coordinates(side)
    figure, texture = labels // len(TEXTURES), labels % len(TEXTURES)
    image = _surface(draw, texture, x, y, busy)
    scale = draw.log_uniform(0.4, 0.7) ** busy * 0.7 ** (1 - busy)
    at = [draw.uniform(-busy, busy) * (0.95 - scale) for _ in range(2)]
    fx, fy = rotate((x - at[0]) / scale, (y - at[1]) / scale, draw.uniform(-0.3, 0.3) * busy)
    chosen = fields[figure, draw.index(fields.shape[1])]
    cover = canvas.strokes(draw, chosen, fx, fy, pixel / scale)
    middle = image.mean((1, 2, 3), keepdim=True)
    apart = torch.where(middle > 0.5, -1.0, 1.0) * draw.uniform(0.3, 0.5)
    paint = middle + apart + draw.uniform(-0.15, 0.15, 3)
    image = torch.lerp(image, paint.expand_as(image), cover * draw.uniform(0.85, 1))
    return canvas.photograph(draw, image, x, y)
