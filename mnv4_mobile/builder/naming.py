"""Names bundles, and checks whether a bundle may replace another one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.cell import Cell, shown
from mnv4_mobile.bundle.folder import MANIFEST
from mnv4_mobile.bundle.versions import versions
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.files import check_replaceable
from mnv4_mobile.records import read_json
from mnv4_mobile.target import Target, load_target
from mnv4_mobile.tensors import sizes_text

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_name(what: str, name: str) -> None:
    """Refuses a text that cannot be part of a bundle's name.

    Raises:
        ConfigError: Naming what was found and what is allowed.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{what}: found {name!r}, must be letters, digits, '.', '_' and '-', a letter or digit "
            "first: it names the bundle"
        )


def check_text(what: str, text: str) -> None:
    """Refuses a text that no manifest can hold: a file's name may have bytes that are not text.

    Raises:
        ConfigError: Naming it.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"{what}: found {text!r}, must be Unicode: the manifest names it"
        ) from None


def artifact_id(spec: BuildSpec, cell: Cell, target: Target) -> str:
    """Returns the artifact's name without its suffix: <name>-<H>x<W>-<recipe> and the choices.

    Several input sizes are joined by `_`.
    Every choice that is not the default follows, in this order: pixels, outputs, a head of the
    caller's own, layout, type of inputs and outputs, batch, the target's options. An option that
    must be given always follows.

    Args:
        spec: What is built, completed by the target.
        cell: The cell.
        target: Its target.
    """
    options = cell.options
    parts = [options.name or spec.model.name, sizes_text(spec.sizes), cell.recipe.name]
    parts += ["pixels"] if spec.input == "pixels" else []
    parts += options.outputs if options.outputs != ("logits",) else []
    parts += ["head"] if cell.head else []
    parts += [options.layout] if options.layout else []
    parts += [f"io-{spec.io}"] if spec.io != target.io(cell.recipe) else []
    parts += [f"b{spec.batch}"] if spec.batch > 1 else []
    for option in target.options:
        value = spec.options[option.name]
        if option.required or value != option.default_for(cell.recipe, len(spec.sizes)):
            parts.append(_text(option.name, value))
    return "-".join(parts)


def _text(name: str, value: object) -> str:
    """Returns an option's value as a part of a name: NAME or no-NAME for a switch."""
    if isinstance(value, bool):
        return name if value else f"no-{name}"
    return str(value)


def bundle_id(spec: BuildSpec, cell: Cell, target: Target) -> str:
    """Returns the name of the bundle's folder: `artifact_id`, then the target."""
    return f"{artifact_id(spec, cell, target)}-{target.name}"


def expected_id(cell: Cell) -> str:
    """Returns the name that a cell's bundle will have."""
    target = load_target(cell.target)
    return bundle_id(cell.spec(cell.shared, target), cell, target)


def check_apart(cells: Sequence[Cell]) -> None:
    """Refuses cells whose bundles would have the same name.

    Raises:
        ConfigError: Naming that name, and how the cells differ.
    """
    found: dict[str, Cell] = {}
    for cell in cells:
        name = expected_id(cell)
        first = found.setdefault(name.casefold(), cell)  # some file systems ignore case
        if first is not cell:
            keys = ("model", "weights", "recipe", "options", "chosen")
            differing = [key for key in keys if getattr(first, key) != getattr(cell, key)]
            raise ConfigError(
                f"{name}: two bundles would have this name, and differ in "
                f"{', '.join(differing) or 'nothing'}; build them separately, with --name or --out"
            )


def check_overwriting(
    path: Path, cell: Cell, ingredients: Mapping[str, str], *, force: bool
) -> None:
    """Refuses to replace a bundle made of other ingredients, or anything that is not a bundle.

    Args:
        path: The bundle's folder.
        cell: What the bundle is made of.
        ingredients: The hash of each part of that (`Cell.ingredients`).
        force: Whether to replace another bundle anyway.

    Raises:
        ConfigError: The path holds something that is not a bundle, or another bundle; names the
            parts that differ.
    """
    check_replaceable(path, MANIFEST)
    if force:
        return
    manifest = _manifest(path)
    if not manifest or manifest.get("ingredients") == ingredients:
        return
    found = _part(manifest, "ingredients")
    known = _known_values(manifest, cell)
    differing = []
    for part, now in ingredients.items():
        if found.get(part) != now:
            values = [f"{what} {old}, now {new}" for what, old, new in known.get(part, ())]
            differing.append(part + (f" ({'; '.join(values).strip()})" if values else ""))
    raise ConfigError(
        f"{path}: holds a bundle made of other ingredients: {', '.join(differing)}; "
        "--force replaces it"
    )


def is_made_of(path: Path, ingredients: Mapping[str, str]) -> bool:
    """Returns whether a bundle's manifest names these ingredients."""
    return _manifest(path).get("ingredients") == ingredients


def _manifest(path: Path) -> Mapping[str, Any]:
    """Returns a bundle's manifest of any version; nothing if there is none, or it is damaged."""
    try:
        manifest = read_json((path / MANIFEST).read_bytes(), str(path))
    except (OSError, ConfigError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _known_values(
    manifest: Mapping[str, Any], cell: Cell
) -> dict[str, list[tuple[str, object, object]]]:
    """Returns, by part, the values in which a manifest and a cell differ: name, old, new."""
    target = load_target(cell.target)
    spec = cell.spec(cell.shared, target)
    weights = {"": _part(manifest, "model").get("weights")}
    return {
        "weights": _differences(weights, {"": shown(cell.weights)}),
        "options": _differences(_part(manifest, "options"), spec.options),
        "versions": _differences(_part(manifest, "versions"), versions(target.distributions)),
    }


def _part(manifest: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = manifest.get(key)
    return found if isinstance(found, dict) else {}


def _differences(
    found: Mapping[str, object], now: Mapping[str, object]
) -> list[tuple[str, object, object]]:
    pairs = [(name, found.get(name, "none"), now.get(name, "none")) for name in {**found, **now}]
    return [(name, old, new) for name, old, new in pairs if old != new]
