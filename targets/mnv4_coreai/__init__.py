"""Core AI: `.aimodel` assets for Apple's systems from version 27 on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4_coreai.speedups import PATCHES
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import DeviceError, LoweringError
from mnv4_mobile.layers import OperatorTime
from mnv4_mobile.lint import Finding
from mnv4_mobile.model.form import Form
from mnv4_mobile.option import Option
from mnv4_mobile.quantize.neural_engine import arithmetic
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import Lowered, Session
from mnv4_mobile.tensors import Io, Tensors, TensorSpec
from mnv4_mobile.units import Executor, Unit

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.target import Images
    from mnv4_mobile.watch import Watch

COMPUTE_UNITS: dict[str, Unit] = {"neural_engine": "npu", "gpu": "gpu", "cpu": "cpu"}
"""The compute units that an app may prefer in Core AI, and the unit that each is."""
_NATIVE = sys.platform == "darwin"


class CoreAI:
    """Core AI: the runtime of the system on macOS, that of the wheel on Linux, on the CPU."""

    name = "coreai"
    suffix = ".aimodel"
    extra = "coreai"
    modules = ("coreai", "coreai_torch")
    patches = PATCHES
    schemes = frozenset(
        {"fp32", "fp16", "int8", "int8-weights", "int4-weights"}
        | {"palettize-8", "palettize-6", "palettize-4"}
    )
    distributions = ("coreai-core", "coreai-torch")
    options = (
        Option(
            name="compute_unit",
            type=str,
            values=tuple(COMPUTE_UNITS),
            default="neural_engine",
            help="Compute unit that apps prefer in Core AI, unless they choose another.",
        ),
    )
    units: Mapping[Unit, Executor] = (
        {
            unit: Executor(name=f"Core AI, {name}", falls_back=unit != "cpu")
            for name, unit in COMPUTE_UNITS.items()
        }
        if _NATIVE
        else {"cpu": Executor(name="Core AI on Linux", emulated=True)}
    )
    requires: Mapping[str, str] = {
        "min_ios": "the oldest iOS that runs the artifact: 27",
        "compute_unit": "the compute unit that an app prefers: " + ", ".join(COMPUTE_UNITS),
        "converter": "what wrote the artifact; another beta of a system may refuse it",
    }
    other_names = ("aimodel", "core-ai", "coreai-torch", "apple-coreai")
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
        """Refuses what the target does not lower; see `Target.check`."""
        if spec.layout == "nhwc":
            self._refuse("layout", "'nhwc'", "nchw")
        if spec.io != arithmetic(recipe):
            self._refuse("io", repr(spec.io), f"{arithmetic(recipe)} with recipe {recipe.name}")

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
        from mnv4_coreai.lower import lower

        return lower(program, spec, recipe, calibration, out)

    def runtime(self) -> str:
        """See `Target.runtime`."""
        from mnv4_coreai.session import runtime

        return runtime()

    def open(self, path: Path, threads: int, unit: Unit | None = None) -> Session:
        """See `Target.open`."""
        from mnv4_coreai.session import open_session

        return open_session(path, unit)

    def inputs(self, path: Path) -> tuple[TensorSpec, ...]:
        """See `Target.inputs`."""
        from mnv4_coreai.asset import describe

        return describe(path).declared()

    def operators(self, path: Path) -> dict[str, int]:
        """Returns the operators of the asset's program, without its constants."""
        from mnv4_coreai.asset import describe

        return describe(path).counts()

    def lint(self, path: Path, layers: Sequence[str]) -> list[Finding]:
        """See `Target.lint`."""
        from mnv4_coreai.lint import lint

        return lint(path, layers)

    def profile(
        self, path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
    ) -> list[OperatorTime]:
        """Refuses: Core AI's profiler is part of Xcode's instruments; see `Target.profile`."""
        raise DeviceError(f"{self.name}: has no profiler on this machine")

    def watch(self, path: Path, layers: Sequence[str], *, threads: int, unit: Unit | None) -> Watch:
        """Gives the program more outputs; see `Watchable.watch`."""
        from mnv4_coreai.watch import watch

        return watch(path, layers, unit)


target = CoreAI()
