"""Damages files as broken disks, cut transfers and attackers do."""

import random
from collections.abc import Iterator
from pathlib import Path

from mnv4_mobile.bundle.folder import Bundle
from mnv4_mobile.errors import BundleError
from mnv4_mobile.target import Target

HUGE = (2**32 - 1, 2**31 - 1, 2**31, 2**16 - 1, 2**24, 0)


def structured(data: bytes, size: int = 64) -> list[int]:
    """Positions that are hardly in weights: their surroundings have many zeros."""
    return [
        at for at in range(0, len(data), size) if data.count(0, at, at + size) >= size // 8
    ] or [0]


def damages(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copies of a file, each with one kind of damage at one place."""
    chance = random.Random(seed)
    places = structured(data)
    for _ in range(count):
        at = min(chance.choice(places) + chance.randrange(64), len(data) - 1)
        word = at & ~3
        yield chance.choice(
            (
                lambda at=at: data[:at],
                lambda at=at: data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :],
                lambda at=at: data[:at] + bytes(64) + data[at + 64 :],
                lambda at=at: data[:at] + data[at + 4 :],
                lambda at=at: data[:at] + chance.randbytes(4) + data[at:],
                lambda word=word: (
                    data[:word] + chance.choice(HUGE).to_bytes(4, "little") + data[word + 4 :]
                ),
                lambda word=word: (
                    data[:word]
                    + chance.randrange(len(data)).to_bytes(4, "little")
                    + data[word + 4 :]
                ),
            )
        )()


def check_refusals(target: Target, bundle: Bundle, path: Path) -> None:
    """Checks that a target reads damaged copies of an artifact, or says which file is damaged."""
    refused = 0
    for data in damages(bundle.artifact.read_bytes(), 150):
        path.write_bytes(data)
        for read in (
            target.inputs,
            target.operators,
            lambda file: target.lint(file, bundle.convolutions),
        ):
            try:
                read(path)
            except BundleError as error:
                assert str(error).startswith(f"{path}: ")  # noqa: PT017
                refused += 1
    assert refused > 100
