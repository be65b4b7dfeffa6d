"""Plants faults in artifacts and asks `mnv4 diff` which layer is wrong.

    python -m benchmarks.faults -o out/faults [--targets tflite,coreml,...]

For every target and recipe, the demo network gets a wrong scale (all weights of a convolution half
as large again), a swapped padding (all of it after the image, as TensorFlow has it, and not half on
each side), a dropped bias or a transposed weight (the same numbers in the wrong order), at five
random layers each. The fault is planted in the artifact's bytes, with two exceptions: the padding
of an `.aimodel` is changed in the exported program, because all convolutions share one constant
there, and faults of a Snapdragon's file in the LiteRT model that it is compiled from.

A fault counts if it brings the output below 40 dB, and in integers, which lose more than that
without one, if the output loses 10 dB or more; else it is drawn again. The artifact is then
compared with the deploy form in PyTorch, prepared as the recipe says: `named` counts how often the
layer that loses most by itself is the one with the fault, and `first below` how often it is also
the first one below 40 dB, which is said of floats only.
"""

from __future__ import annotations

import argparse
import random
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx
from torch.export import ExportedProgram

from mnv4_coreai.asset import HASH, PROGRAM
from mnv4_coreml.mil.saved import SavedModel
from mnv4_executorch.pte import Program
from mnv4_executorch.speedups import program_of, xnnpack_graph
from mnv4_mobile import Options, build, files
from mnv4_mobile.bundle.folder import Bundle, open_bundle, write_manifest
from mnv4_mobile.bundle.parity import median_db
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.program.operations import operations
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.diff import diff
from mnv4_mobile.quality.sides import FoldedSide, Origin, artifact_sides, torch_sides
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import load_target
from mnv4_snapdragon.compiled import SOURCE, read_compiled, soc_of, source_of
from mnv4_snapdragon.speedups import compiled
from mnv4_tflite.flatbuffer import kinds, pack, read_model, write_model
from mnv4_tflite.reader import Model

KINDS = ("scale", "padding", "bias", "transposed")
BOUND_DB, LOSS_DB = 40.0, 10.0
TIMES = 5
RECIPES = {
    "tflite": ("fp32", "int8"),
    "coreml": ("fp32", "int8"),
    "executorch": ("fp32", "int8"),
    "coreai": ("fp32",),
    "snapdragon": ("fp16", "int8"),
}
"""The recipes of each target."""
_INTEGERS = "int8"
_MODEL, _WEIGHTS, _SIZE = "conv-small-035", "demo", (96, 96)
_IMAGES = Path(__file__).parents[1] / "mnv4_mobile" / "demo" / "pictures"
_OPTIONS = {"snapdragon": {"soc": ["SM8750"], "watchable": True}}


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """A convolution of the deploy form."""

    layer: str
    weight: npt.NDArray[np.float32]
    """(O, I, H, W)"""
    bias: npt.NDArray[np.float32]
    stride: int
    padding: int


def convolutions(program: ExportedProgram) -> list[Convolution]:
    """Returns the convolutions of a deploy form in the order in which they run."""
    found = []
    for operation in operations(program.graph):
        if operation.kind == "conv":
            weight, bias = (_parameter(program, node) for node in operation.node.args[1:3])
            _, _, _, stride, padding, *_ = (*operation.node.args, (1, 1), (0, 0))
            found.append(
                Convolution(
                    layer=operation.name,
                    weight=weight,
                    bias=bias,
                    stride=_first(stride),
                    padding=_first(padding),
                )
            )
    return found


def _first(pair: Any) -> int:
    return int(pair[0])


