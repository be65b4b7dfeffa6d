"""What the ExecuTorch target patches in its toolchain.

All code that needs more than the public interfaces of torch and executorch is here, and `PATCHES`
lists it. Nothing is imported before it is needed.

The seconds that a speedup saves are CPU time: how much longer it takes to lower the trained hybrid
of the tests (tests/data/hybrid-narrow.yaml, 96 x 96, int8) without it. With all speedups, that
takes 3.6 s.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from mnv4_mobile.patches import Patch, Patches

if TYPE_CHECKING:
    from torch import fx
    from torch._subclasses import FakeTensor, FakeTensorMode


@contextmanager
def _fewer_passes() -> Iterator[None]:
    from executorch.backends.xnnpack import _passes, xnnpack_preprocess
    from executorch.exir.passes import (
        NormalizeTransposePass,
        ReplaceBrokenOpsWithFunctionalOpsPass,
        SymToTensorPass,
    )
    from executorch.exir.passes.remove_mixed_type_operators import RemoveMixedTypeOperators
    from torch.fx.passes.infra.pass_base import PassResult

    # Those of XNNPACK's 17 passes that find something in our graphs.
    needed = [
        _passes.XNNPACKRemoveCloneOpsTransform,
        _passes.DimOrderOpsRevertPass,
        _passes.ConstPropPass,
        _passes.FuseActivationPass,
        _passes.ChannelsLastTaggedReshapePass,
        _passes.RemoveRedundantCopyPass,
    ]
    # Earlier passes that find nothing in them: they look for `aten.t`, leftover views, symbolic
    # sizes and operands of different types.
    needless = (
        NormalizeTransposePass,
        ReplaceBrokenOpsWithFunctionalOpsPass,
        SymToTensorPass,
        RemoveMixedTypeOperators,
    )

    def chosen(program: Any, passes: None) -> Any:
        return _passes.XNNPACKPassManager(program, needed)

    def unchanged(self: Any, graph: Any) -> PassResult:
        return PassResult(graph, modified=False)

    with ExitStack() as entered:
        entered.enter_context(patch.object(xnnpack_preprocess, "XNNPACKPassManager", chosen))
        for one in needless:
            entered.enter_context(patch.object(one, "call", unchanged))
        yield


@contextmanager
def _fewer_decompositions() -> Iterator[None]:
    from torch.export import ExportedProgram

    from mnv4_mobile.program.decompose import decomposed

    def where_needed(self: ExportedProgram, table: Any) -> ExportedProgram:
        if not any(node.target in table for node in self.graph.nodes):
            return self
        return decomposed(self, table)

    with patch.object(ExportedProgram, "run_decompositions", where_needed):
        yield


@contextmanager
def _shapes_once() -> Iterator[None]:
    from executorch.exir.dialects.edge._ops import EdgeOpOverload
    from torch import fx
    from torch._subclasses import FakeTensor

    known: dict[Any, FakeTensor] = {}
    call = fx.Interpreter.call_function

    def call_function(self: fx.Interpreter, target: Any, args: Any, kwargs: Any) -> Any:
        key = None
        if isinstance(target, EdgeOpOverload):
            key = _described((target, args, tuple(kwargs.items())))
        if key is None:
            return call(self, target, args, kwargs)
        if key in known:
            return _alike(known[key])
        found = call(self, target, args, kwargs)
        if type(found) is FakeTensor and found.constant is None:
            known[key] = found
        return found

    with patch.object(fx.Interpreter, "call_function", call_function):
        yield


@contextmanager
def _delegates_not_run() -> Iterator[None]:
    # Imported by its path: the package has a function of the same name.
    delegates = import_module("torch._higher_order_ops.executorch_call_delegate")

    def of_delegate(lowered: Any, *args: Any) -> Any:
        program = lowered.original_module
        outputs = program.graph.output_node().args[0]
        return [_alike(node.meta["val"], args[0].fake_mode) for node in outputs]

    with patch.object(delegates, "call_delegate_cpu", of_delegate):
        yield


def _described(value: Any) -> Any:
    """Returns what in an argument decides a result's shape and type; None if that is unknown."""
    import torch
    from torch._subclasses import FakeTensor

    if type(value) is FakeTensor:
        if value.constant is not None or value._has_symbolic_sizes_strides:
            return None
        return value.fake_mode, value.dtype, tuple(value.shape), value.stride()
    if isinstance(value, tuple | list):
        found = tuple(_described(one) for one in value)
        return None if None in found else found
    if isinstance(value, torch.Tensor | torch.SymInt):
        return None
    return type(value), value  # with the type, as 1 and 1.0 are equal


