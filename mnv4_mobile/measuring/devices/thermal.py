"""How warm computers and boards are: the kernel's sensors, and what their temperatures mean."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mnv4_mobile.measuring.measurement import Thermal
from mnv4_mobile.measuring.plan import ThermalStatus

SENSORS = "/sys/class/thermal/thermal_zone*/temp"
"""Linux's and Android's sensors: one file for each, in thousandths of a degree Celsius."""

LIMITS_C: tuple[tuple[float, ThermalStatus], ...] = (
    (70, "nominal"),
    (80, "fair"),
    (90, "serious"),
)
"""Upper limits of the hottest sensor for each status, on systems without a status of their own. A
Raspberry Pi begins to slow down at 80 degrees Celsius; most computers' processors stop at 95 to
105."""

_PLAUSIBLE_C = (1, 150)
"""Range of credible temperatures. Unconnected sensors report 0, -127, 200, ..."""


def hottest(readings: Iterable[str]) -> Thermal:
    """Returns the hottest credible sensor; empty if no reading is credible."""
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
    """Returns the status for a temperature."""
    for limit, found in LIMITS_C:
        if celsius < limit:
            return found
    return "critical"


def read_sensors() -> Thermal:
    """Reads this computer's sensors."""
    root = Path("/")
    readings = []
    for path in root.glob(SENSORS.removeprefix("/")):
        try:
            readings.append(path.read_text())
        except OSError:  # a sensor that is asleep
            continue
    return hottest(readings)
