"""The manifest, which says what a bundle is and what its files are.

`docs/reference/bundle.md` specifies the format for other languages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from mnv4_mobile.build_spec import OptionValue
from mnv4_mobile.bundle.parity import Parity
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import Assumable, Preprocess, Size
from mnv4_mobile.labels import Label
from mnv4_mobile.layers import Layer
from mnv4_mobile.records import (
    Bytes,
    Count,
    Decibels,
    Natural,
    NotNegative,
    Positive,
    Record,
    SafeInt,
    Sha256,
    Share,
    replace,
    show,
    whole,
)
from mnv4_mobile.tensors import CLASSES, Io, Shape, TensorSpec, check_bytes, resized, sizes_text
from mnv4_mobile.units import Unit

LEAST_MARGIN = 4.0
"""The least margin to float16's limit that counts as safe: sums of other images, and a runtime's
transforms of convolutions, need some room."""
Identifier = Annotated[
    str,
    Meta(
        pattern=whole("[A-Za-z0-9][A-Za-z0-9._-]*"),
        description="letters, digits, `.`, `_` and `-`, a letter or digit first",
    ),
]
RelativePath = Annotated[
    str,
    Meta(
        pattern=whole("[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*"),
        description="a path inside the bundle, with slashes",
    ),
]


Requirement = Annotated[
    str,
    Meta(pattern=whole(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"), description="<target>.<key>"),
]


class ModelEntry(Record, frozen=True, kw_only=True):
    """Where the network and its weights come from."""

    name: str
    """Name of the model's configuration."""
    config_sha256: Sha256
    """Hash of the configuration."""
    weights: str
    """The weights as they were given; for a file or folder, its name."""
    weights_sha256: Sha256
    """Hash of the weights."""
    licence: str | None
    """Licence of the weights; null if it is not known."""


class ArtifactEntry(Record, frozen=True, kw_only=True):
    """The artifact, a file or a folder."""

    path: RelativePath
    """Path of the artifact in the bundle."""
    bytes: Bytes
    """Size of the artifact."""
    sha256: Sha256
    """Hash of the artifact. For a folder, the hash of the lines `<sha256>  <posix path>` of its
    files, each ended by a line feed, sorted by the parts of their paths."""


class PreprocessEntry(Preprocess, frozen=True, kw_only=True):
    """How a decoded image becomes the artifact's input."""

    inside: bool
    """Whether the artifact takes RGB bytes and normalises them itself."""
    assumed: tuple[Assumable, ...]
    """The keys that neither the weights nor the user specified; their values are defaults."""


class GoldenEntry(Record, frozen=True, kw_only=True):
    """One golden tensor: little-endian, in C order."""

    path: RelativePath
    """The file in the bundle."""
    tensor: str
    """`pixels`, or the name of an output."""
    shape: Shape
    """Length of every axis; the first axis counts images."""
    dtype: Io
    """Type of the elements."""
    sha256: Sha256
    """Hash of the file."""
    source: Literal["input", "eager", "artifact"]
    """`input`: RGB bytes after resizing; `eager`: the float PyTorch model's output for them;
    `artifact`: the artifact's output."""
    min_sqnr_db: Decibels | None
    """The least SQNR in decibels that an output must reach against this tensor; null for inputs."""

    def __post_init__(self) -> None:
        check_bytes(self.shape, self.dtype)


class SizeEntry(Record, frozen=True, kw_only=True):
    """A further input size that the artifact takes."""

    size: Size
    """Height and width of the input; its other axes are those of `inputs`. So are the axes of the
    outputs those of `outputs`, except for the sides of feature maps, which `golden` has."""
    golden: Annotated[tuple[GoldenEntry, ...], Meta(min_length=2)]
    """Inputs of this size and their outputs."""
    parity: Mapping[Unit, Mapping[str, Parity]]
    """How close each output is to the float model's at this size, as in the manifest's `parity`."""


class LayerEntry(Layer, frozen=True, kw_only=True):
    """The precision of one layer, and where it is in the network."""

    kind: Literal["convolution", "other"]
    """Convolutions come in the order in which they run."""
    block: str
    """The block of the network that the layer belongs to."""


class AgreementEntry(Record, frozen=True, kw_only=True):
    """How often an artifact's class is the float network's."""

    top1: Share
    """Share of the images for which the classes agree."""
    n: Count
    """Number of images."""
    gate: Share
    """The least share that the build accepted."""


class CalibrationEntry(Record, frozen=True, kw_only=True):
    """The images that a recipe was calibrated with."""

    images: Count
    """Number of images used for ranges and preparation."""
    held_out: Natural
    """Number of images left out of calibration and used to judge it."""
    skipped: Natural
    """Number of files that could not be read."""
    seed: SafeInt
    """Seed that chose the images."""
    dataset_sha256: Sha256 | None
    """Hash of the sorted hashes of the images, each ended by a line feed; null if the images were
    generated."""
    range: str | None
    """The range rule of static activations; for `auto`, the rule it chose. Null without them."""
    agreement: AgreementEntry | None
    """Agreement on the held-out images; null if the recipe has no gate for it."""


