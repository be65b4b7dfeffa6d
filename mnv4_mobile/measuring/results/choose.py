"""Chooses the bundle to ship to a device among those that keep the bounds."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.images import Size
from mnv4_mobile.measuring.measurement import Artifact, Measurement
from mnv4_mobile.measuring.results.doubts import Doubt, doubts_of_group, os_builds
from mnv4_mobile.measuring.results.statistics import SessionGroup, groups, wilson

if TYPE_CHECKING:
    from mnv4_mobile.quality.evaluate import Evaluation
    from mnv4_mobile.units import Unit


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Bounds on a bundle. None sets no bound."""

    max_ms: float | None = None
    """Highest latency in milliseconds."""
    max_mb: float | None = None
    """Largest size in MB of 10^6 bytes."""
    min_top1: float | None = None
    """Lowest accuracy on the dataset, as a share of 1."""
    min_agreement: float | None = None
    """Lowest share of images for which the bundle and its float parent name the same class."""

    @property
    def any(self) -> bool:
        """Whether any bound is set."""
        return self != Bounds()

    @property
    def fastest_first(self) -> bool:
        """Whether only accuracy is bounded, so that the fastest bundle is wanted."""
        return self.any and self.max_ms is None and self.max_mb is None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A bundle, what is known about it, and what speaks against it."""

    sha256: str
    name: str
    target: str | None
    """None, like `bytes` and `group`, if the bundle was evaluated but never measured."""
    bytes: int | None
    group: SessionGroup | None
    """The group of sessions with the lowest latency on the device."""
    evaluation: Evaluation | None
    misses: tuple[str, ...]
    """The bounds that it misses, with the figures."""
    missing: tuple[str, ...]
    """What was not measured or evaluated, and is needed to decide."""
    doubts: tuple[Doubt, ...]

    @property
    def latency_ms(self) -> float | None:
        """See `SessionGroup.latency_ms`."""
        return self.group.latency_ms if self.group else None

    @property
    def top1(self) -> float | None:
        """Accuracy as a share of 1; None if unknown."""
        return self.evaluation.top1 if self.evaluation else None

    @property
    def agreement(self) -> float | None:
        """Agreement with the float parent as a share of 1; None if unknown."""
        return self.evaluation.agreement if self.evaluation else None

    @property
    def accuracy(self) -> float | None:
        """What candidates are ranked by: top-1, or agreement on a dataset without classes."""
        return self.agreement if self.top1 is None else self.top1

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of `accuracy`."""
        if self.evaluation is None or self.accuracy is None:
            return None
        return wilson(self.accuracy, self.evaluation.n)

    @property
    def facts(self) -> str:
        """Latency, accuracy and size in words."""
        parts = []
        if self.group and self.latency_ms is not None:
            plan = self.group.first.plan
            threads = f"{plan.threads} thread{'s' if plan.threads > 1 else ''}"
            parts.append(f"{digits(self.latency_ms)} ms ({self.group.statistic}, {threads})")
        if self.evaluation and self.accuracy is not None and self.interval:
            what = "agreement" if self.top1 is None else "top-1"
            low, high = (f"{100 * end:.1f}" for end in self.interval)
            parts.append(
                f"{what} {self.accuracy:.1%} (95% interval {low} to {high}, "
                f"{self.evaluation.n} images)"
            )
        else:
            parts.append("accuracy unknown")
        if self.bytes is not None:
            parts.append(f"{digits(self.bytes / 1e6)} MB")
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """All candidates, sorted into three lists."""

    device: str
    bounds: Bounds
    fitting: tuple[Candidate, ...]
    """Candidates that keep all bounds. The first is the one to ship, the second the next best."""
    undecided: tuple[Candidate, ...]
    """Candidates that miss no known bound, but lack a figure that is needed to decide."""
    rejected: tuple[Candidate, ...]

    @property
    def ship(self) -> Candidate | None:
        """The bundle to ship; None if none is known to fit."""
        return self.fitting[0] if self.fitting else None

    @property
    def headline(self) -> str:
        """The verdict without its reason."""
        if self.ship:
            return f"ship {self.ship.name}"
        return f"no bundle {'is known to fit' if self.bounds.any else 'can be named'}"

    @property
    def verdict(self) -> str:
        """Says which bundle to ship and why, or why none can be named."""
        facts = f"{self.ship.facts}; " if self.ship else ""
        return f"{self.headline}: {facts}{self.why}"

    @property
    def why(self) -> str:
        """The reason for the verdict."""
        left = f", {len(self.undecided)} undecided" if self.undecided else ""
        if not self.ship:
            rejected = f"{len(self.rejected)} rejected" if self.rejected else ""
            causes = Counter(cause for one in self.undecided for cause in one.missing)
            unknown = ", ".join(f"{count} {cause}" for cause, count in causes.items())
            return ", ".join(filter(None, (rejected, unknown))) or "none was measured"
        best, count = self.ship, len(self.fitting)
        which = "fit" if self.bounds.any else "were compared"
        if count == 1:
            return f"the only one that {'fits' if self.bounds.any else 'was compared'}{left}"
        if self.bounds.fastest_first or best.accuracy is None:
            return f"the fastest of {count} that {which}{left}"
        if best.accuracy < max(one.accuracy or 0 for one in self.fitting):
            return (
                f"the fastest of those, among {count} that {which}{left}, whose accuracy lies in "
                "the interval of the most accurate one"
            )
        return f"the most accurate of {count} that {which}{left}"

    @property
    def next_commands(self) -> list[str]:
        """The commands that ship the bundle or, without one, that find out what is missing."""
        if self.ship:
            return [f"mnv4 {shlex.join(self.ship_words(self.ship.name))}"]
        return [command for one in self.undecided for command in self.commands(one)]

    def ship_words(self, bundle: str) -> list[str]:
        """Returns the command that puts the bundle to ship into an app's library.

        Args:
            bundle: The bundle's path.
        """
        kind = self.device.partition(":")[0]
        if kind in ("ios", "coremltools"):  # both run what iOS apps run
            return ["sdk", "ios", bundle, "-o", "MobileNetV4"]
        return ["sdk", "android", bundle, "-o", "mnv4"]

    def commands(self, one: Candidate) -> list[str]:
        """Returns the commands that find out what is unknown about a candidate."""
        # The ids of computers and browsers have a name after the kind, which is not an address.
        kind, *rest = self.device.split(":")
        address = self.device if kind not in ("host", "browser") else ":".join([kind, *rest[1:]])
        name = shlex.quote(one.name)
        measure = [] if one.group else [f"mnv4 measure {name} --device {shlex.quote(address)}"]
        parent = " --parent PARENT" if self.bounds.min_agreement is not None else ""
        known = one.agreement if parent else one.accuracy
        return measure + ([f"mnv4 evaluate {name} DATASET{parent}"] if known is None else [])


