"""Reads a model configuration into the frozen types of `spec.py`.

A model is the backbone section of NetsPresso Trainer's grammar with timm's anti-aliasing
(`aa_layer`, which that project does not have), bare or inside
`model: architecture: backbone:`, or a whole training configuration of that project, whose other
known sections are reported as ignored. The records below are the grammar; the JSON Schema
`model.schema.json` is generated from them. Every error names the place of the mistake.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_type_hints

from msgspec import Meta

from mnv4_mobile.configs import find_config, shipped
from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.images import InputSize, height_and_width
from mnv4_mobile.model.cost import AntiAliasing
from mnv4_mobile.model.spec import (
    Activation,
    BlockSpec,
    ConvSpec,
    FusedIBSpec,
    HeadSpec,
    MMQASpec,
    ModelSpec,
    Norm,
    UIRSpec,
    where,
)
from mnv4_mobile.model.timm_names import (
    is_timm_name,
    shipped_name,
    timm_name,
)
from mnv4_mobile.records import Count, Finite, Natural, Record, Row, convert, show
from mnv4_mobile.yaml_file import read_yaml

Odd = Annotated[Count, Meta(extra_json_schema={"not": {"multipleOf": 2}})]
"""A kernel size; `spec.py` refuses even ones."""
Ignored = Annotated[Any, Meta(extra_json_schema={"description": "Not read."})]
"""A key of a training configuration that says nothing about the network."""


class ConvRow(Row, frozen=True, tag="conv"):
    """A convolution, batch norm and activation: `[conv, 32, 3, 2]`."""

    out_channels: Count
    """Output channels."""
    kernel_size: Odd
    """Side of the kernel, odd."""
    stride: Count
    """Stride."""

    def spec(self) -> BlockSpec:
        """Returns the block."""
        return ConvSpec(
            out_channels=self.out_channels, kernel_size=self.kernel_size, stride=self.stride
        )


class FusedRow(Row, frozen=True, tag="fi"):
    """A fused inverted bottleneck: `[fi, 48, 128, 3, 2]`."""

    out_channels: Count
    """Output channels."""
    hidden_channels: Count
    """Channels after the expansion."""
    kernel_size: Odd
    """Side of the expanding convolution's kernel, odd."""
    stride: Count
    """Stride of the expanding convolution."""

    def spec(self) -> BlockSpec:
        """Returns the block."""
        return FusedIBSpec(
            out_channels=self.out_channels,
            hidden_channels=self.hidden_channels,
            kernel_size=self.kernel_size,
            stride=self.stride,
        )


class UIRRow(Row, frozen=True, tag="uir"):
    """A universal inverted bottleneck: `[uir, 96, 192, true, 5, true, 5, 2]`."""

    out_channels: Count
    """Output channels."""
    hidden_channels: Count
    """Channels after the expansion."""
    extra_dw: bool
    """Whether a depthwise convolution comes before the expansion."""
    extra_dw_kernel_size: Odd | None
    """Side of that convolution's kernel, odd; ~ if there is none."""
    middle_dw: bool
    """Whether a depthwise convolution comes after the expansion."""
    middle_dw_kernel_size: Odd | None
    """Side of that convolution's kernel, odd; ~ if there is none."""
    stride: Count
    """Stride of the last of the two depthwise convolutions."""

    def __post_init__(self) -> None:
        _switched(self, "extra_dw", "extra_dw_kernel_size")
        _switched(self, "middle_dw", "middle_dw_kernel_size")

    def spec(self) -> BlockSpec:
        """Returns the block."""
        return UIRSpec(
            out_channels=self.out_channels,
            hidden_channels=self.hidden_channels,
            extra_kernel_size=self.extra_dw_kernel_size,
            middle_kernel_size=self.middle_dw_kernel_size,
            stride=self.stride,
        )


class MMQARow(Row, frozen=True, tag="mmqa"):
    """Mobile multi-query attention: `[mmqa, 160, 256, 4, ~, true, 3, 2, 1]`."""

    out_channels: Count
    """Output channels, equal to the input's."""
    attention_channel: Count
    """Query channels of all heads together."""
    num_attention_heads: Count
    """Number of heads."""
    query_pooling_stride: Annotated[int, Meta(ge=2, le=2**31 - 1)] | None
    """Stride of the average pooling of the queries; ~ for none."""
    key_val_downsample: bool
    """Whether a depthwise convolution makes the maps of keys and values smaller."""
    key_val_downsample_kernel_size: Odd | None
    """Side of that convolution's kernel, odd; ~ if there is none."""
    key_val_downsample_stride: Count | None
    """Stride of that convolution; ~ if there is none."""
    stride: Literal[1]
    """Stride of the block, always 1."""

    def __post_init__(self) -> None:
        _switched(
            self,
            "key_val_downsample",
            "key_val_downsample_kernel_size",
            "key_val_downsample_stride",
        )

    def spec(self) -> BlockSpec:
        """Returns the block."""
        return MMQASpec(
            out_channels=self.out_channels,
            attention_channels=self.attention_channel,
            num_heads=self.num_attention_heads,
            query_pooling_stride=self.query_pooling_stride,
            kv_kernel_size=self.key_val_downsample_kernel_size,
            kv_stride=self.key_val_downsample_stride,
        )


