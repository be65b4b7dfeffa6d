"""Names and shapes of a network's tensors, derived from its spec without torch."""

from __future__ import annotations

from collections.abc import Iterator

from mnv4_mobile.model.spec import BlockSpec, ConvSpec, FusedIBSpec, MMQASpec, ModelSpec, UIRSpec

Shape = tuple[int, ...]
Shapes = dict[str, Shape]


def state_shapes(spec: ModelSpec) -> Shapes:
    """Returns the shape of every tensor in the state dict of `MobileNetV4(spec)`, by name.

    Counters (`num_batches_tracked`) are left out; they say nothing about a trained network.
    """
    scale = spec.layer_scale is not None
    shapes = dict(_conv_norm("stem", 3, spec.stem.out_channels, spec.stem.kernel_size))
    channels = spec.stem.out_channels
    for name, block in spec.blocks():
        for part, shape in _block(block, channels, scale=scale):
            shapes[f"{name}.{part}"] = shape
        channels = block.out_channels
    final = spec.final
    shapes |= _conv_norm("final", channels, final.out_channels, final.kernel_size)
    if spec.head is not None:
        width, hidden = final.out_channels, spec.head.hidden_channels
        classes = spec.head.num_classes
        if hidden:
            shapes |= _conv_norm("head.conv", width, hidden, 1)
        shapes["head.classifier.weight"] = (classes, hidden or width, 1, 1)
        shapes["head.classifier.bias"] = (classes,)
    return shapes


def _block(block: BlockSpec, channels: int, *, scale: bool) -> Iterator[tuple[str, Shape]]:
    out = block.out_channels
    match block:
        case ConvSpec():
            yield from _conv_norm("", channels, out, block.kernel_size)
            return
        case FusedIBSpec():
            yield from _conv_norm("expand", channels, block.hidden_channels, block.kernel_size)
            yield from _conv_norm("project", block.hidden_channels, out, 1)
            return
        case UIRSpec():
            hidden = block.hidden_channels
            if block.extra_kernel_size:
                yield from _conv_norm("extra", 1, channels, block.extra_kernel_size)
            if hidden != channels:
                yield from _conv_norm("expand", channels, hidden, 1)
            if block.middle_kernel_size:
                yield from _conv_norm("middle", 1, hidden, block.middle_kernel_size)
            yield from _conv_norm("project", hidden, out, 1)
        case MMQASpec():
            yield from _norm("norm", out)
            if block.query_pooling_stride:
                yield from _norm("query_norm", out)
            yield "query.weight", (block.attention_channels, out, 1, 1)
            for part in ("key", "value"):
                if block.kv_kernel_size:
                    yield from _conv_norm(f"{part}.down", 1, out, block.kv_kernel_size)
                yield f"{part}.project.weight", (block.head_dim, out, 1, 1)
            yield "output.weight", (out, block.attention_channels, 1, 1)
    if scale:
        yield "layer_scale.gamma", (out,)


def _conv_norm(name: str, channels: int, out: int, kernel: int) -> Iterator[tuple[str, Shape]]:
    """Yields the tensors of a bias-free convolution and its norm; `channels` is per group."""
    at = f"{name}." if name else ""
    yield f"{at}conv.weight", (out, channels, kernel, kernel)
    yield from _norm(f"{at}norm", out)


def _norm(name: str, channels: int) -> Iterator[tuple[str, Shape]]:
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
