"""A target of somebody else's: Core ML's interpreter by another name, with units and options."""

from collections.abc import Mapping

import mnv4_coreml
from mnv4_mobile.option import Option
from mnv4_mobile.target import Lowered
from mnv4_mobile.units import Executor, Unit


class Chip(mnv4_coreml.CoreML):
    """A chip that is reached through Core ML's format."""

    name = "chip"
    suffix = ".chip"
    distributions = ("coremltools", "chip")
    units: Mapping[Unit, Executor] = {
        "npu": Executor(name="simulator", emulated=True),
        "cpu": Executor(name="reference"),
    }
    options = (
        *mnv4_coreml.CoreML.options,
        Option(name="soc", type=list, values=("a1", "b2", "c3"), default="a1", help="The chip."),
        Option(name="note", type=str, default="none", help="Anything."),
    )
    requires: Mapping[str, str] = {"soc": "the chip that the artifact is made for"}

    def made_for(self, spec):
        return "npu"

    def lower(self, program, spec, recipe, calibration, out):
        package = out.with_suffix(".mlpackage")
        found = super().lower(program, spec, recipe, calibration, package)
        package.rename(out)
        requires = {"soc": spec.options["soc"]}
        return Lowered(
            path=out,
            input=found.input,
            outputs=found.outputs,
            layers=found.layers,
            requires=requires,
        )

    def open(self, path, threads, unit=None):
        session = super().open(path, threads)
        # The reference is off by a little, so that a test can tell what has run.
        off = 1.00002 if unit == "cpu" else 1.0
        return lambda inputs: {k: (v * off).astype(v.dtype) for k, v in session(inputs).items()}


target = Chip()
