"""The report as Markdown, for a pull request: a table for each device, and what looks unsound."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from mnv4_mobile.measure.measurement import Measurement
from mnv4_mobile.measure.report.data import Row, accuracies, rows
from mnv4_mobile.measure.report.published import source
from mnv4_mobile.measure.results.doubts import os_builds
from mnv4_mobile.measure.results.statistics import typical
from mnv4_mobile.quality.evaluate import Evaluation

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def markdown(measurements: Sequence[Measurement], evaluations: Iterable[Evaluation]) -> str:
    """Tables in GitHub's Markdown; of the same sessions in several runs, the latest."""
    found = [row for row in rows(measurements) if row.latest]
    datasets = accuracies(evaluations)
    known = next(iter(datasets.values()), {})
    lines = ["# MobileNetV4 on devices", "", _words(measurements)]
    by_device: dict[str, list[Row]] = {}
    for row in found:
        by_device.setdefault(row.first.device.id, []).append(row)
    newest = os_builds(measurements)
    beside = any(row.published() for row in found)
    for device, its in by_device.items():
        info = its[0].first.device
        lines += ["", f"## {escaped(info.model or device)}", ""]
        lines += [escaped(" · ".join(filter(None, (info.soc, info.os_build, device)))), ""]
        heads = ["Artifact", "Threads", "Latency, ms", "Sessions", "p90", "Top-1, %", "File, MB"]
        heads += ["Memory, MiB", *(["Paper, ms"] if beside else []), "Unsound?"]
        lines.append(f"| {' | '.join(heads)} |")
        lines.append("|" + "|".join([" --- ", *[" ---: "] * (len(heads) - 2), " --- "]) + "|")
        for row in sorted(
            its, key=lambda row: (row.group.latency_ms is None, row.group.latency_ms)
        ):
            columns = _columns(row, newest, known.get(row.first.artifact.sha256), beside)
            lines.append(f"| {' | '.join(columns)} |")
    lines += ["", *_notes(found, known, beside), ""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """A name from elsewhere as plain text: no markup, no mention of anybody, one line."""
    # An empty comment behind @ keeps GitHub from making a name of it a mention.
    return _SPECIAL.sub(r"\\\1", " ".join(text.split())).replace("@", "@<!-- -->")


def _words(measurements: Sequence[Measurement]) -> str:
    runs = dict.fromkeys(measurement.run for measurement in measurements)
    days = sorted({measurement.started_at[:10] for measurement in measurements})
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    count = f"{len(measurements)} session{'s' if len(measurements) != 1 else ''}"
    return f"{count}, {escaped(span)}. Runs: {escaped(', '.join(runs))}"


def _columns(
    row: Row, newest: Mapping[str, str], evaluation: Evaluation | None, beside: bool
) -> list[str]:
    values, figure, artifact = row.group.values, row.published(), row.first.artifact
    top1 = evaluation.top1 if evaluation else None
    span = f"{_number(min(values))} to {_number(max(values))}" if len(values) > 1 else "-"
    return [
        escaped(artifact.name),
        str(row.first.plan.threads),
        f"**{_number(row.group.latency_ms)}**",
        span,
        _number(typical(s.p90 for s in row.group.sessions)),
        "unknown" if top1 is None else f"{100 * top1:.1f}",
        _number(artifact.bytes / 1e6),
        _number(typical(s.peak_rss_mb for s in row.group.samples)),
        *([_number(figure.ms if figure else None)] if beside else []),
        escaped("; ".join(row.doubts(newest))),
    ]


def _notes(found: Sequence[Row], known: dict[str, Evaluation], beside: bool) -> list[str]:
    statistics = ", ".join(dict.fromkeys(row.group.statistic for row in found))
    lines = [
        f"Latency: the median over the sessions of the {statistics} of each one's samples; "
        "sessions: the least and the most of them."
    ]
    where = ""
    if known:
        evaluation = next(iter(known.values()))
        where = f" on {escaped(evaluation.dataset)}"
        lines.append(f"Top-1:{where}, {evaluation.n} pictures.")
    unknown = {r.first.artifact.name for r in found if r.first.artifact.sha256 not in known}
    if unknown:
        names = ", ".join(escaped(name) for name in sorted(unknown))
        lines.append(f"Not evaluated{where} (`mnv4 evaluate BUNDLE DATASET` does it): {names}.")
    if beside:
        lines.append(f"Paper: published, not measured here: {source()['source']}.")
    return [line for text in lines for line in (text, "")][:-1]


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")
