"""Measures by simulation what quantizing each block of a network costs.

Costs are judged by the 10th percentile over images, because a good median hides the images that
lose most. It also orders blocks better: on hybrid-narrow, of the blocks that reach the same tail in
float, those ordered by the noise at the 10th percentile have fewer multiplications than those
ordered by the median's.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnv4_mobile.builder.cell import Cell, Options
from mnv4_mobile.builder.network import Network
from mnv4_mobile.builder.reference import checked, eager
from mnv4_mobile.bundle.parity import same_class, sqnr_db
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.layers import block_of
from mnv4_mobile.model.spec import ModelSpec
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.figure import write_figure
from mnv4_mobile.quantize.calibration import Calibration, choose_images
from mnv4_mobile.quantize.ranges import Ranges
from mnv4_mobile.recipe import Recipe, Step
from mnv4_mobile.records import replace
from mnv4_mobile.tensors import CLASSES

if TYPE_CHECKING:
    from mnv4_mobile.quantize.simulate import Simulation

IMAGES = 128
"""Default number of images to judge a network by; the 10th percentile comes from 13 of them."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """How close a simulation comes to the float network."""

    sqnr_db_p10: float
    """10th percentile over the images of the SQNR in dB."""
    sqnr_db: float
    """Median over the images of the SQNR in dB."""
    agreement: float
    """Share of the images with the same class."""

    @property
    def noise(self) -> float:
        """The noise at the 10th percentile, relative to the signal. Noises of blocks roughly add
        up.
        """
        return float(10 ** (-self.sqnr_db_p10 / 10))


@dataclass(frozen=True, kw_only=True)
class BlockCost:
    """What quantizing one block costs."""

    block: str
    role: str
    params: int
    macs: int
    alone: Score
    """The score with this block in integers and all others in float."""
    noise_share: float
    """Its share of the noise that all blocks add alone."""


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What quantizing each block of a network costs, the block that costs most first."""

    recipe: str
    images: int
    """Number of images that the network was judged by."""
    total: Score
    """The score with everything in integers that the recipe puts in integers."""
    blocks: tuple[BlockCost, ...]


class Judge:
    """A network in float, and held-out images that judge its integers.

    Args:
        model: The network.
        weights: The weights, as given on the command line.
        recipe: A recipe with static activations.
        options: What is built; `calibrate` must be set.
        images: The most images to judge by.
        calibration: The calibration images, and those held out; the first of these judge. Default:
            those of the recipe, with `images` or a fifth of the folder held out.
        progress: Receives steps and notes.

    Raises:
        MobileError: Weights, recipe or images cannot be used.
    """

    def __init__(
        self,
        model: ModelSpec,
        weights: str,
        recipe: Recipe,
        options: Options,
        *,
        images: int = IMAGES,
        calibration: Calibration | None = None,
        progress: Progress,
    ) -> None:
        if not recipe.static:
            raise ConfigError(
                f"recipe {recipe.name}: found {recipe.scheme!r}, must have static activations: "
                "other integers are not simulated"
            )
        assert options.calibrate is not None
        self._progress = progress
        self.network = Network(
            Cell(model=model, weights=weights, target="", recipe=recipe, options=options), progress
        )
        self.spec = self.network.spec
        self._output = next((name for name in self.spec.outputs if name in CLASSES), "")
        if not self._output:
            raise ConfigError(f"{model.name}: has no classes to judge by")
        recipe.check_keep(self.network.layers)
        if calibration is None:
            progress.step(f"{model.name}: choose the calibration images")
            assert recipe.calibration is not None
            calibration = choose_images(
                options.calibrate,
                self.spec.preprocess,
                images=recipe.calibration.images,
                seed=recipe.calibration.seed,
                progress=progress,
                held_out=images,
            )
        self.calibration = calibration
        self.held_out = np.stack(list(islice(calibration.others(), images)))
        reference = eager(self.network.net, self.held_out, self.spec)
        outputs = checked(reference, self.held_out, self.network.weights)
        self._reference = outputs[self._output]

    def shorten(self, images: int) -> None:
        """Judges by the first of the images only, from now on."""
        self.held_out, self._reference = self.held_out[:images], self._reference[:images]

    def simulation(self, recipe: Recipe) -> Simulation:
        """Returns a recipe's simulation with ranges; `auto` uses the rule that a build chooses."""
        simulation, ranges = self.observed(self.network.resolved(_quick(recipe)))
        simulation.adopt(ranges)
        return simulation

    def observed(self, recipe: Recipe) -> tuple[Simulation, Ranges]:
        """Returns a recipe's simulation and its observed ranges; nothing is rounded yet."""
        from mnv4_mobile.quantize.simulate import Simulation

        recipe = _quick(recipe)
        net = self.network.prepared(recipe, self.calibration)
        self._progress.step(f"{recipe.name}: observe {len(self.calibration)} calibration images")
        simulation = Simulation(net, self.spec, recipe)
        return simulation, simulation.observe(self.calibration)

    def score(self, simulation: Simulation, layers: Container[str] | None = None) -> Score:
        """Returns the score with these layers in integers; None means those of the recipe."""
        simulation.quantize(layers)
        return self._score(simulation.run(self.held_out)[self._output])

    def _score(self, found: npt.NDArray[np.float32]) -> Score:
        ratios = sqnr_db(self._reference, found)
        return Score(
            sqnr_db_p10=round(float(np.percentile(ratios, 10)), 2),
            sqnr_db=round(float(np.median(ratios)), 2),
            agreement=float(same_class(self._reference, found).mean()),
        )


