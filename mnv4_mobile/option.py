"""Options that belong to one target: how it declares them, and how their values are read.

A target declares the options that only it understands. The core reads their values (`--set
TARGET.OPTION=VALUE`, `options:` of a sweep, `Options(options=...)`), refuses bad ones before any
work, hashes them into the cache key and records them in the manifest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from mnv4_mobile.build_spec import OptionValue
from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import show

Given = Mapping[str, Mapping[str, object]]
"""Values by target name, then by option name, as a file, Python or the command line gives them."""
ALL = "all"
"""Stands for all values of an option that is declared as a list."""

_TEXT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # becomes part of the bundle's name
_WORDS = {
    int: "a whole number",
    bool: "true or false",
    str: "letters, digits, '.', '_' and '-', as it becomes part of the bundle's name",
}


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of one target."""

    name: str
    type: type[int] | type[str] | type[bool] | type[list]  # type: ignore[type-arg]
    """The type of a value. With `list`, several texts may be given; each makes its own bundle."""
    values: tuple[OptionValue, ...] = ()
    """The allowed values; empty allows any value of the type. A list must have some."""
    default: OptionValue | Callable[[Recipe, int], OptionValue]
    """The value if none is given, or a function of the recipe and the number of input sizes. A list
    defaults to one of its values."""
    required: bool = False
    """Whether it must be given. Its default is then an example, and its value is always part of the
    bundle's name."""
    help: str
    """What the option decides, in one line."""
    otherwise: str = ""
    """What to do instead of giving a value that is not allowed."""

    def default_for(self, recipe: Recipe, sizes: int = 1) -> OptionValue:
        """Returns the value for a recipe and a number of input sizes if none is given."""
        return self.default(recipe, sizes) if callable(self.default) else self.default

    def read(self, value: object, place: str) -> tuple[OptionValue, ...]:
        """Reads a given value: one, or those of a list.

        Args:
            value: A text from the command line, or a value from YAML or Python.
            place: The name that messages use.

        Raises:
            ConfigError: Naming what was found and what is allowed.
        """
        if self.type is not list:
            return (self._one(value, place),)
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, Sequence) or not parts:
            raise ConfigError(f"{place}: found {show(value)}, must be a list of {self.allowed}")
        if list(parts) == [ALL]:
            return self.values
        return tuple(self._one(part, place) for part in dict.fromkeys(parts))

    @property
    def allowed(self) -> str:
        """The allowed values as text."""
        if self.values:
            return ", ".join(map(str, self.values)) + (", all" if self.type is list else "")
        return _WORDS[self.type]

    def _one(self, value: object, place: str) -> OptionValue:
        kind = str if self.type is list else self.type
        found: object = value
        if isinstance(value, str) and kind is int and re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
            found = int(value)
        elif isinstance(value, str) and kind is bool:
            found = {"true": True, "false": False}.get(value.strip().lower(), value)
        elif isinstance(value, str):
            found = value.strip()
        right = type(found) is kind and (kind is not str or self.values or _is_text(found))
        if not right or (self.values and found not in self.values):
            if self.values:
                every = (ALL,) if self.type is list else ()
                otherwise = f"; {self.otherwise}" if self.otherwise else ""
                raise ConfigError(unknown(place, value, (*self.values, *every)) + otherwise)
            raise ConfigError(f"{place}: found {show(value)}, allowed: {self.allowed}")
        assert isinstance(found, str | int | bool)
        return found


def _is_text(value: object) -> bool:
    return _TEXT.fullmatch(str(value)) is not None


def parse_set(texts: Iterable[str]) -> dict[str, dict[str, object]]:
    """Reads `--set TARGET.OPTION=VALUE`.

    Raises:
        ConfigError: A text has another form, or an option is set twice.
    """
    found: dict[str, dict[str, object]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        target, dot, option = (part.strip() for part in place.partition("."))
        if not (equals and dot and target and option):
            raise ConfigError(
                f"--set: found {text!r}, must be TARGET.OPTION=VALUE; mnv4 targets NAME lists the "
                "options of a target"
            )
        if option in found.setdefault(target, {}):
            raise ConfigError(f"--set: {target}.{option}: found twice, must be given once")
        found[target][option] = value
    return found


def lacking(target: str, options: Iterable[Option], given: Given) -> list[str]:
    """Returns a message for each required option of a target that is not given."""
    return [
        f"option {target}.{option.name}: missing; --set {target}.{option.name}=VALUE, allowed: "
        f"{option.allowed}"
        for option in options
        if option.required and option.name not in given.get(target, {})
    ]


def choices(
    declared: Mapping[str, Sequence[Option]], given: Given, installed: Sequence[str]
) -> dict[str, list[dict[str, OptionValue]]]:
    """Reads the given values of the options of targets.

    Args:
        declared: The options of the targets that are built for, by target name.
        given: The values.
        installed: The names of all targets.

    Returns:
        The given values by option name, for each target name: one mapping for each combination of
        the values of lists.

    Raises:
        ConfigError: A target or an option does not exist, a target is not built for, a value is
            bad, or one that is required is missing.
    """
    if not isinstance(given, Mapping):
        raise ConfigError(f"options: found {show(given)}, must be values by target and option")
    for target, values in given.items():
        if target not in installed:
            raise ConfigError(unknown("option", target, installed))
        if not isinstance(values, Mapping):
            raise ConfigError(f"option {target}: found {show(values)}, must be values by option")
        if target not in declared:
            names = ", ".join(f"{target}.{name}" for name in values) or target
            raise ConfigError(
                f"option {names}: {target} is not built for; --target has {', '.join(declared)}"
            )
        known = [option.name for option in declared[target]]
        for name in values:
            if name not in known:
                if not known:
                    raise ConfigError(f"option {target}.{name}: {target} has no options")
                raise ConfigError(unknown(f"option {target}", name, known))
    found: dict[str, list[dict[str, OptionValue]]] = {}
    for target, options in declared.items():
        for lack in lacking(target, options, given):
            raise ConfigError(lack)
        axes = []
        for option in options:
            if option.name in given.get(target, {}):
                value = given[target][option.name]
                read = option.read(value, f"option {target}.{option.name}")
                axes.append([(option.name, one) for one in read])
        found[target] = [dict(combination) for combination in product(*axes)]
    return found
