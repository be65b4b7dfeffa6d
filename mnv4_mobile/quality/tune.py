"""Searches for the recipe of the cheapest artifact that keeps bounds on its tail and its latency.

Simulation proposes: it chooses how ranges are found and whether channels are equalised, orders the
blocks by how much of the tail each costs relative to its price in float, and predicts how many of
them are needed. Artifacts decide: each is built, judged from its bytes on images that calibration
did not see, and timed in turns with the artifact of the recipe that the search began with.

Everything that is finished is kept in a folder, which answers other bounds without building again.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import yaml

from mnv4_mobile import files
from mnv4_mobile.builder.cell import Cell
from mnv4_mobile.builder.matrix import build_cells
from mnv4_mobile.builder.process import kept_warm
from mnv4_mobile.bundle.folder import MANIFEST, Bundle, open_bundle, write_manifest
from mnv4_mobile.bundle.manifest import TriedEntry, TuningEntry
from mnv4_mobile.bundle.parity import EXACT_DB
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import ConfigError, ParityError
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.bounds import Bounds, Tried, check_number
from mnv4_mobile.quality.evaluate import evaluate
from mnv4_mobile.quality.propose import (
    LEARNED,
    SLACK,
    Clock,
    Ladder,
    LateError,
    golden_inputs,
    propose,
    range_text,
)
from mnv4_mobile.quantize.calibration import Calibration, candidates, choose_images
from mnv4_mobile.recipe import FEWEST_DISTILLED, JUDGED, Gate, Recipe, load_recipe
from mnv4_mobile.records import (
    Record,
    Seconds,
    Sha256,
    decode,
    encode,
    plain,
    replace,
)
from mnv4_mobile.target import first_unit, load_target, require
from mnv4_mobile.text import printable

_SESSIONS, _TURNS, _RUNS = 3, 5, 10
"""Pairs of processes that time an artifact, their turns, and the least number of runs in a turn."""
_TURN_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to search for."""

    cell: Cell
    """Network, weights, target, options, and the recipe to begin with."""
    dataset: Path | None
    """The dataset that judges artifacts; None judges by images held out of calibration."""
    bounds: Bounds
    minutes: float
    """How long the search may take."""

    def __post_init__(self) -> None:
        check_number("--minutes", self.minutes)

    def made_of(self) -> dict[str, str]:
        """Returns the hash of each part of what the results depend on; the bounds are none."""
        calibration, folder = self.cell.recipe.calibration, self.cell.options.calibrate
        assert calibration is not None
        assert folder is not None
        paths = candidates(folder, images=calibration.images + JUDGED, seed=calibration.seed)
        hashes = "".join(files.sha256(path) for path in paths if path.is_file())
        found = self.cell.ingredients() | {"calibration": _sha256(hashes.encode())}
        return found | ({"dataset": files.sha256(self.dataset)} if self.dataset else {})


class State(Record, frozen=True, kw_only=True):
    """What a search has found so far."""

    made_of: Mapping[str, Sha256]
    """The hash of each part of what the results depend on."""
    parent_s: Seconds | None = None
    """How long building the float bundle took."""
    ladder: Ladder | None = None
    """What simulation proposes."""
    tried: tuple[Tried, ...] = ()
    """The artifacts; the first one is that of the recipe that the search began with."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """How a search ended."""

    tried: tuple[Tried, ...]
    """All artifacts, the best one first."""
    missed: tuple[str, ...]
    """The bounds that the best one misses."""
    late: bool
    """Whether the time was up before everything was tried."""
    reasons: tuple[str, ...]
    """What was simulated, and the artifacts, in order."""
    bundle: Path | None = None
    """The finished bundle; None if a bound is missed."""
    recipe: Path | None = None
    """The recipe's file; None if a bound is missed."""


RECIPE = "tuned.yaml"
_SEARCH = "search"
_STATE = "state.json"


