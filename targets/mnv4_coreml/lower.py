"""Lowering to an `.mlpackage`."""

from __future__ import annotations

import json
import shutil
import tempfile
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import redirect_stderr
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.export import ExportedProgram

from mnv4_coreml import is_classifier
from mnv4_coreml.activations import quantize_activations
from mnv4_coreml.compress import compression_pass
from mnv4_coreml.integer_io import NOTE, integer_pass, port_grids, port_ranges
from mnv4_coreml.mil.saved import MAIN, SavedModel
from mnv4_coreml.speedups import PATCHES, coremltools, forget_output_types, pipeline
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.files import write_bytes
from mnv4_mobile.layers import Layer
from mnv4_mobile.patches import stock
from mnv4_mobile.program.export import outputs_of
from mnv4_mobile.program.operations import image_of
from mnv4_mobile.quantize.assignment import Assignment, assignments, layers, wide
from mnv4_mobile.quantize.compression import fitted
from mnv4_mobile.quantize.neural_engine import arithmetic
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import Images, Lowered
from mnv4_mobile.tensors import Quantization, TensorSpec, sizes_text

aten = torch.ops.aten

LABEL, PROBABILITIES = "classLabel", "classLabel_probs"
"""A classifier's outputs: the names that coremltools gives and that Vision expects."""

_OUTPUTS = {
    "logits": "The classes' scores, before the softmax",
    "probabilities": "The classes' probabilities",
    "embedding": "Features of the whole image, pooled",
}

# Parts of the RuntimeErrors of coremltools' native code if a disk is full or not writable.
_WRITING = ("FileWriter", "filesystem error", "A valid manifest does not exist")


def lower(
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images | None,
    out: Path,
) -> Lowered:
    """Lowers a deploy form to the package `out`; see `Target.lower`.

    Raises:
        OSError: The package, or coremltools' temporary files, cannot be written, or `out` exists.
    """
    # Before any of its modules is imported, which would import every framework it looks for.
    coremltools(stock=stock(spec))
    recipe = replace(recipe, precision=arithmetic(recipe))
    with PATCHES.applied(stock(spec)) as notes:
        found, grids = _lowered(program, spec, recipe, calibration, out)
    return Lowered(
        path=out,
        input=_quantized(_input(spec), grids),
        outputs=tuple(_quantized(one, grids) for one in _outputs(program, spec)),
        layers=found,
        requires={name: str(spec.options[name]) for name in ("min_ios", "compute_unit")},
        notes=(*notes, *([NOTE] if grids else [])),
    )


def join(parts: Sequence[Lowered], spec: BuildSpec, out: Path) -> Lowered:
    """Joins packages of one input size each; see `Joining.join`.

    Raises:
        OSError: The package, or coremltools' temporary files, cannot be written.
    """
    ct = coremltools(stock=stock(spec))
    joined = ct.models.utils.MultiFunctionDescriptor()
    for index, (part, size) in enumerate(zip(parts, spec.sizes, strict=True)):
        name = f"size_{sizes_text([size])}" if index else MAIN
        joined.add_function(str(part.path), MAIN, name)
    joined.default_function_name = MAIN
    try:
        with redirect_stderr(StringIO()):  # its progress bars cannot be turned off
            ct.models.utils.save_multifunction(joined, str(out))
        model = SavedModel(out).spec
        model.description.metadata.CopyFrom(SavedModel(parts[0].path).spec.description.metadata)
        model.mlProgram.attributes.pop("buildInfo", None)
        _write(out, model)
    except BaseException as error:
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, RuntimeError) and any(word in str(error) for word in _WRITING):
            raise OSError(f"{out} or {tempfile.gettempdir()}: cannot write: {error}") from error
        raise
    return replace(parts[0], path=out)


