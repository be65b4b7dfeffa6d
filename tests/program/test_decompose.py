"""Decomposing operators where they stand: the same as tracing the whole program."""

import sys
from collections import Counter

import pytest
import torch
from torch import nn

from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.program.decompose import decomposed
from mnv4_mobile.program.export import export
from mnv4_mobile.testing import tiny_model

NONE, CORE = {}, torch.export.default_decompositions().materialize()


def operators(program):
    return Counter(n.target for n in program.graph.nodes if n.op == "call_function")


def check(program, table, image):
    before = operators(program), str(program.graph_signature)
    expected, found = program.run_decompositions(table), decomposed(program, table)
    # Upstream makes a copy of a dropout that does nothing.
    copies = {torch.ops.aten.clone.default: before[0][torch.ops.aten.dropout.default]}
    assert operators(found) + Counter(copies) == operators(expected)
    assert (operators(program), str(program.graph_signature)) == before
    for node in found.graph.nodes:
        if node.op == "call_function":
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda n: n.meta["val"])
            again, value = node.target(*args, **kwargs), node.meta["val"]
            if isinstance(again, torch.Tensor):
                assert (again.shape, again.stride()) == (value.shape, value.stride())
    with torch.no_grad():
        outputs, references = (p.module(check_guards=False)(image) for p in (found, expected))
    if isinstance(references, torch.Tensor):
        outputs, references = {"": outputs}, {"": references}
    assert outputs.keys() == references.keys()
    assert all(torch.equal(outputs[name], y) for name, y in references.items())


@pytest.mark.parametrize(
    ("table", "act", "attention"),
    [
        pytest.param(NONE, "gelu", "nhwc", id="none-gelu-nhwc"),
        pytest.param(CORE, "gelu", "nhwc", id="core-gelu-nhwc"),
        pytest.param(CORE, "hard_swish", "nchw", id="core-hard_swish-nchw"),
    ],
)
@pytest.mark.slow
def test_networks(table, act, attention, small):
    model = tiny_model(act, pooled_queries=act == "gelu")
    net = MobileNetV4(model, ("logits", "embedding")).eval().requires_grad_(False)
    net.load_state_dict(random_state(model, 0))
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    check(export(net, small.spec, attention), table, image)


@pytest.mark.parametrize("table", [NONE, CORE], ids=["none", "core"])
@pytest.mark.slow
def test_a_network_as_it_was_trained(table, small):
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    check(small.as_trained(), table, image)


class Views(nn.Module):
    """What reads other shapes and orders of the same values; the result is a view's view."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.arange(4.0))

    def forward(self, x):
        y = x.transpose(1, 2).reshape(2, -1, 4)  # not contiguous: a copy
        y = nn.functional.dropout(y.flatten(0, 1), 0.5, training=False)
        y = y.to(torch.float64).to(torch.float32)
        first, _ = y.split([1, y.shape[0] - 1])
        return {"sum": y * self.scale + first, "view": x.flatten(1)}


@pytest.mark.parametrize("table", [NONE, CORE], ids=["none", "core"])
def test_views(table):
    image = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    check(torch.export.export(Views(), (image,)), table, image)


def test_python_functions_with_operators_in_place():
    image = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(nn.Conv2d(4, 8, 3).requires_grad_(False), (image,))
    expected = program.module(check_guards=False)(image)

    def channels_last(convolution):
        def convolved(x, weight, bias):
            y = convolution(x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), weight)
            y = y.permute(0, 2, 3, 1).contiguous()
            y += bias
            return y

        return convolved

    (node,) = (n for n in program.graph.nodes if n.op == "call_function")
    node.target = channels_last(torch.nn.functional.conv2d)
    found = decomposed(program, NONE)
    assert all(n.target is not node.target for n in found.graph.nodes)
    assert found.graph.output_node().args[0][0].meta["val"].shape == (1, 4, 4, 8)
    with torch.no_grad():
        output = found.module(check_guards=False)(image)
    torch.testing.assert_close(output, expected.permute(0, 2, 3, 1))


def test_shapes_behind_what_was_changed_follow(small):
    program = export(small.net, small.spec, "nchw")
    (image,) = (n for n in program.graph.nodes if n.name in program.graph_signature.user_inputs)
    relu = next(n for n in program.graph.nodes if n.target is torch.ops.aten.relu.default)
    relu.target = lambda x: torch.relu(x).contiguous(memory_format=torch.channels_last)
    found = decomposed(program, NONE)
    assert image.meta["val"].is_contiguous()
    orders = {
        n.meta["val"].is_contiguous(memory_format=torch.channels_last)
        for n in found.graph.nodes
        if n.target is torch.ops.aten.conv2d.default and n.meta["val"].shape[2] > 1
    }
    assert orders == {True, False}


def test_upstream_decomposes_where_the_private_names_are_gone(monkeypatch):
    convolution = nn.Conv2d(3, 4, 3).requires_grad_(False)
    program = torch.export.export(convolution, (torch.zeros(1, 3, 8, 8),))
    monkeypatch.setitem(sys.modules, "mnv4_mobile.program.decompose_in_place", None)
    # Even where a target has it replaced.
    monkeypatch.setattr(torch.export.ExportedProgram, "run_decompositions", decomposed)
    found = program.run_decompositions({})
    assert found is not program
    assert operators(found) == operators(program)