def tune(wish: Wish, out: Path, *, progress: Progress) -> Found:
    """Searches for a recipe, and writes it and its bundle if it keeps the bounds.

    Args:
        wish: What to search for.
        out: The folder for `tuned.yaml` and the bundle. Its folder `search` keeps what is finished,
            so that the same call continues, or answers other bounds.
        progress: Receives steps and results.

    Raises:
        ConfigError: The budget is too small to try anything, or the folder holds another search.
        MobileError: Something cannot be built or judged.
    """
    require(load_target(wish.cell.target))
    search = _Search(wish, out / _SEARCH, progress)
    late = False
    limit = round(60 * wish.minutes)
    with files.disk_errors(), kept_warm(), progress.count(limit, "s of the budget"):
        try:
            search.walk()
        except LateError as error:
            late = True
            search.check_least(error)
    return _written(search.found(late=late), search, wish.bounds, out)


def _written(found: Found, search: _Search, bounds: Bounds, out: Path) -> Found:
    """Writes the recipe and its bundle, unless a bound is missed."""
    if found.missed:
        return found
    best = found.tried[0]
    source = search.built(best.recipe)
    entry = TuningEntry(
        objective=bounds.objective,
        max_drop=bounds.max_drop,
        min_p10=bounds.min_p10,
        max_latency=bounds.max_latency,
        images=best.images,
        tried=tuple(one.entry for one in found.tried),
    )
    recipe, bundle = out / RECIPE, out / source.path.name
    with files.new_folder(bundle, MANIFEST) as folder:
        source.copy_to(folder)
        write_manifest(folder, replace(source.manifest, tuning=entry))
    files.write_bytes(recipe, recipe_yaml(best.recipe, found.reasons).encode())
    return replace(found, bundle=bundle, recipe=recipe)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _folder_of(folder: Path, recipe: Recipe) -> Path:
    """Returns where a search keeps the bundle of a recipe."""
    return folder / _sha256(encode(recipe))[:12]


def _bundle_in(folder: Path, recipe: Recipe) -> Bundle | None:
    """Returns the bundle of a recipe, if a search has built it."""
    found = _folder_of(folder, recipe).glob(f"[!.]*/{MANIFEST}")
    return next((open_bundle(manifest.parent) for manifest in found), None)


