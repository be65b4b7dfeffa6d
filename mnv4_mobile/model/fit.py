"""Finds the network in a checkpoint: which one it is, and which tensor is which."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import WeightsError, unknown
from mnv4_mobile.files import Read
from mnv4_mobile.model.checkpoint_about import About, about_ours, about_timm
from mnv4_mobile.model.checkpoint_index import Index, Key
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.key_maps import KEY_MAPS, KeyMap
from mnv4_mobile.model.spec import ModelSpec
from mnv4_mobile.model.state import Shape, state_shapes
from mnv4_mobile.model.timm_names import is_timm_name, shipped_name, timm_name

# Where training checkpoints keep the weights, the preferred place first.
_HOLDERS = (("state_dict",), ("model_state_dict",), ("model",))


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A network, and where in a checkpoint its tensors are."""

    spec: ModelSpec
    """The network with the number of classes of these weights, and with or without layer scale."""
    source: str
    """`timm`, `netspresso` or `mnv4-mobile`."""
    keys: Mapping[str, Key]
    """Where each tensor is in the checkpoint, by our name."""
    untrained: str | None
    """Our name of the module that is not in the checkpoint and starts untrained."""
    about: About
    notes: tuple[str, ...]
    """Messages for the user."""


@functools.cache
def _shipped() -> dict[str, ModelSpec]:
    """Returns the networks that this package ships, by name.

    Those with anti-aliasing come last, because it has no tensors: their weights fit the networks
    without it, which are more common.
    """
    found = [load_model(name) for name in shipped("models")]
    return {spec.name: spec for spec in sorted(found, key=lambda spec: spec.aa_layer is not None)}


def fit_checkpoint(
    index: Index,
    spec: ModelSpec | None = None,
    *,
    num_classes: int | None = None,
    read: Read = Path.read_bytes,
) -> Fit:
    """Finds the network of a checkpoint.

    Wrappers and prefixes of any trainer are ignored. Layer scale and the number of classes come
    from the checkpoint. Another `num_classes` replaces the classifier by a new, untrained one; a
    checkpoint without a head gives a network without one unless `num_classes` is given. Networks
    that differ in anti-aliasing alone have the same tensors: what the checkpoint, a file beside it
    or else its own name says decides between them.

    Args:
        index: What the checkpoint holds.
        spec: The network that it must be; None finds the shipped one.
        num_classes: The number of classes. Default: the checkpoint's.
        read: Returns the bytes of a file beside the checkpoint.

    Raises:
        WeightsError: The checkpoint has no network, several, or not the one that was asked for.
        ConfigError: A value stored with the weights cannot be used.
    """
    place = _find(index)
    about = _about(index, place.key_map, read)
    stated = _stated(about, place.key_map)
    if stated is None:
        about, stated = _named(index, place, about)
    if spec is None:
        match = _recognized(index, place, about, stated, num_classes)
    else:
        match = _match(spec, place, num_classes)
        if match.faults:
            _refuse_other(index, place, match.spec.name, f"{spec.name} was asked for", stated)
            made_for = f", made for {about.made_for}," if about.made_for else ""
            raise WeightsError(
                f"{index.path}{made_for} does not fit {spec.name}: {match.text(place)}"
            )
    if stated is not None and stated.act != match.spec.act:
        raise WeightsError(
            f"{about.place}: found {about.made_for!r}, which has act {stated.act}; "
            f"{match.spec.name} has {match.spec.act}"
        )
    if stated is not None and stated.aa_layer != match.spec.aa_layer:
        raise WeightsError(
            f"{about.place}: found {about.made_for!r}, which has aa_layer {stated.aa_layer or '~'};"
            f" {match.spec.name} has {match.spec.aa_layer or '~'}; leave the model out to build "
            f"{stated.name}, or give other weights"
        )
    notes = [*place.notes(), *match.notes, *about.notes]
    if spec is None and stated is None:
        notes += _assumed(index, place, match.spec)
    if match.untrained is None:
        _check_labels(index, match.spec, about)
    return Fit(
        spec=match.spec,
        source=place.key_map.source,
        keys={ours: place.key(theirs) for ours, theirs in match.names.items()},
        untrained=match.untrained,
        about=about if match.untrained is None else replace(about, labels=None),
        notes=tuple(notes),
    )


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The place in a checkpoint that has the tensors of a network."""

    key_map: KeyMap
    holder: Key
    """The keys of the dicts around the tensors."""
    prefix: str
    """The beginning of every tensor's name."""
    shapes: dict[str, Shape] = field(default_factory=dict)
    """The shapes of the tensors by name, without the prefix."""
    others: tuple[str, ...] = ()
    """The names of the other tensors beside them."""

    @property
    def label(self) -> str:
        """The place as text."""
        return ".".join((*self.holder, self.prefix)).strip(".")

    @property
    def averaged(self) -> bool:
        """Whether these are averaged weights, as their name says."""
        return "ema" in re.split(r"[._]", self.label.lower())

    def key(self, name: str) -> Key:
        """Returns where a tensor is in the checkpoint."""
        return (*self.holder, f"{self.prefix}{name}")

    def notes(self) -> Iterator[str]:
        """Yields messages for the user about the choice."""
        if self.averaged:
            yield f"the averaged weights of the checkpoint were taken ({self.label})"


