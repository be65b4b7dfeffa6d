"""Core ML: `.mlpackage` ML Programs for the Neural Engine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4_coreml.speedups import PATCHES
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import LoweringError
from mnv4_mobile.layers import OperatorTime
from mnv4_mobile.lint import Finding
from mnv4_mobile.model.form import Form
from mnv4_mobile.option import Option
from mnv4_mobile.patches import STOCK
from mnv4_mobile.quantize.neural_engine import arithmetic
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import Lowered, Session
from mnv4_mobile.tensors import Io, Tensors, TensorSpec, sizes_text
from mnv4_mobile.units import Executor, Unit

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.target import Images
    from mnv4_mobile.watch import Watch


MIN_IOS = (16, 17, 18, 26)
_SEVERAL = 18
"""The oldest iOS whose Core ML runs packages with several functions."""
COMPUTE_UNITS: dict[str, Unit] = {
    "all": "npu",
    "cpu_and_ne": "npu",
    "cpu_and_gpu": "gpu",
    "cpu_only": "cpu",
}
"""The compute units that an app may request from Core ML, and the unit each is meant to run on."""
_UNITS: dict[Unit, str] = {"cpu": "cpu_only", "gpu": "cpu_and_gpu", "npu": "cpu_and_ne"}
_NATIVE = sys.platform == "darwin"


def _least(recipe: Recipe, sizes: int) -> int:
    least, _ = _least_ios(recipe)
    return max(least, _SEVERAL) if sizes > 1 else least


class CoreML:
    """Core ML: converts on any system, runs with Core ML on macOS and an interpreter elsewhere."""

    name = "coreml"
    suffix = ".mlpackage"
    extra = "coreml"
    modules = ("coremltools",)
    patches = PATCHES
    schemes = frozenset(
        {"fp32", "fp16", "int8", "int8-weights", "int4-weights"}
        | {"palettize-8", "palettize-6", "palettize-4"}
    )
    distributions = ("coremltools",)
    options = (
        Option(
            name="min_ios",
            type=int,
            values=MIN_IOS,
            default=_least,
            help="Oldest iOS that runs the artifact. Default: the oldest that supports the recipe "
            "and the number of input sizes.",
        ),
        Option(
            name="compute_unit",
            type=str,
            values=tuple(COMPUTE_UNITS),
            default="cpu_and_ne",
            help="Compute units that apps request from Core ML, unless they choose others. "
            "Some phones crash while they load a network for all.",
        ),
        STOCK,
    )
    units: Mapping[Unit, Executor] = (
        {
            unit: Executor(name=f"Core ML, {name}", falls_back=unit != "cpu")
            for unit, name in _UNITS.items()
        }
        if _NATIVE
        else {"cpu": Executor(name="interpreter of the saved program", emulated=True)}
    )
    requires: Mapping[str, str] = {
        "min_ios": "the oldest iOS that runs the artifact, for example 17",
        "compute_unit": "the compute units that an app requests by default: "
        + ", ".join(COMPUTE_UNITS),
    }
    other_names = ("mlpackage", "core-ml", "mlprogram", "ane", "apple", "ios")
    base = None

    def form(self, spec: BuildSpec, recipe: Recipe) -> Form:
        """See `Target.form`."""
        return "nchw"

    def io(self, recipe: Recipe) -> Io:
        """Returns the type of the arithmetic, which saves casts at both ends; see `Target.io`."""
        return arithmetic(recipe)

    def made_for(self, spec: BuildSpec) -> Unit:
        """See `Target.made_for`."""
        return COMPUTE_UNITS[str(spec.options["compute_unit"])]

    def check(self, spec: BuildSpec, recipe: Recipe) -> None:
        """Refuses what an ML Program does not support; see `Target.check`."""
        if spec.layout == "nhwc":
            self._refuse("layout", "'nhwc'", "nchw")
        if spec.input == "pixels" and spec.batch > 1:
            self._refuse("batch", spec.batch, "1 for an image input (--batch 1, or float input)")
        if spec.io == "uint8":
            self._refuse("io", "'uint8'", "float32, float16 and int8; Core ML has no arrays of it")
        if spec.io == "float16" and arithmetic(recipe) != "float16":
            self._refuse("io", "'float16'", f"float32 with recipe {recipe.name}")
        least, what = _least_ios(recipe)
        if spec.io == "int8":
            least, what = 26, "--io int8"
        found = int(spec.options["min_ios"])
        if found < least:
            supported = f"{least} or later with recipe {recipe.name}, for {what}"
            self._refuse("min_ios", found, f"{supported} (--set coreml.min_ios={least})")
        if spec.labels and is_classifier(spec):
            twice = sorted({label for label in spec.labels if spec.labels.count(label) > 1})
            if twice:
                # Core ML gives a classifier's probabilities as a dictionary keyed by label.
                self._refuse("labels", f"{twice[0]!r} more than once", "each label once")

    def check_sizes(self, spec: BuildSpec) -> None:
        """Refuses an iOS without packages of several functions, and int8 arrays; see `Resizable`.

        Each function has ranges of its own, while the scale of an array is one for all.
        """
        found, sizes = int(spec.options["min_ios"]), sizes_text(spec.sizes)
        if found < _SEVERAL:
            supported = f"{_SEVERAL} or later for input sizes {sizes}, a function for each"
            self._refuse("min_ios", found, f"{supported} (--set coreml.min_ios={_SEVERAL})")
        if spec.io == "int8":
            self._refuse("io", "'int8'", f"float32 and float16 for input sizes {sizes}")

    def _refuse(self, option: str, found: object, supported: str) -> None:
        raise LoweringError(f"{self.name}: {option}: found {found}, supported: {supported}")

    def lower(
        self,
        program: ExportedProgram,
        spec: BuildSpec,
        recipe: Recipe,
        calibration: Images | None,
        out: Path,
    ) -> Lowered:
        """See `Target.lower`."""
        from mnv4_coreml.lower import lower

        return lower(program, spec, recipe, calibration, out)

    def join(self, parts: Sequence[Lowered], spec: BuildSpec, out: Path) -> Lowered:
        """Makes each package a function of one, in which they share weights; see `Joining`."""
        from mnv4_coreml.lower import join

        return join(parts, spec, out)

    def runtime(self) -> str:
        """See `Target.runtime`; Core ML comes with the system."""
        from mnv4_coreml.session import runtime

        return runtime()

    def open(self, path: Path, threads: int, unit: Unit | None = None) -> Session:
        """See `Target.open`."""
        from mnv4_coreml.session import open_session

        return open_session(path, threads, compute_unit_of(unit))

    def inputs(self, path: Path) -> tuple[TensorSpec, ...]:
        """See `Target.inputs`."""
        from mnv4_coreml.session import inputs

        return inputs(path)

    def operators(self, path: Path) -> dict[str, int]:
        """Returns how often each operation occurs, without constants; see `Target.operators`."""
        from mnv4_coreml.session import operators

        return operators(path)

    def lint(self, path: Path, layers: Sequence[str]) -> list[Finding]:
        """See `Target.lint`."""
        from mnv4_coreml.lint import lint

        return lint(path, layers)

    def profile(
        self, path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
    ) -> list[OperatorTime]:
        """See `Target.profile`."""
        from mnv4_coreml.profile import profile

        return profile(path, inputs, layers, threads=threads, runs=runs)

    def watch(self, path: Path, layers: Sequence[str], *, threads: int, unit: Unit | None) -> Watch:
        """Asks the interpreter, as Core ML keeps values to itself; see `Watchable.watch`."""
        from mnv4_coreml.watch import watch

        return watch(path, layers)


def compute_unit_of(unit: Unit | None) -> str | None:
    """Returns the compute units to request from Core ML for a unit; None for the package's own."""
    return None if unit is None else _UNITS[unit]


def _least_ios(recipe: Recipe) -> tuple[int, str]:
    """Returns the oldest iOS that supports a recipe, and what in the recipe needs it."""
    weights = recipe.weights
    if weights and weights.form == "integer" and weights.bits < 8:
        return 18, f"int{weights.bits} weights"
    if weights and weights.size:
        return 18, f"{'palettes' if weights.form == 'palette' else 'scales'} per {weights.per}"
    if recipe.activations:
        return 17, "int8 activations"
    return MIN_IOS[0], ""


def is_classifier(spec: BuildSpec) -> bool:
    """Returns whether the artifact becomes a Core ML classifier, which describes a single image.

    For a batch, the probabilities are a tensor. The labels are in the metadata in either case.
    """
    return bool(spec.labels) and "probabilities" in spec.outputs and spec.batch == 1


target = CoreML()
