"""The record of one session on one device; `schema/measurement.schema.json` is the norm."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measure.plan import Plan, ThermalStatus

SCHEMA = 1
Status = Literal["ok", "wrong", "failed"]
"""`wrong`: the device's output missed the golden pair's gate, so nothing was timed."""


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """What a device is."""

    id: str
    """As the command line has it, and always the same for the same device: `adb:SERIAL`."""
    model: str
    """As its maker calls it: `Pixel 8`; of a computer, its processor."""
    soc: str
    """Its system on a chip, or the processor; empty where unknown."""
    os_build: str
    """Name and build of the operating system."""
    cores: int | None = None


@dataclass(frozen=True, kw_only=True)
class Thermal:
    """How warm a device is, as far as it says."""

    status: ThermalStatus | None = None
    celsius: float | None = None
    """Of its hottest sensor."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a foreign tool tells instead of samples, in ms."""

    mean: float
    std: float | None
    min: float | None
    max: float | None
    count: int


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What one session gave; a device makes it."""

    golden_sqnr_db: float | None
    """Of the worst output against the float model's; None for an artifact without golden pair, or
    where the tool on the device cannot tell."""
    load_cold_ms: float | None = None
    """Loading in a fresh process."""
    load_warm_ms: float | None = None
    """Loading once more in the same process."""
    first_ms: float | None = None
    """The first inference of a fresh process."""
    latencies_ms: tuple[float, ...] = ()
    t_ms: tuple[float, ...] = ()
    """When each of them began, from the first one on."""
    summary: Summary | None = None
    """Only where there are no `latencies_ms`."""
    preprocess_ms: tuple[float, ...] = ()
    """From RGB pixels of a decoded picture to the input, apart from the latencies."""
    peak_rss_mb: float | None = None
    """Peak memory of a process that only loads and runs it, in a pass of its own, in MiB."""
    thermal_before: Thermal = Thermal()
    thermal_after: Thermal = Thermal()
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the `runtime` and the `tool` that ran it, as the device has them, and of this package."""
    conditions: Mapping[str, float | str] = field(default_factory=dict)
    """What else bears on the figures: `busy` (share of the cores that other work took),
    `affinity` (cores that were pinned), `governor`, `battery_percent`, `screen`,
    `timer_resolution_ms`."""


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """What was measured."""

    sha256: str
    bytes: int
    target: str
    bundle_id: str | None
    """None for an artifact from elsewhere, whose output nothing verified."""
    name: str
    """The bundle's id, or the file's name."""
    model: str | None
    recipe: str | None
    size: tuple[int, int] | None
    """(H, W) of the input."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One session of one artifact on one device."""

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    run: str
    """Name of the `measure` or `sweep` that it belongs to."""
    session: int
    """Which of the plan's repeats, from 0."""
    artifact: Artifact
    device: DeviceInfo
    plan: Plan
    status: Status
    error: str | None = None
    """Of what is not ok."""
    samples: Samples | None
    """None where it failed before there were any."""
    started_at: str
    """ISO 8601, UTC."""

    @property
    def runtime(self) -> str:
        """Version of the runtime that ran it: `executorch 1.5.1`; empty where unknown.

        Of a tool that does not tell its runtime, the tool.
        """
        versions = self.samples.versions if self.samples else {}
        return versions.get("runtime") or versions.get("tool", "")

    @property
    def cell(self) -> tuple[str, str, str, str, str]:
        """What is comparable: artifact, device, its OS build, runtime version, plan."""
        return (
            self.artifact.sha256,
            self.device.id,
            self.device.os_build,
            self.runtime,
            self.plan.key,
        )

    def to_json(self) -> dict[str, Any]:
        """The record as `schema/measurement.schema.json` has it."""
        return {"schema": SCHEMA, **asdict(self), "plan": self.plan.to_json()}


def measurement_from_json(entries: Any) -> Measurement:
    """A record from its JSON form, checked against the schema.

    Raises:
        ConfigError: Naming the key and what is wrong with it.
    """
    check_record("measurement", entries)
    return trusted_measurement(entries)


def trusted_measurement(entries: Mapping[str, Any]) -> Measurement:
    """A record from its JSON form, which was checked before."""
    found = {key: value for key, value in entries.items() if key != "schema"}
    size = found["artifact"]["size"]
    return Measurement(
        **{
            **found,
            "artifact": Artifact(**{**found["artifact"], "size": tuple(size) if size else None}),
            "device": DeviceInfo(**found["device"]),
            "plan": Plan.from_json(found["plan"]),
            "samples": _samples(found["samples"]) if found["samples"] else None,
        }
    )


def samples_from_json(entries: Any) -> Samples:
    """What another program measured, checked against the schema.

    Raises:
        ConfigError: Naming the key and what is wrong with it.
    """
    validator = _validator("measurement")
    part = {"$defs": validator.schema["$defs"], "$ref": "#/$defs/samples"}
    for wrong in validator.evolve(schema=part).iter_errors(entries):
        raise ConfigError(f"samples: {wrong.json_path}: {wrong.message[:200]}")
    return _samples(entries)


def check_record(kind: str, entries: Any) -> None:
    """Checks a record against its schema: a measurement, an evaluation or a profile.

    Raises:
        ConfigError: Naming the key and what is wrong with it.
    """
    import jsonschema

    version = entries.get("schema") if isinstance(entries, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise ConfigError(
            f"{kind}: written by a newer version (schema {version}, this one reads {SCHEMA}); "
            "upgrade mnv4-mobile"
        )
    wrong = jsonschema.exceptions.best_match(_validator(kind).iter_errors(entries))
    if wrong is not None:
        raise ConfigError(f"{kind}: {wrong.json_path}: {wrong.message[:200]}")
    if kind == "measurement":
        Plan.from_json(entries["plan"])


def _samples(entries: Mapping[str, Any]) -> Samples:
    lists = ("latencies_ms", "t_ms", "preprocess_ms")
    return Samples(
        **{
            **entries,
            **{name: tuple(map(float, entries[name])) for name in lists},
            "summary": Summary(**entries["summary"]) if entries["summary"] else None,
            "thermal_before": Thermal(**entries["thermal_before"]),
            "thermal_after": Thermal(**entries["thermal_after"]),
        }
    )


@cache
def _validator(kind: str) -> Any:
    import jsonschema

    norm = jsonschema.Draft202012Validator
    every_item = norm.VALIDATORS["items"]

    def items(validator: Any, schema: Any, found: Any, parent: Any) -> Any:
        # Of thousands of numbers the least decides, as no schema asks for anything else: one by one
        # they would take a hundred times as long.
        if isinstance(found, list) and {type(value) for value in found} <= {int, float}:
            found = found and [min(found)]
        return every_item(validator, schema, found, parent)

    text = (files("mnv4_mobile") / f"schema/{kind}.schema.json").read_text("utf-8")
    extended = jsonschema.validators.extend(norm, {"items": items})  # type: ignore[no-untyped-call]
    return extended(json.loads(text))