def _alike(tensor: FakeTensor, mode: FakeTensorMode | None = None) -> FakeTensor:
    """Returns another tensor of this shape and type, in the same mode if none is given."""
    import torch
    from torch._subclasses import FakeTensor
    from torch._subclasses.fake_tensor import in_kernel_invocation_manager

    mode, device = mode or tensor.fake_mode, tensor.device
    shape, strides, dtype = tensor.shape, tensor.stride(), tensor.dtype
    with in_kernel_invocation_manager(mode):
        empty = torch.empty_strided(shape, strides, dtype=dtype, device="meta")
        return FakeTensor(mode, empty, device)


@contextmanager
def _code_when_called() -> Iterator[None]:
    from torch import fx
    from torch.fx.graph import _PyTreeCodeGen

    compile_code = fx.GraphModule.recompile

    def first(self: fx.GraphModule, *args: Any, **kwargs: Any) -> Any:
        compile_code(self)
        return type(self).forward(self, *args, **kwargs)

    def later(self: fx.GraphModule) -> None:
        if isinstance(self.graph._codegen, _PyTreeCodeGen):
            self._in_spec = self.graph._codegen.pytree_info.in_spec
            self._out_spec = self.graph._codegen.pytree_info.out_spec
        type(self).forward = first

    # Together: graphs are printed into messages that are not shown, and printing needs the code.
    with (
        patch.object(fx.GraphModule, "recompile", later),
        patch.object(fx.GraphModule, "__str__", lambda self: type(self).__name__),
        patch.object(fx.Node, "format_node", lambda self, *_: self.name),
    ):
        yield


@contextmanager
def _no_history() -> Iterator[None]:
    from torch.fx.traceback import NodeSource

    with patch.object(NodeSource, "__deepcopy__", lambda self, _: self, create=True):
        yield


@contextmanager
def _float16_weights() -> Iterator[None]:
    from executorch.backends.xnnpack.operators.node_visitor import NodeVisitor

    original: Callable[..., None] = NodeVisitor.define_tensor

    def define_tensor(self: object, node: fx.Node, *args: object, **kwargs: object) -> None:
        import torch

        if node.meta["val"].dtype == torch.float16:
            kwargs.pop("force_fp32", None)
        original(self, node, *args, **kwargs)

    with patch.object(NodeVisitor, "define_tensor", define_tensor):
        yield


@contextmanager
def _without_pairs() -> Iterator[None]:
    from executorch.backends.xnnpack import xnnpack_preprocess

    from mnv4_executorch.transposes import remove_pairs

    original = xnnpack_preprocess.serialize_xnnpack_binary

    def serialize(graph: Any, constants: Any) -> Any:
        remove_pairs(graph)
        return original(graph, constants)

    with patch.object(xnnpack_preprocess, "serialize_xnnpack_binary", serialize):
        yield


def compile_config(stock: bool) -> Any:
    """Returns ExecuTorch's options for the edge program; see "no checks" in `PATCHES`."""
    from executorch.exir import EdgeCompileConfig

    if not PATCHES.active(stock):
        return EdgeCompileConfig()
    return EdgeCompileConfig(_check_ir_validity=False)


