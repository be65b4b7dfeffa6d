"""What a device says about itself in a shell: Android through services, Linux through files."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mnv4_mobile.measuring.devices.shell import Shell
from mnv4_mobile.measuring.devices.thermal import SENSORS, hottest
from mnv4_mobile.measuring.measurement import DeviceInfo, Thermal
from mnv4_mobile.measuring.plan import ThermalStatus
from mnv4_mobile.records import replace

_CPUS = "/sys/devices/system/cpu/cpu[0-9]*"
_ANDROID: tuple[ThermalStatus, ...] = ("nominal", "fair", "fair", "serious")
"""Android's thermal statuses by number. Higher numbers are critical."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What does not change while a device is connected."""

    info: DeviceInfo
    machine: str
    """The processor's architecture, as `uname -m` prints it."""
    fastest: tuple[int, ...]
    """The cores with the highest clock; all cores if the device does not say."""


def ask(shell: Shell) -> Facts:
    """Asks a device for its facts.

    Raises:
        DeviceError: The device does not answer.
    """
    said = shell.ask(
        {
            "getprop": "getprop",
            "release": "cat /etc/os-release",
            "machine": "uname -m",
            "kernel": "uname -sr",
            "tree": "cat /sys/firmware/devicetree/base/model",
            "compatible": "tr '\\0' '\\n' < /sys/firmware/devicetree/base/compatible | tail -n 1",
            "cpuinfo": "cat /proc/cpuinfo",
            "cores": f"ls -d {_CPUS}",
            "clocks": f"grep -H . {_CPUS}/cpufreq/cpuinfo_max_freq",
        }
    )
    props = dict(re.findall(r"^\[(.*?)\]: \[(.*?)\]", said["getprop"], re.MULTILINE))
    cores = len(said["cores"].split()) or None
    if "ro.build.version.release" in props:
        info = _android(shell.name, props, cores)
    else:
        release = dict(re.findall(r'^(\w+)="?(.*?)"?$', said["release"], re.MULTILINE))
        name = re.search(r"^(?:model name|Model|Hardware)\s*: (.*)", said["cpuinfo"], re.MULTILINE)
        processor = name[1] if name else said["machine"]
        info = DeviceInfo(
            id=shell.name,
            model=said["tree"] or processor,
            soc=said["compatible"] or processor,
            os_build=f"{release.get('PRETTY_NAME', '')} {said['kernel']}".strip(),
            cores=cores,
        )
    return Facts(
        info=info, machine=said["machine"], fastest=_fastest(said["cores"], said["clocks"])
    )


def _android(name: str, props: dict[str, str], cores: int | None) -> DeviceInfo:
    def first(*names: str) -> str:
        return next((props[name] for name in names if props.get(name)), "")

    maker, model = first("ro.product.manufacturer"), first("ro.product.model")
    soc = (first("ro.soc.manufacturer"), first("ro.soc.model"))
    build = (first("ro.build.id"), first("ro.build.version.incremental"))
    serial = first("ro.serialno", "ro.boot.serialno")
    return DeviceInfo(
        # A wireless device's address is not an id, because its port changes every time.
        id=f"adb:{serial}" if serial else name,
        model=model if model.lower().startswith(maker.lower()) else f"{maker} {model}",
        soc=" ".join(part for part in soc if part)
        if soc[1]
        else first("ro.board.platform", "ro.hardware"),
        os_build=" ".join(["Android", props["ro.build.version.release"], *filter(None, build)]),
        cores=cores,
    )


def _fastest(cores: str, clocks: str) -> tuple[int, ...]:
    """Returns the fastest cores.

    Args:
        cores: The cores' folders.
        clocks: Lines `FILE:kHz`, one for each core that has a known clock.
    """
    known = {
        int(core): int(clock)
        for core, clock in re.findall(r"/cpu(\d+)/cpufreq/\w+:(\d+)$", clocks, re.MULTILINE)
    }
    listed = sorted(int(core) for core in re.findall(r"/cpu(\d+)$", cores, re.MULTILINE))
    highest = max((known.get(core, 0) for core in listed), default=0)
    return tuple(core for core in listed if known.get(core, 0) == highest)


def thermal(shell: Shell) -> Thermal:
    """Returns how warm a device is now.

    Raises:
        DeviceError: The device does not answer.
    """
    said = shell.ask(
        {
            "service": "dumpsys thermalservice",
            "sensors": f"cat {SENSORS}",
        }
    )
    # The cached values before this line may be a day old, and thresholds follow the values.
    _, _, service = said["service"].partition("Current temperatures from HAL:")
    service, _, _ = service.partition("Current cooling devices")
    values = re.findall(r"mValue=(-?\d+(?:\.\d+)?)", service)
    read = [f"{float(value) * 1000:.0f}" for value in values] or said["sensors"].split()
    found = hottest(read)
    if status := re.search(r"^\s*Thermal Status: (\d+)", said["service"], re.MULTILINE):
        number = int(status[1])
        return replace(found, status=_ANDROID[number] if number < len(_ANDROID) else "critical")
    return found


def conditions(shell: Shell) -> dict[str, float | str]:
    """Returns what else affects a measurement (`Samples.conditions`). Takes a second.

    Raises:
        DeviceError: The device does not answer.
    """
    said = shell.ask(
        {
            # This comes first, because the other commands are work too.
            "begin": "head -n 1 /proc/stat",
            "wait": "sleep 1",
            "end": "head -n 1 /proc/stat",
            "governor": f"cat {_CPUS}/cpufreq/scaling_governor | sort -u",
            "battery": "dumpsys battery",
            "capacity": "cat /sys/class/power_supply/*/capacity",
            "power": "dumpsys power",
            "idle": "dumpsys deviceidle get deep",
        }
    )
    found: dict[str, float | str] = {}
    if (busy := _busy(said["begin"], said["end"])) is not None:
        found["busy"] = busy
    if said["governor"]:
        found["governor"] = ",".join(said["governor"].split())
    level = re.search(r"^\s*level: (\d+)", said["battery"], re.MULTILINE)
    percent = level[1] if level else said["capacity"].partition("\n")[0]
    if percent.isdecimal():
        found["battery_percent"] = float(percent)
    if screen := re.search(r"mWakefulness=(\w+)", said["power"]):
        found["screen"] = screen[1].lower()
    if re.fullmatch(r"\w+", said["idle"]):
        found["deviceidle"] = said["idle"].lower()
    return found


def _busy(begin: str, end: str) -> float | None:
    """Returns the share of all cores' time between two lines of /proc/stat that was not idle."""
    before, after = (list(map(int, re.findall(r"\b\d+", line))) for line in (begin, end))
    if len(before) < 5 or len(before) != len(after):
        return None
    # user nice system idle iowait irq softirq steal; user includes guests.
    spent = [b - a for a, b in zip(before[:8], after[:8], strict=True)]
    total = sum(spent)
    return round(1 - (spent[3] + spent[4]) / total, 3) if total > 0 else None
