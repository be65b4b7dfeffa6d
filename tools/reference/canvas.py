"""Building blocks of composed images: randomness, coordinates, backgrounds, pens and a camera.

Everything is a batched tensor operation, so that training draws hundreds of images per second.
Coordinates are (N, 1, H, W), x to the right and y downwards; the shorter side spans -1 to 1.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F


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
        """Returns noise of unit variance on a coarse grid, interpolated to `size`."""
        coarse = self.normal((channels, *grid))
        return F.interpolate(coarse, size, mode="bilinear", align_corners=False)

    def colour(self, table: list[tuple[float, float, float]], jitter: float) -> Tensor:
        base = torch.tensor(table)[self.index(len(table))][:, :, None, None]
        return (base + self.uniform(-jitter, jitter, 3)).clamp(0.02, 1)


def rotate(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the coordinates in a frame turned by `angle` radians."""
    c, s = torch.cos(angle), torch.sin(angle)
    return c * x + s * y, c * y - s * x


def strokes(draw: Draw, fields: Tensor, x: Tensor, y: Tensor, edge: Tensor) -> Tensor:
    """Returns the coverage by ink, (N, 1, H, W), of digits with boxes from -1 to 1 in `x` and `y`.

    Args:
        draw: The source of randomness.
        fields: (N, 2, 56, 56) from `distances`.
        x: Horizontal coordinates, (N, 1, H, W).
        y: Vertical coordinates, downwards, of the same shape.
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


def backdrop(draw: Draw, photos: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Returns (N, 3, H, W) backgrounds: crops of the photographs, or desks with a grain."""
    n, size = draw.n, (x.shape[-2], x.shape[-1])
    count = photos.shape[2] // photos.shape[3]
    photo = draw.index(count).view(n, 1, 1, 1)
    zoom = draw.uniform(0.35, 0.72)
    at_x, at_y = ((0.99 - zoom * u.max()) * draw.uniform(-1, 1) + zoom * u for u in (x, y))
    at_y = (2 * photo + 1 + at_y) / count - 1
    # One tall image and one tall grid avoid a copy of a photograph per image of the batch.
    grid = torch.cat([at_x, at_y], 1).permute(0, 2, 3, 1).reshape(1, n * size[0], size[1], 2)
    crop = F.grid_sample(photos, grid, align_corners=False)
    crop = crop.reshape(3, n, *size).transpose(0, 1) * draw.uniform(0.6, 1.2)
    grain = 1 + 0.12 * draw.smooth((40, 4), size) + 0.05 * draw.smooth((90, 6), size)
    desk = draw.uniform(0.15, 0.8) * draw.uniform(0.75, 1, 3) * grain
    return torch.where(draw.chance(0.3), desk, crop)


def cut(draw: Draw, x: Tensor, y: Tensor, at: tuple[Tensor, Tensor], clear: Tensor) -> Tensor:
    """Returns the coverage by a straight object, such as a pen, at least `clear` from `at`."""
    angle = draw.uniform(0, 2 * math.pi)
    along = torch.cos(angle) * (x - at[0]) + torch.sin(angle) * (y - at[1])
    start = clear + draw.uniform(0, 0.4)
    end = start + draw.log_uniform(0.02, 1.5)
    return ((torch.minimum(along - start, end - along)) / 0.02).clamp(0, 1)


def light(draw: Draw, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Applies exposure, white balance, a gradient and the shadow of an object outside the frame."""
    size = (x.shape[-2], x.shape[-1])
    gain = 1 + draw.uniform(-0.2, 0.2) * x + draw.uniform(-0.2, 0.2) * y
    angle, soft = draw.uniform(0, 2 * math.pi), draw.log_uniform(0.02, 0.5)
    across = torch.cos(angle) * x + torch.sin(angle) * y + 0.08 * draw.smooth((3, 3), size)
    shadow = torch.sigmoid((across - draw.uniform(-0.6, 0.8)) / soft)
    gain = gain * (1 - shadow * draw.uniform(0.1, 0.45) * draw.chance(0.45))
    return image * gain * draw.uniform(0.75, 1.12) * draw.uniform(0.9, 1.08, 3)


def blur(draw: Draw, image: Tensor) -> Tensor:
    """Applies focus and motion blur: one Gaussian per image, longer in one direction."""
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
    """Applies JPEG's loss: rounds 8 x 8 blocks' coefficients to steps that grow with frequency."""
    n, channels, height, width = image.shape
    k = torch.arange(8.0)
    cosines = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    cosines[0] /= math.sqrt(2)
    steps = (1 + k[None] + k[:, None]) * draw.log_uniform(0.002, 0.03)[..., None, None]
    blocks = image.view(n, channels, height // 8, 8, width // 8, 8).transpose(3, 4)
    blocks = cosines.T @ ((cosines @ blocks @ cosines.T / steps).round() * steps) @ cosines
    return blocks.transpose(3, 4).reshape(image.shape)


def photograph(draw: Draw, image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Returns what a camera makes of a scene: (N, 3, H, W) uint8 RGB, lit, blurred and noisy."""
    image = light(draw, image.clamp(0, 1), x, y) * 1.15
    grey = image.mean((1, 2, 3), keepdim=True)
    image = grey + (image - grey) * draw.log_uniform(0.6, 1.4)
    image = blur(draw, image)
    image = image + draw.log_uniform(0.003, 0.04) * draw.normal((3, *image.shape[2:]))
    return (compress(draw, image).clamp(0, 1) * 255).round().to(torch.uint8)


def square(picture: Image.Image, side: int) -> Tensor:
    """Returns the middle square of an image, (3, side, side) from 0 to 1."""
    edge = min(picture.size)
    left, top = ((n - edge) // 2 for n in picture.size)
    box = (left, top, left + edge, top + edge)
    resized = picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS, box)
    return torch.from_numpy(np.asarray(resized, np.float32) / 255).permute(2, 0, 1)
