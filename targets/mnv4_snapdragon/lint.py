"""Finds what makes a compiled `.tflite` slow: operators that the NPU does not run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv4_mobile.errors import damaged
from mnv4_mobile.lint import Finding
from mnv4_snapdragon.compiled import layer_of, outside, read_compiled
from mnv4_tflite.reader import KIND


def lint(path: Path, layers: Sequence[str]) -> list[Finding]:
    """Finds what makes a compiled model slow; see `Target.lint`. The file names its layers itself.

    Raises:
        BundleError: The file is damaged, or not compiled for a Snapdragon.
    """
    model = read_compiled(path)
    with damaged(path, KIND):
        return [
            Finding(
                rule="outside-npu",
                layer=layer_of(model, step),
                what=f"{step.kind} in {model.tensors[step.outputs[0]].dtype}, on the CPU",
                advice="values go from the NPU to the CPU and back: choose a recipe that the NPU "
                "runs whole",
            )
            for step in outside(model)
        ]
