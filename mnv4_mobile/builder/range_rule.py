"""Settling what a recipe leaves open: the rule of its ranges, by what simulation shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import eager
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.recipe import Activations, Recipe, Rule

if TYPE_CHECKING:
    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.quantize.calibration import Calibration

RULES: tuple[Rule, ...] = tuple(rule for rule in get_args(Rule) if rule != "auto")


def settled(
    net: MobileNetV4, spec: BuildSpec, recipe: Recipe, calibration: Calibration
) -> tuple[Recipe, dict[str, float]]:
    """A recipe with the range rule that does best, in place of `auto`.

    The network is judged as it is, before preparation, which may depend on the rule.

    Args:
        net: In inference mode.
        spec: What is built.
        recipe: With static activations.
        calibration: Its pictures give the ranges, those held back are judged.

    Returns:
        The recipe, and by rule the median SQNR in dB of the worst output.
    """
    import numpy as np

    from mnv4_mobile.quantize.simulate import Simulation

    assert recipe.activations is not None
    simulation = Simulation(net, spec, recipe)
    observed = simulation.observe(calibration)
    pictures = calibration.held_back()
    reference = eager(net, pictures, spec)
    found: dict[str, float] = {}
    for rule in RULES:
        simulation.adopt(observed.following(_with(recipe.activations, rule)))
        outputs = simulation.run(pictures)
        worst = min(float(np.median(sqnr_db(reference[name], y))) for name, y in outputs.items())
        found[rule] = round(worst, 2)
    best: Rule = max(RULES, key=lambda rule: found[rule])
    return replace(recipe, activations=_with(recipe.activations, best)), found


def _with(activations: Activations, rule: Rule) -> Activations:
    return replace(activations, range=rule)
