"""Collects what a report shows as plain data: one *row* for each group of sessions of a run.

Statistics cover all samples. The points in the charts have a budget, so that a page of ten
thousand sessions still opens at once: a session shows all its samples if they are few, otherwise a
random choice with a fixed seed, in time order.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from statistics import median
from typing import Any

from mnv4_mobile.measuring.measurement import Artifact, Measurement, ResultKey, Thermal
from mnv4_mobile.measuring.plan import PRESETS
from mnv4_mobile.measuring.profile import StoredProfile
from mnv4_mobile.measuring.results import statistics
from mnv4_mobile.measuring.results.choose import Accuracies, Bounds, Choice, choose, evaluation_for
from mnv4_mobile.measuring.results.doubts import MEANINGS, Doubt, common, doubts_of_group, os_builds
from mnv4_mobile.measuring.results.nearest import Nearest, nearest, of_device
from mnv4_mobile.measuring.results.statistics import (
    NANOSECOND,
    SessionGroup,
    groups,
    percentile,
    typical,
    wilson,
)
from mnv4_mobile.quality.evaluate import Evaluation
from mnv4_mobile.records import plain

_Json = dict[str, Any]
NO_BOUNDS = Bounds()
POINTS = 100_000
"""Budget of samples for a page."""
_LEAST, _MOST = 10, 400
"""Bounds on the number of samples that a session shows."""
PERCENTILES = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Row:
    """The sessions of a run that give one result."""

    group: SessionGroup
    latest: bool
    """Whether no later run has sessions with the same key."""

    @property
    def first(self) -> Measurement:
        """One session, for the fields that are equal in all."""
        return self.group.first

    @property
    def runtime(self) -> str:
        """The runtime's version, from the first session that knows it."""
        return next((m.runtime for m in self.group.measurements if m.runtime), "")

    def doubts(self, newest: Mapping[str, str]) -> list[Doubt]:
        """Returns what looks unsound; `newest` is an argument of `doubts_of_group`."""
        return doubts_of_group(self.group.measurements, newest)

    @property
    def errors(self) -> list[str]:
        """What went wrong in sessions that failed, each message once."""
        return list(dict.fromkeys(m.error for m in self.group.measurements if m.error))

    @cached_property
    def published(self) -> Nearest | None:
        """The nearest published latency."""
        return nearest(self.first)


def rows(measurements: Sequence[Measurement]) -> list[Row]:
    """Returns the groups of sessions of every run, in the order in which they were recorded."""
    by_run: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        by_run.setdefault(measurement.run, []).append(measurement)
    found = [group for sessions in by_run.values() for group in groups(sessions)]
    last = {_key(group): group for group in found}
    return [Row(group, last[_key(group)] is group) for group in found]


def _key(group: SessionGroup) -> ResultKey:
    """Returns the key of sessions that know their runtime; those that failed early do not."""
    return next((m.key for m in group.measurements if m.runtime), group.first.key)


def accuracies(evaluations: Iterable[Evaluation]) -> list[Accuracies]:
    """Sorts evaluations by dataset; the one with the most artifacts comes first."""
    found: dict[str, dict[str, list[Evaluation]]] = {}
    for evaluation in evaluations:
        of_dataset = found.setdefault(evaluation.dataset_sha256, {})
        of_dataset.setdefault(evaluation.artifact_sha256, []).append(evaluation)
    return sorted(found.values(), key=lambda known: -len(known))


def choices(
    measurements: Sequence[Measurement], datasets: Sequence[Accuracies], bounds: Bounds
) -> list[tuple[Choice, Evaluation | None]]:
    """Returns what to ship to every device, for each dataset that its bundles were evaluated on.

    Bundles that were never evaluated are among the undecided of every dataset.

    Returns:
        Choices, each with an evaluation that names its dataset; None if there is no evaluation.
    """
    evaluated = {sha256 for known in datasets for sha256 in known}
    found: list[tuple[Choice, Evaluation | None]] = []
    for device in dict.fromkeys(m.device.id for m in measurements):
        on_device = {m.artifact.sha256 for m in measurements if m.device.id == device}
        its = [known for known in datasets if on_device & known.keys()] or [{}]
        for known in its:
            here = [
                m
                for m in measurements
                if m.artifact.sha256 in on_device
                and (m.artifact.sha256 in known or m.artifact.sha256 not in evaluated)
            ]
            those = {sha256: every for sha256, every in known.items() if sha256 in on_device}
            choice = choose(here, those, device, bounds)
            found.append((choice, next((every[0] for every in those.values()), None)))
    return found