def _switched(row: Row, switch: str, *names: str) -> None:
    """Checks values that must be given when their switch is on, and must be ~ when it is off."""
    on = getattr(row, switch)
    for name in names:
        value = getattr(row, name)
        if on != (value is not None):
            wanted = "a whole number" if on else "~"
            raise ValueError(f"{name}: found {show(value)}, must be {wanted} as {switch} is {on}")


Block: TypeAlias = ConvRow | FusedRow | UIRRow | MMQARow
Stage = Annotated[tuple[Block, ...], Meta(min_length=1, description="a list of one or more blocks")]


class BackboneParams(Record, frozen=True, kw_only=True):
    """The convolutions before and after the stages, and what all blocks share."""

    stem_out_channel: Count
    """Output channels of the first convolution."""
    stem_kernel_size: Odd
    """Side of the first convolution's kernel, odd."""
    stem_stride: Count
    """Stride of the first convolution."""
    final_conv_out_channel: Count
    """Output channels of the convolution after the last stage."""
    final_conv_kernel_size: Odd
    """Side of that convolution's kernel, odd."""
    final_conv_stride: Count
    """Stride of that convolution."""
    norm_type: Norm = "batch_norm"
    """Normalisation after every convolution."""
    act_type: Activation = "relu"
    """Activation of all blocks."""
    return_stage_idx: tuple[Natural, ...] | None = None
    """Indices, from 0, of the stages whose maps the output `features` stands for; ~ means the last
    one."""
    layer_scale: Finite | None = None
    """Initial value of the learned scale at the end of `uir` and `mmqa` blocks; ~ for none."""
    aa_layer: AntiAliasing | None = None
    """What halves a map after each convolution with a stride but the first: `avg` averages 2 x 2
    values, `blurpc` is timm's blur with a border of zeros; ~ for the convolution itself."""


class Backbone(Record, frozen=True, kw_only=True):
    """A MobileNetV4 backbone."""

    name: Literal["mobilenetv4"]
    """The architecture."""
    params: BackboneParams
    """The first and the last convolution, and what all blocks share."""
    stage_params: Annotated[
        tuple[Stage, ...], Meta(min_length=1, description="a list of one or more stages")
    ]
    """The stages in order, each a list of blocks. A block is a list: its kind, then its values."""


class BareModel(Backbone, frozen=True, kw_only=True):
    """A model file that is a backbone; it gets the default classification head."""

    input_size: InputSize = 224
    """Input size that the network was designed for."""


class HeadParams(Record, frozen=True, kw_only=True):
    """The layers of the classification head."""

    num_layers: Literal[1, 2] = 2
    """2: a 1 x 1 convolution before the classifier; 1: the classifier alone."""
    intermediate_channels: Count | None = 1280
    """Output channels of the 1 x 1 convolution."""
    act_type: Activation | None = None
    """Activation after the 1 x 1 convolution; ~ means the backbone's."""
    norm_type: Norm = "batch_norm"
    """Normalisation after the 1 x 1 convolution."""
    dropout_prob: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    """Dropout before the classifier while training."""

    def __post_init__(self) -> None:
        if self.num_layers == 2 and self.intermediate_channels is None:
            raise ValueError("intermediate_channels: found ~, must be a whole number")


class Head(Record, frozen=True, kw_only=True):
    """The classification head `fc_conv`."""

    name: Literal["fc_conv"]
    """The kind of head. A network with any other kind gives features only."""
    params: HeadParams
    """The layers of the head."""


class Architecture(Record, frozen=True, kw_only=True):
    """The parts of a network in NetsPresso Trainer's grammar."""

    backbone: Backbone
    """The backbone."""
    head: Annotated[
        Mapping[str, Any] | None,
        Meta(
            extra_json_schema={
                "oneOf": [
                    {"type": "null"},
                    {"$ref": "#/$defs/Head"},
                    {
                        "type": "object",
                        "properties": {"name": {"type": "string", "not": {"const": "fc_conv"}}},
                        "required": ["name"],
                    },
                ]
            }
        ),
    ] = None
    """The head; ~ means `fc_conv` with its defaults."""
    full: Annotated[None, Meta(description="~: only a backbone is read")] = None
    """A whole network in place of backbone and head, which is not supported."""
    neck: Ignored = None
    """Not read."""


class TrainedModel(Record, frozen=True, kw_only=True):
    """The section `model` of a training configuration."""

    architecture: Architecture
    """The network."""
    task: Ignored = None
    """Not read."""
    name: Ignored = None
    """Not read."""
    checkpoint: Ignored = None
    """Not read."""
    freeze_backbone: Ignored = None
    """Not read."""
    postprocessor: Ignored = None
    """Not read."""
    losses: Ignored = None
    """Not read."""


