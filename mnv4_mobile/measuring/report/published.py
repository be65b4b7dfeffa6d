"""Reads the figures of the MobileNetV4 paper, which the report shows beside ours.

`data/published.json` has them with their source. A device matches by its model's name as its maker
gives it (`ro.product.model` on Android, the name or the identifier of an iPhone), a network by its
name and input size. What a published figure ran on, and in which precision, is shown with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from mnv4_mobile.measuring.measurement import Artifact, DeviceInfo


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published latency."""

    device: str
    unit: str
    """The unit: `CPU`, `GPU`, `EdgeTPU`, ..."""
    precision: str
    """Name of the recipe: `int8`, `fp16`."""
    model: str
    size: int
    """Height and width of the input."""
    ms: float
    top1: float
    """Accuracy in percent."""

    def is_of(self, artifact: Artifact) -> bool:
        """Returns whether an artifact has the same network and input size."""
        return (self.model, (self.size, self.size)) == (artifact.model, artifact.size)


def source() -> dict[str, str]:
    """Returns the origin of the figures: `source`, `url`, `accuracy`, `protocol`."""
    return {name: _data()[name] for name in ("source", "url", "accuracy", "protocol")}


def published(device: DeviceInfo) -> Sequence[Published]:
    """Returns the figures that were published for a device."""
    data = _data()
    return [
        Published(
            device=entry["device"],
            unit=entry["unit"],
            precision=entry["precision"],
            model=model,
            size=data["networks"][model]["size"],
            ms=ms,
            top1=data["networks"][model]["top1"],
        )
        for entry in data["latencies"]
        if device.model.casefold() in (name.casefold() for name in entry["models"])
        for model, ms in entry["ms"].items()
    ]


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(
        (files("mnv4_mobile") / "data/published.json").read_text("utf-8")
    )
    return data