def page_data(
    measurements: Sequence[Measurement],
    evaluations: Iterable[Evaluation],
    profiles: Iterable[StoredProfile],
    bounds: Bounds = NO_BOUNDS,
) -> _Json:
    """Returns what the page draws, as JSON; `web/src/data.ts` has its types.

    Args:
        measurements: What to show.
        evaluations: Accuracies, joined by the artifact's sha256.
        profiles: Times by block, joined by artifact and device.
        bounds: Bounds on the bundle to ship.
    """
    found = rows(measurements)
    artifacts = {row.first.artifact.sha256: row.first.artifact for row in found}
    devices = {row.first.device.id: row.first.device for row in found}
    number = {key: i for i, key in enumerate(artifacts)}
    place = {key: i for i, key in enumerate(devices)}
    datasets = accuracies(evaluations)
    newest = os_builds(measurements)
    limit = max(_LEAST, min(_MOST, POINTS // max(1, len(measurements))))
    doubts = [row.doubts(newest) for row in found]
    everywhere = common(doubts)
    beside = {key: of_device(device) for key, device in devices.items()}
    shown = [*chain.from_iterable(beside.values()), *(r.published for r in found if r.published)]
    return {
        "verdicts": [
            _verdict(choice, place[choice.device], evaluation, everywhere)
            for choice, evaluation in choices(measurements, datasets, bounds)
        ],
        "doubts": {
            code: meaning
            for code, meaning in MEANINGS.items()
            if any(doubt.code == code for row in doubts for doubt in row)
        },
        "common": everywhere,
        "runs": list(dict.fromkeys(measurement.run for measurement in measurements)),
        "sessions": len(measurements),
        "limit": limit,
        "from": min(measurement.started_at for measurement in measurements),
        "to": max(measurement.started_at for measurement in measurements),
        "devices": [
            {**plain(device), "published": [near.facts for near in beside[key]]}
            for key, device in devices.items()
        ],
        "sources": {
            one.publication.name: {
                "title": one.publication.title,
                "url": one.publication.url,
                "date": one.publication.date,
                "latency": one.publication.latency,
            }
            for one in shown
        },
        "datasets": [
            {"name": first.dataset, "n": first.n}
            for known in datasets
            for first in (next(iter(known.values()))[0],)
        ],
        "artifacts": [_artifact(artifact) for artifact in artifacts.values()],
        "rows": [
            {
                "artifact": number[row.first.artifact.sha256],
                "device": place[row.first.device.id],
                "doubts": [[doubt.code, doubt.detail] for doubt in its],
                "accuracy": [_accuracy(row, known) for known in datasets],
                **_row(row, limit),
            }
            for row, its in zip(found, doubts, strict=True)
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


def _verdict(
    choice: Choice, device: int, evaluation: Evaluation | None, everywhere: Sequence[str]
) -> _Json:
    ship = choice.ship
    doubts = [doubt for doubt in ship.doubts if doubt.code not in everywhere] if ship else []
    return {
        "device": device,
        "dataset": evaluation.dataset if evaluation else None,
        "ship": bool(ship),
        "headline": choice.headline,
        "facts": ship.facts if ship else "",
        "why": choice.why,
        "doubts": [doubt.sentence for doubt in doubts],
        "next": choice.next_commands,
    }


def _accuracy(row: Row, known: Accuracies) -> _Json | None:
    artifact, unit = row.first.artifact, row.first.plan.unit
    evaluation = evaluation_for(known.get(artifact.sha256, []), artifact.size, unit)
    if evaluation is None or evaluation.top1 is None:
        return None
    low, high = wilson(evaluation.top1, evaluation.n)
    return {
        "top1": 100 * evaluation.top1,
        "low": _short(100 * low),
        "high": _short(100 * high),
        "n": evaluation.n,
    }


def _artifact(artifact: Artifact) -> _Json:
    return {
        "name": artifact.name,
        "target": artifact.target,
        "model": artifact.model,
        "recipe": artifact.recipe,
        "size": artifact.size,
        "mb": artifact.bytes / 1e6,
        "sha256": artifact.sha256,
    }


def _row(row: Row, limit: int) -> _Json:
    group, first, plan = row.group, row.first, row.first.plan
    samples, sessions = group.samples, group.sessions
    pooled = [ms for one in samples for ms in one.latencies_ms]
    near = row.published
    preset = near.publication.preset if near else None
    return {
        "run": first.run,
        "latest": row.latest,
        "os": first.device.os_build,
        "runtime": row.runtime,
        "threads": plan.threads,
        "affinity": plan.affinity,
        "unit": plan.unit or "default",
        "statistic": group.statistic,
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
        "published": near.facts if near else None,
        "alike": preset is not None and plan.key == PRESETS[preset].key,
        "errors": row.errors,
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
    """Returns indices of the samples to draw, in order: all, or `limit` of them at random."""
    if count <= limit:
        return list(range(count))
    return sorted(random.Random(seed).sample(range(count), limit))


def _drift(latencies: Sequence[float]) -> float | None:
    """Returns by what share the last quarter of a session's runs is slower than the first."""
    quarter = len(latencies) // 4
    if quarter < 5 or (begin := median(latencies[:quarter])) < NANOSECOND:
        return None
    return median(latencies[-quarter:]) / begin - 1


def _thermal(thermal: Thermal) -> list[str | float | None]:
    return [thermal.status, thermal.celsius]


def _short(value: float | None) -> float | None:
    """Rounds to four digits; more would only make the page larger."""
    return None if value is None else float(f"{value:.4g}")
