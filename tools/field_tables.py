"""Makes the tables of fields in the reference pages from the records."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from mnv4_mobile import records
from mnv4_mobile.bundle.manifest import Manifest
from mnv4_mobile.images import InputSize
from mnv4_mobile.measuring.plan import PRESETS, Plan
from mnv4_mobile.measuring.sweep import PLAN_KEYS, Sweep
from mnv4_mobile.model.grammar import (
    Architecture,
    BareModel,
    Block,
    Head,
    Ignored,
    TrainedModel,
    TrainingConfiguration,
)
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.records import Record, Row
from tools.documents import example


def classes(kind: Any) -> Iterator[type[Record | Row]]:
    """Yields a record's class and those of its parts."""
    if isinstance(kind, type) and issubclass(kind, (Record, Row)):
        yield kind
        for hint in get_type_hints(kind, include_extras=True).values():
            yield from classes(hint)
    for part in get_args(kind):
        yield from classes(part)


def optional(kind: type[Record]) -> set[str]:
    """Returns the fields that JSON leaves out if they have their default."""
    fields = msgspec.structs.fields(kind)
    return {f.name for f in fields if not f.required and kind.__struct_config__.omit_defaults}


def texts(kind: type) -> dict[str, str]:
    """Returns the docstrings of the fields of a record or a dataclass."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base in (Record, Row) or not vars(base).get("__annotations__"):
            continue
        (tree,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                assert isinstance(text, ast.Expr), f"{base.__name__}.{field.target.id}: no text"
                assert isinstance(text.value, ast.Constant)
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def manifest_keys() -> str:
    """Returns the table of the manifest's keys."""
    lines = ["| key | type | meaning | example |", "| --- | --- | --- | --- |"]
    sample = example()
    for key, kind, about in _rows(Manifest, ""):
        value = json.dumps(_at(sample, key), ensure_ascii=False)
        shown = f"`{value}`" if len(value) < 50 and "{" not in value else ""
        lines.append(f"| `{key}` | {kind} | {about} | {shown} |")
    return "\n".join(lines)


def manifest_example() -> str:
    """Returns a whole manifest as JSON, with each list of plain values on one line."""
    shown = re.sub(
        r"\[[^][{}]+\]",
        lambda flat: re.sub(r"\s*\n\s*", " ", flat[0]).replace("[ ", "[").replace(" ]", "]"),
        json.dumps(example(), indent=1),
    )
    return f"```json\n{shown}\n```"


def yaml_tables() -> dict[str, str]:
    """Returns the tables of the page about YAML files, by their marks."""
    ignored = [
        f"`{place}{name}`"
        for kind, place in (
            (TrainingConfiguration, ""),
            (TrainedModel, "model."),
            (Architecture, "model.architecture."),
        )
        for name, hint in get_type_hints(kind, include_extras=True).items()
        if hint == Ignored
    ]
    return {
        "model": _yaml_table(BareModel),
        "blocks": _blocks(),
        "head": _yaml_table(Head, "model.architecture.head."),
        "ignored": f"Accepted but ignored: {', '.join(ignored)}.",
        "recipe": _yaml_table(Recipe),
        "sweep": _yaml_table(Sweep),
    }


def _yaml_table(kind: type[Record], prefix: str = "") -> str:
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key, shown, default, about in _yaml_rows(kind, prefix):
        lines.append(f"| `{key}` | {shown} | {default} | {about} |")
    return "\n".join(lines)


