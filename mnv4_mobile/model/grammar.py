"""Configuration files in, frozen specs out; every mistake is an error that names its place.

A model is the backbone section of NetsPresso Trainer's grammar, bare or inside
`model: architecture: backbone:`, or a whole training configuration of that project, whose other
known sections are reported as unused.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4_mobile.configs import find_config
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.model.spec import (
    BlockSpec,
    ConvSpec,
    FusedIBSpec,
    HeadSpec,
    MMQASpec,
    ModelSpec,
    UIRSpec,
    where,
)
from mnv4_mobile.records import show
from mnv4_mobile.yaml_file import Section, checked, read_yaml

# Fields of a block after its kind, as the grammar orders them; "?" may be ~.
_BLOCKS: dict[str, tuple[str, ...]] = {
    "conv": ("out_channels", "kernel_size", "stride"),
    "fi": ("out_channels", "hidden_channels", "kernel_size", "stride"),
    "uir": (
        "out_channels",
        "hidden_channels",
        "extra_dw",
        "extra_dw_kernel_size?",
        "middle_dw",
        "middle_dw_kernel_size?",
        "stride",
    ),
    "mmqa": (
        "out_channels",
        "attention_channel",
        "num_attention_heads",
        "query_pooling_stride?",
        "key_val_downsample",
        "key_val_downsample_kernel_size?",
        "key_val_downsample_stride?",
        "stride",
    ),
}
_SWITCHES = ("extra_dw", "middle_dw", "key_val_downsample")


def _switched(values: dict[str, Any], switch: str, *names: str) -> list[int | None]:
    """Values that must be there when their switch is on, and must be ~ when it is off."""
    found = [values[name] for name in names]
    for name, value in zip(names, found, strict=True):
        if values[switch] != (value is not None):
            wanted = "a whole number" if values[switch] else "~"
            raise ConfigError(
                f"{name}: found {show(value)}, must be {wanted} as {switch} is {values[switch]}"
            )
    return found


def _block(value: object) -> BlockSpec:
    if not isinstance(value, list) or not value or value[0] not in _BLOCKS:
        kinds = ", ".join(_BLOCKS)
        raise ConfigError(f"found {show(value)}, must be a list that begins with one of: {kinds}")
    kind, *given = value
    fields = _BLOCKS[kind]
    names = [name.rstrip("?") for name in fields]
    if len(given) != len(fields):
        raise ConfigError(
            f"{kind}: found {len(given)} values, must be {len(fields)}: {', '.join(names)}"
        )
    v: dict[str, Any] = {}
    for field, name, item in zip(fields, names, given, strict=True):
        if item is None and field.endswith("?"):
            v[name] = None
        else:
            v[name] = checked(item, bool if name in _SWITCHES else int, f"{kind}: {name}")
    match kind:
        case "conv":
            return ConvSpec(**v)
        case "fi":
            return FusedIBSpec(**v)
        case "uir":
            (extra,) = _switched(v, "extra_dw", "extra_dw_kernel_size")
            (middle,) = _switched(v, "middle_dw", "middle_dw_kernel_size")
            return UIRSpec(
                out_channels=v["out_channels"],
                hidden_channels=v["hidden_channels"],
                extra_kernel_size=extra,
                middle_kernel_size=middle,
                stride=v["stride"],
            )
        case _:
            if v["stride"] != 1:
                raise ConfigError(f"mmqa: stride: found {v['stride']}, must be 1")
            kernel, stride = _switched(
                v,
                "key_val_downsample",
                "key_val_downsample_kernel_size",
                "key_val_downsample_stride",
            )
            return MMQASpec(
                out_channels=v["out_channels"],
                attention_channels=v["attention_channel"],
                num_heads=v["num_attention_heads"],
                query_pooling_stride=v["query_pooling_stride"],
                kv_kernel_size=kernel,
                kv_stride=stride,
            )


def _stages(value: object, place: str) -> tuple[tuple[BlockSpec, ...], ...]:
    if not isinstance(value, list):
        raise ConfigError(f"{place}: found {show(value)}, must be a list of stages")
    stages = []
    for s, stage in enumerate(value):
        if not isinstance(stage, list) or not stage:
            raise ConfigError(
                f"{place}: stage {s}: found {show(stage)}, must be a list of one or more blocks"
            )
        blocks = []
        for i, block in enumerate(stage):
            try:
                blocks.append(_block(block))
            except ConfigError as error:
                raise ConfigError(f"{place}: {where(f'stages.{s}.{i}')}: {error}") from None
        stages.append(tuple(blocks))
    return tuple(stages)


def read_size(value: object, place: str) -> tuple[int, int]:
    """(height, width) from a number or a pair."""
    pair = value if isinstance(value, list) else [value, value]
    if len(pair) != 2:
        raise ConfigError(f"{place}: found {show(value)}, must be a number or [height, width]")
    return (checked(pair[0], int, place), checked(pair[1], int, place))


def _head(section: Section, act: str) -> HeadSpec:
    params = section.section("params")
    layers = params.get("num_layers", int, 2)
    if layers not in (1, 2):
        raise ConfigError(f"{params.at('num_layers')}: found {layers}, allowed: 1, 2")
    params.get("norm_type", str, "batch_norm")
    head = HeadSpec(
        hidden_channels=params.get("intermediate_channels", int, 1280) if layers == 2 else None,
        act=params.get("act_type", str, act),
        dropout=params.get("dropout_prob", float, 0.0),
    )
    params.close(("intermediate_channels",))
    section.close()
    return head


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A model configuration as it was read."""

    path: Path
    spec: ModelSpec
    unused: tuple[str, ...]
    """Known keys of a training configuration that say nothing about the network."""


