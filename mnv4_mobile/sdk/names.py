"""Names by which an app's code calls its bundles."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from mnv4_mobile.bundle.manifest import Bundle, open_bundle
from mnv4_mobile.errors import ConfigError


def open_bundles(paths: Sequence[Path], targets: Sequence[str]) -> list[Bundle]:
    """The bundles to ship, each artifact checked by its hash.

    Raises:
        BundleError: A damaged bundle.
        ConfigError: Two of the same id, or one for a target that the platform does not run.
    """
    found: dict[str, Bundle] = {}
    for path in paths:
        bundle = open_bundle(path)
        name, target = bundle.manifest.id, bundle.manifest.target
        if target not in targets:
            raise ConfigError(f"{path}: is for {target}, allowed: {', '.join(targets)}")
        if name in found:
            raise ConfigError(f"{path}: has the same id as {found[name].path}: {name}")
        found[name] = bundle
    return list(found.values())


def names(bundles: Sequence[Bundle]) -> list[tuple[str, ...]]:
    """The words of each bundle's name: model, recipe and choices; size and target if they differ.

    `conv-small-224x224-int8-tflite` is (`conv`, `small`, `int8`), and (`conv`, `small`, `int8`,
    `224`, `tflite`) among bundles of other sizes and targets. `mnv4 build --name` chooses what
    stands for the model. A name begins with a letter, as code wants it.

    Raises:
        ConfigError: Two bundles of one name.
    """
    columns = [[part(bundle) for bundle in bundles] for part in (_name, _recipe, _size, _target)]
    kept = [column for i, column in enumerate(columns) if i < 2 or len(set(column)) > 1]
    found: dict[tuple[str, ...], Bundle] = {}
    for bundle, row in zip(bundles, zip(*kept, strict=True), strict=True):
        words = tuple(re.findall(r"[a-z0-9]+", " ".join(row).lower()))
        if not words or words[0][0].isdigit():
            words = ("model", *words)
        if words in found:
            raise ConfigError(
                f"{bundle.path}: has the same name in code as {found[words].path}: "
                f"{' '.join(words)}; write them into two folders"
            )
        found[words] = bundle
    return list(found)


def _parts(bundle: Bundle) -> tuple[str, str]:
    """What a bundle's id has before and after the size, without the target.

    An id of another form, which another program may have given, says nothing of either.
    """
    height, width = bundle.preprocess.size
    name = bundle.manifest.id.removesuffix(f"-{bundle.manifest.target}")
    before, _, after = name.partition(f"-{height}x{width}-")
    return (before, after) if after else (bundle.manifest.model.name, bundle.manifest.recipe)


def _name(bundle: Bundle) -> str:
    return _parts(bundle)[0]


def _recipe(bundle: Bundle) -> str:
    return _parts(bundle)[1]


def _size(bundle: Bundle) -> str:
    height, width = bundle.preprocess.size
    return f"{height}" if height == width else f"{height}x{width}"


def _target(bundle: Bundle) -> str:
    return bundle.manifest.target
