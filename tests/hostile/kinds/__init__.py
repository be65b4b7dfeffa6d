"""The kinds of hostile input: how each is made from good documents, and which calls read it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from tests.hostile.kinds import (
    bundles,
    checkpoints,
    command_line,
    http,
    images,
    measurements,
    texts,
    written,
)
from tests.hostile.kinds.kind import Kind
from tests.hostile.promise import Files

KINDS: Mapping[str, Kind] = {
    name: kind
    for module in (texts, bundles, images, checkpoints, measurements, written, command_line, http)
    for name, kind in module.KINDS.items()
}
"""All kinds by name."""


def seeded(kind: str, seed: int) -> Files:
    """Returns the input of a seed, always the same one."""
    return KINDS[kind].make(Random(f"{kind} {seed}"))