def _lowered(
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    calibration: Images | None,
    out: Path,
) -> tuple[tuple[Layer, ...], dict[str, Quantization]]:
    """Writes the package.

    Returns:
        Its layers as `Lowered.layers` has them, and what integer inputs and outputs stand for, by
        name.
    """
    copy = _with_float_input(program)
    large = wide(copy.graph, spec.overflowing)
    recipe = large.kept(recipe)
    assigned: list[Assignment] = []
    grids: dict[str, Quantization] = {}
    passes = [forget_output_types()] if is_classifier(spec) else []
    if recipe.weights:
        assigned = assignments(copy.graph, recipe, weights_alone="int8-weights")
        assigned, compressions = fitted(assigned, recipe.weights)
        passes.append(compression_pass(compressions, recipe.weights.form))
    if recipe.activations:
        assert calibration is not None
        ranges = port_ranges(copy, spec, recipe, calibration) if spec.io == "int8" else {}
        rounded = quantize_activations(copy, assigned, spec, recipe, calibration)
        if grids := port_grids(copy, ranges, rounded):
            passes.append(integer_pass(grids))
    out.mkdir()  # fails if it exists; coremltools accepts an empty folder
    try:
        model = _convert(copy, spec, recipe, large.nodes, passes, out)
        _write(out, _described(model.get_spec(), spec))
    except BaseException as error:
        shutil.rmtree(out, ignore_errors=True)
        if isinstance(error, RuntimeError) and any(word in str(error) for word in _WRITING):
            raise OSError(f"{out} or {tempfile.gettempdir()}: cannot write: {error}") from error
        raise
    return (*layers(assigned, recipe), *large.layers), grids


def _convert(
    program: ExportedProgram,
    spec: BuildSpec,
    recipe: Recipe,
    large: Collection[fx.Node],
    passes: Sequence[str],
    out: Path,
) -> Any:
    """Makes coremltools write the package, and returns its model.

    Args:
        program: The deploy form with a float input.
        spec: What is built.
        recipe: The precision.
        large: The nodes of the deploy form that stay float32.
        passes: Names of passes to run after coremltools' own.
        out: An empty folder.
    """
    ct = coremltools()
    # Integers get their scale from a pass, after coremltools' own.
    io = getattr(np, recipe.precision if spec.io == "int8" else spec.io)
    shape = (spec.batch, 3, *spec.preprocess.size)
    if spec.input == "pixels":
        image = ct.ImageType("image", shape=shape, color_layout=ct.colorlayout.RGB)
    else:
        image = ct.TensorType("image", shape=shape, dtype=io)
    classifier = None
    if is_classifier(spec):
        classifier = ct.ClassifierConfig(
            list(spec.labels or ()), LABEL, predicted_probabilities_output="probabilities"
        )
    return ct.convert(
        program,
        source="pytorch",
        convert_to="mlprogram",
        inputs=[image],
        outputs=[ct.TensorType(name, dtype=io) for name in spec.outputs],
        classifier_config=classifier,
        minimum_deployment_target=ct.target[f"iOS{spec.options['min_ios']}"],
        compute_precision=_precision(recipe, program.graph, large),
        pass_pipeline=pipeline(passes),
        package_dir=str(out),
        skip_model_load=True,
    )


def _precision(recipe: Recipe, graph: fx.Graph, large: Collection[fx.Node]) -> Any:
    """Returns the precision that coremltools is to compute in, for each of its operations.

    Operations have the names of the nodes that they were made of. Those that a node was decomposed
    into have names of their own, and the type of what they read.
    """
    ct = coremltools()
    if recipe.precision == "float32":
        return ct.precision.FLOAT32
    known = {node.name for node in graph.nodes}
    float32 = {node.name for node in large}

    def in_float16(op: Any) -> bool:
        read = (value.op.name for value in op.inputs.values() if getattr(value, "op", None))
        if op.name not in known and not float32.isdisjoint(read):
            float32.add(op.name)
        return op.name not in float32

    return ct.transform.FP16ComputePrecision(in_float16)


