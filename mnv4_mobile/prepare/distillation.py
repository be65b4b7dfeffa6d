"""A short distillation: the integers of a network are trained towards its own float outputs.

No labels are needed. The network computes with the simulated integers of its recipe, and its folded
weights follow the gradient that passes through the rounding as if it were not there (Bengio et al.,
arXiv 1308.3432). What it learns survives every target's quantizer: the simulation rounds weights by
the same rule, the largest value of a channel.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import normalise
from mnv4_mobile.parity import sqnr_db
from mnv4_mobile.simulate import Simulation

if TYPE_CHECKING:
    from mnv4_mobile.calibration import Calibration
    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.progress import Progress
    from mnv4_mobile.recipe import Distill, Recipe
    from mnv4_mobile.target import BuildSpec

_BATCH = 32
_HELD_OUT = 1 / 8
"""Share of the images that are not trained on, but say when to stop."""
_EVERY = 25
"""Steps between two looks at them."""
_PATIENCE = 4
"""Looks without a better result, then it stops."""
_WARM_UP = 0.1
"""Share of the steps in which the rate rises; then it falls to zero along a cosine."""
_FEWEST = 2 * _BATCH


def distilled(
    net: MobileNetV4,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Calibration,
    progress: Progress,
) -> dict[str, Tensor]:
    """Weights of the deploy form whose integers come closest to the float network.

    The ranges of activations are those that the images show, found again before every look.

    Args:
        net: Equalised already; it is not changed.
        spec: What is built.
        recipe: Its `distill` says how long and how fast.
        calibration: Unlabelled images; the seed of their choice is that of the batches.
        progress: Is told the steps and what the images held out say.

    Returns:
        By name; empty where no step made the images held out better.

    Raises:
        ConfigError: Too few images.
    """
    settings = recipe.distill
    images = np.stack(list(calibration))
    if len(images) < _FEWEST:
        raise ConfigError(
            f"distill: found {len(images)} calibration images, must be {_FEWEST} or more"
        )
    held = images[: int(len(images) * _HELD_OUT)]
    seen = images[len(held) :]
    network = Simulation(net, spec, recipe, batch=_BATCH)
    goals, held_goals = network.run(seen), network.run(held)
    best, found = _closeness(network, images, held, held_goals), dict[str, Tensor]()
    parameters = dict(network.body.named_parameters())
    network.requires_grad_(True)
    optimizer, schedule = _optimizer(parameters.values(), settings)
    random = np.random.default_rng(calibration.seed)
    begin, missed = best, 0
    started = time.monotonic()
    for step in range(1, settings.steps + 1):
        chosen = random.choice(len(seen), _BATCH, replace=False)
        outputs = network(torch.from_numpy(normalise(seen[chosen], spec.preprocess)))
        optimizer.zero_grad()
        torch.autograd.backward(_distance(outputs, goals, chosen))
        optimizer.step()
        schedule.step()
        if step % _EVERY and step < settings.steps:
            continue
        now = _closeness(network, images, held, held_goals)
        if now > best:
            best, missed = now, 0
            found = {name: w.detach().clone() for name, w in parameters.items()}
        else:
            missed += 1
        progress.update(
            f"distill: {step}/{settings.steps}, {now:.2f} dB on images held out "
            f"({begin:.2f} before), {time.monotonic() - started:.0f} s"
        )
        if missed == _PATIENCE:
            break
    if not found:
        progress.note("distill: found nothing better than the weights that were given")
    return found


def _optimizer(
    parameters: Iterable[Tensor], settings: Distill
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Adam, whose step is a share of a tensor's own size: folded weights differ by orders."""
    optimizer = torch.optim.Adam(
        [
            {"params": [w], "lr": settings.rate * float(w.detach().norm()) / w.numel() ** 0.5}
            for w in parameters
        ]
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=settings.steps,
        pct_start=_WARM_UP,
        cycle_momentum=False,
    )
    return optimizer, schedule


def _distance(
    outputs: dict[str, Tensor],
    goals: dict[str, npt.NDArray[np.float32]],
    chosen: npt.NDArray[np.int64],
) -> Tensor:
    """Noise by signal of every image and output, on average."""
    total = torch.zeros(())
    for name, found in outputs.items():
        goal = torch.from_numpy(goals[name][chosen]).flatten(1)
        noise = (found.flatten(1) - goal).square().sum(1)
        total = total + (noise / goal.square().sum(1).clamp(min=1e-12)).mean()
    return total / len(outputs)


def _closeness(
    network: Simulation,
    images: npt.NDArray[np.uint8],
    held: npt.NDArray[np.uint8],
    goals: dict[str, npt.NDArray[np.float32]],
) -> float:
    """The mean over outputs and images held out of the ratio of signal to noise, in dB."""
    network.adopt(network.observe(images))
    found = network.run(held)
    return float(np.mean([sqnr_db(goals[name], value) for name, value in found.items()]))