def extension() -> ModuleType:
    """Imports the runtime's extension module; see "runtime alone" in `PATCHES`."""
    import torch  # noqa: F401 - it links to torch's libraries

    if PATCHES.active():
        try:
            return import_module("executorch.extension.pybindings._C")
        except ImportError:
            pass
    return import_module("executorch.extension.pybindings.portable_lib")


def load_program(runtime: ModuleType, path: str, *, profiled: bool) -> Any:
    """Loads a program; `profiled` records the times of all that runs."""
    return runtime._load_program(path, enable_etdump=profiled)


def set_threads(runtime: ModuleType, threads: int) -> None:
    """Sets the number of threads; call it before a method is loaded."""
    runtime._unsafe_reset_threadpool(threads)


def program_of(data: bytes) -> Any:
    """Returns a program (`PTEFile`) as objects, with the data of its delegates in it."""
    from executorch.exir._serialize._program import deserialize_pte_binary

    return deserialize_pte_binary(data)


def program_data(program: Any) -> bytes:
    """Returns the bytes of a program that `program_of` returned."""
    from executorch.exir._serialize._program import serialize_pte_binary

    return bytes(serialize_pte_binary(program, extract_delegate_segments=True))


def xnnpack_graph(delegate: bytes) -> dict[str, Any]:
    """Returns the graph in an XNNPACK delegate's data, as its schema names the parts."""
    from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as xnnpack
    from executorch.exir._serialize._flatbuffer import _flatc_decompile

    header = xnnpack.XNNHeader.from_bytes(delegate[: xnnpack.XNNHeader.EXPECTED_LENGTH])
    start = header.flatbuffer_offset
    with tempfile.TemporaryDirectory() as folder:
        schema, file = Path(folder, "schema.fbs"), Path(folder, "graph.bin")
        schema.write_bytes(xnnpack._get_schema_bytes())
        file.write_bytes(delegate[start : start + header.flatbuffer_size])
        _flatc_decompile(folder, str(schema), str(file), ["--raw-binary"])
        text = file.with_suffix(".json").read_text()
    # flatc writes numbers that are not finite as no JSON reader takes them.
    graph: dict[str, Any] = json.loads(re.sub(r"([:\[,]\s*)(-?(?:inf|nan))\b", r'\1"\2"', text))
    return graph


def with_xnnpack_graph(delegate: bytes, graph: dict[str, Any]) -> bytes:
    """Returns an XNNPACK delegate's data with another graph."""
    from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as xnnpack
    from executorch.exir._serialize._flatbuffer import _flatc_compile

    header = xnnpack.XNNHeader.from_bytes(delegate[: xnnpack.XNNHeader.EXPECTED_LENGTH])
    constants = delegate[header.constant_data_offset :][: header.constant_data_size]
    with tempfile.TemporaryDirectory() as folder:
        schema, file = Path(folder, "schema.fbs"), Path(folder, "graph.json")
        schema.write_bytes(xnnpack._get_schema_bytes())
        file.write_text(json.dumps(graph))
        _flatc_compile(folder, str(schema), str(file))
        data = file.with_suffix(".bin").read_bytes()
    start = header.flatbuffer_offset
    filled = data + bytes(-len(data) % xnnpack.CONSTANT_TENSOR_ALIGNMENT)
    found = xnnpack.XNNHeader(
        flatbuffer_offset=start,
        flatbuffer_size=len(data),
        constant_data_offset=start + len(filled),
        constant_data_size=len(constants),
    )
    return bytes(found.to_bytes().ljust(start, b"\0") + filled + constants)


