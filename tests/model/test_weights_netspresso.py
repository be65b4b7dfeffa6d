"""Checkpoints of NetsPresso Trainer; its names are written down here a second time."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.model.spec import ConvSpec, FusedIBSpec, HeadSpec, MMQASpec, ModelSpec, UIRSpec
from mnv4_mobile.model.weights import load_checkpoint
from tests.model.checkpoints import TINY, assert_same, network, notes, save

pytestmark = pytest.mark.usefixtures("one_thread")


def netspresso_names(spec: ModelSpec) -> Iterator[str]:
    def norm(name: str) -> Iterator[str]:
        for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            yield f"{name}.{tensor}"

    def layer(name: str) -> Iterator[str]:
        yield f"{name}.block.conv.weight"
        yield from norm(f"{name}.block.norm")

    yield from layer("backbone.conv_stem")
    channels = spec.stem.out_channels
    for s, stage in enumerate(spec.stages):
        for i, block in enumerate(stage):
            at = f"backbone.stages.{s}.{i}"
            if isinstance(block, ConvSpec):
                yield from layer(at)
            elif isinstance(block, FusedIBSpec):
                yield from layer(f"{at}.block.0")
                yield from layer(f"{at}.block.1")
            elif isinstance(block, UIRSpec):
                present = (
                    block.extra_kernel_size,
                    block.hidden_channels != channels,
                    block.middle_kernel_size,
                    True,
                )
                for index in range(sum(map(bool, present))):
                    yield from layer(f"{at}.block.{index}")
            else:
                yield from norm(f"{at}.norm_layer")
                if block.query_pooling_stride:
                    yield from norm(f"{at}.attention.query.1")
                yield f"{at}.attention.query.{2 if block.query_pooling_stride else 0}.weight"
                for part in ("key", "value"):
                    if block.kv_kernel_size:
                        yield f"{at}.attention.{part}.0.weight"
                        yield from norm(f"{at}.attention.{part}.1")
                    yield f"{at}.attention.{part}.{2 if block.kv_kernel_size else 0}.weight"
                yield f"{at}.attention.linear.{1 if block.query_pooling_stride else 0}.weight"
            if isinstance(block, UIRSpec | MMQASpec) and spec.layer_scale:
                yield f"{at}.layer_scale.gamma"
            channels = block.out_channels
    last = len(spec.stages) - 1
    yield from layer(f"backbone.stages.{last}.{len(spec.stages[last])}")
    if spec.head:
        if spec.head.hidden_channels:
            yield from layer("head.classifier.0")
        classifier = f"head.classifier.{2 if spec.head.hidden_channels else 1}.block.conv"
        yield f"{classifier}.weight"
        yield f"{classifier}.bias"


def netspresso(spec: ModelSpec, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(netspresso_names(spec), state.values(), strict=True))


@pytest.mark.parametrize(
    "spec",
    [
        TINY,
        replace(TINY, layer_scale=None),
        replace(TINY, head=HeadSpec(hidden_channels=None, num_classes=5)),
        load_model("hybrid-medium-075"),
    ],
    ids=["tiny", "no layer scale", "head of one layer", "hybrid-medium-075"],
)
def test_netspresso(spec: ModelSpec, tmp_path: Path) -> None:
    state = random_state(spec, 1)
    path = save(netspresso(spec, state), tmp_path / "best.safetensors")
    other = spec.with_head(spec.head.num_classes + 1) if spec.head else spec
    checkpoint = load_checkpoint(other, path)
    assert (checkpoint.source, checkpoint.spec) == ("netspresso", spec)
    assert notes(other, path) == ()
    assert_same(checkpoint.state, state)
    network(checkpoint)


@pytest.mark.parametrize("prefix", ["backbone.", ""])
def test_backbone_of_netspresso(prefix: str, tiny: dict[str, Tensor], tmp_path: Path) -> None:
    named = netspresso(TINY, tiny)
    backbone = {
        name.replace("backbone.", prefix, 1): tensor
        for name, tensor in named.items()
        if name.startswith("backbone.")
    }
    path = save(backbone, tmp_path / "backbone.safetensors")
    features = load_checkpoint(TINY, path)
    assert features.spec.head is None
    assert any("no head" in note for note in notes(TINY, path))
    network(features)
    classifier = load_checkpoint(TINY, path, num_classes=3)
    assert classifier.spec.head == replace(TINY.head, num_classes=3)
    assert any("untrained" in note for note in notes(TINY, path, 3))
    again = load_checkpoint(TINY, path, num_classes=3)
    assert_same(again.state, classifier.state)
    assert network(classifier)(torch.randn(1, 3, 64, 64))["logits"].shape == (1, 3)


def test_mismatch_is_listed_in_the_names_of_the_checkpoint(
    tiny: dict[str, Tensor], tmp_path: Path
) -> None:
    named = netspresso(TINY, tiny)
    for name in [name for name in named if name.startswith("backbone.stages.1.1.block.0.")]:
        del named[name]
    named["backbone.extra"] = torch.zeros(1)
    named["head.classifier.0.block.conv.weight"] = torch.zeros(48, 24, 1, 1)
    path = save(named, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError) as raised:
        load_checkpoint(TINY, path)
    message = str(raised.value)
    assert message.startswith(f"{path} does not fit tiny: 5 missing: backbone.stages.1.1.block.0.")
    assert message.count("backbone.stages.1.1.block.0.") == 3
    assert "| 1 unexpected: backbone.extra |" in message
    assert (
        "1 misshaped: head.classifier.0.block.conv.weight is 48x24x1x1, must be 32x24x1x1"
    ) in message
