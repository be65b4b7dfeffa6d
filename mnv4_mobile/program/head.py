"""A head of the caller's own: a PyTorch module that takes feature maps and returns outputs by name.

It becomes plain data, an exported program, so that another process can build with it.
"""

from __future__ import annotations

import io
import re
import textwrap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.records import show

if TYPE_CHECKING:
    from torch import Tensor, nn

_NAME = re.compile("[a-z][a-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class OwnHead:
    """An exported head, for one input size and one batch."""

    program: bytes = field(repr=False)
    """PyTorch's `.pt2` archive. It is only read by the package that wrote it."""
    outputs: tuple[str, ...]
    """The names of its outputs, in order."""


def export_head(head: nn.Module, spec: BuildSpec) -> OwnHead:
    """Exports a head for the outputs of a network.

    Args:
        head: Takes the network's outputs by name, as `MobileNetV4` returns them, and returns
            tensors by name, whose first axis is the batch.
        spec: What is built; its outputs are what the head takes.

    Raises:
        ConfigError: The head fails, or returns something else.
    """
    import copy

    import torch

    from mnv4_mobile.model.net import MobileNetV4

    with torch.device("meta"):
        net = MobileNetV4(spec.model, spec.outputs).eval()
        maps = net(torch.empty(spec.batch, 3, *spec.preprocess.size))
    taken = {name: torch.zeros(value.shape) for name, value in maps.items()}
    head = copy.deepcopy(head).cpu().eval().requires_grad_(False)
    try:
        with torch.no_grad():
            _check(head(taken), spec.batch)
            _fold_norms(head, taken)
            outputs = tuple(head(taken))
            program = torch.export.export(head, (taken,))
    except ConfigError:
        raise
    except Exception as error:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in taken.items())
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 300)
        raise ConfigError(f"head: cannot be exported for {shapes}: {reason}") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # the lines of a script, which may move
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return OwnHead(program=buffer.getvalue(), outputs=outputs)


def load_head(head: OwnHead) -> nn.Module:
    """Returns an exported head as a module with the names of the original one's parts."""
    import torch

    return torch.export.unflatten(torch.export.load(io.BytesIO(head.program)))


def _check(outputs: Any, batch: int) -> None:
    """Refuses what no artifact can return.

    Raises:
        ConfigError: Naming what was found and what is allowed.
    """
    import torch

    if not isinstance(outputs, dict) or not outputs:
        raise ConfigError(
            f"head: returned {type(outputs).__name__}, must return a dict of tensors by name"
        )
    for name, value in outputs.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == "image":
            raise ConfigError(
                f"head: output {show(name)}: must be lower-case letters, digits and '_', a letter "
                "first, and not image"
            )
        if not isinstance(value, torch.Tensor) or value.dtype is not torch.float32:
            found = value.dtype if isinstance(value, torch.Tensor) else type(value).__name__
            raise ConfigError(f"head: output {name}: found {found}, must be a tensor of float32")
        if value.dim() < 2 or value.shape[0] != batch:
            raise ConfigError(
                f"head: output {name}: found shape {list(value.shape)}, must be a batch of {batch} "
                "and at least one more axis"
            )


def _fold_norms(head: nn.Module, taken: dict[str, Tensor]) -> None:
    """Folds batch norms into the convolutions before them, as the deploy form does in the network.

    Converters do only part of this, and none between integers. A convolution or norm that runs more
    than once is left as it is.
    """
    from torch import nn
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    names = {module: name for name, module in head.named_modules()}
    calls: list[tuple[nn.Module, Tensor, Tensor]] = []  # keeps the tensors, so that none is reused

    def note(module: nn.Module, given: tuple[Tensor], result: Tensor) -> None:
        calls.append((module, given[0], result))

    kinds = nn.Conv2d, nn.BatchNorm2d
    hooks = [m.register_forward_hook(note) for m in names if isinstance(m, kinds)]
    head(taken)
    for hook in hooks:
        hook.remove()
    ran = [module for module, _, _ in calls]
    for conv, _, result in calls:
        norms = [m for m, x, _ in calls if x is result and isinstance(m, nn.BatchNorm2d)]
        if len(norms) == 1 and isinstance(conv, nn.Conv2d) and ran.count(conv) == 1:
            (norm,) = norms
            if ran.count(norm) == 1 and norm.track_running_stats:
                head.set_submodule(names[conv], fuse_conv_bn_eval(conv, norm))
                head.set_submodule(names[norm], nn.Identity())


def with_head(net: nn.Module, head: nn.Module, batch: int) -> nn.Module:
    """Returns a network followed by a head, which takes images (N, 3, H, W) of any number.

    Args:
        net: Returns its outputs by name.
        head: Takes them, in batches of `batch` only.
        batch: The size of the head's batches.
    """
    import torch
    from torch import nn

    class Whole(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Tensor]:
            missing = -len(x) % batch
            filled = torch.cat([x, x[-1:].repeat(missing, 1, 1, 1)])
            found = [head(net(part)) for part in filled.reshape(-1, batch, *x.shape[1:])]
            return {name: torch.cat([one[name] for one in found])[: len(x)] for name in found[0]}

    return Whole()
