"""Prepares a float network so that lower precision harms it less, once for all targets.

A recipe names the steps. The first ones change a network, but not what it computes. The last one,
`gptq`, rounds the weights of its exported deploy form.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.progress import Progress
from mnv4_mobile.quantize.distillation import distill
from mnv4_mobile.quantize.equalization import equalize
from mnv4_mobile.quantize.guard import guard

if TYPE_CHECKING:
    from mnv4_mobile.build_spec import BuildSpec
    from mnv4_mobile.quantize.calibration import Calibration
    from mnv4_mobile.recipe import Recipe


def prepared(
    net: MobileNetV4,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Calibration,
    progress: Progress | None = None,
) -> MobileNetV4:
    """Returns the network after the recipe's preparation, except `gptq`; it computes the same.

    Args:
        net: A network in inference mode; it is not changed.
        spec: What is built.
        recipe: Its `prepare` names the steps, which always run in the same order.
        calibration: Images that show how large activations are, and to distill on.
        progress: Receives the progress of long steps.
    """
    found = copy.deepcopy(net)
    if "equalize" in recipe.prepare:
        equalize(found, calibration)
    if "distill" in recipe.prepare:
        distill(found, spec, recipe, calibration, progress or Progress())
    if "guard" in recipe.prepare:
        guard(found, spec, calibration)
    return found