class _Search:
    """A search, its state and its clock.

    Args:
        wish: What to search for.
        folder: Where the state and the bundles are kept; it is made.
        progress: Receives steps and results.

    Raises:
        ConfigError: The folder holds another search.
    """

    def __init__(self, wish: Wish, folder: Path, progress: Progress) -> None:
        self._wish, self._cell, self._bounds = wish, wish.cell, wish.bounds
        self._folder, self._progress = folder, progress
        self._clock, self._shown = Clock(60 * wish.minutes), 0
        self._state = _known(folder / _STATE, wish.made_of())
        files.check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)

    def _keep(self, state: State) -> None:
        """Writes what is finished, and shows how much of the budget is used."""
        self._state = state
        files.write_bytes(self._folder / _STATE, encode(state, indent=1) + b"\n")
        used = int(self._clock.used)
        self._progress.advance(used - self._shown)
        self._progress.end()
        self._shown = used

    def walk(self) -> None:
        """Tries recipes until nothing cheaper is left to try.

        Raises:
            LateError: The time is up.
        """
        begun = self._try(self._begun())
        if not self._bounds.missed(begun):
            return
        ladder = self._ladder()
        setting, best = begun.recipe, begun
        proposed = replace(setting, activations=ladder.activations, prepare=ladder.prepare)
        if (found := self._try(proposed)).entry.sqnr_db_p10 > begun.entry.sqnr_db_p10:
            setting, best = proposed, found
        if not self._bounds.missed_accuracy(best):
            return
        fast = self._bounds.max_latency + SLACK
        most = sum(latency <= fast for latency in ladder.latency[1:])
        fewest = self._climb(setting, most, max(self._guess(best), 1))
        images = setting.calibration.images if setting.calibration else 0
        if fewest != 0 and LEARNED not in setting.prepare and images >= FEWEST_DISTILLED:
            learned = replace(setting, prepare=(*setting.prepare, LEARNED))
            self._climb(learned, most if fewest is None else fewest - 1, 0)

    def _guess(self, tried: Tried) -> int:
        """Returns how many blocks in float may suffice.

        Simulation and artifact are taken to differ as much with them as in an artifact without.
        """
        ladder, bounds = self._state.ladder, self._bounds
        assert ladder is not None
        p10 = bounds.min_p10 - tried.entry.sqnr_db_p10 + ladder.p10[0]
        drop = (bounds.max_drop - tried.entry.drop) / 100 + 1 - ladder.agreement[0]
        scores = enumerate(zip(ladder.p10, ladder.agreement, strict=True))
        suffice = (n for n, (tail, same) in scores if tail >= p10 and 1 - same <= drop)
        return next(suffice, len(ladder.order))

    def _climb(self, setting: Recipe, most: int, guess: int) -> int | None:
        """Finds the fewest blocks in float that keep the bounds on accuracy; see `_fewest`."""

        def keeps(count: int) -> bool | None:
            tried = self._try(self._with_blocks(setting, count))
            if not self._bounds.missed_accuracy(tried):
                return True
            return None if self._bounds.missed_latency(tried) else False

        return _fewest(keeps, most, guess)

    def _begun(self) -> Recipe:
        """Returns the recipe to begin with, without the images that judge."""
        if self._state.tried:
            return self._state.tried[0].recipe
        recipe = self._cell.recipe
        assert recipe.calibration is not None
        used = replace(recipe.calibration, images=len(self._calibration))
        return replace(recipe, name=Path(RECIPE).stem, calibration=used)

    def _with_blocks(self, recipe: Recipe, count: int) -> Recipe:
        ladder = self._state.ladder
        assert ladder is not None
        blocks = ladder.order[:count]
        return replace(recipe, keep=recipe.keep.with_modules(blocks, self._cell.unit))

    def _seconds(self, recipe: Recipe) -> float:
        """Returns how long an artifact will take, by those before it."""
        learned = [one.seconds for one in self._state.tried if LEARNED in one.recipe.prepare]
        others = [one.seconds for one in self._state.tried if LEARNED not in one.recipe.prepare]
        if LEARNED not in recipe.prepare:
            return max(others, default=2 * (self._state.parent_s or 0))
        if learned:
            return max(learned)
        ladder = self._state.ladder
        return max(others, default=0) + (ladder.learning_s if ladder else 0)

    def check_least(self, late: LateError) -> None:
        """Refuses a budget that did not suffice for the first artifact and one alternative.

        Raises:
            ConfigError: Naming the least that is needed now.
        """
        tried = self._state.tried
        if len(tried) > 1 or (tried and not self._bounds.missed(tried[0])):
            return
        one = tried[0].seconds if tried else 2 * (self._state.parent_s or 0)
        least = max(late.seconds, 2 * one) if tried else 3 * one
        raise ConfigError(
            f"--minutes: found {self._wish.minutes:g}, must be {math.ceil(least / 6) / 10:g} or "
            f"more: the search needs about that long for the artifact of "
            f"{self._cell.recipe.name} and one alternative; what is finished is kept in "
            f"{self._folder}, so that the same command with more minutes goes on"
        )

    def _try(self, recipe: Recipe) -> Tried:
        """Returns the results of a recipe, from the state or from an artifact."""
        for tried in self._state.tried:
            if tried.recipe == recipe:
                return tried
        parent = self._parent
        self._clock.check(self._seconds(recipe))
        begin = time.monotonic()
        bundle = self.built(recipe)
        with self._images() as images:
            found = evaluate(bundle, images, parent=parent, progress=self._progress)
        assert found.agreement is not None
        assert found.sqnr_db is not None
        assert found.sqnr_db_p10 is not None
        drop = 1 - found.agreement
        if found.top1 is not None and found.parent_top1 is not None:
            drop = max(0.0, found.parent_top1 - found.top1)
        tried = Tried(
            recipe=recipe,
            entry=TriedEntry(
                recipe=self._words(recipe),
                drop=round(100 * drop, 3),
                sqnr_db_p10=found.sqnr_db_p10,
                latency=self._latency(bundle),
                bytes=bundle.manifest.artifact.bytes,
            ),
            passed=min(bundle.gates().values()) >= recipe.gate.sqnr_db,
            sqnr_db=found.sqnr_db,
            images=found.n,
            seconds=round(time.monotonic() - begin, 1),
        )
        self._keep(replace(self._state, tried=(*self._state.tried, tried)))
        self._progress.note(tried.text)
        if doubt := self._bounds.doubt(tried.images):
            self._progress.note(doubt)
        return tried

    def _words(self, recipe: Recipe) -> str:
        """Says how a recipe differs from the one that the search began with."""
        if not self._state.tried:
            return f"{self._cell.recipe.name}, as begun with"
        begun, parts = self._state.tried[0].recipe, []
        assert recipe.activations is not None
        if recipe.activations != begun.activations:
            parts.append(range_text(recipe.activations))
        if ("equalize" in recipe.prepare) != ("equalize" in begun.prepare):
            parts.append("equalised" if "equalize" in recipe.prepare else "not equalised")
        if LEARNED in recipe.prepare and LEARNED not in begun.prepare:
            parts.append("distilled")
        unit = self._cell.unit
        kept = recipe.keep.on(unit).modules[len(begun.keep.on(unit).modules) :]
        parts += [f"in float: {', '.join(kept)}"] if kept else []
        return ", ".join(parts)

    @cached_property
    def _parent(self) -> Bundle:
        """The float bundle, which artifacts are compared with."""
        begin = time.monotonic()
        recipe = load_recipe("fp32")
        bundle = self._build(recipe, recipe)
        if self._state.parent_s is None:
            self._keep(replace(self._state, parent_s=round(time.monotonic() - begin, 1)))
        return bundle

    def built(self, recipe: Recipe) -> Bundle:
        """Returns the bundle of a recipe; what misses its gate is built without one.

        It is judged all the same, because it shows how far a closer recipe has to go.
        """
        try:
            return self._build(recipe, recipe)
        except ParityError:
            passing = None if recipe.gate.top1_agreement is None else 0.0
            gate = Gate(sqnr_db=-EXACT_DB, top1_agreement=passing)
            return self._build(replace(recipe, gate=gate), recipe)

    def _build(self, recipe: Recipe, asked: Recipe) -> Bundle:
        """Returns the bundle in the folder of a recipe, which is built unless it stands there."""
        folder = _folder_of(self._folder, asked)
        if bundle := _bundle_in(self._folder, asked):
            return bundle
        cell = replace(self._cell, recipe=recipe)
        (built,) = build_cells([cell], folder, cache=None, progress=self._progress)
        if built.error:
            raise built.error
        assert built.path is not None
        return open_bundle(built.path)

    @cached_property
    def _calibration(self) -> Calibration:
        """The images of the folder: those that calibrate, and all others, up to `JUDGED`."""
        cell, chosen = self._cell, self._cell.recipe.calibration
        assert chosen is not None
        assert cell.options.calibrate is not None
        self._progress.step(f"{cell.name}: choose the images")
        return choose_images(
            cell.options.calibrate,
            cell.shared.preprocess,
            images=chosen.images,
            seed=chosen.seed,
            progress=self._progress,
            held_out=JUDGED,
        )

    @contextmanager
    def _images(self) -> Iterator[Path]:
        """Gives the folder of the images that judge artifacts."""
        if self._wish.dataset:
            yield self._wish.dataset
            return
        with files.scratch(self._folder) as work:
            for index, path in enumerate(self._calibration.held):
                (work.folder / f"{index:04d}{path.suffix}").symlink_to(path.absolute())
            yield work.folder

    def _latency(self, bundle: Bundle) -> float | None:
        """Returns the latency in multiples of that of the artifact that the search began with."""
        target = load_target(self._cell.target)
        executor = target.units[first_unit(target)]
        if executor.emulated:
            self._progress.note(f"latency is not judged: {executor.name} only emulates the unit")
            return None
        if not self._state.tried:
            return 1.0
        self._progress.step(f"{bundle.manifest.id}: time it in turns")
        begun = self.built(self._state.tried[0].recipe)
        return round(median(_ratio(begun, bundle) for _ in range(_SESSIONS)), 3)

    def _ladder(self) -> Ladder:
        """Returns what simulation proposes."""
        if self._state.ladder:
            return self._state.ladder
        begun = self._state.tried[0].recipe
        ladder = propose(
            self._cell,
            begun,
            self._calibration,
            bundles=(self._parent, self.built(begun)),
            clock=self._clock,
            after=self._seconds(begun),
            progress=self._progress,
        )
        self._keep(replace(self._state, ladder=ladder))
        for reason in ladder.reasons:
            self._progress.note(reason)
        return ladder

    def found(self, *, late: bool) -> Found:
        """Returns the best of what was tried."""
        tried, ladder = self._state.tried, self._state.ladder
        best = self._bounds.best(tried)
        return Found(
            tried=(best, *(one for one in tried if one is not best)),
            missed=tuple(self._bounds.missed(best)),
            late=late,
            reasons=(*(ladder.reasons if ladder else ()), *(one.text for one in tried)),
        )


