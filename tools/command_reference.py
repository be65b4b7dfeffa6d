"""Makes the sections of docs/reference/commands.md from the command itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from typer.main import get_command

from mnv4_mobile.cli import app
from mnv4_mobile.cli.examples import EXAMPLES, EXIT_CODES, exit_codes


def exit_code_table() -> str:
    """Returns the table of exit codes: what each means, and which verbs end with it."""
    lines = ["| exit code | meaning | verbs |", "| --- | --- | --- |"]
    for code, meaning in EXIT_CODES.items():
        verbs = ", ".join(f"`{verb}`" for verb in EXAMPLES if code in exit_codes(verb))
        lines.append(f"| {code} | {meaning} | {verbs or 'all'} |")
    return "\n".join(lines)


def sections() -> str:
    """Returns a section for each verb: usage, arguments, options and examples."""
    panels: dict[str, list[tuple[str, Any]]] = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        panels.setdefault(command.rich_help_panel, []).append((name, command))
    parts = []
    for panel, commands in panels.items():
        parts.append(f"## {panel}")
        for name, command in commands:
            parts += _section(name, command)
            for inner, part in getattr(command, "commands", {}).items():
                parts += _section(f"{name} {inner}", part)
    return "\n\n".join(parts)


def _section(verb: str, command: Any) -> Iterator[str]:
    yield f"### mnv4 {verb}"
    paragraphs = (command.help or "").split("\n\n")
    yield "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    names = [_argument(argument) for argument in arguments]
    names += ["[COMMAND]"] if hasattr(command, "commands") else []
    yield f"```text\nmnv4 {' '.join([verb, '[OPTIONS]', *names])}\n```"
    rows = ["| argument or option | value | default | meaning |", "| --- | --- | --- | --- |"]
    rows += [_row(param) for param in command.params if param.name != "help"]
    yield "\n".join(rows)
    examples = "\n".join(EXAMPLES[verb])
    yield f"<!-- needs: your files and devices -->\n```sh\n{examples}\n```"


def _argument(param: Any) -> str:
    name = str(param.metavar or param.name.upper())
    return name if param.required or name.startswith("[") else f"[{name}]"


def _row(param: Any) -> str:
    text = " ".join((param.help or "").split())
    if param.param_type_name == "argument":
        names, value = f"`{param.metavar or param.name.upper()}`", ""
    else:
        names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
        value = "" if param.is_flag else _value(param)
    cells = [names, value, _default(param), text]
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _value(param: Any) -> str:
    kind = param.type_descriptor.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    words = {"int": "N", "float": "X", "str": "TEXT", "Path": "PATH"}
    return f"`{param.metavar or words[kind.__name__]}`"


def _default(param: Any) -> str:
    if param.required:
        return "required"
    if param.param_type_name == "option" and param.is_flag:
        on, off = param.opts[-1], (*param.secondary_opts, "")[0]
        return f"`{on if param.default else off}`" if off else ""
    values = param.default if isinstance(param.default, list | tuple) else [param.default]
    shown = ",".join(str(value) for value in values if value not in (None, ""))
    return f"`{shown}`" if shown else ""
