"""Searches for the recipe of the smallest, or fastest, artifact that keeps a bound on accuracy.

Simulation chooses the range rule and whether channels are equalised, and orders the blocks by what
each gains in float, relative to its cost in float. That gives a ladder of recipes, each with more
blocks in float. Artifacts decide: recipes with 0, 1, 2, 4, ... blocks in float are built and
evaluated until one keeps the bound, then those between it and the last one that did not.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from mnv4_mobile import files
from mnv4_mobile.builder.cache import Cache
from mnv4_mobile.builder.cell import Cell, key
from mnv4_mobile.builder.matrix import build_cells
from mnv4_mobile.builder.range_rule import RULES
from mnv4_mobile.bundle.manifest import Bundle, open_bundle
from mnv4_mobile.bundle.parity import EXACT_DB
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import ConfigError, ParityError
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.evaluate import evaluate
from mnv4_mobile.quality.sensitivity import Judge, sensitivity
from mnv4_mobile.recipe import HELD_OUT, Gate, Recipe, Rule, Step, load_recipe
from mnv4_mobile.records import (
    Bytes,
    Count,
    Decibels,
    Finite,
    Milliseconds,
    Record,
    decode,
    encode,
    plain,
    replace,
)
from mnv4_mobile.target import load_target, require
from mnv4_mobile.tensors import feed
from mnv4_mobile.text import printable
from mnv4_mobile.units import Unit

Objective = Literal["size", "latency"]
_RUNS = 100  # number of runs that measure an artifact's latency
_FLOAT_SHARE = 0.5  # the most of the total cost to keep in float; beyond it, int8 makes no sense


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What to search for."""

    cell: Cell
    """Network, weights, target, options, and the recipe to begin with."""
    max_drop: float
    """Largest drop in percentage points: of top-1 with classes, else of agreement."""
    dataset: Path | None
    """The dataset that judges artifacts; None judges by images held out of calibration."""
    objective: Objective

    def key(self) -> str:
        """Returns the hash of everything that affects what is measured; the bound does not."""
        dataset = files.sha256(self.dataset) if self.dataset else None
        ingredients = [key(self.cell.ingredients()), dataset, self.objective]
        return hashlib.sha256(json.dumps(ingredients).encode()).hexdigest()


class Ladder(Record, frozen=True, kw_only=True):
    """What simulation chooses."""

    range: Rule
    """The range rule of activations."""
    prepare: tuple[Step, ...]
    """The steps of preparation."""
    order: tuple[str, ...]
    """The blocks to keep in float, the first ones first."""
    reasons: tuple[str, ...]
    """What was tried and what it gave."""


class Rung(Record, frozen=True, kw_only=True):
    """The artifact of one recipe of the ladder."""

    kept: tuple[str, ...]
    """Blocks in float, in addition to those that the recipe keeps."""
    bytes: Bytes
    latency_ms: Milliseconds
    """Median latency on the host with one thread."""
    drop: Finite
    """The drop in percentage points."""
    sqnr_db: Decibels
    images: Count
    """Number of images that the artifact was judged by."""

    def text(self) -> str:
        """Returns one line that describes the artifact."""
        return (
            f"{len(self.kept)} blocks in float: {self.drop:.2f} points, {self.sqnr_db:.1f} dB, "
            f"{self.bytes / 1e6:.2f} MB, {self.latency_ms:.2f} ms"
        )


@dataclass(frozen=True, kw_only=True)
class Found:
    """The recipe that was found, with the reasons."""

    recipe: Recipe
    rung: Rung
    reasons: tuple[str, ...]