def _parameter(program: ExportedProgram, node: Any) -> npt.NDArray[np.float32]:
    assert isinstance(node, fx.Node)
    found = program.state_dict[program.graph_signature.inputs_to_parameters[node.name]]
    values: npt.NDArray[np.float32] = found.detach().numpy()
    return values


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The constants of a convolution, as an artifact stores them."""

    weight: npt.NDArray[Any]
    bias: npt.NDArray[Any]
    rows: int
    """The axis of `weight` along which a filter's rows lie; its columns lie along the next one."""
    scale: npt.NDArray[Any] | None = None
    """What the weight's integers stand for; None for floats."""
    bias_scale: npt.NDArray[Any] | None = None
    """What the bias's integers stand for; None for floats."""

    def changes(self, kind: str) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        """Returns what a fault replaces, and by what."""
        if kind == "bias":
            return [(self.bias, np.zeros_like(self.bias))]
        if kind == "transposed":
            return [(self.weight, self._transposed())]
        if self.scale is None:
            return [(self.weight, self.weight * self.weight.dtype.type(1.5))]
        coarser = [(self.scale, self.scale * self.scale.dtype.type(1.5))]
        if self.bias_scale is not None:  # it is the product of two scales, and the bias stays
            smaller = np.rint(self.bias / 1.5).astype(self.bias.dtype)
            coarser += [(self.bias_scale, self.bias_scale * np.float32(1.5)), (self.bias, smaller)]
        return coarser

    def _transposed(self) -> npt.NDArray[Any]:
        if self.weight.shape[self.rows] > 1:
            return np.ascontiguousarray(self.weight.swapaxes(self.rows, self.rows + 1))
        flat = self.weight.reshape(-1, len(self.bias))
        return np.ascontiguousarray(flat.T).reshape(self.weight.shape)


def spoil(kind: str, bundle: Bundle, conv: Convolution, index: int, out: Path) -> Bundle | None:
    """Writes a copy of a bundle with a fault in its artifact.

    Args:
        kind: One of `KINDS`.
        bundle: The bundle.
        conv: The convolution to spoil.
        index: How many convolutions run before it.
        out: The folder of the copy.

    Returns:
        The copy; None if the convolution has nothing of this kind to spoil.
    """
    shutil.copytree(bundle.path, out)
    artifact = out / bundle.manifest.artifact.path
    planted = False
    if kind != "padding" or (conv.padding > 0 and conv.stride > 1):
        planted = _plant(bundle.manifest.target, artifact, kind, conv, index)
    if not planted:
        shutil.rmtree(out)
        return None
    if (artifact / HASH).exists():
        (artifact / HASH).write_bytes(sha256((artifact / PROGRAM).read_bytes()).digest())
    entry = replace(
        bundle.manifest.artifact, bytes=files.size(artifact), sha256=files.sha256(artifact)
    )
    write_manifest(out, replace(bundle.manifest, artifact=entry))
    return open_bundle(out)


def _plant(target: str, artifact: Path, kind: str, conv: Convolution, index: int) -> bool:
    if target == "snapdragon":
        return _plant_in_source(artifact, kind, conv, index)
    if kind == "padding":
        return _PADDINGS[target](artifact, index, conv.padding)
    read = _STORED.get(target)
    stored = read(artifact, index) if read else _as_exported(conv)
    return all(_replaced(artifact, *change) for change in stored.changes(kind))


def _plant_in_source(artifact: Path, kind: str, conv: Convolution, index: int) -> bool:
    """Plants a fault in the LiteRT model that a file was compiled from, and compiles it again."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, SOURCE)
        source.write_bytes(source_of(artifact))
        if not _plant("tflite", source, kind, conv, index):
            return False
        made = compiled(source, soc_of(read_compiled(artifact)), Path(folder))
        artifact.write_bytes(pack(made.read_bytes(), SOURCE, source.read_bytes()))
    return True


def _replaced(artifact: Path, before: npt.NDArray[Any], after: npt.NDArray[Any]) -> bool:
    """Replaces values in an artifact's files, in whatever order of axes they are stored."""
    if np.array_equal(before, after):
        return False
    paths = [path for path in artifact.rglob("*") if path.is_file()]
    for path in paths or [artifact]:
        data = path.read_bytes()
        for axes in permutations(range(before.ndim)):
            old = before.transpose(axes).tobytes()
            if data.count(old) == 1:
                path.write_bytes(data.replace(old, after.transpose(axes).tobytes()))
                return True
    return False


