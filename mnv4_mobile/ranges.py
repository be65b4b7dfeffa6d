"""Ranges of activations from calibration images: the one rule for all targets.

Every target observes its own float graph, image by image, and asks here what range each tensor
gets. Outliers come from a few images: a percentile over images of each image's extremes leaves
those images out, where a percentile over values would cut every image's peaks, and where min/max
follows the worst image, the further the more images there are.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mnv4_mobile.recipe import Activations

_SAMPLES = 512  # values of a tensor that are kept of each image, for `mse`
_STEPS = 40  # candidate ranges of `mse`


class Ranges:
    """What is seen of a graph's tensors, one image at a time.

    Args:
        activations: The recipe's.
    """

    def __init__(self, activations: Activations) -> None:
        self._rule = activations
        self._low: dict[str, list[float]] = {}
        self._high: dict[str, list[float]] = {}
        self._samples: dict[str, list[npt.NDArray[np.float32]]] = {}

    def observe(self, name: str, values: npt.NDArray[np.float32]) -> None:
        """Adds what one image gave for one tensor."""
        self._low.setdefault(name, []).append(float(values.min()))
        self._high.setdefault(name, []).append(float(values.max()))
        if self._rule.range == "mse":
            flat = values.ravel()
            step = max(1, flat.size // _SAMPLES)
            self._samples.setdefault(name, []).append(flat[::step][:_SAMPLES].copy())

    def of(self, name: str) -> tuple[float, float]:
        """The range of a tensor, (low, high), which always holds zero.

        Symmetric where the recipe asks for it, and never empty.
        """
        low, high = np.array(self._low[name]), np.array(self._high[name])
        match self._rule.range:
            case "minmax":
                found = float(low.min()), float(high.max())
            case "image-percentile":
                share = self._rule.percentile
                found = float(np.percentile(low, 100 - share)), float(np.percentile(high, share))
            case "mse":
                found = _least_squares(np.concatenate(self._samples[name]))
        return proper(*found, symmetric=self._rule.symmetric)

    def all(self) -> dict[str, tuple[float, float]]:
        """The ranges of all tensors by name."""
        return {name: self.of(name) for name in self._low}


def proper(low: float, high: float, *, symmetric: bool = False) -> tuple[float, float]:
    """A range that holds zero, which padding and ReLU need exactly, and that is not empty."""
    low, high = min(low, 0.0), max(high, 0.0)
    if symmetric:
        high = max(-low, high)
        low = -high
    return (low, high) if high - low > 1e-8 else (low, low + 1e-8)


def _least_squares(values: npt.NDArray[np.float32]) -> tuple[float, float]:
    """The range, among shrunken ones, whose 8-bit grid has the least squared error."""
    low, high = proper(float(values.min()), float(values.max()))
    best, found = np.inf, (low, high)
    for share in np.linspace(1, 1 / _STEPS, _STEPS):
        scale = (high - low) * share / 255
        start = round(low * share / scale)
        grid = (np.clip(np.round(values / scale), start, start + 255)) * scale
        error = float(np.square(grid - values).sum(dtype=np.float64))
        if error < best:
            best, found = error, (low * share, high * share)
    return found
