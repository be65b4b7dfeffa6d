"""Runs a device's sessions one after the other, with pauses, a thermal gate and failure records."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from mnv4_mobile.errors import DeviceError, MobileError, ParityError, user_error
from mnv4_mobile.measuring.device import Device, DeviceGoneError, Screen
from mnv4_mobile.measuring.measurement import DeviceInfo, Measurement, Status, Thermal
from mnv4_mobile.measuring.plan import THERMAL_STATUSES, Plan, ThermalStatus
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import check, replace
from mnv4_mobile.text import printable_message

THERMAL_WAIT_S = 600.0
"""Seconds that a session waits for a warm device to cool."""
_POLL_S = 5.0


@dataclass(frozen=True, kw_only=True)
class PlannedSession:
    """One session to measure."""

    subject: Subject
    plan: Plan
    session: int
    """Index of the session among the plan's repeats, from 0."""

    @property
    def series(self) -> tuple[str, str]:
        """Identifies the sessions of one artifact and plan on a device."""
        return self.subject.artifact.sha256, self.plan.key

    @property
    def name(self) -> str:
        """Name of the session's series in messages."""
        plan = self.plan
        unit = f", {plan.unit}" if plan.unit else ""
        threads = "1 thread" if plan.threads == 1 else f"{plan.threads} threads"
        return f"{self.subject.artifact.name}, {threads}{unit}"


def measured(
    device: Device, planned: Sequence[PlannedSession], run: str, progress: Progress
) -> Iterator[Measurement]:
    """Measures on one device and yields each record as soon as it exists.

    A failure is a record too: `wrong` if the device computes something else, otherwise `failed`.
    The remaining sessions of its series are skipped, other series go on.

    Args:
        device: The device.
        planned: The sessions in order. Each but the first waits for its plan's cool-down.
        run: The run that the records belong to.
        progress: Receives the steps.

    Raises:
        DeviceGoneError: The device vanished; raised after the record that says so.
        DeviceError: The device does not say what it is.
    """
    info = device.describe()
    failed = set()
    begin, finished = time.monotonic(), 0
    for number, one in enumerate(planned):
        if one.series in failed:
            continue
        if isinstance(device, Screen):
            each = (time.monotonic() - begin) / finished if finished else None
            left = None if each is None else each * (len(planned) - number)
            device.show(number + 1, len(planned), left)
        if number:
            _cool_down(one, info, progress)
        record = Measurement(
            run=run,
            session=one.session,
            artifact=one.subject.artifact,
            device=info,
            plan=one.plan,
            status="failed",
            error="",
            samples=None,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        error: MobileError | None = None
        try:
            _wait_until_cool(device, one.plan, info, progress)
            progress.step(f"{info.id}: {one.name}, session {one.session + 1}")
            samples = device.measure(one.subject, one.plan, progress)
            ours = {"mnv4-mobile": version("mnv4-mobile")}
            samples = replace(samples, versions={**samples.versions, **ours})
            record = replace(record, status="ok", error=None, samples=samples)
            check(record, info.id, DeviceError)  # what a store would refuse ends this session only
        except Exception as caught:  # noqa: BLE001 - one session must not end a whole sweep
            error = user_error(caught)
            said = printable_message(str(error))
            record = replace(record, status=_status(error), error=said, samples=None)
            failed.add(one.series)
        finished += 1
        yield record
        if isinstance(error, DeviceGoneError):
            raise error


def _status(error: MobileError) -> Status:
    return "wrong" if isinstance(error, ParityError) else "failed"


def _cool_down(one: PlannedSession, info: DeviceInfo, progress: Progress) -> None:
    end = time.monotonic() + one.plan.cooldown_s
    if one.plan.cooldown_s:
        progress.step(f"{info.id}: cool-down of {one.plan.cooldown_s:g} s")
    while (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 1))
        progress.update(f"{info.id}: cool-down, {max(left - 1, 0):.0f} s left")


def _wait_until_cool(device: Device, plan: Plan, info: DeviceInfo, progress: Progress) -> None:
    """Waits until the device is as cool as the plan wants.

    Raises:
        DeviceError: The device stays too warm, or no longer answers.
    """
    begin = time.monotonic()
    while not is_cool_enough(thermal := device.thermal(), plan.max_thermal):
        waited = time.monotonic() - begin
        degrees = "" if thermal.celsius is None else f" ({thermal.celsius:g} degrees Celsius)"
        state = f"too warm: found {thermal.status}{degrees}, allowed: {plan.max_thermal}"
        if waited >= THERMAL_WAIT_S:
            raise DeviceError(f"{info.id}: {state} (max_thermal), after {waited:.0f} s of waiting")
        if waited < _POLL_S:
            progress.step(f"{info.id}: {state}")
        time.sleep(min(_POLL_S, THERMAL_WAIT_S - waited))
        progress.update(f"{info.id}: {state}, {waited:.0f} of {THERMAL_WAIT_S:.0f} s")


def is_cool_enough(thermal: Thermal, limit: ThermalStatus) -> bool:
    """Returns whether a status is the limit or better. An unknown status counts as cool."""
    order = THERMAL_STATUSES.index
    return thermal.status is None or order(thermal.status) <= order(limit)
