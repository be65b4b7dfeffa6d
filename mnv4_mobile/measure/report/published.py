"""Figures that the paper of MobileNetV4 published, beside which ours are shown.

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

from mnv4_mobile.measure.measurement import Artifact, DeviceInfo


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published latency."""

    device: str
    unit: str
    """What it ran on: `CPU`, `GPU`, `EdgeTPU`, ..."""
    precision: str
    """As our recipes are called: `int8`, `fp16`."""
    model: str
    size: int
    """Height and width of the input."""
    ms: float
    top1: float
    """In percent."""

    def is_of(self, artifact: Artifact) -> bool:
        """Whether an artifact has the same network and input size."""
        return (self.model, (self.size, self.size)) == (artifact.model, artifact.size)


def source() -> dict[str, str]:
    """Where the figures are from: `source`, `url`, `accuracy`, `protocol`."""
    return {name: _data()[name] for name in ("source", "url", "accuracy", "protocol")}


def published(device: DeviceInfo) -> Sequence[Published]:
    """What was published of a device."""
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
