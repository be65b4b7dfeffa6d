"""Finds ranges of activations from calibration images, by the same rules for all targets.

Every target observes its own float graph, image by image, and gets the range of each tensor here.
Outliers come from a few images. A percentile over images of each image's extremes leaves those
images out. A percentile over values would instead cut every image's peaks, and min/max follows the
worst image, which gets worse the more images there are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mnv4_mobile.recipe import Activations

_SAMPLES = 512  # number of a tensor's values kept per image, for rules about values
_STEPS = 40  # number of candidate ranges of such rules
_BINS = 2048  # number of bins of `histogram`
_LEVELS = 256  # number of 8-bit integers
_Values = npt.NDArray[np.float32]
_Cost = Callable[[float, float], float]


class Ranges:
    """The observed extremes and values of a graph's tensors, added one image at a time.

    Args:
        activations: The recipe's settings.
    """

    def __init__(self, activations: Activations) -> None:
        self._rule = activations
        self._low: dict[str, list[float]] = {}
        self._high: dict[str, list[float]] = {}
        self._samples: dict[str, list[_Values]] = {}
        self._found: dict[str, tuple[float, float]] = {}

    def following(self, activations: Activations) -> Ranges:
        """Returns the same observations under another rule."""
        other = Ranges(activations)
        other._low, other._high, other._samples = self._low, self._high, self._samples
        return other

    def observe(self, name: str, values: _Values) -> None:
        """Adds the values of one tensor for one image."""
        self._found.pop(name, None)
        self._low.setdefault(name, []).append(float(values.min()))
        self._high.setdefault(name, []).append(float(values.max()))
        if self._rule.range in ("mse", "histogram", "auto"):
            flat = values.ravel()
            step = max(1, flat.size // _SAMPLES)
            self._samples.setdefault(name, []).append(flat[::step][:_SAMPLES].copy())

    def of(self, name: str) -> tuple[float, float]:
        """Returns the range of a tensor, (low, high), which always holds zero.

        The range is symmetric if the recipe says so, and never empty. The rule must not be `auto`,
        which a build replaces earlier (`mnv4_mobile.builder.range_rule`).
        """
        if name not in self._found:
            self._found[name] = self._find(name)
        return self._found[name]

    def _find(self, name: str) -> tuple[float, float]:
        low, high = np.array(self._low[name]), np.array(self._high[name])
        match self._rule.range:
            case "minmax":
                found = float(low.min()), float(high.max())
            case "image-percentile":
                share = self._rule.percentile
                found = float(np.percentile(low, 100 - share)), float(np.percentile(high, share))
            case "mse":
                found = _best(np.concatenate(self._samples[name]), _squared_error)
            case "histogram":
                found = _best(np.concatenate(self._samples[name]), _divergence)
            case "auto":
                raise AssertionError("not a rule but a choice of one")
        return proper(*found, symmetric=self._rule.symmetric)

    def all(self) -> dict[str, tuple[float, float]]:
        """Returns the ranges of all tensors by name."""
        return {name: self.of(name) for name in self._low}


def proper(low: float, high: float, *, symmetric: bool = False) -> tuple[float, float]:
    """Returns a range, widened to hold zero, which padding and ReLU need exactly, and not empty."""
    low, high = min(low, 0.0), max(high, 0.0)
    if symmetric:
        high = max(-low, high)
        low = -high
    return (low, high) if high - low > 1e-8 else (low, low + 1e-8)


def _best(values: _Values, rule: Callable[[_Values], _Cost]) -> tuple[float, float]:
    """Returns the range with the least cost, among the full range and shrunken ones."""
    low, high = proper(float(values.min()), float(values.max()))
    cost = rule(values)
    ranges = [(low * share, high * share) for share in np.linspace(1, 1 / _STEPS, _STEPS)]
    return min(ranges, key=lambda found: cost(*found))


def _squared_error(values: _Values) -> _Cost:
    """Returns the function that gives the squared error of values on a range's 8-bit grid."""

    def cost(low: float, high: float) -> float:
        scale = (high - low) / (_LEVELS - 1)
        start = round(low / scale)
        grid = (np.clip(np.round(values / scale), start, start + _LEVELS - 1)) * scale
        return float(np.square(grid - values).sum(dtype=np.float64))

    return cost


def _divergence(values: _Values) -> _Cost:
    """Returns the function that gives the Kullback-Leibler divergence of a histogram on 256 levels.

    Values that a range cuts off count at its ends (Migacz, "8-bit inference with TensorRT", 2017).
    """
    bounds = proper(float(values.min()), float(values.max()))
    # ReLU gives many zeros. Zero is a step of every range, so zeros lose nothing.
    counts, edges = np.histogram(values[values != 0], _BINS, bounds)
    middles = (edges[1:] + edges[:-1]) / 2

    def cost(low: float, high: float) -> float:
        inside = (middles >= low) & (middles <= high)
        if not counts[inside].any():
            return float("inf")
        given = counts[inside].astype(np.float64)
        seen = given.copy()
        seen[0] += counts[middles < low].sum()
        seen[-1] += counts[middles > high].sum()
        level = np.arange(len(given)) * _LEVELS // len(given)
        filled = np.bincount(level, given > 0, _LEVELS)
        mean = np.bincount(level, given, _LEVELS) / np.maximum(filled, 1)
        left = np.where(given > 0, mean[level], 0.0)
        seen, left = seen / seen.sum(), left / max(left.sum(), 1.0)
        there = seen > 0
        return float((seen[there] * np.log(seen[there] / np.maximum(left[there], 1e-12))).sum())

    return cost