def _find(index: Index) -> _Place:
    """Returns the place of the network.

    Raises:
        WeightsError: There is no network, or several without a preferred one.
    """
    holders: dict[Key, list[str]] = {}
    for key in index.shapes:
        holders.setdefault(key[:-1], []).append(key[-1])
    places = [place for holder, names in holders.items() for place in _places(holder, names)]
    if not places:
        found = ", ".join(".".join(key) for key in list(index.shapes)[:3]) or "no tensor at all"
        signs = ", ".join(key_map.sign for key_map in KEY_MAPS)
        raise WeightsError(
            f"{index.path}: not a MobileNetV4 of timm, NetsPresso Trainer or this project: found "
            f"{found}; must have one of: {signs}, with any prefix"
        )
    preferred = [
        [place for place in places if place.averaged],
        *([place for place in places if place.holder == holder] for holder in _HOLDERS),
        places,
    ]
    found_one = next((some[0] for some in preferred if len(some) == 1), None)
    if found_one is None:
        labels = ", ".join(place.label or "the top" for place in places)
        raise WeightsError(
            f"{index.path}: found {len(places)} networks, at {labels}; must be one: save the state "
            "dict of the one to build alone"
        )
    prefix = found_one.prefix
    names = holders[found_one.holder]
    return replace(
        found_one,
        shapes={
            name.removeprefix(prefix): index.shapes[(*found_one.holder, name)]
            for name in names
            if name.startswith(prefix)
        },
        others=tuple(name for name in names if not name.startswith(prefix)),
    )


def _places(holder: Key, names: Sequence[str]) -> Iterator[_Place]:
    """Yields the networks in one dict; a tensor is the sign of at most one network."""
    seen = set()
    for key_map in KEY_MAPS:
        for name in names:
            if f".{name}".endswith(f".{key_map.sign}") and name not in seen:
                seen.add(name)
                prefix = name.removesuffix(key_map.sign)
                yield _Place(key_map=key_map, holder=holder, prefix=prefix)


def _about(index: Index, key_map: KeyMap, read: Read) -> About:
    """Reads what the checkpoint, or a file beside it, says about it."""
    if key_map.source == "mnv4-mobile":
        return about_ours(index.path, index.metadata)
    about = about_timm(index.path, read) if key_map.source == "timm" else About()
    if about.made_for is None and index.arch is not None and is_timm_name(index.arch):
        about = replace(about, made_for=index.arch, place=f"{index.path}: arch")
    return about


