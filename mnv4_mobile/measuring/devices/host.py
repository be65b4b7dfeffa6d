"""This computer as a device: every session in fresh processes of the target's own runtime."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import Preprocess, random_images
from mnv4_mobile.measuring.device import Attached, Device
from mnv4_mobile.measuring.devices.thermal import read_sensors
from mnv4_mobile.measuring.measurement import DeviceInfo, Samples, Thermal
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.progress import SILENT, Progress
from mnv4_mobile.target import check_units, first_unit, load_target, missing, require, target_names
from mnv4_mobile.units import Unit

_CPUS = Path("/sys/devices/system/cpu")
_SLOW = 10
"""How much slower than the first inference a run may be before it counts as hanging."""

PICTURE = (480, 640)
"""(height, width) of the picture whose preprocessing is timed: what a phone's camera gives."""
PREPROCESS_RUNS = 20


class Host:
    """This computer."""

    def describe(self) -> DeviceInfo:
        """See `Device.describe`."""
        return _describe()

    def thermal(self) -> Thermal:
        """Of the hottest sensor; only Linux tells."""
        return read_sensors()

    def check(self, subject: Subject, plan: Plan) -> None:
        """See `Device.check`.

        Raises:
            ConfigError: A runtime that only something else stands in for, or cores that it lacks.
            ToolchainError: The target's runtime is not installed.
        """
        target = load_target(subject.artifact.target)
        check_units(target, [plan.unit] if plan.unit else [])
        unit: Unit = first_unit(target) if plan.unit is None else plan.unit
        if target.units[unit].emulated:
            raise ConfigError(
                f"{subject.artifact.name}: cannot be measured on this computer: what runs "
                f"{target.suffix} on {platform.system()} stands in for the runtime, so its times "
                "mean nothing"
            )
        require(target)
        _cores(plan)

    def measure(self, subject: Subject, plan: Plan, progress: Progress) -> Samples:
        """See `Device.measure`: one process for all that is timed, then one for memory."""
        del progress  # a session is one step
        name, feeds, cores = subject.artifact.target, subject.feeds(), _cores(plan)

        def worker() -> Worker:
            path, threads = subject.path, plan.threads
            return Worker(name, path, threads=threads, cores=cores, unit=plan.unit)

        before = self.thermal()
        with worker() as timing:
            loads = timing.loads()
            first = timing.time(feeds[0], warmup=0, runs=1).latencies_ms[0]
            golden = subject.check([timing.run(feed) for feed in feeds])
            preprocess = _preprocess_ms(timing, subject)
            found = timing.time(
                feeds[0],
                warmup=plan.warmup,
                runs=plan.runs,
                seconds=plan.seconds,
                run_s=first / 1e3 * _SLOW,
            )
        after = self.thermal()
        with worker() as memory:
            memory.run(feeds[0])
            peak = memory.peak_rss_mb()
        conditions: dict[str, float | str] = {"runtime_rss_mb": loads.runtime_rss_mb}
        if found.busy is not None:
            conditions["busy"] = found.busy
        if cores:
            conditions["affinity"] = ",".join(map(str, cores))
        if governors := _governors():
            conditions["governor"] = governors
        return Samples(
            golden_sqnr_db=golden,
            load_cold_ms=loads.cold_ms,
            load_warm_ms=loads.warm_ms,
            first_ms=first,
            latencies_ms=found.latencies_ms,
            t_ms=found.t_ms,
            preprocess_ms=preprocess,
            peak_rss_mb=peak,
            thermal_before=before,
            thermal_after=after,
            versions={"runtime": loads.runtime, "python": platform.python_version()},
            conditions=conditions,
        )

    def close(self) -> None:
        """Nothing was put on it."""


def _preprocess_ms(worker: Worker, subject: Subject) -> tuple[float, ...]:
    """Of a decoded picture; empty for an artifact of which nobody knows the preprocessing."""
    bundle = subject.bundle
    if bundle is None:
        return ()
    picture = random_images(Preprocess(size=PICTURE), 1, seed=0)[0]
    timing = worker.preprocess(bundle.input, picture, bundle.preprocess, PREPROCESS_RUNS)
    return timing.latencies_ms


def _cores(plan: Plan) -> tuple[int, ...] | None:
    """The cores that a plan pins the process to; None for all.

    Raises:
        ConfigError: A system that pins none, or cores that there are not.
    """
    if plan.affinity == "none":
        return None
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError(
            f"affinity: found {plan.affinity!r}, allowed on {platform.system()}: none"
        )
    there = sorted(os.sched_getaffinity(0))
    if plan.cores is None:
        clocks = {core: _clock(core) for core in there}
        return tuple(core for core in there if clocks[core] == max(clocks.values()))
    if not set(plan.cores) <= set(there):
        names = ", ".join(map(str, there))
        raise ConfigError(f"affinity: found {plan.affinity!r}, this computer has cores {names}")
    return plan.cores


def _clock(core: int) -> int:
    """The highest clock of a core in kHz; 0 where the system does not say, as in virtual ones."""
    with suppress(OSError):
        return int((_CPUS / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq").read_text())
    return 0


def _governors() -> str:
    """How the kernel chooses clocks: `performance`, `schedutil`, ..."""
    found = set()
    for path in _CPUS.glob("cpu[0-9]*/cpufreq/scaling_governor"):
        with suppress(OSError):
            found.add(path.read_text().strip())
    return ",".join(sorted(found))


@cache
def _describe() -> DeviceInfo:
    processor = _processor()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return DeviceInfo(
        # With its name, as stores of several computers are merged.
        id=f"host:{platform.node()}",
        model=_board() or processor,
        soc=processor,
        os_build=_system(),
        cores=cores,
    )


def _board() -> str:
    """`Raspberry Pi 5 Model B Rev 1.0`; empty on most computers."""
    with suppress(OSError):
        return Path("/proc/device-tree/model").read_text().strip("\0\n ")
    return ""


def _processor() -> str:
    if platform.system() == "Darwin":
        return _told("sysctl", "-n", "machdep.cpu.brand_string")
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]} ({_told('sw_vers', '-buildVersion')})"
    with suppress(OSError):
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
        return f"{name}, {platform.system()} {platform.release()}"
    return f"{platform.system()} {platform.release()}"


def _told(*command: str) -> str:
    """What a program of the system prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip()


class HostKind:
    """The kind `host`, of which there is one."""

    name = "host"

    def connect(
        self, address: str, tool: str | None, progress: Progress = SILENT
    ) -> Sequence[Device]:
        """See `Kind.connect`; the address may be this computer's name."""
        if address not in ("", platform.node()):
            raise ConfigError(
                f"--device host:{address}: this computer is host:{platform.node()}; measure on "
                "another one over ssh:"
            )
        if tool is not None:
            raise ConfigError(f"--tool: found {tool!r}; host takes none, it has the runtimes")
        return [Host()]

    def attached(self) -> list[Attached]:
        """See `Kind.attached`."""
        info = _describe()
        lacking = [name for name in target_names() if missing(load_target(name))]
        wanted = f"runtimes of {', '.join(lacking)}: pip install 'mnv4-mobile[all]'"
        return [Attached(address=info.id, info=info, missing=wanted if lacking else None)]


kind = HostKind()
