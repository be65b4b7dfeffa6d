"""The block grammar of MobileNetV4 as frozen types, with the cost of every block.

A spec knows its shapes, parameters and multiply-accumulates without torch, so that listing and
checking a model costs nothing. The grammar is NetsPresso Trainer's (docs/models/backbones/
mobilenetv4.md there), with timm's anti-aliasing; the roles are those of the paper (arXiv
2404.10518, section 3).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Literal, get_args

from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.model.cost import (
    MAX_PARAMETERS,
    AntiAliasing,
    Cost,
    Shape,
    chain_cost,
    check_values,
    conv_cost,
)

Activation = Literal["relu", "relu6", "gelu", "silu", "swish", "hard_swish", "leaky_relu"]
Norm = Literal["batch_norm"]

POOLED = ("logits", "probabilities", "embedding")
"""The outputs that come from the pooled features. The others are `stage_N`."""


def _positive(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise ConfigError(f"{name}: found {value}, must be 1 or more")


def _odd(**kernels: int | None) -> None:
    for name, kernel in kernels.items():
        if kernel is not None and (kernel < 1 or kernel % 2 == 0):
            raise ConfigError(f"{name}: found {kernel}, must be odd (1, 3, 5, ...)")


@dataclass(frozen=True, kw_only=True)
class ConvSpec:
    """The block `conv`: convolution, norm, activation."""

    out_channels: int
    """Output channels."""
    kernel_size: int
    """Side of the kernel."""
    stride: int
    """Stride."""

    role: ClassVar[str] = "Conv"
    """What the paper calls the block."""

    def __post_init__(self) -> None:
        _positive(out_channels=self.out_channels, stride=self.stride)
        _odd(kernel_size=self.kernel_size)

    def cost(self, shape: Shape, *, layer_scale: bool, aa: AntiAliasing | None = None) -> Cost:
        """Returns the cost on an input of `shape`; a conv has no layer scale."""
        return conv_cost(shape, self.out_channels, self.kernel_size, self.stride, aa=aa)


@dataclass(frozen=True, kw_only=True)
class FusedIBSpec:
    """The block `fi`: a k x k convolution expands, a 1 x 1 one projects; there is no residual."""

    out_channels: int
    """Output channels."""
    hidden_channels: int
    """Channels after the expansion."""
    kernel_size: int
    """Side of the expanding convolution's kernel."""
    stride: int
    """Stride of the expanding convolution."""

    role: ClassVar[str] = "FusedIB"
    """What the paper calls the block."""

    def __post_init__(self) -> None:
        _positive(
            out_channels=self.out_channels, hidden_channels=self.hidden_channels, stride=self.stride
        )
        _odd(kernel_size=self.kernel_size)

    def cost(self, shape: Shape, *, layer_scale: bool, aa: AntiAliasing | None = None) -> Cost:
        """Returns the cost on an input of `shape`; a fused block has no layer scale."""
        expand = conv_cost(shape, self.hidden_channels, self.kernel_size, self.stride, aa=aa)
        return chain_cost(expand, conv_cost(expand.shape, self.out_channels, 1))


