"""Which bundle to ship to a device: the most accurate one of those that fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.measure.measurement import Artifact, Measurement
from mnv4_mobile.measure.results.doubts import doubts_of_group, os_builds
from mnv4_mobile.measure.results.statistics import SessionGroup, groups

if TYPE_CHECKING:
    from mnv4_mobile.quality.evaluate import Evaluation


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What must be kept."""

    max_ms: float
    min_top1: float
    """A share of 1."""
    max_mb: float | None = None
    """Of 10^6 bytes."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A bundle, what is known of it, and what speaks against it."""

    sha256: str
    name: str
    bytes: int | None
    """None where it was only evaluated."""
    group: SessionGroup | None
    """Its fastest one on the device."""
    evaluation: Evaluation | None
    misses: tuple[str, ...]
    """The bounds that it is known to miss."""
    missing: tuple[str, ...]
    """What nobody measured or evaluated."""
    doubts: tuple[str, ...]

    @property
    def latency_ms(self) -> float | None:
        """The plan's statistic."""
        return self.group.latency_ms if self.group else None

    @property
    def top1(self) -> float | None:
        """A share of 1."""
        return self.evaluation.top1 if self.evaluation else None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """All candidates, sorted into three."""

    fitting: tuple[Candidate, ...]
    """The first is the one to ship, the others were next."""
    undecided: tuple[Candidate, ...]
    """They miss no bound that is known of, but something is not known."""
    rejected: tuple[Candidate, ...]


def choose(
    measurements: Sequence[Measurement],
    evaluations: Sequence[Evaluation],
    device: str,
    bounds: Bounds,
    dataset: str | None = None,
) -> Choice:
    """Sorts all bundles that were measured or evaluated: the most accurate that fits comes first.

    Args:
        measurements: Of all devices: what was measured elsewhere only is missing here.
        evaluations: The last one of every artifact counts.
        device: See `one_device`.
        bounds: What must be kept.
        dataset: Name of the dataset whose evaluations count; None where there is only one.

    Raises:
        ConfigError: A device or a dataset that nothing is known of, or several datasets.
    """
    device = one_device(device, measurements)
    accuracy = _accuracy(evaluations, dataset)
    artifacts: dict[str, Artifact | None] = dict.fromkeys(accuracy)
    artifacts |= {m.artifact.sha256: m.artifact for m in measurements}
    found: dict[str, list[SessionGroup]] = {}
    for group in groups([m for m in measurements if m.device.id == device]):
        found.setdefault(group.first.artifact.sha256, []).append(group)
    newest = os_builds(measurements)
    judged = [
        _judge(sha256, artifact, found.get(sha256, []), accuracy.get(sha256), bounds, newest)
        for sha256, artifact in artifacts.items()
    ]
    return Choice(
        fitting=tuple(sorted((c for c in judged if not c.misses and not c.missing), key=_rank)),
        undecided=tuple(sorted((c for c in judged if not c.misses and c.missing), key=_rank)),
        rejected=tuple(sorted((c for c in judged if c.misses), key=_rank)),
    )


def one_device(wanted: str, measurements: Sequence[Measurement]) -> str:
    """The id of a device that was measured: by the id, or by its kind where there is one of it.

    Raises:
        ConfigError: None, or several of the kind.
    """
    ids = sorted({m.device.id for m in measurements})
    found = [one for one in ids if wanted in (one, one.partition(":")[0])]
    if len(found) == 1:
        return found[0]
    told = f"several: {', '.join(found)}" if found else f"measured: {', '.join(ids) or 'none'}"
    raise ConfigError(f"--device: found {wanted!r}, {told}")


def _rank(candidate: Candidate) -> tuple[float, float, int]:
    latency = candidate.latency_ms
    return (
        -(candidate.top1 or 0),
        math.inf if latency is None else latency,
        candidate.bytes or 0,
    )


def _accuracy(evaluations: Sequence[Evaluation], dataset: str | None) -> dict[str, Evaluation]:
    known = [e for e in evaluations if e.top1 is not None]
    names = sorted({e.dataset for e in known})
    if dataset is not None and dataset not in names:
        raise ConfigError(unknown("--dataset", dataset, names))
    if dataset is None and len(names) > 1:
        raise ConfigError(
            f"--dataset: needed, as there are evaluations on several: {', '.join(names)}"
        )
    return {e.artifact_sha256: e for e in known if dataset in (None, e.dataset)}


def _judge(
    sha256: str,
    artifact: Artifact | None,
    found: Sequence[SessionGroup],
    evaluation: Evaluation | None,
    bounds: Bounds,
    newest: dict[str, str],
) -> Candidate:
    timed = [group for group in found if group.sessions]
    # A plan may have been followed several times, on other builds of the OS: the last one counts.
    latest = {group.first.plan.key: group for group in timed}
    group = min(latest.values(), key=lambda c: c.latency_ms or 0, default=None)
    latency = group.latency_ms if group else None
    top1 = evaluation.top1 if evaluation else None
    misses, missing, said = [], [], []
    if latency is not None and latency > bounds.max_ms:
        misses.append(f"too slow: {latency:.2f} ms, at most {bounds.max_ms:g}")
    if not group and any(m.status == "wrong" for c in found for m in c.measurements):
        misses.append("wrong on the device")
    elif not group:
        missing.append("failed on the device" if found else "not measured on the device")
    if top1 is not None and top1 < bounds.min_top1:
        misses.append(f"top-1 too low: {top1:.2%}, at least {bounds.min_top1:.2%}")
    elif top1 is None:
        missing.append("not evaluated")
    megabytes = artifact.bytes / 1e6 if artifact else None
    if bounds.max_mb is not None and megabytes is not None and megabytes > bounds.max_mb:
        misses.append(f"too large: {megabytes:.2f} MB, at most {bounds.max_mb:g}")
    if group:
        said += doubts_of_group(group.measurements, newest)
    if evaluation and group and evaluation.unit not in (None, unit := group.first.plan.unit):
        said.append(f"top-1 is that on {evaluation.unit}, timed on {unit or 'the default unit'}")
    if evaluation and top1 is not None:
        error = 1.96 * math.sqrt(top1 * (1 - top1) / evaluation.n)
        if abs(top1 - bounds.min_top1) < error:
            said.append(f"top-1 of {evaluation.n} pictures, known to {error:.1%} only")
    return Candidate(
        sha256=sha256,
        name=artifact.name if artifact else evaluation.bundle_id if evaluation else sha256,
        bytes=artifact.bytes if artifact else None,
        group=group,
        evaluation=evaluation,
        misses=tuple(misses),
        missing=tuple(missing),
        doubts=tuple(said),
    )
