"""Performs a sweep as a run that can be resumed.

Each measurement is stored as soon as it exists, so whatever ends a run (Ctrl-C, a dead battery, a
killed process) loses only the session that was going on. A run of the same name measures what is
missing.
"""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path

from mnv4_mobile import records
from mnv4_mobile.builder.cache import Cache
from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.matrix import build_cells, cells
from mnv4_mobile.bundle.folder import AnyBundle, Bundle
from mnv4_mobile.errors import ConfigError, DeviceError, MobileError, ParityError
from mnv4_mobile.files import cache_folder
from mnv4_mobile.measuring.device import Device, connect, invited, load_kind
from mnv4_mobile.measuring.measurement import DeviceInfo, Measurement
from mnv4_mobile.measuring.plan import Plan, PresetName, preset
from mnv4_mobile.measuring.results.store import Store, check_store, claimed, store_path
from mnv4_mobile.measuring.session import PlannedSession, measured
from mnv4_mobile.measuring.subject import Subject, open_subject
from mnv4_mobile.measuring.sweep import Matrix, Sweep, SweepDevice
from mnv4_mobile.progress import Progress
from mnv4_mobile.units import Unit


def new_run(name: str) -> str:
    """Returns a name for a run: the sweep's name and the time."""
    return f"{name}-{datetime.now():%Y%m%d-%H%M%S}"


_Check = Callable[[Subject, Plan], None]
"""`Device.check` of a connected device, or of the devices that will be invited."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Something that a run could not measure."""

    what: str
    """The device and the artifact."""
    error: MobileError
    """Why it was not measured."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The state of a run after measuring."""

    run: str
    """The run's name. Measuring again with it measures only what is missing."""
    store: Path
    """The file with the measurements."""
    measurements: list[Measurement]
    """Every session of the run; a failed one only if no later session replaced it."""
    failures: list[Failure]
    """What could not be measured this time."""