@dataclass(frozen=True, kw_only=True)
class UIRSpec:
    """The block `uir`: a universal inverted residual, with up to two depthwise convolutions."""

    out_channels: int
    """Output channels."""
    hidden_channels: int
    """Channels after the expansion."""
    extra_kernel_size: int | None
    """Kernel of the depthwise convolution before the expansion; None leaves it out."""
    middle_kernel_size: int | None
    """Kernel of the depthwise convolution after the expansion; None leaves it out."""
    stride: int
    """Stride of the middle depthwise convolution, or else of the extra one (timm's rule)."""

    def __post_init__(self) -> None:
        _positive(
            out_channels=self.out_channels, hidden_channels=self.hidden_channels, stride=self.stride
        )
        _odd(
            extra_dw_kernel_size=self.extra_kernel_size,
            middle_dw_kernel_size=self.middle_kernel_size,
        )
        if self.stride != 1 and not (self.extra_kernel_size or self.middle_kernel_size):
            raise ConfigError(
                f"stride: found {self.stride}, must be 1 in a uir without a depthwise convolution"
            )

    @property
    def role(self) -> str:
        """The name of this instance of the universal inverted bottleneck (paper, figure 4)."""
        if self.extra_kernel_size:
            return "ExtraDW" if self.middle_kernel_size else "ConvNeXt-like"
        return "IB" if self.middle_kernel_size else "FFN"

    def has_residual(self, in_channels: int) -> bool:
        """Returns whether the input is added to the output."""
        return self.stride == 1 and in_channels == self.out_channels

    def cost(self, shape: Shape, *, layer_scale: bool, aa: AntiAliasing | None = None) -> Cost:
        """Returns the cost on an input of `shape`."""
        parts: list[Cost] = []
        at = shape
        if self.extra_kernel_size:
            stride = 1 if self.middle_kernel_size else self.stride
            parts.append(conv_cost(at, at[0], self.extra_kernel_size, stride, at[0], aa))
            at = parts[-1].shape
        if self.hidden_channels != at[0]:
            parts.append(conv_cost(at, self.hidden_channels, 1))
            at = parts[-1].shape
        if self.middle_kernel_size:
            parts.append(conv_cost(at, at[0], self.middle_kernel_size, self.stride, at[0], aa))
            at = parts[-1].shape
        parts.append(conv_cost(at, self.out_channels, 1))
        return chain_cost(*parts, extra_params=self.out_channels if layer_scale else 0)


