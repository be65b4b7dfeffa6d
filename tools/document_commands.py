"""Runs the commands of the documents, each document in a clean folder, in reading order.

    python -m tools.document_commands [DOCUMENT...]

Every fenced block of `sh` or `python` is run. Comments before a block, which readers do not see,
change that:

    <!-- needs: a phone -->    Not run. Verbs and options of `mnv4` in it must still exist.
    <!-- in: a checkout -->    Run in a copy of this repository.
    <!-- exit: 4 -->           The exit code that the block must end with.
    <!-- file: sweep.yaml -->  A block of another language, written to that file before the next.

`fixture` makes the files that the documents expect, such as `my_checkpoint.safetensors`. The exit
code is 1 if a block ends with another code than expected, or if a document shows a command that
this script cannot see: an indented block, a block without a language, an unknown comment.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file
from typer.main import get_command

from mnv4_mobile.cli import app
from mnv4_mobile.model.checkpoint_source import DEMO
from tools.reference.sheet import read_sheet

ROOT = Path(__file__).parents[1]
RUN = {"sh": ("bash", "-euo", "pipefail"), "python": (sys.executable,)}
MARKS = ("needs", "in", "exit", "file")
CHECKOUT = "a checkout"
SECONDS = 300
"""A block that takes longer fails."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a document, and what the comments before it say."""

    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    @property
    def commands(self) -> int:
        """The number of commands: one for a Python block, else the lines that begin a command."""
        if self.language == "python":
            return 1
        joined = re.sub(r"\\\n", " ", self.text)
        return sum(1 for line in joined.splitlines() if line.strip() and line.lstrip()[0] != "#")


@dataclass
class Report:
    """The outcome of one document."""

    document: Path
    run: int = 0
    marked: int = 0
    seconds: float = 0
    problems: list[str] = field(default_factory=list)


def documents() -> list[Path]:
    """Returns every Markdown file of the repository except the changelog."""
    listed = _git("ls-files", "--cached", "--others", "--exclude-standard", "*.md").splitlines()
    return [ROOT / name for name in listed if name != "CHANGELOG.md" and (ROOT / name).exists()]


def read(document: Path) -> tuple[list[Block], list[str]]:
    """Returns the blocks of a document to run or to write to files, and the document's problems."""
    blocks: list[Block] = []
    problems: list[str] = []
    marks: dict[str, str] = {}
    for token in MarkdownIt("commonmark").enable("table").parse(document.read_text("utf-8")):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            for key, value in re.findall(r"<!--\s*(\w+):\s*(.*?)\s*-->", token.content):
                marks[key] = value
            continue
        if token.type == "code_block":
            problems.append(f"{line}: an indented block, write a fenced one with its language")
        elif token.type == "fence" and not token.info:
            problems.append(f"{line}: a block without a language, allowed: sh, python, text, ...")
        elif token.type == "fence" and (token.info in RUN or "file" in marks):
            blocks.append(Block(line, token.info, token.content, marks))
            unknown = set(marks).difference(MARKS)
            problems += [
                f"{line}: found comment {key!r}, allowed: {', '.join(MARKS)}" for key in unknown
            ]
        elif token.type == "inline":
            problems += [f"{line}: {found}" for found in _unknown_inline(token)]
        marks = {}
    for block in blocks:
        if block.language == "sh":
            found = (_unknown(words) for words in _commands(block.text))
            problems += [f"{block.line}: {problem}" for problem in found if problem]
    return blocks, problems


def run(document: Path, folder: Path, cache: Path) -> Report:
    """Runs the blocks of a document in `folder`, and stops at the first that fails."""
    blocks, problems = read(document)
    report = Report(document, problems=problems)
    start = time.monotonic()
    for block in blocks:
        if block.language not in RUN:
            (folder / block.marks["file"]).write_text(block.text, "utf-8")
            continue
        if "needs" in block.marks:
            report.marked += block.commands
            continue
        report.run += block.commands
        place = folder
        if block.marks.get("in") == CHECKOUT:
            place = folder / "checkout"
            if not place.exists():
                copy_checkout(place)
        wanted = int(block.marks.get("exit", "0"))
        found, output = _run(block, place, cache)
        if found != wanted:
            tail = "\n    ".join(output.strip().splitlines()[-15:])
            problem = f"{block.line}: exit code {found}, expected {wanted}\n    {tail}"
            report.problems.append(problem)
            break
    report.seconds = time.monotonic() - start
    return report


