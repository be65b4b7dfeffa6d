"""`mnv4 results`."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv4_mobile.cli import next_step
from mnv4_mobile.cli.measured import StorePath, show_groups
from mnv4_mobile.cli.next_step import in_store
from mnv4_mobile.cli.show import Json, Quiet, print_json, print_table, print_text, show_next, split
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.records import plain
from mnv4_mobile.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mnv4_mobile.measuring.measurement import Measurement
    from mnv4_mobile.measuring.results.statistics import SessionGroup
    from mnv4_mobile.measuring.results.store import Access, Store
    from mnv4_mobile.quality.evaluate import Evaluation

app = typer.Typer(help="Lists, shows, exports, imports and deletes measurements.")


@dataclass(frozen=True, kw_only=True)
class _Filter:
    """Chooses the measurements that a command is about. Empty chooses all."""

    run: Sequence[str]
    device: Sequence[str]
    model: Sequence[str]
    recipe: Sequence[str]
    target: Sequence[str]

    @property
    def empty(self) -> bool:
        return not any(plain(self).values())

    def matching(self, measurements: Sequence[Measurement]) -> list[Measurement]:
        return [
            m
            for m in measurements
            if (not self.run or m.run in self.run)
            and (not self.device or {m.device.id, m.device.id.partition(":")[0]} & {*self.device})
            and (not self.model or m.artifact.model in self.model)
            and (not self.recipe or m.artifact.recipe in self.recipe)
            and (not self.target or m.artifact.target in self.target)
        ]


_FILTERS = {
    "run": ("NAME", "Only these runs"),
    "device": ("DEVICE", "Only these devices, or kinds of devices"),
    "model": ("MODEL", "Only these models"),
    "recipe": ("RECIPE", "Only these recipes"),
    "target": ("TARGET", "Only these targets"),
}
"""The options of `_Filter`: metavar and help."""


def _filtered(command: Callable[..., None]) -> Callable[..., None]:
    """Replaces a command's parameter `wanted` by the options that make a `_Filter`."""

    @functools.wraps(command)
    def filtered(**given: Any) -> None:
        chosen = {name: split(f"--{name}", given.pop(name) or []) for name in _FILTERS}
        command(wanted=_Filter(**chosen), **given)

    signature = inspect.signature(command, eval_str=True)
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.name != "wanted":
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        for name, (metavar, text) in _FILTERS.items():
            option = typer.Option(help=f"{text}; repeat or use commas.", metavar=metavar)
            kind = Annotated[list[str] | None, option]
            parameters.append(
                inspect.Parameter(name, parameter.KEYWORD_ONLY, default=None, annotation=kind)
            )
    filtered.__dict__["__signature__"] = signature.replace(parameters=parameters)
    return filtered


@contextmanager
def _opened(option: Path | None, access: Access = "read") -> Iterator[Store]:
    from mnv4_mobile.measuring.results.store import Store, store_path

    with Store(store_path(option), access) as opened:
        yield opened


def _read(option: Path | None) -> tuple[Path, list[Measurement], list[Evaluation]]:
    """Reads a store; the default one may not exist yet and is then empty."""
    from mnv4_mobile.measuring.results.store import store_path

    path = store_path(option)
    if option is None and not path.exists():
        return path, [], []
    with _opened(option) as opened:
        return path, opened.measurements(), opened.evaluations()


@app.callback(invoke_without_command=True)
def runs(
    context: typer.Context, store: StorePath = None, as_json: Json = False, quiet: Quiet = False
) -> None:
    """Lists the runs of the store. Its subcommands list sessions, and export or delete them."""
    if context.invoked_subcommand:
        if store or as_json or quiet:
            raise ConfigError(f"results: options go after {context.invoked_subcommand}")
        return
    path, measurements, evaluations = _read(store)
    rows = []
    for name in dict.fromkeys(m.run for m in measurements):
        found = [m for m in measurements if m.run == name]
        rows.append(
            {
                "run": name,
                "began": found[0].started_at,
                "devices": sorted({m.device.id for m in found}),
                "artifacts": len({m.artifact.sha256 for m in found}),
                "sessions": len(found),
                "failed": sum(m.status != "ok" for m in found),
            }
        )
    if as_json:
        print_json({"store": str(path), "runs": rows, "evaluations": len(evaluations)})
        return
    if not rows:
        _say_empty(path, quiet)
        return
    print_table(
        ["run", "began", "devices", ">artifacts", ">sessions", ">failed"],
        [[", ".join(v) if isinstance(v, list) else str(v) for v in row.values()] for row in rows],
        f"{path}: {_count(len(rows), 'run')}, {_count(len(evaluations), 'evaluation')}",
    )
    show_next(["results", "list", "--run", rows[-1]["run"], *in_store(store)], hidden=quiet)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _say_empty(path: Path, quiet: bool) -> None:
    print_text(f"No measurements in {path} yet; mnv4 measure BUNDLE adds some.")
    show_next(next_step.build(), hidden=quiet)


