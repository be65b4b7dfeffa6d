"""Builders of blocks, for networks that a test makes."""

from mnv4_mobile.model.spec import FusedIBSpec, MMQASpec, UIRSpec


def fused(out: int, hidden: int, kernel: int = 3, stride: int = 1) -> FusedIBSpec:
    """A fused inverted bottleneck."""
    return FusedIBSpec(out_channels=out, hidden_channels=hidden, kernel_size=kernel, stride=stride)


def uir(out: int, hidden: int, extra: int | None, middle: int | None, stride: int = 1) -> UIRSpec:
    """A universal inverted bottleneck; `extra` and `middle` are kernel sizes, or None."""
    return UIRSpec(
        out_channels=out,
        hidden_channels=hidden,
        extra_kernel_size=extra,
        middle_kernel_size=middle,
        stride=stride,
    )


def mmqa(
    out: int, channels: int, heads: int, pooling: int | None = None, kernel: int | None = None
) -> MMQASpec:
    """Attention; `pooling` is the stride of its queries, `kernel` that of keys and values."""
    return MMQASpec(
        out_channels=out,
        attention_channels=channels,
        num_heads=heads,
        query_pooling_stride=pooling,
        kv_kernel_size=kernel,
        kv_stride=2 if kernel else None,
    )
