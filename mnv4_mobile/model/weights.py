"""Checkpoints in: what a file, a Hugging Face repository or a seed gives to a model."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.images import Preprocess
from mnv4_mobile.model.checkpoint_about import About, about_ours, about_timm
from mnv4_mobile.model.checkpoint_file import CheckpointFile, read_checkpoint
from mnv4_mobile.model.checkpoint_source import find_checkpoint
from mnv4_mobile.model.key_maps import KEY_MAPS, KeyMap, key_map_of
from mnv4_mobile.model.net import Head, MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.model.spec import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Weights that fit a network, and what is known about them."""

    spec: ModelSpec
    """The network as these weights need it: their number of classes, with layer scale or not."""
    state: dict[str, Tensor]
    """Complete, float32, for `MobileNetV4(spec).load_state_dict`."""
    sha256: str
    """Of the file's bytes; of the source's text for random weights."""
    source: str
    """`timm`, `netspresso`, `mnv4-mobile` or `random`."""
    licence: str | None
    labels: tuple[str, ...] | None
    preprocess: Preprocess | None
    notes: tuple[str, ...]
    """What the user must be told."""


def load_checkpoint(spec: ModelSpec, source: str, *, num_classes: int | None = None) -> Checkpoint:
    """Weights for a network.

    Layer scale and the number of classes follow the checkpoint. Another `num_classes` replaces
    the classifier by a new, untrained one; a checkpoint without a head gives a network without one
    unless `num_classes` is given. The notes say all of this.

    Args:
        spec: The network.
        source: `demo`, `random:SEED`, `hf-hub:OWNER/NAME` or the path of a checkpoint of timm,
            NetsPresso Trainer or this project; timm's `config.json` is read beside it.
        num_classes: Number of classes, where it is not the checkpoint's.

    Raises:
        WeightsError: Weights that cannot be read or that do not fit, with what was found.
        ConfigError: Preprocessing in a `config.json` that cannot be used.
    """
    kind, _, seed = source.partition(":")
    if kind == "random":
        return _random(spec, seed, num_classes)
    path = find_checkpoint(source, spec)
    assert path is not None
    return _fit(spec, read_checkpoint(path), num_classes)


def _random(spec: ModelSpec, seed: str, num_classes: int | None) -> Checkpoint:
    if not (seed.isascii() and seed.isdecimal() and len(seed) <= 18):
        raise WeightsError(f"random: found {seed!r}, must be a seed of up to 18 digits")
    if num_classes is not None:
        spec = spec.with_head(num_classes)
    return Checkpoint(
        spec=spec,
        state=random_state(spec, int(seed)),
        sha256=hashlib.sha256(f"random:{int(seed)}".encode()).hexdigest(),
        source="random",
        licence=None,
        labels=None,
        preprocess=None,
        notes=("the weights are random: the outputs mean nothing",),
    )


def _fit(spec: ModelSpec, file: CheckpointFile, num_classes: int | None) -> Checkpoint:
    """A file's tensors in the names of our network."""
    key_map = key_map_of(file.tensors)
    if key_map is None:
        found = ", ".join(list(file.tensors)[:3]) or "no tensor at all"
        raise WeightsError(
            f"{file.path}: not a MobileNetV4 of timm, NetsPresso Trainer or this project: found "
            f"{found}; must have one of: {', '.join(key_map.sign for key_map in KEY_MAPS)}"
        )
    about = About()
    if key_map.source == "timm":
        about = about_timm(file.path, spec)
    elif key_map.source == "mnv4-mobile":
        about = about_ours(file.path, file.metadata)
    spec, scale_notes = _fit_layer_scale(spec, file)
    spec, fresh, head_notes = _fit_head(spec, key_map, file, num_classes)
    net = _skeleton(spec)
    shapes = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    names = _names(key_map, net)
    replaced = [name for name in names if _is_under(name, fresh)]
    left_out = tuple(names.pop(name) for name in replaced) if spec.head else key_map.head
    given = {name: t for name, t in file.tensors.items() if not name.startswith(left_out)}
    _check_fit(spec, file, about, given, {names[ours]: shapes[ours] for ours in names})
    state = {
        ours: _plain(given[theirs], f"{file.path}: {theirs}").reshape(shapes[ours])
        for ours, theirs in names.items()
    }
    state |= {name: torch.zeros((), dtype=torch.int64) for name in shapes if _is_counter(name)}
    state |= _fresh_head(spec, fresh)
    labels = _fit_labels(spec, file, about) if fresh is None else None
    return Checkpoint(
        spec=spec,
        state=state,
        sha256=file.sha256,
        source=key_map.source,
        licence=about.licence,
        labels=labels,
        preprocess=about.preprocess,
        notes=(*file.notes, *scale_notes, *head_notes, *about.notes),
    )


def _skeleton(spec: ModelSpec) -> MobileNetV4:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return MobileNetV4(spec, outputs=("logits",) if spec.head else ("embedding",))


