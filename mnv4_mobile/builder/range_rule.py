"""Finds the range rule that `range: auto` stands for, by simulation.

Every rule is simulated on the network as it will be built, and judged on held-out images. The
default stays unless another rule is clearly better. SQNR differs from image to image far more than
from rule to rule, so rules are compared image by image: the difference to the default has a
standard deviation of 3 to 8 dB over images (hybrid-narrow and the demo network), and its mean a
standard error of 0.5 dB on 128 images. The rule that is by chance the best of four on few images is
often worse on all others.

A rule therefore replaces the default only if its mean difference is above 0 by three standard
errors, which at least one of three rules that are no better reaches in one of 250 cases, and is
`MARGIN` or more, because a simulation is only that close to the artifacts that targets make.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, get_args

import numpy as np
import numpy.typing as npt

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.program.export import export
from mnv4_mobile.recipe import Activations, Recipe, Rule
from mnv4_mobile.records import replace

if TYPE_CHECKING:
    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.quantize.calibration import Calibration
    from mnv4_mobile.quantize.simulate import Simulation

RULES: tuple[Rule, ...] = tuple(rule for rule in get_args(Rule) if rule != "auto")
DEFAULT: Rule = Activations(mode="static").range
MARGIN = 0.5
"""The least gain in dB with which another rule replaces the default."""
_ERRORS = 3.0
"""The number of standard errors by which that gain must be above 0."""
_BATCH = 16


def with_rule(recipe: Recipe, rule: Rule) -> Recipe:
    """Returns a recipe with static activations, with its range rule replaced."""
    assert recipe.activations is not None
    return replace(recipe, activations=replace(recipe.activations, range=rule))


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How close a network comes to its float outputs with each rule."""

    ratios: Mapping[Rule, npt.NDArray[np.float64]]
    """SQNR in dB of each image, for its worst output if the network has several."""

    def gain(self, rule: Rule) -> tuple[float, float]:
        """Returns a rule's mean difference to the default in dB, and its standard error."""
        differences = self.ratios[rule] - self.ratios[DEFAULT]
        if len(differences) < 2:
            return 0.0, float("inf")
        return float(differences.mean()), float(differences.std(ddof=1) / len(differences) ** 0.5)

    @property
    def best(self) -> Rule:
        """The best of the rules that are clearly better than the default, or else the default."""
        clear = [DEFAULT]
        for rule in self.ratios:
            gain, error = self.gain(rule)
            if gain >= MARGIN and gain > _ERRORS * error:
                clear.append(rule)
        return max(clear, key=lambda rule: self.gain(rule)[0])

    @property
    def text(self) -> str:
        """The chosen rule, and the results of all rules."""
        ratios = self.ratios[DEFAULT]
        found = [f"{DEFAULT} {np.median(ratios):.1f} dB on {len(ratios)} images"]
        for rule in self.ratios:
            if rule != DEFAULT:
                gain, error = self.gain(rule)
                found.append(f"{rule} {gain:+.1f} ± {error:.1f}")
        return f"{self.best} ({', '.join(found)})"


def judge_rules(
    net: MobileNetV4,
    prepared: MobileNetV4,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Calibration,
) -> Judgement:
    """Simulates what will be built, once with every rule.

    Args:
        net: The float network, in inference mode.
        prepared: The same network as the recipe prepares it, before its weights are rounded.
        spec: What is built.
        recipe: A recipe with static activations.
        calibration: The ranges come from its images; the rules are judged on the held-out ones.
    """
    simulation = _as_built(prepared, spec, recipe, calibration)
    observed = simulation.observe(calibration)
    assert recipe.activations is not None
    ranges = {rule: observed.following(replace(recipe.activations, range=rule)) for rule in RULES}
    ratios: dict[Rule, list[npt.NDArray[np.float64]]] = {rule: [] for rule in RULES}
    for pictures in _batches(calibration):
        reference = eager(net, pictures, spec)
        for rule in RULES:
            simulation.adopt(ranges[rule])
            outputs = simulation.run(pictures)
            of_outputs = [sqnr_db(reference[name], found) for name, found in outputs.items()]
            ratios[rule].append(np.min(of_outputs, axis=0))
    return Judgement(ratios={rule: np.concatenate(parts) for rule, parts in ratios.items()})


def _as_built(
    prepared: MobileNetV4, spec: BuildSpec, recipe: Recipe, calibration: Calibration
) -> Simulation:
    """Returns the simulation of a recipe, with its weights rounded as the recipe says."""
    from mnv4_mobile.quantize.rounding import rounded
    from mnv4_mobile.quantize.simulate import Simulation

    simulation = Simulation(prepared, spec, recipe, batch=_BATCH)
    if "gptq" in recipe.prepare:
        # How weights are rounded depends neither on the ranges nor on the form of the program.
        one = replace(spec, batch=1, input="float", io="float32")
        program = rounded(export(prepared, one, "nchw"), one, recipe, calibration)
        simulation.body.load_state_dict(program.state_dict)
    return simulation


def _batches(calibration: Calibration) -> Iterator[npt.NDArray[np.uint8]]:
    """Yields the held-out images, decoded a batch at a time."""
    images = calibration.others()
    while some := list(islice(images, _BATCH)):
        yield np.stack(some)