def _stated(about: About, key_map: KeyMap) -> ModelSpec | None:
    """Returns the shipped network that a checkpoint claims to be.

    Raises:
        WeightsError: timm has no such network, or this package does not ship it.
    """
    name = about.made_for
    if name is None:
        return None
    if name in _shipped():
        return _shipped()[name]
    if key_map.source == "mnv4-mobile":
        return None  # a network of the user's own
    ours = shipped_name(name)
    if ours is None:
        raise WeightsError(unknown(about.place, name, map(timm_name, _shipped())))
    return _shipped()[ours]


def _recognized(
    index: Index,
    place: _Place,
    about: About,
    stated: ModelSpec | None,
    num_classes: int | None,
) -> _Match:
    """Returns the shipped network that a checkpoint claims to be, or else the one that fits it.

    Raises:
        WeightsError: No network fits; the message names the nearest one.
    """
    if stated is not None:
        match = _match(stated, place, num_classes)
        if match.faults:
            _refuse_other(index, place, stated.name, f"{about.place} says {about.made_for}")
            raise WeightsError(
                f"{index.path}: {about.place} says {about.made_for}, which does not fit: "
                f"{match.text(place)}"
            )
        return match
    matches = [_match(spec, place, num_classes) for spec in _shipped().values()]
    nearest = min(matches, key=lambda match: len(match.faults))
    if nearest.faults:
        made_for = f" (made for {about.made_for})" if about.made_for else ""
        raise WeightsError(
            f"{index.path}{made_for}: fits no shipped model; the nearest is {nearest.spec.name}: "
            f"{nearest.text(place)}; for a network of your own, give its .yaml file as the model "
            "and the weights with --weights"
        )
    return nearest


def _refuse_other(
    index: Index, place: _Place, name: str, asked: str, stated: ModelSpec | None = None
) -> None:
    """Raises WeightsError if the tensors are those of another shipped network than asked for."""
    fitting = [spec for spec in _fitting(place) if spec.name != name]
    if fitting:
        other = (stated if stated in fitting else fitting[0]).name
        raise WeightsError(
            f"{index.path}: these are the weights of {other}, but {asked}; leave the model out "
            f"to build {other}, or give other weights"
        )


def _fitting(place: _Place) -> list[ModelSpec]:
    """Returns the shipped networks with the tensors of a checkpoint."""
    return [spec for spec in _shipped().values() if not _match(spec, place, None).faults]


def _named(index: Index, place: _Place, about: About) -> tuple[About, ModelSpec | None]:
    """Returns the network that the file's name states, which counts if its tensors fit."""
    name = index.path.name.partition(".")[0]
    ours = shipped_name(name)
    spec = None if ours is None else _shipped()[ours]
    if spec is None or _match(spec, place, None).faults:
        return about, None
    return replace(about, made_for=name, place=f"{index.path}: the file's name"), spec


def _assumed(index: Index, place: _Place, spec: ModelSpec) -> Iterator[str]:
    """Yields a note if other networks have the same tensors, unless their trainer has none such."""
    others = [other.name for other in _fitting(place) if other.name != spec.name]
    if others and place.key_map.source != "netspresso":
        yield (
            f"assumed {spec.name}; {' and '.join(others)} have the same tensors: to build one of "
            f"them, name it, as in {others[0]} --weights {index.path.name}"
        )


@dataclass(frozen=True, kw_only=True)
class _Match:
    """How a network compares with a checkpoint's tensors."""

    spec: ModelSpec
    """The network with the checkpoint's layer scale and number of classes."""
    names: dict[str, str]
    """The checkpoint's name of each tensor taken from it, by our name."""
    untrained: str | None
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshaped: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """Everything that does not fit."""
        return self.missing + self.unexpected + self.misshaped

    def text(self, place: _Place) -> str:
        """Returns what does not fit as text, with the checkpoint's names."""
        parts = [
            f"{len(names)} {what}: {_some(names, '; ')}"
            for what, names in (
                ("missing", [place.prefix + name for name in self.missing]),
                ("unexpected", [place.prefix + name for name in self.unexpected]),
                ("misshaped", [place.prefix + name for name in self.misshaped]),
            )
            if names
        ]
        text = " | ".join(parts)
        if any(name.endswith("classifier.weight") for name in self.missing):
            text += " (--num-classes N adds an untrained classifier)"
        return text


