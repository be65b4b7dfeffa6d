"""Units, which artifacts run on, with the names that all targets share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from mnv4_mobile.errors import ConfigError, unknown

Unit = Literal["cpu", "gpu", "npu"]
UNITS: tuple[Unit, ...] = get_args(Unit)


@dataclass(frozen=True, kw_only=True)
class Executor:
    """What runs artifacts on a unit of this machine."""

    name: str
    """The runtime and its delegate, or what emulates them."""
    emulated: bool = False
    """Whether it only emulates the unit, so that its times mean nothing."""
    falls_back: bool = False
    """Whether it may run operators on another unit without saying so."""
    missing: str = ""
    """What this machine lacks to run it, with the command that installs it; empty if nothing."""


def read_units(names: tuple[str, ...] | list[str]) -> tuple[Unit, ...]:
    """Returns units by their names, each once, in the order given.

    Raises:
        ConfigError: A name is not a unit.
    """
    for name in names:
        if name not in UNITS:
            raise ConfigError(unknown("unit", name, UNITS))
    return tuple(unit for name in dict.fromkeys(names) for unit in UNITS if unit == name)
