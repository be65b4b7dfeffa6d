"""What makes a figure doubtful. Doubts are shown beside figures; none of them hides one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mnv4_mobile.measure.measurement import Measurement
from mnv4_mobile.measure.plan import THERMAL_STATUSES
from mnv4_mobile.measure.results import statistics

BUSY = 0.1
"""Share of a device's cores that other work may take."""
CV = 0.1
"""Coefficient of variation of a session's samples."""
SAMPLES = 20
"""With fewer, the 90th percentile rests on two of them."""
SPREAD = 0.07
"""The largest spread of a group's sessions, and of a session's stretches, that raises no doubt; see
`statistics.spread`."""
RESOLUTION = 0.05
"""Of the device's timer, as a share of the latency."""


def doubts(measurement: Measurement) -> list[str]:
    """What looks unsound in a session that was timed; nothing for any other."""
    found = statistics.of(measurement)
    samples = measurement.samples
    if not found or not samples:
        return []
    said = []
    busy = samples.conditions.get("busy")
    if isinstance(busy, (int, float)) and busy > BUSY:
        said.append("busy device")
    if found.cv is not None and found.cv > CV:
        said.append(f"CV over {CV:.0%}")
    before, after = samples.thermal_before.status, samples.thermal_after.status
    levels = [THERMAL_STATUSES.index(status) if status else 0 for status in (before, after)]
    if levels[0] > 0:
        said.append("warm at the beginning")
    if levels[1] > levels[0]:
        said.append("warmer at the end")
    if measurement.artifact.bundle_id is None:
        said.append("unverified: an artifact from elsewhere")
    elif samples.golden_sqnr_db is None:
        said.append("output not checked on the device")
    if samples.summary:
        said.append("a tool's summary, without samples")
    elif found.n < SAMPLES:
        said.append(f"fewer than {SAMPLES} samples")
    elif statistics.drift(samples.latencies_ms) > SPREAD:
        said.append(f"not quiet: speed varied by over {SPREAD:.0%}")
    resolution = samples.conditions.get("timer_resolution_ms")
    if isinstance(resolution, (int, float)) and resolution > RESOLUTION * found.mean:
        said.append("coarse timer")
    return said


def os_builds(measurements: Sequence[Measurement]) -> dict[str, str]:
    """The newest OS build that was seen on every device, by its id."""
    in_order = sorted(measurements, key=lambda m: m.started_at)
    return {m.device.id: m.device.os_build for m in in_order}


def doubts_of_group(
    measurements: Sequence[Measurement], newest: Mapping[str, str] | None = None
) -> list[str]:
    """What looks unsound in sessions that are reduced together.

    Args:
        measurements: Sessions of one group, or of several to ask whether they may be one.
        newest: See `os_builds`; None not to ask what the devices have become since.
    """
    timed = [m for m in measurements if statistics.of(m)]
    counts = Counter(doubt for m in timed for doubt in doubts(m))
    said = [
        doubt if count == len(timed) else f"{doubt} ({count} of {len(timed)} sessions)"
        for doubt, count in counts.items()
    ]
    for status in ("failed", "wrong"):
        count = sum(m.status == status for m in measurements)
        if count:
            said.append(f"{status}: {count} of {len(measurements)} sessions")
    values = statistics.SessionGroup(tuple(timed)).values if timed else []
    if values and (spread := statistics.spread(values)) > SPREAD:
        said.append(f"sessions differ by {spread:.0%}")
    builds = {m.device.os_build for m in measurements}
    if len(builds) > 1:
        said.append(f"different OS builds: {', '.join(sorted(builds))}")
    elif newest:
        device = measurements[0].device
        if newest.get(device.id, device.os_build) != device.os_build:
            said.append(f"different OS build since: {newest[device.id]}")
    return said