def _fewest(keeps: Callable[[int], bool | None], most: int, guess: int) -> int | None:
    """Returns the fewest blocks that keep the bounds, assuming that more blocks never harm.

    It begins with a guess, doubles the distance from it until one number keeps the bounds and
    another one does not, and halves what is between them.

    Args:
        keeps: Says whether a number of blocks does; None if it does not, and more are too slow.
        most: The most blocks.
        guess: The number to begin with.

    Returns:
        None if up to `most` blocks, or those that are not too slow, do not suffice.
    """
    low, high, step, count = -1, most + 1, 1, min(guess, most)
    while high - low > 1:
        kept = keeps(count)
        if kept is None:
            return None
        if kept:
            high = count
        else:
            low = count
        if low < 0:
            count = max(high - step, 0)
        elif high > most:
            count = min(low + step, most)
        else:
            count = (low + high) // 2
        step *= 2
    return high if high <= most else None


def _ratio(first: Bundle, second: Bundle) -> float:
    """Returns the latency of the second artifact in multiples of the first one's.

    Each has a process with one thread, and they take turns. The shortest runs are compared, because
    other work on the machine only adds time.
    """
    with (
        Worker(first.manifest.target, first.artifact) as one,
        Worker(second.manifest.target, second.artifact) as other,
    ):
        pairs = [(one, golden_inputs(first)), (other, golden_inputs(second))]
        shortest = [math.inf, math.inf]
        for _ in range(_TURNS):
            for index, (worker, inputs) in enumerate(pairs):
                timing = worker.time(inputs, runs=_RUNS, seconds=_TURN_S)
                shortest[index] = min(shortest[index], *timing.latencies_ms)
    return shortest[1] / shortest[0]


def recipe_yaml(recipe: Recipe, reasons: Sequence[str]) -> str:
    """Returns a recipe as a YAML file, with the reasons as comments."""
    values = plain(recipe)
    del values["name"]
    if values["activations"].get("range", "image-percentile") != "image-percentile":
        values["activations"].pop("percentile", None)
    if LEARNED not in recipe.prepare:
        values.pop(LEARNED, None)
    comments = "".join(f"# {printable(reason)}\n" for reason in reasons)
    return comments + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _known(path: Path, made_of: Mapping[str, str]) -> State:
    """Returns the state in a file, or an empty one if there is no such file.

    Raises:
        ConfigError: The file is something else, or the state of another search.
    """
    if not path.exists():
        return State(made_of=made_of)
    try:
        found = decode(path.read_bytes(), State, str(path))
    except (OSError, ConfigError) as error:
        raise ConfigError(
            f"{error}; not the state of a search: remove {path.parent}, or give another --out"
        ) from None
    parts = {**found.made_of, **made_of}
    if differing := [part for part in parts if found.made_of.get(part) != made_of.get(part)]:
        raise ConfigError(
            f"{path.parent}: holds another search, which differs in {', '.join(differing)}: remove "
            "it, or give another --out"
        )
    return found
