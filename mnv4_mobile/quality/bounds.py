"""The bounds that `mnv4 tune` keeps, and how they rank the artifacts that it tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mnv4_mobile.bundle.manifest import TriedEntry
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import Count, Decibels, Record, Seconds

Objective = Literal["size", "latency"]


def check_number(option: str, value: float) -> None:
    """Refuses an option's value that is infinite or not a number.

    Raises:
        ConfigError: Naming the option.
    """
    if not math.isfinite(value):
        raise ConfigError(f"{option}: found {value}, must be a finite number")


class Tried(Record, frozen=True, kw_only=True):
    """An artifact that was built and judged."""

    recipe: Recipe
    """Its recipe."""
    entry: TriedEntry
    """What it costs and loses."""
    passed: bool
    """Whether it passed its recipe's gate."""
    sqnr_db: Decibels
    """Median over the images of the SQNR."""
    images: Count
    """Number of images that it was judged by."""
    seconds: Seconds
    """How long building and judging took."""

    @property
    def text(self) -> str:
        """One line that describes the artifact."""
        entry = self.entry
        latency = "" if entry.latency is None else f", {entry.latency:.2f} times the latency"
        return (
            f"{entry.recipe}: {entry.sqnr_db_p10:.1f} dB at the 10th percentile "
            f"({self.sqnr_db:.1f} median), {entry.drop:.2f} points, "
            f"{entry.bytes / 1e6:.2f} MB{latency}"
        )


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What the artifact has to keep, and what is minimized among those that keep it."""

    max_drop: float = 1.0
    """Largest drop in percentage points: of top-1 with classes, else of agreement."""
    min_p10: float = 22.0
    """Least 10th percentile over the images of the SQNR, in dB."""
    max_latency: float = 1.1
    """Largest latency, in multiples of that of the recipe that the search began with."""
    objective: Objective = "size"

    def __post_init__(self) -> None:
        for name in ("max_drop", "min_p10", "max_latency"):
            check_number(f"--{name.replace('_', '-')}", getattr(self, name))

    def missed(self, tried: Tried) -> list[str]:
        """Returns the bounds that an artifact misses, with what it reaches."""
        found = self.missed_accuracy(tried)
        if self.missed_latency(tried):
            found.append(f"--max-latency {self.max_latency:g}: {tried.entry.latency:.2f} times")
        return found

    def missed_accuracy(self, tried: Tried) -> list[str]:
        """Returns those of them that more blocks in float may keep."""
        entry, found = tried.entry, []
        if not entry.drop <= self.max_drop:
            found.append(f"--max-drop {self.max_drop:g}: {entry.drop:.2f} points")
        if not entry.sqnr_db_p10 >= self.min_p10:
            found.append(f"--min-p10 {self.min_p10:g}: {entry.sqnr_db_p10:.1f} dB")
        if not tried.passed:
            found.append("the recipe's gate")
        return found

    def missed_latency(self, tried: Tried) -> bool:
        """Returns whether an artifact is too slow, as far as this machine can tell."""
        return tried.entry.latency is not None and not tried.entry.latency <= self.max_latency

    def doubt(self, images: int) -> str | None:
        """Returns a note on images that are too few to judge a drop by; None if they are not.

        The error is the standard error of a share of `max_drop`.
        """
        share = min(self.max_drop / 100, 1.0)
        error = 100 * math.sqrt(share * (1 - share) / images)
        if error <= self.max_drop / 3:
            return None
        return (
            f"{images} images tell --max-drop {self.max_drop:g} to ±{error:.1f} points only: other "
            "images may lose more; give more of them"
        )

    def best(self, tried: Sequence[Tried]) -> Tried:
        """Returns the cheapest artifact that keeps all bounds, or else the one that comes closest.

        What costs the same within 1 % is the same; then the other cost decides, then the tail.
        """
        begun = tried[0].entry

        def order(one: Tried) -> tuple[float, ...]:
            entry = one.entry
            costs = [round(entry.bytes / begun.bytes, 2), round(entry.latency or 1, 2)]
            if self.objective == "latency":
                costs.reverse()
            if missed := len(self.missed(one)):
                costs = [
                    max(0, entry.drop - self.max_drop),
                    max(0, self.min_p10 - entry.sqnr_db_p10),
                ]
            return (missed, *costs, -entry.sqnr_db_p10)

        return min(tried, key=order)
