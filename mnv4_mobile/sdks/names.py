"""Chooses the names of bundles in an app's code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from mnv4_mobile.bundle.folder import AnyBundle, Bundle, open_bundle
from mnv4_mobile.errors import ConfigError

Language = Literal["kotlin", "swift"]


def open_bundles(
    bundles: Sequence[AnyBundle], targets: Sequence[str], language: Language
) -> dict[str, Bundle]:
    """Opens the bundles to ship, checks each artifact's hash, and returns them by their constants.

    Raises:
        BundleError: A damaged bundle.
        ConfigError: Two bundles with the same id or constant, or a target that the platform does
            not run.
    """
    found: dict[str, Bundle] = {}
    for bundle in map(open_bundle, bundles):
        path, name, target = bundle.path, bundle.manifest.id, bundle.manifest.target
        if target not in targets:
            raise ConfigError(f"{path}: is for {target}, allowed: {', '.join(targets)}")
        if name in found:
            raise ConfigError(f"{path}: has the same id as {found[name].path}: {name}")
        found[name] = bundle
    return dict(zip(constants(list(found), language), found.values(), strict=True))


def constant(id: str, language: Language) -> str:
    """Returns the constant for a bundle, which follows from its id alone.

    `conv-small-224x224-int8-tflite` is `CONV_SMALL_224X224_INT8_TFLITE` in Kotlin and
    `convSmall224x224Int8Tflite` in Swift. An underscore keeps numbers apart in Swift:
    `convSmall035_224x224Int8Tflite`. A name that would begin with a digit, be a single word, as
    keywords are, or begin with `all`, as the lists of all bundles do, gets `model` in front.
    """
    words: list[str] = re.findall("[a-z0-9]+", id.lower())
    if words[0][0].isdigit() or words[0] == "all" or len(words) == 1:
        words = ["model", *words]
    if language == "kotlin":
        return "_".join(words).upper()
    name = words[0]
    for word in words[1:]:
        apart = name[-1].isdigit() and word[0].isdigit()
        name += f"_{word}" if apart else word.capitalize()
    return name


def constants(ids: Sequence[str], language: Language) -> list[str]:
    """Returns the constant of each id.

    Raises:
        ConfigError: Two ids have the same constant.
    """
    found: dict[str, str] = {}
    for id in ids:
        name = constant(id, language)
        if name in found:
            raise ConfigError(
                f"{found[name]} and {id}: both would be {name} in code; build one of them with "
                "another --name"
            )
        found[name] = id
    return list(found)