Accuracies = Mapping[str, Sequence["Evaluation"]]
"""The evaluations on one dataset, by the artifact's sha256."""


def choose(
    measurements: Sequence[Measurement],
    known: Accuracies,
    device: str,
    bounds: Bounds,
) -> Choice:
    """Sorts all bundles that were measured or evaluated.

    The bundles that fit begin with those whose accuracy lies in the 95 % interval of the most
    accurate one, the fastest first. If only accuracy is bounded, all that fit are sorted by
    latency.

    Args:
        measurements: Measurements of all devices.
        known: Evaluations on the dataset that counts; see `on_dataset` and `evaluation_for`.
        device: The device's id; see `one_device`.
        bounds: Bounds on a bundle. Without any, every bundle fits whose latency and accuracy are
            known.
    """
    artifacts: dict[str, Artifact | None] = dict.fromkeys(known)
    artifacts |= {m.artifact.sha256: m.artifact for m in measurements}
    found: dict[str, list[SessionGroup]] = {}
    for group in groups([m for m in measurements if m.device.id == device]):
        found.setdefault(group.first.artifact.sha256, []).append(group)
    newest = os_builds(measurements)
    judged = [
        _judge(sha256, artifact, found.get(sha256, []), known.get(sha256, []), bounds, newest)
        for sha256, artifact in artifacts.items()
    ]
    fitting = [c for c in judged if not c.misses and not c.missing]
    best = max(fitting, key=lambda c: c.accuracy or 0, default=None)
    floor = 0.0 if bounds.fastest_first or not best or not best.interval else best.interval[0]
    return Choice(
        device=device,
        bounds=bounds,
        fitting=tuple(sorted(fitting, key=lambda c: _rank(c, floor))),
        undecided=tuple(c for c in judged if not c.misses and c.missing),
        rejected=tuple(c for c in judged if c.misses),
    )


def one_device(wanted: str | None, measurements: Sequence[Measurement]) -> str:
    """Returns the id of a device that was measured.

    Args:
        wanted: An id, or the kind of a single device. None if only one device was measured.
        measurements: The measurements of all devices.

    Raises:
        ConfigError: No such device, or several.
    """
    ids = sorted({m.device.id for m in measurements})
    found = [one for one in ids if wanted in (None, one, one.partition(":")[0])]
    if len(found) == 1:
        return found[0]
    if wanted is None and not found:
        raise ConfigError("--device: nothing was measured yet; mnv4 measure BUNDLE does it")
    if wanted is None:
        raise ConfigError(f"--device: needed, as several were measured: {', '.join(found)}")
    known = f"several: {', '.join(found)}" if found else f"measured: {', '.join(ids) or 'none'}"
    raise ConfigError(f"--device: found {wanted!r}, {known}")


