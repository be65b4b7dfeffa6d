"""Defines what a target is, and finds the installed ones.

A target is one import package with a module-level object that satisfies `Target`, named by an entry
point of the group `mnv4_mobile.targets`. The shipped ones use the same hook as third parties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mnv4_mobile.build_spec import BuildSpec, OptionValue
from mnv4_mobile.errors import ConfigError, LoweringError, ToolchainError
from mnv4_mobile.layers import Layer, OperatorTime
from mnv4_mobile.lint import Finding
from mnv4_mobile.model.form import Form
from mnv4_mobile.model.spec import MMQASpec
from mnv4_mobile.option import Option
from mnv4_mobile.patches import Patches
from mnv4_mobile.plugins import Group
from mnv4_mobile.recipe import INT16, Recipe
from mnv4_mobile.tensors import Io, Tensors, TensorSpec, sizes_text
from mnv4_mobile.units import Executor, Unit

if TYPE_CHECKING:
    from torch.export import ExportedProgram


Images = Iterable[npt.NDArray[np.uint8]]
"""Images, (H, W, 3) RGB after resizing each; every iteration decodes them again, in order."""
Session = Callable[[Tensors], dict[str, npt.NDArray[Any]]]
"""Runs an artifact: takes arrays by input name, and returns arrays by output name.

A session may have an attribute `adapter`, the name of the processor that its runtime chose.
"""


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """The artifact that a target made from a program."""

    path: Path
    input: TensorSpec
    outputs: tuple[TensorSpec, ...]
    layers: tuple[Layer, ...] = ()
    """The layers that do not have the recipe's precision, and those that have it but are not
    convolutions."""
    requires: Mapping[str, str] = field(default_factory=dict)
    """What a device must have, or an app should request, by a key of `Target.requires`."""
    notes: tuple[str, ...] = ()
    """Messages for the user about how the artifact was made."""


@runtime_checkable
class Target(Protocol):
    """A runtime that models are lowered to."""

    name: str
    suffix: str
    """The suffix of the target's artifacts, with the dot."""
    extra: str
    """The extra of this distribution that installs the target's toolchain."""
    modules: tuple[str, ...]
    """Import names of the target's toolchain."""
    distributions: tuple[str, ...]
    """The distributions that decide an artifact's bytes, or run it. Their versions are in the cache
    key and the manifest."""
    schemes: frozenset[str]
    """The schemes of recipes (`Recipe.scheme`) that the target supports."""
    options: tuple[Option, ...]
    """The options that only this target understands (`--set NAME.OPTION=VALUE`)."""
    units: Mapping[Unit, Executor]
    """The units that the target's runtime can use, and what this machine lacks for them.
    Verification runs on the first one by default."""
    requires: Mapping[str, str]
    """The keys of `Lowered.requires` and what they mean; the manifest has them as `NAME.KEY`."""
    other_names: tuple[str, ...]
    """Other names that people use. They are not aliases: a message asks `did you mean NAME?`."""
    base: str | None
    """The name of the target whose program this one builds on, or None."""

    def form(self, spec: BuildSpec, recipe: Recipe) -> Form:
        """Returns the deploy form that is fastest on the runtime.

        One export serves all targets that share a form.
        """

    def io(self, recipe: Recipe) -> Io:
        """Returns the type of inputs and outputs for a recipe, unless `--io` gives another one."""

    def made_for(self, spec: BuildSpec) -> Unit:
        """Returns the unit that an artifact is made for.

        The unit decides what a recipe keeps in float, and does not depend on this machine.
        """

    def check(self, spec: BuildSpec, recipe: Recipe) -> None:
        """Refuses what the target cannot lower, before any work.

        Raises:
            LoweringError: Naming the option, what was found and what is supported.
        """

    def lower(
        self,
        program: ExportedProgram,
        spec: BuildSpec,
        recipe: Recipe,
        calibration: Images | None,
        out: Path,
    ) -> Lowered:
        """Lowers the deploy form to the file or folder `out`.

        Args:
            program: `DeployNet` exported with one input (N, 3, H, W): float32, or uint8 for
                pixels; outputs by name.
            spec: What is built.
            recipe: The precision.
            calibration: Images, for a recipe with static activations.
            out: The path to write, which does not exist yet.
        """

    def runtime(self) -> str:
        """Imports the runtime in this process; returns its name and version: `executorch 1.5.1`."""

    def open(self, path: Path, threads: int, unit: Unit | None = None) -> Session:
        """Loads an artifact, from the path alone, in this process.

        Args:
            path: The artifact, of this project or from elsewhere.
            threads: Number of runtime threads.
            unit: One of `units`; None runs it on the unit that the artifact asks for by default.
        """

    def inputs(self, path: Path) -> tuple[TensorSpec, ...]:
        """Returns the inputs of an artifact, from the path alone, without running it.

        The names are those that the session takes; `layout` is None, because files do not say it.

        Raises:
            BundleError: The file is not an artifact of this target, or damaged.
        """

    def operators(self, path: Path) -> dict[str, int]:
        """Returns how often each operator occurs in the artifact, including delegate calls.

        Raises:
            BundleError: As for `inputs`.
        """

    def lint(self, path: Path, layers: Sequence[str]) -> list[Finding]:
        """Finds what makes an artifact slow on its target, without running it.

        Args:
            path: The artifact.
            layers: Names of the network's convolutions in the order in which they run.

        Raises:
            BundleError: As for `inputs`.
        """

    def profile(
        self, path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
    ) -> list[OperatorTime]:
        """Times every operator on this machine, in this process.

        Args:
            path: The artifact.
            inputs: Arrays by input name.
            layers: As for `lint`.
            threads: Number of runtime threads.
            runs: Number of runs after a warm-up.

        Raises:
            DeviceError: The runtime has no profiler on this machine.
        """


