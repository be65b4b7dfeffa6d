"""Preparing a float network so that it quantizes better, once for all targets.

A recipe names the steps. `equalize` changes nothing that is computed. `distill` changes the folded
weights a little, so that their integers come closer to the float network.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from torch import Tensor

from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.prepare.distillation import distilled
from mnv4_mobile.prepare.equalization import equalize
from mnv4_mobile.progress import Progress

if TYPE_CHECKING:
    from mnv4_mobile.calibration import Calibration
    from mnv4_mobile.recipe import Recipe
    from mnv4_mobile.target import BuildSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A network to export."""

    net: MobileNetV4
    """It computes the same as the network that it was made of."""
    folded: dict[str, Tensor] = field(default_factory=dict)
    """Weights of its deploy form that replace those that folding gives (`reference.export`)."""


def prepared(
    net: MobileNetV4,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Calibration,
    progress: Progress | None = None,
) -> Prepared:
    """The network with the recipe's preparation.

    Args:
        net: In inference mode; it is not changed.
        spec: What is built.
        recipe: Its `prepare` names the steps, which always run in the same order.
        calibration: Images that show how large activations are, and to distill on.
        progress: Is told how far long steps are.
    """
    found = Prepared(net=copy.deepcopy(net))
    if "equalize" in recipe.prepare:
        equalize(found.net, calibration)
    if "distill" in recipe.prepare:
        weights = distilled(found.net, spec, recipe, calibration, progress or Progress())
        found = replace(found, folded=weights)
    return found
