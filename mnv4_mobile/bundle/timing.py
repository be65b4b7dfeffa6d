"""Times runs."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

WARM_UP = 3
"""Number of runs before the timed ones; the first run packs weights and touches fresh memory."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The times of consecutive runs."""

    latencies_ms: tuple[float, ...]
    """How long each run took."""
    t_ms: tuple[float, ...]
    """When each run began, counted from the first one."""
    busy: float | None
    """The share of this machine's cores that other processes took meanwhile; None if the runs were
    too short for the system's clock, whose ticks are 10 ms on Linux."""


def timed(
    run: Callable[[], object], *, warmup: int = WARM_UP, runs: int, seconds: float = 0
) -> Timing:
    """Times a call, after a warm-up, without Python's garbage collector.

    Args:
        run: The call to time.
        warmup: Number of calls that are not timed.
        runs: Least number of timed calls.
        seconds: Least time that the timed calls take together.
    """
    for _ in range(warmup):
        run()
    begins: list[float] = []
    latencies: list[float] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        before = _cpu_seconds()
        start = begin = time.perf_counter()
        while len(begins) < runs or begin - start < seconds:
            begin = time.perf_counter()
            run()
            latencies.append((time.perf_counter() - begin) * 1e3)
            begins.append((begin - start) * 1e3)
        after = _cpu_seconds()
    finally:
        if collecting:
            gc.enable()
    every, others = (b - a for a, b in zip(before, after, strict=True))
    busy = min(max(others / every, 0.0), 1.0) if every >= _LEAST_CPU_S else None
    return Timing(latencies_ms=tuple(latencies), t_ms=tuple(begins), busy=busy)


_LEAST_CPU_S = 0.2


def _cpu_seconds() -> tuple[float, float]:
    """Returns the seconds of all cores so far, and how many of them other processes took.

    Time that a hypervisor took away (steal) counts as other processes'.
    """
    import psutil

    times = psutil.cpu_times()._asdict()
    spent = {name: s for name, s in times.items() if name not in ("guest", "guest_nice")}  # in user
    idle = spent["idle"] + spent.get("iowait", 0.0)
    every, own = sum(spent.values()), psutil.Process().cpu_times()
    return every, every - idle - own.user - own.system