def _as_exported(conv: Convolution) -> Stored:
    return Stored(weight=conv.weight, bias=conv.bias, rows=2)


def _tflite_stored(artifact: Path, index: int) -> Stored:
    model = Model(artifact)
    grids = [one.quantization for one in read_model(artifact.read_bytes()).subgraphs[0].tensors]
    unpacked = {s.outputs[0]: s.inputs[0] for s in model.steps if s.kind == "DEQUANTIZE"}
    conv = [step for step in model.steps if step.kind.endswith("CONV_2D")][index]
    weight, bias = (unpacked.get(number, number) for number in conv.inputs[1:3])

    def values(number: int) -> npt.NDArray[Any]:
        tensor = model.tensors[number]
        assert tensor.data is not None
        return np.frombuffer(tensor.data, tensor.dtype).reshape(tensor.shape)

    def scale(number: int) -> npt.NDArray[Any] | None:
        integers = model.tensors[number].dtype.startswith("int")
        return np.asarray(grids[number].scale, np.float32) if integers else None

    return Stored(
        weight=values(weight),
        bias=values(bias),
        rows=1,
        scale=scale(weight),
        bias_scale=scale(bias),
    )


def _coreml_stored(artifact: Path, index: int) -> Stored:
    model = SavedModel(artifact)
    operations = list(model.block().operations)
    conv = [operation for operation in operations if operation.type == "conv"][index]

    def constants(port: str) -> dict[str, npt.NDArray[Any]]:
        (name,) = (binding.name for binding in conv.inputs[port].arguments)
        (found,) = (op for op in operations if op.outputs and op.outputs[0].name == name)
        return {
            key: np.asarray(model.value(value)).astype(model.tensor_type(value.type)[0])
            for key, value in found.attributes.items()
            if key in ("val", "quantized_data", "scale")
        }

    weight, bias = constants("weight"), constants("bias")
    scale = weight.pop("scale", None)
    (values,) = weight.values()
    return Stored(weight=values, bias=bias["val"], rows=2, scale=scale)


def _executorch_stored(artifact: Path, index: int) -> Stored:
    file = program_of(artifact.read_bytes())
    (delegate,) = file.program.backend_delegate_data
    graph = xnnpack_graph(bytes(delegate.data))
    entries = [entry["xvalue_union"] for entry in graph["xvalues"]]
    tensors = {entry.get("tensor_value", entry)["id_out"]: entry for entry in entries}
    nodes = [node["xnode_union"] for node in graph["xnodes"] if "filter_id" in node["xnode_union"]]
    weight, bias = (tensors[nodes[index][key]] for key in ("filter_id", "bias_id"))

    def constant(number: int, dtype: str) -> npt.NDArray[Any]:
        key = graph["constant_data"][number]["named_key"]
        buffer = file.named_data.buffers[file.named_data.pte_data[key].buffer_index]
        return np.frombuffer(buffer, dtype)

    def values(entry: dict[str, Any], integers: str) -> npt.NDArray[Any]:
        tensor = entry.get("tensor_value", entry)
        dtype = "float32" if tensor["datatype"] == "xnn_datatype_fp32" else integers
        return constant(tensor["constant_buffer_idx"], dtype).reshape(tensor["dims"])

    def scale(entry: dict[str, Any]) -> npt.NDArray[Any] | None:
        grid = entry.get("quant_params")
        return constant(grid["scale_buffer_idx"], "float32") if grid else None

    return Stored(
        weight=values(weight, "int8"),
        bias=values(bias, "int32"),
        rows=1,
        scale=scale(weight),
        bias_scale=scale(bias),
    )


_STORED: Mapping[str, Callable[[Path, int], Stored]] = {
    "tflite": _tflite_stored,
    "coreml": _coreml_stored,
    "executorch": _executorch_stored,
}


