"""What a report shows, as plain data: one *row* for each group of sessions of a run.

Statistics are of all samples. Points are drawn for every session only up to a budget, so that a
page of ten thousand sessions still opens at once: all samples where they are few, else so many
drawn at random with a fixed seed, in the order of time.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from mnv4_mobile.measure.measurement import Artifact, Measurement, ResultKey, Thermal
from mnv4_mobile.measure.plan import PRESETS
from mnv4_mobile.measure.profile import StoredProfile
from mnv4_mobile.measure.report.published import Published, published, source
from mnv4_mobile.measure.results import statistics
from mnv4_mobile.measure.results.doubts import doubts_of_group, os_builds
from mnv4_mobile.measure.results.statistics import SessionGroup, groups, percentile, typical
from mnv4_mobile.quality.evaluate import Evaluation
from mnv4_mobile.records import plain

_Json = dict[str, Any]
POINTS = 100_000
"""Samples in a page, of all sessions together."""
_LEAST, _MOST = 10, 400
"""Of a session."""
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Row:
    """The sessions of a run that give one result."""

    group: SessionGroup
    latest: bool
    """Whether no later run has sessions with the same key."""

    @property
    def first(self) -> Measurement:
        """Stands for what all sessions have in common."""
        return self.group.first

    @property
    def runtime(self) -> str:
        """The runtime's version, of the first session that knows it."""
        return next((m.runtime for m in self.group.measurements if m.runtime), "")

    def doubts(self, newest: Mapping[str, str]) -> list[str]:
        """What looks unsound, and what went wrong; `newest` as `doubts_of_group` has it."""
        errors = dict.fromkeys(m.error for m in self.group.measurements if m.error)
        found = doubts_of_group(self.group.measurements, newest)
        return [*(doubt.sentence for doubt in found), *errors]

    def published(self) -> Published | None:
        """The published latency of the same device, network, input size and precision."""
        return next(
            (
                figure
                for figure in published(self.first.device)
                if figure.is_of(self.first.artifact)
                and figure.precision == self.first.artifact.recipe
            ),
            None,
        )


def rows(measurements: Sequence[Measurement]) -> list[Row]:
    """The groups of sessions of every run, in the order recorded."""
    by_run: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        by_run.setdefault(measurement.run, []).append(measurement)
    found = [group for sessions in by_run.values() for group in groups(sessions)]
    last = {_key(group): group for group in found}
    return [Row(group, last[_key(group)] is group) for group in found]


def _key(group: SessionGroup) -> ResultKey:
    """The key of the sessions that know their runtime, which those that failed early do not."""
    return next((m.key for m in group.measurements if m.runtime), group.first.key)


def accuracies(evaluations: Iterable[Evaluation]) -> dict[str, dict[str, Evaluation]]:
    """The latest evaluation of every artifact, by dataset and artifact, by their sha256."""
    found: dict[str, dict[str, Evaluation]] = {}
    for evaluation in sorted(evaluations, key=lambda e: e.started_at):
        of_dataset = found.setdefault(evaluation.dataset_sha256, {})
        of_dataset[evaluation.artifact_sha256] = evaluation
    # The dataset that says most about these artifacts comes first.
    return dict(sorted(found.items(), key=lambda entry: -len(entry[1])))


