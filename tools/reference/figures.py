"""Defines the 24 classes (ten digits, seven shapes, seven textures) and draws them as distances.

A digit consists of curves through control points; a shape is a polygon, a texture a pattern within
a blob. Every source moves the points of its class at random, as handwriting does.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FIELD = 56
"""Side of a field of distances; it spans -1 to 1 in each direction."""

Points = list[tuple[float, float]]


def _arc(x: float, y: float, rx: float, ry: float, start: int, stop: int) -> Points:
    """Returns points of an ellipse from one clock hour to another, backwards if `stop` is less."""
    hours = range(start, stop + 1) if stop > start else range(start, stop - 1, -1)
    return [(x + rx * math.sin(h * math.pi / 6), y - ry * math.cos(h * math.pi / 6)) for h in hours]


def _star(corners: int, inner: float) -> Points:
    """Returns a star; a regular polygon if `inner` is the radius of the middles of its sides."""
    angles = [i * math.pi / corners for i in range(2 * corners)]
    radii = [0.85 if i % 2 == 0 else 0.85 * inner for i in range(2 * corners)]
    return [(r * math.sin(a), -r * math.cos(a)) for a, r in zip(angles, radii, strict=True)]


# A point given twice is a corner.
_DIGITS: dict[str, list[Points]] = {
    "0": [_arc(0, 0, 0.5, 0.8, 0, 12)],
    "1": [[(-0.25, -0.5), (0.05, -0.8), (0.05, -0.8), (0.05, 0.0), (0.05, 0.8)]],
    "2": [
        [*_arc(0, -0.35, 0.45, 0.45, -3, 4), (-0.5, 0.75), (-0.5, 0.75), (0.0, 0.75), (0.55, 0.75)]
    ],
    "3": [[*_arc(-0.05, -0.4, 0.4, 0.4, -2, 5), (-0.05, 0.0), *_arc(-0.05, 0.4, 0.48, 0.42, 1, 8)]],
    "4": [
        [(-0.1, -0.8), (-0.3, -0.3), (-0.55, 0.2), (-0.55, 0.2), (0.0, 0.2), (0.55, 0.2)],
        [(0.2, -0.25), (0.2, 0.3), (0.2, 0.8)],
    ],
    "5": [
        [(-0.35, -0.75), (-0.4, -0.1), (-0.4, -0.1), *_arc(-0.05, 0.3, 0.5, 0.48, -1, 8)],
        [(-0.35, -0.75), (0.1, -0.77), (0.5, -0.75)],
    ],
    "6": [[(0.35, -0.75), (-0.15, -0.45), *_arc(0, 0.3, 0.45, 0.48, -3, -14)]],
    "7": [[(-0.5, -0.75), (0.0, -0.77), (0.5, -0.75), (0.5, -0.75), (0.15, 0.0), (-0.1, 0.8)]],
    "8": [[*_arc(0, -0.4, 0.38, 0.38, 6, -5), *_arc(0, 0.4, 0.45, 0.42, 1, 12)]],
    "9": [[*_arc(0, -0.32, 0.42, 0.44, 3, -9), (0.4, 0.2), (0.3, 0.8)]],
}
_SHAPES: dict[str, Points] = {
    "disc": _star(24, 1.0),
    "triangle": _star(3, 0.5),
    "square": [(-0.65, -0.65), (0.65, -0.65), (0.65, 0.65), (-0.65, 0.65)],
    "star": _star(5, 0.42),
    "cross": [
        *[(-0.27, -0.8), (0.27, -0.8), (0.27, -0.27), (0.8, -0.27), (0.8, 0.27), (0.27, 0.27)],
        *[(0.27, 0.8), (-0.27, 0.8), (-0.27, 0.27), (-0.8, 0.27), (-0.8, -0.27), (-0.27, -0.27)],
    ],
    "heart": [
        *[(0.0, 0.8), (-0.45, 0.4), (-0.78, 0.0), (-0.8, -0.35), (-0.6, -0.62), (-0.3, -0.62)],
        *[(0.0, -0.35), (0.3, -0.62), (0.6, -0.62), (0.8, -0.35), (0.78, 0.0), (0.45, 0.4)],
    ],
    "crescent": [*_arc(0, 0, 0.8, 0.8, 1, 11), *_arc(0, -0.3, 0.52, 0.55, 10, 2)],
}
TEXTURES = ("stripes", "checks", "dots", "grid", "rings", "zigzag", "bricks")
LABELS = (*_DIGITS, *_SHAPES, *TEXTURES)


def _smooth(points: Tensor) -> Tensor:
    """Returns a Catmull-Rom curve, (V, 4 n - 3, 2), through (V, n, 2) control points."""
    before = torch.cat([points[:, :1], points[:, :-2]], 1)
    after = torch.cat([points[:, 2:], points[:, -1:]], 1)
    start, stop = points[:, :-1], points[:, 1:]
    parts = []
    for t in (0.0, 0.25, 0.5, 0.75):
        parts.append(
            start
            + (stop - before) * (t / 2)
            + (2 * before - 5 * start + 4 * stop - after) * (t**2 / 2)
            + (3 * start - before - 3 * stop + after) * (t**3 / 2)
        )
    curve = torch.stack(parts, 2).flatten(1, 2)
    return torch.cat([curve, points[:, -1:]], 1)


def _fields(lines: list[Tensor], *, closed: bool) -> Tensor:
    """Returns (V, FIELD, FIELD) distances to (V, n, 2) polylines, negative inside a closed one."""
    side = (torch.arange(FIELD) + 0.5) * (2 / FIELD) - 1
    x, y = side.repeat(FIELD)[:, None], side.repeat_interleave(FIELD)[:, None]
    found = []
    for parts in zip(*lines, strict=True):  # one source at a time stays in the processor's cache
        ax, ay = torch.cat([part[:-1] for part in parts]).T
        bx, by = torch.cat([part[1:] for part in parts]).T - torch.stack([ax, ay])
        px, py = x - ax, y - ay
        along = ((px * bx + py * by) / (bx**2 + by**2).clamp(min=1e-9)).clamp(0, 1)
        distance = ((px - along * bx) ** 2 + (py - along * by) ** 2).amin(1).sqrt()
        if closed:
            crosses = ((py < 0) != (py < by)) & (px < bx * (py / by))
            distance = torch.where(crosses.sum(1) % 2 == 1, -distance, distance)
        found.append(distance.view(FIELD, FIELD))
    return torch.stack(found)


def figures(sources: int, seed: int) -> Tensor:
    """Draws `sources` of each class.

    Returns:
        (classes * sources, 2, FIELD, FIELD), class by class, as `canvas.strokes` takes them: the
        distance to the outline and to the pen's line, which are one for all but digits.
    """
    generator = torch.Generator().manual_seed(seed)

    def moved(points: Points, by: float) -> Tensor:
        jitter = torch.randn(sources, len(points), 2, generator=generator)
        # Double points stay together.
        same = [i - (i > 0 and points[i] == points[i - 1]) for i in range(len(points))]
        return torch.tensor(points) + by * jitter[:, same]

    found = []
    for strokes in _DIGITS.values():
        line = _fields([_smooth(moved(points, 0.05)) for points in strokes], closed=False)
        nib = 0.05 + 0.08 * torch.rand(sources, 1, 1, generator=generator)
        found.append(torch.stack([line - nib, line - 0.02], 1))
    outlines = [moved(points, 0.02) for points in _SHAPES.values()]
    for _ in TEXTURES:
        radius = 0.7 + 0.12 * torch.randn(sources, 10, 1, generator=generator)
        around = torch.tensor(_star(5, 1.0)) * radius
        outlines.append(_smooth(torch.cat([around, around[:, :1]], 1))[:, :-1])
    for outline in outlines:
        field = _fields([torch.cat([outline, outline[:, :1]], 1)], closed=True)
        found.append(torch.stack([field, field], 1))
    return torch.cat(found)


def textures(u: Tensor, v: Tensor) -> Tensor:
    """Returns every texture, (N, 7, H, W) from -1 to 1, at coordinates in units of its pitch."""
    wave = 2 * math.pi
    to_u, to_v = (u % 1 - 0.5).abs(), (v % 1 - 0.5).abs()
    row = v.floor() % 2 / 2
    joint = torch.maximum(((u / 2 + row) % 1 - 0.5).abs() * 2 - 0.5, to_v)
    found = [
        torch.sin(wave * u) * 4,
        torch.sin(wave * u / 1.5) * torch.sin(wave * v / 1.5) * 8,
        (0.3 - (to_u**2 + to_v**2).sqrt()) * 12,
        (torch.maximum(to_u, to_v) - 0.36) * 16,
        torch.sin(wave * (u**2 + v**2).sqrt()) * 4,
        torch.sin(wave * (v + (u % 2 - 1).abs())) * 4,
        (joint - 0.38) * 16,
    ]
    return torch.cat(found, 1).clamp(-1, 1)