class TrainingConfiguration(Record, frozen=True, kw_only=True):
    """A model file with a section `model`: a training configuration of NetsPresso Trainer."""

    model: TrainedModel
    """The network."""
    input_size: InputSize = 224
    """Input size that the network was designed for."""
    data: Ignored = None
    """Not read."""
    augmentation: Ignored = None
    """Not read."""
    training: Ignored = None
    """Not read."""
    logging: Ignored = None
    """Not read."""
    environment: Ignored = None
    """Not read."""


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A model configuration and the network that it describes."""

    path: Path
    """The configuration file."""
    spec: ModelSpec
    """The network."""
    unused: tuple[str, ...]
    """Known keys of a training configuration that say nothing about the network."""
    tag: str | None = None
    """The tag in timm's name, as in `mobilenetv4_conv_small.TAG`; it stands for weights."""


def read_model(name: str) -> ModelFile:
    """Reads a model configuration.

    Args:
        name: The name of a shipped model, timm's name for it with or without a tag, or the path of
            a YAML file.

    Raises:
        ConfigError: Naming the file and the key or the stage and block, what was found and what
            is allowed.
    """
    path, tag = _find(name)
    values = read_yaml(path)
    try:
        if "model" in values:
            file = convert(values, TrainingConfiguration, str(path))
            network = file.model.architecture
            backbone, size = network.backbone, file.input_size
            head, ignored_head = _head(network.head, backbone.params.act_type)
            unused = [*_unused(values), *ignored_head]
        else:
            bare = convert(values, BareModel, str(path))
            backbone, size, unused = bare, bare.input_size, []
            head = HeadSpec(act=bare.params.act_type)
        spec = _network(path.stem, backbone, head, height_and_width(size))
    except ConfigError as error:
        # Indices in lists count from 0, as the names of modules do.
        text = re.sub(
            r"stage_params\[(\d+)\](?:\[(\d+)\])?",
            lambda at: f"stage_params: stage {at[1]}" + (f", block {at[2]}" if at[2] else ""),
            str(error).removeprefix(f"{path}: "),
        )
        raise ConfigError(f"{path}: {text}") from None
    return ModelFile(path=path, spec=spec, unused=tuple(unused), tag=tag)


def _find(name: str) -> tuple[Path, str | None]:
    """Returns the configuration file, and the tag of timm's name."""
    if not is_timm_name(name) or name.endswith((".yaml", ".yml")):
        return find_config("models", name), None
    plain, _, tag = name.partition(".")
    ours = shipped_name(plain)
    if ours is None:
        raise ConfigError(unknown("model", name, map(timm_name, shipped("models"))))
    return find_config("models", ours), tag or None


def load_model(name: str) -> ModelSpec:
    """Returns the network of a model configuration; see `read_model`."""
    return read_model(name).spec


def _network(
    name: str, backbone: Backbone, head: HeadSpec | None, size: tuple[int, int]
) -> ModelSpec:
    params = backbone.params
    features = params.return_stage_idx
    spec = ModelSpec(
        name=name,
        stem=_conv(params, "stem"),
        stages=tuple(
            tuple(_block(row, f"stages.{s}.{i}") for i, row in enumerate(stage))
            for s, stage in enumerate(backbone.stage_params)
        ),
        final=_conv(params, "final_conv"),
        head=head,
        norm=params.norm_type,
        act=params.act_type,
        layer_scale=params.layer_scale,
        aa_layer=params.aa_layer,
        features=(len(backbone.stage_params) - 1,) if features is None else features,
        input_size=size,
    )
    spec.table()  # refuses channels that do not match
    return spec


def _block(row: Block, name: str) -> BlockSpec:
    try:
        return row.spec()
    except ConfigError as error:
        raise ConfigError(f"{where(name)}: {row.tag}: {error}") from None


def _conv(params: BackboneParams, prefix: str) -> ConvSpec:
    try:
        return ConvSpec(
            out_channels=getattr(params, f"{prefix}_out_channel"),
            kernel_size=getattr(params, f"{prefix}_kernel_size"),
            stride=getattr(params, f"{prefix}_stride"),
        )
    except ConfigError as error:
        raise ConfigError(f"params: {prefix}: {error}") from None


def _head(values: Mapping[str, Any] | None, act: Activation) -> tuple[HeadSpec | None, list[str]]:
    """Returns the head, and the key of a head that is not read."""
    place = "model.architecture.head"
    if values is None:
        return HeadSpec(act=act), []
    if isinstance(kind := values.get("name"), str) and kind != "fc_conv":
        return None, [f"{place} ({kind})"]
    params = convert(values, Head, place).params
    head = HeadSpec(
        hidden_channels=params.intermediate_channels if params.num_layers == 2 else None,
        act=params.act_type or act,
        dropout=params.dropout_prob,
    )
    return head, []


def _unused(values: Mapping[str, Any]) -> list[str]:
    """Returns the keys of a training configuration that are given, but not read."""
    model = values["model"]
    sections: list[tuple[str, type[Record], Mapping[str, Any]]] = [
        ("model.architecture.", Architecture, model["architecture"]),
        ("model.", TrainedModel, model),
        ("", TrainingConfiguration, values),
    ]
    return [
        f"{place}{name}"
        for place, kind, given in sections
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if hint == Ignored and name in given
    ]