def page_data(
    measurements: Sequence[Measurement],
    evaluations: Iterable[Evaluation],
    profiles: Iterable[StoredProfile],
) -> _Json:
    """What the page draws, as JSON; `web/src/data.ts` has its types.

    Args:
        measurements: What to show.
        evaluations: Accuracies, joined by the artifact's sha256.
        profiles: Times by block, joined by artifact and device.
    """
    found = rows(measurements)
    artifacts = {row.first.artifact.sha256: row.first.artifact for row in found}
    devices = {row.first.device.id: row.first.device for row in found}
    number = {key: i for i, key in enumerate(artifacts)}
    place = {key: i for i, key in enumerate(devices)}
    datasets = accuracies(evaluations)
    newest = os_builds(measurements)
    limit = max(_LEAST, min(_MOST, POINTS // max(1, len(measurements))))
    return {
        "runs": list(dict.fromkeys(measurement.run for measurement in measurements)),
        "sessions": len(measurements),
        "limit": limit,
        "from": min(measurement.started_at for measurement in measurements),
        "to": max(measurement.started_at for measurement in measurements),
        "devices": [
            {**plain(device), "published": [plain(figure) for figure in published(device)]}
            for device in devices.values()
        ],
        "published": source(),
        "datasets": [
            {"name": next(iter(known.values())).dataset, "n": next(iter(known.values())).n}
            for known in datasets.values()
        ],
        "artifacts": [
            _artifact(artifact, [known.get(key) for known in datasets.values()])
            for key, artifact in artifacts.items()
        ],
        "rows": [
            _row(row, number[row.first.artifact.sha256], place[row.first.device.id], limit, newest)
            for row in found
        ],
        "profiles": [
            {
                "artifact": number[stored.artifact_sha256],
                "device": place[stored.device_id],
                "threads": stored.profile.threads,
                "blocks": [
                    [block.name, block.role, _short(block.ms)] for block in stored.profile.blocks
                ],
            }
            for stored in profiles
            if stored.artifact_sha256 in number and stored.device_id in place
        ],
    }


def _artifact(artifact: Artifact, evaluations: Sequence[Evaluation | None]) -> _Json:
    return {
        "name": artifact.name,
        "target": artifact.target,
        "model": artifact.model,
        "recipe": artifact.recipe,
        "size": artifact.size,
        "mb": artifact.bytes / 1e6,
        "sha256": artifact.sha256,
        # A share of 1 for each dataset.
        "top1": [found.top1 if found else None for found in evaluations],
    }


def _row(row: Row, artifact: int, device: int, limit: int, newest: Mapping[str, str]) -> _Json:
    group, first, plan = row.group, row.first, row.first.plan
    samples, sessions = group.samples, group.sessions
    pooled = [ms for one in samples for ms in one.latencies_ms]
    figure = row.published()
    return {
        "artifact": artifact,
        "device": device,
        "run": first.run,
        "latest": row.latest,
        "os": first.device.os_build,
        "runtime": row.runtime,
        "threads": plan.threads,
        "affinity": plan.affinity,
        "unit": plan.unit or "default",
        "statistic": group.statistic,
        "paper": plan.key == PRESETS["paper"].key,
        "ms": _short(group.latency_ms),
        "range": [_short(min(group.values)), _short(max(group.values))] if group.values else None,
        "p90": _short(typical(s.p90 for s in sessions)),
        "p95": _short(typical(s.p95 for s in sessions)),
        "cv": _short(typical(s.cv for s in sessions)),
        "box": [_short(percentile(pooled, q)) for q in PERCENTILES] if pooled else None,
        "n": len(pooled),
        "cold": _short(typical(s.load_cold_ms for s in samples)),
        "first": _short(typical(s.first_ms for s in samples)),
        "preprocess": _short(typical(typical(s.preprocess_ms) for s in samples)),
        "rss": _short(typical(s.peak_rss_mb for s in samples)),
        "published": plain(figure) if figure else None,
        "doubts": row.doubts(newest),
        "sessions": [_session(session, limit) for session in group.measurements],
    }


def _session(session: Measurement, limit: int) -> _Json:
    samples, found = session.samples, statistics.of(session)
    if samples is None or found is None:
        return {"start": session.started_at, "status": session.status}
    latencies, value = samples.latencies_ms, found.value(session.plan.statistic)
    indices = drawn(len(latencies), limit, seed=session.id)
    timed = len(samples.t_ms) == len(latencies)
    return {
        "start": session.started_at,
        "status": session.status,
        "value": _short(found.mean if value is None else value),
        "summary": samples.summary and plain(samples.summary),
        "n": len(latencies),
        "ms": [_short(latencies[i]) for i in indices],
        "t": [round(samples.t_ms[i], 1) for i in indices] if timed else None,
        "drift": _short(_drift(latencies)),
        "before": _thermal(samples.thermal_before),
        "after": _thermal(samples.thermal_after),
    }


def drawn(count: int, limit: int, *, seed: str) -> list[int]:
    """Indices of the samples to draw, in their order: all, or `limit` of them at random."""
    if count <= limit:
        return list(range(count))
    return sorted(random.Random(seed).sample(range(count), limit))


def _drift(latencies: Sequence[float]) -> float | None:
    """How much slower the last quarter of a session's runs is than its first one, as a share."""
    quarter = len(latencies) // 4
    if quarter < 5 or not (begin := median(latencies[:quarter])):
        return None
    return median(latencies[-quarter:]) / begin - 1


def _thermal(thermal: Thermal) -> list[str | float | None]:
    return [thermal.status, thermal.celsius]


def _short(value: float | None) -> float | None:
    """Four digits; more would only make the page larger."""
    return None if value is None else float(f"{value:.4g}")
