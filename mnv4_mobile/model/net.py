"""The trainable network of a `ModelSpec`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mnv4_mobile.model.blocks import MMQA, UIR, ConvNorm, FusedIB, conv_block
from mnv4_mobile.model.cost import AntiAliasing
from mnv4_mobile.model.spec import (
    POOLED,
    BlockSpec,
    ConvSpec,
    FusedIBSpec,
    HeadSpec,
    MMQASpec,
    ModelSpec,
    UIRSpec,
)


def build_block(
    in_channels: int,
    spec: BlockSpec,
    act: str,
    layer_scale: float | None,
    aa: AntiAliasing | None,
) -> nn.Module:
    """Returns the module of one block."""
    match spec:
        case ConvSpec():
            return conv_block(in_channels, spec, act, aa)
        case FusedIBSpec():
            return FusedIB(in_channels, spec, act, aa)
        case UIRSpec():
            return UIR(in_channels, spec, act, layer_scale, aa)
        case MMQASpec():
            return MMQA(spec, layer_scale)


class Head(nn.Module):
    """Turns pooled features into logits: [1 x 1 convolution, norm, activation] dropout, linear.

    The parts are 1 x 1 convolutions on a 1 x 1 map, which every runtime runs without a reshape.
    """

    def __init__(self, channels: int, spec: HeadSpec) -> None:
        super().__init__()
        hidden = spec.hidden_channels
        self.conv = ConvNorm(channels, hidden, act=spec.act) if hidden else None
        self.dropout = nn.Dropout(spec.dropout)
        self.classifier = nn.Conv2d(hidden or channels, spec.num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, 1, 1) -> (N, classes)."""
        if self.conv is not None:
            x = self.conv(x)
        logits: Tensor = self.classifier(self.dropout(x)).flatten(1)
        return logits


class MobileNetV4(nn.Module):
    """MobileNetV4 with a classification head, pooled features and the stages' feature maps.

    Module names are the state dict's: `stem`, `stages.S.I`, `final`, `head`.

    Args:
        spec: The network.
        outputs: What `forward` returns, in the order given: `logits`, `probabilities`, `embedding`
            (the pooled features before the head) and `stage_N` for any stage.

    Raises:
        ConfigError: The network does not have an output.
    """

    def __init__(self, spec: ModelSpec, outputs: tuple[str, ...] = ("logits",)) -> None:
        super().__init__()
        spec.table()  # refuses channels that do not match
        self.spec = spec
        self.outputs = spec.check_outputs(outputs)
        act, scale, aa = spec.act, spec.layer_scale, spec.aa_layer
        self.stem = conv_block(3, spec.stem, act)
        channels = spec.stem.out_channels
        stages = []
        for stage in spec.stages:
            blocks = []
            for block in stage:
                blocks.append(build_block(channels, block, act, scale, aa))
                channels = block.out_channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.final = conv_block(channels, spec.final, act, aa)
        self.head = Head(spec.final.out_channels, spec.head) if spec.head else None

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """(N, 3, H, W) normalised RGB -> the outputs by name.

        `logits` and `probabilities` are (N, classes), `embedding` (N, C), `stage_N` (N, C, H', W').
        """
        found: dict[str, Tensor] = {}
        x = self.stem(x)
        last = len(self.stages) - 1
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index == last:
                x = self.final(x)
            found[f"stage_{index}"] = x
        if any(name in POOLED for name in self.outputs):
            # A mean rather than adaptive_avg_pool2d, which leaves an as_strided_copy outside the
            # XNNPACK delegate on channels-last tensors.
            pooled = x.mean((2, 3), keepdim=True)
            found["embedding"] = pooled.flatten(1)
            if self.head is not None:
                found["logits"] = self.head(pooled)
                if "probabilities" in self.outputs:
                    found["probabilities"] = torch.softmax(found["logits"], dim=1)
        return {name: found[name] for name in self.outputs}
