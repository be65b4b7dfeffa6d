from dataclasses import replace

import pytest

from mnv4_executorch import target
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from tests.stock import lowered_both_ways

pytestmark = pytest.mark.toolchain("executorch")


@pytest.fixture(scope="module")
def pooled(small):
    """The small network, with pooled queries."""
    (first, (uir, attention)) = small.spec.model.stages
    attention = replace(attention, query_pooling_stride=2)
    model = replace(small.spec.model, stages=(first, (uir, attention)))
    net = MobileNetV4(model, ("logits",)).eval().requires_grad_(False)
    net.load_state_dict(random_state(model, 0))
    return replace(small, net=net, spec=replace(small.spec, model=model))


def test_speedups_change_debug_handles_only(pooled, tmp_path, monkeypatch):
    """Integers go through every speedup."""
    # They count operators by their histories, which decomposing in place does not keep.
    handles = "executorch.exir.passes.debug_handle_generator_pass"
    monkeypatch.setattr(f"{handles}.get_greatest_ancestor_node_identifier", lambda node: "")
    fast, stock = lowered_both_ways(target, pooled, "int8", tmp_path)
    assert target.operators(fast.path) == {"delegate": 1}
    assert fast.path.read_bytes() == stock.path.read_bytes()
