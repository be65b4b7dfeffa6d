"""Finds what makes figures doubtful. Doubts are shown beside figures and never hide one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.plan import THERMAL_STATUSES
from mnv4_mobile.measuring.results import nearest, statistics

BUSY = 0.1
"""Share of a device's cores that other work may take."""
CV = 0.1
"""Coefficient of variation of a session's samples."""
SAMPLES = 20
"""Number of runs below which the 90th percentile rests on two of them."""
SPREAD = 0.07
"""The largest spread of a group's sessions, and of a session's stretches, that raises no doubt; see
`statistics.spread`."""
RESOLUTION = 0.05
"""Resolution of the device's timer, as a share of the latency."""
MEANINGS: Mapping[str, str] = {
    "wrong": "the device's output missed the golden pair's gate; such sessions are not timed",
    "failed": "sessions failed and gave no latency",
    "fallback": "the unit that was asked for did not run all of it",
    "published": f"{nearest.FIT:.0f} times slower or faster than the nearest published figure",
    "unverified": "the artifact has no bundle, so its output was never verified",
    "unchecked": "its output was not checked on the device",
    "busy": f"other work took more than {BUSY:.0%} of the device's cores",
    "drift": f"the speed changed by more than {SPREAD:.0%} within a session",
    "scatter": f"the standard deviation of a session's runs is over {CV:.0%} of their mean",
    "spread": f"the slowest session took over {SPREAD:.0%} longer than the fastest",
    "warm": "the device was warm at the beginning",
    "warming": "the device got warmer during the session",
    "few": f"a session has fewer than {SAMPLES} runs",
    "summary": "the tool reports a mean without its samples",
    "timer": f"the timer's resolution is over {RESOLUTION:.0%} of the latency",
    "os": "the sessions ran on different builds of the operating system",
    "updated": "the device's operating system was updated since",
    "runtime": "the sessions ran on different versions of the runtime",
    "unit": "accuracy was evaluated on a unit other than the one that was timed",
    "images": "the accuracy's 95 % interval holds the bound: evaluate on more images",
}
"""Every doubt by its code, the gravest first."""


@dataclass(frozen=True)
class Doubt:
    """One reason to doubt a figure."""

    code: str
    """A key of `MEANINGS`."""
    detail: str = ""
    """How large the effect is, or how many of the sessions show it."""

    def __str__(self) -> str:
        """The code and the detail, for a table."""
        return f"{self.code} {self.detail}".rstrip()

    @property
    def sentence(self) -> str:
        """The meaning and the detail, for places with room for a sentence."""
        return MEANINGS[self.code] + (f" ({self.detail})" if self.detail else "")


def doubts(measurement: Measurement) -> list[Doubt]:
    """Returns what looks unsound in a session that was timed; nothing for any other."""
    found = statistics.of(measurement)
    samples = measurement.samples
    if not found or not samples:
        return []
    codes = []
    asked, ran_on = measurement.plan.unit, samples.ran_on
    fallback = asked is not None and bool(ran_on) and ran_on != (asked,)
    busy = samples.conditions.get("busy")
    if isinstance(busy, (int, float)) and busy > BUSY:
        codes.append("busy")
    if found.cv is not None and found.cv > CV:
        codes.append("scatter")
    before, after = samples.thermal_before.status, samples.thermal_after.status
    levels = [THERMAL_STATUSES.index(status) if status else 0 for status in (before, after)]
    if levels[0] > 0:
        codes.append("warm")
    if levels[1] > levels[0]:
        codes.append("warming")
    if measurement.artifact.bundle_id is None:
        codes.append("unverified")
    elif samples.golden_sqnr_db is None:
        codes.append("unchecked")
    if samples.summary:
        codes.append("summary")
    elif found.n < SAMPLES:
        codes.append("few")
    elif statistics.drift(samples.latencies_ms) > SPREAD:
        codes.append("drift")
    resolution = samples.conditions.get("timer_resolution_ms")
    if isinstance(resolution, (int, float)) and resolution > RESOLUTION * found.mean:
        codes.append("timer")
    fell = (
        [Doubt("fallback", f"asked for {asked}, ran on {' and '.join(ran_on)}")] if fallback else []
    )
    return _sorted([*fell, *map(Doubt, codes)])


def os_builds(measurements: Sequence[Measurement]) -> dict[str, str]:
    """Returns the newest OS build that was seen on every device, by the device's id."""
    in_order = sorted(measurements, key=lambda m: m.started_at)
    return {m.device.id: m.device.os_build for m in in_order}


def doubts_of_group(
    measurements: Sequence[Measurement], newest: Mapping[str, str] | None = None
) -> list[Doubt]:
    """Returns what looks unsound in sessions that are reduced together.

    Args:
        measurements: Sessions of one group, or of several to ask whether they may be one.
        newest: See `os_builds`; None skips the question whether a device was updated since.
    """
    timed = [m for m in measurements if statistics.of(m)]
    each = [doubt for m in timed for doubt in doubts(m)]
    details = {doubt.code: doubt.detail for doubt in each}
    found = [
        Doubt(code, details[code] if count == len(timed) else f"{count}/{len(timed)}")
        for code, count in Counter(doubt.code for doubt in each).items()
    ]
    for status in ("failed", "wrong"):
        count = sum(m.status == status for m in measurements)
        if count:
            found.append(Doubt(status, f"{count}/{len(measurements)}"))
    group = statistics.SessionGroup(tuple(timed))
    if timed and (spread := statistics.spread(group.values)) > SPREAD:
        found.append(Doubt("spread", f"{spread:.0%}"))
    if timed and (misfit := nearest.judge(timed[0], group.latency_ms)):
        found.append(Doubt("published", misfit))
    builds = {m.device.os_build for m in measurements}
    if len(builds) > 1:
        found.append(Doubt("os", ", ".join(sorted(builds))))
    elif newest:
        device = measurements[0].device
        if newest.get(device.id, device.os_build) != device.os_build:
            found.append(Doubt("updated", newest[device.id]))
    return _sorted(found)


def common(rows: Sequence[Sequence[Doubt]]) -> list[str]:
    """Returns the codes of the doubts that every one of two or more rows has."""
    if len(rows) < 2:
        return []
    everywhere = set.intersection(*({doubt.code for doubt in row} for row in rows))
    return [code for code in MEANINGS if code in everywhere]


def _sorted(found: Iterable[Doubt]) -> list[Doubt]:
    order = list(MEANINGS)
    return sorted(found, key=lambda doubt: order.index(doubt.code))