class Float16RangeEntry(Record, frozen=True, kw_only=True):
    """How far float16 is from overflowing, on calibration images."""

    images: Count
    """Number of images looked at."""
    margin: Positive
    """How many times the largest value or partial sum, in any order of its terms, fits into
    float16's range. The recipe's step `guard` brings it to 4 or more where it can. Layers that
    compute in float32 instead, with the reason `guard`, do not count."""
    layer: str
    """The layer with that value or sum."""


class TriedEntry(Record, frozen=True, kw_only=True):
    """An artifact that `mnv4 tune` built and judged."""

    recipe: str
    """How its recipe differs from the one that the search began with."""
    drop: NotNegative
    """Percentage points of top-1 that it loses; without classes, the percentage of the images whose
    class changes."""
    sqnr_db_p10: Decibels
    """10th percentile over the images of each image's SQNR, in decibels."""
    latency: Positive | None
    """Latency in multiples of that of the artifact that the search began with; null if the machine
    of the search only emulates the unit."""
    bytes: Bytes
    """Size of the artifact."""


class TuningEntry(Record, frozen=True, kw_only=True):
    """How `mnv4 tune` chose the recipe."""

    objective: Literal["size", "latency"]
    """What was minimized."""
    max_drop: NotNegative
    """The bound on `drop`."""
    min_p10: Decibels
    """The bound on `sqnr_db_p10`."""
    max_latency: Positive
    """The bound on `latency`."""
    images: Count
    """Number of images that judged the artifacts."""
    tried: Annotated[tuple[TriedEntry, ...], Meta(min_length=1)]
    """The artifacts that were judged, this one first."""


