"""Devices that are reached through a shell: Android phones and Linux boards."""

from __future__ import annotations

from typing import Protocol

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measuring.device import check_unit
from mnv4_mobile.measuring.devices import facts
from mnv4_mobile.measuring.devices.programs import Programs
from mnv4_mobile.measuring.devices.shell import Shell
from mnv4_mobile.measuring.measurement import DeviceInfo, Samples, Thermal
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import replace
from mnv4_mobile.units import Unit

_SLOWEST_RUN_S = 10.0
_START_S = 300.0


class Way(Protocol):
    """How artifacts run on a device: with programs, or with an installed app."""

    def check(self, subject: Subject) -> None:
        """Refuses what cannot run, before any work; raises ConfigError."""

    def units(self, subject: Subject) -> tuple[Unit, ...]:
        """Returns the units that an artifact can be asked to run on."""

    def copy(self, subject: Subject) -> None:
        """Copies what a session needs, unless it was copied before; raises DeviceError."""

    def measure(
        self, subject: Subject, plan: Plan, cores: tuple[int, ...] | None, timeout_s: float
    ) -> Samples:
        """Measures one session in a fresh process, as `Device.measure` does.

        Args:
            subject: What was copied.
            plan: How to measure.
            cores: Cores to pin the process to; None leaves that to the device.
            timeout_s: Limit for the whole session.
        """

    def close(self) -> None:
        """Removes what was copied to places outside the shell's folder."""


class Remote:
    """A `Device` with a shell.

    Args:
        shell: The device's shell.
        tool: `--tool`; see `Programs`.
        app: The installed benchmark app, which is used unless `tool` is given.
    """

    def __init__(self, shell: Shell, tool: str | None, app: Way | None = None) -> None:
        self._shell = shell
        try:
            self._facts = facts.ask(shell)
        except BaseException:
            shell.close()
            raise
        self._way = app if app and not tool else Programs(shell, self._facts.machine, tool)

    def describe(self) -> DeviceInfo:
        """See `Device.describe`."""
        return self._facts.info

    def thermal(self) -> Thermal:
        """See `Device.thermal`."""
        return facts.thermal(self._shell)

    def check(self, subject: Subject, plan: Plan) -> None:
        """See `Device.check`."""
        self._way.check(subject)
        what = f"{subject.artifact.target} on {self._shell.name}"
        check_unit(what, plan, self._way.units(subject))
        count = self._facts.info.cores
        if plan.cores and count and max(plan.cores) >= count:
            raise ConfigError(
                f"affinity: found {plan.affinity!r}, {self._shell.name} has cores 0 to {count - 1}"
            )

    def measure(self, subject: Subject, plan: Plan, progress: Progress) -> Samples:
        """See `Device.measure`."""
        del progress  # a session is one step
        self._way.copy(subject)
        conditions = facts.conditions(self._shell)
        before = self.thermal()
        samples = self._way.measure(
            subject,
            plan,
            self._facts.fastest if plan.affinity == "fastest" else plan.cores,
            _START_S + 2 * plan.seconds + (plan.warmup + plan.runs) * _SLOWEST_RUN_S,
        )
        return replace(
            samples,
            thermal_before=before,
            thermal_after=self.thermal(),
            conditions={**conditions, **samples.conditions},
        )

    def close(self) -> None:
        """See `Device.close`."""
        self._way.close()
        self._shell.close()
