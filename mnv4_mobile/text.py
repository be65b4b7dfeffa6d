"""Makes text that is not ours harmless where it is shown: in terminals, tables and code.

Labels, names of models, devices, runs and files come from bundles, records and disks that a
stranger may have made.
"""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, bidirectional controls, lone surrogates. The
# last ones stand for the bytes of file names that are not text, and cannot be printed.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_FORMULA = re.compile("[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - a spreadsheet takes wide ones too
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~!&])")


def printable(text: str, escape: str = r"\u{:04x}") -> str:
    r"""Returns a text in one line that no terminal takes as a command: ESC becomes `\u001b`.

    Args:
        text: Any text.
        escape: The form of an escape. The default is JSON's, so that documents keep their meaning.
    """
    return _UNPRINTABLE.sub(lambda found: escape.format(ord(found[0])), text)


def printable_message(text: str) -> str:
    """Returns a text of `printable` lines; all but the first are indented.

    A line feed in a name then cannot begin what looks like another message.
    """
    first, *more = map(printable, text.split("\n"))
    return "\n  ".join([first, *(line.removeprefix("  ") for line in more)])


def csv_cell(value: object) -> object:
    """Returns a cell that no spreadsheet takes as a formula: such text gets a quote in front."""
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def markdown_text(text: str) -> str:
    """Returns a text as GitHub's Markdown shows it, in one line, without markup and mentions."""
    # An empty comment after @ keeps GitHub from turning a name into a mention.
    plain = _MARKDOWN.sub(r"\\\1", printable(" ".join(text.split())))
    return plain.replace("@", "@<!-- -->")
