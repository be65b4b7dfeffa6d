"""Lint of `.pte` programs: ours, one as it comes, and one that was quantized."""

import pytest

from mnv4_executorch import target
from mnv4_executorch.pte import Program
from mnv4_executorch.xnnpack_graph import read
from mnv4_mobile.errors import BundleError
from tests.damage import check_refusals

pytestmark = pytest.mark.toolchain("executorch")


def rules(findings):
    return {finding.rule for finding in findings}


def test_what_stands_in_the_delegate_is_read(demo_bundle):
    bundle = demo_bundle("executorch")
    (call,) = Program(bundle.artifact).calls
    operators, values = read(call.delegate, "")
    convolutions = [operator.convolution for operator in operators if operator.convolution]
    assert len(convolutions) == len(bundle.convolutions)
    assert (convolutions[0].inputs, convolutions[0].outputs) == (3, 32)
    assert convolutions[0].kernel == (3, 3)
    assert convolutions[-1].outputs == 10
    assert {convolution.weights for convolution in convolutions} == {"float32"}
    assert values[operators[-1].outputs[0]].shape == (1, 10)
    # Every operator but the first takes what one before it gives: the ports are the right ones.
    given = {name for operator in operators for name in operator.outputs}
    assert all(given & set(operator.inputs) for operator in operators[1:])


def test_ours_have_the_transpose_of_the_input_and_no_more(demo_bundle):
    bundle = demo_bundle("executorch")
    (finding,) = target.lint(bundle.artifact, bundle.convolutions)
    assert (finding.rule, finding.layer) == ("transpose", "stem.conv")


def test_channels_last_and_attention_have_no_transpose_for_nothing(small, tmp_path):
    path = small.lower(target, tmp_path / "nhwc.pte", layout="nhwc")
    found = {(f.rule, f.layer): f.what for f in target.lint(path, small.layers)}
    # The keys' transpose in front of the product is a real one.
    assert found == {("transpose", "stages.1.1.value.project"): "StaticTranspose"}


def test_casts_of_inputs_and_outputs_are_the_delegates(small, tmp_path):
    path = small.lower(target, tmp_path / "half.pte", "fp16", input="pixels")
    # From bytes to float32, less the mean, to float16; and the logits to float32.
    (call,) = Program(path).calls
    operators, values = read(call.delegate, "")
    assert [o.kind for o in operators[:4]] == ["Convert", "Subtract", "Convert", "Conv2d"]
    assert (values[operators[0].inputs[0]].dtype, operators[-1].kind) == ("uint8", "Convert")
    found = {(f.rule, f.layer) for f in target.lint(path, small.layers)}
    assert found == {("transpose", "stages.1.1.value.project")}


def test_a_cast_as_it_comes_is_outside_the_delegate(tmp_path):
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 8, 3)

        def forward(self, x):
            return self.a(x.to(torch.float32))

    program = torch.export.export(Net().eval(), (torch.zeros(1, 3, 16, 16, dtype=torch.uint8),))
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path = tmp_path / "bytes.pte"
    path.write_bytes(edge.to_executorch().buffer)
    (cast,) = (f for f in target.lint(path, ["a"]) if f.rule != "transpose")
    assert (cast.rule, cast.layer) == ("outside-delegate", "a")
    assert "_to_dim_order_copy" in cast.what


def test_a_network_as_it_comes(small, tmp_path):
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    # With all of ExecuTorch's passes: ours leaves out those that a folded network does not need.
    edge = to_edge_transform_and_lower(small.as_trained(), partitioner=[XnnpackPartitioner()])
    path = tmp_path / "plain.pte"
    path.write_bytes(edge.to_executorch().buffer)
    findings = target.lint(path, small.layers)
    assert rules(findings) >= {"delegate-break", "outside-delegate", "transpose", "batch-norm"}
    attention = [f for f in findings if f.layer.startswith("stages.1.1")]
    assert rules(attention) >= {"delegate-break", "outside-delegate", "transpose", "batch-norm"}
    breaks = sum(operator == "delegate-break" for operator in (f.rule for f in findings))
    assert breaks == target.operators(path)["delegate"] - 1
    (first, *_) = (f for f in findings if f.rule == "delegate-break")
    assert "aten::expand_copy.out" in first.what


def test_integers(tmp_path):
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from executorch.exir import to_edge_transform_and_lower
    from torch import nn
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 1), nn.Conv2d(12, 8, 1)

        def forward(self, x):
            x = self.b(torch.sigmoid(self.a(x)))
            return self.c(torch.sigmoid(x))

    x = torch.randn(1, 3, 16, 16)
    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config())
    quantizer.set_filter_function(lambda node: "x" not in node.name or "conv2d_2" not in node.name)
    graph = prepare_pt2e(torch.export.export(Net().eval(), (x,)).module(), quantizer)
    graph(x)
    program = torch.export.export(convert_pt2e(graph), (x,))
    edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    path = tmp_path / "int8.pte"
    path.write_bytes(edge.to_executorch().buffer)
    findings = target.lint(path, ["a", "b", "c"])
    assert [f.layer for f in findings if f.rule == "channels"] == ["b"]
    assert [f.layer for f in findings if f.what == "Sigmoid in float between integers"] == [
        "a",
        "b",
    ]


@pytest.mark.parametrize("data", [b"", b"not a program at all, but long enough", b"\0\0\0\x30ET12"])
def test_a_damaged_file_is_refused(tmp_path, data):
    path = tmp_path / "broken.pte"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"broken\.pte"):
        target.lint(path, ["stem.conv"])


def test_any_damage_is_a_bundle_error(demo_bundle, tmp_path):
    check_refusals(target, demo_bundle("executorch"), tmp_path / "broken.pte")
