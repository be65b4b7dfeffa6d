"""Fails on words that this repository does not use, and on docstrings that are fragments.

    python -m tools.writing            # every file; `make lint` runs it
    python -m tools.writing PATH...    # these files, or the files below these folders

Reads docstrings, comments, help texts and messages in Python, comments and texts in Kotlin, Swift,
Java, JavaScript, TypeScript and C++, Markdown outside of code, and YAML. Each rule is an entry of
`RULES`, and narrow enough to refuse no ordinary sentence.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Rule:
    """A pattern to refuse, and what to write instead."""

    pattern: str
    """A regular expression. A space in it also matches the end of a line."""
    instead: str
    """Advice: what to write."""
    begins: frozenset[str] = frozenset()
    """Kinds of prose whose beginning counts. Empty: the rule holds anywhere, in every kind."""


_DOC = frozenset({"doc"})
RULES = {
    "of": Rule(r"Of ", "a subject: 'Number of runtime threads.'", frozenset({"doc", "comment"})),
    "fragment": Rule(
        r"(?:(?:Is|Are) (?:told|given|called)|Whose|Than|Against|As|At|Behind|By|For|From|In|On|To|"
        r"Until|With|Without) ",
        "a whole sentence that begins with its subject, or the imperative",
        _DOC,
    ),
    "norm": Rule(
        r"\b(?:is|are|after|follows) the norm\b|\bthe norm (?:that|for|in|is)\b", "'specification'"
    ),
    "told": Rule(
        r"\btold\b(?! (?:apart|from)\b)", "'receives', 'reports', 'given', 'unless specified'"
    ),
    "held-back": Rule(r"\b(?:held|holds?|holding) back\b", "'held out', or 'held-out images'"),
    "made-up": Rule(r"\bmade up\b(?! of\b)|\bmade-up\b", "'synthetic', 'random', or 'compensated'"),
    "of-which": Rule(
        r"(?:\b(?!(?:each|some|most|none|all|both|many|one|two|out)\b)\w+|[,;:)`]) of which\b",
        "'whose', 'where', or two sentences",
    ),
    "settled": Rule(r"\bsettle[ds]?\b", "'decided', 'chosen', 'fixed'"),
    "behind": Rule(
        r"\bbehind (?:(?:an?|the) )?(?:pooling|ReLU|branch|point|convolution|record|header|model|"
        r"flatbuffer|last|kind|first)\b",
        "'after' (behind is a place)",
    ),
    "there": Rule(
        r"\b(?:is|are|was|were)(?: already| not| all)? there(?=[.,;:)]|$)",
        "'exists', 'present', 'recorded', 'finished'",
    ),
    "a-x-a-y": Rule(
        r"\b(?:an?|one) (?:column|file|folder|label|line|module|package|process|range|row|scale)"
        r" an? [a-z]+",
        "'one scale per channel'",
    ),
    "carrier": Rule(r"\bcarriers?\b", "'adb and ssh', or 'connection'"),
    "believed": Rule(r"\bbelieved\b", "'trusted'"),
    "used-of": Rule(r"\bnot used of\b", "'FILE: ignored keys: ...'"),
    "archaic": Rule(r"\b(?:there|where)(?:of|upon|unto)\b", "plain words"),
}
_SKIPPED = re.compile(
    r"LICENSE|.*(package-lock\.json|third-party\.txt)|tests/golden/.*|tests/data/.*"
    r"|mnv4_mobile/measuring/report/page\.js|tools/writing\.py|tests/tools/test_writing\.py"
)
_GAP = r"\s+(?:(?:///?|#|\*)\s*)?"
"""White space, including the mark of a comment that continues on the next line."""
_C_LIKE = frozenset({".kt", ".kts", ".swift", ".java", ".js", ".mjs", ".ts", ".cpp", ".h"})
_C_TOKEN = re.compile(
    r"/\*(?P<block>.*?)\*/|(?P<lines>(?P<mark>///?)[^\n]*(?:\n[ \t]*(?P=mark)(?!/)[^\n]*)*)"
    r'|"""(?P<long>.*?)"""|"(?P<text>(?:\\.|[^"\\\n])*)"',
    re.DOTALL,
)
_CODE_IN_MARKDOWN = re.compile(
    r"^(?P<fence>```+|~~~+).*?^(?P=fence)|^(?: {4}|\t)[^\n]*$|(?P<tick>`+).*?(?P=tick)|<!--.*?-->",
    re.DOTALL | re.MULTILINE,
)


@dataclass(frozen=True)
class Prose:
    """A piece of text for people."""

    line: int
    """The line of the file that it begins in, from 1."""
    text: str
    kind: Literal["doc", "comment", "text"] = "text"
    """`doc` is a docstring, a help text or a documentation comment, `text` any other text."""


def findings(name: str, text: str, rules: Sequence[str] = tuple(RULES)) -> Iterator[str]:
    """Yields a message for each place where a rule finds something.

    Args:
        name: The file's path, whose suffix tells the language.
        text: The file's content.
        rules: Names of the rules to apply.
    """
    for prose in _prose(name, text):
        for rule in (RULES[rule] for rule in rules):
            if rule.begins and prose.kind not in rule.begins:
                continue
            pattern = re.compile(
                rule.pattern.replace(" ", _GAP), re.NOFLAG if rule.begins else re.IGNORECASE
            )
            found = [pattern.match(prose.text)] if rule.begins else pattern.finditer(prose.text)
            for match in filter(None, found):
                line = prose.line + prose.text.count("\n", 0, match.start())
                shown = " ".join(prose.text[match.start() :][:48].split())
                yield f"{name}:{line}: found {shown!r}, write {rule.instead}"


def _prose(name: str, text: str) -> Iterator[Prose]:
    suffix = Path(name).suffix
    if suffix == ".py":
        yield from _python(text, texts=not name.startswith("tests/"))
    elif suffix in _C_LIKE:
        yield from _c_like(text)
    elif suffix == ".md":
        yield Prose(1, _CODE_IN_MARKDOWN.sub(lambda m: re.sub(r"[^\n]", "~", m[0]), text))
    elif suffix in {".yaml", ".yml"}:
        yield Prose(1, text)


def _c_like(source: str) -> Iterator[Prose]:
    for token in _C_TOKEN.finditer(source):
        content = next(filter(None, token.groups()), "")
        kind: Literal["doc", "comment", "text"] = "text"
        skipped = 0
        if token["block"] is not None or token["lines"] is not None:
            kind = "doc" if re.match(r"/\*\*|///", token[0]) else "comment"
            skipped = len(content) - len(content.lstrip("/* \t\n"))
        line = source.count("\n", 0, token.start()) + content.count("\n", 0, skipped) + 1
        yield Prose(line, content[skipped:], kind)


def _python(source: str, *, texts: bool) -> Iterator[Prose]:
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        docs |= {id(word.value) for word in call.keywords if word.arg == "help"}
    parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in nodes:
        if id(node) in parts or not (texts or id(node) in docs):
            continue
        kind: Literal["doc", "text"] = "doc" if id(node) in docs else "text"
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Prose(node.lineno, node.value, kind)
        elif isinstance(node, ast.JoinedStr):
            joined = (p.value if isinstance(p, ast.Constant) else "~" for p in node.values)
            yield Prose(node.lineno, "".join(map(str, joined)), kind)
    yield from _comments(source)


def _comments(source: str) -> Iterator[Prose]:
    """Yields comments, with consecutive comment lines as one."""
    block: list[tuple[int, int, str]] = []  # line, column, text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        (line, column), text = token.start, token.string.lstrip("#! ")
        if block and (block[-1][:2] != (line - 1, column) or token.line[:column].strip()):
            yield Prose(block[0][0], "\n".join(text for _, _, text in block), "comment")
            block = []
        block.append((line, column, text))
    if block:
        yield Prose(block[0][0], "\n".join(text for _, _, text in block), "comment")


def main(paths: Sequence[str]) -> int:
    """Prints the findings; returns 1 if there are any."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = [
        message
        for name in sorted(listed.stdout.splitlines())
        if not _SKIPPED.fullmatch(name) and (ROOT / name).is_file()
        for message in findings(name, (ROOT / name).read_text("utf-8", "replace"))
    ]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
