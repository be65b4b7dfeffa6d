"""Writes what follows from the records: JSON Schemas, and the tables of docs/reference/bundle.md.

    python -m tools.schemas

`mnv4_mobile/schema/NAME.schema.json` is for other languages and tools. The text of a field is the
docstring below it.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from mnv4_mobile import records
from mnv4_mobile.bundle.manifest import Manifest
from mnv4_mobile.measure.devices.app import Job, Result
from mnv4_mobile.measure.measurement import Measurement
from mnv4_mobile.measure.plan import Plan
from mnv4_mobile.measure.profile import StoredProfile
from mnv4_mobile.quality.evaluate import Evaluation
from mnv4_mobile.records import Record
from tools.documents import example

ROOT = Path(__file__).parents[1]
SCHEMAS: Mapping[str, type[Record]] = {
    "manifest": Manifest,
    "plan": Plan,
    "job": Job,
    "result": Result,
    "measurement": Measurement,
    "evaluation": Evaluation,
    "profile": StoredProfile,
}
PAGE = ROOT / "docs/reference/bundle.md"


def files() -> dict[Path, str]:
    """Returns the content of every file that is made of the records."""
    made = {
        ROOT / f"mnv4_mobile/schema/{name}.schema.json": json.dumps(schema(name), indent=2) + "\n"
        for name in SCHEMAS
    }
    return made | {PAGE: _page(PAGE.read_text("utf-8"))}


def schema(name: str) -> dict[str, Any]:
    """Returns the JSON Schema of a record."""
    kind = SCHEMAS[name]
    _, parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    classes = {found.__name__: found for found in _classes(kind)}
    parts = {part: _part(classes[part], found) for part, found in parts.items()}
    top = parts.pop(kind.__name__)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"mnv4-mobile/{name}"}
    made: dict[str, Any] = head | top | ({"$defs": parts} if parts else {})
    return made


def _part(kind: type[Record], found: dict[str, Any]) -> dict[str, Any]:
    """A class as msgspec describes it, with the texts of its fields."""
    texts, optional = _texts(kind), _optional(kind)
    properties = {
        name: {k: v for k, v in _portable(value).items() if k != "default"}
        | {"description": texts[name]}
        for name, value in found["properties"].items()
    }
    about = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
    required = [name for name in properties if name not in optional]
    return found | {"description": about, "properties": properties, "required": required}


def _portable(value: Any) -> Any:
    """A part of a schema without what only Python needs, or says."""
    if isinstance(value, dict):
        return {
            key: item.removesuffix("(?!\\n)") if key == "pattern" else _portable(item)
            for key, item in value.items()
        }
    return [_portable(item) for item in value] if isinstance(value, list) else value


def _classes(kind: Any) -> Iterator[type[Record]]:
    """A record's class and those of its parts."""
    if isinstance(kind, type) and issubclass(kind, Record):
        yield kind
        for hint in get_type_hints(kind, include_extras=True).values():
            yield from _classes(hint)
    for part in get_args(kind):
        yield from _classes(part)


def _optional(kind: type[Record]) -> set[str]:
    fields = msgspec.structs.fields(kind)
    return {f.name for f in fields if not f.required and kind.__struct_config__.omit_defaults}


def _texts(kind: type[Record]) -> dict[str, str]:
    """The docstrings of a class's fields."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base is Record or not issubclass(base, Record):
            continue
        (tree,) = ast.parse(inspect.getsource(base)).body
        assert isinstance(tree, ast.ClassDef)
        for field, text in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                assert isinstance(text, ast.Expr), f"{base.__name__}.{field.target.id}: no text"
                assert isinstance(text.value, ast.Constant)
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def _page(text: str) -> str:
    """The page with its table and its example made anew."""
    lines = ["| key | type | meaning | example |", "| --- | --- | --- | --- |"]
    sample = example()
    for key, kind, about in _rows(Manifest, ""):
        value = json.dumps(_at(sample, key), ensure_ascii=False)
        shown = f"`{value}`" if len(value) < 50 and "{" not in value else ""
        lines.append(f"| `{key}` | {kind} | {about} | {shown} |")
    text = _replaced(text, "keys", "\n".join(lines))
    shown = re.sub(
        r"\[[^][{}]+\]",
        lambda flat: re.sub(r"\s*\n\s*", " ", flat[0]).replace("[ ", "[").replace(" ]", "]"),
        json.dumps(sample, indent=1),
    )
    return _replaced(text, "example", f"```json\n{shown}\n```")


def _replaced(text: str, mark: str, content: str) -> str:
    begin, end = f"<!-- {mark}: made by tools/schemas.py -->\n", f"<!-- end of {mark} -->"
    head, found, rest = text.partition(begin)
    assert found, f"{PAGE}: has no {begin}"
    return f"{head}{begin}\n{content}\n\n{end}{rest.partition(end)[2]}"


def _rows(kind: type[Record], prefix: str) -> Iterator[tuple[str, str, str]]:
    """Key, type and meaning of every field, those of its parts included."""
    texts, optional = _texts(kind), _optional(kind)
    for name, hint in get_type_hints(kind, include_extras=True).items():
        shown = _type(hint)
        if name in optional:
            shown = shown.replace(" or null", "; may be absent")
        yield f"{prefix}{name}", shown, texts[name]
        part, place = _inner(hint, f"{prefix}{name}")
        if part is not None:
            yield from _rows(part, f"{place}.")


def _inner(kind: Any, place: str) -> tuple[type[Record] | None, str]:
    """The record in a type, and its place in the notation of the page."""
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
    """A type in words."""
    bare, origin = kind, get_origin(kind)
    if origin is Annotated:
        bare, origin = get_args(kind)[0], get_origin(get_args(kind)[0])
    parts = get_args(bare)
    if origin is Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in parts)
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
        for sign, bound in (("≥", meta.ge), ("≤", meta.le))
        if bound is not None and abs(bound) < records.MAX_FLOAT
    ]
    return {int: "integer", float: "number", bool: "boolean", str: "text"}[bare] + ",".join(bounds)


def _at(value: Any, key: str) -> Any:
    """The value at a key in the notation of the page: of lists and mappings the last entry."""
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


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, "utf-8")