PATCHES = Patches(
    tested={"executorch": "==1.5.*", "torch": "==2.13.*", "torchao": "==0.18.*"},
    table=(
        Patch(
            name="threads",
            kind="workaround",
            reason="The runtime takes all cores, and no public function changes that.",
            upstream="executorch/extension/pybindings/portable_lib.py, _unsafe_reset_threadpool",
            saves="Measurements at a given number of threads.",
        ),
        Patch(
            name="more outputs",
            kind="workaround",
            reason="XNNPACK logs no values, and no public function reads or writes a program.",
            upstream="executorch/exir/_serialize/_program.py, executorch/backends/xnnpack/"
            "serialization/xnnpack_graph_serialize.py",
            saves="mnv4 diff.",
        ),
        Patch(
            name="programs with a profile",
            kind="workaround",
            reason="Only private functions load a program whose events are recorded.",
            upstream="executorch/extension/pybindings/portable_lib.py, _load_program",
            saves="Profiles by operator.",
        ),
        Patch(
            name="float16 weights",
            kind="artifact",
            reason="The serializer converts the weights of float16 convolutions to float32 "
            "(force_fp32=True); XNNPACK packs the same weights from either.",
            upstream="executorch/backends/xnnpack/operators/op_conv2d.py",
            saves="Half the size of a float16 file.",
            apply=_float16_weights,
        ),
        Patch(
            name="pairs of transposes",
            kind="artifact",
            reason="XNNPACK keeps maps channels last. A map that the graph itself permutes to "
            "channels last is permuted back and then again, and no later pass removes that pair.",
            upstream="executorch/backends/xnnpack/_passes/channels_last_tagged_reshape_pass.py",
            saves="Two transposes at each attention block and at the input.",
            apply=_without_pairs,
        ),
        Patch(
            name="fewer passes",
            kind="speedup",
            reason="Each pass traces the graph again; these find nothing in our graphs.",
            upstream="executorch/backends/xnnpack/_passes/__init__.py, "
            "executorch/exir/passes/__init__.py",
            saves="5.2 s.",
            apply=_fewer_passes,
        ),
        Patch(
            name="fewer decompositions",
            kind="speedup",
            reason="The whole program is decomposed three times although nothing is left to "
            "decompose, and traced twice each time.",
            upstream="executorch/exir/program/_program.py, _gen_edge_manager_for_partitioners",
            saves="4.4 s.",
            apply=_fewer_decompositions,
        ),
        Patch(
            name="shapes once",
            kind="speedup",
            reason="Each of a dozen passes computes the shape of every operator's output again.",
            upstream="torch/fx/interpreter.py, Interpreter.call_function",
            saves="1.6 s.",
            apply=_shapes_once,
        ),
        Patch(
            name="delegates are not run",
            kind="speedup",
            reason="The shapes of a delegate's outputs are found by running its whole graph.",
            upstream="torch/_higher_order_ops/executorch_call_delegate.py, call_delegate_cpu",
            saves="1.5 s.",
            apply=_delegates_not_run,
        ),
        Patch(
            name="no history",
            kind="speedup",
            reason="Every trace copies each node's whole history, although nothing changes it.",
            upstream="torch/fx/traceback.py, NodeSource",
            saves="1.3 s.",
            apply=_no_history,
        ),
        Patch(
            name="code when called",
            kind="speedup",
            reason="Every pass compiles the code of its graph, and graphs are printed into "
            "messages that are not shown; most graphs are never called.",
            upstream="torch/fx/graph_module.py, recompile and __str__; torch/fx/node.py",
            saves="At least 3.0 s.",
            apply=_code_when_called,
        ),
        Patch(
            name="no checks",
            kind="speedup",
            reason="After ten of the passes, the types of all operands are checked.",
            upstream="executorch/exir/capture/_config.py, EdgeCompileConfig._check_ir_validity",
            saves="A tenth of the time of lowering.",
        ),
        Patch(
            name="runtime alone",
            kind="speedup",
            reason="The modules `portable_lib` and `runtime` import all of exir.",
            upstream="executorch/extension/pybindings/portable_lib.py",
            saves="The import of exir, which takes longer than to load and run a small program.",
        ),
    ),
)