def on_dataset(evaluations: Sequence[Evaluation], dataset: str | None) -> Accuracies:
    """Returns the evaluations on a dataset, by artifact.

    Args:
        evaluations: All evaluations.
        dataset: The dataset's name; may be None if there is only one.

    Raises:
        ConfigError: An unknown dataset, or several.
    """
    known = [e for e in evaluations if e.top1 is not None or e.agreement is not None]
    names = sorted({e.dataset for e in known})
    if dataset is not None and dataset not in names:
        raise ConfigError(unknown("--dataset", dataset, names))
    if dataset is None and len(names) > 1:
        raise ConfigError(
            f"--dataset: needed, as there are evaluations on several: {', '.join(names)}"
        )
    found: dict[str, list[Evaluation]] = {}
    for one in known:
        if dataset in (None, one.dataset):
            found.setdefault(one.artifact_sha256, []).append(one)
    return found


def evaluation_for(
    evaluations: Sequence[Evaluation], size: Size | None, unit: Unit | None
) -> Evaluation | None:
    """Returns the evaluation of an artifact that goes with its latency.

    It is the latest on a unit or, without one, the latest on any. An artifact that takes several
    input sizes has an accuracy at each; None stands for an unknown size.
    """
    those = [e for e in evaluations if None in (e.size, size) or e.size == size]
    in_order = sorted(those, key=lambda e: (e.unit == unit, e.started_at))
    return in_order[-1] if in_order else None


def digits(value: float) -> str:
    """Formats a number with three digits, without an exponent."""
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def _rank(candidate: Candidate, floor: float) -> tuple[float, float, int]:
    latency = candidate.latency_ms
    accuracy = candidate.accuracy or 0
    return (
        # All that reach the floor count as equally accurate.
        -math.inf if accuracy >= floor else -accuracy,
        math.inf if latency is None else latency,
        candidate.bytes or 0,
    )


def _judge(
    sha256: str,
    artifact: Artifact | None,
    found: Sequence[SessionGroup],
    evaluations: Sequence[Evaluation],
    bounds: Bounds,
    newest: dict[str, str],
) -> Candidate:
    timed = [group for group in found if group.sessions]
    # A plan may have been measured several times, on different OS builds: the last one counts.
    latest = {group.first.plan.key: group for group in timed}
    group = min(latest.values(), key=lambda c: c.latency_ms or 0, default=None)
    unit = group.first.plan.unit if group else None
    evaluation = evaluation_for(evaluations, artifact.size if artifact else None, unit)
    judged = Candidate(
        sha256=sha256,
        name=artifact.name if artifact else evaluation.bundle_id if evaluation else sha256,
        target=artifact.target if artifact else None,
        bytes=artifact.bytes if artifact else None,
        group=group,
        evaluation=evaluation,
        misses=(),
        missing=(),
        doubts=(),
    )
    misses, missing = _against(judged, bounds)
    if not group and any(m.status == "wrong" for c in found for m in c.measurements):
        misses.append("wrong on the device")
    elif not group and found:
        missing.append("failed on the device")
    elif not group and (bounds.max_ms is not None or bounds.fastest_first or not bounds.any):
        missing.append("not measured on the device")
    doubts = doubts_of_group(group.measurements, newest) if group else []
    if evaluation and group and evaluation.unit not in (None, unit):
        doubts.append(Doubt("unit", f"{evaluation.unit}, timed on {unit or 'the default unit'}"))
    for value, bound in (
        (judged.top1, bounds.min_top1),
        (judged.agreement, bounds.min_agreement),
    ):
        if evaluation and value is not None and bound is not None:
            low, high = wilson(value, evaluation.n)
            if low < bound < high:
                doubts.append(Doubt("images", str(evaluation.n)))
    return replace(judged, misses=tuple(misses), missing=tuple(missing), doubts=tuple(doubts))


def _against(one: Candidate, bounds: Bounds) -> tuple[list[str], list[str]]:
    """Returns the bounds that a candidate misses, and what must be known to decide on others."""
    misses, missing = [], []
    # Written so that a bound of NaN is missed.
    if bounds.max_ms is not None and (ms := one.latency_ms) is not None and not ms <= bounds.max_ms:
        misses.append(f"too slow: {ms:.2f} ms, at most {bounds.max_ms:g}")
    if bounds.max_mb is not None:
        if one.bytes is None:
            missing.append("size unknown")
        elif not one.bytes / 1e6 <= bounds.max_mb:
            misses.append(f"too large: {one.bytes / 1e6:.2f} MB, at most {bounds.max_mb:g}")
    for what, value, bound, absent in (
        ("top-1", one.top1, bounds.min_top1, "no top-1 on this dataset"),
        ("agreement", one.agreement, bounds.min_agreement, "evaluated without --parent"),
    ):
        if bound is None:
            continue
        if value is None:
            missing.append(absent if one.evaluation else "not evaluated")
        elif not value >= bound:
            misses.append(f"{what} too low: {value:.2%}, at least {bound:.2%}")
    if not bounds.any and one.accuracy is None:
        missing.append("not evaluated")
    return misses, missing
