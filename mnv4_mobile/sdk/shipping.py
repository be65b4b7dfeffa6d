"""What the libraries for all platforms share: where they are, their marker, their README."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files as resources
from pathlib import Path

from mnv4_mobile.bundle.manifest import Bundle

MARKER = "mnv4-sdk.json"
"""In every folder that is written here, by which it may be replaced."""
_MODELS = "<!-- models -->"


def library(platform: str, checkout: str) -> Path:
    """A platform's library: inside the package when installed, elsewhere in a checkout.

    Args:
        platform: Its folder in the package.
        checkout: Its folder in a checkout.
    """
    inside = Path(str(resources("mnv4_mobile") / platform))
    return inside if inside.is_dir() else Path(__file__).parents[2] / checkout


def about(bundle: Bundle) -> str:
    """A bundle in a line, for the comment of its constant."""
    manifest = bundle.manifest
    height, width = manifest.preprocess.size
    outputs = ", ".join(output.kind for output in manifest.outputs)
    return f"{manifest.model.name}, {height} x {width}, {manifest.recipe}: {outputs}"


def write_readme(
    path: Path, bundles: Sequence[Bundle], constants: Sequence[str], sample: str
) -> None:
    """Puts the bundles into a library's README.

    Args:
        path: The README, as it is in the library.
        bundles: Those inside.
        constants: Their names in code.
        sample: The name that the library's README has for the first of them.
    """
    rows = []
    for bundle, constant in zip(bundles, constants, strict=True):
        megabytes = bundle.manifest.artifact.bytes / 1e6
        licence = bundle.manifest.model.licence or "not known"
        rows.append(f"| `{constant}` | {about(bundle)} | {megabytes:.1f} MB | {licence} |")
    text = path.read_text("utf-8")
    assert sample in text, path
    assert _MODELS in text, path
    text = text.replace(sample, constants[0]).replace(_MODELS, "\n".join(rows))
    path.write_text(text, "utf-8")


def write_marker(folder: Path, bundles: Sequence[Bundle]) -> None:
    """Marks a folder as written here, with what and by which version."""
    entry = {
        "version": version("mnv4-mobile"),
        "bundles": [bundle.manifest.id for bundle in bundles],
    }
    (folder / MARKER).write_text(json.dumps(entry, indent=1) + "\n", "utf-8")
