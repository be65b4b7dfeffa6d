"""Lowering to an `.aimodel`."""

from __future__ import annotations

import json
import shutil
from importlib.metadata import version
from pathlib import Path

from torch.export import ExportedProgram

from mnv4_coreai.activations import quantize_activations
from mnv4_coreai.asset import METADATA
from mnv4_coreai.compress import compress
from mnv4_coreai.rewrite import in_float16, own_copy
from mnv4_coreai.speedups import PATCHES, Metadata, save
from mnv4_coreai.versions import LEAST_OS, converter, warnings
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.files import write_bytes
from mnv4_mobile.layers import Layer
from mnv4_mobile.program.export import outputs_of
from mnv4_mobile.quantize.assignment import Assignment, assignments, layers, wide
from mnv4_mobile.quantize.compression import fitted
from mnv4_mobile.quantize.neural_engine import arithmetic
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Images, Lowered
from mnv4_mobile.tensors import TensorSpec


def lower(
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images | None,
    out: Path,
) -> Lowered:
    """Lowers a deploy form to the asset `out`; see `Target.lower`.

    Raises:
        OSError: The asset cannot be written, or `out` exists.
    """
    recipe = replace(recipe, precision=arithmetic(recipe))
    with PATCHES.applied(stock=True) as notes:  # none of them only saves time
        found = _lowered(program, spec, recipe, calibration, out)
    return Lowered(
        path=out,
        input=_input(spec),
        outputs=outputs_of(program, spec),
        layers=found,
        requires={
            "min_ios": str(LEAST_OS),
            "compute_unit": str(spec.options["compute_unit"]),
            "converter": converter(),
        },
        notes=(*notes, *warnings()),
    )


def _lowered(
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images | None,
    out: Path,
) -> tuple[Layer, ...]:
    """Writes the asset, and returns its layers as `Lowered.layers` has them."""
    # A copy with the operators of the deploy form, by whose names the recipe is applied.
    copy = own_copy(program)
    large = wide(copy.graph, spec.overflowing)
    recipe = large.kept(recipe)
    assigned: list[Assignment] = []
    if recipe.weights:
        assigned = assignments(copy.graph, recipe, weights_alone="int8-weights")
        assigned, compressions = fitted(assigned, recipe.weights)
        if recipe.activations:
            assert calibration is not None
            quantize_activations(copy, assigned, spec, recipe, calibration)
        convolutions = [one.operation.node for one in assigned if one.operation.kind == "conv"]
        compress(copy, convolutions, compressions)
    if recipe.precision == "float16":
        in_float16(copy, large.nodes)
    try:
        save(copy, spec.outputs, _metadata(spec), out)
        _sort(out / METADATA)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    return (*layers(assigned, recipe), *large.layers)


def _input(spec: BuildSpec) -> TensorSpec:
    shape = (spec.batch, 3, *spec.preprocess.size)
    dtype = "uint8" if spec.input == "pixels" else spec.io
    return TensorSpec(name="image", kind="image", shape=shape, dtype=dtype, layout="nchw")


def _sort(path: Path) -> None:
    """Sorts the keys of a JSON file, which Core AI writes in a random order."""
    text = json.dumps(json.loads(path.read_bytes()), indent=2, sort_keys=True, ensure_ascii=False)
    write_bytes(path, f"{text}\n".encode())


def _metadata(spec: BuildSpec) -> Metadata:
    custom: dict[str, object] = {
        "generator": f"mnv4-mobile {version('mnv4-mobile')}",
        "preprocess": spec.about_preprocess(),
    }
    if spec.labels:
        custom["labels"] = list(spec.labels)
    return Metadata(
        description=f"MobileNetV4 ({spec.model.name})", licence=spec.licence or "", custom=custom
    )
