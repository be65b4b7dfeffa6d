"""LiteRT: `.tflite` models, for the CPU (XNNPACK), GPU and NPU of Android and for browsers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import LoweringError
from mnv4_mobile.layers import OperatorTime
from mnv4_mobile.lint import Finding
from mnv4_mobile.model.form import Form
from mnv4_mobile.option import Option
from mnv4_mobile.patches import STOCK
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.target import Lowered, Session, check_convolutions, check_weights
from mnv4_mobile.tensors import Io, Tensors, TensorSpec
from mnv4_mobile.units import Executor, Unit
from mnv4_tflite.speedups import PATCHES

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.target import Images
    from mnv4_mobile.watch import Watch


class LiteRT:
    """The LiteRT runtime, formerly TensorFlow Lite."""

    name = "tflite"
    suffix = ".tflite"
    extra = "tflite"
    modules: tuple[str, ...] = ("litert_torch", "ai_edge_litert", "litert_quantizer", "flatbuffers")
    patches = PATCHES
    schemes = frozenset({"fp32", "fp16", "int8", "int8-dynamic", "int8-weights"})
    distributions: tuple[str, ...] = (
        *("litert-torch", "litert-converter", "ai-edge-litert", "litert-quantizer"),
    )
    options: tuple[Option, ...] = (STOCK,)
    requires: Mapping[str, str] = {}
    other_names = ("litert", "lite-rt", "ai-edge-litert", "ai-edge", "tensorflow-lite", "tf-lite")
    base: str | None = None

    @property
    def units(self) -> Mapping[Unit, Executor]:
        """See `Target.units`."""
        from mnv4_tflite.gpu import executor

        return {"cpu": Executor(name="XNNPACK delegate"), "gpu": executor()}

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
        """Refuses float16 inputs and outputs, which the runtime's own kernels do not take.

        Applies `check_weights` too.

        Raises:
            LoweringError: An option is not supported; the message names it and what is supported.
        """
        check_weights(self.name, recipe)
        if spec.io == "float16":
            supported = "float32, int8, uint8" if recipe.static else "float32"
            raise LoweringError(f"{self.name}: io: found 'float16', supported: {supported}")

    def check_sizes(self, spec: BuildSpec) -> None:
        """Refuses attention, which LiteRT's resizing does not change; see `Resizable`."""
        check_convolutions(self.name, spec)

    def lower(
        self,
        program: ExportedProgram,
        spec: BuildSpec,
        recipe: Recipe,
        calibration: Images | None,
        out: Path,
    ) -> Lowered:
        """See `Target.lower`."""
        from mnv4_tflite.lower import lower

        return lower(program, spec, recipe, calibration, out)

    def runtime(self) -> str:
        """See `Target.runtime`."""
        from importlib.metadata import version

        import ai_edge_litert.interpreter  # noqa: F401

        return f"litert {version('ai-edge-litert')}"

    def open(self, path: Path, threads: int, unit: Unit | None = None) -> Session:
        """See `Target.open`."""
        from mnv4_tflite.gpu import open_on_gpu
        from mnv4_tflite.session import open_session

        return open_on_gpu(path) if unit == "gpu" else open_session(path, threads)

    def inputs(self, path: Path) -> tuple[TensorSpec, ...]:
        """See `Target.inputs`."""
        from mnv4_tflite.reader import inputs

        return inputs(path)

    def operators(self, path: Path) -> dict[str, int]:
        """See `Target.operators`. The device decides which of them a delegate takes."""
        from mnv4_tflite.reader import operators

        return operators(path)

    def lint(self, path: Path, layers: Sequence[str]) -> list[Finding]:
        """See `Target.lint`."""
        from mnv4_tflite.lint import lint

        return lint(path, layers)

    def profile(
        self, path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
    ) -> list[OperatorTime]:
        """See `Target.profile`."""
        from mnv4_tflite.profile import profile

        return profile(path, inputs, layers, threads=threads, runs=runs)

    def watch(self, path: Path, layers: Sequence[str], *, threads: int, unit: Unit | None) -> Watch:
        """Gives the model more outputs; see `Watchable.watch`."""
        from mnv4_tflite.watch import watch

        return watch(path, layers, partial(self.open, threads=threads, unit=unit))


target = LiteRT()
