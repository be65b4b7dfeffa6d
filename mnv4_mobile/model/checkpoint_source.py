"""Where a checkpoint lies, found without importing torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mnv4_mobile import files
from mnv4_mobile.errors import WeightsError, unknown
from mnv4_mobile.model.checkpoint_about import LOOKALIKES, check_architecture
from mnv4_mobile.model.spec import ModelSpec

DEMO = Path(__file__).parents[1] / "demo" / "conv-small-035.safetensors"
SAFETENSORS = ".safetensors"
_PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pth.tar")


def find_checkpoint(source: str, spec: ModelSpec) -> Path | None:
    """The file of a checkpoint; None for random weights.

    Args:
        source: `demo`, `random:SEED`, `hf-hub:OWNER/NAME`, which is downloaded, or a path.
        spec: The network that it is for.

    Raises:
        WeightsError: A repository that is for another network or cannot be fetched.
    """
    kind, _, rest = source.partition(":")
    if kind == "random":
        return None
    if kind == "hf-hub":
        name = rest.rpartition("/")[2].partition(".")[0]
        if name in LOOKALIKES:  # refused even where no config.json says so
            check_architecture(name, source, spec)
        return _fetch_from_hub(rest)
    return DEMO if source == "demo" else Path(source)


def file_sha256(path: Path, hashed: Callable[[Path], str] = files.sha256) -> str:
    """Of a checkpoint's bytes.

    Args:
        path: The checkpoint.
        hashed: Hashes a file; one that remembers hashes saves reading large ones again.

    Raises:
        WeightsError: No such file, or one that cannot hold a checkpoint.
    """
    try:
        if not path.exists():
            raise WeightsError(f"{path}: no such file")
        if not path.is_file():
            raise WeightsError(f"{path}: not a file")
        if path.stat().st_size == 0:
            raise WeightsError(f"{path}: the file is empty")
        if not path.name.endswith((SAFETENSORS, *_PICKLES)):
            raise WeightsError(unknown(str(path), path.suffix, (SAFETENSORS, *_PICKLES)))
        return hashed(path)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None


def reason(error: Exception) -> str:
    """A library's message in one line, without its advice to load the file unsafely."""
    text = " ".join(str(error).split())
    text = text.partition("Check the documentation")[0].partition("Please use")[0]
    for advice in ("WeightsUnpickler error:", "from a trusted source."):
        text = text.rpartition(advice)[2]
    text = text.strip()
    if len(text) > 160:
        text = text[:157] + "..."
    return text if " " in text else f"{type(error).__name__} {text}".strip()


def _fetch_from_hub(repo: str) -> Path:
    """The weights of a Hugging Face repository, with its `config.json` beside them if it has one.

    Raises:
        WeightsError: No such repository, no weights in it, or neither a network nor a cached copy.
    """
    names = ("model.safetensors", "pytorch_model.bin")
    for name in names:
        if weights := _fetch(repo, name):
            _fetch(repo, "config.json")
            return weights
    raise WeightsError(
        f"hf-hub:{repo}: found neither {' nor '.join(names)}, there nor in the cache; {_ADVICE}"
    )


_ADVICE = (
    "check the name (owner/name) and the network, or download the files and give the path of the "
    "weights"
)


def _fetch(repo: str, name: str) -> Path | None:
    """A file of a repository; None where it has none, or offline where the cache has none."""
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
