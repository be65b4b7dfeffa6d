"""The files that this package and a benchmark app on a phone exchange, on iOS and Android.

They lie in a folder `mnv4/` of the app's own files and appear in this order:

    mnv4/job/bundle/     the folder of the bundle to measure; the job has its name
    mnv4/job/job.json    a `Job`
                         The app is launched now, measures one session and prints a line
                         `mnv4: TEXT` for every step.
    mnv4/result.json     a `Result`;
                         written under another name and renamed, so that it is never partial

`mnv4/` lies in `Android/data/<package>/files/` of an Android app. On iOS the job lies in
`Documents/` and the result in `Library/Caches/`, because files that are copied to an iPhone belong
to root, and apps cannot write to root's folders. The result names its job, so that an old result is
never taken for a new one.

A page in a browser fetches the same files by HTTP and posts the result. The programs of
`devices.tool` are started with arguments and write the same `Result` without a job.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Literal

from msgspec import Meta

from mnv4_mobile import records
from mnv4_mobile.bundle.manifest import Identifier
from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.measuring.measurement import Samples, Status, check_status
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.records import UUID, Record, Uuid, whole

BUNDLE = "mnv4/job/bundle"
JOB = "mnv4/job/job.json"
RESULT = "mnv4/result.json"
_SAID = "mnv4: "


def check(device: str, subject: Subject) -> None:
    """Refuses what an app cannot measure.

    Raises:
        ConfigError: An artifact without a bundle.
    """
    if subject.bundle is None:
        raise ConfigError(
            f"{device}: the benchmark app measures bundles, found {subject.path.name}; "
            "build one with mnv4 build"
        )


class Job(Record, frozen=True, kw_only=True):
    """What a benchmark app is to measure: one session of one bundle."""

    schema: Literal[1] = 1
    """Version of this format."""
    id: Uuid
    """UUID of this job."""
    bundle: Identifier
    """Name of the bundle's folder beside the file."""
    plan: Plan
    """How to measure. On iOS, where only the app knows how warm the device is, the app waits until
    it is at `max_thermal` or better. The app ignores `repeats` and `cooldown_s`, because it is
    launched once per session."""


class Result(Record, frozen=True, kw_only=True):
    """What a device measured in one session."""

    schema: Literal[1] = 1
    """Version of this format."""
    job: Annotated[str, Meta(pattern=whole(f"({UUID})?"), description="a job's id, or empty")]
    """Id of the job; empty if the device could not read one, or was given none."""
    status: Status
    """`ok`; `wrong`: an output missed the golden pair's gate, so nothing was timed; `failed`."""
    error: str | None
    """What went wrong; null for `ok`. For `wrong`: the output, what was found and the gate, all in
    decibels."""
    samples: Samples | None
    """What was measured; null unless the status is `ok`."""

    def __post_init__(self) -> None:
        check_status(self.status, self.error, self.samples)
        if self.status != "ok" and self.samples is not None:
            raise ValueError(f"samples: found an object, must be null with status {self.status}")


def new_job(plan: Plan, bundle: str = BUNDLE) -> Job:
    """Returns a job with a new id.

    Args:
        plan: How to measure.
        bundle: Where the bundle is, see `BUNDLE`.
    """
    return Job(id=str(uuid.uuid4()), bundle=bundle.rpartition("/")[2], plan=plan)


def read_samples(data: bytes, job: Job, name: str) -> Samples | None:
    """Reads result.json.

    Returns:
        The samples, or None if the result is another job's.

    Raises:
        ParityError: The app's golden check failed.
        DeviceError: The app failed, or the file is not a `Result`.
    """
    result = records.decode(data, Result, "the app's result.json", DeviceError)
    if result.job != job.id:
        return None
    if result.status == "wrong":
        raise ParityError(f"{name}: wrong on the device: {result.error}")
    if result.samples is None:
        raise DeviceError(f"{name}: the app failed: {result.error}")
    if result.samples.golden_sqnr_db is None:
        raise DeviceError(f"{name}: the app did not check the golden pair")
    return result.samples


def said(line: str) -> str | None:
    """Returns the step that a line of the app's output names, or None if it names none."""
    _, mark, text = line.partition(_SAID)
    return text.strip() if mark else None