@dataclass(frozen=True, kw_only=True)
class MMQASpec:
    """The block `mmqa`: mobile multi-query attention; all heads share one key and one value."""

    out_channels: int
    """Output channels, equal to the input's."""
    attention_channels: int
    """Query channels of all heads together."""
    num_heads: int
    """Number of heads."""
    query_pooling_stride: int | None
    """Stride of the average pooling of the queries; None leaves it out."""
    kv_kernel_size: int | None
    """Kernel of the depthwise convolution before keys and values; None leaves it out."""
    kv_stride: int | None
    """Stride of that convolution."""

    role: ClassVar[str] = "MQA"
    """What the paper calls the block."""

    def __post_init__(self) -> None:
        _positive(
            out_channels=self.out_channels,
            attention_channel=self.attention_channels,
            num_attention_heads=self.num_heads,
        )
        _odd(key_val_downsample_kernel_size=self.kv_kernel_size)
        if self.attention_channels % self.num_heads:
            raise ConfigError(
                f"attention_channel: found {self.attention_channels}, must be a multiple of "
                f"num_attention_heads = {self.num_heads}"
            )
        if self.query_pooling_stride is not None and self.query_pooling_stride < 2:
            raise ConfigError(
                f"query_pooling_stride: found {self.query_pooling_stride}, must be 2 or more, "
                "or ~ for none"
            )
        if (self.kv_kernel_size is None) != (self.kv_stride is None):
            raise ConfigError("key_val_downsample needs both a kernel size and a stride")
        if self.kv_stride is not None:
            _positive(key_val_downsample_stride=self.kv_stride)

    @property
    def head_dim(self) -> int:
        """Channels of one head, and of the shared key and value."""
        return self.attention_channels // self.num_heads

    def cost(self, shape: Shape, *, layer_scale: bool, aa: AntiAliasing | None = None) -> Cost:
        """Returns the cost on an input of `shape`, including both matrix products.

        The strides of an attention stay as they are in a network with anti-aliasing.
        """
        channels, height, width = shape
        if channels != self.out_channels:
            raise ConfigError(
                f"out_channels: found {self.out_channels}, must equal the {channels} channels "
                "that come in"
            )
        params = 2 * channels + (channels if layer_scale else 0)
        macs = 0
        queries, keys = height * width, height * width
        if self.query_pooling_stride:
            params += 2 * channels
            pooled = (height // self.query_pooling_stride, width // self.query_pooling_stride)
            if 0 in pooled:
                raise ConfigError(
                    f"query_pooling_stride: found {self.query_pooling_stride}, larger than the "
                    f"{height} x {width} map that comes in"
                )
            queries = pooled[0] * pooled[1]
        if self.kv_kernel_size and self.kv_stride:
            down = conv_cost(shape, channels, self.kv_kernel_size, self.kv_stride, groups=channels)
            params += 2 * down.params
            macs += 2 * down.macs
            keys = down.shape[1] * down.shape[2]
        check_values("attention", self.num_heads, queries, keys)
        query, key = channels * self.attention_channels, channels * self.head_dim
        params += 2 * query + 2 * key
        macs += query * queries + 2 * key * keys + query * height * width
        macs += 2 * queries * keys * self.attention_channels
        return Cost(shape=shape, params=params, macs=macs)


BlockSpec = ConvSpec | FusedIBSpec | UIRSpec | MMQASpec


@dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """The classification head: pool, 1 x 1 convolution, norm, activation, dropout, linear."""

    hidden_channels: int | None = 1280
    """Width of the 1 x 1 convolution; None classifies the pooled features directly."""
    num_classes: int = 1000
    """Number of classes."""
    act: str = "relu"
    """Activation after the 1 x 1 convolution."""
    dropout: float = 0.0
    """Dropout before the classifier while training."""

    def __post_init__(self) -> None:
        _positive(num_classes=self.num_classes)
        if self.hidden_channels is not None:
            _positive(intermediate_channels=self.hidden_channels)
        _known("act_type", self.act, get_args(Activation))
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout_prob: found {self.dropout}, must be at least 0, below 1")

    def cost(self, channels: int) -> Cost:
        """Returns the cost after pooling; the classifier has a bias."""
        hidden = self.hidden_channels
        params = macs = 0
        if hidden:
            conv = conv_cost((channels, 1, 1), hidden, 1)
            params, macs = conv.params, conv.macs
        width = hidden or channels
        return Cost(
            shape=(self.num_classes, 1, 1),
            params=params + (width + 1) * self.num_classes,
            macs=macs + width * self.num_classes,
        )


def _known(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(unknown(key, value, allowed))


@dataclass(frozen=True, kw_only=True)
class BlockRow:
    """One row of the stage table."""

    name: str
    """`stem`, `stages.S.I`, `final` or `head`: also the module's name in the network."""
    role: str
    """What the paper calls the block."""
    cost: Cost
    """The block's output shape, parameters and multiply-accumulates."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A whole network."""

    name: str
    """The configuration's name."""
    stem: ConvSpec
    """The first convolution."""
    stages: tuple[tuple[BlockSpec, ...], ...]
    """The stages in order, each a tuple of blocks."""
    final: ConvSpec
    """The convolution that ends the last stage."""
    head: HeadSpec | None = field(default_factory=HeadSpec)
    """The classification head; None if the network only gives features."""
    norm: str = "batch_norm"
    """Normalisation after every convolution."""
    act: str = "relu"
    """Activation of all blocks."""
    layer_scale: float | None = None
    """Initial value of the learned scale at the end of `uir` and `mmqa` blocks; None for none."""
    aa_layer: AntiAliasing | None = None
    """What halves a map after a strided convolution, except the stem; None: that convolution."""
    features: tuple[int, ...] = ()
    """Indices of the stages whose output maps `features` stands for."""
    input_size: tuple[int, int] = (224, 224)
    """(height, width) that the network was designed for."""

    def __post_init__(self) -> None:
        _known("norm_type", self.norm, get_args(Norm))
        _known("act_type", self.act, get_args(Activation))
        if self.aa_layer is not None:
            _known("aa_layer", self.aa_layer, get_args(AntiAliasing))
            for name, block in (*self.blocks(), ("final", self.final)):
                if not isinstance(block, MMQASpec) and block.stride not in (1, 2):
                    raise ConfigError(
                        f"{where(name)}: stride: found {block.stride}, must be 1 or 2 in a network "
                        "with aa_layer"
                    )
        if not self.stages or not all(self.stages):
            raise ConfigError("stage_params: needs at least one stage, and a block in each")
        for index in self.features:
            if not 0 <= index < len(self.stages):
                raise ConfigError(
                    f"return_stage_idx: found {index}, allowed: 0 to {len(self.stages) - 1}"
                )
        if len(set(self.features)) != len(self.features):
            raise ConfigError(f"return_stage_idx: found a stage twice in {list(self.features)}")

    def blocks(self) -> Iterator[tuple[str, BlockSpec]]:
        """Yields every block of the stages with its module name, in order; not the final conv."""
        for s, stage in enumerate(self.stages):
            for i, block in enumerate(stage):
                yield f"stages.{s}.{i}", block

    @property
    def total_stride(self) -> int:
        """Input pixels per pixel of the last map, in each direction."""
        strided = (block for _, block in self.blocks() if not isinstance(block, MMQASpec))
        return math.prod(block.stride for block in (self.stem, *strided, self.final))

    def table(self, size: tuple[int, int] | None = None) -> list[BlockRow]:
        """Returns the stage table at an input of `size` (height, width).

        Raises:
            ConfigError: Channels do not match, the strides do not divide the size, or the network
                would take gigabytes.
        """
        height, width = size or self.input_size
        stride = self.total_stride
        if min(height, width) < stride or height % stride or width % stride:
            near = "x".join(str(max(1, round(side / stride)) * stride) for side in (height, width))
            raise ConfigError(
                f"input size: found {height}x{width}, both must be multiples of {stride}, "
                f"the network's total stride; the nearest is {near}"
            )
        rows: list[BlockRow] = []
        at: Shape = (3, height, width)
        named = [("stem", self.stem), *self.blocks(), ("final", self.final)]
        for name, block in named:
            try:
                cost = block.cost(
                    at,
                    layer_scale=self.layer_scale is not None,
                    aa=None if name == "stem" else self.aa_layer,
                )
            except ConfigError as error:
                raise ConfigError(f"{where(name)}: {error}") from None
            rows.append(BlockRow(name=name, role=block.role, cost=cost))
            at = cost.shape
        if self.head:
            rows.append(BlockRow(name="head", role="Head", cost=self.head.cost(at[0])))
        if (params := sum(row.cost.params for row in rows)) > MAX_PARAMETERS:
            raise ConfigError(f"found {params} parameters, at most {MAX_PARAMETERS} are allowed")
        return rows

    def sha256(self) -> str:
        """Returns the hash of the network, which does not depend on the file that describes it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def with_head(self, num_classes: int) -> ModelSpec:
        """Returns the same network with another number of classes."""
        return replace(
            self, head=replace(self.head or HeadSpec(act=self.act), num_classes=num_classes)
        )

    def check_outputs(self, outputs: tuple[str, ...]) -> tuple[str, ...]:
        """Returns the outputs if the network has them.

        Raises:
            ConfigError: Names the output, and the outputs that exist.
        """
        stages = (f"stage_{index}" for index in range(len(self.stages)))
        allowed = (*(POOLED if self.head else ("embedding",)), *stages)
        for name in outputs:
            if name not in allowed:
                raise ConfigError(unknown("output", name, allowed))
        if not outputs or len(set(outputs)) != len(outputs):
            raise ConfigError(f"outputs: found {list(outputs)}, needs one or more, each once")
        return outputs


def where(name: str) -> str:
    """Returns a module name as text: `stages.2.1` is `stage 2, block 1`."""
    parts = name.split(".")
    return f"stage {parts[1]}, block {parts[2]}" if parts[0] == "stages" else name
