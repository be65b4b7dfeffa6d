"""Builds a matrix of models, sizes, targets and recipes, on all cores or on a cluster.

Bundles that were built before come out of the cache. The rest is grouped into tasks, each of which
loads a network and exports it once; the tasks run in parallel. A cell that fails does not
stop the others.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from mnv4_mobile import files, limits
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.cache import Cache
from mnv4_mobile.builder.cell import Cell, Options, key, shown
from mnv4_mobile.builder.naming import (
    check_apart,
    check_name,
    check_overwriting,
    check_text,
    expected_id,
    is_made_of,
)
from mnv4_mobile.builder.pipeline import Built, Task
from mnv4_mobile.builder.process import build_apart, end_all, kept_warm
from mnv4_mobile.builder.selection import select_recipes, select_targets
from mnv4_mobile.bundle.folder import Bundle, open_bundle
from mnv4_mobile.errors import (
    BundleError,
    ConfigError,
    CrashError,
    MobileError,
    ToolchainError,
    user_error,
)
from mnv4_mobile.files import cache_folder
from mnv4_mobile.images import assumption
from mnv4_mobile.model.resolve import resolve
from mnv4_mobile.option import choices
from mnv4_mobile.program.head import export_head
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Target, check_recipe, check_units, load_target, require, target_names
from mnv4_mobile.tensors import CLASSES, sizes_text

if TYPE_CHECKING:
    from torch import nn

_TASK_BYTES = 3 * 10**9  # the most memory that a task takes, which is for hybrid-large
_CONNECT_S = 10


def build(
    model_or_weights: str,
    *,
    weights: str | None = None,
    out: str | Path,
    targets: Sequence[str],
    recipes: Sequence[str] = ("fp32",),
    options: Options | None = None,
    head: nn.Module | None = None,
    skip_unsupported: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Bundle]:
    """Builds a bundle for each target and recipe, as `OUT/MODEL-HxW-RECIPE-TARGET`.

        build("my.safetensors", out="out", targets=["coreml"], recipes=["int8"],
              options=Options(calibrate="photos", options={"coreml": {"min_ios": 18}}))
        build("conv-small", weights="random:0", out="out", targets=["tflite"])

    Choices that are not the defaults are part of the name too (see docs/reference/bundle.md).

    Args:
        model_or_weights: Weights, from which the network is recognized: a checkpoint's file or
            folder, `hf-hub:OWNER/NAME` or `demo`. Or a model, which needs `weights`: the name of a
            shipped configuration, timm's name for it, or a YAML file.
        weights: The weights of a model, given as above, or `random:SEED`.
        out: The folder to put the bundles into.
        targets: Names of targets; `["all"]` stands for those whose toolchain is installed and whose
            required options are given.
        recipes: Names of shipped recipes, or YAML files; `["all"]` stands for every shipped one.
        options: All other choices.
        head: A head of your own: a PyTorch module that takes the outputs that `options` name, by
            name, and returns tensors by name. Backbone and head become one artifact.
        skip_unsupported: Whether recipes that a target does not support, and those that need
            calibration images that were not given, are left out instead of refused.
        force: Whether bundles in `out` that are made of other ingredients are replaced.
        progress: Receives steps, counts and notes.

    Raises:
        MobileError: What is asked for cannot be built, or a bundle in `out` would be replaced, or
            a bundle failed. Failed bundles are removed, finished ones kept.
    """
    progress = progress or Progress()
    chosen = [options or Options()]
    found = cells(
        [model_or_weights],
        weights,
        targets,
        recipes,
        chosen,
        skip_unsupported=skip_unsupported,
        progress=progress,
    )
    if head is not None:
        if chosen[0].more_sizes:
            sizes = sizes_text(found[0].shared.sizes)
            raise ConfigError(
                f"head: found with the input sizes {sizes}, must be with one size, because a head "
                "is exported for that size"
            )
        exported = export_head(head, found[0].shared)
        found = [replace(cell, head=exported) for cell in found]
    cache = Cache(cache_folder(), progress)
    built = build_cells(found, Path(out), cache=cache, force=force, progress=progress)
    for one in built:
        if one.error:
            raise one.error
    return [open_bundle(one.path) for one in built if one.path]


def cells(
    models_or_weights: Iterable[str],
    weights: str | None,
    targets: Iterable[str],
    recipes: Iterable[str],
    options: Sequence[Options],
    *,
    skip_unsupported: bool = False,
    progress: Progress,
) -> list[Cell]:
    """Returns the cells of a matrix, each once, after its target has checked that it supports them.

    Args:
        models_or_weights: As for `build`.
        weights: As for `build`; `{model}` in it stands for the name of each model.
        targets: As for `build`.
        recipes: As for `build`.
        options: The options, once for each input size.
        skip_unsupported: As for `build`.
        progress: Receives notes on ignored keys of files, assumptions and skipped recipes.

    Raises:
        MobileError: Naming what was found and what is allowed.
    """
    named = select_targets(targets, [given.options for given in options], progress)
    loaded = select_recipes(recipes)
    skipping = _Skipping(skip_unsupported, several=len(named) * len(loaded) > 1)
    if any(chosen.calibrate is None for chosen in options):
        loaded = _without_images(loaded, skipping)
    declared = {name: target.options for name, target in named.items()}
    chosen = [choices(declared, given.options, target_names()) for given in options]
    for given, target in product(options, named.values()):
        check_units(target, given.units)
    sources = list(dict.fromkeys(models_or_weights))
    name = next((given.name for given in options if given.name is not None), None)
    if name is not None and len(sources) > 1:
        raise ConfigError(f"--name: found {name!r} for {len(sources)} models, must be one model")
    if name is not None:
        check_name("--name", name)
    found: dict[Cell, None] = {}
    notes: dict[str, None] = {}
    resolving = functools.cache(resolve)  # sizes share a model
    for source in sources:
        if (hub := weights or source).startswith("hf-hub:"):
            progress.step(f"{hub}: fetch")
        for given, values in zip(options, chosen, strict=True):
            resolved = resolving(source, weights, num_classes=given.num_classes)
            if name is None:
                check_name(f"{source}: the model's name", resolved.model.name)
            check_text("the model's name", resolved.model.name)
            check_text("the weights' name", shown(resolved.weights))
            notes |= dict.fromkeys(resolved.notes)
            spec = given.build_spec(resolved.model, resolved.preprocess)
            if spec.assumed:
                notes[assumption(spec.assumed)] = None
            given = replace(given, size=spec.preprocess.size)  # a size given twice counts once
            for target_name, recipe in product(named, loaded):
                for own in values[target_name]:
                    cell = Cell(
                        model=resolved.model,
                        weights=resolved.weights,
                        preprocess=resolved.preprocess,
                        target=target_name,
                        recipe=recipe,
                        options=given,
                        chosen=own,
                        asked=resolved.asked,
                    )
                    with skipping.unless(recipe, f"for {target_name}, which does not support them"):
                        _check(cell, spec, named[target_name])
                        found[cell] = None
    if not found:
        raise skipping.errors[0]
    for note in [*notes, *_left_out(found), *skipping.notes()]:
        progress.note(note)
    if len(found) > 1:
        check_apart(list(found))
    return list(found)


class _Skipping:
    """Leaves out or refuses recipes that a matrix cannot have.

    Args:
        wanted: Whether to leave them out.
        several: Whether anything else may be left to build.
    """

    def __init__(self, wanted: bool, *, several: bool) -> None:
        self._wanted = wanted
        self._several = several
        self._skipped: dict[str, dict[str, None]] = {}  # names of recipes by reason
        self.errors: list[MobileError] = []
        """Why each of them was left out."""

    @contextmanager
    def unless(self, recipe: Recipe, reason: str) -> Iterator[None]:
        """Handles errors in its body, which mean that a recipe cannot be built.

        Args:
            recipe: The recipe.
            reason: Why it cannot be built, in the words of the note: `for tflite`.

        Raises:
            MobileError: The error, unless unsupported cells are skipped.
        """
        try:
            yield
        except MobileError as error:
            if not self._wanted:
                hint = "; --skip-unsupported builds the rest" if self._several else ""
                raise type(error)(f"{error}{hint}") from None
            self._skipped.setdefault(reason, {})[recipe.name] = None
            self.errors.append(error)

    def notes(self) -> Iterator[str]:
        """Yields one line for each reason, with the recipes left out for it."""
        for reason, names in self._skipped.items():
            yield f"skipped {reason}: {', '.join(names)}"


def _check(cell: Cell, shared: BuildSpec, target: Target) -> None:
    """Refuses a cell if the gate of its recipe, or its target, does not support it.

    Raises:
        MobileError: Naming what was found and what is supported.
    """
    recipe = cell.recipe
    if recipe.gate.top1_agreement is not None and not {*CLASSES} & {*shared.outputs}:
        raise ConfigError(
            f"--outputs: found {', '.join(shared.outputs)}; recipe {recipe.name} has "
            f"gate.top1_agreement, which needs one of {', '.join(CLASSES)}"
        )
    spec = cell.spec(shared, target)
    check_recipe(target, spec, recipe.on(target.made_for(spec)))


def _without_images(recipes: Sequence[Recipe], skipping: _Skipping) -> list[Recipe]:
    """Returns the recipes that work without calibration images.

    Raises:
        ConfigError: A recipe needs them and is not skipped.
    """
    needing = [recipe for recipe in recipes if recipe.needs_images]
    if needing:
        names = ", ".join(recipe.name for recipe in needing)
        need = f"recipe {names} needs" if len(needing) == 1 else f"recipes {names} need"
        for recipe in needing:
            with skipping.unless(recipe, "without --calibrate"):
                raise ConfigError(
                    f"--calibrate: missing; {need} a folder of images, or random for generated ones"
                )
    return [recipe for recipe in recipes if recipe not in needing]


def _left_out(cells: Iterable[Cell]) -> Iterator[str]:
    """Yields notes on the steps that recipes leave out without calibration images."""
    recipes = dict.fromkeys(cell.recipe for cell in cells if cell.options.calibrate is None)
    for recipe in recipes:
        if steps := ", ".join(step for step in recipe.prepare if step != "guard"):
            yield f"recipe {recipe.name}: without --calibrate: {steps} left out"
    if any("guard" in recipe.prepare for recipe in recipes):
        yield (
            "range of float16 not checked: give --calibrate DIR, a folder of images, to find the "
            "layers that overflow and to scale them down"
        )


def build_cells(
    cells: Sequence[Cell],
    out: Path,
    *,
    cache: Cache | None,
    jobs: int | None = None,
    scheduler: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Built]:
    """Builds a matrix.

    Args:
        cells: The cells of the matrix.
        out: The folder for the bundles; workers on other machines must see it under this path.
        cache: The cache to take bundles from and to add them to; None builds all of them.
        jobs: Number of parallel tasks. Default: what cores and memory, or the cluster, allow.
        scheduler: Address of a Dask scheduler, as in tcp://host:8786; None uses this machine.
        force: Whether bundles in `out` that are made of other ingredients are replaced.
        progress: Receives steps, counts and notes.

    Returns:
        The result of every cell, in order.

    Raises:
        MobileError: A toolchain is not installed, a bundle would be replaced, a scheduler does
            not answer, or a folder cannot be written to.
    """
    progress = progress or Progress()
    files.check_folder(out)
    out = out.absolute()
    found: dict[Cell, Built] = {}
    reader = files.Reader()  # for this run only: files may change before the next
    made_of = {cell: cell.ingredients(reader.sha256) for cell in cells}
    for name in dict.fromkeys(cell.target for cell in cells):
        require(load_target(name))
    for cell, ingredients in made_of.items():
        check_overwriting(out / expected_id(cell), cell, ingredients, force=force)
    for cell in cells:
        if cache is None:
            continue
        path = cache.take(key(made_of[cell]), out)
        path = path or _finished(out / expected_id(cell), made_of[cell])
        if path:
            found[cell] = Built(cell=cell, path=path, cached=True)
    rest = [cell for cell in cells if cell not in found]
    if rest:
        with files.disk_errors(), _folder(out), files.scratch(out) as work:
            tasks = _tasks({cell: made_of[cell] for cell in rest}, work.folder)
            if scheduler:
                running = _run_on(scheduler, tasks, progress)
            else:
                running = _run_here(tasks, jobs, progress)
            with progress.count(len(rest), "bundles"), closing(running):
                for built in running:
                    ingredients = made_of[built.cell]
                    if cache and built.path:  # from where it was made: nobody else writes there
                        cache.put(key(ingredients), built.path)
                    found[built.cell] = _placed(built, work, out, ingredients, force=force)
    return [_kept(found[cell], made_of[cell]) for cell in cells]


def _placed(
    built: Built, work: files.Scratch, out: Path, ingredients: Mapping[str, str], *, force: bool
) -> Built:
    """Moves a finished bundle to its final path."""
    if built.path is None:
        return built
    path = out / built.path.name

    def check() -> None:
        check_overwriting(path, built.cell, ingredients, force=force)

    try:
        work.place(built.path, path, check)
    except (MobileError, OSError) as error:
        return replace(built, path=None, error=user_error(error))
    return replace(built, path=path)


def _kept(built: Built, ingredients: Mapping[str, str]) -> Built:
    """Returns a result, or an error if another process has replaced or removed its bundle."""
    if built.path is None or is_made_of(built.path, ingredients):
        return built
    error = ConfigError(f"{built.path}: another process replaced or removed this bundle meanwhile")
    return replace(built, path=None, error=error)


def _finished(path: Path, ingredients: Mapping[str, str]) -> Path | None:
    """Returns a bundle's folder if it is whole and made of these ingredients.

    A full cache loses bundles that are still in the output folder. They don't go back into the
    cache, which takes a bundle only from where it was made.
    """
    try:
        return path if open_bundle(path).manifest.ingredients == ingredients else None
    except BundleError:
        return None


@contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Creates the folder of the bundles, and removes it at the end if none was built."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        if made:
            with suppress(OSError):  # not empty: it holds bundles
                out.rmdir()


def _tasks(made_of: Mapping[Cell, Mapping[str, str]], scratch: Path) -> list[Task]:
    """Groups the cells that share a network and an export; the tasks with the most work first."""
    groups: dict[object, list[Cell]] = {}
    for cell in made_of:
        target = load_target(cell.target)
        spec = cell.spec(cell.shared, target)
        shared = cell.model, cell.weights, cell.options, target.form(spec, cell.recipe)
        groups.setdefault(shared, []).append(cell)
    tasks = [
        Task(
            cells=tuple(group),
            ingredients={cell: made_of[cell] for cell in group},
            scratch=scratch,
            size_limits=not limits.lifted(),
        )
        for group in groups.values()
    ]
    return sorted(tasks, key=lambda task: -len(task.cells) * len(task.cells[0].model.table()))


def _run_here(tasks: Sequence[Task], jobs: int | None, progress: Progress) -> Generator[Built]:
    """Runs tasks on this machine's cores, each in a process that a thread waits for."""
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    jobs = min(jobs or max(1, min(cores, memory // _TASK_BYTES)), len(tasks))
    results: SimpleQueue[Built | BaseException] = SimpleQueue()

    def run(task: Task) -> None:
        try:
            build_apart(task, progress, results.put)
        except BaseException as error:  # noqa: BLE001 - raised again where it is received
            results.put(error)

    with kept_warm(), ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run, task) for task in tasks]
        try:
            for _ in range(sum(len(task.cells) for task in tasks)):
                built = results.get()
                if isinstance(built, BaseException):
                    raise built
                yield built
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            while not all(task.done() for task in running):
                end_all()
                time.sleep(0.01)
            raise


def _run_on(scheduler: str, tasks: Sequence[Task], progress: Progress) -> Generator[Built]:
    """Runs tasks on a Dask cluster.

    If a worker dies, another one takes over its task; Dask gives up on a task that ended several.
    """
    with _connected(scheduler) as client:
        from distributed import as_completed

        where = f"{len(client.scheduler_info()['workers'])} workers at {scheduler}"
        left = {cell for task in tasks for cell in task.cells}
        error: MobileError | None = None
        progress.step(where)
        try:
            for finished in as_completed(client.map(build_apart, tasks, pure=False)):
                built = finished.result()
                left -= {one.cell for one in built}
                progress.advance(len(built))
                yield from built
        except Exception as failed:  # noqa: BLE001 - any error of a cluster fails the rest
            error = CrashError(f"{scheduler}: {type(failed).__name__}: {failed}")
        yield from (Built(cell=cell, path=None, error=error) for cell in left)


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    """Connects a client to a Dask scheduler.

    Raises:
        ToolchainError: Dask is not installed.
        ConfigError: No scheduler answers, or it has no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ToolchainError("--scheduler needs Dask: pip install 'mnv4-mobile[cluster]'") from None
    try:
        client = Client(scheduler, timeout=_CONNECT_S)
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"--scheduler: {scheduler}: no Dask scheduler found: {reason}") from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise ConfigError(f"--scheduler: {scheduler}: found no workers, needs one or more")
        yield client
