"""Reads what others published about MobileNetV4: checkpoints, latencies and accuracies.

`data/checkpoints.json` holds timm's checkpoints as the installed timm knows them, and
`data/published.json` the figures with their sources. `python -m tools.published` writes both.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from msgspec import Meta

from mnv4_mobile.images import Interpolation, Side
from mnv4_mobile.records import Count, Finite, Positive, Record, T, Text, decode, whole
from mnv4_mobile.units import Unit

Precision = Literal["float", "int8"]
"""A class of precisions: NPUs and GPUs compute `float` in float16, CPUs in either float type."""
Percent = Annotated[float, Meta(ge=0, le=100)]
Date = Annotated[
    str,
    Meta(pattern=whole("[0-9]{4}-[0-9]{2}(-[0-9]{2})?"), description="a date as in 2024-05-16"),
]


class Preprocessing(Record, frozen=True, kw_only=True):
    """A size and a crop to evaluate a checkpoint with."""

    size: Side
    """Height and width of the input."""
    crop: Annotated[float, Meta(gt=0, le=1)]
    """The share of the resized image's side that the crop keeps."""


class Checkpoint(Record, frozen=True, kw_only=True):
    """A published checkpoint, with the preprocessing that it was trained for."""

    name: Text
    """The name in timm: architecture and tag."""
    source: Text
    """Where the weights are, as `mnv4 build` takes them."""
    licence: Text
    """The licence of the weights."""
    classes: Count
    """Number of classes."""
    mean: tuple[Finite, Finite, Finite]
    """Mean that pixels in 0..1 are normalised by."""
    std: tuple[Positive, Positive, Positive]
    """Deviation that pixels in 0..1 are normalised by."""
    interpolation: Interpolation
    """The filter that resizes images."""
    trained: Preprocessing
    """The size and the crop that `mnv4 build` uses unless others are given."""
    test: Preprocessing | None
    """Another size and crop that timm evaluates the checkpoint with; null if there is none."""


class Checkpoints(Record, frozen=True, kw_only=True):
    """The content of `data/checkpoints.json`."""

    timm: Text
    """The version of timm that lists the checkpoints."""
    checkpoints: tuple[Checkpoint, ...]
    """The checkpoints, in timm's order."""


class Device(Record, frozen=True, kw_only=True):
    """A device that figures were published for."""

    names: tuple[Text, ...] = ()
    """Names and codes of its model, as its maker gives them, without the maker."""
    socs: tuple[Text, ...] = ()
    """Codes of its system on a chip, and of others that differ from it only by name."""
    like: tuple[Text, ...] = ()
    """Devices for which the publisher gives the same figures, because they have the same chip."""


class Latency(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A published latency of one image."""

    device: Text
    """A key of `Figures.devices`."""
    unit: Unit | None = None
    """What ran the network; null if the runtime chose it."""
    runtime: str = ""
    """The runtime; empty if the source does not say."""
    model: Text
    """The network's name."""
    size: Side
    """Height and width of the input."""
    precision: Precision
    """The class of the precision."""
    ms: Positive
    """Milliseconds."""


class Accuracy(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A published accuracy."""

    model: Text
    """The name of the network, or of the checkpoint where a source has several of a network."""
    size: Side
    """Height and width of the input."""
    precision: Precision | None = None
    """The class of the precision; null if the source gives one accuracy for all."""
    runtime: str = ""
    """What ran the network; empty if the source gives one accuracy for all."""
    top1: Percent
    """Percent of ImageNet's validation images."""
    images: Count = 50_000
    """Number of images."""


class Publication(Record, frozen=True, kw_only=True):
    """A source of figures."""

    name: Text
    """A short name."""
    title: Text
    """What was published, with its version."""
    url: Text
    """Where it is."""
    date: Date
    """When it was published."""
    licence: Text | None
    """The licence of the data; null if none is stated."""
    latency: Text | None
    """How the latencies were measured; null if there are none."""
    preset: Literal["paper", "mlperf"] | None
    """The plan of `mnv4 measure` that measures in the same way; null if there is none."""
    latencies: tuple[Latency, ...]
    """The latencies."""
    accuracies: tuple[Accuracy, ...]
    """The accuracies."""

    def accuracy(self, latency: Latency) -> Accuracy | None:
        """Returns the accuracy of what a latency is of; None if it is not published."""
        return next(
            (
                found
                for found in self.accuracies
                if (found.model, found.size) == (latency.model, latency.size)
                and found.precision in (None, latency.precision)
                and found.runtime in ("", latency.runtime)
            ),
            None,
        )


class Figures(Record, frozen=True, kw_only=True):
    """The content of `data/published.json`."""

    devices: Mapping[str, Device]
    """The devices by the name that is shown."""
    publications: tuple[Publication, ...]
    """The sources; where two are equally near, the first is shown."""

    def __post_init__(self) -> None:
        for publication in self.publications:
            for latency in publication.latencies:
                if latency.device not in self.devices:
                    raise ValueError(
                        f"publications: {publication.name}: found the device {latency.device!r}, "
                        "which is not in devices"
                    )


@cache
def figures() -> Figures:
    """Returns the published latencies and accuracies."""
    return _read("published.json", Figures)


@cache
def checkpoints() -> Checkpoints:
    """Returns the published checkpoints."""
    return _read("checkpoints.json", Checkpoints)


def accuracies_of(known: Checkpoints) -> tuple[Publication, dict[str, dict[int, float]]]:
    """Returns the published accuracies of checkpoints.

    Returns:
        Their source, and by the checkpoint's name the top-1 accuracy in percent by input size.
    """
    (source,) = (one for one in figures().publications if one.name == "timm")
    found: dict[str, dict[int, float]] = {one.name: {} for one in known.checkpoints}
    for accuracy in source.accuracies:
        found[accuracy.model][accuracy.size] = accuracy.top1
    return source, found


def _read(name: str, kind: type[T]) -> T:
    return decode((files("mnv4_mobile") / "data" / name).read_bytes(), kind, name)
