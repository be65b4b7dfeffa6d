"""The record of one session on one device."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, field

from mnv4_mobile.images import Side
from mnv4_mobile.measuring.plan import Plan, ThermalStatus
from mnv4_mobile.records import (
    Bytes,
    Count,
    DateTime,
    Milliseconds,
    Natural,
    Record,
    Sha256,
    Text,
    Uuid,
    show,
)

Status = Literal["ok", "wrong", "failed"]
"""`wrong`: the device's output missed the golden pair's gate, so nothing was timed."""


class DeviceInfo(Record, frozen=True, kw_only=True):
    """What a device is."""

    id: Text
    """The device's name on the command line, always the same for the same device: `adb:SERIAL`."""
    model: str
    """The maker's name of it: `Pixel 8`; of a computer, its processor."""
    soc: str
    """The system on a chip, or the processor; empty where unknown."""
    os_build: str
    """Name and build of the operating system."""
    cores: Count | None = None
    """Number of cores; null where unknown."""


class Thermal(Record, frozen=True, kw_only=True):
    """How warm a device says it is."""

    status: ThermalStatus | None = None
    """The level; null where unknown."""
    celsius: float | None = None
    """Temperature of the hottest sensor; null where unknown."""


class Summary(Record, frozen=True, kw_only=True):
    """Statistics of a foreign tool that gives no samples, in milliseconds."""

    mean: Milliseconds
    """Mean of the runs."""
    std: Milliseconds | None
    """Standard deviation of the runs."""
    min: Milliseconds | None
    """The fastest run."""
    max: Milliseconds | None
    """The slowest run."""
    count: Count
    """Number of runs."""


class Samples(Record, frozen=True, kw_only=True):
    """What one session gave, made by a device. Times are milliseconds, memory is MiB."""

    golden_sqnr_db: float | None
    """SQNR in decibels of the worst output against the float model, at most 200, which stands for
    equal tensors. Null for an artifact without golden pair, or where the tool on the device cannot
    tell."""
    load_cold_ms: Milliseconds | None = None
    """Loading in a fresh process."""
    load_warm_ms: Milliseconds | None = None
    """Loading once more in the same process."""
    first_ms: Milliseconds | None = None
    """The first inference of a fresh process."""
    latencies_ms: tuple[Milliseconds, ...] = ()
    """Duration of every timed run."""
    t_ms: tuple[Milliseconds, ...] = ()
    """When each of them began, counted from the first one."""
    summary: Summary | None = None
    """Only where there are no `latencies_ms`."""
    preprocess_ms: tuple[Milliseconds, ...] = ()
    """Time from the RGB pixels of a decoded picture to the input; no part of the latencies."""
    peak_rss_mb: Annotated[float, Meta(ge=0)] | None = None
    """Peak memory of a separate process that only loads and runs the artifact."""
    thermal_before: Thermal = Thermal()
    """How warm the device was before."""
    thermal_after: Thermal = Thermal()
    """How warm the device was afterwards."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions on the device of the `runtime` and of the `tool` that ran it, and of this package.
    """
    conditions: Mapping[str, float | str] = field(default_factory=dict)
    """What else affects the figures: `busy` (share of the cores that other work took), `affinity`
    (cores that were pinned), `governor`, `battery_percent`, `screen`, `timer_resolution_ms`."""


class Artifact(Record, frozen=True, kw_only=True):
    """What was measured."""

    sha256: Sha256
    """Hash of the artifact."""
    bytes: Bytes
    """Size of the artifact."""
    target: str
    """Name of its target."""
    bundle_id: str | None
    """Id of its bundle. Null for an artifact from elsewhere, whose output nothing verified."""
    name: str
    """The bundle's id, or the file's name."""
    model: str | None
    """Name of the model's configuration; null where unknown."""
    recipe: str | None
    """Name of the precision recipe; null where unknown."""
    size: tuple[Side, Side] | None
    """Height and width of the input; null where unknown."""


class ResultKey(NamedTuple):
    """What sessions have in common that may be reduced to one result."""

    artifact: str
    """Its sha256."""
    device: str
    os_build: str
    runtime: str
    """Name and version; empty where a session failed before they were known."""
    plan: str


class Measurement(Record, frozen=True, kw_only=True):
    """One session of one artifact on one device."""

    schema: Literal[1] = 1
    """Version of this format."""
    id: Uuid = field(default_factory=lambda: str(uuid.uuid4()))
    """Names this record."""
    run: Text
    """Name of the `measure` or `sweep` that it belongs to."""
    session: Natural
    """Which of the plan's repeats this is, from 0."""
    artifact: Artifact
    """What was measured."""
    device: DeviceInfo
    """Where it was measured."""
    plan: Plan
    """How it was measured."""
    status: Status
    """`ok`; `wrong`: an output missed the golden pair's gate, so nothing was timed; `failed`."""
    error: str | None = None
    """What went wrong; null for `ok`."""
    samples: Samples | None
    """What was found; null where the session failed before there were any."""
    started_at: DateTime
    """ISO 8601, UTC."""

    def __post_init__(self) -> None:
        check_status(self.status, self.error, self.samples)

    @property
    def runtime(self) -> str:
        """Version of the runtime that ran it: `executorch 1.5.1`; empty where unknown.

        Of a tool that does not tell its runtime, the tool.
        """
        versions = self.samples.versions if self.samples else {}
        return versions.get("runtime") or versions.get("tool", "")

    @property
    def key(self) -> ResultKey:
        """What its session has in common with those that it may be compared with."""
        return ResultKey(
            artifact=self.artifact.sha256,
            device=self.device.id,
            os_build=self.device.os_build,
            runtime=self.runtime,
            plan=self.plan.key,
        )


def check_status(status: Status, error: str | None, samples: Samples | None) -> None:
    """Raises ValueError if samples and error do not fit the status."""
    if (error is None) != (status == "ok"):
        allowed = "null" if status == "ok" else "a text"
        raise ValueError(f"error: found {show(error)}, must be {allowed} with status {status}")
    if status == "ok" and samples is None:
        raise ValueError("samples: found ~, must be an object with status ok")
