"""ExecuTorch: `.pte` programs for the XNNPACK delegate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4_mobile.errors import LoweringError
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import (
    BuildSpec,
    Finding,
    Layout,
    Lowered,
    OperatorTime,
    Session,
    Tensors,
    check_weights,
)

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.calibration import Calibration


class ExecuTorch:
    """The ExecuTorch runtime with its XNNPACK delegate."""

    name = "executorch"
    suffix = ".pte"
    extra = "executorch"
    modules = ("executorch.exir", "executorch.extension.pybindings._C")
    schemes = frozenset({"fp32", "fp16", "int8"})
    attention: Layout = "nhwc"

    def check(self, spec: BuildSpec, recipe: Recipe) -> None:
        """Refuses float16 inputs and outputs of a float32 program; see `check_weights` too.

        Raises:
            LoweringError: Naming the option and what is supported.
        """
        check_weights(self.name, recipe)
        if spec.io == "float16" and recipe.precision != "float16":
            raise LoweringError(
                f"{self.name}: io: found 'float16', supported with recipe {recipe.name}: float32"
            )

    def lower(
        self,
        program: ExportedProgram,
        spec: BuildSpec,
        recipe: Recipe,
        calibration: Calibration | None,
        out: Path,
    ) -> Lowered:
        """See `Target.lower`."""
        from mnv4_executorch.lower import lower

        return lower(program, spec, recipe, calibration, out)

    def open(self, path: Path, threads: int) -> Session:
        """See `Target.open`."""
        from mnv4_executorch.session import open_session

        return open_session(path, threads)

    def operators(self, path: Path) -> dict[str, int]:
        """Delegate calls, and every operator that runs beside them."""
        from mnv4_executorch.program import operators

        return operators(path)

    def lint(self, path: Path, layers: Sequence[str]) -> list[Finding]:
        """See `Target.lint`."""
        from mnv4_executorch.lint import lint

        return lint(path, layers)

    def profile(
        self, path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
    ) -> list[OperatorTime]:
        """See `Target.profile`."""
        from mnv4_executorch.profile import profile

        return profile(path, inputs, layers, threads=threads, runs=runs)


target = ExecuTorch()
