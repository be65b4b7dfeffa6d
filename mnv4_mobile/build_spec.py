"""What is built, without the target and the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import Preprocess
from mnv4_mobile.model.spec import ModelSpec
from mnv4_mobile.tensors import Io, Layout

MIN_IOS = (16, 17, 18)
COMPUTE_UNITS = ("all", "cpu_and_ne", "cpu_and_gpu", "cpu_only")


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """What to build, without the target and the recipe.

    Raises:
        ConfigError: A value that no target could serve.
    """

    model: ModelSpec
    preprocess: Preprocess
    """Its size is the input's."""
    batch: int = 1
    input: Literal["float", "pixels"] = "float"
    """`float`: normalised outside. `pixels`: RGB bytes, normalised in the artifact."""
    layout: Layout | None = None
    """Of the input and the feature maps; None is the target's own."""
    io: Io = "float32"
    """Type of inputs and outputs, but for an input of pixels; integers stand for floats by a scale
    and a zero point."""
    outputs: tuple[str, ...] = ("logits",)
    labels: tuple[str, ...] | None = None
    min_ios: int = 16
    compute_unit: str = "all"
    """The Core ML compute unit that apps are to ask for."""

    def __post_init__(self) -> None:
        self.model.table(self.preprocess.size)
        self.model.check_outputs(self.outputs)
        if self.batch < 1:
            raise ConfigError(f"batch: found {self.batch}, must be 1 or more")
        for name, allowed in (("min_ios", MIN_IOS), ("compute_unit", COMPUTE_UNITS)):
            if getattr(self, name) not in allowed:
                found, words = getattr(self, name), ", ".join(map(str, allowed))
                raise ConfigError(f"{name}: found {found!r}, allowed: {words}")
