"""Places the nearest published latency beside a measured one, and judges whether the two fit."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from mnv4_mobile.measuring.measurement import DeviceInfo, Measurement
from mnv4_mobile.measuring.results.statistics import NANOSECOND
from mnv4_mobile.published import Device, Latency, Precision, Publication, figures

PRECISIONS: Mapping[str, Precision] = {
    "fp32": "float",
    "fp16": "float",
    "int8": "int8",
    "int8-distilled": "int8",
}
"""The class of each recipe whose latency may be compared with a published one."""
FIT = 3.0
"""How many times slower or faster than the published figure of the same device and unit a latency
may be. AI Hub has conv-medium in int8 at 0.2 to 0.3 ms on the NPUs of phones whose CPUs take 2 to
9 ms, so that this separates the units, and leaves room for other conditions."""
_CLASSES = (
    ("Snapdragon 8", r"\bsm8(\d{3})"),
    ("Snapdragon 7", r"\bsm7(\d{3})"),
    ("Exynos", r"\bs5e(\d{4})"),
    ("Pixel", r"\bpixel (\d+)"),
    ("iPhone", r"\biphone ?(\d+)"),
)
"""Classes of phones: a name, and what occurs in a phone's model or chip, with its generation."""

Match = Literal["device", "chip", "class"]
_MATCHES: Sequence[Match] = ("device", "chip", "class")
_SAME: Mapping[Match, str] = {
    "device": "this device",
    "chip": "the same chip",
    "class": "another device of its class",
}


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """A published latency, and how near it is to what was measured."""

    latency: Latency
    publication: Publication
    match: Match
    """`device`: the same device; `chip`: another one with the same chip; `class`: a phone of the
    same class."""

    @property
    def unit(self) -> str:
        """What ran it: `CPU`, `GPU`, `NPU`, or the runtime that chose the unit."""
        return self.latency.unit.upper() if self.latency.unit else self.latency.runtime

    @property
    def facts(self) -> dict[str, Any]:
        """The figure as plain data, with its accuracy and the name of its source."""
        accuracy = self.publication.accuracy(self.latency)
        return {
            "ms": self.latency.ms,
            "device": self.latency.device,
            "match": self.match,
            "unit": self.unit,
            "runtime": self.latency.runtime,
            "model": self.latency.model,
            "size": self.latency.size,
            "precision": self.latency.precision,
            "top1": accuracy and accuracy.top1,
            "images": accuracy and accuracy.images,
            "source": self.publication.name,
        }

    def __str__(self) -> str:
        """What the figure is of, and its source."""
        latency, source = self.latency, self.publication
        what = f"{latency.model} {latency.size} px, {latency.precision}"
        runtime = f", {latency.runtime}" if latency.runtime not in ("", self.unit) else ""
        where = f"{latency.device} ({_SAME[self.match]})"
        return f"{what}, {self.unit}{runtime}, {where}: {source.title}, {source.date}"


def nearest(measurement: Measurement) -> Nearest | None:
    """Returns the nearest published latency of the same network, input size and precision.

    A figure of the unit that was asked for is nearer than one of another unit. Then the same device
    is nearest, a device with the same chip next, then a phone of the same class. Then the same
    runtime, and the nearest generation.
    """
    artifact, unit = measurement.artifact, measurement.plan.unit
    precision = PRECISIONS.get(artifact.recipe or "")
    found = [
        (near, distance)
        for near, distance in _near(measurement.device)
        if near.latency.model == artifact.model
        and (near.latency.size,) * 2 == artifact.size
        and near.latency.precision == precision
    ]
    runtime = measurement.runtime.casefold()
    return min(
        found,
        key=lambda one: (
            not _is_of_unit(one[0].latency, unit),
            _MATCHES.index(one[0].match),
            not one[0].latency.runtime or one[0].latency.runtime.casefold() not in runtime,
            one[1],
        ),
        default=(None, 0),
    )[0]


def of_device(device: DeviceInfo) -> list[Nearest]:
    """Returns the latencies that were published for a device, or for one with the same chip."""
    return [near for near, _ in _near(device) if near.match != "class"]


def judge(measurement: Measurement, ms: float | None) -> str | None:
    """Returns in what a latency does not fit the nearest published one; None if nothing is wrong.

    Only figures of the same unit and of the same device or chip are compared. A browser is slower
    than the runtime on its device, so it is not judged.

    Args:
        measurement: One session of the result.
        ms: The result's latency; None if it is not known.
    """
    near = nearest(measurement)
    if (
        ms is None
        or near is None
        or near.match == "class"
        or not _is_of_unit(near.latency, measurement.plan.unit)
        or measurement.device.id.startswith("browser:")
        or ms < NANOSECOND
    ):
        return None
    ratio, on_cpu = ms / near.latency.ms, near.latency.unit == "cpu"
    place = f"the published {near.unit} figure of {_SAME[near.match]}"
    if ratio >= FIT:
        why = "on slower cores, or without its delegate" if on_cpu else "on the CPU"
        return f"{ratio:.1f} times slower than {place}: it probably ran {why}"
    if ratio <= 1 / FIT and not on_cpu:  # a CPU may be that much faster with more threads
        return f"{1 / ratio:.1f} times faster than {place}: check the network and the timer"
    return None


def _is_of_unit(latency: Latency, asked: str | None) -> bool:
    """Returns whether a figure is of the unit that a plan asked for.

    Without a unit, Core ML chooses it, as it did for figures without one; the default of the other
    runtimes is the CPU.
    """
    return latency.unit == asked or (latency.unit, asked) in ((None, "npu"), ("cpu", None))


@lru_cache
def _near(device: DeviceInfo) -> tuple[tuple[Nearest, int], ...]:
    """Returns the figures of devices that are like a device, with the distance in generations."""
    known = figures()
    matches = {name: _match(name, one, device) for name, one in known.devices.items()}
    return tuple(
        (Nearest(latency=latency, publication=publication, match=match), distance)
        for publication in known.publications
        for latency in publication.latencies
        for match, distance in (matches[latency.device],)
        if match is not None
    )


def _match(name: str, known: Device, device: DeviceInfo) -> tuple[Match | None, int]:
    """Returns how a published device matches a measured one, and the distance in generations."""
    if _is_named(device.model, known.names):
        return "device", 0
    chip = re.split(r"[^a-z0-9]+", device.soc.casefold())
    if any(soc.casefold() in chip for soc in known.socs) or _is_named(device.model, known.like):
        return "chip", 0
    theirs, ours = _class(" ".join((name, *known.socs))), _class(f"{device.model} {device.soc}")
    if theirs is None or ours is None or theirs[0] != ours[0]:
        return None, 0
    return "class", abs(theirs[1] - ours[1])


def _is_named(model: str, names: Sequence[str]) -> bool:
    """Returns whether a model, with its maker in front or not, has one of several names."""
    return f" {model}".casefold().endswith(tuple(f" {name}".casefold() for name in names))


def _class(text: str) -> tuple[str, int] | None:
    for name, pattern in _CLASSES:
        if found := re.search(pattern, text.casefold()):
            return name, int(found[1])
    return None
