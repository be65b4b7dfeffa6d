"""Random weights: lively, and the same for a seed."""

import hashlib
from dataclasses import replace

import pytest
import torch
from torch import nn

from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.weights import load_checkpoint
from tests.model.checkpoints import TINY, assert_same, network

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", shipped("models"))
def test_random_weights_are_lively(name: str) -> None:
    checkpoint = load_checkpoint(load_model(name), "random:5")
    net = network(checkpoint)
    stds = []
    for block, _ in checkpoint.spec.blocks():
        net.get_submodule(block).register_forward_hook(lambda *a: stds.append(a[2].std().item()))
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 3, 96, 96, generator=generator)
    smooth = nn.functional.interpolate(
        torch.randn(2, 3, 12, 12, generator=generator), size=(96, 96), mode="bilinear"
    )
    with torch.no_grad():
        logits = net(torch.cat([noise, smooth]))["logits"]
    assert all(0.4 < row.std() < 4 for row in logits)
    assert len(set(logits.argmax(1).tolist())) >= 3
    assert all(0.1 < std < 10 for std in stds)
    assert len(stds) == sum(1 for _ in checkpoint.spec.blocks())
    gammas = [t for n, t in checkpoint.state.items() if n.endswith("gamma")]
    assert bool(gammas) == (checkpoint.spec.layer_scale is not None)
    assert all((gamma == 0.5).all() for gamma in gammas)


def test_random_weights_are_those_of_the_seed() -> None:
    first = load_checkpoint(TINY, "random:7")
    assert first.sha256 == hashlib.sha256(b"random:7").hexdigest()
    assert (first.source, first.spec) == ("random", TINY)
    before = torch.get_rng_state()
    torch.set_num_threads(2)
    assert_same(load_checkpoint(TINY, "random:7").state, first.state)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), before)
    other = load_checkpoint(TINY, "random:8").state
    assert not torch.equal(other["stem.conv.weight"], first.state["stem.conv.weight"])
    assert load_checkpoint(TINY, "random:7", num_classes=3).spec.head.num_classes == 3
    assert load_checkpoint(replace(TINY, head=None), "random:7").spec.head is None


@pytest.mark.parametrize("seed", ["", "x", "-1", "1.5", "9" * 5000, "²"])
def test_refuses_seed(seed: str) -> None:
    with pytest.raises(WeightsError, match="random: found"):
        load_checkpoint(TINY, f"random:{seed}")
