"""What the libraries for all platforms share: their folders, the marker file, the README."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files as resources
from pathlib import Path
from typing import TypeVar

from mnv4_mobile.bundle.manifest import Bundle
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.files import check_replaceable, new_folder, sha256
from mnv4_mobile.records import Record, Sha256, decode, encode, replace
from mnv4_mobile.text import markdown_text

MARKER = "mnv4-sdk.json"
"""The file that marks a folder as written by `mnv4 sdk`."""


class Marker(Record, frozen=True, kw_only=True):
    """The content of the marker file: what the next run must know."""

    version: str = ""
    """Version of mnv4-mobile that wrote the folder."""
    files: Mapping[str, Sha256] = {}
    """Hashes of all files that were written, by path. Other files in the folder are the user's."""


M = TypeVar("M", bound=Marker)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What `write_android` or `write_ios` wrote."""

    path: Path
    """The library's folder."""
    constants: tuple[str, ...]
    """Names of the bundles in code, in the order in which the bundles were given."""
    added: tuple[str, ...] = ()
    """Constants that the library did not have before. Empty for a new library."""
    removed: tuple[str, ...] = ()
    """Constants that the library had before and no longer has."""


def written(path: Path, models: Collection[str], before: Collection[str] | None) -> Written:
    """Compares the constants with those of an earlier run; None if there was none."""
    before = models if before is None else before
    return Written(
        path=path,
        constants=tuple(models),
        added=tuple(name for name in models if name not in before),
        removed=tuple(name for name in before if name not in models),
    )


def library(platform: str, checkout: str) -> Path:
    """Returns a platform's library: inside the package when installed, elsewhere in a checkout.

    Args:
        platform: The library's folder in the package.
        checkout: The library's folder in a checkout.
    """
    inside = Path(str(resources("mnv4_mobile") / platform))
    return inside if inside.is_dir() else Path(__file__).parents[2] / checkout


def write_library(
    out: Path, kind: type[M], fill: Callable[[Path, M | None], M]
) -> tuple[M | None, M]:
    """Writes a library, or replaces the one that was written before.

    Files in the folder that the user put there are kept.

    Args:
        out: The library's folder.
        kind: The type of the library's marker.
        fill: Writes the library into an empty folder, and returns its marker. It gets the marker of
            the library that is replaced.

    Returns:
        The marker of the library that was replaced, and the new one.

    Raises:
        ConfigError: `out` holds something else, or a file that the user changed since.
    """
    check_replaceable(out, MARKER)
    old = _read_marker(out, kind) if out.exists() else None
    if old is not None:
        _check_unchanged(out, old)
    with new_folder(out, MARKER) as folder:
        marker = fill(folder, old)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        marker = replace(
            marker,
            version=version("mnv4-mobile"),
            files={path.relative_to(folder).as_posix(): sha256(path) for path in files},
        )
        (folder / MARKER).write_bytes(encode(marker, indent=1) + b"\n")
        if old is not None:
            _keep(out, folder, old)
    return old, marker


def _read_marker(out: Path, kind: type[M]) -> M:
    path = out / MARKER
    try:
        return decode(path.read_bytes(), kind, str(path))
    except ConfigError as error:
        raise ConfigError(f"{error}; move {out} away and write it again") from None


def _check_unchanged(out: Path, old: Marker) -> None:
    for name, digest in old.files.items():
        path = out / name
        if path.is_file() and sha256(path) != digest:
            raise ConfigError(
                f"{path}: was changed since mnv4 sdk wrote it, so it is not replaced; move it away "
                "first"
            )


def _keep(out: Path, folder: Path, old: Marker) -> None:
    """Puts the user's own files of the old folder into the new one."""
    for parent, _, names in os.walk(out):
        for name in names:
            path = Path(parent, name)
            relative = path.relative_to(out)
            if relative.as_posix() in (MARKER, *old.files):
                continue
            kept = folder / relative
            if os.path.lexists(kept) or any((folder / up).is_file() for up in relative.parents):
                raise ConfigError(
                    f"{path}: was not written by mnv4 sdk, so it is not replaced; move it away "
                    "first"
                )
            kept.parent.mkdir(parents=True, exist_ok=True)
            try:  # a build folder may be large
                os.link(path, kept, follow_symlinks=False)
            except OSError:
                shutil.copy2(path, kept, follow_symlinks=False)


def about(bundle: Bundle) -> str:
    """Describes a bundle in one line, for the comment of its constant."""
    manifest = bundle.manifest
    height, width = manifest.preprocess.size
    outputs = ", ".join(output.kind for output in manifest.outputs)
    return f"{manifest.model.name}, {height} x {width}, {manifest.recipe}: {outputs}"


def table_row(constant: str, bundle: Bundle, *, more: Collection[str] = ()) -> str:
    """Returns a bundle's row in the README's table.

    Args:
        constant: Its name in code.
        bundle: The bundle.
        more: Cells between its size and its licence.
    """
    megabytes = bundle.manifest.artifact.bytes / 1e6
    licence = bundle.manifest.model.licence or "not known"
    cells = [f"`{constant}`", markdown_text(about(bundle)), f"{megabytes:.1f} MB", *more]
    return f"| {' | '.join([*cells, markdown_text(licence)])} |"


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """Replaces the keys in a text by their values, and looks for no key in the values."""
    assert all(key in text for key in values), values.keys()
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], text)
