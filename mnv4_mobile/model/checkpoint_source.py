"""Finds a checkpoint's file, without importing torch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from mnv4_mobile.errors import WeightsError, unknown

T = TypeVar("T")
DEMO = Path(__file__).parents[1] / "demo" / "conv-small-035.safetensors"
SAFETENSORS = ".safetensors"
HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the weights in a repository on the Hugging Face hub, the preferred one first."""
SUFFIXES = (SAFETENSORS, ".pth", ".pt", ".ckpt", ".bin", ".pth.tar")


def random_seed(source: str) -> int:
    """Returns the seed of random weights, `random:SEED`.

    Raises:
        WeightsError: Something other than a seed follows `random:`.
    """
    seed = source.removeprefix("random:")
    if not (seed.isascii() and seed.isdecimal() and len(seed) <= 18):
        raise WeightsError(f"random: found {seed!r}, must be a seed of up to 18 digits")
    return int(seed)


def find_checkpoint(source: str) -> Path | None:
    """Returns the file of a checkpoint, or None for random weights.

    Args:
        source: `demo`, `random:SEED`, `hf-hub:OWNER/NAME`, which is downloaded, a file, or a folder
            with the files of a repository on the hub.

    Raises:
        WeightsError: A repository cannot be fetched, or a folder has no weights.
    """
    kind, _, rest = source.partition(":")
    if kind == "random":
        return None
    if kind == "hf-hub":
        return _fetch_from_hub(rest)
    if source == "demo":
        return DEMO
    path = Path(source)
    return _in_folder(path) if path.is_dir() else path


def _in_folder(folder: Path) -> Path:
    for name in HUB_FILES:
        if (folder / name).exists():
            return folder / name
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise WeightsError(f"{folder}: cannot be read: {error.strerror}") from None
    found = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") if names else "nothing"
    raise WeightsError(
        f"{folder}: found {found}; a folder of weights must hold {' or '.join(HUB_FILES)}; or give "
        "the checkpoint's file"
    )


def check_file(path: Path) -> None:
    """Refuses a path that cannot be a checkpoint's.

    Raises:
        WeightsError: The file does not exist, is empty, or is of another kind.
    """
    try:
        if not path.exists():
            raise WeightsError(f"{path}: no such file")
        if not path.is_file():
            raise WeightsError(f"{path}: not a file")
        if path.stat().st_size == 0:
            raise WeightsError(f"{path}: the file is empty")
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None
    if not path.name.endswith(SUFFIXES):
        raise WeightsError(unknown(str(path), path.suffix, SUFFIXES))


def read_file(path: Path, read: Callable[[Path], T]) -> T:
    """Returns a checkpoint's bytes, or their hash.

    Args:
        path: The checkpoint.
        read: What is done with the file.

    Raises:
        WeightsError: The file does not exist or cannot hold a checkpoint.
    """
    check_file(path)
    try:
        return read(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None


def reason(error: Exception) -> str:
    """Returns a library's message in one line, without its advice to load the file unsafely."""
    text = " ".join(str(error).split())
    text = text.partition("Check the documentation")[0].partition("Please use")[0]
    for advice in ("WeightsUnpickler error:", "from a trusted source."):
        text = text.rpartition(advice)[2]
    text = text.strip().removesuffix(".")
    if len(text) > 160:
        text = text[:157] + "..."
    return text if " " in text else f"{type(error).__name__} {text}".strip()


@functools.cache  # each call asks the hub whether the files have changed
def _fetch_from_hub(repo: str) -> Path:
    """Returns the weights of a Hugging Face repository, with its `config.json` beside them.

    Raises:
        WeightsError: The repository does not exist, has no weights or unsupported ones, or there is
            neither a connection nor a cached copy.
    """
    for name in HUB_FILES:
        if weights := _fetch(repo, name):
            _fetch(repo, "config.json")
            return weights
    raise WeightsError(
        f"hf-hub:{repo}: found neither {' nor '.join(HUB_FILES)}, on the hub or in its local "
        f"cache; {_ADVICE}"
    )


_ADVICE = (
    "check the name (owner/name) and the network, or download the files and give the path of the "
    "weights"
)


def _fetch(repo: str, name: str) -> Path | None:
    """Returns a file of a repository, or None if it has none, or the cache has none offline."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(repo, name))
    except EntryNotFoundError:
        return None
    except Exception as error:  # noqa: BLE001 - the client lets the errors of its HTTP library through
        raise WeightsError(
            f"hf-hub:{repo}: cannot be fetched: {reason(error)}; {_ADVICE}"
        ) from None
