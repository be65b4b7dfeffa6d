"""Which layer of the network an operator of an artifact belongs to."""

from __future__ import annotations

from collections.abc import Sequence


def block_of(layer: str) -> str:
    """The block of the YAML that a layer is in, as the stage table names it."""
    parts = layer.split(".")
    return ".".join(parts[:3]) if parts[0] == "stages" else parts[0]


def assign(convolutions: Sequence[bool], names: Sequence[str]) -> list[str]:
    """The layer of every operator, for runtimes that do not keep names.

    Runtimes fuse and rename, but keep the order of convolutions: the first is the network's first.
    What is no convolution belongs to the one before it, or to the first.

    Args:
        convolutions: Of every operator, in the order in which they run, whether it is one.
        names: Of the network's convolutions in the same order, as the manifest's layers have them.
    """
    found, index = [], -1
    for is_convolution in convolutions:
        index = min(index + is_convolution, len(names) - 1)
        found.append(names[max(index, 0)])
    return found
