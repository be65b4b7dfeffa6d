"""What samples are reduced to: derived whenever it is shown, never stored instead of them.

This is the specification for all languages (`tests/golden/statistics.json` has its cases). A
percentile interpolates linearly between the two samples next to rank q/100 * (n - 1), as in numpy
(type 7 of Hyndman and Fan, 1996); the coefficient of variation is the sample standard deviation
(divisor n - 1) over the mean.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median

from mnv4_mobile.measure.measurement import Measurement, ResultKey, Samples
from mnv4_mobile.measure.plan import Statistic


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Of the samples of one session, in ms; None where a tool's summary does not say."""

    p50: float | None
    p90: float | None
    p95: float | None
    mean: float
    cv: float | None
    """None too for a single sample."""
    min: float | None
    max: float | None
    n: int

    def value(self, statistic: Statistic) -> float | None:
        """One of them by its name."""
        value: float | None = getattr(self, statistic)
        return value


def percentile(values: Sequence[float], q: float) -> float:
    """The value below which q percent of at least one value lie, interpolated linearly."""
    return _percentile(sorted(values), q)


def _percentile(ordered: Sequence[float], q: float) -> float:
    rank = q / 100 * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def of_samples(values: Sequence[float]) -> Statistics:
    """Of at least one latency."""
    # Without numpy, whose calls take longer than all of this for the samples of a session.
    ordered, mean = sorted(values), fmean(values)
    deviation = math.dist(values, [mean] * len(values)) / math.sqrt(max(len(values) - 1, 1))
    return Statistics(
        p50=_percentile(ordered, 50),
        p90=_percentile(ordered, 90),
        p95=_percentile(ordered, 95),
        mean=mean,
        cv=deviation / mean if len(values) > 1 and mean else None,
        min=ordered[0],
        max=ordered[-1],
        n=len(ordered),
    )


def spread(values: Sequence[float]) -> float:
    """The largest of some latencies over the smallest, less 1; infinite over a smallest of 0."""
    smallest, largest = min(values), max(values)
    if smallest:
        return largest / smallest - 1
    return math.inf if largest else 0.0


def drift(values: Sequence[float]) -> float:
    """The spread of the medians of ten stretches of a session.

    Levels that last longer than a run are what makes a session not repeat; the coefficient of
    variation hardly sees them (two levels 20 % apart have one of 9 %) and sees single stragglers,
    which a median does not mind.

    Args:
        values: Ten latencies or more, in the order in which they were timed.
    """
    n = len(values)
    return spread([median(values[n * i // 10 : n * (i + 1) // 10]) for i in range(10)])


def of(measurement: Measurement) -> Statistics | None:
    """Of a session's samples or a tool's summary; None where nothing was timed."""
    return _of(measurement.samples) if measurement.status == "ok" else None


def _of(samples: Samples | None) -> Statistics | None:
    if samples and samples.latencies_ms:
        return of_samples(samples.latencies_ms)
    if not samples or not (told := samples.summary):
        return None
    return Statistics(
        p50=None,
        p90=None,
        p95=None,
        mean=told.mean,
        cv=told.std / told.mean if told.std is not None and told.mean else None,
        min=told.min,
        max=told.max,
        n=told.count,
    )


@dataclass(frozen=True)
class SessionGroup:
    """Sessions that may be reduced to one result, as they have the same `ResultKey`."""

    measurements: tuple[Measurement, ...]
    """In the order in which they were recorded, the failed ones too."""

    @property
    def first(self) -> Measurement:
        """Any of them, for what all have in common."""
        return self.measurements[0]

    @cached_property
    def sessions(self) -> list[Statistics]:
        """Of every session that was timed."""
        return [found for m in self.measurements if (found := of(m))]

    @property
    def statistic(self) -> Statistic:
        """The plan's; the mean where a tool gave nothing else."""
        wanted = self.first.plan.statistic
        told = [session.value(wanted) for session in self.sessions]
        return wanted if None not in told else "mean"

    @property
    def values(self) -> list[float]:
        """That statistic of every session, in ms."""
        return [v for s in self.sessions if (v := s.value(self.statistic)) is not None]

    @property
    def latency_ms(self) -> float | None:
        """Their median: what the artifact is judged by; None where nothing was timed."""
        return typical(self.values)

    @property
    def samples(self) -> list[Samples]:
        """What was measured in every session that was timed."""
        return [m.samples for m in self.measurements if m.status == "ok" and m.samples]


def typical(values: Iterable[float | None]) -> float | None:
    """The median of the sessions' values that are known; None where none is."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def groups(measurements: Sequence[Measurement]) -> list[SessionGroup]:
    """Measurements by their key, in the order of the first of each.

    A session that failed before its runtime was known belongs to the sessions with the same
    artifact, device, OS build and plan that have one.
    """
    found: dict[ResultKey, list[Measurement]] = {}
    known = {m.key._replace(runtime=""): m.key for m in measurements if m.runtime}
    for m in measurements:
        found.setdefault(known.get(m.key, m.key), []).append(m)
    return [SessionGroup(tuple(sessions)) for sessions in found.values()]
