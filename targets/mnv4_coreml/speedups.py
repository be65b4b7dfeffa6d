"""What the Core ML target patches in its toolchain.

This module has all code that needs more than the public interfaces of torch and coremltools, and
`PATCHES` lists it. Nothing is imported before it is needed.

The seconds of a speedup are the CPU time that lowering takes longer without it, for the trained
hybrid of the tests (tests/data/hybrid-narrow.yaml, 96 x 96, int8). With all speedups, that takes
2.3 s.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from mnv4_mobile.patches import Patch, Patches
from mnv4_mobile.recipe import Form

_PROBED = ("executorch", "sklearn", "torchao", "torchvision", "transformers")
"""The frameworks that coremltools imports if it finds them."""


def coremltools(*, stock: bool = False) -> Any:
    """Imports coremltools, as `PATCHES` describes under "fewer imports"."""
    hidden = [name for name in _PROBED if name not in sys.modules]
    if not PATCHES.active(stock):
        hidden = []
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment] # Python's mark of a missing module
    try:
        return importlib.import_module("coremltools")
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def _validation_at_the_end() -> Iterator[None]:
    from coremltools.converters.mil.mil import Program

    def nothing(self: Any, **_: Any) -> None: ...

    nothing.stock = Program.validate  # type: ignore[attr-defined]
    with patch.object(Program, "validate", nothing):
        yield


def _validation() -> str:
    """Registers a pass that validates the program, if nothing else does; returns its name."""
    from coremltools.converters.mil.mil import Program
    from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
    from coremltools.converters.mil.mil.passes.pass_registry import register_pass

    @register_pass(namespace="mnv4", name="validate", override=True)
    class Validate(AbstractGraphPass):  # type: ignore[misc]
        def apply(self, prog: Any) -> None:
            if stock := getattr(Program.validate, "stock", None):
                stock(prog, check_essential_scope=False)

    return "mnv4::validate"


@contextmanager
def _decompositions_in_place() -> Iterator[None]:
    from torch.export import ExportedProgram

    from mnv4_mobile.program.decompose import decomposed

    with patch.object(ExportedProgram, "run_decompositions", decomposed):
        yield


def pipeline(passes: Sequence[str]) -> Any:
    """Returns coremltools' passes without a wrong one, then others, then a validation.

    Args:
        passes: The names of registered passes.
    """
    found = coremltools().PassPipeline()
    found.remove_passes({"common::int_op_canonicalization"})
    for name in (*passes, _validation()):
        found.append_pass(name)
    return found


def forget_output_types() -> str:
    """Registers a pass that drops the requested output types, once applied; returns its name."""
    from coremltools.converters.mil.mil.passes.graph_pass import AbstractGraphPass
    from coremltools.converters.mil.mil.passes.pass_registry import register_pass

    @register_pass(namespace="mnv4", name="forget_output_types", override=True)
    class ForgetOutputTypes(AbstractGraphPass):  # type: ignore[misc]
        def apply(self, prog: Any) -> None:
            prog.functions["main"].output_types = None

    return "mnv4::forget_output_types"


def retype_int8(value: Any) -> None:
    """Makes a value of a MIL program int8; what reads it is left as it is."""
    from coremltools.converters.mil.mil import types

    value._sym_type = types.tensor(types.int8, value.shape)


def weight_compressor(form: Form) -> Callable[[Any], Any]:
    """Returns the class of coremltools' pass that compresses weights before a model is made."""
    from coremltools.optimize.coreml import _quantization_passes as passes

    found: Callable[[Any], Any]
    found = passes.palettize_weights if form == "palette" else passes.linear_quantize_weights
    return found


def register_quantize_operators() -> None:
    """Registers torch's operators `quantized_decomposed`."""
    importlib.import_module("torch.ao.quantization.fx._decomposed")


PATCHES = Patches(
    tested={"coremltools": "==9.0.*", "torch": "==2.13.*"},
    table=(
        Patch(
            name="scales around a reshape",
            kind="workaround",
            reason="A pass drops a dequantize and quantize of different scales around a reshape.",
            upstream="coremltools, common::int_op_canonicalization",
            saves="The values after the reshape, which would have the wrong scale.",
        ),
        Patch(
            name="types of outputs",
            kind="workaround",
            reason="Requested types are looked up by position, but a classifier has one output "
            "more.",
            upstream="coremltools/converters/mil/backend/mil/load.py, get_func_output",
            saves="An IndexError for a classifier with other outputs.",
        ),
        Patch(
            name="scales of int8 arrays",
            kind="workaround",
            reason="Inputs and outputs of int8 are cast, and have no scale.",
            upstream="coremltools/converters/mil/frontend/torch/exir_utils.py",
            saves="int8 inputs and outputs.",
        ),
        Patch(
            name="compression in the pipeline",
            kind="workaround",
            reason="The public functions compress a finished model, whose layers have no names.",
            upstream="coremltools/optimize/coreml/_quantization_passes.py",
            saves="Compression by layer.",
        ),
        Patch(
            name="operators for integers",
            kind="workaround",
            reason="The operators that coremltools reads are registered by a private module.",
            upstream="torch/ao/quantization/fx/_decomposed.py",
            saves="Static int8 activations.",
        ),
        Patch(
            name="fewer imports",
            kind="speedup",
            reason="coremltools imports every framework whose models it might convert or compress.",
            upstream="coremltools/_deps/__init__.py",
            saves="12 of 14 CPU seconds of the import, with everything installed.",
        ),
        Patch(
            name="validation at the end",
            kind="speedup",
            reason="The program is validated after each of 95 passes.",
            upstream="coremltools/converters/mil/mil/program.py, Program.validate",
            saves="1.8 s.",
            apply=_validation_at_the_end,
        ),
        Patch(
            name="decompositions in place",
            kind="speedup",
            reason="The whole program is traced twice.",
            upstream="torch/export/exported_program.py, ExportedProgram.run_decompositions",
            saves="0.9 s.",
            apply=_decompositions_in_place,
        ),
    ),
)
