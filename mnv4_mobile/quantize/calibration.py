"""Calibration images: chosen by a seed, decoded one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mnv4_mobile import files
from mnv4_mobile.errors import ConfigError, ImageError
from mnv4_mobile.images import Preprocess, list_images, pixels, random_images, read_image
from mnv4_mobile.progress import Progress

MADE_UP = "random"
"""Instead of a folder: pictures made up by `random_images`."""
FEW = 100
"""Fewer images than this get a warning."""
_ALIKE = 2.0
"""Standard deviation over images of a pixel, of 255, below which they look alike."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Pictures to calibrate with; iterating decodes them, (H, W, 3) RGB each, after resizing."""

    paths: tuple[Path, ...]
    """Empty for made-up pictures."""
    made_up: int
    """How many pictures are made up; they serve structure and speed, not accuracy."""
    seed: int
    preprocess: Preprocess
    held: tuple[Path, ...] = ()
    """Pictures that are left out of it, to judge by."""
    skipped: int = 0
    """Files that could not be read."""

    def __len__(self) -> int:
        """How many there are."""
        return self.made_up or len(self.paths)

    def __iter__(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Decodes them in order, one at a time."""
        if self.made_up:
            yield from made_up(self.preprocess, self.made_up, self.seed)
        for path in self.paths:
            yield pixels(read_image(path), self.preprocess)

    def others(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Decodes images that are not among these, to judge by: those held back."""
        if self.made_up:
            yield from made_up(self.preprocess, self.made_up, self.seed + 1)
        for path in self.held:
            yield pixels(read_image(path), self.preprocess)

    def held_back(self) -> npt.NDArray[np.uint8]:
        """All `others` at once, (N, H, W, 3) RGB."""
        return np.stack(list(self.others()))

    def sha256(self) -> str | None:
        r"""Of the sorted lines `<sha256>\n` of all pictures; None for made-up ones."""
        if self.made_up:
            return None
        lines = sorted(f"{files.sha256(path)}\n" for path in (*self.paths, *self.held))
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def made_up(preprocess: Preprocess, count: int, seed: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Random pictures with the statistics of natural ones."""
    for i in range(count):
        yield random_images(preprocess, 1, seed * 1_000_003 + 1 + i)[0]


def candidates(source: str, *, images: int, seed: int) -> list[Path]:
    """The pictures of a folder that may be chosen, in the seed's order.

    Twice as many as are asked for: those that cannot be read are replaced by the next ones.

    Raises:
        ImageError: No folder, or no picture in it.
    """
    paths = list_images(source)
    order = np.random.default_rng(seed).permutation(len(paths))
    return [paths[index] for index in order[: 2 * images]]


def choose_images(
    source: str,
    preprocess: Preprocess,
    *,
    images: int,
    seed: int,
    progress: Progress,
    held_back: int = 0,
) -> Calibration:
    """Chooses calibration images.

    Args:
        source: A folder of pictures, with folders in it or not, or `random`: made up.
        preprocess: The artifact's.
        images: How many at most.
        seed: Which ones, where there are more.
        progress: Is told of files that are skipped, and of too few or too similar images.
        held_back: How many others to leave out, to judge by; a fifth of what there is at most.

    Raises:
        ConfigError: Fewer than two readable pictures, or five where some are held back.
        ImageError: No folder, or no picture in it.
    """
    if source == MADE_UP:
        progress.note("calibration images are made up: good for structure and speed only")
        return Calibration(paths=(), made_up=images, seed=seed, preprocess=preprocess)
    chosen: list[Path] = []
    skipped = 0
    total, squares = np.zeros((2, *preprocess.size, 3))
    for path in candidates(source, images=images + held_back, seed=seed):
        if len(chosen) == images + held_back:
            break
        try:
            image = pixels(read_image(path), preprocess)
        except ImageError as error:
            progress.note(f"calibration: skipped {error}")
            skipped += 1
            continue
        chosen.append(path)
        total += image
        squares += np.square(image, dtype=np.float64)
    if len(chosen) < (5 if held_back else 2):
        raise ConfigError(
            f"--calibrate: {source}: found {len(chosen)} readable pictures, must be "
            f"{5 if held_back else 2} or more, better {FEW} or more"
        )
    left_out = min(held_back, len(chosen) // 5)
    used = min(images, len(chosen) - left_out)
    if used < FEW:
        progress.note(f"calibration: only {used} pictures, better {FEW} or more")
    spread = float(
        np.sqrt(np.maximum(squares / len(chosen) - (total / len(chosen)) ** 2, 0)).mean()
    )
    if spread < _ALIKE:
        progress.note("calibration: the pictures look alike; ranges will not fit others")
    return Calibration(
        paths=tuple(chosen[:used]),
        made_up=0,
        seed=seed,
        preprocess=preprocess,
        held=tuple(chosen[used:]) if held_back else (),
        skipped=skipped,
    )
