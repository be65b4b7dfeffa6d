"""Runs a compiled `.tflite` with Qualcomm's HTP library for x86, which emulates the NPU.

ONNX Runtime's provider for it takes a context binary in a node `EPContext`. What the compiler left
to the CPU runs in LiteRT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import BundleError, damaged
from mnv4_mobile.target import Session
from mnv4_mobile.tensors import Tensors, check_inputs
from mnv4_snapdragon.compiled import DISPATCH, program_of, read_compiled
from mnv4_snapdragon.socs import release
from mnv4_snapdragon.speedups import installed_qairt, library
from mnv4_tflite.reader import KIND, Model, Step

Values = dict[int, npt.NDArray[Any]]
"""Tensors by their number in the model."""
Part = Callable[[Values], Values]
"""Runs a part of the model: takes all tensors so far, and returns those that it computes."""
_PROVIDER = "QNNExecutionProvider"


def runtime() -> str:
    """Imports the runtime in this process; returns its name and version."""
    import onnxruntime  # noqa: F401

    return f"onnxruntime-qnn {version('onnxruntime-qnn')} (QAIRT {installed_qairt()})"


def open_session(path: Path, threads: int) -> Session:
    """Loads a compiled model; inputs and outputs have the names of its only signature.

    Raises:
        BundleError: The file is damaged or for another SoC, or the library refuses its program.
        ToolchainError: The installation lacks a library.
    """
    model = read_compiled(path)
    parts = list(_parts(path, model, threads))

    def named(number: int) -> str:
        return model.names.get(number, model.tensors[number].name)

    expected = {
        named(number): (model.tensors[number].shape, model.tensors[number].dtype)
        for number in model.inputs
    }

    def run(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
        check_inputs(path, tensors, expected)
        values = {number: tensors[named(number)] for number in model.inputs}
        for part in parts:
            values |= part(values)
        return {named(number): values[number] for number in model.outputs}

    return run


def _parts(path: Path, model: Model, threads: int) -> Iterator[Part]:
    """Yields the parts of a model in the order in which they run."""
    numbered = enumerate(model.steps)
    for on_npu, run in groupby(numbered, lambda one: one[1].kind == DISPATCH):
        steps = list(run)
        if on_npu:
            yield from (_npu_part(path, model, step, threads) for _, step in steps)
        else:
            yield _cpu_part(path, model, [number for number, _ in steps], threads)


def _npu_part(path: Path, model: Model, step: Step, threads: int) -> Part:
    import onnxruntime

    program = program_of(path, step)
    if release(program.qairt) > release(installed_qairt()):
        raise BundleError(
            f"{path}: compiled with QAIRT {program.qairt}, which the installed {installed_qairt()} "
            "refuses: install a newer onnxruntime-qnn, or build it again"
        )
    with damaged(path, KIND):
        names = {number: model.tensors[number].name for number in (*step.inputs, *step.outputs)}
        node = _as_onnx(model, step, program.name, program.context)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    backend = {"backend_path": str(library())}
    settings.add_provider_for_devices([_device()], backend)
    try:
        session = onnxruntime.InferenceSession(node, settings)
    except Exception as error:  # noqa: BLE001 - its errors have no common type but this
        raise BundleError(
            f"{path}: Qualcomm's library refuses its program, compiled with QAIRT {program.qairt}; "
            f"installed is {installed_qairt()}: {error}"
        ) from None

    def run(values: Values) -> Values:
        fed = {names[number]: values[number] for number in step.inputs}
        found = session.run([names[number] for number in step.outputs], fed)
        return dict(zip(step.outputs, found, strict=True))

    return run


@cache
def _device() -> Any:
    """Registers the provider, once in a process, and returns its device."""
    import onnxruntime
    import onnxruntime_qnn

    onnxruntime.register_execution_provider_library(_PROVIDER, onnxruntime_qnn.get_library_path())
    return next(one for one in onnxruntime.get_ep_devices() if one.ep_name == _PROVIDER)


def _as_onnx(model: Model, step: Step, name: str, context: bytes) -> bytes:
    """Returns an ONNX model of one node, which holds a program."""
    from onnx import helper

    def ports(numbers: Sequence[int]) -> list[Any]:
        found = [model.tensors[number] for number in numbers]
        return [
            helper.make_tensor_value_info(
                one.name, helper.np_dtype_to_tensor_dtype(np.dtype(one.dtype)), one.shape
            )
            for one in found
        ]

    inputs, outputs = ports(step.inputs), ports(step.outputs)
    node = helper.make_node(
        "EPContext",
        [one.name for one in inputs],
        [one.name for one in outputs],
        name=name,
        domain="com.microsoft",
        embed_mode=1,
        ep_cache_context=context,
        main_context=1,
        source="QNN",
        partition_name=name,
    )
    graph = helper.make_graph([node], name, inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    made: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    return made


def _cpu_part(path: Path, model: Model, numbers: Sequence[int], threads: int) -> Part:
    """Returns what runs consecutive operators on the CPU, as a model of their own."""
    from ai_edge_litert.interpreter import Interpreter

    from mnv4_tflite.flatbuffer import read_model, write_model

    steps = [model.steps[number] for number in numbers]
    made = dict.fromkeys(tensor for step in steps for tensor in step.outputs)
    computed = {*model.inputs, *(tensor for step in model.steps for tensor in step.outputs)}
    taken = dict.fromkeys(
        tensor
        for step in steps
        for tensor in step.inputs
        if tensor in computed and tensor not in made
    )
    whole = read_model(path.read_bytes())
    graph = whole.subgraphs[0]
    graph.operators = [graph.operators[number] for number in numbers]
    graph.inputs, graph.outputs = (np.array([*some], np.int32) for some in (taken, made))
    whole.signatureDefs = []
    try:
        interpreter = Interpreter(model_content=write_model(whole), num_threads=threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{path}: a damaged {KIND}: {error}") from None
    inputs = [detail["index"] for detail in interpreter.get_input_details()]
    outputs = [detail["index"] for detail in interpreter.get_output_details()]

    def run(values: Values) -> Values:
        for index, number in zip(inputs, taken, strict=True):
            interpreter.set_tensor(index, values[number])
        interpreter.invoke()
        return {
            number: interpreter.get_tensor(index)
            for index, number in zip(outputs, made, strict=True)
        }

    return run