# Sections and keys of a NetsPresso Trainer configuration that do not describe the network.
_UNUSED_TOP = ("data", "augmentation", "training", "logging", "environment")
_UNUSED_MODEL = ("task", "name", "checkpoint", "freeze_backbone", "postprocessor", "losses")


def _open_backbone(top: Section) -> tuple[Section, Section | None, list[str]]:
    """(backbone, head, unused keys) from any of the three forms."""
    if "model" not in top:
        return top, None, []
    model = top.section("model")
    architecture = model.section("architecture")
    backbone = architecture.section("backbone")
    full = architecture.any("full", None)
    if full is not None:
        place = architecture.at("full")
        raise ConfigError(f"{place}: found {show(full)}, must be ~: only a backbone is read")
    head = architecture.any("head", None)
    unused = [f"model.architecture.{key}" for key in architecture.close(("neck",))]
    unused += [f"model.{key}" for key in model.close(_UNUSED_MODEL)]
    if head is None:
        return backbone, None, unused
    section = Section(head, architecture.at("head"))
    kind = section.get("name", str)
    if kind != "fc_conv":
        return backbone, None, [*unused, f"model.architecture.head ({kind})"]
    return backbone, section, unused


def read_model(name: str) -> ModelFile:
    """A model configuration: the name of a shipped one, or a YAML file.

    Raises:
        ConfigError: Naming the file and the key or the stage and block, what was found and what
            is allowed.
    """
    path = find_config("models", name)
    top = Section(read_yaml(path), str(path))
    size = read_size(top.any("input_size", 224), top.at("input_size"))
    backbone, head, unused = _open_backbone(top)
    kind = backbone.get("name", str)
    if kind != "mobilenetv4":
        raise ConfigError(f"{backbone.at('name')}: found {kind!r}, must be 'mobilenetv4'")
    params = backbone.section("params")
    stages = _stages(backbone.any("stage_params"), backbone.at("stage_params"))
    act = params.get("act_type", str, "relu")
    features = params.any("return_stage_idx", None)
    if features is None:
        features = [len(stages) - 1]
    if not isinstance(features, list):
        place = params.at("return_stage_idx")
        raise ConfigError(f"{place}: found {show(features)}, must be a list of stages or ~")
    has_other_head = any("head" in key for key in unused)
    try:
        spec = ModelSpec(
            name=path.stem,
            stem=_conv(params, "stem"),
            stages=stages,
            final=_conv(params, "final_conv"),
            head=_head(head, act) if head else None if has_other_head else HeadSpec(act=act),
            norm=params.get("norm_type", str, "batch_norm"),
            act=act,
            layer_scale=params.optional("layer_scale", float),
            features=tuple(checked(i, int, params.at("return_stage_idx")) for i in features),
            input_size=size,
        )
        params.close()
        unused += [*backbone.close(), *top.close(_UNUSED_TOP)]
        spec.table()
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    return ModelFile(path=path, spec=spec, unused=tuple(unused))


def _conv(params: Section, prefix: str) -> ConvSpec:
    values = {
        name: params.get(f"{prefix}_{key}", int)
        for name, key in (
            ("out_channels", "out_channel"),
            ("kernel_size", "kernel_size"),
            ("stride", "stride"),
        )
    }
    try:
        return ConvSpec(**values)
    except ConfigError as error:
        raise ConfigError(f"{params.place}: {prefix}: {error}") from None


def load_model(name: str) -> ModelSpec:
    """The network of a model configuration; see `read_model`."""
    return read_model(name).spec
