"""What the libraries for all platforms share: their folders, models modules and marker file.

A folder holds the library once, and any number of models modules `models-<name>`. Every run writes
the whole folder anew, from the bundles that it is given and those that the folder has already.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files as resources
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

import numpy as np
from msgspec import Meta

from mnv4_mobile.bundle.folder import MANIFEST, Bundle, open_bundle, write_manifest
from mnv4_mobile.bundle.manifest import GoldenEntry, Identifier
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.errors import BundleError, ConfigError
from mnv4_mobile.files import check_replaceable, new_folder, sha256
from mnv4_mobile.records import Record, Sha256, decode, encode, replace, whole
from mnv4_mobile.text import markdown_text

MARKER = "mnv4-sdk.json"
"""The file that marks a folder as written by `mnv4 sdk`."""
NAME = "main"
"""Name of the models module if none is given."""
_NAME = "[a-z][a-z0-9]*(-[a-z0-9]+)*"
Name = Annotated[str, Meta(pattern=whole(_NAME))]
Constant = Annotated[str, Meta(pattern=whole("[A-Za-z][A-Za-z0-9_]*"))]
Bundles: TypeAlias = Mapping[str, Mapping[str, Bundle]]
"""Bundles by their constants, by the names of their models modules."""


class Models(Record, frozen=True, kw_only=True):
    """A models module."""

    bundles: Mapping[Constant, Identifier]
    """Bundle ids by their constants."""


class Marker(Record, frozen=True, kw_only=True):
    """The content of the marker file: what the next run must know."""

    models: Mapping[Name, Models]
    """The models modules by their names."""
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
    """Constants that the models module did not have before. Empty for a new one."""
    removed: tuple[str, ...] = ()
    """Constants that the models module had before and no longer has."""
    notes: tuple[str, ...] = ()
    """Recommendations for the user."""


def library(platform: str, checkout: str) -> Path:
    """Returns a platform's library: inside the package when installed, elsewhere in a checkout.

    Args:
        platform: The library's folder in the package.
        checkout: The library's folder in a checkout.
    """
    inside = Path(str(resources("mnv4_mobile") / platform))
    return inside if inside.is_dir() else Path(__file__).parents[2] / checkout


def check_name(name: str) -> None:
    """Refuses a name that no models module can have.

    Raises:
        ConfigError: The name is not made of words of small letters and digits.
    """
    if not re.fullmatch(_NAME, name):
        raise ConfigError(
            f"name: found {name!r}, must be words of small letters and digits with `-` between "
            "them, a letter first"
        )


def check_runs(bundle: Bundle, platform: str, floats: Collection[str]) -> None:
    """Refuses what a platform's library refuses to open.

    Args:
        bundle: The bundle.
        platform: The platform's name in messages.
        floats: The types of floats that the library takes for the bundle's target.

    Raises:
        ConfigError: The bundle takes several images, or has a tensor of another type.
    """
    image = bundle.input
    if image.shape[0] != 1:
        raise ConfigError(
            f"{bundle.path}: input {image.name}: takes {image.shape[0]} images, must take 1; "
            "build it with --batch 1"
        )
    pixels = image.dtype == "uint8" and image.quantization is None
    for what, tensor in [("input", image), *(("output", output) for output in bundle.outputs)]:
        integers = tensor.dtype in ("int8", "uint8") and tensor.quantization is not None
        if tensor.dtype not in floats and not integers and not (tensor is image and pixels):
            kinds = [*floats, "quantized integers", *(["uint8 pixels"] if tensor is image else [])]
            raise ConfigError(
                f"{bundle.path}: {what} {tensor.name}: is {tensor.dtype}, the {platform} library "
                f"takes {', '.join(kinds[:-1])} or {kinds[-1]}"
            )


def write_library(
    out: Path,
    kind: type[M],
    name: str,
    models: Mapping[str, Bundle],
    resources: Callable[[str], Path],
    fill: Callable[[Path, M | None, Bundles], M],
) -> Written:
    """Writes a library with its models modules, or replaces what was written before.

    Other models modules are kept, and so are files in the folder that the user put there.

    Args:
        out: The folder of all modules.
        kind: The type of the library's marker.
        name: The name of the models module that is written or replaced.
        models: The bundles for it, by their constants.
        resources: Returns the folder of the bundles inside a models module, by the module's name.
        fill: Writes the library and all models modules into an empty folder, and returns the
            marker. It gets the marker of the library that is replaced, and the bundles of all
            models modules.

    Raises:
        ConfigError: `out` holds something else, or a file that the user changed since.
        BundleError: A models module that would be kept is damaged.
    """
    check_replaceable(out, MARKER)
    old = _read_marker(out, kind) if out.exists() else None
    if old is not None:
        _check_unchanged(out, old)
    with new_folder(out, MARKER) as folder:
        kept = {} if old is None else _kept(out, old, resources, without=name)
        marker = fill(folder, old, dict(sorted((kept | {name: models}).items())))
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        marker = replace(
            marker,
            version=version("mnv4-mobile"),
            files={path.relative_to(folder).as_posix(): sha256(path) for path in files},
        )
        (folder / MARKER).write_bytes(encode(marker, indent=1) + b"\n")
        if old is not None:
            _keep(out, folder, old)
    found = old.models.get(name) if old else None
    before = models if found is None else found.bundles
    return Written(
        path=out,
        constants=tuple(models),
        added=tuple(constant for constant in models if constant not in before),
        removed=tuple(constant for constant in before if constant not in models),
    )


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


def _kept(
    out: Path, old: Marker, resources: Callable[[str], Path], without: str
) -> dict[str, Mapping[str, Bundle]]:
    """Opens the bundles of the models modules that a folder has already.

    A module that the user removed is left out.

    Raises:
        BundleError: Files of a module were removed or changed.
    """
    kept: dict[str, Mapping[str, Bundle]] = {}
    for name, entry in old.models.items():
        module = out / f"models-{name}"
        if name == without or not module.is_dir():
            continue
        try:
            kept[name] = {
                constant: open_bundle(module / resources(name) / shipped_id(name, id))
                for constant, id in entry.bundles.items()
            }
        except BundleError as error:
            raise BundleError(
                f"{error}; write models-{name} again with --name {name}, or delete its folder"
            ) from None
    return kept


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


def shipped_id(name: str, id: str) -> str:
    """Returns the id of a bundle in an app, where two models modules may have one of the same id.

    Args:
        name: The name of the models module.
        id: The bundle's id.
    """
    return f"{name}.{id}"


def ship(name: str, models: Mapping[str, Bundle], folder: Path) -> None:
    """Copies the bundles of a models module.

    Each gets one golden pair for each input size: pixels, and the float model's outputs for them.

    Args:
        name: The name of the models module.
        models: Its bundles.
        folder: Gets one folder for each, with its `shipped_id`.
    """
    for bundle in models.values():
        _ship(bundle, folder / shipped_id(name, bundle.manifest.id))


def _ship(bundle: Bundle, folder: Path) -> None:
    manifest = bundle.manifest
    sized = [bundle.at(size) for size in manifest.sizes]
    golden = {entry.path for one in sized for entry in one.manifest.golden}
    copied = [name for name in bundle.files if name != MANIFEST and name not in golden]
    data = {name: (bundle.path / name).read_bytes() for name in copied}
    first, *others = [_one_pair(one, data) for one in sized]
    for name, content in data.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    pairs = zip(manifest.more_sizes, others, strict=True)
    more = tuple(replace(entry, golden=pair) for entry, pair in pairs)
    write_manifest(folder, replace(manifest, golden=first, more_sizes=more))


def _one_pair(bundle: Bundle, data: dict[str, bytes]) -> tuple[GoldenEntry, ...]:
    """Adds one golden pair of a bundle, at its default input size, to the contents of files.

    Returns:
        The manifest's entries for it.
    """
    image = _pair(bundle)
    entries = []
    for entry in _shipped(bundle):
        data[entry.path] = bundle.golden(entry.source)[entry.tensor][[image]].tobytes()
        digest = hashlib.sha256(data[entry.path]).hexdigest()
        entries.append(replace(entry, shape=(1, *entry.shape[1:]), sha256=digest))
    return tuple(entries)


def _shipped(bundle: Bundle) -> list[GoldenEntry]:
    """Returns the golden tensors with which a device checks itself."""
    return [entry for entry in bundle.manifest.golden if entry.source in ("input", "eager")]


def _pair(bundle: Bundle) -> int:
    """Returns the golden image on which the artifact is furthest above its gates.

    A gate holds for the median of the images, so a device that computes what the build's did may
    miss it on any other one. Without the artifact's outputs, it is the first image.
    """
    eager, artifact, gates = bundle.golden("eager"), bundle.golden("artifact"), bundle.gates()
    if not artifact:
        return 0
    room = [sqnr_db(eager[name], artifact[name]) - gates[name] for name in artifact]
    return int(np.min(room, axis=0).argmax())


def about(bundle: Bundle) -> str:
    """Describes a bundle in one line, for the comment of its constant."""
    manifest = bundle.manifest
    sizes = " or ".join(f"{height} x {width}" for height, width in manifest.sizes)
    outputs = ", ".join(output.kind for output in manifest.outputs)
    return f"{manifest.model.name}, {sizes}, {manifest.recipe}: {outputs}"


def table(models: Mapping[str, Bundle], **more: Mapping[str, str]) -> str:
    """Returns the README's table of a models module.

    Args:
        models: The bundles by their constants.
        more: Further columns by their titles: a cell for each constant.
    """
    titles = ["Model", "Contents", "Size", "Self-check", *more, "Licence of the weights"]
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for constant, bundle in models.items():
        pair = sum((bundle.path / e.path).stat().st_size / e.shape[0] for e in _shipped(bundle))
        cells = [
            f"`{constant}`",
            markdown_text(about(bundle)),
            f"{bundle.manifest.artifact.bytes / 1e6:.1f} MB",
            f"{pair / 1000:.0f} kB",
            *(column[constant] for column in more.values()),
            markdown_text(bundle.manifest.model.licence or "not known"),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def fill_in(text: str, values: Mapping[str, str]) -> str:
    """Replaces the keys in a text by their values, and looks for no key in the values."""
    assert all(key in text for key in values), values.keys()
    return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], text)
