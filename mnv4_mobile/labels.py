"""Reads the names of a model's classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.records import convert, read_json, whole

Label = Annotated[
    str,
    Meta(
        pattern=whole(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+"),
        description="one line of text without control characters",
    ),
]
"""The name of a class. Runtimes read labels as lines, so a line feed would shift all later ones."""


def read_labels(source: str) -> tuple[str, ...]:
    """Reads the names of the classes, in the order of the model's outputs.

    Args:
        source: `imagenet-1k` (the 1000 classes of ILSVRC-2012), or a UTF-8 file: a `.json` file
            with a list of names or a mapping {"0": name, ...}, any other with one name per line.

    Raises:
        ConfigError: The file cannot be read, or holds anything else.
    """
    if source == "imagenet-1k":
        return _lines(source, (files("mnv4_mobile") / "data/imagenet-1k.txt").read_text("utf-8"))
    try:
        text = Path(source).read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: labels must be UTF-8 text: {error}") from error
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"{source}: cannot read the labels ({reason}), must be `imagenet-1k` or a file"
        ) from error
    return _json(source, text) if source.lower().endswith(".json") else _lines(source, text)


def check_labels(labels: Sequence[str], num_classes: int) -> None:
    """Raises ConfigError unless there is one label for each class, each of one line."""
    convert(list(labels), tuple[Label, ...], "labels")
    if len(labels) != num_classes:
        raise ConfigError(f"labels: found {len(labels)}, the model has {num_classes} classes")


def _lines(source: str, text: str) -> tuple[str, ...]:
    labels = [line.strip() for line in text.rstrip().split("\n")]
    return _checked(source, {f"line {number}": label for number, label in enumerate(labels, 1)})


def _json(source: str, text: str) -> tuple[str, ...]:
    content = read_json(text, source)
    if isinstance(content, list):
        content = {str(index): label for index, label in enumerate(content)}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{source}: found {type(content).__name__}, must be a list or a mapping of labels"
        )
    indices = [str(index) for index in range(len(content))]
    if strange := sorted(set(content) - set(indices)):
        raise ConfigError(
            f"{source}: found key {strange[0]!r}, keys must be 0 to {len(content) - 1} for "
            f"{len(content)} labels"
        )
    return _checked(source, {index: content[index] for index in indices})


def _checked(source: str, labels: Mapping[str, object]) -> tuple[str, ...]:
    """Returns the labels as a tuple; the keys say where each one is."""
    if not labels or list(labels.values()) == [""]:
        raise ConfigError(f"{source}: no labels")
    for where, label in labels.items():
        if isinstance(label, str) and not label.strip():
            raise ConfigError(f"{source}: {where}: found {label!r}, must be a name")
        convert(label, Label, f"{source}: {where}")
    return tuple(str(label) for label in labels.values())
