"""Compares the same artifacts in two runs: how much slower or faster, and how sure that is.

Some conditions last for a whole process: where its memory lies, which cores it gets, how warm the
device is. They shift all samples of a session together, so that samples of one session cannot show
how much sessions differ. Therefore sessions are resampled (Kalibera and Jones, Rigorous
Benchmarking in Reasonable Time, ISMM 2013). With the usual 3 to 10 sessions, intervals of the
percentile bootstrap are too narrow; those of the symmetric studentized bootstrap (Hall, The
Bootstrap and Edgeworth Expansion, 1992; Hesterberg, What Teachers Should Know About the Bootstrap,
2015) are not. `docs/results/comparing.md` shows how often each holds the true change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measuring.measurement import Artifact, Measurement
from mnv4_mobile.measuring.plan import Plan, Statistic
from mnv4_mobile.measuring.results.doubts import MEANINGS, Doubt, doubts_of_group
from mnv4_mobile.measuring.results.exchange import IMPORTED, read_measurements
from mnv4_mobile.measuring.results.statistics import NANOSECOND, SessionGroup, typical
from mnv4_mobile.measuring.results.store import Store

Verdict = Literal[
    "regression", "no regression", "slower", "faster", "no difference shown", "inconclusive"
]
SESSIONS = 3
"""Sessions that each run needs: two cannot tell a change from chance."""
CONFIDENCE = 0.95
NEGLIGIBLE = 0.05
"""An interval around 0 that stays within this share shows no difference."""
MOST_SESSIONS = 50
"""If more sessions than this would be needed, the device is too busy to compare on."""
_RESAMPLES = 4000
_MOST_REACH = math.log(1000.0)
"""Limits the interval, so that its ends stay finite; one that wide says nothing anyway."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The same artifact, device and plan in two runs. Changes are shares: 0.1 is 10 % slower."""

    base: SessionGroup
    new: SessionGroup
    statistic: Statistic
    base_ms: float | None
    """Median over the sessions, as in `SessionGroup.latency_ms`; None if none was timed."""
    new_ms: float | None
    change: float | None
    """The ratio of the two medians, less 1."""
    interval: tuple[float, float] | None
    """Interval that holds the change with `CONFIDENCE`; None if there are too few sessions."""
    doubts: tuple[Doubt, ...]

    @property
    def artifact(self) -> Artifact:
        """The artifact of the new run."""
        return self.new.first.artifact

    @property
    def plan(self) -> Plan:
        """The settings of both runs that affect latency."""
        return self.new.first.plan

    def verdict(self, max_regression: float | None = None) -> Verdict:
        """Says what the interval decides.

        Args:
            max_regression: The share by which the new run may be slower. The verdict is then
                `regression` if the whole interval is above it, `no regression` if none of it is,
                else `inconclusive`. None asks for any difference: `slower` or `faster` if the
                interval excludes 0, `no difference shown` if it holds 0 and stays within
                `NEGLIGIBLE`, else `inconclusive`.
        """
        if self.interval is None:
            return "inconclusive"
        low, high = self.interval
        if max_regression is not None:
            if low > max_regression:
                return "regression"
            return "no regression" if high <= max_regression else "inconclusive"
        if low > 0 or high < 0:
            return "slower" if low > 0 else "faster"
        near = low >= -NEGLIGIBLE and high <= NEGLIGIBLE
        return "no difference shown" if near else "inconclusive"

    def advice(self, max_regression: float | None = None) -> str:
        """Says why the verdict is `inconclusive`, and how many sessions would decide."""
        counts = len(self.base.sessions), len(self.new.sessions)
        if not min(counts):
            return f"no session of the {'new' if counts[0] else 'base'} run gave a latency"
        if min(counts) < SESSIONS:
            return f"each run needs {SESSIONS} sessions; found {counts[0]} and {counts[1]}"
        needed = self._needed(max_regression)
        if needed is None or needed > MOST_SESSIONS:
            return "the sessions differ too much for more of them to help; use a quiet device"
        return f"about {needed} sessions of each run would decide"

    def _needed(self, max_regression: float | None) -> int | None:
        """Returns the number of sessions of each run with which the interval would decide."""
        if self.interval is None or self.change is None:
            return None
        change, (low, high) = math.log1p(self.change), map(math.log1p, self.interval)
        if max_regression is None:
            gap = max(abs(change), math.log1p(NEGLIGIBLE) - abs(change))
        else:
            gap = abs(change - math.log1p(max_regression))
        if not gap:
            return None
        # An interval's width falls with the square root of the number of sessions.
        counts = len(self.base.sessions), len(self.new.sessions)
        harmonic = 2 / sum(1 / count for count in counts)
        needed = harmonic * ((high - low) / 2 / gap) ** 2
        return max(math.ceil(needed), max(counts) + 1)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What two runs have in common, and what only one of them has measured."""

    differences: tuple[Difference, ...]
    only_in_base: tuple[SessionGroup, ...]
    only_in_new: tuple[SessionGroup, ...]

    def with_verdict(self, verdict: Verdict, max_regression: float | None) -> list[Difference]:
        """Returns the differences that have this verdict."""
        return [one for one in self.differences if one.verdict(max_regression) == verdict]


def side(name: str, store: Path) -> list[Measurement]:
    """Returns a run of the store by its name, or all measurements of an exported file.

    Raises:
        ConfigError: It is neither, naming the runs of the store; or the file is damaged.
        StoreError: A store that cannot be used.
    """
    if Path(name).suffix in IMPORTED:
        return read_measurements(Path(name))
    with Store(store, "read") as opened:
        found = opened.measurements(runs=[name])
        if not found:
            runs = ", ".join(opened.runs()) or "none"
            raise ConfigError(f"{store}: found no run {name!r}; runs: {runs}")
    return found


def compare(base: Sequence[Measurement], new: Sequence[Measurement]) -> Comparison:
    """Matches two runs' sessions by model, size, recipe, target, device and plan.

    The artifacts may differ, because their difference is what is measured. Different OS builds and
    runtimes are among the doubts.
    """
    old, now = _by_key(base), _by_key(new)
    return Comparison(
        differences=tuple(_difference(old[key], now[key]) for key in old if key in now),
        only_in_base=tuple(group for key, group in old.items() if key not in now),
        only_in_new=tuple(group for key, group in now.items() if key not in old),
    )


def _by_key(measurements: Sequence[Measurement]) -> dict[tuple[object, ...], SessionGroup]:
    found: dict[tuple[object, ...], list[Measurement]] = {}
    for m in measurements:
        a = m.artifact
        key = (a.model or a.name, a.size, a.recipe, a.target, m.device.id, m.plan.key)
        found.setdefault(key, []).append(m)
    return {key: SessionGroup(tuple(sessions)) for key, sessions in found.items()}


def _difference(base: SessionGroup, new: SessionGroup) -> Difference:
    # If one of them has only a tool's mean, the means are compared.
    statistic = SessionGroup((*base.measurements, *new.measurements)).statistic
    old, now = (
        # A coarse timer may report 0, with which no ratio can be formed.
        [value for value in group.values_of(statistic) if value > NANOSECOND]
        for group in (base, new)
    )
    base_ms, new_ms = typical(old), typical(now)
    return Difference(
        base=base,
        new=new,
        statistic=statistic,
        base_ms=base_ms,
        new_ms=new_ms,
        change=new_ms / base_ms - 1 if base_ms and new_ms else None,
        interval=interval(old, now) if min(len(old), len(now)) >= SESSIONS else None,
        doubts=tuple(_doubts(base, new)),
    )


def _doubts(base: SessionGroup, new: SessionGroup) -> list[Doubt]:
    found: dict[str, list[str]] = {}
    for name, group in (("base", base), ("new", new)):
        for doubt in doubts_of_group(group.measurements):
            found.setdefault(doubt.code, []).append(f"{name} {doubt.detail}".strip())
    for code, old, now in (
        ("os", _builds(base), _builds(new)),
        ("runtime", _runtimes(base), _runtimes(new)),
    ):
        if old != now:
            found[code] = [f"base {', '.join(old)}", f"new {', '.join(now)}"]
    return [
        Doubt(code, "" if found[code] == ["base", "new"] else ", ".join(found[code]))
        for code in MEANINGS
        if code in found
    ]


def _builds(group: SessionGroup) -> list[str]:
    return sorted({m.device.os_build for m in group.measurements})


def _runtimes(group: SessionGroup) -> list[str]:
    return sorted({m.runtime for m in group.measurements if m.runtime})


def interval(base: Sequence[float], new: Sequence[float]) -> tuple[float, float]:
    """Returns an interval for the relative change of the median over the sessions.

    The method is a symmetric studentized bootstrap over sessions, on logarithms. The same sessions
    always give the same interval.

    Args:
        base: The sessions' latencies, at least `SESSIONS` of them, all above 0.
        new: The same for the new run.

    Returns:
        The ends of the interval, as shares.
    """
    random = np.random.default_rng(0)
    old, now = np.array(base), np.array(new)
    more_old, more_now = _resampled(old, random), _resampled(now, random)
    change = _level(now) - _level(old)
    errors = np.sqrt(_error2(more_old) + _error2(more_now))
    # A resample that drew the same session every time has no error to divide by.
    varied = errors > 1e-12
    deviations = np.abs(_level(more_now) - _level(more_old) - change)[varied] / errors[varied]
    width = float(np.quantile(deviations, CONFIDENCE)) if len(deviations) else 0.0
    reach = min(_MOST_REACH, width * float(np.sqrt(_error2(old) + _error2(now))))
    return float(np.expm1(change - reach)), float(np.expm1(change + reach))


def _resampled(
    values: npt.NDArray[np.float64], random: np.random.Generator
) -> npt.NDArray[np.float64]:
    return values[random.integers(0, len(values), (_RESAMPLES, len(values)))]


def _level(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the logarithm of the median along the last axis."""
    return np.asarray(np.log(np.median(values, axis=-1)))


def _error2(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns the squared standard error of the mean of the logarithms along the last axis."""
    logs = np.log(values)
    return np.asarray(logs.var(-1, ddof=1) / values.shape[-1])