@app.command("list")
@_filtered
def list_groups(
    wanted: _Filter,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Shows one row for each artifact, device and plan: the medians of its sessions."""
    from mnv4_mobile.measuring.results.doubts import os_builds
    from mnv4_mobile.measuring.results.statistics import groups

    path, measurements, _ = _read(store)
    found, newest = wanted.matching(measurements), os_builds(measurements)
    if as_json:
        print_json({"groups": [_group(group, newest) for group in groups(found)]})
    elif found:
        show_groups(found, newest)
        show_next(["report", *in_store(store)], hidden=quiet)
    elif measurements:
        print_text(f"None of the {_count(len(measurements), 'measurement')} in {path} matches.")
        show_next(["results", *in_store(store)], hidden=quiet)
    else:
        _say_empty(path, quiet)


def _group(group: SessionGroup, newest: dict[str, str]) -> dict[str, Any]:
    from mnv4_mobile.measuring.results.doubts import doubts_of_group
    from mnv4_mobile.measuring.results.nearest import nearest
    from mnv4_mobile.measuring.results.statistics import typical

    first = group.first
    near = nearest(first)
    return {
        "artifact": first.artifact,
        "device": first.device,
        "runtime": next((m.runtime for m in group.measurements if m.runtime), ""),
        "plan": first.plan,
        "plan_key": first.plan.key,
        "runs": sorted({m.run for m in group.measurements}),
        "ids": [m.id for m in group.measurements],
        "sessions": len(group.sessions),
        "statistic": group.statistic,
        "latency_ms": group.latency_ms,
        **{
            f"{name}_ms": typical(getattr(s, name) for s in group.sessions)
            for name in ("p50", "p90", "p95", "mean", "min", "max")
        },
        "cv": typical(s.cv for s in group.sessions),
        "published": near.facts if near else None,
        "doubts": doubts_of_group(group.measurements, newest),
    }


@app.command()
def show(
    measurement: Annotated[
        str, typer.Argument(help="The measurement's id, or the beginning of it.", metavar="ID")
    ],
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Shows every figure of one session."""
    from mnv4_mobile.measuring.results.flat import flat

    with _opened(store) as opened:
        measurements = opened.measurements()
    (id_,) = _ids([m.id for m in measurements], [measurement])
    found = next(m for m in measurements if m.id == id_)
    if as_json:
        print_json({"measurement": found})
        return
    rows = [[name, _text(value)] for name, value in flat(found).items() if value not in (None, "")]
    if found.samples:
        rows += [[name, _text(value)] for name, value in found.samples.conditions.items()]
        rows += [[f"version of {name}", v] for name, v in found.samples.versions.items()]
    print_table(["", ""], rows)
    show_next(["results", "list", "--run", found.run, *in_store(store)], hidden=quiet)


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@app.command()
@_filtered
def delete(
    wanted: _Filter,
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids, or their beginnings.", metavar="[ID]...")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Delete without asking.")] = False,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Deletes measurements, by their ids or by the options that choose them.

    Ids also delete damaged records, which options do not choose.
    """
    if bool(ids) == (not wanted.empty):
        raise ConfigError("delete: needs either ids or options like --run that choose measurements")
    with _opened(store, "change") as opened:
        measurements = opened.measurements()
        matching = wanted.matching(measurements)
        chosen = _ids(opened.ids(), ids) if ids else [m.id for m in matching]
        if chosen and not yes:
            count = _count(len(chosen), "measurement")
            if not sys.stdin.isatty():
                raise ConfigError(f"--yes: needed to delete {count} without asking")
            runs = ", ".join(sorted({m.run for m in measurements if m.id in chosen}))
            question = f"Delete {count} of {runs or 'unknown runs'} from {opened.path}?"
            chosen = chosen if typer.confirm(printable(question), err=True) else []
        deleted = opened.delete(chosen)
    if as_json:
        print_json({"deleted": deleted})
    else:
        print_text(f"deleted {_count(deleted, 'measurement')}")
    show_next(["results", *in_store(store)], hidden=as_json or quiet)


def _ids(known: Sequence[str], beginnings: Sequence[str]) -> list[str]:
    """Returns the one id that begins with each of these."""
    chosen = []
    for beginning in beginnings:
        found = [id_ for id_ in known if id_.startswith(beginning.lower())]
        if len(found) != 1:
            raise ConfigError(
                f"{beginning}: found {len(found)} measurements whose id begins so, must be 1"
            )
        chosen += found
    return list(dict.fromkeys(chosen))


@app.command()
@_filtered
def export(
    file: Annotated[Path, typer.Argument(help="File whose suffix is .jsonl, .csv or .parquet.")],
    wanted: _Filter,
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Writes measurements to a file; JSON lines also hold their evaluations and profiles."""
    from mnv4_mobile.measuring.results.exchange import Records, export_records

    with _opened(store) as opened:
        measurements = wanted.matching(opened.measurements())
        evaluations, profiles = opened.evaluations(), opened.profiles()
    if not wanted.empty:
        artifacts = {m.artifact.sha256 for m in measurements}
        evaluations = [e for e in evaluations if e.artifact_sha256 in artifacts]
        profiles = [p for p in profiles if p.artifact_sha256 in artifacts]
    export_records(
        Records(measurements=measurements, evaluations=evaluations, profiles=profiles), file
    )
    if as_json:
        print_json({"file": str(file), "measurements": len(measurements)})
    else:
        print_text(f"{file}: {_count(len(measurements), 'measurement')}")
    show_next(["results", *in_store(store)], hidden=as_json or quiet)


@app.command("import")
def import_files(
    files: Annotated[list[Path], typer.Argument(help="Exported files, or stores (.sqlite).")],
    store: StorePath = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Adds the records of files to the store. A damaged file adds nothing."""
    from mnv4_mobile.measuring.results.exchange import add_records, read_records

    read = [(file, read_records(file)) for file in files]  # before a new store is made
    rows = []
    with _opened(store, "create") as opened:
        for file, found in read:
            added = add_records(opened, file, found)
            rows.append({"file": str(file), **plain(added)})
            if not as_json:
                print_text(f"{file}: {added.new} new records, {added.known} already known")
    if as_json:
        print_json({"files": rows})
    show_next(["results", *in_store(store)], hidden=as_json or quiet)
