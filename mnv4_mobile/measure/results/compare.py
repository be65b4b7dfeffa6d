"""The same artifacts in two runs: how much slower or faster, and how sure that is.

What differs by chance from process to process (where memory lies, which cores it gets, how warm
the device is) is the same for all samples of a session; hence samples of one session say nothing
about it, and sessions are what is resampled (Kalibera and Jones, Rigorous Benchmarking in
Reasonable Time, ISMM 2013). With the 3 to 10 sessions that people have, intervals of the percentile
bootstrap are too narrow; those of the symmetric studentized bootstrap (Hall, The Bootstrap and
Edgeworth Expansion, 1992; Hesterberg, What Teachers Should Know About the Bootstrap, 2015) are not.
`docs/reference/results.md` has how often each holds the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measure.measurement import Artifact, Measurement
from mnv4_mobile.measure.plan import Plan, Statistic
from mnv4_mobile.measure.results.doubts import doubts_of_group
from mnv4_mobile.measure.results.exchange import IMPORTED, read_measurements
from mnv4_mobile.measure.results.statistics import SessionGroup
from mnv4_mobile.measure.results.store import Store

SESSIONS = 3
"""Of each run at least: two cannot tell a change from chance."""
CONFIDENCE = 0.95
_RESAMPLES = 4000


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The same sessions of two runs. Changes are shares: 0.1 is 10 % slower than before."""

    before: SessionGroup
    after: SessionGroup
    statistic: Statistic
    before_ms: float | None
    """Geometric mean over the sessions; None where none was timed."""
    after_ms: float | None
    change: float | None
    interval: tuple[float, float] | None
    """In which the change lies with `CONFIDENCE`; None for too few sessions to say."""
    doubts: tuple[str, ...]

    @property
    def artifact(self) -> Artifact:
        """The one that was measured after."""
        return self.after.first.artifact

    @property
    def plan(self) -> Plan:
        """The settings of both runs that affect latency."""
        return self.after.first.plan

    def slower_than(self, share: float) -> bool:
        """Whether it is slower by more than this share, with confidence."""
        return self.interval is not None and self.interval[0] > share

    @property
    def verdict(self) -> str:
        """In a word."""
        if self.change is None:
            return "not timed"
        if self.interval is None:
            return "too few sessions"
        low, high = self.interval
        return "slower" if low > 0 else "faster" if high < 0 else "no difference seen"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Of two runs."""

    differences: tuple[Difference, ...]
    only_before: tuple[SessionGroup, ...]
    only_after: tuple[SessionGroup, ...]

    def regressions(self, share: float) -> list[Difference]:
        """What is slower by more than this share, with confidence."""
        return [one for one in self.differences if one.slower_than(share)]


def side(name: str, store: Path) -> list[Measurement]:
    """What is compared: a run of the store by its name, or all that an exported file holds.

    Raises:
        ConfigError: Neither, naming the runs that there are, or a damaged file.
        StoreError: A store that cannot be used.
    """
    if Path(name).suffix in IMPORTED:
        return read_measurements(Path(name))
    with Store(store, must_exist=True) as opened:
        found = opened.measurements(runs=[name])
        if not found:
            runs = ", ".join(opened.runs()) or "none"
            raise ConfigError(f"{store}: found no run {name!r}; runs: {runs}")
    return found


def compare(before: Sequence[Measurement], after: Sequence[Measurement]) -> Comparison:
    """Matches two runs' sessions by model, size, recipe, target, device and plan.

    The artifact may differ, as it is what a change is asked of; a different OS build or runtime is
    among the doubts.
    """
    old, new = _by_key(before), _by_key(after)
    return Comparison(
        differences=tuple(_difference(old[key], new[key]) for key in old if key in new),
        only_before=tuple(group for key, group in old.items() if key not in new),
        only_after=tuple(group for key, group in new.items() if key not in old),
    )


def _by_key(measurements: Sequence[Measurement]) -> dict[tuple[object, ...], SessionGroup]:
    found: dict[tuple[object, ...], list[Measurement]] = {}
    for m in measurements:
        a = m.artifact
        key = (a.model or a.name, a.size, a.recipe, a.target, m.device.id, m.plan.key)
        found.setdefault(key, []).append(m)
    return {key: SessionGroup(tuple(sessions)) for key, sessions in found.items()}


def _difference(before: SessionGroup, after: SessionGroup) -> Difference:
    # Where one of them has a tool's mean only, the means are compared.
    statistic = SessionGroup((*before.measurements, *after.measurements)).statistic
    old, new = _logs(before, statistic), _logs(after, statistic)
    timed = len(old) > 0 and len(new) > 0
    enough = min(len(old), len(new)) >= SESSIONS
    return Difference(
        before=before,
        after=after,
        statistic=statistic,
        before_ms=float(np.exp(old.mean())) if len(old) else None,
        after_ms=float(np.exp(new.mean())) if len(new) else None,
        change=float(np.expm1(new.mean() - old.mean())) if timed else None,
        interval=interval(old, new) if enough else None,
        doubts=tuple(_doubts(before, after)),
    )


def _logs(group: SessionGroup, statistic: Statistic) -> npt.NDArray[np.float64]:
    # Of what is 0 to a coarse timer no ratio can be told.
    values = [v for session in group.sessions if (v := session.value(statistic))]
    return np.log(np.array(values, dtype=np.float64))


def _doubts(before: SessionGroup, after: SessionGroup) -> list[str]:
    said = []
    for name, group in (("before", before), ("after", after)):
        said += [f"{name}: {doubt}" for doubt in doubts_of_group(group.measurements)]
    for name, old, new in (
        ("OS build", _builds(before), _builds(after)),
        ("runtime", _runtimes(before), _runtimes(after)),
    ):
        if old != new:
            said.append(f"different {name}: {', '.join(old)} before, {', '.join(new)} after")
    return said


def _builds(group: SessionGroup) -> list[str]:
    return sorted({m.device.os_build for m in group.measurements})


def _runtimes(group: SessionGroup) -> list[str]:
    return sorted({m.runtime for m in group.measurements if m.runtime})


def interval(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """In which the relative change lies, by a symmetric studentized bootstrap over sessions.

    Args:
        before: Logarithms of the sessions' latencies, (n,), n >= `SESSIONS`.
        after: (m,), likewise.

    Returns:
        The ends of the interval, as shares. The same for the same sessions.
    """
    random = np.random.default_rng(0)
    old, new = _resampled(before, random), _resampled(after, random)
    change = after.mean() - before.mean()
    errors = np.sqrt(_error2(old) + _error2(new))
    # A resample that took one session again and again has no error to divide by.
    varied = errors > 1e-12
    deviations = np.abs(new.mean(1) - old.mean(1) - change)[varied] / errors[varied]
    width = float(np.quantile(deviations, CONFIDENCE)) if len(deviations) else 0.0
    reach = width * float(np.sqrt(_error2(before) + _error2(after)))
    return float(np.expm1(change - reach)), float(np.expm1(change + reach))


def _resampled(
    values: npt.NDArray[np.float64], random: np.random.Generator
) -> npt.NDArray[np.float64]:
    return values[random.integers(0, len(values), (_RESAMPLES, len(values)))]


def _error2(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The squared standard error of the mean along the last axis."""
    return np.asarray(values.var(-1, ddof=1) / values.shape[-1])
