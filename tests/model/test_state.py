"""Names and shapes of tensors without torch agree with the network's."""

from dataclasses import replace

import pytest
import torch

from mnv4_mobile.configs import shipped
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.spec import HeadSpec
from mnv4_mobile.model.state import state_shapes
from tests.model.checkpoints import TINY

SPECS = {
    **{name: load_model(name) for name in shipped("models")},
    "tiny": TINY,
    "no layer scale": replace(TINY, layer_scale=None),
    "no head": replace(TINY, head=None),
    "head of one layer": replace(TINY, head=HeadSpec(hidden_channels=None, num_classes=5)),
}


@pytest.mark.parametrize("name", SPECS)
def test_shapes_are_those_of_the_network(name: str) -> None:
    spec = SPECS[name]
    with torch.device("meta"):
        net = MobileNetV4(spec, outputs=("logits",) if spec.head else ("embedding",))
    expected = {
        key: tuple(tensor.shape)
        for key, tensor in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert state_shapes(spec) == expected
