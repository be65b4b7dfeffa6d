"""What a target is, and how targets are found.

A target is one import package: a module-level object that satisfies `Target`, named by an entry
point of the group `mnv4_mobile.targets`. The shipped ones use the same hook as third parties.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import ConfigError, LoweringError, ToolchainError
from mnv4_mobile.images import Preprocess
from mnv4_mobile.model.spec import ModelSpec
from mnv4_mobile.recipe import Recipe

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.calibration import Calibration
    from mnv4_mobile.measure.tool import Tool

Layout = Literal["nchw", "nhwc"]
Io = Literal["float32", "float16", "int8", "uint8"]
Tensors = Mapping[str, npt.NDArray[Any]]
Session = Callable[[Tensors], dict[str, npt.NDArray[Any]]]
"""Runs an artifact: arrays by input name in, arrays by output name out."""

CLASSES = ("logits", "probabilities")
"""Outputs that tell classes apart."""

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


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """What an integer stands for: (integer - zero_point) * scale."""

    scale: float
    zero_point: int


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """An input or output of an artifact, as a caller sees it."""

    name: str
    kind: str
    """`image` for the input; `logits`, `probabilities`, `embedding` or `stage_N` for an output."""
    shape: tuple[int, ...]
    dtype: Io
    layout: Layout | None = None
    """Of four-dimensional tensors."""
    quantization: Quantization | None = None
    """Of integers that stand for floats; pixels stand for themselves."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """The precision of one layer of an artifact."""

    name: str
    """A module of the network, or a module and an operation in it: `stages.1.2.add`."""
    precision: str
    """`float32`, `float16`, `int8`, ..."""
    why: str | None
    """Why it is not the recipe's; None where it is."""


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """What a target made of a program."""

    path: Path
    input: Tensor
    outputs: tuple[Tensor, ...]
    layers: tuple[Layer, ...] = ()
    """The layers that do not have the recipe's precision, and those that are no convolutions and
    have it."""
    requires: Mapping[str, str] = field(default_factory=dict)
    """What a device must have: `os`, `compute_unit`."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that makes an artifact slow on its target."""

    rule: str
    """`transpose`, `delegate-break`, ..."""
    layer: str
    """The layer where it is, as the manifest names it; empty for the whole artifact."""
    what: str
    """What was found, in a line."""
    advice: str
    """What to do about it."""


@dataclass(frozen=True, kw_only=True)
class OperatorTime:
    """How long one operator takes."""

    kind: str
    """What the runtime calls it."""
    layer: str
    """The layer that it belongs to, as the manifest names it."""
    ms: float
    """The shortest of all runs."""


@runtime_checkable
class Target(Protocol):
    """A runtime that models are lowered to."""

    name: str
    suffix: str
    """Of its artifacts, with the dot."""
    extra: str
    """The extra of this distribution that installs its toolchain."""
    modules: tuple[str, ...]
    """Import names of its toolchain."""
    schemes: frozenset[str]
    """The schemes of recipes (`Recipe.scheme`) that it maps."""
    attention: Layout
    """The order of attention's tensors that the runtime is fast at; one export a layout serves
    all targets that share it."""
    compute_units: tuple[str, ...]
    """Of `COMPUTE_UNITS`, those that its runtime can be told to use; only `all` where it cannot."""
    emulated: bool
    """Whether on this system something stands in for the runtime, so that times mean nothing."""

    @property
    def tools(self) -> Sequence[Tool]:
        """Programs on a device that run its artifacts, the best one first."""

    def check(self, spec: BuildSpec, recipe: Recipe) -> None:
        """Refuses what cannot be lowered, before any work.

        Raises:
            LoweringError: Naming the option, what was found and what is supported.
        """

    def lower(
        self,
        program: ExportedProgram,
        spec: BuildSpec,
        recipe: Recipe,
        calibration: Calibration | None,
        out: Path,
    ) -> Lowered:
        """Lowers the deploy form to the file or folder `out`.

        Args:
            program: `DeployNet` exported with one input (N, 3, H, W): float32, or uint8 for
                pixels; outputs by name.
            spec: What is built.
            recipe: The precision.
            calibration: Images, for a recipe with static activations.
            out: Where to write; it does not exist yet.
        """

    def runtime(self) -> str:
        """Imports the runtime in this process; its name and version: `executorch 1.5.1`."""

    def open(self, path: Path, threads: int, compute_unit: str | None = None) -> Session:
        """Loads an artifact, from the path alone, in this process.

        Args:
            path: The artifact, of this project or from elsewhere.
            threads: Of the runtime.
            compute_unit: One of `compute_units`; None is the one that the artifact was made for.
        """

    def inputs(self, path: Path) -> tuple[Tensor, ...]:
        """The inputs of an artifact, from the path alone, without running it.

        Returns:
            With the names that the session takes; `layout` is None, as files do not say it.

        Raises:
            BundleError: Not an artifact of this target, or a damaged one.
        """

    def operators(self, path: Path) -> dict[str, int]:
        """How often each operator stands in the artifact, delegate calls included."""

    def lint(self, path: Path, layers: Sequence[str]) -> list[Finding]:
        """Finds what makes an artifact slow on its target, without running it.

        Args:
            path: The artifact.
            layers: Names of its convolutions in the order in which they run.
        """

    def profile(
        self, path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
    ) -> list[OperatorTime]:
        """Times every operator on this machine, in this process.

        Args:
            path: The artifact.
            inputs: Arrays by input name.
            layers: As for `lint`.
            threads: Of the runtime.
            runs: How often it is run, after a warm-up.

        Raises:
            DeviceError: The runtime has no profiler here.
        """


