"""Operators by kind: what each runtime's profile says of the same convolutions."""

import numpy as np
import pytest

from benchmarks import operators
from benchmarks.operators import Operator
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.model.grammar import load_model


@pytest.mark.parametrize(
    ("weight", "side", "kind"),
    [
        ((32, 3, 3, 3), 112, "3 x 3, stem"),
        ((96, 32, 3, 3), 28, "3 x 3, dense"),
        ((64, 1, 5, 5), 28, "5 x 5 depthwise"),
        ((192, 64, 1, 1), 28, "1 x 1"),
        ((1280, 960, 1, 1), 1, "1 x 1 after pooling"),
    ],
)
def test_kinds(weight, side, kind):
    assert operators.kind(weight, side) == kind


def test_the_table_has_sums_and_speeds_of_each_kind():
    conv, other = Operator("1 x 1", 1.0), Operator(operators.OTHER, 0.25)
    run = Operator(operators.RUN, 3.0)
    programs = {"A": [conv, other, conv, run], "B": [conv._replace(ms=0.5), run]}
    assert operators.table(programs, {"1 x 1": 100_000_000}, 200).splitlines()[2:] == [
        "| 1 x 1 | 100 | 2.00 | 0.50 | 100 (50%) | 400 (200%) |",
        "| other |  | 0.25 | 0.00 |  |  |",
        "| all | 100 | 2.25 | 0.50 | 89 (44%) | 400 (200%) |",
        "| a run without the profiler |  | 3.00 | 3.00 |  |  |",
    ]


def test_an_operator_has_the_shortest_time_of_all_rounds():
    first, second = Operator("1 x 1", 2.0), Operator("1 x 1", 3.0)
    rounds = [[first, second], [second, first]]
    assert operators.shortest(rounds) == [first, first]


@pytest.mark.toolchain("tflite")
def test_our_convolutions_do_all_multiplications_and_are_profiled_by_kind(demo_bundle, monkeypatch):
    monkeypatch.setattr(operators, "RUNS", 1)
    bundle = demo_bundle("tflite")
    known = operators.convolutions(bundle)
    rows = load_model(bundle.manifest.model.name).with_head(10).table(bundle.preprocess.size)
    assert sum(macs for _, macs in known.values()) == sum(row.cost.macs for row in rows)
    with Worker("tflite", bundle.artifact, threads=1) as worker:
        *found, run = operators.ours(bundle, worker)
    kinds = sorted(one.kind for one in found if one.kind != operators.OTHER)
    assert kinds == sorted(kind for kind, _ in known.values())
    assert run.kind == operators.RUN


@pytest.mark.toolchain("snapdragon")
def test_onnx_runtimes_operators(tmp_path, monkeypatch):
    from onnx import TensorProto, helper, numpy_helper, save

    monkeypatch.setattr(operators, "RUNS", 1)
    shapes = {"stem": (16, 3, 3, 3), "depthwise": (16, 1, 5, 5), "head": (10, 16, 1, 1)}
    weights = [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["image", "stem"], ["a"], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Conv", ["a", "depthwise"], ["b"], group=16, pads=[2] * 4),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Conv", ["c", "head"], ["logits"]),
    ]
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("image", [1, 3, 8, 8]), ("logits", [1, 10, 1, 1]))
    ]
    graph = helper.make_graph(nodes, "net", ports[:1], ports[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    save(model, tmp_path / "net.onnx")
    *found, run = operators.theirs(tmp_path / "net.onnx", 8, 1)
    assert run.kind == operators.RUN
    kinds = [one.kind for one in found if one.kind != operators.OTHER]
    assert kinds == ["3 x 3, stem", "5 x 5 depthwise", "1 x 1 after pooling"]
