"""Writes the report as Markdown for a pull request: verdicts, and a table for each device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.report.data import NO_BOUNDS, Row, accuracies, choices, rows
from mnv4_mobile.measuring.results.choose import Accuracies, Bounds, digits, evaluation_for
from mnv4_mobile.measuring.results.doubts import MEANINGS, common, os_builds
from mnv4_mobile.measuring.results.statistics import typical, wilson
from mnv4_mobile.quality.evaluate import Evaluation
from mnv4_mobile.text import markdown_text, printable


def markdown(
    measurements: Sequence[Measurement],
    evaluations: Iterable[Evaluation],
    bounds: Bounds = NO_BOUNDS,
) -> str:
    """Returns tables in GitHub's Markdown; if several runs have the same group, the latest one."""
    found = [row for row in rows(measurements) if row.latest]
    datasets = accuracies(evaluations)
    known = datasets[0] if datasets else {}
    lines = ["# MobileNetV4 on devices", "", _words(measurements), ""]
    names = {m.device.id: m.device.model or m.device.id for m in measurements}
    for choice, evaluation in choices(measurements, datasets, bounds):
        on = f" ({evaluation.dataset})" if evaluation and len(datasets) > 1 else ""
        place, next_command = f"{names[choice.device]}{on}", choice.next_commands[:1]
        then = f" Next: `{printable(next_command[0]).replace('`', '')}`" if next_command else ""
        lines.append(f"- **{markdown_text(place)}**: {markdown_text(choice.verdict)}.{then}")
    by_device: dict[str, list[Row]] = {}
    for row in found:
        by_device.setdefault(row.first.device.id, []).append(row)
    newest = os_builds(measurements)
    doubts = [row.doubts(newest) for row in found]
    everywhere = common(doubts)
    beside = any(row.published for row in found)
    for device, its in by_device.items():
        info = its[0].first.device
        lines += ["", f"## {markdown_text(info.model or device)}", ""]
        lines += [markdown_text(" · ".join(filter(None, (info.soc, info.os_build, device)))), ""]
        heads = ["Artifact", "Threads", "Latency, ms", "Sessions", "p90", "Top-1, %", "File, MB"]
        heads += ["Memory, MiB", *(["Published, ms"] if beside else []), "Unsound?"]
        lines.append(f"| {' | '.join(heads)} |")
        lines.append("|" + "|".join([" --- ", *[" ---: "] * (len(heads) - 2), " --- "]) + "|")
        for row in sorted(
            its, key=lambda row: (row.group.latency_ms is None, row.group.latency_ms)
        ):
            own = [str(doubt) for doubt in row.doubts(newest) if doubt.code not in everywhere]
            columns = [*_columns(row, known, beside), markdown_text("; ".join([*own, *row.errors]))]
            lines.append(f"| {' | '.join(columns)} |")
    codes = {doubt.code for row in doubts for doubt in row}
    if codes:
        lines.append("")
    for code, meaning in MEANINGS.items():
        if code in codes:
            lines.append(f"- {'All rows' if code in everywhere else f'`{code}`'}: {meaning}")
    lines += ["", *_notes(found, known), ""]
    return "\n".join(lines)


def _words(measurements: Sequence[Measurement]) -> str:
    runs = dict.fromkeys(measurement.run for measurement in measurements)
    days = sorted({measurement.started_at[:10] for measurement in measurements})
    span = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    count = f"{len(measurements)} session{'s' if len(measurements) != 1 else ''}"
    return f"{count}, {markdown_text(span)}. Runs: {markdown_text(', '.join(runs))}"


def _columns(row: Row, known: Accuracies, beside: bool) -> list[str]:
    values, near, artifact = row.group.values, row.published, row.first.artifact
    evaluation = evaluation_for(known.get(artifact.sha256, []), artifact.size, row.first.plan.unit)
    accuracy = "unknown"
    if evaluation and evaluation.top1 is not None:
        low, high = wilson(evaluation.top1, evaluation.n)
        accuracy = f"{100 * evaluation.top1:.1f} ({100 * low:.1f} to {100 * high:.1f})"
    span = f"{_number(min(values))} to {_number(max(values))}" if len(values) > 1 else "-"
    return [
        markdown_text(artifact.name),
        str(row.first.plan.threads),
        f"**{_number(row.group.latency_ms)}**",
        span,
        _number(typical(s.p90 for s in row.group.sessions)),
        accuracy,
        _number(artifact.bytes / 1e6),
        _number(typical(s.peak_rss_mb for s in row.group.samples)),
        *([f"{_number(near.latency.ms)} ({near.unit})" if near else "-"] if beside else []),
    ]


def _notes(found: Sequence[Row], known: Accuracies) -> list[str]:
    statistics = ", ".join(dict.fromkeys(row.group.statistic for row in found))
    lines = [
        f"Latency: the median over the sessions of the {statistics} of each one's samples; "
        "sessions: the lowest and the highest."
    ]
    where = ""
    if known:
        evaluation = next(iter(known.values()))[0]
        where = f" on {markdown_text(evaluation.dataset)}"
        lines.append(f"Top-1:{where}, {evaluation.n} images, with its 95 % interval.")
    unknown = {r.first.artifact.name for r in found if r.first.artifact.sha256 not in known}
    if unknown:
        names = ", ".join(markdown_text(name) for name in sorted(unknown))
        lines.append(f"Not evaluated{where} (`mnv4 evaluate BUNDLE DATASET` does it): {names}.")
    if texts := dict.fromkeys(str(row.published) for row in found if row.published):
        lines.append(f"Published, not measured here: {markdown_text('; '.join(texts))}.")
    return [line for text in lines for line in (text, "")][:-1]


def _number(value: float | None) -> str:
    return "-" if value is None else digits(value)