def _yaml_rows(kind: type[Record], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """Yields key, type, default and meaning of every key that a person may write into a file."""
    text = texts(kind)
    hints = get_type_hints(kind, include_extras=True)
    if kind is Plan:  # as `measuring.sweep` reads it
        yield f"{prefix}preset", _words(tuple(PRESETS)), '`"quick"`', "The plan to start from."
        hints = {name: hints[name] for name in PLAN_KEYS}
    for field in msgspec.structs.fields(kind):
        if field.name not in hints or (kind in (Recipe, Sweep) and field.name == "name"):
            continue
        part, place = _inner(hints[field.name], f"{prefix}{field.name}")
        yield (
            f"{prefix}{field.name}",
            _yaml_type(hints[field.name]),
            "the preset's" if kind is Plan else _default(field, part),
            text[field.name],
        )
        if part is not None and field.name not in ("gpu", "npu"):  # same keys as `cpu`
            yield from _yaml_rows(part, f"{place}.")


def _yaml_type(kind: Any) -> str:
    return _type(kind).replace("null", "~").replace(f", ≤ {2**31 - 1}", "")


def _default(field: msgspec.structs.FieldInfo, part: type[Record] | None) -> str:
    if field.name == "plan":
        return "the preset `quick`"
    if field.required:
        return "required"
    value = field.default
    if value is msgspec.NODEFAULT or (part is not None and value is not None):
        return ""
    return "`~`" if value is None else f"`{json.dumps(records.plain(value))}`"


def _blocks() -> str:
    lines = ["| block | value | type | meaning |", "| --- | --- | --- | --- |"]
    for kind in get_args(Block):
        text, tag = texts(kind), kind.__struct_config__.tag
        about = " ".join(str(kind.__doc__).split())
        lines.append(f"| `{tag}` | | | {about} |")
        for name, hint in get_type_hints(kind, include_extras=True).items():
            lines.append(f"| | `{name}` | {_yaml_type(hint)} | {text[name]} |")
    return "\n".join(lines)


def _words(values: tuple[Any, ...]) -> str:
    return ", ".join(f"`{json.dumps(value)}`" for value in values)


def _rows(kind: type[Record], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Yields key, type and meaning of every field of a record and of its parts."""
    text, left_out = texts(kind), optional(kind)
    for name, hint in get_type_hints(kind, include_extras=True).items():
        shown = _type(hint)
        if name in left_out:
            shown = shown.replace(" or null", "; may be absent")
        yield f"{prefix}{name}", shown, text[name]
        part, place = _inner(hint, f"{prefix}{name}")
        if part is not None:
            yield from _rows(part, f"{place}.")


def _inner(kind: Any, place: str) -> tuple[type[Record] | None, str]:
    """Returns the record in a type, and its place in the notation of the page."""
    if get_origin(kind) is Annotated:
        return _inner(get_args(kind)[0], place)
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind, place
    if get_origin(kind) in (Union, UnionType):
        (part,) = [part for part in get_args(kind) if part is not NoneType][:1]
        return _inner(part, place)
    if get_origin(kind) is tuple:
        return _inner(get_args(kind)[0], f"{place}[]")
    if isinstance(get_origin(kind), type) and issubclass(get_origin(kind), Mapping):
        return _inner(get_args(kind)[1], f"{place}.*")
    return None, place


def _type(kind: Any) -> str:
    """Returns a type in words."""
    bare, origin = kind, get_origin(kind)
    if origin is Annotated:
        bare, origin = get_args(kind)[0], get_origin(get_args(kind)[0])
    parts = get_args(bare)
    if origin is Literal:
        return _words(parts)
    if bare == Block:
        return "block"
    if bare == InputSize:
        return "integer, or [height, width]"
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in parts)
    if bare is NoneType:
        return "null"
    if isinstance(bare, type) and issubclass(bare, Record):
        return "object"
    if origin is tuple:
        count = "" if ... in parts else f" {len(parts)}"
        return f"list of{count}: {_type(parts[0])}".replace(": object", " objects")
    if isinstance(origin, type) and issubclass(origin, Mapping):
        keys = "" if parts[0] is str else f", keys: {_type(parts[0])}"
        return f"object{keys}, values: {_type(parts[1])}"
    metas = [meta for meta in get_args(kind)[1:] if isinstance(meta, msgspec.Meta)]
    if described := [meta.description for meta in metas if meta.description]:
        return described[-1]
    bounds = [
        f" {sign} {bound}"
        for meta in metas
        for sign, bound in ((">", meta.gt), ("≥", meta.ge), ("<", meta.lt), ("≤", meta.le))
        if bound is not None and abs(bound) < records.MAX_FLOAT
    ]
    words = {int: "integer", float: "number", bool: "boolean", str: "text", Any: "any value"}
    return words[bare] + ",".join(bounds)


def _at(value: Any, key: str) -> Any:
    """Returns the value at a key in the page's notation: the last entry of lists and mappings."""
    for name in key.split("."):
        if name.rstrip("[]") == "*":
            value = list(value.values())[-1]
        else:
            value = value.get(name.rstrip("[]"))
        if name.endswith("[]"):
            value = value[-1]
        if value is None:
            return None
    return value
