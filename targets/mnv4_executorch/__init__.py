"""ExecuTorch: `.pte` programs for the XNNPACK delegate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4_executorch.speedups import PATCHES
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import LoweringError
from mnv4_mobile.layers import OperatorTime
from mnv4_mobile.lint import Finding
from mnv4_mobile.model.form import Form
from mnv4_mobile.patches import STOCK
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import Lowered, Session, check_convolutions, check_weights
from mnv4_mobile.tensors import Io, Tensors, TensorSpec, sizes_text
from mnv4_mobile.units import Executor, Unit

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.target import Images
    from mnv4_mobile.watch import Watch


class ExecuTorch:
    """The ExecuTorch runtime with its XNNPACK delegate."""

    name = "executorch"
    suffix = ".pte"
    extra = "executorch"
    modules = ("executorch.exir", "executorch.extension.pybindings._C")
    patches = PATCHES
    schemes = frozenset({"fp32", "fp16", "int8"})
    distributions = ("executorch", "torchao")
    options = (STOCK,)
    units: Mapping[Unit, Executor] = {"cpu": Executor(name="XNNPACK delegate")}
    requires: Mapping[str, str] = {}
    other_names = ("pte", "xnnpack", "et")
    base = None

    def form(self, spec: BuildSpec, recipe: Recipe) -> Form:
        """See `Target.form`."""
        return "nhwc"

    def io(self, recipe: Recipe) -> Io:
        """See `Target.io`."""
        return "float32"

    def made_for(self, spec: BuildSpec) -> Unit:
        """See `Target.made_for`."""
        return "cpu"

    def check(self, spec: BuildSpec, recipe: Recipe) -> None:
        """Refuses a type of inputs and outputs that the recipe does not support.

        That is uint8, float16 unless the program computes in float16, and int8 unless the recipe
        is static. Applies `check_weights` too.

        Raises:
            LoweringError: An option is not supported; the message names it and what is supported.
        """
        check_weights(self.name, recipe)
        supported = ["float32"]
        if recipe.precision == "float16":
            supported.append("float16")
        if recipe.static:
            supported.append("int8")
        if spec.io not in supported:
            raise LoweringError(
                f"{self.name}: io: found {spec.io!r}, supported with recipe {recipe.name}: "
                + ", ".join(supported)
            )

    def check_sizes(self, spec: BuildSpec) -> None:
        """Refuses sizes between which a program cannot change; see `Resizable`.

        A program takes every size up to a bound, and ExecuTorch's own tools run it at that bound.
        torch.export takes an axis of length 1 for fixed, as that of the last map would be.
        """
        check_convolutions(self.name, spec)
        least = 2 * spec.model.total_stride
        for sides in zip(*spec.sizes, strict=True):
            if min(sides) < min(least, max(sides)):
                raise LoweringError(
                    f"{self.name}: input size: found {sizes_text(spec.sizes)}, supported: sides "
                    f"of {least} or more where they differ, because torch.export fixes axes of "
                    "length 1"
                )
        largest = tuple(map(max, zip(*spec.sizes, strict=True)))
        if spec.preprocess.size != largest:
            raise LoweringError(
                f"{self.name}: input size: found {sizes_text(spec.sizes)}, supported: the largest "
                "height and the largest width first, because ExecuTorch's tools run a program at "
                "its largest size"
            )

    def lower(
        self,
        program: ExportedProgram,
        spec: BuildSpec,
        recipe: Recipe,
        calibration: Images | None,
        out: Path,
    ) -> Lowered:
        """See `Target.lower`."""
        from mnv4_executorch.lower import lower

        return lower(program, spec, recipe, calibration, out)

    def runtime(self) -> str:
        """See `Target.runtime`."""
        from importlib.metadata import version

        from mnv4_executorch.speedups import extension

        extension()
        return f"executorch {version('executorch')}"

    def open(self, path: Path, threads: int, unit: Unit | None = None) -> Session:
        """See `Target.open`."""
        from mnv4_executorch.session import open_session

        return open_session(path, threads)

    def inputs(self, path: Path) -> tuple[TensorSpec, ...]:
        """See `Target.inputs`."""
        from mnv4_executorch.pte import inputs

        return inputs(path)

    def operators(self, path: Path) -> dict[str, int]:
        """See `Target.operators`. Operators inside a delegate are not counted."""
        from mnv4_executorch.pte import operators

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

    def watch(self, path: Path, layers: Sequence[str], *, threads: int, unit: Unit | None) -> Watch:
        """Gives the delegate's graph more outputs; see `Watchable.watch`."""
        from mnv4_executorch.watch import watch

        return watch(path, layers, threads)


target = ExecuTorch()