def tune(wish: Wish, state: Path, *, cache: Cache | None, progress: Progress) -> Found:
    """Searches for a recipe; a file keeps the results, so that an interrupted search continues.

    Args:
        wish: What to search for.
        state: That file; the search for another wish overwrites it.
        cache: The cache of bundles.
        progress: Receives steps and results.

    Raises:
        ParityError: The bound cannot be kept; names the best artifact that was found.
    """
    require(load_target(wish.cell.target))
    key, base = wish.key(), wish.cell.recipe
    known = _known(state, key)
    if known is None:
        known = State(key=key, ladder=_ladder(wish, progress), rungs={})
        _write(state, known)
    ladder, rungs = known.ladder, dict(known.rungs)
    assert base.activations is not None
    base = replace(
        base,
        gate=base.gate
        if wish.dataset
        else replace(base.gate, top1_agreement=1 - wish.max_drop / 100),
        activations=replace(base.activations, range=ladder.range),
        prepare=ladder.prepare,
    )
    order, unit = ladder.order, wish.cell.unit
    for reason in ladder.reasons:
        progress.note(reason)
    confirmed: dict[int, Rung] = {}

    def keeps(count: int) -> bool:
        name = str(count)
        if name not in rungs:
            recipe = _with(base, order[:count], unit)
            rungs[name] = _confirm(wish, recipe, order[:count], cache, progress)
            _write(state, State(key=key, ladder=ladder, rungs=rungs))
        progress.advance()
        progress.end()
        confirmed[count] = rungs[name]
        progress.note(confirmed[count].text())
        if count == 0 and 100 / confirmed[0].images > wish.max_drop > 0:
            progress.note(
                f"one of {confirmed[0].images} images is {100 / confirmed[0].images:.2f} "
                f"points: too few to judge {wish.max_drop:g} by"
            )
        return confirmed[count].drop <= wish.max_drop

    most = max(_tries(fewest, len(order)) for fewest in range(len(order) + 2))
    with progress.count(most, "artifacts at most"):
        count = _fewest(keeps, len(order))
    if count is None:
        best = min(confirmed.values(), key=lambda rung: rung.drop)
        raise ParityError(
            f"--max-drop {wish.max_drop:g}: not kept by any of {len(confirmed)} artifacts, with up "
            f"to {len(order)} blocks in float; the best: {best.text()}"
        )
    reasons = (*ladder.reasons, *(confirmed[rung].text() for rung in sorted(confirmed)))
    return Found(recipe=_with(base, order[:count], unit), rung=confirmed[count], reasons=reasons)


def _tries(fewest: int, most: int) -> int:
    """Returns how often `_fewest` asks if the answer is `fewest`; above `most`, there is none."""
    tried: list[int] = []

    def keeps(count: int) -> bool:
        tried.append(count)
        return count >= fewest

    _fewest(keeps, most)
    return len(tried)


def _fewest(keeps: Callable[[int], bool], most: int) -> int | None:
    """Returns the fewest blocks that keep the bound, assuming that more blocks never harm."""
    count, missed = 0, -1
    while not keeps(count):
        if count == most:
            return None
        missed, count = count, min(max(1, 2 * count), most)
    while count - missed > 1:
        middle = (count + missed) // 2
        if keeps(middle):
            count = middle
        else:
            missed = middle
    return count


def _ladder(wish: Wish, progress: Progress) -> Ladder:
    """Simulates range rules, preparation and blocks in float."""
    cell = replace(wish.cell, recipe=wish.cell.recipe.on(wish.cell.unit))
    judge = Judge(
        cell.model, cell.weights, cell.recipe, cell.options, images=HELD_OUT, progress=progress
    )
    reasons = []
    tried: list[tuple[float, Recipe]] = []
    assert cell.recipe.activations is not None
    # The other steps are useless in a simulation, which rounds weights itself, or too slow to try.
    untried = tuple(step for step in cell.recipe.prepare if step != "equalize")
    for prepare in ((), ("equalize",)):
        open_rule = replace(cell.recipe.activations, range="auto")
        simulation, observed = judge.observed(
            replace(cell.recipe, activations=open_rule, prepare=prepare)
        )
        for rule in RULES:
            activations = replace(cell.recipe.activations, range=rule)
            simulation.adopt(observed.following(activations))
            score = judge.score(simulation)
            words = f"{rule}{', equalised' if prepare else ''}"
            reasons.append(f"{words}: {score.sqnr_db:.1f} dB, {score.agreement:.1%} agree")
            recipe = replace(cell.recipe, activations=activations, prepare=prepare)
            tried.append((score.sqnr_db, recipe))
    _, best = max(tried, key=lambda one: one[0])
    found = sensitivity(judge, best, progress)
    costs = [
        (cost.params if wish.objective == "size" else cost.macs, cost) for cost in found.blocks
    ]
    # Noise powers of blocks roughly add up, so blocks are ordered by noise per parameter or MAC.
    costs.sort(key=lambda one: -(10 ** (-one[1].alone.sqnr_db / 10)) / one[0])
    order, spent, total = [], 0, sum(saved for saved, _ in costs)
    for saved, cost in costs:
        spent += saved
        if spent > _FLOAT_SHARE * total:
            break
        order.append(cost.block)
    reasons.append(f"float first, by noise per {_UNITS[wish.objective]}: {', '.join(order)}")
    assert best.activations is not None
    return Ladder(
        range=best.activations.range,
        prepare=(*best.prepare, *untried),
        order=tuple(order),
        reasons=tuple(reasons),
    )


