"""The preprocessing that a checkpoint asks for, read without its tensors and without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mnv4_mobile.errors import MobileError
from mnv4_mobile.images import Preprocess
from mnv4_mobile.model.checkpoint_about import about_ours, about_timm
from mnv4_mobile.model.checkpoint_source import SAFETENSORS, find_checkpoint
from mnv4_mobile.model.spec import ModelSpec

_MAX_HEADER = 100 * 10**6  # as safetensors itself


def preprocess_of(source: str, spec: ModelSpec) -> Preprocess | None:
    """Returns the preprocessing that a checkpoint is known to ask for.

    Args:
        source: As for `load_checkpoint`.
        spec: The network that it is for.

    Returns:
        None where the checkpoint does not say, or cannot be read, which loading it then tells.

    Raises:
        WeightsError: A repository that is for another network or cannot be fetched.
    """
    path = find_checkpoint(source, spec)
    if path is None:
        return None
    try:
        about = about_ours(path, _metadata(path))
        if about.preprocess is None and path.with_name("config.json").is_file():
            about = about_timm(path, spec)
    except (MobileError, OSError, ValueError):
        return None
    return about.preprocess


def _metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says about itself in its header (huggingface.co/docs/safetensors)."""
    if not path.name.endswith(SAFETENSORS):
        return {}
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > _MAX_HEADER:
            return {}
        header: Any = json.loads(file.read(size))
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else {}
    return metadata if isinstance(metadata, dict) else {}