def _with_float_input(program: ExportedProgram) -> ExportedProgram:
    """Returns a decomposed copy that takes floats: Core ML itself converts an image's bytes.

    The normalisation that remains is the subtraction of the mean. `ImageType(bias=...)` gives the
    same operation, but before the cast to float16, where the Neural Engine cannot run it.
    """
    copy: ExportedProgram = program.run_decompositions({})
    graph = copy.graph
    for node in list(graph.nodes):
        if node.target is aten._assert_tensor_metadata.default:
            graph.erase_node(node)
    image = image_of(graph, copy.graph_signature)
    if image.meta["val"].dtype == torch.uint8:
        (cast,) = image.users
        image.meta["val"] = cast.meta["val"]
        cast.replace_all_uses_with(image)
        graph.erase_node(cast)
    return copy


def _input(spec: BuildSpec) -> TensorSpec:
    height, width = spec.preprocess.size
    if spec.input == "pixels":
        shape: tuple[int, ...] = (1, height, width, 3)
        return TensorSpec(name="image", kind="image", shape=shape, dtype="uint8", layout="nhwc")
    shape = (spec.batch, 3, height, width)
    return TensorSpec(name="image", kind="image", shape=shape, dtype=spec.io, layout="nchw")


def _outputs(program: ExportedProgram, spec: BuildSpec) -> tuple[TensorSpec, ...]:
    found = outputs_of(program, spec)
    if not is_classifier(spec):
        return found
    return tuple(
        replace(one, name=PROBABILITIES, dtype="float32") if one.kind == "probabilities" else one
        for one in found
    )


def _quantized(tensor: TensorSpec, grids: Mapping[str, Quantization]) -> TensorSpec:
    return replace(tensor, quantization=grids.get(tensor.name))


def _described(model: Any, spec: BuildSpec) -> Any:
    """Adds to a model specification what Xcode shows and what an app needs."""
    # The only content that differs between builds of the same model.
    del model.description.metadata.userDefined["com.github.apple.coremltools.conversion_date"]
    del model.mlProgram.attributes["buildInfo"]
    metadata = model.description.metadata
    metadata.shortDescription = f"MobileNetV4 ({spec.model.name})"
    metadata.versionString = version("mnv4-mobile")
    metadata.userDefined["preprocess"] = json.dumps(spec.about_preprocess())
    metadata.userDefined["compute_unit"] = str(spec.options["compute_unit"])
    if spec.labels:
        metadata.userDefined["labels"] = json.dumps(spec.labels, ensure_ascii=False)
    height, width = spec.preprocess.size
    (image,) = model.description.input
    image.shortDescription = f"RGB image of {height} x {width} (height x width)" + (
        "" if spec.input == "pixels" else ", normalised: (value / 255 - mean) / std"
    )
    texts = _OUTPUTS | {LABEL: "The most likely class", PROBABILITIES: _OUTPUTS["probabilities"]}
    for feature in model.description.output:
        feature.shortDescription = texts.get(feature.name, f"Feature map of {feature.name}")
    return model


def _write(package: Path, model: Any) -> None:
    """Puts a model specification into a package, so that the same model gives the same bytes.

    The order of protobuf maps differs between processes, and items get new identifiers.
    coremltools writes Manifest.json anew whenever it opens a package; the file has the form that it
    writes, because a bundle's hash covers it.
    """
    path = package / "Manifest.json"
    text = path.read_text()
    for identifier, item in json.loads(text)["itemInfoEntries"].items():
        text = text.replace(identifier, str(uuid.uuid5(uuid.NAMESPACE_URL, item["path"])))
    manifest = json.loads(text)
    root = manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"]
    write_bytes(path, f"{json.dumps(manifest, indent=4, sort_keys=True)}\n".encode())
    write_bytes(package / "Data" / root, model.SerializeToString(deterministic=True))
    for folder in package.rglob("*/"):
        folder.chmod(0o755)  # coremltools leaves its temporary folder's 0700
