"""Tables, JSON and the options that all verbs share."""

from __future__ import annotations

import codecs
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mnv4_mobile import limits
from mnv4_mobile.cli import complete
from mnv4_mobile.errors import ConfigError, MobileError
from mnv4_mobile.records import plain
from mnv4_mobile.text import printable, printable_message

if TYPE_CHECKING:
    from mnv4_mobile.bundle.folder import Bundle
    from mnv4_mobile.bundle.parity import Parity
    from mnv4_mobile.units import Unit

    Parities = Mapping[Unit, Mapping[str, Parity]]

ModelOrWeights = Annotated[
    str,
    typer.Argument(
        metavar="MODEL_OR_WEIGHTS",
        autocompletion=complete.models,
        help="A checkpoint's file or folder, hf-hub:OWNER/NAME or demo; or a model, with "
        "--weights.",
    ),
]
Weights = Annotated[
    str | None,
    typer.Option(
        help="The weights of a model; see mnv4 build.",
        metavar="W",
        autocompletion=complete.weights,
    ),
]
BundlePath = Annotated[
    Path,
    typer.Argument(
        help="A bundle: its folder, or the artifact in it.", autocompletion=complete.bundles
    ),
]
BundleSize = Annotated[
    str | None,
    typer.Option(
        "--input-size",
        help="Input size, H or HxW, of a bundle that takes several. Default: its first.",
        metavar="SIZE",
    ),
]
BundlePaths = Annotated[
    list[Path],
    typer.Argument(
        help="Bundles: their folders, or the artifacts in them.",
        metavar="BUNDLE...",
        autocompletion=complete.bundles,
    ),
]
ModelOfWeights = Annotated[
    str | None,
    typer.Option(
        help="The model for --weights. Default: the bundle's.",
        metavar="MODEL",
        autocompletion=complete.models,
    ),
]
Threads = Annotated[int, typer.Option(help="Number of runtime threads.", min=1, max=1024)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
NoSizeLimits = Annotated[
    bool,
    typer.Option(
        limits.FLAG,
        help="Read images and checkpoints of any size. Only for files that you trust.",
    ),
]
Sets = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="Set an option of one target (see mnv4 targets NAME). Repeat for more. An option with "
        "a list of values takes A,B or all: each value makes a bundle.",
        metavar="TARGET.OPTION=VALUE",
    ),
]
UnitNames = Annotated[
    list[str],
    typer.Option(
        "--unit",
        help="What artifacts run on: cpu, gpu or npu. Repeat, or separate by commas.",
        metavar="UNIT",
        autocompletion=complete.units,
    ),
]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Show what the toolchains print.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Show results and errors only.")]


ESCAPED = "mnv4-escaped"
"""The error handler of output streams: it escapes characters that their encoding lacks."""


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Returns the escapes of JSON, so that documents keep their meaning."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


codecs.register_error(ESCAPED, _escaped)
_document: dict[str, object] = {}


def print_text(text: str = "", *, err: bool = False) -> None:
    """Prints a message; what a terminal would take as a command is escaped."""
    print(printable_message(text), file=sys.stderr if err else sys.stdout)


def print_json(document: Mapping[str, object]) -> None:
    """Prints one JSON object with the version of its format, when the command ends.

    If the command fails after this, the error becomes a key of the same object.

    Args:
        document: The object's other keys; records and dataclasses in the values become objects.
    """
    _document.update(document)


def end_json(error: MobileError | None) -> None:
    """Prints the JSON object of the command that ends now, if it has one.

    Args:
        error: What made the command fail.
    """
    if error:
        _document["error"] = error_document(error)
    if _document:
        whole = {"schema": 1, **plain(_document)}
        _document.clear()
        for line in json.dumps(whole, indent=1, ensure_ascii=False).split("\n"):
            print_text(line)


def error_document(error: MobileError) -> dict[str, object]:
    """Returns an error as JSON documents have it."""
    kind, code = type(error).__name__, error.exit_code
    return {"type": kind, "message": str(error), "exit_code": code}


def show_next(words: Sequence[object], *, hidden: bool) -> None:
    """Prints which command comes next, as the last line on stderr.

    Args:
        words: The command without `mnv4`, with the paths and names of this run.
        hidden: Whether the user asked for `--json` or `--quiet`.
    """
    if not hidden:
        print_text(f"Next: {shlex.join(['mnv4', *map(str, words)])}", err=True)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Prints a table; columns whose name begins with `>` are right-aligned."""
    table = Table(title=printable(title) or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(printable, row))
    # Tables in a pipe or a file are not cut to 80 columns.
    width = None if sys.stdout.isatty() else 200
    Console(width=width, markup=False, emoji=False).print(table)


def split(option: str, values: Sequence[str]) -> list[str]:
    """Returns the values of an option that may be repeated or take commas.

    Raises:
        ConfigError: A value is empty.
    """
    if blank := [value for value in values if not value.strip(" ,")]:
        raise ConfigError(f"{option}: found {blank[0]!r}, must not be empty")
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def size_of(text: str) -> tuple[int, int]:
    """Returns (height, width) of an `--input-size`.

    Raises:
        ConfigError: The text is not a size.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        raise ConfigError(f"--input-size: found {text!r}, must be H or HxW, as in 224 or 256x320")
    return int(parts[0]), int(parts[-1])


def open_at(path: Path, input_size: str | None) -> Bundle:
    """Opens a bundle at one of its input sizes; None stands for the first.

    Raises:
        MobileError: The path is no bundle, it is damaged, or it does not take the size.
    """
    from mnv4_mobile.bundle.folder import open_bundle

    bundle = open_bundle(path)
    return bundle if input_size is None else bundle.at(size_of(input_size))


def option_text(value: object) -> str:
    """Returns an option's value as `--set` takes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def megabytes(size: int) -> str:
    """Returns bytes in MB of 10^6."""
    return f"{size / 1e6:.2f} MB"


def decibels(parity: Parities) -> str:
    """Returns the SQNR of every output, with the units' names if there are several."""
    return _by_unit(parity, lambda p, name: f"{name} {p.sqnr_db:.1f}") or "not verified"


def agreement(parity: Parities) -> str:
    """Returns the top-1 agreement of the outputs that have classes."""
    found = _by_unit(
        parity, lambda p, _: None if p.top1_agreement is None else f"{p.top1_agreement:.1%}"
    )
    return found or "-"


def _by_unit(parity: Parities, shown: Callable[[Parity, str], str | None]) -> str:
    found = []
    for unit, outputs in parity.items():
        texts = [text for name, p in outputs.items() if (text := shown(p, name))]
        found.append((f"{unit}: " if len(parity) > 1 and texts else "") + ", ".join(texts))
    return "; ".join(filter(None, found))