def measure(
    bundles: AnyBundle | Iterable[AnyBundle],
    *,
    device: str | Sequence[str] = "host",
    plan: Plan | PresetName = "quick",
    threads: int | Sequence[int] = 1,
    units: Sequence[Unit] = (),
    tool: str | None = None,
    run: str | None = None,
    store: str | Path | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Measures the latency of bundles on devices, after checking each one's output there.

        found = measure(bundles, device=["host", "adb:R58M123"], threads=[1, 4])
        for one in found.measurements:
            print(one.artifact.name, one.device.id, one.samples.latencies_ms)

    Args:
        bundles: Bundles, their folders or the artifacts in them, patterns of these, or `.pte`,
            `.tflite` and `.mlpackage` from elsewhere.
        device: KIND or KIND:ADDRESS, as `mnv4 devices` lists them; one or several.
        plan: How to measure: a `Plan`, or the name of a preset. Threads and units are replaced.
        threads: Numbers of runtime threads; each is measured.
        units: Units to run on; each is measured. Default: what each artifact asks for.
        tool: The program that runs artifacts on the device, if the device needs one.
        run: Name of the run. A run that the store already has is continued. Default: a new name.
        store: The file to put measurements into. Default: `$MNV4_STORE`, or `mnv4.sqlite`.
        progress: Receives steps, counts and notes.

    Raises:
        MobileError: Before anything was measured. What fails later is in `Measured.failures`.
    """
    given = [bundles] if isinstance(bundles, Bundle | str | os.PathLike) else bundles
    sweep = Sweep(
        name="measure",
        bundles=tuple(str(b.path) if isinstance(b, Bundle) else os.fspath(b) for b in given),
        devices=tuple(
            SweepDevice(device=name, tool=tool)
            for name in ([device] if isinstance(device, str) else device)
        ),
        threads=(threads,) if isinstance(threads, int) else tuple(threads),
        units=tuple(units) or (None,),
        plan=preset(plan) if isinstance(plan, str) else plan,
    )
    return perform(
        # Not `check`: the names of artifacts may have bytes that are not text.
        records.convert(records.plain(sweep), Sweep, sweep.name),
        run=new_run(sweep.name) if run is None else run,
        store=store_path(store),
        out=Path("out"),  # not used: nothing is built
        progress=progress or Progress(),
    )


def perform(
    sweep: Sweep, *, run: str, store: Path, out: Path, force: bool = False, progress: Progress
) -> Measured:
    """Measures the sessions that a run does not have yet.

    What a device cannot measure is skipped with a note. If no device can measure an artifact, or a
    device can measure nothing, that is an error before any work.

    Args:
        sweep: What to measure, where and how.
        run: The run's name. Sessions that the store has under it are not measured again.
        store: The file that receives each measurement as soon as it exists.
        out: The folder for bundles that are built.
        force: Whether to replace bundles in `out` that are made of other ingredients.
        progress: Receives steps, counts and notes.

    Raises:
        MobileError: Before anything was measured.
    """
    for wanted in sweep.devices:  # a wrong kind is reported before a wrong file
        load_kind(wanted.device.partition(":")[0])
    if not run or not run.isprintable():
        raise ConfigError(f"--run: found {run!r}, must be a text of printable characters")
    check_store(store)
    failures: list[Failure] = []
    with ExitStack() as stack:
        stack.enter_context(claimed(store, run))
        given = [open_subject(path) for path in _given(sweep)]
        expected = {one: c for one in sweep.devices if (c := invited(one.device, one.tool))}
        attached = [one for one in sweep.devices if one not in expected]
        devices = _connected(attached, sweep, stack, failures, progress)
        built = _built(sweep.build, out, failures, progress, force=force) if sweep.build else []
        subjects = _each_once([*given, *map(open_subject, built)], progress)
        if expected:  # refuses what is impossible before anybody is asked to open a page
            checks: dict[str, _Check] = {info.id: one.check for info, one in devices.items()}
            checks |= {one.device: check for one, check in expected.items()}
            _possible(checks, sweep, subjects)
            devices |= _connected(list(expected), sweep, stack, failures, progress)
        if not devices:
            raise DeviceError("; ".join(str(failure.error) for failure in failures))
        planned = _planned(sweep, devices, subjects, progress)
        # A new store is created only now, so that bad input leaves no file.
        opened = stack.enter_context(Store(store))
        progress.note(f"run {run} in {store}")
        recorded = _recorded(opened.measurements(runs=(run,)))
        missing: dict[DeviceInfo, list[PlannedSession]] = {}
        for info, sessions in planned.items():
            missing[info] = [
                one for one in sessions if _key(info, *one.series, one.session) not in recorded
            ]
            if known := len(sessions) - len(missing[info]):
                progress.note(f"{info.id}: {known} of {len(sessions)} sessions already recorded")
        with progress.count(sum(map(len, missing.values())), "sessions"):
            for info, device in devices.items():
                failures += _measure(info, device, missing[info], run, opened, progress)
            progress.end()
        measurements = opened.measurements(runs=(run,))
    recorded = _recorded(measurements)
    return Measured(
        run=run,
        store=store,
        measurements=[m for m in measurements if m.status == "ok" or _key_of(m) not in recorded],
        failures=failures,
    )


def _key(device: DeviceInfo, artifact: str, plan: str, session: int) -> tuple[str, ...]:
    """Returns what identifies a session within a run."""
    return device.id, device.os_build, artifact, plan, str(session)


def _key_of(m: Measurement) -> tuple[str, ...]:
    return _key(m.device, m.artifact.sha256, m.plan.key, m.session)


def _recorded(measurements: Sequence[Measurement]) -> set[tuple[str, ...]]:
    """Returns the keys of the sessions that succeeded."""
    return {_key_of(m) for m in measurements if m.status == "ok"}


def _connected(
    wanted: Sequence[SweepDevice],
    sweep: Sweep,
    stack: ExitStack,
    failures: list[Failure],
    progress: Progress,
) -> dict[DeviceInfo, Device]:
    """Returns the wanted devices that answer.

    Raises:
        DeviceError: The sweep's only device does not answer.
    """
    devices: dict[DeviceInfo, Device] = {}
    for one in wanted:
        try:
            for device in connect(one.device, one.tool, progress):
                stack.enter_context(closing(device))
                info = records.check(device.describe(), one.device, DeviceError)
                devices.setdefault(info, device)
        except DeviceError as error:
            if len(sweep.devices) == 1:
                raise
            failures.append(Failure(what=one.device, error=error))
    return devices


def _given(sweep: Sweep) -> list[Path]:
    """Returns the paths that the sweep names, in its order."""
    paths: list[Path] = []
    for pattern in sweep.bundles:
        # An existing path is not a pattern, even with brackets in its name.
        found = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
        if not found:
            raise ConfigError(f"{pattern}: no such bundle or artifact")
        paths += map(Path, found)
    return list(dict.fromkeys(paths))


def _each_once(subjects: Sequence[Subject], progress: Progress) -> list[Subject]:
    """Returns the subjects, but each artifact only once."""
    found: dict[str, Subject] = {}
    for subject in subjects:
        first = found.setdefault(subject.artifact.sha256, subject)
        if first.path != subject.path:
            progress.note(f"{subject.path}: the same artifact as {first.path}, measured once")
    return list(found.values())


def _built(
    matrix: Matrix, out: Path, failures: list[Failure], progress: Progress, *, force: bool
) -> list[Path]:
    options = [
        Options(size=size, calibrate=matrix.calibrate, options=matrix.options)
        for size in matrix.input_sizes
    ]
    wanted = cells(
        matrix.models, matrix.weights, matrix.targets, matrix.recipes, options, progress=progress
    )
    cache = Cache(cache_folder(), progress)
    built = build_cells(wanted, out, cache=cache, force=force, progress=progress)
    failures += [Failure(what=one.cell.name, error=one.error) for one in built if one.error]
    paths = [one.path for one in built if one.path]
    if not paths:
        raise next(one.error for one in built if one.error)
    return paths


def _planned(
    sweep: Sweep,
    devices: Mapping[DeviceInfo, Device],
    subjects: Sequence[Subject],
    progress: Progress,
) -> dict[DeviceInfo, list[PlannedSession]]:
    """Returns the sessions of every device: the first of each series, then the second of each, ...

    The order is A B A B, not A A B B, so that drift (temperature, other work) affects all equally.

    Raises:
        ConfigError: See `_possible`.
    """
    checks: dict[str, _Check] = {info.id: device.check for info, device in devices.items()}
    possible, refused = _possible(checks, sweep, subjects)
    for reason, whats in refused.items():
        progress.note(f"not measured: {', '.join(dict.fromkeys(whats))}: {reason}")
    planned = {
        info: [
            PlannedSession(subject=subject, plan=plan, session=session)
            for subject, plan in possible[info.id]
            for session in range(plan.repeats)
        ]
        for info in devices
    }
    for sessions in planned.values():
        sessions.sort(key=lambda one: one.session)
    return planned


def _possible(
    checks: Mapping[str, _Check], sweep: Sweep, subjects: Sequence[Subject]
) -> tuple[dict[str, list[tuple[Subject, Plan]]], dict[str, list[str]]]:
    """Asks every device what it can measure.

    Args:
        checks: `Device.check` by the device's name.
        sweep: The sweep, whose plans are checked.
        subjects: The artifacts.

    Returns:
        What is possible, by device; and what was refused, by reason.

    Raises:
        ConfigError: An artifact that no device can measure, or a device that can measure none.
    """
    possible: dict[str, list[tuple[Subject, Plan]]] = {name: [] for name in checks}
    refused: dict[str, list[str]] = {}
    for (name, check), subject, plan in product(checks.items(), subjects, sweep.plans()):
        try:
            check(subject, plan)
            possible[name].append((subject, plan))
        except MobileError as error:
            refused.setdefault(str(error), []).append(f"{subject.artifact.name} on {name}")
    measurable = {s.artifact.sha256 for found in possible.values() for s, _ in found}
    if not all(possible.values()) or len(measurable) < len(subjects):
        raise ConfigError("; ".join(refused))
    return possible, refused


def _measure(
    info: DeviceInfo,
    device: Device,
    missing: Sequence[PlannedSession],
    run: str,
    store: Store,
    progress: Progress,
) -> list[Failure]:
    """Measures what is missing on one device, and returns what failed."""
    names = {one.series: f"{info.id}: {one.name}" for one in missing}
    left = Counter(one.series for one in missing)
    failures: dict[tuple[str, str], Failure] = {}
    try:
        for measurement in measured(device, missing, run, progress):
            store.add(measurement)
            series = measurement.artifact.sha256, measurement.plan.key
            left[series] -= 1
            progress.advance()
            if measurement.error is not None:
                kind = ParityError if measurement.status == "wrong" else DeviceError
                failures[series] = Failure(what=names[series], error=kind(measurement.error))
    except DeviceError as error:  # the device vanished
        for series, sessions in left.items():
            if sessions and series not in failures:
                left_out = DeviceError(f"left out: {error}")
                failures[series] = Failure(what=names[series], error=left_out)
    progress.advance(left.total())  # what is left out after a failure
    return list(failures.values())
