"""A short distillation, which learns the factors of channels from the float network's outputs.

No labels are needed. The network computes with the simulated integers of its recipe, and factors
of its channels follow the gradient, which passes through the rounding unchanged (learned equivalent
transformations, as in OmniQuant: Shao et al., arXiv 2308.13137). Factors are undone where the
channels are read, so that the network computes the same in float, and every target's own quantizer
finds numbers that lose less.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import normalise
from mnv4_mobile.model.blocks import MMQA, ConvNorm
from mnv4_mobile.quantize.equalization import Channels, all_channels
from mnv4_mobile.quantize.simulate import Simulation
from mnv4_mobile.recipe import FEWEST_DISTILLED

if TYPE_CHECKING:
    from mnv4_mobile.build_spec import BuildSpec
    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.progress import Progress
    from mnv4_mobile.quantize.calibration import Calibration
    from mnv4_mobile.recipe import Distill, Recipe

_BATCH = 8
"""32 finds hardly better factors; hybrid-medium at 256 x 256 takes 300 MB per image."""
_OBSERVED = 64
"""Number of images that give the ranges for an evaluation."""
_HELD_OUT = 1 / 4
"""Share of the images that are not learned from, but decide when to stop."""
_EVERY = 10
"""Number of steps between two evaluations on the held-out images."""
_PATIENCE = 6
"""Number of evaluations without a better result after which distillation stops."""
_WARM_UP = 0.1
"""Share of the steps in which the learning rate rises; then it falls to zero along a cosine."""


def distill(
    net: MobileNetV4,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Calibration,
    progress: Progress,
) -> None:
    """Scales the channels of a network so that its integers come closest to its float outputs.

    The ranges of activations come from the images and are found again before every evaluation.

    Args:
        net: An equalised network; its weights are changed, but not what it computes.
        spec: What is built.
        recipe: Its `distill` says how long and how fast to learn.
        calibration: Unlabelled images; the seed that chose them also chooses the batches.
        progress: Receives the steps and the results on the held-out images.

    Raises:
        ConfigError: There are too few images.
    """
    settings = recipe.distill
    images = np.stack(list(calibration))
    if len(images) < FEWEST_DISTILLED:
        raise ConfigError(
            f"distill: found {len(images)} calibration images, must be {FEWEST_DISTILLED} or more"
        )
    held = images[: int(len(images) * _HELD_OUT)]
    seen = images[len(held) :]
    network = Simulation(net, spec, recipe, batch=_BATCH)
    goals, held_goals = network.run(seen), network.run(held)
    best = begin = _closeness(network, seen, held, held_goals)
    channels = attached(net, network.body)
    logarithms = [factor.logarithm for _, factor in channels]
    optimizer, schedule = _optimizer(logarithms, settings)
    random = np.random.default_rng(calibration.seed)
    found, missed = list[Tensor](), 0
    started = time.monotonic()
    for step in range(1, settings.steps + 1):
        chosen = random.choice(len(seen), _BATCH, replace=False)
        network.follow()
        outputs = network(torch.from_numpy(normalise(seen[chosen], spec.preprocess)))
        optimizer.zero_grad()
        torch.autograd.backward(_noise_db(outputs, goals, chosen))
        optimizer.step()
        schedule.step()
        if step % _EVERY and step < settings.steps:
            continue
        now = _closeness(network, seen, held, held_goals)
        if now > best:
            best, missed = now, 0
            found = [logarithm.detach().exp() for logarithm in logarithms]
        else:
            missed += 1
        progress.update(
            f"distill: {step}/{settings.steps}, {now:.2f} dB on held-out images "
            f"({begin:.2f} before), {time.monotonic() - started:.0f} s"
        )
        if missed == _PATIENCE:
            break
    if not found:
        progress.note("distill: found nothing better than the given channels")
        return
    for (group, _), values in zip(channels, found, strict=True):
        group.scale(values)


class Factor(nn.Module):
    """The factors of channels, as a parametrization of the folded weights that write them."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.logarithm = nn.Parameter(torch.zeros(count))

    def forward(self, weight: Tensor) -> Tensor:
        """Multiplies weights (C, I, H, W) or biases (C,) by the factors."""
        return weight * self.logarithm.exp().view(-1, *[1] * (weight.dim() - 1))


class _Undone(nn.Module):
    """Undoes factors in the weights that read the channels: (O, C, H, W), or (C, 1, H, W)."""

    def __init__(self, factor: Factor) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, weight: Tensor) -> Tensor:
        inverse = (-self.factor.logarithm).exp()
        depthwise = weight.shape[1] != len(inverse)
        return weight * inverse.view((-1, 1, 1, 1) if depthwise else (1, -1, 1, 1))


def attached(net: MobileNetV4, folded: nn.Module) -> list[tuple[Channels, Factor]]:
    """Makes the folded form of a network compute with factors of its channels.

    Returns:
        All channels of `net` that can be scaled, each with its factors in `folded`, which are 1.
    """
    names = {module: f"net.{name}" for name, module in net.named_modules()}
    found = [(group, Factor(group.count)) for group in all_channels(net)]
    for group, factor in found:
        for writer in group.written:
            conv = folded.get_submodule(
                names[writer.conv if isinstance(writer, ConvNorm) else writer]
            )
            for name in ("weight", "bias"):
                parametrize.register_parametrization(conv, name, factor)
        for reader in group.read:
            for read in _folded_readers(reader, net):
                conv = folded.get_submodule(names[read])
                parametrize.register_parametrization(conv, "weight", _Undone(factor))
    return found


def _folded_readers(reader: nn.Conv2d | nn.BatchNorm2d, net: MobileNetV4) -> list[nn.Conv2d]:
    """Returns the convolutions that have a reader folded in; attention's norm is in three."""
    if isinstance(reader, nn.Conv2d):
        return [reader]
    (block,) = (b for b in net.modules() if isinstance(b, MMQA) and b.norm is reader)
    branches = (block.key, block.value)
    return [block.query, *(b.project if b.down is None else b.down.conv for b in branches)]


def _optimizer(
    parameters: list[nn.Parameter], settings: Distill
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    optimizer = torch.optim.Adam(parameters, lr=settings.rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        settings.rate,
        # With ten steps, the rise would be one step, and torch would divide by zero.
        total_steps=max(settings.steps, 20),
        pct_start=_WARM_UP,
        cycle_momentum=False,
    )
    return optimizer, schedule


def _noise_db(
    outputs: dict[str, Tensor],
    goals: dict[str, npt.NDArray[np.float32]],
    chosen: npt.NDArray[np.int64],
) -> Tensor:
    """Returns noise to signal in dB, averaged over outputs and images so that none dominates."""
    total = torch.zeros(())
    for name, found in outputs.items():
        goal = torch.from_numpy(goals[name][chosen]).flatten(1)
        noise = (found.flatten(1) - goal).square().sum(1).clamp(min=1e-12)
        total = total + 10 * torch.log10(noise / goal.square().sum(1).clamp(min=1e-12)).mean()
    return total / len(outputs)


def _closeness(
    network: Simulation,
    seen: npt.NDArray[np.uint8],
    held: npt.NDArray[np.uint8],
    goals: dict[str, npt.NDArray[np.float32]],
) -> float:
    """Returns the signal to noise ratio in dB, averaged over outputs and held-out images."""
    network.adopt(network.observe(seen[:_OBSERVED]))
    found = network.run(held)
    return float(np.mean([sqnr_db(goals[name], value) for name, value in found.items()]))
