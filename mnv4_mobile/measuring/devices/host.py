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
from mnv4_mobile.target import (
    Target,
    check_units,
    first_unit,
    load_target,
    missing,
    require,
    target_names,
)
from mnv4_mobile.units import Unit

_CPUS = Path("/sys/devices/system/cpu")
_SLOW = 10
"""How many times slower than the first inference a run may be before it counts as hanging."""

CAMERA_SIZE = (480, 640)
"""Height and width of the image whose preprocessing is timed: a phone camera's frame."""
PREPROCESS_RUNS = 20


class Host:
    """This computer."""

    def describe(self) -> DeviceInfo:
        """See `Device.describe`."""
        return _describe()

    def thermal(self) -> Thermal:
        """Returns the hottest sensor's temperature, which only Linux reports."""
        return read_sensors()

    def check(self, subject: Subject, plan: Plan) -> None:
        """See `Device.check`.

        Raises:
            ConfigError: The runtime is emulated here, or the plan names cores that do not exist.
            ToolchainError: The target's runtime is not installed.
        """
        target = load_target(subject.artifact.target)
        check_units(target, [plan.unit] if plan.unit else [])
        unit = _unit(target, plan)
        if target.units[unit].emulated:
            raise ConfigError(
                f"{subject.artifact.name}: cannot be measured on this computer: {unit} is only "
                f"emulated ({target.units[unit].name}), so its times mean nothing"
            )
        require(target)
        _cores(plan)

    def measure(self, subject: Subject, plan: Plan, progress: Progress) -> Samples:
        """See `Device.measure`. One process is timed, then another one measures the memory."""
        del progress  # a session is one step
        name, feeds, cores = subject.artifact.target, subject.feeds(), _cores(plan)
        target = load_target(name)
        unit = _unit(target, plan)

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
        if loads.adapter:
            conditions["adapter"] = loads.adapter
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
            ran_on=() if target.units[unit].falls_back else (unit,),
            thermal_before=before,
            thermal_after=after,
            versions={"runtime": loads.runtime, "python": platform.python_version()},
            conditions=conditions,
        )

    def close(self) -> None:
        """Does nothing: no files were copied."""


def _preprocess_ms(worker: Worker, subject: Subject) -> tuple[float, ...]:
    """Times the preprocessing of a decoded image; empty for an artifact without a bundle."""
    bundle = subject.bundle
    if bundle is None:
        return ()
    image = random_images(Preprocess(size=CAMERA_SIZE), 1, seed=0)[0]
    timing = worker.preprocess(bundle.input, image, bundle.preprocess, PREPROCESS_RUNS)
    return timing.latencies_ms


def _unit(target: Target, plan: Plan) -> Unit:
    return first_unit(target) if plan.unit is None else plan.unit


def _cores(plan: Plan) -> tuple[int, ...] | None:
    """Returns the cores that a plan pins the process to; None for all.

    Raises:
        ConfigError: The system cannot pin, or a core does not exist.
    """
    if plan.affinity == "none":
        return None
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError(
            f"affinity: found {plan.affinity!r}, allowed on {platform.system()}: none"
        )
    allowed = sorted(os.sched_getaffinity(0))
    if plan.cores is None:
        clocks = {core: _clock(core) for core in allowed}
        return tuple(core for core in allowed if clocks[core] == max(clocks.values()))
    if not set(plan.cores) <= set(allowed):
        names = ", ".join(map(str, allowed))
        raise ConfigError(f"affinity: found {plan.affinity!r}, this computer has cores {names}")
    return plan.cores


def _clock(core: int) -> int:
    """Returns a core's highest clock in kHz; 0 if unknown, as in virtual machines."""
    with suppress(OSError):
        return int((_CPUS / f"cpu{core}" / "cpufreq" / "cpuinfo_max_freq").read_text())
    return 0


def _governors() -> str:
    """Returns how the kernel chooses clocks: `performance`, `schedutil`, ..."""
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
        # The id has the computer's name, because stores of several computers are merged.
        id=f"host:{platform.node()}",
        model=_board() or processor,
        soc=processor,
        os_build=_system(),
        cores=cores,
    )


def _board() -> str:
    """Returns a board's name, `Raspberry Pi 5 Model B Rev 1.0`; empty on most computers."""
    with suppress(OSError):
        return Path("/proc/device-tree/model").read_text().strip("\0\n ")
    return ""


def _processor() -> str:
    if platform.system() == "Darwin":
        return _printed("sysctl", "-n", "machdep.cpu.brand_string")
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    if platform.system() == "Darwin":
        return f"macOS {platform.mac_ver()[0]} ({_printed('sw_vers', '-buildVersion')})"
    with suppress(OSError):
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
        return f"{name}, {platform.system()} {platform.release()}"
    return f"{platform.system()} {platform.release()}"


def _printed(*command: str) -> str:
    """Returns what a program of the system prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    return done.stdout.strip()


class HostKind:
    """The kind `host`: this computer."""

    name = "host"

    def connect(
        self, address: str, tool: str | None, progress: Progress = SILENT
    ) -> Sequence[Device]:
        """See `Kind.connect`. The address may be this computer's name."""
        if address not in ("", platform.node()):
            raise ConfigError(
                f"--device host:{address}: this computer is host:{platform.node()}; use ssh:HOST "
                "for another one"
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