def _tflite_padding(artifact: Path, index: int, padding: int) -> bool:
    """Gives a convolution's PAD a constant of its own."""
    from ai_edge_litert import schema_py_generated as schema

    model = read_model(artifact.read_bytes())
    graph = model.subgraphs[0]
    steps = list(zip(kinds(model), graph.operators, strict=True))
    conv = [step for kind, step in steps if kind.endswith("CONV_2D")][index]
    pads = [s for kind, s in steps if kind == "PAD" and s.outputs[0] == conv.inputs[0]]
    if not pads:
        return False
    sizes = np.array([[0, 0], [0, 2 * padding], [0, 2 * padding], [0, 0]], np.int32)
    tensor, buffer = schema.TensorT(), schema.BufferT()
    buffer.data = sizes.view(np.uint8).ravel()
    tensor.name, tensor.type = b"padding", schema.TensorType.INT32
    tensor.shape, tensor.buffer = np.array(sizes.shape, np.int32), len(model.buffers)
    model.buffers.append(buffer)
    graph.tensors.append(tensor)
    pads[0].inputs = np.array([pads[0].inputs[0], len(graph.tensors) - 1], np.int32)
    artifact.write_bytes(write_model(model))
    return True


def _coreml_padding(artifact: Path, index: int, padding: int) -> bool:
    """Gives a convolution's operation a padding of its own."""
    model = SavedModel(artifact)
    operations = list(model.block().operations)
    conv = [operation for operation in operations if operation.type == "conv"][index]
    (name,) = (binding.name for binding in conv.inputs["pad"].arguments)
    (constant,) = (op for op in operations if op.outputs and op.outputs[0].name == name)
    value = constant.attributes["val"]
    if list(value.immediateValue.tensor.ints.values) != [padding] * 4:
        return False
    own = model.block().operations.add()
    own.CopyFrom(constant)
    own.outputs[0].name = own.attributes["name"].immediateValue.tensor.strings.values[0] = "pad_own"
    own.attributes["val"].immediateValue.tensor.ints.values[:] = [0, 2 * padding] * 2
    conv.inputs["pad"].arguments[0].name = "pad_own"
    block = model.block()
    moved = [block.operations[-1], *list(block.operations)[:-1]]
    copies = [type(one).FromString(one.SerializeToString()) for one in moved]
    del block.operations[:]
    block.operations.extend(copies)
    (file,) = artifact.rglob("*.mlmodel")
    file.write_bytes(model.spec.SerializeToString(deterministic=True))
    return True


def _executorch_padding(artifact: Path, index: int, padding: int) -> bool:
    """Changes the padding of a node of XNNPACK's graph."""
    data = bytearray(artifact.read_bytes())
    (call,) = (call for call in Program(artifact).calls if call.delegate)
    assert call.delegate is not None
    inside = bytes(call.delegate.data)
    base = data.find(inside)
    graph_at = int.from_bytes(inside[10:14], "little")
    root = call.delegate.part(graph_at).root()
    nodes = [node.table(1) for node in root.tables(1) if node.integer(0, 8) in (7, 13)]
    for field, size in enumerate((0, 2 * padding, 2 * padding, 0)):
        at = nodes[index]._at(field)
        if at is None:
            return False
        struct.pack_into("<I", data, base + graph_at + at, size)
    artifact.write_bytes(data)
    return True


def _coreai_padding(artifact: Path, index: int, padding: int) -> bool:
    """Lowers the network again, with a padding before the convolution instead of in it."""
    side = folded(open_bundle(artifact.parent))
    program = side.program
    graph = program.graph
    conv = [op.node for op in operations(graph) if op.kind == "conv"][index]
    image = conv.args[0]
    assert isinstance(image, fx.Node)
    with graph.inserting_before(conv):
        pad = torch.ops.aten.constant_pad_nd.default
        padded = graph.call_function(pad, (image, [0, 2 * padding, 0, 2 * padding], 0.0))
    padded.meta = dict(conv.meta)
    with torch.no_grad():
        padded.meta["val"] = pad(image.meta["val"], [0, 2 * padding, 0, 2 * padding], 0.0)
    conv.args = (padded, *conv.args[1:4], [0, 0], *conv.args[5:])
    program.graph_module.recompile()
    shutil.rmtree(artifact)
    load_target("coreai").lower(program, side.spec, load_recipe("fp32"), None, artifact)
    return True


