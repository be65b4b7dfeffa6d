"""What is built, without the target and the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import Assumable, Preprocess, Size
from mnv4_mobile.model.cost import check_values
from mnv4_mobile.model.spec import ModelSpec
from mnv4_mobile.records import SafeInt, check, plain, replace
from mnv4_mobile.tensors import Io, Layout, sizes_text

OptionValue = str | SafeInt | bool


@dataclass(frozen=True, kw_only=True)
class BuildSpec:
    """What to build, without the target and the recipe.

    Raises:
        ConfigError: A value is not supported by any target.
    """

    model: ModelSpec
    """The network."""
    preprocess: Preprocess
    """The preprocessing; its size is the input size, or the first of several."""
    more_sizes: tuple[Size, ...] = ()
    """Further input sizes that the same artifact takes."""
    assumed: tuple[Assumable, ...] = ()
    """The keys of `preprocess` that neither the weights nor the user specified."""
    batch: int = 1
    """Number of images per run."""
    input: Literal["float", "pixels"] = "float"
    """`float`: normalised outside. `pixels`: RGB bytes, normalised in the artifact."""
    layout: Layout | None = None
    """Layout of the input and the feature maps. None means the one that the runtime prefers."""
    io: Io = "float32"
    """Type of inputs and outputs, except for an input of pixels. Integers represent floats by a
    scale and a zero point."""
    outputs: tuple[str, ...] = ("logits",)
    """Outputs of the artifact, in order."""
    maps: tuple[str, ...] = ()
    """The network's outputs that a head of the caller's own takes; `outputs` are then the head's.
    Empty without such a head."""
    labels: tuple[str, ...] | None = None
    """Class names in the order of the classes; None if they are not known."""
    overflowing: tuple[str, ...] = ()
    """Layers that float16 may not hold, as the step `guard` found, by their names in the manifest.
    A target that computes in float16 keeps them in float32 if its runtime can."""
    licence: str | None = None
    """The licence of the weights; None if it is not known."""
    options: Mapping[str, OptionValue] = field(default_factory=dict, hash=False)
    """The values of all options of the target (`Target.options`), by name."""

    def __post_init__(self) -> None:
        check(self.preprocess, "preprocess")
        for index, size in enumerate(self.sizes):
            if size in self.sizes[:index]:
                raise ConfigError(f"input size: found {sizes_text([size])} twice, must be once")
            self.model.table(size)
        self.model.check_outputs(self.maps or self.outputs)
        if self.batch < 1:
            raise ConfigError(f"batch: found {self.batch}, must be 1 or more")
        try:
            for size in self.sizes:
                check_values("an input", self.batch, 3, *size)
        except ConfigError as error:
            raise ConfigError(f"batch: {error}") from None

    @property
    def sizes(self) -> tuple[Size, ...]:
        """All input sizes that the artifact takes, the default first."""
        return (self.preprocess.size, *self.more_sizes)

    def at(self, size: Size) -> BuildSpec:
        """Returns what would be built for this input size alone."""
        return replace(self, preprocess=replace(self.preprocess, size=size), more_sizes=())

    def about_preprocess(self) -> dict[str, object]:
        """Returns the preprocessing as the metadata of artifacts name it.

        `inside` says whether the artifact normalises.
        """
        return {**plain(self.preprocess), "inside": self.input == "pixels"}
