"""The record of one session on one device."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Literal, NamedTuple

from msgspec import field

from mnv4_mobile.images import Side
from mnv4_mobile.measuring.plan import Plan, ThermalStatus
from mnv4_mobile.records import (
    Bytes,
    Count,
    DateTime,
    Finite,
    Milliseconds,
    Natural,
    NotNegative,
    Record,
    Sha256,
    Text,
    Uuid,
    show,
)
from mnv4_mobile.units import Unit

Status = Literal["ok", "wrong", "failed"]
"""`wrong`: the device's output missed the golden pair's gate, so nothing was timed."""


class DeviceInfo(Record, frozen=True, kw_only=True):
    """What a device is."""

    id: Text
    """The device's name on the command line, always the same for the same device: `adb:SERIAL`."""
    model: str
    """The maker's name for the device: `Pixel 8`; for a computer, its processor."""
    soc: str
    """The system on a chip, or the processor; empty if unknown."""
    os_build: str
    """Name and build of the operating system."""
    cores: Count | None = None
    """Number of cores; null if unknown."""


class Thermal(Record, frozen=True, kw_only=True):
    """How warm a device is by its own account."""

    status: ThermalStatus | None = None
    """The level; null if unknown."""
    celsius: Finite | None = None
    """Temperature of the hottest sensor; null if unknown."""


class Summary(Record, frozen=True, kw_only=True):
    """Statistics from a third-party tool that reports no samples, in milliseconds."""

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
    """What a device measured in one session. Times are in milliseconds, memory in MiB."""

    golden_sqnr_db: Finite | None
    """SQNR in decibels of the worst output against the float model, at most 200, which stands for
    equal tensors. Null for an artifact without a golden pair, or if the tool on the device returns
    no outputs."""
    load_cold_ms: Milliseconds | None = None
    """Time to load the artifact in a fresh process."""
    load_warm_ms: Milliseconds | None = None
    """Time to load the artifact once more in the same process."""
    first_ms: Milliseconds | None = None
    """Time of the first inference in a fresh process."""
    latencies_ms: tuple[Milliseconds, ...] = ()
    """Duration of every timed run."""
    t_ms: tuple[Milliseconds, ...] = ()
    """When each timed run began, counted from the beginning of the first one."""
    summary: Summary | None = None
    """The tool's statistics, only if there are no `latencies_ms`."""
    preprocess_ms: tuple[Milliseconds, ...] = ()
    """Time from the RGB pixels of a decoded image to the input; not part of the latencies."""
    peak_rss_mb: NotNegative | None = None
    """Peak memory of a separate process that only loads and runs the artifact."""
    ran_on: tuple[Unit, ...] = ()
    """The units that ran the artifact, each once, by the runtime's own account: all that ran any
    operator of it. Empty if the runtime does not say. The plan has the unit that was asked for."""
    thermal_before: Thermal = Thermal()
    """How warm the device was before the session."""
    thermal_after: Thermal = Thermal()
    """How warm the device was after the session."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions on the device of the `runtime` and of the `tool` that ran it, and of this package.
    """
    conditions: Mapping[str, Finite | str] = field(default_factory=dict)
    """What else affects the figures: `busy` (share of the cores that other work took), `affinity`
    (cores that were pinned), `governor`, `battery_percent`, `screen`, `timer_resolution_ms`,
    `adapter` (the GPU that LiteRT chose), `compute_unit` (what Core ML was allowed to use; in the
    Simulator not the plan's unit)."""


class Artifact(Record, frozen=True, kw_only=True):
    """The artifact that was measured."""

    sha256: Sha256
    """Hash of the artifact."""
    bytes: Bytes
    """Size of the artifact."""
    target: str
    """Name of the artifact's target."""
    bundle_id: str | None
    """Id of the artifact's bundle. Null for an artifact from elsewhere, whose output was never
    verified."""
    name: str
    """The bundle's id, or the file's name."""
    model: str | None
    """Name of the model's configuration; null if unknown."""
    recipe: str | None
    """Name of the precision recipe; null if unknown."""
    size: tuple[Side, Side] | None
    """Height and width of the input; null if unknown."""


class ResultKey(NamedTuple):
    """What sessions must have in common to be reduced to one result."""

    artifact: str
    """The artifact's sha256."""
    device: str
    os_build: str
    runtime: str
    """Name and version; empty if the session failed before they were known."""
    plan: str


class Measurement(Record, frozen=True, kw_only=True):
    """One session of one artifact on one device."""

    schema: Literal[1] = 1
    """Version of this format."""
    id: Uuid = field(default_factory=lambda: str(uuid.uuid4()))
    """UUID of this record."""
    run: Text
    """Name of the run of `measure` or `sweep` that the session belongs to."""
    session: Natural
    """Index of the session among the plan's repeats, from 0."""
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
    """What was measured; null if the session failed before there were any samples."""
    started_at: DateTime
    """ISO 8601, UTC."""

    def __post_init__(self) -> None:
        check_status(self.status, self.error, self.samples)

    @property
    def runtime(self) -> str:
        """Version of the runtime that ran it: `executorch 1.5.1`; empty if unknown.

        If a tool does not report its runtime, the version of the tool.
        """
        versions = self.samples.versions if self.samples else {}
        return versions.get("runtime") or versions.get("tool", "")

    @property
    def key(self) -> ResultKey:
        """What this session has in common with those that it may be reduced with."""
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
