"""Limits on the sizes of images and checkpoints, checked before their bytes are decoded.

A file of a few kilobytes can decompress to gigabytes. `--no-size-limits` lifts all these limits for
files that the user trusts. Limits on YAML files and networks are part of their grammar.
"""

from __future__ import annotations

from mnv4_mobile.errors import MobileError, WeightsError

FLAG = "--no-size-limits"

IMAGE_PIXELS = 64_000_000
"""The most pixels of an image, before and after resizing: about 450 MB while it is decoded."""
IMAGE_BYTES = 256 * 2**20
"""The largest image file, which some decoders read whole."""
HEADER_BYTES = 4 * 2**20
"""The largest description of a checkpoint's tensors; hybrid-large needs 0.2 MB."""
OPERATIONS = 500_000
"""The most operations of a pickle, 40 for each tensor; they take two seconds."""

_lifted = False


def lift(asked: bool) -> None:
    """Lifts all limits in this process and the builders it starts, or restores them."""
    global _lifted
    _lifted = asked


def lifted() -> bool:
    """Returns whether the limits are lifted."""
    return _lifted


def check(place: object, what: str, found: int, allowed: int, error: type[MobileError]) -> None:
    """Refuses a size above its limit, unless limits are lifted.

    Args:
        place: The file.
        what: What is counted: `pixels`, `bytes`.
        found: The size.
        allowed: The limit.
        error: The type of error to raise.

    Raises:
        MobileError: Of the type `error`, naming the file, both sizes and the flag.
    """
    if found > allowed and not _lifted:
        raise error(too_large(place, f"{found} {what}", f"{allowed}"))


def check_description(path: object, size: int) -> None:
    """Refuses a checkpoint whose description of its tensors is too large.

    Raises:
        WeightsError: Naming the file, both sizes and the flag.
    """
    check(path, "bytes that describe the tensors", size, HEADER_BYTES, WeightsError)


def too_large(place: object, found: str, allowed: str) -> str:
    """Returns the message for a size above its limit."""
    return f"{place}: found {found}, allowed are {allowed}; {FLAG} lifts the limit"
