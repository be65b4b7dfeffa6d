"""Writes text that is not ours into Kotlin and Swift, as strings and as comments.

Names, recipes and licences come from a bundle's manifest, which a stranger may have made.
"""

from __future__ import annotations

import re

from mnv4_mobile.text import printable


def kotlin_string(text: str) -> str:
    """Returns a string literal, in which `$` begins no expression."""
    quoted = re.sub(r'["$\\]', r"\\\g<0>", text)
    return f'"{printable(quoted)}"'


def swift_string(text: str) -> str:
    """Returns a string literal."""
    quoted = re.sub(r'["\\]', r"\\\g<0>", text)
    return '"' + printable(quoted, r"\u{{{:x}}}") + '"'


def kotlin_comment(text: str) -> str:
    """Returns a KDoc comment. Comments nest, so the text may neither begin nor end one."""
    apart = re.sub(r"(?<=/)(?=\*)|(?<=\*)(?=/)", " ", printable(text))
    return f"/** {apart} */"


def swift_comment(text: str) -> str:
    """Returns a documentation comment, which ends with its line."""
    return f"/// {printable(text)}"