_UNITS = {"size": "parameter", "latency": "multiplication"}


def _with(recipe: Recipe, blocks: Sequence[str], unit: Unit) -> Recipe:
    return replace(recipe, keep=recipe.keep.with_modules(blocks, unit))


def _confirm(
    wish: Wish, recipe: Recipe, kept: tuple[str, ...], cache: Cache | None, progress: Progress
) -> Rung:
    """Builds a recipe and evaluates its artifact against the float bundle of the same target."""
    with files.scratch(Path(tempfile.gettempdir())) as work:
        # The bound is the gate. These gates let everything pass, but hold out the same images.
        passing = None if recipe.gate.top1_agreement is None else 0.0
        judged = replace(recipe, gate=Gate(sqnr_db=-EXACT_DB, top1_agreement=passing))
        bundle = _built(wish, judged, work.folder, cache, progress)
        parent = _built(wish, load_recipe("fp32"), work.folder, cache, progress)
        dataset = wish.dataset or _held_out(wish, bundle, work.folder)
        found = evaluate(bundle, dataset, parent=parent, progress=progress)
        assert found.agreement is not None
        assert found.sqnr_db is not None
        drop = 1 - found.agreement
        if found.top1 is not None and found.parent_top1 is not None:
            drop = max(0.0, found.parent_top1 - found.top1)
        return Rung(
            kept=kept,
            bytes=bundle.manifest.artifact.bytes,
            latency_ms=_latency_ms(bundle),
            drop=round(100 * drop, 3),
            sqnr_db=found.sqnr_db,
            images=found.n,
        )


def _built(
    wish: Wish, recipe: Recipe, out: Path, cache: Cache | None, progress: Progress
) -> Bundle:
    cell = replace(wish.cell, recipe=recipe)
    (built,) = build_cells([cell], out, cache=cache, progress=progress)
    if built.error:
        raise built.error
    assert built.path is not None
    return open_bundle(built.path)


def _held_out(wish: Wish, bundle: Bundle, folder: Path) -> Path:
    """Returns a folder, without class folders, of the images held out of calibration."""
    from mnv4_mobile.quantize.calibration import choose_images

    recipe, source = wish.cell.recipe, wish.cell.options.calibrate
    assert source is not None
    assert recipe.calibration is not None
    calibration = choose_images(
        source,
        bundle.preprocess,
        images=recipe.calibration.images,
        seed=recipe.calibration.seed,
        progress=Progress(),
        held_out=HELD_OUT,
    )
    held = folder / "held-out"
    held.mkdir()
    for index, path in enumerate(calibration.held):
        (held / f"{index:04d}{path.suffix}").symlink_to(path.absolute())
    return held


def _latency_ms(bundle: Bundle) -> float:
    """Returns the median latency with one thread on this machine."""
    import numpy as np

    pixels = bundle.golden("input")["pixels"][: bundle.input.shape[0]]
    with Worker(bundle.manifest.target, bundle.artifact) as worker:
        timing = worker.time(feed(bundle.input, pixels, bundle.preprocess), runs=_RUNS)
    return round(float(np.median(timing.latencies_ms)), 4)


def recipe_yaml(found: Found) -> str:
    """Returns the recipe that was found as a YAML file, with the reasons as comments."""
    values = plain(found.recipe)
    del values["name"]
    if values["activations"].get("range", "image-percentile") != "image-percentile":
        values["activations"].pop("percentile", None)
    if "distill" not in found.recipe.prepare:
        values.pop("distill", None)
    reasons = (*found.reasons, f"so: {found.rung.text()}")
    comments = "".join(f"# {printable(reason)}\n" for reason in reasons)
    return comments + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


class State(Record, frozen=True, kw_only=True):
    """What a search has found so far."""

    key: str
    """The wish's key."""
    ladder: Ladder
    """What simulation chose."""
    rungs: Mapping[str, Rung]
    """The artifacts, by their numbers of blocks in float."""


def _known(path: Path, key: str) -> State | None:
    """Returns the state in a file, or None if there is none of this wish.

    Raises:
        ConfigError: The file is something else.
    """
    if not path.exists():
        return None
    try:
        found = decode(path.read_bytes(), State, str(path))
    except (OSError, ConfigError) as error:
        raise ConfigError(
            f"{error}; not the state of a search: move it away, or name another --state"
        ) from None
    return found if found.key == key else None


def _write(path: Path, state: State) -> None:
    files.write_bytes(path, encode(state, indent=1) + b"\n")