def _names(key_map: KeyMap, net: MobileNetV4) -> dict[str, str]:
    """Our tensor's name -> the checkpoint's."""
    modules = key_map.modules(net)
    names = {}
    for ours in net.state_dict():
        module, _, tensor = ours.rpartition(".")
        if not _is_counter(ours):
            names[ours] = f"{modules[module]}.{tensor}"
    return names


def _is_counter(name: str) -> bool:
    """`num_batches_tracked` says nothing about a trained network and is often left out."""
    return name.endswith(".num_batches_tracked")


def _is_under(name: str, module: str | None) -> bool:
    return module is not None and name.startswith(f"{module}.")


def _fit_layer_scale(spec: ModelSpec, file: CheckpointFile) -> tuple[ModelSpec, tuple[str, ...]]:
    found = any(name.endswith(".layer_scale.gamma") for name in file.tensors)
    if found and spec.layer_scale is None:
        # The value is timm's initial one; the checkpoint's replace it.
        return replace(spec, layer_scale=1e-5), ("the checkpoint has layer scale: added",)
    if not found and spec.layer_scale is not None:
        return replace(spec, layer_scale=None), ("the checkpoint has no layer scale: left out",)
    return spec, ()


def _fit_head(
    spec: ModelSpec, key_map: KeyMap, file: CheckpointFile, num_classes: int | None
) -> tuple[ModelSpec, str | None, tuple[str, ...]]:
    """(spec with the right head, our module that starts untrained, notes)."""
    has_head = any(name.startswith(key_map.head) for name in file.tensors)
    if spec.head is None and num_classes is None:
        note = "the model has no head: the checkpoint's is left out"
        return spec, None, (note,) if has_head else ()
    if not has_head:
        if num_classes is None:
            note = "the checkpoint has no head: only features can be built (--num-classes adds one)"
            return replace(spec, head=None), None, (note,)
        note = f"the checkpoint has no head: a new, untrained one for {num_classes} classes"
        return spec.with_head(num_classes), "head", (note,)
    wanted = spec.with_head(1 if num_classes is None else num_classes)
    classifier = _names(key_map, _skeleton(wanted))["head.classifier.weight"]
    weight = file.tensors.get(classifier)
    found = weight.shape[0] if weight is not None and weight.ndim else None
    if num_classes is None:
        return (spec.with_head(found) if found is not None else spec), None, ()
    if found == num_classes:
        return wanted, None, ()
    note = (
        f"head re-initialised: {num_classes} classes were asked for, the checkpoint has "
        f"{found or 'no classifier'}; the new classifier is untrained"
    )
    return wanted, "head.classifier", (note,)


def _check_fit(
    spec: ModelSpec,
    file: CheckpointFile,
    about: About,
    given: dict[str, Tensor],
    expected: dict[str, tuple[int, ...]],
) -> None:
    """Compares names and shapes; timm's classifier is a matrix where ours is a 1 x 1 conv."""
    wrong = []
    for name, shape in expected.items():
        found = tuple(given[name].shape) if name in given else shape
        is_matrix = shape[2:] == (1, 1) and found == shape[:2]
        if found != shape and not is_matrix:
            wrong.append(f"{name} is {_size(found)}, must be {_size(shape)}")
    lists = {
        "missing": [name for name in expected if name not in given],
        "unexpected": [name for name in given if name not in expected],
        "misshaped": wrong,
    }
    parts = [
        f"{len(names)} {what}: {'; '.join(names[:3])}{'; ...' if len(names) > 3 else ''}"
        for what, names in lists.items()
        if names
    ]
    if parts:
        made_for = f", made for {about.made_for}," if about.made_for else ""
        raise WeightsError(f"{file.path}{made_for} does not fit {spec.name}: {' | '.join(parts)}")


def _fit_labels(spec: ModelSpec, file: CheckpointFile, about: About) -> tuple[str, ...] | None:
    if about.labels is None or spec.head is None:
        return None
    if len(about.labels) != spec.head.num_classes:
        raise WeightsError(
            f"{file.path}: comes with {len(about.labels)} labels, must be {spec.head.num_classes}, "
            "its number of classes"
        )
    return about.labels


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _plain(tensor: Tensor, place: str) -> Tensor:
    """The tensor as float32, once it is sure that it holds numbers."""
    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
        raise WeightsError(f"{place}: found {tensor.dtype}, must be dense floating-point numbers")
    tensor = tensor.detach().to(torch.float32)
    if not torch.isfinite(tensor).all():
        raise WeightsError(f"{place}: holds NaN or infinite values")
    return tensor


def _fresh_head(spec: ModelSpec, module: str | None) -> dict[str, Tensor]:
    """Untrained tensors of the head under that module, the same every time."""
    if module is None or spec.head is None:
        return {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = Head(spec.final.out_channels, spec.head)
        torch.nn.init.normal_(head.classifier.weight, std=0.01)
        if head.classifier.bias is not None:
            torch.nn.init.zeros_(head.classifier.bias)
    state = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    return {name: tensor for name, tensor in state.items() if _is_under(name, module)}
