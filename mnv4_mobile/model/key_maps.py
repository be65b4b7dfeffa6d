"""Maps the names of our modules to those in checkpoints of timm and NetsPresso Trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from mnv4_mobile.model.spec import BlockSpec, ConvSpec, FusedIBSpec, MMQASpec, ModelSpec, UIRSpec
from mnv4_mobile.model.state import state_shapes

Modules = dict[str, str]
"""Our module's name in the network -> its name in the checkpoint."""


@dataclass(frozen=True, kw_only=True)
class KeyMap:
    """How a project names the tensors of a checkpoint."""

    source: str
    sign: str
    """A tensor that only this project's checkpoints have."""
    head: tuple[str, ...]
    """Prefixes of the names of a head's tensors."""
    modules: Callable[[ModelSpec], Modules]

    def names(self, spec: ModelSpec) -> dict[str, str]:
        """Returns the checkpoint's name of every tensor, by our name."""
        modules = self.modules(spec)
        names = {}
        for ours in state_shapes(spec):
            module, _, tensor = ours.rpartition(".")
            names[ours] = f"{modules[module]}.{tensor}"
        return names


# timm: models/_efficientnet_blocks.py and layers/attention2d.py.
_TIMM_BLOCKS: dict[type[BlockSpec], Modules] = {
    ConvSpec: {"conv": "conv", "norm": "bn1"},
    FusedIBSpec: {
        "expand.conv": "conv_exp",
        "expand.norm": "bn1",
        "project.conv": "conv_pwl",
        "project.norm": "bn2",
    },
    UIRSpec: {
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
    MMQASpec: {
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


def _timm(spec: ModelSpec) -> Modules:
    final = f"blocks.{len(spec.stages)}.0"
    names = {
        "stem.conv": "conv_stem",
        "stem.norm": "bn1",
        "final.conv": f"{final}.conv",
        "final.norm": f"{final}.bn1",
        "head.conv.conv": "conv_head",
        "head.conv.norm": "norm_head",
        "head.classifier": "classifier",
    }
    for name, block in spec.blocks():
        theirs = name.replace("stages", "blocks", 1)
        for part, their_part in _TIMM_BLOCKS[type(block)].items():
            names[f"{name}.{part}"] = f"{theirs}.{their_part}"
    return names


def _conv_layer(ours: str, theirs: str) -> Modules:
    """Returns the names in NetsPresso's ConvLayer."""
    return {f"{ours}.conv": f"{theirs}.block.conv", f"{ours}.norm": f"{theirs}.block.norm"}


def _attention(ours: str, theirs: str, block: MMQASpec) -> Modules:
    """Returns the names in NetsPresso's MobileMultiQueryAttention2D, which numbers its parts."""
    pooled = int(block.query_pooling_stride is not None)
    down = block.kv_kernel_size is not None
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


def _netspresso(spec: ModelSpec, backbone: str) -> Modules:
    last = len(spec.stages) - 1
    final = f"{backbone}stages.{last}.{len(spec.stages[last])}"
    names = {
        **_conv_layer("stem", f"{backbone}conv_stem"),
        **_conv_layer("final", final),
        **_conv_layer("head.conv", "head.classifier.0"),
    }
    channels = spec.stem.out_channels
    for name, block in spec.blocks():
        theirs = backbone + name
        match block:
            case ConvSpec():
                names |= _conv_layer(name, theirs)
            case MMQASpec():
                names |= _attention(name, theirs, block)
            case FusedIBSpec() | UIRSpec():
                for index, part in enumerate(_parts(block, channels)):
                    names |= _conv_layer(f"{name}.{part}", f"{theirs}.block.{index}")
        names[f"{name}.layer_scale"] = f"{theirs}.layer_scale"
        channels = block.out_channels
    # [ConvLayer,] dropout, ConvLayer without a norm
    layer = 2 if spec.head is not None and spec.head.hidden_channels else 1
    names["head.classifier"] = f"head.classifier.{layer}.block.conv"
    return names


def _parts(block: FusedIBSpec | UIRSpec, channels: int) -> list[str]:
    """Returns the convolutions of a block in the order in which they run."""
    if isinstance(block, FusedIBSpec):
        return ["expand", "project"]
    present = {
        "extra": block.extra_kernel_size is not None,
        "expand": block.hidden_channels != channels,
        "middle": block.middle_kernel_size is not None,
        "project": True,
    }
    return [part for part, is_present in present.items() if is_present]


def _ours(spec: ModelSpec) -> Modules:
    return {name: name for name in (tensor.rpartition(".")[0] for tensor in state_shapes(spec))}


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
