"""Plants faults in artifacts and asks `mnv4 diff` which layer is wrong.

    python -m benchmarks.faults -o out/faults [--targets tflite,coreml,...]

For every target, the demo network in float32 gets a wrong scale (all weights of a convolution half
as large again), a swapped padding (all of it after the image, as TensorFlow has it, and not half on
each side), a dropped bias or a transposed weight (the same numbers in the wrong order), at five
random layers each. The fault is planted in the artifact's bytes. Only the padding of an `.aimodel`
is changed in the exported program, because all convolutions share one constant there. A fault that
leaves the output above 40 dB is drawn again. The artifact is then compared with the deploy form in
PyTorch: `named` counts how often the layer that loses most by itself is the one with the fault, and
`first below` how often it is also the first one below 40 dB.
"""

from __future__ import annotations

import argparse
import random
import shutil
import struct
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
from mnv4_mobile import Options, build, files
from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import load_net
from mnv4_mobile.bundle.manifest import Bundle, open_bundle, write_manifest
from mnv4_mobile.bundle.parity import median_db
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.program.export import export
from mnv4_mobile.program.operations import operations
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.diff import diff
from mnv4_mobile.quality.sides import Origin, artifact_sides, torch_sides
from mnv4_mobile.quality.verify import read_checkpoint
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import completed, first_unit, load_target
from mnv4_tflite.flatbuffer import kinds, read_model, write_model

KINDS = ("scale", "padding", "bias", "transposed")
BOUND_DB = 40.0
TIMES = 5
TARGETS = ("tflite", "coreml", "executorch", "coreai")
_MODEL, _WEIGHTS, _SIZE = "conv-small-035", "demo", (96, 96)


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


def spoil(kind: str, bundle: Bundle, conv: Convolution, index: int, out: Path) -> Bundle | None:
    """Writes a copy of a bundle with a fault in its artifact.

    Args:
        kind: One of `KINDS`.
        bundle: The bundle, in float32.
        conv: The convolution to spoil.
        index: How many convolutions run before it.
        out: The folder of the copy.

    Returns:
        The copy; None if the convolution has nothing of this kind to spoil.
    """
    shutil.copytree(bundle.path, out)
    artifact = out / bundle.manifest.artifact.path
    if kind == "padding":
        plant = _PADDINGS[bundle.manifest.target]
        planted = conv.padding > 0 and conv.stride > 1 and plant(artifact, index, conv.padding)
    else:
        planted = _replaced(artifact, *_values(kind, conv))
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


def _values(kind: str, conv: Convolution) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Returns the values to look for in an artifact and those to write instead."""
    if kind == "scale":
        return conv.weight, conv.weight * np.float32(1.5)
    if kind == "bias":
        return conv.bias, np.zeros_like(conv.bias)
    outputs, inputs, height, width = conv.weight.shape
    if height * width > 1:
        return conv.weight, np.ascontiguousarray(conv.weight.swapaxes(2, 3))
    flat = conv.weight.reshape(inputs, outputs)
    return conv.weight, np.ascontiguousarray(flat.T).reshape(conv.weight.shape)


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
    bundle = open_bundle(artifact.parent)
    program, spec = folded_program(bundle)
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
    load_target("coreai").lower(program, spec, load_recipe("fp32"), None, artifact)
    return True


def folded_program(bundle: Bundle) -> tuple[ExportedProgram, BuildSpec]:
    """Returns the deploy form that a bundle of the demo network was lowered from."""
    checkpoint, spec = read_checkpoint(bundle, _WEIGHTS, None)
    target, recipe = load_target(bundle.manifest.target), load_recipe("fp32")
    spec = completed(spec, target, recipe, options=bundle.manifest.options)
    return export(load_net(checkpoint, spec), spec, target.form(spec, recipe)), spec


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

    target: str
    kind: str
    layer: str
    output_db: float
    worst: str
    first_below: str


def planted(target: str, kind: str, work: Path) -> Iterator[Planted]:
    """Plants `TIMES` faults of a kind that count, and yields what was found."""
    bundle = _built(target, work)
    reference, *_ = torch_sides(bundle, Origin(weights=_WEIGHTS), Progress())
    program, _ = folded_program(bundle)
    order = list(enumerate(convolutions(program)))
    random.Random(f"{target} {kind}").shuffle(order)
    count = 0
    for index, conv in order:
        folder = work / f"{target}-{kind}-{index}"
        shutil.rmtree(folder, ignore_errors=True)
        spoiled = spoil(kind, bundle, conv, index, folder)
        if spoiled is None or not (found_db := output_db(spoiled)) < BOUND_DB:
            continue
        with artifact_sides([spoiled], [(first_unit(load_target(target)),)], 1) as sides:
            images = bundle.golden("input")["pixels"]
            (pair,) = diff([reference, *sides], images, BOUND_DB, Progress()).pairs
        yield Planted(
            target=target,
            kind=kind,
            layer=conv.layer,
            output_db=found_db,
            worst=pair.worst.layer if pair.worst else "",
            first_below=pair.first_below.layer if pair.first_below else "",
        )
        count += 1
        if count == TIMES:
            return


def _built(target: str, work: Path) -> Bundle:
    images = Path(__file__).parents[1] / "mnv4_mobile" / "demo" / "pictures"
    options = Options(size=_SIZE, images=images)
    (made,) = build(
        _MODEL,
        weights=_WEIGHTS,
        out=work,
        targets=[target],
        recipes=["fp32"],
        options=options,
        force=True,
    )
    return open_bundle(made)


def main() -> None:
    """Plants the faults of the chosen targets, and prints a line for each kind."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--targets", default=",".join(TARGETS))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print("| target | fault | layers, with the output's dB | named | first below |")
    print("|---|---|---|---|---|")
    for target in given.targets.split(","):
        for kind in KINDS:
            found = list(planted(target, kind, given.out))
            layers = ", ".join(f"{one.layer} {one.output_db:.0f}" for one in found)
            named = sum(one.worst == one.layer for one in found)
            below = sum(one.first_below == one.layer for one in found)
            print(
                f"| {target} | {kind} | {layers} | {named} of {len(found)} | "
                f"{below} of {len(found)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