def fixture(folder: Path) -> None:
    """Makes the files that documents expect, from the demo model and its data.

    `my_checkpoint.safetensors`, `last.ckpt` (as Lightning writes it), `labels.txt`, `photo.jpg`,
    `pictures/` (128 images without labels), and `dataset/` (100 others, one folder per class).
    """
    folder.mkdir(parents=True)
    shutil.copy(DEMO, folder / "my_checkpoint.safetensors")
    shutil.copy(DEMO.parent / "pictures" / "seven.jpg", folder / "photo.jpg")
    weights = {f"model.{name}": value for name, value in load_file(DEMO).items()}
    lightning = {"pytorch-lightning_version": "2.5.0", "epoch": 9, "state_dict": weights}
    torch.save(lightning, folder / "last.ckpt")
    shutil.copy(DEMO.parent / "labels.txt", folder)
    names = (DEMO.parent / "labels.txt").read_text("utf-8").split()
    images, classes = read_sheet(ROOT / "tests" / "data" / "demo_heldout.npz")
    for index, (image, label) in enumerate(zip(images[:228], classes[:228], strict=True)):
        part = folder / "pictures" if index < 128 else folder / "dataset" / names[label]
        part.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(part / f"{index:03}.png")


def copy_checkout(folder: Path) -> None:
    """Copies the repository's files to `folder`, with links to the installed tools."""
    for name in _git("ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for tools in (".venv", ".tools"):
        (folder / tools).symlink_to(ROOT / tools)


def _to_run(document: Path) -> int:
    """Returns the number of a document's commands that are run."""
    return sum(
        b.commands for b in read(document)[0] if b.language in RUN and "needs" not in b.marks
    )


def _run(block: Block, folder: Path, cache: Path) -> tuple[int, str]:
    """Runs one block, and returns its exit code and its output."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    outside = {k: v for k, v in os.environ.items() if not k.startswith("MNV4_")}
    environment = outside | {"PATH": path, "MNV4_CACHE": str(cache), "COLUMNS": "120"}
    process = subprocess.Popen(
        [*RUN[block.language], "-c", block.text],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        return process.returncode, f"{output}\nstopped after {SECONDS} s"
    return process.returncode, output


def _unknown_inline(token: Token) -> Iterator[str]:
    for child in token.children or ():
        if child.type == "code_inline" and child.content.startswith("mnv4 "):
            for words in _commands(child.content):
                if problem := _unknown(words):
                    yield problem


def _commands(text: str) -> Iterator[list[str]]:
    """Yields the words of every command in a shell text that begins with `mnv4`."""
    for line in re.sub(r"\\\n", " ", text).splitlines():
        for part in re.split(r"&&|\|\||[|;]", line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # a quote that the splitting cut in two
                words = part.split()
            if words[:1] == ["mnv4"]:
                yield words


def _unknown(words: Sequence[str]) -> str:
    """Returns a message about the first verb or option that does not exist; "" if all do."""
    command = _mnv4()
    for word in words[1:]:
        if word.startswith("-"):
            name = word.partition("=")[0]
            if name not in _options(command):
                return f"{shlex.join(words)}: no such option: {name}"
        elif hasattr(command, "commands"):
            if word in command.commands:
                command = command.commands[word]
            elif re.fullmatch(r"[a-z]+", word):
                return f"{shlex.join(words)}: no such command: {word}"
    return ""


@cache
def _mnv4() -> Any:
    """Returns the command with its verbs, which takes a while to make."""
    return get_command(app)


def _options(command: Any) -> set[str]:
    names = (name for p in command.params for name in (*p.opts, *p.secondary_opts))
    return {*names, "--help"}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def show(reports: Iterable[Report]) -> None:
    """Prints the table and the problems."""
    table = Table(title="Commands of the documents", title_justify="left")
    table.add_column("document")
    for name in ("run", "marked", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("")
    for report in (reports := list(reports)):
        name = os.path.relpath(report.document, ROOT)
        row = (str(report.run), str(report.marked), f"{report.seconds:.0f}")
        table.add_row(name, *row, "failed" if report.problems else "")
    total = (sum(r.run for r in reports), sum(r.marked for r in reports))
    table.add_row("all", *map(str, total), "", "")
    Console().print(table)
    for report in reports:
        for problem in report.problems:
            print(f"{os.path.relpath(report.document, ROOT)}:{problem}", file=sys.stderr)


def main() -> None:
    """Runs the documents named on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("documents", nargs="*", type=Path, help="default: all")
    parser.add_argument("--jobs", type=int, default=2, help="documents run at the same time")
    arguments = parser.parse_args()
    chosen = [path.resolve() for path in arguments.documents] or documents()
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        fixture(base / "fixture")

        def one(numbered: tuple[int, Path]) -> Report:
            number, document = numbered
            folder = base / f"{number}"
            shutil.copytree(base / "fixture", folder)
            return run(document, folder, base / "cache")

        # The longest first, so that no worker idles at the end.
        work = sorted(enumerate(chosen), key=lambda numbered: -_to_run(numbered[1]))
        with ThreadPoolExecutor(arguments.jobs) as pool:
            done = dict(zip(work, pool.map(one, work), strict=True))
    reports = [done[numbered] for numbered in enumerate(chosen)]
    show(reports)
    sys.exit(any(report.problems for report in reports))


if __name__ == "__main__":
    main()
