"""Records, which hold data read from files, from devices or from the command line.

A record is a class of fields with types and bounds, written once. Parsing, its messages, writing
and the JSON Schemas (`python -m tools.schemas`) follow from it:

    class Pause(Record, frozen=True, kw_only=True):
        seconds: Annotated[float, Meta(ge=0)]

    decode(b'{"seconds": -1}', Pause, "pause.json")
    ConfigError: pause.json: seconds: found -1, must be a number, 0 or more

In JSON, every key of a record is present, except that a class with `omit_defaults` leaves out
fields that have their default. Python and YAML may always leave out a field that has a default.
"""

from __future__ import annotations

import dataclasses
import json
import types
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from mnv4_mobile.errors import ConfigError, MobileError, unknown, unknown_key

T = TypeVar("T")


class Record(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all records."""


class Row(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The base of records that are lists in a file: a tag that names the class, then the fields."""

    @property
    def tag(self) -> str:
        """The first item of the list."""
        return str(self.__struct_config__.tag)


def whole(pattern: str) -> str:
    r"""Returns a pattern that matches whole texts only.

    In Python, `$` alone also matches before a line feed at the end; JSON Schema has no `\Z`.
    """
    return f"^(?:{pattern})$(?!\\n)"


# The bounds are those that Kotlin, Swift and JavaScript also hold exactly.
Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Natural = Annotated[int, Meta(ge=0, le=2**31 - 1)]
SafeInt = Annotated[int, Meta(ge=1 - 2**53, le=2**53 - 1)]
Bytes = Annotated[int, Meta(ge=1, le=2**53 - 1)]
Operations = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Text = Annotated[str, Meta(min_length=1)]
MIN_FLOAT, MAX_FLOAT = 1.1754943508222875e-38, 3.4028234663852886e38
Finite = Annotated[float, Meta(ge=-MAX_FLOAT, le=MAX_FLOAT)]
"""A number that float32 can hold, like `Positive`."""
Positive = Annotated[float, Meta(ge=MIN_FLOAT, le=MAX_FLOAT)]
Share = Annotated[float, Meta(ge=0, le=1)]
NotNegative = Annotated[float, Meta(ge=0, le=MAX_FLOAT)]
Decibels = Annotated[float, Meta(ge=-200, le=200)]
"""A signal to noise ratio. 200 stands for equal tensors, -200 for values that are not finite."""
Milliseconds = Annotated[float, Meta(ge=0, le=10**9)]
"""Up to 11 days, as `Seconds`: sums and ratios of records stay finite."""
Seconds = Annotated[float, Meta(ge=0, le=10**6)]
Sha256 = Annotated[str, Meta(pattern=whole("[0-9a-f]{64}"), description="64 hexadecimal digits")]
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
DateTime = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Uuid = Annotated[str, Meta(pattern=whole(UUID), description="a UUID in lower case")]


_INVALID = (msgspec.ValidationError, UnicodeEncodeError)
"""What msgspec raises for a wrong value. The second is for half of a surrogate pair, from the bytes
of an argument or a file name that are not text."""


def decode(
    data: bytes | str, kind: type[T], place: str, error: type[MobileError] = ConfigError
) -> T:
    """Reads a record from JSON.

    Args:
        data: JSON text without NaN, Infinity or a key that occurs twice.
        kind: The record's class.
        place: Where the text is from, with which messages begin.
        error: The type of error to raise.

    Raises:
        MobileError: Of the type `error`, naming the key, what was found and what is allowed.
    """
    value = read_json(data, place, error, _marked)
    found = convert(value, kind, place, error)
    if (absent := _absent(value, msgspec.to_builtins(found), "")) is not None:
        raise error(f"{place}: {absent}: missing")
    return found


def read_json(
    data: bytes | str,
    place: str,
    error: type[MobileError] = ConfigError,
    pairs: Callable[[list[tuple[str, Any]]], dict[str, Any]] = dict,
) -> Any:
    """Returns the plain values of a JSON text.

    Args:
        data: JSON text without NaN, Infinity or numbers that overflow.
        place: Where the text is from, with which messages begin.
        error: The type of error to raise.
        pairs: Makes a dict of an object's keys and values.

    Raises:
        MobileError: Of the type `error`.
    """
    try:
        msgspec.json.decode(data)  # strict: no NaN, no overflow, no broken Unicode
        return json.loads(data, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as wrong:
        raise error(f"{place}: not JSON: {wrong}") from None


def convert(value: object, kind: type[T], place: str, error: type[MobileError] = ConfigError) -> T:
    """Converts plain values to a record; fields that have a default may be left out.

    Raises:
        MobileError: Of the type `error`, naming the key, what was found and what is allowed.
    """
    try:
        return msgspec.convert(value, kind)
    except _INVALID as wrong:
        fault = _fault(value, kind, "") or str(wrong)
        raise error(f"{place}: {fault}") from None


def check(record: T, place: str, error: type[MobileError] = ConfigError) -> T:
    """Returns a record that Python code made, after a check that it could be read from a file.

    Raises:
        MobileError: Of the type `error`, naming the key, what was found and what is allowed.
    """
    found = convert(msgspec.to_builtins(record), type(record), place, error)
    try:
        encode(record)
    except ConfigError as wrong:
        raise error(f"{place}: {wrong}") from None
    return found


def plain(record: object) -> Any:
    """Returns a record as plain JSON values: dicts, lists, texts and numbers."""
    return msgspec.to_builtins(record)


def encode(record: object, *, indent: int | None = None) -> bytes:
    """Returns a record as JSON; equal records give equal bytes.

    Raises:
        ConfigError: A number is not finite, or a text is not Unicode.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    try:
        return json.dumps(
            plain(record),
            allow_nan=False,
            ensure_ascii=False,
            indent=indent,
            separators=separators,
            sort_keys=indent is None,
        ).encode()
    except ValueError as wrong:
        broken = isinstance(wrong, UnicodeError)  # a file name may have bytes that are not text
        what = "text that is not Unicode" if broken else "number that is not finite"
        raise ConfigError(f"{type(record).__name__.lower()}: found a {what}") from None


def replace(record: T, **changes: Any) -> T:
    """Returns a copy of a record or a dataclass with some fields changed."""
    if isinstance(record, Struct):
        return msgspec.structs.replace(record, **changes)
    copied: T = dataclasses.replace(record, **changes)  # type: ignore[type-var]
    return copied


def show(value: object) -> str:
    """Returns a value as messages show it: shortened, and ~ for None."""
    if value is None:
        return "~"
    try:
        text = repr(value)
    except ValueError:  # Python refuses to convert integers of thousands of digits
        return "a number that is too large"
    return text if len(text) <= 60 else text[:57] + "..."


class _Twice:
    """Stands for the values of a key that occurs twice; no type accepts it."""

    def __repr__(self) -> str:
        return "a key that occurs twice"


def _marked(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        found.update({name: _Twice() for name, count in counts.items() if count > 1})
    return found


def _absent(found: Any, complete: Any, key: str) -> str | None:
    """Returns the first key of a complete record that was not found in the text."""
    if isinstance(complete, dict):
        for name, value in complete.items():
            if name not in found:
                return _join(key, name)
            if (absent := _absent(found[name], value, _join(key, name))) is not None:
                return absent
    elif isinstance(complete, list | tuple) and complete and isinstance(complete[0], dict):
        for index, value in enumerate(complete):
            if (absent := _absent(found[index], value, f"{key}[{index}]")) is not None:
                return absent
    return None


_LONGEST = 200
"""The longest key that messages show whole."""


def _join(key: str, name: object) -> str:
    plain_text = isinstance(name, str) and name.isprintable() and len(name) <= _LONGEST
    shown = name if plain_text else show(name)
    return f"{key}.{shown}" if key else str(shown)


def _fault(value: Any, kind: Any, key: str) -> str | None:
    """Returns the first fault of a value: its key, what was found and what is allowed.

    msgspec's own messages name neither what was found nor the key in a mapping.
    """
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    origin, members = get_origin(bare), get_args(bare)
    fault = None
    if origin in (Union, types.UnionType):
        members = tuple(member for member in members if member is not types.NoneType)
        meant = [member for member in members if len(members) == 1 or _is_meant(value, member)]
        if value is not None and len(meant) == 1:
            return _fault(value, meant[0], key)
    elif isinstance(bare, type) and issubclass(bare, Struct) and isinstance(value, dict):
        fault = _fault_of_fields(value, bare, key)
    elif isinstance(bare, type) and issubclass(bare, Row) and _is_meant(value, bare):
        key = f"{key}: {value[0]}"
        fault = _fault_of_items(value[1:], bare, key)
    elif isinstance(value, dict) and isinstance(origin, type) and issubclass(origin, Mapping):
        names, items = list(value), list(value.values())
        if (wrong_at := _first_wrong(names, members[0])) is not None:
            fault = _fault(names[wrong_at], members[0], _join(key, names[wrong_at]))
        elif (wrong_at := _first_wrong(items, members[1])) is not None:
            fault = _fault(items[wrong_at], members[1], _join(key, names[wrong_at]))
    elif isinstance(value, list | tuple) and origin in (tuple, list):
        if len(members) > 1 and members[1] is not ...:
            for index, (item, member) in enumerate(zip(value, members, strict=False)):
                fault = fault or _fault(item, member, f"{key}[{index}]")
        elif (wrong_at := _first_wrong(value, members[0])) is not None:
            fault = _fault(value[wrong_at], members[0], f"{key}[{wrong_at}]")
    if fault is not None:
        return fault
    try:
        msgspec.convert(value, kind)
    except _INVALID as wrong:
        if isinstance(bare, type) and issubclass(bare, Struct) and isinstance(value, dict):
            return _join(key, str(wrong))  # from the class's own check of several fields
        if origin is Literal and isinstance(value, str):
            return unknown(key, value, members).removeprefix(": ")
        if isinstance(bare, type) and issubclass(bare, Row) and _is_meant(value, bare):
            return f"{key}: {wrong}"
        return f"{key}: found {show(value)}, {_allowed(kind, value)}".removeprefix(": ")
    return None


def _first_wrong(values: Sequence[Any], kind: Any) -> int | None:
    """Returns the index of the first value that is not of a type, or None.

    It halves the list, because msgspec checks many values faster than Python looks at each.
    """
    if _fits(values, kind):
        return None
    low, high = 0, len(values)
    while high - low > 1:
        middle = (low + high) // 2
        if _fits(values[low:middle], kind):
            low = middle
        else:
            high = middle
    return low


def _fits(values: Sequence[Any], kind: Any) -> bool:
    try:
        msgspec.convert(values, list[kind])
    except _INVALID:
        return False
    return True


def _is_meant(value: Any, kind: Any) -> bool:
    """Returns whether a value has the form of a union's member, which the others do not have."""
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if isinstance(bare, type) and issubclass(bare, Row):
        return isinstance(value, list) and value[:1] == [bare.__struct_config__.tag]
    return isinstance(value, dict) and isinstance(bare, type) and issubclass(bare, Struct)


def _fault_of_items(values: list[Any], kind: type[Row], key: str) -> str | None:
    names = kind.__struct_fields__
    if len(values) != len(names):
        return f"{key}: found {len(values)} values, must be {len(names)}: {', '.join(names)}"
    hints = get_type_hints(kind, include_extras=True)
    faults = (
        _fault(value, hints[name], f"{key}: {name}")
        for name, value in zip(names, values, strict=True)
    )
    return next(filter(None, faults), None)


def _fault_of_fields(value: dict[str, Any], kind: type[Struct], key: str) -> str | None:
    fields = msgspec.structs.fields(kind)
    hints = get_type_hints(kind, include_extras=True)
    version = value.get("schema")
    if "schema" in hints and isinstance(version, int) and not isinstance(version, bool):
        (known,) = get_args(hints["schema"])
        if version > known:
            return (
                f"{_join(key, 'schema')}: written by a newer version (schema {show(version)}, this "
                f"one reads {known}); upgrade mnv4-mobile"
            )
    names = [field.name for field in fields]
    for name in value:
        if name not in names:
            return unknown_key(_join(key, name), name, names)
    for field in fields:
        place = _join(key, field.name)
        if field.name not in value:
            if field.required:
                return f"{place}: missing"
        elif (fault := _fault(value[field.name], hints[field.name], place)) is not None:
            return fault
    return None


_LIMIT = 2**31 - 1
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _allowed(kind: Any, value: Any) -> str:
    """Returns what a type allows, as text for messages."""
    metas = [meta for meta in get_args(kind)[1:] if isinstance(meta, Meta)]
    bare = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(bare) is Literal:
        return f"allowed: {', '.join(map(str, get_args(bare)))}"
    if described := [meta.description for meta in metas if meta.description]:
        return f"must be {described[-1]}"
    words = [_noun(bare)]
    for meta in metas:
        for bound, text in (
            (meta.ge, "{:g} or more"),
            (meta.gt, "more than {:g}"),
            (meta.le, "at most {}"),
            (meta.lt, "less than {:g}"),
            (meta.min_length, "of length {} or more"),
            (meta.max_length, "of length {} at most"),
        ):
            # A type's limits are mentioned only if the value exceeds them.
            if bound is not None and (abs(bound) < _LIMIT or _beyond(value, bound)):
                words.append(text.format(bound) if bound != MIN_FLOAT else "more than 0")
    return f"must be {', '.join(words)}"


def _beyond(value: Any, bound: float) -> bool:
    return isinstance(value, int | float) and abs(value) > abs(bound)


def _noun(bare: Any) -> str:
    if get_origin(bare) in (Union, types.UnionType):
        if all(isinstance(member, type) and issubclass(member, Row) for member in get_args(bare)):
            tags = [str(member.__struct_config__.tag) for member in get_args(bare)]
            return f"a list that begins with one of: {', '.join(tags)}"
        return " or ".join(_noun(member) for member in get_args(bare))
    if bare is types.NoneType:
        return "null"
    if get_origin(bare) is Annotated:
        return _allowed(bare, None).removeprefix("must be ").removeprefix("allowed: ")
    if bare in _WORDS:
        return _WORDS[bare]
    if get_origin(bare) is tuple and ... not in get_args(bare):
        return f"a list of {len(get_args(bare))}"
    return "a list" if get_origin(bare) in (tuple, list) else "an object"
