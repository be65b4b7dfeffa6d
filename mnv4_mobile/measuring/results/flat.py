"""Turns a measurement into one row of a table, for spreadsheets and notebooks."""

from __future__ import annotations

from typing import TypedDict

from mnv4_mobile.measuring.measurement import Measurement, Samples
from mnv4_mobile.measuring.results import statistics
from mnv4_mobile.measuring.results.doubts import doubts


class FlatMeasurement(TypedDict):
    """The columns. Unknown values are None, times are ms, memory is MiB."""

    id: str
    run: str
    session: int
    started_at: str
    status: str
    error: str | None
    name: str
    model: str | None
    recipe: str | None
    target: str
    height: int | None
    width: int | None
    artifact_sha256: str
    artifact_bytes: int
    device: str
    device_model: str
    soc: str
    os_build: str
    runtime: str
    threads: int
    affinity: str
    unit: str | None
    """None stands for the artifact's default unit."""
    ran_on: str
    """The units that ran it, joined by semicolons; empty if unknown."""
    plan: str
    """The plan's key; rows with equal keys may be compared."""
    samples: int | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    mean_ms: float | None
    min_ms: float | None
    max_ms: float | None
    cv: float | None
    load_cold_ms: float | None
    load_warm_ms: float | None
    first_ms: float | None
    preprocess_ms: float | None
    """Median of the session's runs."""
    peak_rss_mb: float | None
    golden_sqnr_db: float | None
    thermal_before: str | None
    thermal_after: str | None
    doubts: str
    """Codes of what looks unsound (`doubts.MEANINGS`), joined by semicolons."""


def flat(measurement: Measurement) -> FlatMeasurement:
    """Returns a measurement's row."""
    artifact, device, plan = measurement.artifact, measurement.device, measurement.plan
    samples = measurement.samples or Samples(golden_sqnr_db=None)
    found = statistics.of(measurement)
    height, width = artifact.size or (None, None)
    return FlatMeasurement(
        id=measurement.id,
        run=measurement.run,
        session=measurement.session,
        started_at=measurement.started_at,
        status=measurement.status,
        error=measurement.error,
        name=artifact.name,
        model=artifact.model,
        recipe=artifact.recipe,
        target=artifact.target,
        height=height,
        width=width,
        artifact_sha256=artifact.sha256,
        artifact_bytes=artifact.bytes,
        device=device.id,
        device_model=device.model,
        soc=device.soc,
        os_build=device.os_build,
        runtime=measurement.runtime,
        threads=plan.threads,
        affinity=plan.affinity,
        unit=plan.unit,
        ran_on="; ".join(samples.ran_on),
        plan=plan.key,
        samples=found.n if found else None,
        p50_ms=found.p50 if found else None,
        p90_ms=found.p90 if found else None,
        p95_ms=found.p95 if found else None,
        mean_ms=found.mean if found else None,
        min_ms=found.min if found else None,
        max_ms=found.max if found else None,
        cv=found.cv if found else None,
        load_cold_ms=samples.load_cold_ms,
        load_warm_ms=samples.load_warm_ms,
        first_ms=samples.first_ms,
        preprocess_ms=statistics.percentile(samples.preprocess_ms, 50)
        if samples.preprocess_ms
        else None,
        peak_rss_mb=samples.peak_rss_mb,
        golden_sqnr_db=samples.golden_sqnr_db,
        thermal_before=samples.thermal_before.status,
        thermal_after=samples.thermal_after.status,
        doubts="; ".join(map(str, doubts(measurement))),
    )
