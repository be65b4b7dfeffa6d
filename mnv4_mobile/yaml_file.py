"""Reads YAML files strictly: every mistake is an error that names its place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeVar

import yaml

from mnv4_mobile.errors import ConfigError, unknown_key
from mnv4_mobile.records import show

T = TypeVar("T", int, float, bool, str)

_MAX_BYTES = 1 << 18
_MAX_VALUES = 10_000
_MAX_DEPTH = 30
_MAX_DIGITS = 30
_INTEGERS = range(-(2**63), 2**63)


class _Reader(yaml.SafeLoader):
    """Reads plain data: texts, whole numbers, finite numbers, booleans, null, lists and mappings.

    Everything else is refused where it begins, before anything is made of it: merge keys and
    aliases could multiply it, and other types have no place in a record.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._constructor = yaml.constructor.SafeConstructor()
        self._count = 0
        self._depth = 0
        self._values: dict[yaml.Node, Any] = {}
        self._sizes: dict[yaml.Node, int] = {}

    def read(self) -> Any:
        """Returns the value of the only document.

        Raises:
            ConfigError: The text has anything but plain data; the message begins with the line.
            yaml.YAMLError: The text is not YAML.
        """
        node = self.get_single_node()
        return None if node is None else self._values[node]

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if getattr(event, "tag", None) is not None:
            raise ConfigError(f"line {line}: found the tag {event.tag}, must be left out")
        before = self._count
        self._count += 1
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise ConfigError(f"line {line}: nested more than {_MAX_DEPTH} deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise ConfigError(f"line {line}: an alias contains itself")
            self._count += self._sizes[node]
        if self._count > _MAX_VALUES:
            raise ConfigError(
                f"line {line}: too large: more than {_MAX_VALUES} values once aliases are expanded"
            )
        if node is not None and node not in self._values:
            self._values[node] = self._value(node)
            self._sizes[node] = self._count - before
        return node

    def _value(self, node: yaml.Node) -> Any:
        """Returns the value of a node whose parts are known."""
        if isinstance(node, yaml.SequenceNode):
            return [self._values[item] for item in node.value]
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        assert isinstance(node, yaml.ScalarNode)
        line = node.start_mark.line + 1
        kind = node.tag.rpartition(":")[2]
        text = node.value
        try:
            if kind == "str":
                if not all(char.isprintable() or char in "\t\n" for char in text):
                    raise ConfigError(f"line {line}: found {show(text)}, must be printable text")
                return text
            if kind in ("null", "bool"):
                return getattr(self._constructor, f"construct_yaml_{kind}")(node)
            if kind == "int" and len(text) <= _MAX_DIGITS:
                whole = self._constructor.construct_yaml_int(node)
                if whole in _INTEGERS:
                    return whole
            if kind == "float" and len(text) <= _MAX_DIGITS:
                number = self._constructor.construct_yaml_float(node)
                if math.isfinite(number):
                    return number
        except (ValueError, OverflowError):  # of what only looks like a number, such as 0b_
            pass
        raise ConfigError(f"line {line}: found {show(text)}, {_ALLOWED.get(kind, _QUOTED)}")

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in node.value:
            key = self._values[name]
            line = name.start_mark.line + 1
            if not isinstance(key, str):
                raise ConfigError(f"line {line}: found the key {show(key)}, must be a text")
            if key in found:
                raise ConfigError(f"line {line}: {show(key)}: a key occurs twice")
            found[key] = self._values[value]
        return found


_ALLOWED = {
    "int": "must be a whole number of 64 bits",
    "float": "must be a finite number",
    "merge": "merge keys are not read",
}
_QUOTED = "must be a text, a number, true, false or ~; a text like this needs quotes"


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML mapping of plain data (`_Reader`), whose keys are texts.

    Raises:
        ConfigError: The file cannot be read, is not a YAML mapping, or has anything but plain data;
            the message names the file and the line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ConfigError(f"too large: more than {_MAX_BYTES} bytes")
        value = _Reader(data.decode()).read()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}: " if mark else ""
        reason = error.problem or error.context
        raise ConfigError(f"{path}: {line}not a plain YAML file: {reason}") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets ValueError and OverflowError through, as of "\U00110000".
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: not a plain YAML file: {reason}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(value, dict):
        raise ConfigError(f"{path}: found {show(value)}, must be a mapping")
    return value


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