def require(target: Target) -> None:
    """Makes sure that a target's toolchain is installed, without importing it.

    Raises:
        ToolchainError: The command that installs it.
    """
    if missing(target):
        raise ToolchainError(
            f"{target.name}: its toolchain is not installed; "
            f"pip install 'mnv4-mobile[{target.extra}]'"
        )


def missing(target: Target) -> list[str]:
    """The modules of a target's toolchain that are not installed."""
    from importlib.util import find_spec

    return [name for name in target.modules if find_spec(name) is None]


def check_recipe(target: Target, spec: BuildSpec, recipe: Recipe) -> None:
    """Refuses a recipe or an option that the target does not have.

    Raises:
        LoweringError: Listing what the target supports.
    """
    if recipe.scheme not in target.schemes:
        allowed = ", ".join(sorted(target.schemes))
        raise LoweringError(
            f"{target.name}: recipe {recipe.name}: found {recipe.scheme!r}, supported: {allowed}"
        )
    if spec.io.endswith("int8") and not recipe.static:
        raise LoweringError(
            f"{target.name}: io: found {spec.io!r}, supported with recipe {recipe.name}: float32; "
            "integers need static activations"
        )
    target.check(spec, recipe)


def check_weights(name: str, recipe: Recipe) -> None:
    """For targets with one kind of integer weights: a scale a channel, beside float32.

    Raises:
        LoweringError: A recipe with quantized weights of another kind.
    """
    if recipe.weights is None:
        return
    for key, found, supported in (
        ("weights.per", recipe.weights.per, "channel"),
        ("precision", recipe.precision, "float32"),
    ):
        if found != supported:
            raise LoweringError(
                f"{name}: recipe {recipe.name}: {key}: found {found!r}, supported with quantized "
                f"weights: {supported}"
            )


def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="mnv4_mobile.targets")}


def target_names() -> list[str]:
    """Names of the installed targets."""
    return sorted(_entry_points())


def target_package(name: str) -> str:
    """The import package of an installed target."""
    return _entry_points()[name].module.partition(".")[0]


def load_target(name: str) -> Target:
    """An installed target.

    Raises:
        ConfigError: No such target, listing the installed ones, or one that is broken.
    """
    points = _entry_points()
    if name not in points:
        raise ConfigError(f"target: found {name!r}, allowed: {', '.join(sorted(points))}")
    try:
        target = points[name].load()
    except Exception as error:
        raise ConfigError(f"target {name}: cannot be loaded: {error!r}") from error
    if not isinstance(target, Target):
        raise ConfigError(f"target {name}: {points[name].value} is not a Target")
    return target


def feed(image: Tensor, pixels: npt.NDArray[np.uint8], preprocess: Preprocess) -> Tensors:
    """RGB pixels as an artifact's input wants them: normalised or not, ordered, quantized, typed.

    Args:
        image: The artifact's input.
        pixels: (N, H, W, 3) RGB, after resizing.
        preprocess: Its mean and std are used, unless the input takes pixels.
    """
    from mnv4_mobile.images import normalise

    grid = image.quantization
    if image.dtype == "uint8" and grid is None:
        values: npt.NDArray[Any] = pixels
        if image.layout == "nchw":
            values = np.moveaxis(values, -1, 1)
    else:
        values = normalise(pixels, preprocess)
        if image.layout == "nhwc":
            values = np.moveaxis(values, 1, -1)
        if grid is not None:
            limits = np.iinfo(image.dtype)
            integers = np.round(values / grid.scale) + grid.zero_point
            values = integers.clip(limits.min, limits.max)
    return {image.name: np.ascontiguousarray(values, dtype=image.dtype)}


def answer(outputs: Sequence[Tensor], found: Tensors) -> dict[str, npt.NDArray[Any]]:
    """What an artifact gave, in floats where its integers stand for them."""
    return {
        o.name: found[o.name]
        if o.quantization is None
        else (found[o.name].astype(np.float32) - o.quantization.zero_point)
        * np.float32(o.quantization.scale)
        for o in outputs
    }