@runtime_checkable
class Resizable(Protocol):
    """A target whose artifacts may take several input sizes (`BuildSpec.sizes`).

    Its sessions take an image of any of them.
    """

    def check_sizes(self, spec: BuildSpec) -> None:
        """Refuses input sizes that one artifact cannot take, before any work.

        Args:
            spec: What is built; it has more than one size.

        Raises:
            LoweringError: Naming the sizes, what stands against them and what is supported.
        """


@runtime_checkable
class Joining(Resizable, Protocol):
    """A target that makes an artifact of several sizes out of artifacts of one size each."""

    def join(self, parts: Sequence[Lowered], spec: BuildSpec, out: Path) -> Lowered:
        """Joins artifacts into the file or folder `out`.

        Args:
            parts: What `lower` made for each of `spec.sizes`, in their order.
            spec: What is built.
            out: The path to write, which does not exist yet.

        Returns:
            The artifact; its input and outputs are those of the first size.
        """


def check_convolutions(name: str, spec: BuildSpec) -> None:
    """Refuses networks with attention for artifacts that compute all sizes with one program.

    Raises:
        LoweringError: Naming the first block of attention.
    """
    found = [block for block, about in spec.model.blocks() if isinstance(about, MMQASpec)]
    if found:
        raise LoweringError(
            f"{name}: input size: found {sizes_text(spec.sizes)}, supported with attention "
            f"({found[0]}): one size, because its offsets and shapes are folded for that size; "
            "separate the sizes by commas, and each gets a bundle"
        )


def patches_of(target: Target) -> Patches | None:
    """Returns what a target patches in its toolchain: its attribute `patches`, if it has one."""
    found = getattr(target, "patches", None)
    return found if isinstance(found, Patches) else None


def target_of(path: Path) -> str | None:
    """Returns the name of the target that an artifact from elsewhere is for, by its suffix.

    Several targets may share a suffix. Those that build on another one have a method
    `recognizes(path)`, which says by the file's content whether it is theirs.
    """
    found = [target for target in map(load_target, target_names()) if target.suffix == path.suffix]
    own = (one for one in found if hasattr(one, "recognizes") and one.recognizes(path))
    shared = (one for one in found if not hasattr(one, "recognizes"))
    return next((target.name for target in (*own, *shared)), None)