def _quick(recipe: Recipe) -> Recipe:
    """Returns a recipe without the preparation steps that take long or round weights."""
    exact: tuple[Step, ...] = tuple(step for step in recipe.prepare if step == "equalize")
    return replace(recipe, prepare=exact)


def layers_by_block(simulation: Simulation) -> dict[str, list[str]]:
    """Returns the quantized layers of each block."""
    found: dict[str, list[str]] = {}
    for layer in simulation.layers:
        found.setdefault(block_of(layer), []).append(layer)
    return found


def alone(judge: Judge, simulation: Simulation, name: str, progress: Progress) -> dict[str, Score]:
    """Returns the score with each block alone in integers and all others in float.

    Args:
        judge: The images that judge it.
        simulation: The network with its ranges.
        name: The recipe's name, for the progress.
        progress: Receives the block that runs.
    """
    of_block = layers_by_block(simulation)
    found: dict[str, Score] = {}
    progress.step(f"{name}: quantize block by block")
    with progress.count(len(of_block), "blocks"):
        for block, layers in of_block.items():
            progress.update(f"{name}: quantize block by block, {block}")
            found[block] = judge.score(simulation, layers)
            progress.advance()
        progress.update(f"{name}: quantize block by block")
    return found


def sensitivity(judge: Judge, recipe: Recipe, progress: Progress) -> Sensitivity:
    """Quantizes a network block by block.

    Args:
        judge: The network and the images that judge it.
        recipe: The recipe that quantizes it.
        progress: Receives the block that runs.
    """
    simulation = judge.simulation(recipe)
    total = judge.score(simulation)
    rows = {row.name: row for row in judge.spec.model.table(judge.spec.preprocess.size)}
    scores = alone(judge, simulation, recipe.name, progress)
    noise = sum(score.noise for score in scores.values())
    costs = [
        BlockCost(
            block=block,
            role=rows[block].role,
            params=rows[block].cost.params,
            macs=rows[block].cost.macs,
            alone=score,
            noise_share=score.noise / noise,
        )
        for block, score in sorted(scores.items(), key=lambda one: -one[1].noise)
    ]
    return Sensitivity(
        recipe=recipe.name, images=len(judge.held_out), total=total, blocks=tuple(costs)
    )


def plot(found: Sensitivity, path: Path, title: str) -> None:
    """Draws the blocks' costs as bars, to a file that `check_figure` accepts."""
    from matplotlib.figure import Figure

    names = [cost.block for cost in found.blocks]
    figure = Figure(figsize=(8, 1.5 + 0.25 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.barh(names, [cost.alone.sqnr_db_p10 for cost in found.blocks], color="#2a6fdb")
    left.axvline(found.total.sqnr_db_p10, color="#c33", label="all blocks")
    left.set_xlabel("10th percentile of SQNR in dB, this block alone in integers")
    left.invert_yaxis()
    left.legend()
    right.barh(names, [100 * cost.noise_share for cost in found.blocks], color="#2a9d5c")
    right.set_xlabel("share of the blocks' noise in %")
    figure.suptitle(title)
    write_figure(figure, path, "Sensitivity")