class Manifest(Record, frozen=True, kw_only=True, omit_defaults=True):
    """Everything that an app, a verifier or a benchmark needs to know about one artifact."""

    schema: Literal[1]
    """Version of this format."""
    id: Identifier
    """Name of the bundle's folder."""
    ingredients: Mapping[str, Sha256]
    """Hash of each part of what the bundle was made of: `model`, `weights`, `recipe`, `images`,
    `calibration`, `options`, `code`, `versions`, `platform`, `target`."""
    model: ModelEntry
    """Where the network and its weights come from."""
    target: str
    """Name of the target that made the artifact."""
    recipe: str
    """Name of the precision recipe."""
    options: Mapping[str, OptionValue]
    """The target's options with the values used."""
    artifact: ArtifactEntry
    """The artifact, a file or a folder."""
    inputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1, max_length=1)]
    """The input of the artifact."""
    outputs: Annotated[tuple[TensorSpec, ...], Meta(min_length=1)]
    """The outputs of the artifact."""
    preprocess: PreprocessEntry
    """How a decoded image becomes the input."""
    labels: tuple[Label, ...] | None
    """Class names in the order of the class output; null if they are not known."""
    golden: Annotated[tuple[GoldenEntry, ...], Meta(min_length=2)]
    """Inputs and their outputs, with which a device checks the artifact."""
    parity: Mapping[Unit, Mapping[str, Parity]]
    """How close each output is to the float model's, by unit, then by output. Empty if the build
    did not verify."""
    layers: tuple[LayerEntry, ...]
    """The precision of every layer."""
    more_sizes: tuple[SizeEntry, ...] = ()
    """Further input sizes that the artifact takes, besides `preprocess.size`. Absent from bundles
    with one size."""
    calibration: CalibrationEntry | None = None
    """The images that the recipe was calibrated with. Absent from bundles without calibration."""
    float16_range: Float16RangeEntry | None = None
    """How far float16 is from overflowing. Absent if that was not checked: the recipe has no step
    `guard`, or no calibration images were given."""
    tuning: TuningEntry | None = None
    """How `mnv4 tune` chose the recipe. Absent from other bundles."""
    requires: Mapping[Requirement, str]
    """What a device must have; keys are `<target>.<key>`."""
    versions: Mapping[str, str]
    """Versions of the packages that made the bundle."""

    def __post_init__(self) -> None:
        self._check_input()
        self._check_outputs()
        self._check_golden()
        for index, entry in enumerate(self.more_sizes):
            if entry.size in self.sizes[: index + 1]:
                raise ValueError(f"more_sizes[{index}].size: found {list(entry.size)} twice")
            try:
                resized(self.inputs[0], entry.size)
            except ValueError as error:
                raise ValueError(f"more_sizes[{index}].size: {error}") from None
            try:
                self._alone(entry)
            except ValueError as error:
                raise ValueError(f"more_sizes[{index}].{error}") from None

    @property
    def sizes(self) -> tuple[Size, ...]:
        """All input sizes that the artifact takes, the default first."""
        return (self.preprocess.size, *(entry.size for entry in self.more_sizes))

    def at(self, size: Size) -> Manifest:
        """Returns the manifest with another of its input sizes as the default.

        Raises:
            ConfigError: The artifact does not take this size.
        """
        if size not in self.sizes:
            raise ConfigError(
                f"input size: found {sizes_text([size])}, {self.id} takes: "
                + ", ".join(sizes_text([one]) for one in self.sizes)
            )
        if size == self.preprocess.size:
            return self
        first = SizeEntry(size=self.preprocess.size, golden=self.golden, parity=self.parity)
        (entry,) = (one for one in self.more_sizes if one.size == size)
        others = (one for one in self.more_sizes if one is not entry)
        return replace(self._alone(entry), more_sizes=(first, *others))

    def _alone(self, entry: SizeEntry) -> Manifest:
        """Returns the manifest with this input size alone."""
        shapes = {one.tensor: one.shape for one in entry.golden if one.source == "eager"}
        return replace(
            self,
            inputs=(resized(self.inputs[0], entry.size),),
            outputs=tuple(_with_sides_of(one, shapes.get(one.name, ())) for one in self.outputs),
            preprocess=replace(self.preprocess, size=entry.size),
            golden=entry.golden,
            parity=entry.parity,
            more_sizes=(),
        )

    def _check_input(self) -> None:
        image, (height, width) = self.inputs[0], self.preprocess.size
        if image.kind != "image":
            raise ValueError(f"inputs[0].kind: found {image.kind!r}, must be image")
        if image.layout is None:
            raise ValueError("inputs[0].layout: found ~, allowed: nchw, nhwc")
        sides = {"nhwc": (height, width, 3), "nchw": (3, height, width)}
        if image.shape[1:] != sides[image.layout]:
            raise ValueError(
                f"inputs[0].shape: found {list(image.shape)}, must be a batch of "
                f"{list(sides[image.layout])}, as preprocess.size and inputs[0].layout say"
            )

    def _check_outputs(self) -> None:
        batch = self.inputs[0].shape[0]
        names: set[str] = set()
        for index, output in enumerate(self.outputs):
            place, axes = f"outputs[{index}]", len(output.shape)
            if output.name in names:
                raise ValueError(f"{place}.name: found {show(output.name)} twice")
            names.add(output.name)
            if output.kind == "image":
                raise ValueError(f"{place}.kind: found 'image', which is for the input")
            if output.shape[0] != batch or (output.kind in CLASSES and axes != 2):
                wanted = "[{}, classes]" if output.kind in CLASSES else "a batch of {}"
                raise ValueError(
                    f"{place}.shape: found {list(output.shape)}, must be {wanted.format(batch)}"
                )
            if (output.layout is not None) != (axes == 4):
                raise ValueError(
                    f"{place}.layout: found {output.layout or '~'}, must be the order of four "
                    "axes, or null for another number of axes"
                )
            classes = output.shape[-1]
            if self.labels is not None and output.kind in CLASSES and len(self.labels) != classes:
                raise ValueError(f"labels: found {len(self.labels)}, must be {classes}")
        for unit, outputs in self.parity.items():
            if strange := set(outputs).difference(names):
                raise ValueError(f"parity.{unit}: found {show(min(strange))}, which is no output")

    def _check_golden(self) -> None:
        """Checks that every output has a golden tensor, for the same images."""
        batch = self.inputs[0].shape[0]
        shapes = {output.name: output.shape[1:] for output in self.outputs}
        images = [e.shape[0] for e in self.golden if (e.source, e.tensor) == ("input", "pixels")]
        eager = {e.tensor for e in self.golden if e.source == "eager"}
        if not images or not eager.issuperset(shapes):
            raise ValueError(
                "golden: needs the pixels of the input, and an eager tensor for every output"
            )
        found: set[tuple[str, str]] = set()
        for index, entry in enumerate(self.golden):
            place = f"golden[{index}]"
            sides = {"pixels": (*self.preprocess.size, 3)} if entry.source == "input" else shapes
            if entry.tensor not in sides:
                raise ValueError(
                    f"{place}.tensor: found {show(entry.tensor)}, must be one of {show([*sides])}"
                )
            if (entry.source, entry.tensor) in found:
                raise ValueError(f"{place}.tensor: found {show(entry.tensor)} twice")
            found.add((entry.source, entry.tensor))
            if entry.shape != (images[0], *sides[entry.tensor]) or images[0] % batch:
                raise ValueError(
                    f"{place}.shape: found {list(entry.shape)}, must be a multiple of {batch} "
                    f"images, the same for all, of {list(sides[entry.tensor])}"
                )
            dtype = {"input": "uint8", "eager": "float32"}.get(entry.source, entry.dtype)
            if entry.dtype != dtype:
                raise ValueError(f"{place}.dtype: found {entry.dtype!r}, must be {dtype}")
            if entry.source == "eager" and entry.min_sqnr_db is None:
                raise ValueError(f"{place}.min_sqnr_db: found ~, must be a number")


def _with_sides_of(output: TensorSpec, shape: Shape) -> TensorSpec:
    """Returns an output with the sides that a golden tensor has, if it is a feature map."""
    if output.layout is None or len(shape) != len(output.shape):
        return output
    return resized(output, shape[1:3] if output.layout == "nhwc" else shape[2:])