def require(target: Target) -> None:
    """Checks that a target's toolchain is installed, without importing it.

    Raises:
        ToolchainError: Naming the command that installs it.
    """
    if missing(target):
        raise ToolchainError(
            f"{target.name}: its toolchain is not installed; "
            f"pip install 'mnv4-mobile[{target.extra}]'"
        )


def missing(target: Target) -> list[str]:
    """Returns the modules of a target's toolchain that are not installed."""
    return [name for name in target.modules if not _installed(name)]


def _installed(module: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing too
        return False


def check_recipe(target: Target, spec: BuildSpec, recipe: Recipe) -> None:
    """Refuses a recipe or an option that the target does not support.

    Raises:
        LoweringError: Listing what the target supports.
    """
    if recipe.scheme not in target.schemes:
        allowed = ", ".join(sorted(target.schemes))
        raise LoweringError(
            f"{target.name}: recipe {recipe.name}: found {recipe.scheme!r}, supported: {allowed}"
        )
    if recipe.keep.int16 and INT16 not in target.schemes:
        raise LoweringError(
            f"{target.name}: recipe {recipe.name}: keep.int16: found {', '.join(recipe.keep.int16)}"
            ", supported: none; its runtime has no integers of 16 bits"
        )
    if spec.more_sizes and not isinstance(target, Resizable):
        raise LoweringError(
            f"{target.name}: input size: found {sizes_text(spec.sizes)}, supported: one size in an "
            "artifact; separate them by commas, and each gets a bundle"
        )
    if spec.io.endswith("int8") and not recipe.static:
        raise LoweringError(
            f"{target.name}: io: found {spec.io!r}, supported with recipe {recipe.name}: float32; "
            "integers need static activations"
        )
    target.check(spec, recipe)
    if spec.more_sizes and isinstance(target, Resizable):
        target.check_sizes(spec)


def completed(
    spec: BuildSpec,
    target: Target,
    recipe: Recipe,
    *,
    io: Io | None = None,
    options: Mapping[str, OptionValue] | None = None,
) -> BuildSpec:
    """Returns a build spec with what its target decides: type of inputs and outputs, and options.

    Args:
        spec: What is built, for any target.
        target: The target.
        recipe: The precision.
        io: The requested type; None means the target's own.
        options: The values given, by option name, already read; the others have their defaults.
    """
    sizes = len(spec.sizes)
    values = {option.name: option.default_for(recipe, sizes) for option in target.options}
    return replace(spec, io=io or target.io(recipe), options=values | dict(options or {}))


def first_unit(target: Target) -> Unit:
    """Returns the unit that verification uses if none is asked for."""
    return next(iter(target.units))


def check_units(target: Target, units: Iterable[Unit]) -> None:
    """Refuses units that a target does not have on this machine.

    Raises:
        ConfigError: Naming the unit and those that it has.
        ToolchainError: Naming what the machine lacks for the unit.
    """
    for unit in units:
        if unit not in target.units:
            raise ConfigError(
                f"unit: found {unit!r}, which {target.name} does not have on this machine; it has: "
                f"{', '.join(target.units)}"
            )
        if lacks := target.units[unit].missing:
            raise ToolchainError(f"unit: {unit}: {target.units[unit].name} {lacks}")


def check_weights(name: str, recipe: Recipe) -> None:
    """Refuses quantized weights other than those with one scale per channel, next to float32.

    Raises:
        LoweringError: The recipe has quantized weights of another kind.
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


_TARGETS = Group(name="mnv4_mobile.targets", what="target", option="target")


def target_names() -> list[str]:
    """Returns the names of the installed targets."""
    return _TARGETS.names()


def target_package(name: str) -> str:
    """Returns the import package of an installed target."""
    return _TARGETS.package(name)


def load_target(name: str) -> Target:
    """Imports an installed target.

    Raises:
        ConfigError: See `Group.load`.
    """
    target: Target = _TARGETS.load(name, Target)
    return target