def _match(spec: ModelSpec, place: _Place, num_classes: int | None) -> _Match:
    """Compares names and shapes; timm's classifier is a matrix, ours a 1 x 1 convolution."""
    key_map, shapes = place.key_map, place.shapes
    spec, scale_notes = _fit_layer_scale(spec, shapes)
    spec, untrained, head_notes = _fit_head(spec, key_map, shapes, num_classes)
    names = key_map.names(spec)
    wanted = state_shapes(spec)
    expected = {theirs: wanted[ours] for ours, theirs in names.items()}
    replaced = [ours for ours in names if untrained and ours.startswith(f"{untrained}.")]
    left_out = tuple(names.pop(ours) for ours in replaced) if spec.head else key_map.head
    expected = {theirs: shape for theirs, shape in expected.items() if theirs not in left_out}
    given = {name: shape for name, shape in shapes.items() if not name.startswith(left_out)}
    # An extra tensor in a module of the network means another network; others are a trainer's.
    modules = {name.partition(".")[0] for name in expected}
    extra = [name for name in given if name not in expected]
    unexpected = [name for name in extra if name.partition(".")[0] in modules]
    ignored = [*place.others, *(place.prefix + name for name in extra if name not in unexpected)]
    misshaped = [
        f"{name} is {_size(found)}, must be {_size(shape)}"
        for name, shape in expected.items()
        if (found := given.get(name)) is not None
        and found != shape
        and not (shape[2:] == (1, 1) and found == shape[:2])
    ]
    ignored_note = f"ignored keys: {_some(ignored, ', ')}" if ignored else ""
    return _Match(
        spec=spec,
        names=names,
        untrained=untrained,
        missing=tuple(name for name in expected if name not in given),
        unexpected=tuple(unexpected),
        misshaped=tuple(misshaped),
        notes=(*scale_notes, *head_notes, *([ignored_note] if ignored else [])),
    )


def _fit_layer_scale(
    spec: ModelSpec, shapes: Mapping[str, Shape]
) -> tuple[ModelSpec, tuple[str, ...]]:
    found = any(name.endswith(".layer_scale.gamma") for name in shapes)
    if found and spec.layer_scale is None:
        # The value is timm's initial one; the checkpoint's values replace it.
        return replace(spec, layer_scale=1e-5), ("the checkpoint has layer scale: added",)
    if not found and spec.layer_scale is not None:
        return replace(spec, layer_scale=None), ("the checkpoint has no layer scale: left out",)
    return spec, ()


def _fit_head(
    spec: ModelSpec,
    key_map: KeyMap,
    shapes: Mapping[str, Shape],
    num_classes: int | None,
) -> tuple[ModelSpec, str | None, tuple[str, ...]]:
    """Returns the spec with the fitting head, our untrained module, and notes."""
    has_head = any(name.startswith(key_map.head) for name in shapes)
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
    shape = shapes.get(key_map.names(wanted)["head.classifier.weight"])
    found = shape[0] if shape else None
    if num_classes is None:
        return (spec.with_head(found) if found is not None else spec), None, ()
    if found == num_classes:
        return wanted, None, ()
    note = (
        f"head re-initialised: {num_classes} classes were asked for, the checkpoint has "
        f"{found or 'no classifier'}; the new classifier is untrained"
    )
    return wanted, "head.classifier", (note,)


def _check_labels(index: Index, spec: ModelSpec, about: About) -> None:
    if about.labels is None or spec.head is None:
        return
    if len(about.labels) != spec.head.num_classes:
        raise WeightsError(
            f"{index.path}: comes with {len(about.labels)} labels, must be "
            f"{spec.head.num_classes}, its number of classes"
        )


def _some(names: Sequence[str], separator: str) -> str:
    """Returns the first names of a list as text."""
    return separator.join([*names[:3], *(["..."] if len(names) > 3 else [])])


def _size(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a single number"
