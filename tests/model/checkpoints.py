"""Networks, and checkpoints of them, for the tests of weights."""

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from mnv4_mobile.model.checkpoint_index import read_index
from mnv4_mobile.model.fit import fit_checkpoint
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.spec import ConvSpec, HeadSpec, ModelSpec
from mnv4_mobile.model.weights import Checkpoint
from tests.blocks import fused, mmqa, uir

TINY = ModelSpec(
    name="tiny",
    stem=ConvSpec(out_channels=8, kernel_size=3, stride=2),
    stages=(
        (ConvSpec(out_channels=8, kernel_size=3, stride=1), fused(8, 16, stride=2)),
        (uir(16, 32, 3, 5, 2), uir(16, 32, None, 3), uir(16, 32, 5, None), uir(16, 16, None, None)),
        (uir(16, 16, 3, 3), mmqa(16, 24, 3), mmqa(16, 24, 3, 2, 3), mmqa(16, 24, 3, None, 3)),
    ),
    final=ConvSpec(out_channels=24, kernel_size=1, stride=1),
    head=HeadSpec(hidden_channels=32, num_classes=7),
    layer_scale=0.1,
    input_size=(64, 64),
)
"""Every block of the grammar, in every form that numbers its parts differently."""

SMALL = load_model("conv-small-035")


def network(checkpoint: Checkpoint) -> MobileNetV4:
    outputs = ("logits",) if checkpoint.spec.head else ("embedding",)
    net = MobileNetV4(checkpoint.spec, outputs).eval()
    net.load_state_dict(checkpoint.state)
    return net


def notes(spec: ModelSpec, path: str, num_classes: int | None = None) -> tuple[str, ...]:
    """Returns the messages for the user about a checkpoint."""
    return fit_checkpoint(read_index(Path(path)), spec, num_classes=num_classes).notes


def save(state: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> str:
    safetensors.torch.save_file(state, path, metadata)
    return str(path)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(found[name], tensor), name
