"""What a store keeps: records of three kinds, checked against their schemas."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measure.measurement import check_record

RecordKind = Literal["measurement", "evaluation", "profile"]
RECORD_KINDS: tuple[RecordKind, ...] = get_args(RecordKind)


class StoredProfile(TypedDict):
    """Where an artifact spends its time on a device."""

    artifact_sha256: str
    device_id: str
    profile: dict[str, Any]
    """As `mnv4 profile --json` prints it."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record of any kind, checked and ready to be stored; `record` makes it."""

    kind: RecordKind
    columns: Mapping[str, str | int]
    body: str
    """Its JSON text, equal for equal records."""


def record(kind: RecordKind, entries: object) -> Record:
    """A record from its JSON form.

    Raises:
        ConfigError: It is not what its schema says.
    """
    try:
        body = json.dumps(
            entries, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
    except ValueError as error:
        raise ConfigError(f"{kind}: found a number that is not finite") from error
    found = json.loads(body)
    check_record(kind, found)
    digest = hashlib.sha256(body.encode()).hexdigest()
    columns: dict[str, str | int]
    match kind:
        case "measurement":
            columns = {
                "id": found["id"],
                "run": found["run"],
                "session": found["session"],
                "device": found["device"]["id"],
                "artifact": found["artifact"]["sha256"],
            }
        case "evaluation":
            columns = {"id": digest, "artifact": found["artifact_sha256"]}
        case "profile":
            columns = {
                "id": digest,
                "artifact": found["artifact_sha256"],
                "device": found["device_id"],
            }
    return Record(kind=kind, columns=columns, body=body)
