"""Names of our modules in the checkpoints of timm and of NetsPresso Trainer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from torch import nn

from mnv4_mobile.model.blocks import MMQA, UIR, ConvNorm, FusedIB
from mnv4_mobile.model.net import MobileNetV4

Modules = dict[str, str]
"""Our module's name in the network -> its name in the checkpoint."""


@dataclass(frozen=True, kw_only=True)
class KeyMap:
    """A project's way of naming the tensors of a checkpoint."""

    source: str
    sign: str
    """A tensor that only this project's checkpoints have."""
    head: tuple[str, ...]
    """What the names of a head's tensors begin with."""
    modules: Callable[[MobileNetV4], Modules]


def _blocks(net: MobileNetV4) -> Iterator[tuple[str, nn.Module]]:
    for name, _ in net.spec.blocks():
        yield name, net.get_submodule(name)


# timm: models/_efficientnet_blocks.py and layers/attention2d.py.
_TIMM_BLOCKS: dict[type[nn.Module], Modules] = {
    ConvNorm: {"conv": "conv", "norm": "bn1"},
    FusedIB: {
        "expand.conv": "conv_exp",
        "expand.norm": "bn1",
        "project.conv": "conv_pwl",
        "project.norm": "bn2",
    },
    UIR: {
        "extra.conv": "dw_start.conv",
        "extra.norm": "dw_start.bn",
        "expand.conv": "pw_exp.conv",
        "expand.norm": "pw_exp.bn",
        "middle.conv": "dw_mid.conv",
        "middle.norm": "dw_mid.bn",
        "project.conv": "pw_proj.conv",
        "project.norm": "pw_proj.bn",
        "layer_scale": "layer_scale",
    },
    MMQA: {
        "norm": "norm",
        "query_norm": "attn.query.norm",
        "query": "attn.query.proj",
        "key.down.conv": "attn.key.down_conv",
        "key.down.norm": "attn.key.norm",
        "key.project": "attn.key.proj",
        "value.down.conv": "attn.value.down_conv",
        "value.down.norm": "attn.value.norm",
        "value.project": "attn.value.proj",
        "output": "attn.output.proj",
        "layer_scale": "layer_scale",
    },
}


def _timm(net: MobileNetV4) -> Modules:
    final = f"blocks.{len(net.spec.stages)}.0"
    names = {
        "stem.conv": "conv_stem",
        "stem.norm": "bn1",
        "final.conv": f"{final}.conv",
        "final.norm": f"{final}.bn1",
        "head.conv.conv": "conv_head",
        "head.conv.norm": "norm_head",
        "head.classifier": "classifier",
    }
    for name, block in _blocks(net):
        theirs = name.replace("stages", "blocks", 1)
        for part, their_part in _TIMM_BLOCKS[type(block)].items():
            names[f"{name}.{part}"] = f"{theirs}.{their_part}"
    return names


def _conv_layer(ours: str, theirs: str) -> Modules:
    """NetsPresso's ConvLayer."""
    return {f"{ours}.conv": f"{theirs}.block.conv", f"{ours}.norm": f"{theirs}.block.norm"}


def _attention(ours: str, theirs: str, block: MMQA) -> Modules:
    """NetsPresso's MobileMultiQueryAttention2D, whose parts are numbered as they are present."""
    pooled, down = int(block.pool_stride is not None), block.key.down is not None
    names = {
        f"{ours}.norm": f"{theirs}.norm_layer",
        f"{ours}.query_norm": f"{theirs}.attention.query.1",  # 0 is the pooling
        f"{ours}.query": f"{theirs}.attention.query.{2 * pooled}",
        f"{ours}.output": f"{theirs}.attention.linear.{pooled}",  # 0 is the upsampling
    }
    for part in ("key", "value"):
        names[f"{ours}.{part}.project"] = f"{theirs}.attention.{part}.{2 if down else 0}"
        names[f"{ours}.{part}.down.conv"] = f"{theirs}.attention.{part}.0"
        names[f"{ours}.{part}.down.norm"] = f"{theirs}.attention.{part}.1"
    return names


def _netspresso(net: MobileNetV4, backbone: str) -> Modules:
    last = len(net.spec.stages) - 1
    final = f"{backbone}stages.{last}.{len(net.spec.stages[last])}"
    names = {
        **_conv_layer("stem", f"{backbone}conv_stem"),
        **_conv_layer("final", final),
        **_conv_layer("head.conv", "head.classifier.0"),
    }
    for name, block in _blocks(net):
        theirs = backbone + name
        if isinstance(block, ConvNorm):
            names |= _conv_layer(name, theirs)
        elif isinstance(block, MMQA):
            names |= _attention(name, theirs, block)
        else:
            parts = [part for part, _ in block.named_children() if part != "layer_scale"]
            for index, part in enumerate(parts):
                names |= _conv_layer(f"{name}.{part}", f"{theirs}.block.{index}")
        names[f"{name}.layer_scale"] = f"{theirs}.layer_scale"
    # [ConvLayer,] dropout, ConvLayer without a norm
    layer = 2 if net.head is not None and net.head.conv is not None else 1
    names["head.classifier"] = f"head.classifier.{layer}.block.conv"
    return names


def _ours(net: MobileNetV4) -> Modules:
    return {name: name for name, _ in net.named_modules()}


_NETSPRESSO_SIGN = "conv_stem.block.conv.weight"

KEY_MAPS = (
    KeyMap(source="mnv4-mobile", sign="stem.conv.weight", head=("head.",), modules=_ours),
    KeyMap(
        source="timm",
        sign="conv_stem.weight",
        head=("conv_head.", "norm_head.", "classifier."),
        modules=_timm,
    ),
    KeyMap(
        source="netspresso",
        sign=f"backbone.{_NETSPRESSO_SIGN}",
        head=("head.",),
        modules=partial(_netspresso, backbone="backbone."),
    ),
    KeyMap(  # the backbone alone
        source="netspresso",
        sign=_NETSPRESSO_SIGN,
        head=("head.",),
        modules=partial(_netspresso, backbone=""),
    ),
)


def key_map_of(keys: Iterable[str]) -> KeyMap | None:
    """The names of a checkpoint with these tensors; None if no known project writes it."""
    present = set(keys)
    return next((one for one in KEY_MAPS if one.sign in present), None)
