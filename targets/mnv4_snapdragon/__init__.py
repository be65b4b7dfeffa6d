"""Snapdragon's NPU: `.tflite` files with one program for the Hexagon processor of one SoC."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import BundleError, DeviceError
from mnv4_mobile.layers import OperatorTime
from mnv4_mobile.lint import Finding
from mnv4_mobile.option import Option
from mnv4_mobile.patches import STOCK
from mnv4_mobile.recipe import INT16, Recipe
from mnv4_mobile.target import Lowered, Session
from mnv4_mobile.tensors import Tensors
from mnv4_mobile.units import Executor, Unit
from mnv4_snapdragon.socs import SOCS
from mnv4_snapdragon.speedups import PATCHES
from mnv4_tflite import LiteRT

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.target import Images
    from mnv4_mobile.watch import Watch


class Snapdragon(LiteRT):
    """LiteRT's programs, compiled ahead of time for the NPU of a Snapdragon."""

    name = "snapdragon"
    extra = "snapdragon"
    modules = (*LiteRT.modules, "onnx", "onnxruntime", "onnxruntime_qnn")
    patches = PATCHES
    schemes = frozenset({"fp16", "int8", INT16})
    distributions = (*LiteRT.distributions, "onnxruntime", "onnxruntime-qnn")
    options = (
        Option(
            name="soc",
            type=list,
            values=tuple(SOCS),
            default="SM8750",
            required=True,
            help="The Snapdragon to compile for; each value makes its own bundle.",
            otherwise="phones with an NPU of MediaTek, Google Tensor or Samsung run the files of "
            "-t tflite, on their CPU or GPU",
        ),
        Option(
            name="partial",
            type=bool,
            default=False,
            help="Accept operators that the NPU does not take; they run on the CPU.",
        ),
        Option(
            name="watchable",
            type=bool,
            default=False,
            help="Keep the LiteRT model in the file, so that mnv4 diff can compare layers.",
        ),
        STOCK,
    )
    units: Mapping[Unit, Executor] = {
        "npu": Executor(name="Qualcomm's HTP library for x86", emulated=True)
    }
    requires: Mapping[str, str] = {
        "soc": "the Snapdragon that the artifact is compiled for",
        "htp": "the architecture of its NPU, which Qualcomm's libraries on the phone are named by",
        "qairt": "the version of Qualcomm's AI runtime that compiled it; an older one refuses it",
        "litert_qairt": "the version of Qualcomm's AI runtime that LiteRT brings to phones",
    }
    other_names = ("qualcomm", "qnn", "htp", "hexagon", "qairt", "npu")
    base = "tflite"
    check_sizes = None  # type: ignore[assignment] # a compiled program has one size

    def made_for(self, spec: BuildSpec) -> Unit:
        """See `Target.made_for`."""
        return "npu"

    def lower(
        self,
        program: ExportedProgram,
        spec: BuildSpec,
        recipe: Recipe,
        calibration: Images | None,
        out: Path,
    ) -> Lowered:
        """See `Target.lower`."""
        from mnv4_snapdragon.lower import lower

        return lower(program, spec, recipe, calibration, out)

    def runtime(self) -> str:
        """See `Target.runtime`."""
        from mnv4_snapdragon.session import runtime

        return runtime()

    def open(self, path: Path, threads: int, unit: Unit | None = None) -> Session:
        """See `Target.open`."""
        from mnv4_snapdragon.session import open_session

        return open_session(path, threads)

    def recognizes(self, path: Path) -> bool:
        """Returns whether a `.tflite` is one of this target's: it holds a program for an NPU."""
        from mnv4_snapdragon.compiled import DISPATCH
        from mnv4_tflite.reader import custom_operators

        try:
            return DISPATCH in custom_operators(path)
        except BundleError:  # which the target for plain files reports
            return False

    def lint(self, path: Path, layers: Sequence[str]) -> list[Finding]:
        """See `Target.lint`."""
        from mnv4_snapdragon.lint import lint

        return lint(path, layers)

    def profile(
        self, path: Path, inputs: Tensors, layers: Sequence[str], *, threads: int, runs: int
    ) -> list[OperatorTime]:
        """Refuses: the operators of a compiled program are timed on the phone only."""
        raise DeviceError(f"{self.name}: has no profiler on this machine")

    def watch(self, path: Path, layers: Sequence[str], *, threads: int, unit: Unit | None) -> Watch:
        """Compiles the LiteRT model again with more outputs; see `Watchable.watch`."""
        from mnv4_snapdragon.watch import watch

        return watch(path, layers, threads)


target = Snapdragon()