def folded(bundle: Bundle) -> FoldedSide:
    """Returns the deploy form that a bundle of the demo network was lowered from."""
    calibrate = str(_IMAGES) if bundle.manifest.calibration else None
    side, *_ = torch_sides(bundle, Origin(weights=_WEIGHTS, calibrate=calibrate), Progress())
    assert isinstance(side, FoldedSide)
    return side


_PADDINGS: Mapping[str, Callable[[Path, int, int], bool]] = {
    "tflite": _tflite_padding,
    "coreml": _coreml_padding,
    "executorch": _executorch_padding,
    "coreai": _coreai_padding,
}


def output_db(bundle: Bundle) -> float:
    """Returns how close a bundle's output is to the float model's on the golden images."""
    images = bundle.golden("input")["pixels"]
    with Worker(bundle.manifest.target, bundle.artifact) as worker:
        found = run_pixels(worker, bundle.input, bundle.outputs, images, bundle.preprocess)
    expected = bundle.golden("eager")
    return min(median_db(expected[name], found[name]) for name in expected)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A fault, and what `mnv4 diff` says about it."""

    layer: str
    output_db: float
    worst: str
    first_below: str


def planted(bundle: Bundle, reference: FoldedSide, kind: str, work: Path) -> Iterator[Planted]:
    """Plants `TIMES` faults of a kind that count, and yields what was found."""
    target, recipe = bundle.manifest.target, bundle.manifest.recipe
    bound = output_db(bundle) - LOSS_DB if recipe == _INTEGERS else BOUND_DB
    order = list(enumerate(convolutions(reference.program)))
    random.Random(f"{target} {kind}").shuffle(order)
    count = 0
    for index, conv in order:
        folder = work / f"{bundle.manifest.id}-{kind}-{index}"
        shutil.rmtree(folder, ignore_errors=True)
        spoiled = spoil(kind, bundle, conv, index, folder)
        if spoiled is None or not (found_db := output_db(spoiled)) < bound:
            continue
        with artifact_sides([spoiled], (), 1) as sides:
            images = bundle.golden("input")["pixels"]
            (pair,) = diff([reference, *sides], images, BOUND_DB, Progress()).pairs
        yield Planted(
            layer=conv.layer,
            output_db=found_db,
            worst=pair.worst.layer if pair.worst else "",
            first_below=pair.first_below.layer if pair.first_below else "",
        )
        count += 1
        if count == TIMES:
            return


def _built(target: str, recipe: str, work: Path) -> Bundle:
    options = Options(
        size=_SIZE,
        images=_IMAGES,
        calibrate=str(_IMAGES) if recipe == _INTEGERS else None,
        options={name: values for name, values in _OPTIONS.items() if name == target},
    )
    (made,) = build(
        _MODEL,
        weights=_WEIGHTS,
        out=work,
        targets=[target],
        recipes=[recipe],
        options=options,
        force=True,
    )
    return open_bundle(made)


def main() -> None:
    """Plants the faults of the chosen targets, and prints a line for each kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--targets", default=",".join(RECIPES))
    parser.add_argument("--recipes", default="fp32,fp16,int8")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print("| target | recipe | fault | layers, with the output's dB | named | first below |")
    print("|---|---|---|---|---|---|")
    for target in given.targets.split(","):
        for recipe in RECIPES[target]:
            if recipe in given.recipes.split(","):
                _print(target, recipe, given.out)


def _print(target: str, recipe: str, out: Path) -> None:
    bundle = _built(target, recipe, out)
    reference = folded(bundle)
    for kind in KINDS:
        found = list(planted(bundle, reference, kind, out))
        layers = ", ".join(f"{one.layer} {one.output_db:.0f}" for one in found)
        named = sum(one.worst == one.layer for one in found)
        below = sum(one.first_below == one.layer for one in found)
        said = "" if recipe == _INTEGERS else f"{below} of {len(found)}"
        print(
            f"| {target} | {recipe} | {kind} | {layers} | {named} of {len(found)} | {said} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
