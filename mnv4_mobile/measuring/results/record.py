"""Defines the three kinds of records that a store keeps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from mnv4_mobile import records
from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.profile import StoredProfile
from mnv4_mobile.quality.evaluate import Evaluation

RecordKind = Literal["measurement", "evaluation", "profile"]
RECORD_KINDS: tuple[RecordKind, ...] = get_args(RecordKind)
Kept = Measurement | Evaluation | StoredProfile
KINDS: Mapping[RecordKind, type[Kept]] = {
    "measurement": Measurement,
    "evaluation": Evaluation,
    "profile": StoredProfile,
}


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A record as a store keeps it."""

    kind: RecordKind
    """`measurement`, `evaluation` or `profile`."""
    columns: Mapping[str, str | int]
    """Values by which the store is searched."""
    body: str
    """The record's JSON text, equal for equal records."""


def stored(record: Kept) -> Stored:
    """Returns a record in the form that a store keeps.

    Raises:
        ConfigError: A value that could not be read back.
    """
    body = records.encode(record)
    columns: dict[str, str | int]
    match record:
        case Measurement():
            kind: RecordKind = "measurement"
            columns = {
                "run": record.run,
                "session": record.session,
                "device": record.device.id,
                "artifact": record.artifact.sha256,
            }
        case Evaluation():
            kind = "evaluation"
            columns = {"artifact": record.artifact_sha256}
        case StoredProfile():
            kind = "profile"
            columns = {
                "artifact": record.artifact_sha256,
                "device": record.device_id,
            }
    records.decode(body, KINDS[kind], kind)
    columns["id"] = record_id(record, body)
    return Stored(kind=kind, columns=columns, body=body.decode())


def record_id(record: Kept, body: bytes) -> str:
    """Returns a record's id: a measurement's own, or the hash of its JSON text."""
    return record.id if isinstance(record, Measurement) else hashlib.sha256(body).hexdigest()
