"""Proposes by simulation what `mnv4 tune` builds: what it varies, and the price of each block.

Proposals are cheap and only roughly right; the artifacts that are built from them decide.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from mnv4_mobile.builder.cell import Cell
from mnv4_mobile.builder.range_rule import MARGIN
from mnv4_mobile.bundle.folder import Bundle
from mnv4_mobile.bundle.parity import EXACT_DB
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import DeviceError
from mnv4_mobile.layers import block_of
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.sensitivity import IMAGES, Judge, Score, alone, layers_by_block
from mnv4_mobile.quantize.calibration import Calibration
from mnv4_mobile.recipe import PERCENTILE, Activations, Recipe, Step
from mnv4_mobile.records import Decibels, Positive, Record, Seconds, Share, replace
from mnv4_mobile.tensors import Tensors, feed

# What the search varies. Each costs nothing when the artifact runs, except blocks in float.
_RANGES: tuple[Mapping[str, object], ...] = (
    *({"range": "image-percentile", "percentile": percentile} for percentile in (75, 90, 95, 99)),
    *({"range": rule, "percentile": PERCENTILE} for rule in ("minmax", "mse", "histogram")),
)
"""How ranges of 8 bits are found: keys of a recipe's `activations`."""
_PREPARATIONS: tuple[tuple[Step, ...], ...] = ((), ("equalize",))
"""Steps of preparation that simulation tries. The other ones are useless in a simulation, which
rounds weights itself, or too slow to try."""
_SLOWEST = 1.5
"""The largest latency, as estimated, that blocks in float may bring; int8 makes no sense then."""
SLACK = 0.1
"""How far that estimate may exceed the bound on latency: the artifact may be faster."""
_LEAST_NOISE = 0.02
"""The share of the noise below which the rest of the blocks is not worth a try."""
LEARNED: Step = "distill"
"""The step that the search adds last, because building with it takes longest."""

_FEWEST_IMAGES = 32
"""The fewest images that a simulation judges by if time is short."""
_IMAGES_PER_STEP = 42
"""What a step of distillation costs: 8 images there and back, and a tenth of an evaluation, in
images that a simulation observes."""
_LEAST_PRICE = 0.001
"""The least share of the latency that a block in float is taken to add."""
_PROFILED = 20


