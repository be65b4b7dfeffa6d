"""Reads YAML files strictly: every mistake is an error that names its place."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from mnv4_mobile.errors import ConfigError, unknown_key
from mnv4_mobile.records import show

T = TypeVar("T", int, float, bool, str)

_MAX_BYTES = 1 << 20
_MAX_NODES = 100_000


class _Loader(yaml.SafeLoader):
    """The safe loader, which also refuses a key that occurs twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) != len(node.value):
            line = node.start_mark.line + 1
            raise yaml.constructor.ConstructorError(None, None, f"line {line}: a key occurs twice")
        return mapping


def _count(value: object, inside: tuple[int, ...] = ()) -> int:
    """Counts the nodes of a document with every alias written out."""
    if id(value) in inside:
        raise ConfigError("an alias contains itself")
    children: list[object] = []
    if isinstance(value, dict):
        children = list(value.values())
    elif isinstance(value, list):
        children = value
    total = 1
    for child in children:
        total += _count(child, (*inside, id(value)))
        if total > _MAX_NODES:
            raise ConfigError(f"too large: more than {_MAX_NODES} values once aliases are expanded")
    return total


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping with the safe loader.

    Raises:
        ConfigError: The file cannot be read, is not a YAML mapping, has a tag, a key that occurs
            twice, or too many values once aliases are expanded.
    """
    try:
        data = path.read_bytes()
        if len(data) > _MAX_BYTES:
            raise ConfigError(f"{path}: too large: {len(data)} bytes, allowed: {_MAX_BYTES}")
        value = yaml.load(data.decode(), _Loader)  # noqa: S506 - a SafeLoader
        _count(value)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{path}: not a plain YAML file: {reason}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: found {show(value)}, must be a mapping")
    return cast(dict[str, Any], value)


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


class Section:
    """A mapping whose keys are taken one by one, so that unknown ones are found.

    Args:
        value: The value in the file at this place.
        place: The place as text: the file, then the keys down to here.
    """

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise ConfigError(f"{place}: found {show(value)}, must be a mapping")
        self.place = place
        self._rest: dict[object, object] = dict(value)
        self._known: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key in self._rest

    def at(self, key: str) -> str:
        """Returns the place of a key, for messages."""
        return f"{self.place}: {key}"

    def any(self, key: str, default: object = ...) -> Any:
        """Takes the value of a key unchecked; the key is required if there is no default."""
        self._known.append(key)
        if key not in self._rest:
            if default is ...:
                raise ConfigError(f"{self.at(key)}: missing")
            return default
        return self._rest.pop(key)

    def get(self, key: str, kind: type[T], default: Any = ...) -> T:
        """Takes the value of a key, which must be of the given type."""
        return checked(self.any(key, default), kind, self.at(key))

    def values(self, key: str, kind: type[T], default: object = ...) -> tuple[T, ...]:
        """Takes the values of a list, each of which must be of the given type."""
        found = self.any(key, default)
        if not isinstance(found, list):
            raise ConfigError(f"{self.at(key)}: found {show(found)}, must be a list")
        return tuple(checked(value, kind, self.at(key)) for value in found)

    def optional(self, key: str, kind: type[T]) -> T | None:
        """Takes the value of a key that may be ~ or left out."""
        value = self.any(key, None)
        return None if value is None else checked(value, kind, self.at(key))

    def section(self, key: str) -> Section:
        """Takes the mapping under a key."""
        return Section(self.any(key), self.at(key))

    def close(self, unused: tuple[str, ...] = ()) -> list[str]:
        """Ends the section, and returns the keys in it that were not taken.

        Args:
            unused: The keys that are allowed but have no effect.

        Raises:
            ConfigError: The section has any other key.
        """
        for key in self._rest:
            if key not in unused:
                known = [*self._known, *unused]
                raise ConfigError(unknown_key(self.at(str(key)), key, known))
        return [str(key) for key in self._rest]


def checked(value: object, kind: type[T], place: str) -> T:
    """Returns the value if it is of the given type; an int is a float, a bool is neither."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return kind(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{place}: found {show(value)}, must be {_WORDS[kind]}")
    return value
