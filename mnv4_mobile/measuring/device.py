"""What a device is, and how devices are found.

A kind of device is a module-level object that satisfies `Kind`, named by an entry point of the
group `mnv4_mobile.devices`. On the command line a device is KIND or KIND:ADDRESS.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Protocol, runtime_checkable

from mnv4_mobile.errors import ConfigError, DeviceError
from mnv4_mobile.measuring.measurement import DeviceInfo, Samples, Thermal
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.plugins import Group
from mnv4_mobile.progress import SILENT, Progress
from mnv4_mobile.units import Unit

ATTACHED_LIMIT_S = 15.0
"""Seconds that all kinds of devices together have to list what is attached."""


def check_unit(what: str, plan: Plan, units: Sequence[Unit]) -> None:
    """Refuses a plan for a unit that a device does not have.

    Raises:
        ConfigError: Naming the unit and those that it has.
    """
    if plan.unit is not None and plan.unit not in units:
        raise ConfigError(f"unit: found {plan.unit!r}, {what} runs on: {', '.join(units)}")


class DeviceGoneError(DeviceError):
    """The device vanished, so everything else that is planned on it will fail too."""


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A line of `mnv4 devices`."""

    address: str
    """What `--device` takes: `adb:SERIAL`."""
    info: DeviceInfo | None
    """None if the device does not say."""
    missing: str | None
    """What is missing before it can be used, and what to do; None if it is ready."""


class Device(Protocol):
    """A connected device. It is used by one thread at a time."""

    def describe(self) -> DeviceInfo:
        """Returns what the device is, which is the same in all sessions.

        Raises:
            DeviceError: The device does not answer.
        """

    def thermal(self) -> Thermal:
        """Returns how warm the device is now; empty if it does not say."""

    def check(self, subject: Subject, plan: Plan) -> None:
        """Refuses what the device cannot measure, before any work.

        Raises:
            ConfigError: Naming what was found and what the device can measure.
        """

    def measure(self, subject: Subject, plan: Plan, progress: Progress) -> Samples:
        """Measures one session in a fresh process, after the golden check.

        Raises:
            ParityError: The device computes something else; nothing was timed.
            DeviceGoneError: The device vanished.
            DeviceError: Anything else failed.
        """

    def close(self) -> None:
        """Disconnects, and removes what was copied to the device."""


@runtime_checkable
class Kind(Protocol):
    """A kind of device."""

    name: str

    def connect(
        self, address: str, tool: str | None, progress: Progress = SILENT
    ) -> Sequence[Device]:
        """Returns the devices at an address, usually one.

        Args:
            address: What follows `KIND:` on the command line; may be empty.
            tool: `--tool`: a program for the device that runs artifacts, if the kind takes one.
            progress: Receives what the user has to do.

        Raises:
            ConfigError: An invalid address or tool.
            DeviceError: No device, several devices for an empty address, no authorisation, ...
        """

    def attached(self) -> list[Attached]:
        """Returns the attached devices, ready or not. Must be quick and must not raise."""


@runtime_checkable
class Inviting(Kind, Protocol):
    """A kind of device that a person has to bring, by opening a page on a phone for example.

    Nobody is asked before all bundles are built, or to measure what no such device can measure.
    """

    def checker(self, address: str, tool: str | None) -> Callable[[Subject, Plan], None]:
        """Returns the function that the devices at an address will have as `Device.check`.

        Args:
            address: As for `connect`.
            tool: As for `connect`.

        Raises:
            ConfigError: An invalid address or tool.
            ToolchainError: Something is not installed on this computer.
        """


@runtime_checkable
class Screen(Protocol):
    """A device that shows its user how far the run is."""

    def show(self, session: int, sessions: int, seconds_left: float | None) -> None:
        """Says which session comes next.

        Args:
            session: Its number, from 1.
            sessions: Number of sessions on this device.
            seconds_left: An estimate for this session and the others; None before the first one.
        """


_KINDS = Group(name="mnv4_mobile.devices", what="device", option="--device")


def kind_names() -> list[str]:
    """Returns the names of the installed kinds of devices."""
    return _KINDS.names()


def load_kind(name: str) -> Kind:
    """Imports an installed kind of device.

    Raises:
        ConfigError: See `Group.load`.
    """
    kind: Kind = _KINDS.load(name, Kind)
    return kind


def all_attached() -> list[Attached]:
    """Returns the attached devices of all kinds, asked in parallel.

    A kind that fails is listed with its error.
    """
    found: dict[str, list[Attached]] = {}

    def ask(name: str) -> None:
        try:
            found[name] = load_kind(name).attached()
        except Exception as error:  # noqa: BLE001 - one broken kind must not hide the others
            found[name] = [Attached(address=name, info=None, missing=str(error))]

    names = kind_names()
    # Daemon threads: one that hangs in a driver must not keep the command from ending.
    threads = [Thread(target=ask, args=(name,), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    end = time.monotonic() + ATTACHED_LIMIT_S
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
    late = f"did not answer in {ATTACHED_LIMIT_S:g} s"
    return [
        one
        for name in names
        for one in found.get(name, [Attached(address=name, info=None, missing=late)])
    ]


def connect(device: str, tool: str | None = None, progress: Progress = SILENT) -> Sequence[Device]:
    """Connects to the devices that KIND or KIND:ADDRESS names.

    Raises:
        ConfigError: An unknown kind, or an invalid address.
        DeviceError: See `Kind.connect`.
    """
    name, _, address = device.partition(":")
    return load_kind(name).connect(address, tool, progress)


def invited(device: str, tool: str | None = None) -> Callable[[Subject, Plan], None] | None:
    """Returns the check of devices that a person has to bring; None for attached devices.

    Raises:
        MobileError: See `Inviting.checker`.
    """
    name, _, address = device.partition(":")
    kind = load_kind(name)
    return kind.checker(address, tool) if isinstance(kind, Inviting) else None
