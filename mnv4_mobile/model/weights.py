"""Loads the weights of a checkpoint, a Hugging Face repository or a seed into a network."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.files import Reader
from mnv4_mobile.images import KnownPreprocess
from mnv4_mobile.model.checkpoint_file import read_tensors
from mnv4_mobile.model.checkpoint_index import COUNTER, read_index
from mnv4_mobile.model.checkpoint_source import find_checkpoint, random_seed, read_file
from mnv4_mobile.model.fit import fit_checkpoint
from mnv4_mobile.model.net import Head
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.model.spec import ModelSpec
from mnv4_mobile.model.state import state_shapes

_VARIANCE = "running_var"
_MEAN = "running_mean"
"""A norm has one of these, and a counter, which `state_shapes` leaves out."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights that fit a network, and what is known about them."""

    spec: ModelSpec
    """The network with the number of classes of these weights, and with or without layer scale."""
    state: dict[str, Tensor]
    """All float32 tensors for `MobileNetV4(spec).load_state_dict`."""
    sha256: str
    """Hash of the file's bytes, or of the text `random:SEED` for random weights."""
    source: str
    """`timm`, `netspresso`, `mnv4-mobile` or `random`."""
    licence: str | None
    labels: tuple[str, ...] | None
    preprocess: KnownPreprocess


def load_checkpoint(
    spec: ModelSpec, source: str, *, num_classes: int | None = None, reader: Reader | None = None
) -> Checkpoint:
    """Loads weights for a network; `fit_checkpoint` says what the checkpoint decides.

    Args:
        spec: The network.
        source: `demo`, `random:SEED`, `hf-hub:OWNER/NAME`, or the file or folder of a checkpoint of
            timm, NetsPresso Trainer or this project; timm's `config.json` is read beside it.
        num_classes: The number of classes. Default: the checkpoint's.
        reader: Reads the files. Default: a new one.

    Raises:
        WeightsError: The weights cannot be read or do not fit, with what was found.
        ConfigError: The preprocessing in a `config.json` cannot be used.
    """
    path = find_checkpoint(source)
    if path is None:
        return _random(spec, random_seed(source), num_classes)
    reader = reader or Reader()
    data = read_file(path, reader.read)
    fit = fit_checkpoint(read_index(path, data), spec, num_classes=num_classes, read=reader.read)
    tensors = read_tensors(path, data, fit.keys.values())
    shapes = state_shapes(fit.spec)
    state = {
        ours: _plain(tensors[key], f"{path}: {'.'.join(key)}", shapes[ours])
        for ours, key in fit.keys.items()
    }
    for name, tensor in state.items():
        if name.endswith(_VARIANCE) and (tensor < 0).any():
            place = f"{path}: {'.'.join(fit.keys[name])}"
            raise WeightsError(f"{place}: holds negative values, must be variances, 0 or more")
    norms = [name.removesuffix(_MEAN) for name in shapes if name.endswith(_MEAN)]
    state |= {f"{norm}{COUNTER}": torch.zeros((), dtype=torch.int64) for norm in norms}
    state |= _fresh_head(fit.spec, fit.untrained)
    return Checkpoint(
        spec=fit.spec,
        state=state,
        sha256=reader.sha256(path),
        source=fit.source,
        licence=fit.about.licence,
        labels=fit.about.labels if fit.spec.head else None,
        preprocess=fit.about.preprocess,
    )


def _random(spec: ModelSpec, seed: int, num_classes: int | None) -> Checkpoint:
    if num_classes is not None:
        spec = spec.with_head(num_classes)
    return Checkpoint(
        spec=spec,
        state=random_state(spec, seed),
        sha256=hashlib.sha256(f"random:{seed}".encode()).hexdigest(),
        source="random",
        licence=None,
        labels=None,
        preprocess=KnownPreprocess(),
    )


def _plain(tensor: Tensor, place: str, shape: tuple[int, ...]) -> Tensor:
    """Returns the tensor as float32 if it holds finite numbers."""
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
        raise WeightsError(f"{place}: found {tensor.dtype}, must be dense floating-point numbers")
    try:
        tensor = tensor.detach().to(torch.float32)
    except RuntimeError:  # of types that several numbers share a byte in
        raise WeightsError(f"{place}: found {tensor.dtype}, cannot be converted") from None
    if not torch.isfinite(tensor).all():
        raise WeightsError(f"{place}: holds NaN or infinite values")
    return tensor.reshape(shape)


def _fresh_head(spec: ModelSpec, module: str | None) -> dict[str, Tensor]:
    """Returns the untrained tensors of that module of the head, the same every time."""
    if module is None or spec.head is None:
        return {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = Head(spec.final.out_channels, spec.head)
        torch.nn.init.normal_(head.classifier.weight, std=0.01)
        if head.classifier.bias is not None:
            torch.nn.init.zeros_(head.classifier.bias)
    state = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    return {name: t for name, t in state.items() if name.startswith(f"{module}.")}
