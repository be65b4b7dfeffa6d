"""Reduces samples to statistics, which are derived whenever they are shown and never stored.

All languages follow one specification (`tests/golden/statistics.json` has its cases): a percentile
interpolates linearly between the two samples next to rank q/100 * (n - 1), as numpy does
by default (type 7 of Hyndman and Fan, 1996); the coefficient of variation is the sample standard
deviation (divisor n - 1) over the mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist, fmean, median

from mnv4_mobile.measuring.measurement import Measurement, ResultKey, Samples
from mnv4_mobile.measuring.plan import Statistic

NANOSECOND = 1e-6
"""A shorter time, which no clock resolves, is not divided by: the ratio could overflow."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Statistics of one session's samples in ms; None if a tool's summary lacks one."""

    p50: float | None
    p90: float | None
    p95: float | None
    mean: float
    cv: float | None
    """Coefficient of variation; None for a single sample."""
    min: float | None
    max: float | None
    n: int

    def value(self, statistic: Statistic) -> float | None:
        """Returns a statistic by its name."""
        value: float | None = getattr(self, statistic)
        return value


def percentile(values: Sequence[float], q: float) -> float:
    """Returns the value below which q percent of the values lie, interpolated linearly."""
    return _percentile(sorted(values), q)


def _percentile(ordered: Sequence[float], q: float) -> float:
    rank = q / 100 * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def of_samples(values: Sequence[float]) -> Statistics:
    """Returns the statistics of one or more latencies."""
    # No numpy: for the samples of one session, its calls take longer than all of this.
    ordered, mean = sorted(values), fmean(values)
    deviation = math.dist(values, [mean] * len(values)) / math.sqrt(max(len(values) - 1, 1))
    return Statistics(
        p50=_percentile(ordered, 50),
        p90=_percentile(ordered, 90),
        p95=_percentile(ordered, 95),
        mean=mean,
        cv=deviation / mean if len(values) > 1 and mean > NANOSECOND else None,
        min=ordered[0],
        max=ordered[-1],
        n=len(ordered),
    )


def spread(values: Sequence[float]) -> float:
    """Returns the largest latency over the smallest, less 1; infinite if the smallest is 0."""
    smallest, largest = min(values), max(values)
    if smallest > NANOSECOND:
        return largest / smallest - 1
    return math.inf if largest > NANOSECOND else 0.0


def drift(values: Sequence[float]) -> float:
    """Returns the spread of the medians of ten stretches of a session.

    A session is hard to repeat if its speed has levels that last longer than a run. The coefficient
    of variation hardly shows such levels (it is 9 % for two levels 20 % apart) and reacts to single
    slow runs, which leave a median as it is.

    Args:
        values: Ten latencies or more, in the order in which they were timed.
    """
    n = len(values)
    return spread([median(values[n * i // 10 : n * (i + 1) // 10]) for i in range(10)])


def of(measurement: Measurement) -> Statistics | None:
    """Returns a session's statistics, or those of a tool's summary; None if nothing was timed."""
    return _of(measurement.samples) if measurement.status == "ok" else None


def _of(samples: Samples | None) -> Statistics | None:
    if samples and samples.latencies_ms:
        return of_samples(samples.latencies_ms)
    if not samples or not (summary := samples.summary):
        return None
    return Statistics(
        p50=None,
        p90=None,
        p95=None,
        mean=summary.mean,
        cv=None if summary.std is None or summary.mean < NANOSECOND else summary.std / summary.mean,
        min=summary.min,
        max=summary.max,
        n=summary.count,
    )


@dataclass(frozen=True)
class SessionGroup:
    """Sessions with the same `ResultKey`, which may be reduced to one result."""

    measurements: tuple[Measurement, ...]
    """All sessions in the order in which they were recorded, including failed ones."""

    @property
    def first(self) -> Measurement:
        """One session, for the fields that are equal in all."""
        return self.measurements[0]

    @cached_property
    def sessions(self) -> list[Statistics]:
        """Statistics of every session that was timed."""
        return [found for m in self.measurements if (found := of(m))]

    @property
    def statistic(self) -> Statistic:
        """The plan's statistic, or the mean if a tool reported nothing else."""
        wanted = self.first.plan.statistic
        known = [session.value(wanted) for session in self.sessions]
        return wanted if None not in known else "mean"

    def values_of(self, statistic: Statistic) -> list[float]:
        """Returns a statistic of every session that has it, in ms."""
        return [v for s in self.sessions if (v := s.value(statistic)) is not None]

    @property
    def values(self) -> list[float]:
        """The group's statistic of every session, in ms."""
        return self.values_of(self.statistic)

    @property
    def latency_ms(self) -> float | None:
        """The latency that all commands show: the median of `values`; None if nothing was timed."""
        return typical(self.values)

    @property
    def samples(self) -> list[Samples]:
        """The samples of every session that was timed."""
        return [m.samples for m in self.measurements if m.status == "ok" and m.samples]


def wilson(share: float, n: int) -> tuple[float, float]:
    """Returns the 95 % interval of a share that was observed in n cases (Wilson, 1927)."""
    z = NormalDist().inv_cdf(0.975)
    middle = share + z * z / (2 * n)
    reach = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = ((middle + sign * reach) / (1 + z * z / n) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def typical(values: Iterable[float | None]) -> float | None:
    """Returns the median of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def groups(measurements: Sequence[Measurement]) -> list[SessionGroup]:
    """Groups measurements by their key, in the order in which the groups began.

    A session that failed before its runtime was known joins the sessions with the same artifact,
    device, OS build and plan.
    """
    found: dict[ResultKey, list[Measurement]] = {}
    known = {m.key._replace(runtime=""): m.key for m in measurements if m.runtime}
    for m in measurements:
        found.setdefault(known.get(m.key, m.key), []).append(m)
    return [SessionGroup(tuple(sessions)) for sessions in found.values()]
