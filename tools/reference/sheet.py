"""Stores images of one size as the tiles of one JPEG, a file small enough for the repository."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]


def write_sheet(path: Path, images: Pixels, labels: Pixels, rows: int, quality: int) -> None:
    """Writes an .npz with `sheet`, the bytes of a JPEG of `rows` rows of tiles, and `labels`.

    Args:
        path: The file.
        images: (N, side, side, 3) RGB; N is a multiple of `rows`, and `side` of 8, so that no
            block of the JPEG reaches into two tiles.
        labels: The classes, (N,).
        rows: The number of rows of the sheet.
        quality: The quality of the JPEG.
    """
    side = images.shape[1]
    tiles = images.reshape(rows, -1, side, side, 3).swapaxes(1, 2)
    stream = io.BytesIO()
    picture = Image.fromarray(tiles.reshape(rows * side, -1, 3))
    # Colour at full resolution: at half of it, colours of adjacent tiles would mix.
    picture.save(stream, "jpeg", quality=quality, subsampling="4:4:4")
    np.savez(path, sheet=np.frombuffer(stream.getvalue(), np.uint8), labels=labels)


def read_sheet(path: Path) -> tuple[Pixels, Pixels]:
    """Returns the images, (N, side, side, 3) RGB with the JPEG's loss, and the labels, (N,)."""
    with np.load(path) as file:
        data, labels = file["sheet"].tobytes(), file["labels"]
    with Image.open(io.BytesIO(data)) as picture:
        pixels = np.asarray(picture)
    side = round((pixels.shape[0] * pixels.shape[1] / len(labels)) ** 0.5)
    tiles = pixels.reshape(-1, side, pixels.shape[1] // side, side, 3).swapaxes(1, 2)
    return tiles.reshape(-1, side, side, 3), labels
