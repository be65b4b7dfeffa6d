"""Makes the parts of docs/reference/python.md from the public names of `mnv4_mobile`."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from textwrap import dedent
from typing import Any

import msgspec

import mnv4_mobile
from tools.field_tables import texts


def functions() -> str:
    """Returns a section for each function."""
    return "\n\n".join(
        "\n\n".join((f"### {name}", _signature(name, found), *_document(found)))
        for name, found in _public()
        if inspect.isfunction(found)
    )


def classes() -> str:
    """Returns a section for each class that is not an error: its fields and its methods."""
    parts = []
    for name, found in _public():
        if not inspect.isclass(found) or issubclass(found, Exception):
            continue
        parts += [f"### {name}", *_document(found)]
        if fields := list(_fields(found)):
            rows = [
                f"| `{name}` | {kind} | {default} | {text} |"
                for name, kind, default, text in fields
            ]
            head = ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
            parts.append("\n".join([*head, *rows]))
        rows = [f"| `{call}` | {text} |" for call, text in _methods(found)]
        if rows:
            parts.append("\n".join(["| method | meaning |", "| --- | --- |", *rows]))
    return "\n\n".join(parts)


def errors() -> str:
    """Returns the table of errors."""
    lines = ["| error | exit code of the command | meaning |", "| --- | --- | --- |"]
    for name, found in _public():
        if inspect.isclass(found) and issubclass(found, Exception):
            code = getattr(found, "exit_code", "")
            lines.append(f"| `{name}` | {code} | {_first(found)} |")
    return "\n".join(lines)


def _public() -> Iterator[tuple[str, Any]]:
    for name in mnv4_mobile.__all__:
        yield name, getattr(mnv4_mobile, name)


def _signature(name: str, found: Any) -> str:
    """Returns a function's signature, a parameter per line."""
    signature = inspect.signature(found)
    lines, star = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            lines.append("*")
            star = True
        empty = parameter.default is parameter.empty
        default = "" if empty else f" = {parameter.default!r}"
        lines.append(f"{parameter.name}: {parameter.annotation}{default}")
    body = "".join(f"    {line},\n" for line in lines)
    return f"```text\n{name}(\n{body}) -> {signature.return_annotation}\n```"


def _document(found: Any) -> Iterator[str]:
    """Yields a docstring as Markdown: text, examples, arguments and errors."""
    for part in dedent(f"    {inspect.getdoc(found) or ''}").strip().split("\n\n"):
        if heading := re.match(r"(Args|Returns|Raises|Yields):\n", part):
            body = dedent(part[heading.end() :])
            if heading[1] in ("Args", "Raises"):
                items = re.findall(r"^(\w+): (.*(?:\n +.*)*)", body, re.M)
                rows = [f"| `{name}` | {' '.join(text.split())} |" for name, text in items]
                head = "argument" if heading[1] == "Args" else "raises"
                yield "\n".join([f"| {head} | meaning |", "| --- | --- |", *rows])
            else:
                yield f"{heading[1]}: {' '.join(body.split())}"
        elif part.startswith("    "):
            yield f"```text\n{dedent(part)}\n```"
        else:
            yield " ".join(part.split())


def _fields(kind: type) -> Iterator[tuple[str, str, str, str]]:
    """Yields name, type, default and meaning of the fields of a dataclass or a record."""
    fields: list[Any]
    missing: Any
    if dataclasses.is_dataclass(kind):
        fields, missing = list(dataclasses.fields(kind)), dataclasses.MISSING
    elif issubclass(kind, msgspec.Struct):
        fields, missing = list(msgspec.structs.fields(kind)), msgspec.NODEFAULT
    else:
        return
    text = texts(kind)
    for field in fields:
        shown = ""
        if field.default is not missing:
            shown = f"`{field.default!r}`"
        elif field.default_factory is not missing:  # an empty container, or a new value each time
            shown = f"`{made!r}`" if not (made := field.default_factory()) else "a new value"
        hint = _hint(kind, field.name).replace("|", "\\|")
        yield field.name, f"`{hint}`", shown, text[field.name]


def _hint(kind: type, name: str) -> str:
    """Returns a field's type as it stands in the source."""
    for base in kind.__mro__:
        if name in (hints := vars(base).get("__annotations__", {})):
            hint = hints[name]
            return hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))
    raise AssertionError(f"{kind.__name__}.{name}: no type")


def _methods(kind: type) -> Iterator[tuple[str, str]]:
    for name, found in vars(kind).items():
        if name.startswith("_") or not (inspect.isfunction(found) or isinstance(found, property)):
            continue
        if isinstance(found, property):
            yield name, _first(found)
        else:
            arguments = [
                str(p).partition(":")[0] for p in inspect.signature(found).parameters.values()
            ]
            yield f"{name}({', '.join(arguments[1:])})", _first(found)


def _first(found: Any) -> str:
    return " ".join((inspect.getdoc(found) or "").split("\n\n")[0].split())
