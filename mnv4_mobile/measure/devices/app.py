"""What this package and a benchmark app on a phone say to each other, iOS and Android alike.

Through a folder `mnv4/` of the app's own files, in this order:

    mnv4/job/bundle/     the bundle to measure, its folder as it is; its name is in the job
    mnv4/job/job.json    {schema, id, bundle, plan}; see schema/job.schema.json
                         The app is launched now, measures one session and prints a line
                         `mnv4: TEXT` for every step.
    mnv4/result.json     {schema, job, status, error, samples}; see schema/result.schema.json;
                         written beside and renamed, so that who sees it sees all of it

`mnv4/` lies in `Android/data/<package>/files/` of an Android app. Of an iOS app, the job lies in
`Documents/` and the result in `Library/Caches/`: what is copied to an iPhone belongs to root, and
no app writes to folders of root's. The result names its job, so that an old one is never taken for
a new one.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.measure.measurement import Samples, check_record, samples_from_json
from mnv4_mobile.measure.plan import Plan
from mnv4_mobile.measure.subject import Subject

SCHEMA = 1
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


@dataclass(frozen=True, kw_only=True)
class Job:
    """One session of an app."""

    id: str
    subject: Subject
    plan: Plan
    bundle: str = BUNDLE
    """Where the bundle is, beside `JOB`."""

    @classmethod
    def new(cls, subject: Subject, plan: Plan, bundle: str = BUNDLE) -> Job:
        """A job with an id of its own."""
        return cls(id=str(uuid.uuid4()), subject=subject, plan=plan, bundle=bundle)

    def to_json(self) -> bytes:
        """job.json."""
        entries = {
            "schema": SCHEMA,
            "id": self.id,
            "bundle": self.bundle.rpartition("/")[2],
            "plan": self.plan.to_json(),
        }
        return json.dumps(entries, indent=1).encode() + b"\n"

    def samples(self, result: bytes) -> Samples | None:
        """What result.json says.

        Returns:
            None where it is another job's.

        Raises:
            ParityError: The app's golden check failed.
            DeviceError: The app failed, or the file is not what the schema says.
        """
        try:
            entries = json.loads(result, parse_constant=_refuse)
            check_record("result", entries)
            if entries["job"] != self.id:
                return None
            found = entries["samples"]
            samples = None if found is None else samples_from_json(found)
        except (ValueError, OverflowError, RecursionError) as error:
            raise DeviceError(f"the app's result.json: not JSON: {error}") from None
        except ConfigError as error:
            raise DeviceError(f"the app's result.json: {error}") from None
        name = self.subject.artifact.name
        if entries["status"] == "wrong":
            raise ParityError(f"{name}: wrong on the device: {entries['error']}")
        if samples is None:
            raise DeviceError(f"{name}: the app failed: {entries['error']}")
        if samples.golden_sqnr_db is None:
            raise DeviceError(f"{name}: the app did not check the golden pair")
        return samples


def said(line: str) -> str | None:
    """The step that a line of the app's output tells, as the progress display has it."""
    _, mark, text = line.partition(_SAID)
    return text.strip() if mark else None


def _refuse(constant: str) -> None:
    raise ValueError(f"found {constant}")
