"""What the Core AI target patches in its toolchain, or uses beyond its public interface."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from mnv4_mobile.errors import LoweringError
from mnv4_mobile.patches import Patch, Patches

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def compression_operators() -> Any:
    """Returns torch's operators `coreai`, which the converter maps to quantized values."""
    import torch

    importlib.import_module("coreai_torch._compression.custom_layers")
    return torch.ops.coreai


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What an asset says about itself."""

    description: str
    licence: str
    custom: Mapping[str, Any]


def save(program: ExportedProgram, outputs: Sequence[str], metadata: Metadata, out: Path) -> None:
    """Converts a program and saves it as an asset; the same program gives the same bytes.

    Args:
        program: A program with the input `image`; it is changed.
        outputs: The names of its outputs.
        metadata: What the asset says about itself.
        out: The asset's folder, which does not exist yet.

    Raises:
        LoweringError: The converter lacks an operator.
    """
    from coreai_torch import TorchConverter, get_decomp_table

    from mnv4_coreai.rewrite import add_biases_as_maps, guard_products
    from mnv4_mobile.program.decompose import decomposed

    # Without the mode, the asset holds the source lines and paths of this machine.
    engine = TorchConverter(mode=TorchConverter.Mode.RELEASE)
    plain = decomposed(program, get_decomp_table())
    add_biases_as_maps(plain)
    guard_products(plain)
    try:
        engine.add_exported_program(plain, input_names=["image"], output_names=list(outputs))
    except ValueError as error:
        lacking, _, _ = str(error).partition(". Use register_torch_lowering")
        raise LoweringError(f"coreai: {lacking}; use others, or another target") from None
    out.mkdir()  # fails if it exists; Core AI would remove it
    asset = engine.to_coreai().save_asset(out)

    def fill(found: Any) -> None:
        found.model_description, found.license = metadata.description, metadata.licence
        found.creation_date = None  # the same network gives the same bytes
        for key, value in metadata.custom.items():
            found.set_custom(key, value)

    asset.update_metadata(fill)


def graph_of(path: Path, function: str) -> tuple[Any, Any]:
    """Returns the program of an asset and the graph of a function, or None if it has none.

    The graph lives in the program: keep both.
    """
    from coreai.authoring import AIModelAsset

    program = AIModelAsset.load(path).program
    return program, program._get_graph(function)


def save_with_ports(
    path: Path, function: str, places: Mapping[str, int], given: Sequence[str], out: Path
) -> None:
    """Saves an asset whose outputs are some of its values, and which takes others as inputs.

    Args:
        path: The asset.
        function: Name of the function, which stays.
        places: The positions in `Program.values` of what to return, by name.
        given: Those of the names whose readers read an input of the same name instead.
        out: The new asset's folder, which does not exist yet.
    """
    from coreai._compiler.ir import Attribute, InsertionPoint, Operation

    program, graph = graph_of(path, function)
    block = graph.bodyRegion.blocks[0]
    *operations, output = block.operations
    results = [result for operation in operations for result in operation.results]
    values = [*graph.arguments, *results]
    shown = {name: values[place] for name, place in places.items()}
    with graph.context, graph.location:
        for name in given:
            shown[name].replace_all_uses_with(block.add_argument(shown[name].type, graph.location))
        with InsertionPoint(output):
            Operation.create(output.name, operands=list(shown.values()))
        output.erase()
        taken, returned = (
            ", ".join(str(value.type) for value in some)
            for some in (graph.arguments, shown.values())
        )
        named = [f"{{coreai.name = {json.dumps(name)}}}" for name in given]
        kept = [str(attribute) for attribute in graph.arg_attrs]
        graph.attributes["function_type"] = Attribute.parse(f"({taken}) -> ({returned})")
        graph.attributes["arg_attrs"] = Attribute.parse(f"[{', '.join([*kept, *named])}]")
        named = [f"{{coreai.name = {json.dumps(name)}}}" for name in shown]
        graph.attributes["res_attrs"] = Attribute.parse(f"[{', '.join(named)}]")
    program.save_asset(out)


@contextmanager
def _numbered_weights() -> Iterator[None]:
    from coreai._compiler._mlir_libs._coreaiIR._bindings.mlir import dialects
    from coreai._compiler.ir import DenseResourceElementsAttr

    stock: Callable[[Any, Any, Any], Any] = dialects.coreai.create_elements_attr
    numbers = count()

    def numbered(location: Any, kind: Any, values: Any) -> Any:
        found = stock(location, kind, values)
        if not DenseResourceElementsAttr.isinstance(found):
            return found
        with location.context:
            return DenseResourceElementsAttr.get_from_buffer(
                values, f"weight_{next(numbers)}", kind
            )

    with patch.object(dialects.coreai, "create_elements_attr", numbered):
        yield


@contextmanager
def _numbered_graphs() -> Iterator[None]:
    from coreai.authoring import func, graph_builder

    numbers = count()

    def numbered(name: str) -> str:
        return f"{name}_{next(numbers)}"

    with (
        patch.object(func, "_randomize_fn_name", numbered),
        patch.object(graph_builder, "_randomize_fn_name", numbered),
    ):
        yield


PATCHES = Patches(
    tested={"coreai-torch": "==0.4.3", "coreai-core": "==1.0.0b3", "torch": "==2.13.*"},
    table=(
        Patch(
            name="operators of an asset",
            kind="workaround",
            reason="A summary counts the parts that operators may be decomposed into as well.",
            upstream="coreai/authoring/asset.py, AIProgram._get_graph",
            saves="mnv4 lint, and the names and types of inputs.",
        ),
        Patch(
            name="more outputs",
            kind="workaround",
            reason="The runtime logs intermediate values only of assets with the source lines of "
            "the machine that made them; a graph with more outputs needs the classes of the IR.",
            upstream="coreai_torch/debugging/inspector.py, CoreAIInspector",
            saves="mnv4 diff.",
        ),
        Patch(
            name="operators for quantized values",
            kind="workaround",
            reason="The operators that the converter reads are registered by a private module.",
            upstream="coreai_torch/_compression/custom_layers.py",
            saves="All recipes with quantized weights.",
        ),
        Patch(
            name="products of reshaped maps",
            kind="workaround",
            reason="The converter drops the reshape of a map to a matrix if both have equally many "
            "rows, and multiplies wrongly.",
            upstream="coreai-core 1.0.0b3, the rewrites at the end of `coreai.authoring.Module`",
            saves="Attention on maps that are as high as a head has channels.",
        ),
        Patch(
            name="numbered weights",
            kind="workaround",
            reason="Weights have random names, which are part of an asset.",
            upstream="coreai_torch/converter.py, TorchConverter._constant_from_tensor",
            saves="The same bytes for the same network.",
            apply=_numbered_weights,
        ),
        Patch(
            name="numbered graphs",
            kind="workaround",
            reason="Graphs of composed operators, such as pooling, have random names.",
            upstream="coreai/authoring/graph_builder.py, _randomize_fn_name",
            saves="The same bytes for the same network.",
            apply=_numbered_graphs,
        ),
    ),
)
