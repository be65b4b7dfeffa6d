"""How warm computers and boards are: the kernel's sensors, and what their degrees mean."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mnv4_mobile.measuring.measurement import Thermal
from mnv4_mobile.measuring.plan import ThermalStatus

SENSORS = "/sys/class/thermal/thermal_zone*/temp"
"""Linux's and Android's sensors: a file each, thousandths of a degree Celsius."""

LIMITS_C: tuple[tuple[float, ThermalStatus], ...] = (
    (70, "nominal"),
    (80, "fair"),
    (90, "serious"),
)
"""Below which temperature of the hottest sensor each status is, where a system has no status of its
own. A Raspberry Pi begins to slow down at 80 degrees Celsius; most processors of computers stop at
95 to 105."""

_PLAUSIBLE_C = (1, 150)
"""Sensors that are not connected say 0, -127, 200, ..."""


def hottest(readings: Iterable[str]) -> Thermal:
    """What the sensors' files say, as far as it is plausible; empty where none is."""
    low, high = _PLAUSIBLE_C
    degrees = []
    for reading in readings:
        try:
            celsius = int(reading) / 1000
        except ValueError:
            continue
        if low <= celsius <= high:
            degrees.append(celsius)
    return Thermal(status=status(max(degrees)), celsius=max(degrees)) if degrees else Thermal()


def status(celsius: float) -> ThermalStatus:
    """The status that a temperature stands for."""
    for limit, found in LIMITS_C:
        if celsius < limit:
            return found
    return "critical"


def read_sensors() -> Thermal:
    """This computer's."""
    root = Path("/")
    readings = []
    for path in root.glob(SENSORS.removeprefix("/")):
        try:
            readings.append(path.read_text())
        except OSError:  # a sensor that is asleep
            continue
    return hottest(readings)