class LateError(Exception):
    """A step would not end within the budget."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds
        """How long the step takes."""


class Clock:
    """A budget of time that begins to run at once.

    Args:
        seconds: The budget.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds, self._begin = seconds, time.monotonic()

    @property
    def used(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._begin

    @property
    def left(self) -> float:
        """Seconds of the budget that are left."""
        return self._seconds - self.used

    def check(self, seconds: float) -> None:
        """Refuses a step that takes longer than what is left.

        Raises:
            LateError: It does.
        """
        if self.left < seconds or self.left <= 0:
            raise LateError(seconds)


class Ladder(Record, frozen=True, kw_only=True):
    """What simulation proposes."""

    activations: Activations
    """How ranges are found."""
    prepare: tuple[Step, ...]
    """The steps of preparation."""
    order: tuple[str, ...]
    """The blocks to keep in float, the first ones first."""
    p10: tuple[Decibels, ...]
    """Simulated 10th percentile of the SQNR with 0, 1, 2, ... of these blocks in float."""
    agreement: tuple[Share, ...]
    """Simulated share of the images with the same class."""
    latency: tuple[Positive, ...]
    """Estimated latency, in multiples of that with no block in float."""
    learning_s: Seconds
    """Estimated time that distillation takes."""
    reasons: tuple[str, ...]
    """What was simulated and what it gave."""


def propose(
    cell: Cell,
    begun: Recipe,
    calibration: Calibration,
    *,
    bundles: tuple[Bundle, Bundle],
    clock: Clock,
    after: float,
    progress: Progress,
) -> Ladder:
    """Simulates ranges, preparation and blocks in float.

    Args:
        cell: Network, weights, target and options.
        begun: The recipe that the search began with.
        calibration: The images that calibrate, and those held out, which judge.
        bundles: The float bundle, and the one of that recipe.
        clock: The budget; the simulation leaves half of it for artifacts.
        after: Seconds that an artifact takes.
        progress: Receives steps.

    Raises:
        LateError: There is no time for it and an artifact.
    """
    clock.check(2 * after)
    recipe = begun.on(cell.unit)
    judge = Judge(
        cell.model,
        cell.weights,
        recipe,
        cell.options,
        images=IMAGES,
        calibration=calibration,
        progress=progress,
    )
    assert recipe.activations is not None
    eight_bits = recipe.activations.bits == 8  # 16 bits have room for all values
    ranges = [replace(recipe.activations, **keys) for keys in _RANGES if eight_bits]
    reasons, scores = [], list[tuple[float, Recipe]]()
    per_image = 0.0
    for steps in _PREPARATIONS:
        kept = tuple(step for step in recipe.prepare if step not in ("equalize", LEARNED))
        rest = (*kept, LEARNED) if LEARNED in recipe.prepare else kept
        prepared = replace(recipe, prepare=(*steps, *rest))
        begin = time.monotonic()
        simulation, observed = judge.observed(
            replace(prepared, activations=replace(recipe.activations, range="auto"))
        )
        if not per_image:
            observing = time.monotonic() - begin
            begin = time.monotonic()
            few = judge.held_out[:_FEWEST_IMAGES]
            simulation.run(few)
            per_image = (time.monotonic() - begin) / len(few)
            runs = 2 * len(ranges) + 2 * len(layers_by_block(simulation))
            _shorten(judge, clock, per_image * runs, 2 * observing, after)
        for activations in ranges or [recipe.activations]:
            simulation.adopt(observed.following(activations))
            score = judge.score(simulation)
            words = range_text(activations) + (", equalised" if steps else "")
            reasons.append(
                f"simulated, {words}: {score.sqnr_db_p10:.1f} dB at the 10th percentile, "
                f"{score.sqnr_db:.1f} median"
            )
            scores.append((score.sqnr_db_p10, replace(prepared, activations=activations)))
    best_p10, best = max(scores, key=lambda one: one[0])
    own = next((p10 for p10, one in scores if one == recipe), -EXACT_DB)
    best = recipe if best_p10 < own + MARGIN else best
    order, scores_of, latency = _order(judge, best, bundles, progress)
    reasons.append(f"float first, by noise and price: {', '.join(order)}")
    assert best.activations is not None
    return Ladder(
        activations=best.activations,
        prepare=best.prepare,
        order=order,
        p10=tuple(score.sqnr_db_p10 for score in scores_of),
        agreement=tuple(score.agreement for score in scores_of),
        latency=latency,
        learning_s=round(per_image * recipe.distill.steps * _IMAGES_PER_STEP, 1),
        reasons=tuple(reasons),
    )


def _shorten(judge: Judge, clock: Clock, per_image: float, fixed: float, after: float) -> None:
    """Makes a simulation judge by so many images that half of the time is left for artifacts.

    Args:
        judge: The images.
        clock: The budget.
        per_image: Seconds that all scores take for each image.
        fixed: Seconds that the simulation takes besides.
        after: Seconds that the first artifact after it takes.

    Raises:
        LateError: Even the fewest images take too long.
    """
    clock.check(fixed + _FEWEST_IMAGES * per_image + after)
    judge.shorten(max(int((clock.left / 2 - fixed) / per_image), _FEWEST_IMAGES))


def _order(
    judge: Judge, recipe: Recipe, bundles: tuple[Bundle, Bundle], progress: Progress
) -> tuple[tuple[str, ...], list[Score], tuple[float, ...]]:
    """Returns the blocks to keep in float, and score and latency with 0, 1, 2, ... of them."""
    simulation = judge.simulation(recipe)
    of_block = layers_by_block(simulation)
    added, size = _prices(judge, *bundles)
    of_blocks = alone(judge, simulation, recipe.name, progress)
    noise = {block: score.noise for block, score in of_blocks.items()}
    prices = {block: added[block] + size[block] for block in noise}
    order: list[str] = []
    kept: set[str] = set()
    scores, latency = [judge.score(simulation)], [1.0]
    for block in sorted(noise, key=lambda block: -noise[block] / prices[block]):
        rest = sum(noise[other] for other in noise if other not in order)
        if rest < _LEAST_NOISE * sum(noise.values()):
            break
        if latency[-1] + added[block] > _SLOWEST:
            continue
        order.append(block)
        kept.update(of_block[block])
        left = [layer for layer in simulation.layers if layer not in kept]
        scores.append(judge.score(simulation, left))
        latency.append(round(latency[-1] + added[block], 3))
    return tuple(order), scores, tuple(latency)


def _prices(
    judge: Judge, parent: Bundle, begun: Bundle
) -> tuple[dict[str, float], dict[str, float]]:
    """Returns by what share each block in float extends latency and size, as estimated.

    The latency is the difference of the block's times in the float artifact and in the one that the
    search began with, or, without a profiler, the block's share of the multiplications.
    """
    rows = judge.spec.model.table(judge.spec.preprocess.size)
    macs = sum(row.cost.macs for row in rows)
    added = {row.name: row.cost.macs / macs for row in rows}
    try:
        slow, fast = _times(parent), _times(begun)
    except DeviceError:
        pass
    else:
        total = sum(fast.values())
        added = {
            name: max((slow.get(name, 0) - fast.get(name, 0)) / total, _LEAST_PRICE)
            for name in added
        }
    stored = begun.manifest.artifact.bytes
    return added, {row.name: 3 * row.cost.params / stored for row in rows}


def range_text(activations: Activations) -> str:
    """Says how ranges are found."""
    if activations.range == "image-percentile":
        return f"image-percentile {activations.percentile:g}"
    return activations.range


def golden_inputs(bundle: Bundle) -> Tensors:
    """Returns the first golden images of a bundle, as its artifact takes them."""
    pixels = bundle.golden("input")["pixels"][: bundle.input.shape[0]]
    return feed(bundle.input, pixels, bundle.preprocess)


def _times(bundle: Bundle) -> dict[str, float]:
    """Returns the time of each block of an artifact in milliseconds.

    Raises:
        DeviceError: The runtime has no profiler here.
    """
    found: dict[str, float] = {}
    with Worker(bundle.manifest.target, bundle.artifact) as worker:
        for operator in worker.profile(golden_inputs(bundle), bundle.convolutions, _PROFILED):
            block = block_of(operator.layer)
            found[block] = found.get(block, 0.0) + operator.ms
    return found
