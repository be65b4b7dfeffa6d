"""Changes to good documents: to trees of values, to their text, and to bytes.

Every function takes its choices from a `random.Random`: a seeded one repeats an input exactly, and
that of hypothesis (`st.randoms`) lets it shrink the input.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Sequence
from copy import deepcopy
from random import Random
from typing import Any

import numpy as np

INTEGERS = (
    *(0, 1, -1, 2, 3, 7, 127, 255, 256, 65_535, 65_536, 10**6, 10**9),
    *(2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30),
)
TEXTS = (
    *("", " ", "\n", "a\nb", "\r", "\t", "\0", "a\0b", ".", "..", "../..", "/", "/etc/passwd"),
    *("../" * 40 + "etc/passwd", "C:\\x", "a/../b", "-x", "--help", "~", "null", "true", "NaN"),
    *("*/ init { error() } /*", '"); evil(); //', "${x}", "$(touch /tmp/x)", "`x`", "\\(x)"),
    *("=1+1", "+1", "@SUM(1)", "|", "a|b", "</script><script>alert(1)</script>", "<b>", "[x](y)"),
    *("\x1b[31mred", "\x1b]0;title\x07", "\x9b31m", "\u202eevil", "\u2066x", "\ufeff", "é", "日本"),
    *("\U0001f600", "a" * 1000, "a" * 100_000, "%s%n", "{}", "{0}", "[bold]x[/bold]", "[/]"),
    *("fp32", "int8", "int16", "cpu", "nchw", "nhwc", "logits", "embedding", "nan", "inf", "1e999"),
    *("2026-01-02", "2026-13-45T99:99:99Z", "0" * 64, "f" * 64, "9" * 5000, "İ", "ß", "K"),
)

PRINTABLE = (
    *(
        "*/ init { error() } /*",
        '"""',
        "'",
        '"',
        "\\",
        "\\n",
        "\\u0041",
        "${x}",
        "$x",
        "\\(x)",
        "//",
    ),
    *(
        "`",
        "```",
        "|",
        "|-|",
        "<!--",
        "-->",
        "</script>",
        "&lt;",
        "#",
        "=1+1",
        "@x",
        "+x",
        "-x",
        ",",
    ),
    *(
        "a,b",
        ";",
        "[x](y)",
        "![x](y)",
        "*x*",
        "_x_",
        "~~x~~",
        "[bold]x",
        "{x}",
        "{{x}}",
        "%s",
        "%(x)s",
    ),
    *(
        "é",
        "日本",
        "\U0001f600",
        "a" * 200,
        "x y",
        "class",
        "fun",
        "object",
        "var",
        "1x",
        "init",
        "self",
    ),
    *(
        "logits",
        "image",
        "pixels",
        "embedding",
        "stage_1",
        "input",
        "eager",
        "artifact",
        "stem.conv",
    ),
)
"""Texts that records may hold, and that mean something where they are written."""


class Raw:
    """Text that a document holds as it stands."""

    def __init__(self, text: str) -> None:
        self.text = text


class Name:
    """A key beside which another one has the same text."""

    def __init__(self, text: str) -> None:
        self.text = text


RAW_JSON = (
    *("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e308", "5e-324", "1e-400", "-0", "-0.0"),
    *("1" * 400, "1" * 5000, "-" + "9" * 400, "0." + "3" * 400, "1.0", "1e5", "1E+2", "01", "+1"),
    *('"\\ud800"', '"\\udc00x"', '"\\u0000"', '"\\ud83d\\ude00"', "'x'", "tru", "{", "]", ""),
    *("[" * 100_000, "[" * 500 + "]" * 500, '{"a":' * 1000 + "1" + "}" * 1000, "[1e308,1e308]"),
)
RAW_YAML = (
    *(".nan", ".inf", "-.inf", "1e999", "1e308", "5e-324", "0x", "0b_", "0b2", "0o9", "0_", "_1"),
    *(
        "1:60:60",
        "190:20:30",
        "1_000",
        "9" * 5000,
        "2001-01-01",
        "2001-99-99",
        "2001-12-14t21:59:43",
    ),
    *(
        "2001-12-14 21:59:43.1 -5",
        "!!int foo",
        "!!float x",
        "!!timestamp x",
        "!!binary '*'",
        "!!set {a}",
    ),
    *(
        "!!python/object:os.system [x]",
        "!!python/name:os.system ''",
        "!x y",
        "!!bool maybe",
        "!!null x",
    ),
    *("&a [*a]", "*unknown", "&a {<<: *a}", "{<<: [{a: 1}, {a: 2}]}", "{<<: 1}", "{? [a] : b}"),
    *(
        "{? {a: b} : c}",
        "{1: 2}",
        "{~: 1}",
        "{true: 1}",
        "[",
        "{",
        "'",
        '"',
        "|",
        ">",
        "@",
        "`",
        "%",
        "---",
    ),
    *(
        "...",
        "? a",
        "- a",
        "=",
        "<<",
        "~",
        "yes",
        "on",
        "[" * 200 + "]" * 200,
        "[" * 5000,
        "{a: " * 900,
    ),
    *('"\\ud800"', '"\\x00"', '"\\UFFFFFFFF"', "[&x 1, *x, *x]", "!!omap [a: 1]", "!!pairs [a: 1]"),
    *(
        "!!seq {}",
        "!!map []",
        "!!str 1",
        "!!int 1.5",
        "!!float ''",
        "!!int ''",
        "''",
        "-",
        ":",
        "#",
    ),
)


def integer(random: Random) -> int:
    """Returns a number that is at a limit of something, or next to one."""
    return random.choice(INTEGERS) + random.choice((0, 0, 0, 1, -1))


def scalar(random: Random, raw: tuple[str, ...]) -> Any:
    """Returns a value that a document should not hold."""
    match random.randrange(8):
        case 0 | 1:
            return integer(random)
        case 2:
            return random.choice((0.5, -1.5, 1e-300, 1e300, 3.5e38, 1e-46, -0.0, 2.0))
        case 3 | 4:
            return random.choice(TEXTS)
        case 5:
            return random.choice((None, True, False, [], {}, [[]], {"": {}}, [None]))
        case _:
            return Raw(random.choice(raw))


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Returns the paths of all values in a tree."""
    found = [at] if at else []
    children = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        found += places(child, (*at, key))
    return found


def change(random: Random, tree: Any, raw: tuple[str, ...]) -> Any:
    """Returns a tree with one to three changes."""
    tree = deepcopy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        found = places(tree)
        if not found:
            return scalar(random, raw)
        # Few documents are flat: each depth gets its share.
        depth = random.choice(sorted({len(path) for path in found}))
        *path, key = random.choice([path for path in found if len(path) == depth])
        parent = tree
        for step in path:
            parent = parent[step]
        _change_one(random, parent, key, tree, raw)
    return tree


def _change_one(random: Random, parent: Any, key: Any, tree: Any, raw: tuple[str, ...]) -> None:
    value = parent[key]
    if random.randrange(2):
        parent[key] = _of_type(random, value)
        return
    match random.randrange(13):
        case 0:
            del parent[key]
        case 1 if isinstance(parent, dict):
            text = key.text if isinstance(key, Name) else key
            parent[Name(text)] = scalar(random, raw)
        case 2 if isinstance(parent, dict):
            parent[random.choice((*TEXTS, key if isinstance(key, str) else "x"))] = parent.pop(key)
        case 3 if isinstance(parent, dict):
            parent[random.choice(TEXTS)] = scalar(random, raw)
        case 4:
            parent[key] = [value] * random.choice((0, 1, 2, 3, 100, 5000))
        case 5 if isinstance(value, list) and value:
            value.insert(random.randrange(len(value) + 1), deepcopy(random.choice(value)))
        case 6 if isinstance(value, list) and value:
            del value[random.randrange(len(value))]
        case 7 if isinstance(value, int | float) and not isinstance(value, bool):
            change_number = random.choice((-1, 1, value, -value, 2 * value, -2 * value))
            parent[key] = value + change_number
        case 8 if isinstance(value, str):
            at = random.randrange(len(value) + 1)
            parent[key] = value[:at] + random.choice(TEXTS) + value[at:]
        case 9:
            step = random.choice(places(tree))
            other = tree
            for part in step:
                other = other[part]
            parent[key] = deepcopy(other)
        case 10:
            parent[key] = {"x": value}
        case _:
            parent[key] = scalar(random, raw)


def _of_type(random: Random, value: Any) -> Any:
    """Returns a value of the same type, which a check of types lets through."""
    match value:
        case bool():
            return not value
        case int():
            return random.choice((value + 1, value // 2, 2 * value, integer(random)))
        case float():
            near = (value / 3, value * 1.5, -value, math.nextafter(value, 1e9))
            far = (0.0, -1.0, 1e-300, 5e-324, 1e300, 3.4e38, 1.0, 1e15, -0.0)
            return random.choice((*near, *far))
        case str():
            return random.choice(random.choice((TEXTS, PRINTABLE)))
        case list() if value:
            return [deepcopy(random.choice(value)) for _ in range(random.choice((1, 2, 7)))]
        case dict() if value:
            return {random.choice(TEXTS): one for one in value.values()}
    return scalar(random, RAW_JSON)


def text_of(value: Any) -> str:
    """Returns a tree as JSON, which is YAML too, with the `Raw` texts and double keys in it."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        pairs = (
            f"{json.dumps(k.text if isinstance(k, Name) else k)}: {text_of(v)}"
            for k, v in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(text_of, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def encoded(text: str) -> bytes:
    """Returns a text as UTF-8, or as what looks like it where it is not Unicode."""
    return text.encode(errors="surrogatepass")


def changed_json(random: Random, tree: Any) -> bytes:
    """Returns a changed tree as JSON, in one of eight cases with damaged bytes too."""
    data = encoded(text_of(change(random, tree, RAW_JSON)))
    return damaged(random, data) if random.randrange(8) == 0 else data


def changed_lines(random: Random, text: str, raw: tuple[str, ...]) -> bytes:
    """Returns a YAML text with changed lines: removed, repeated, indented, with other values."""
    lines = text.splitlines()
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        line = lines[at]
        match random.randrange(8):
            case 0:
                lines[at] = ""
            case 1:
                lines.insert(at, line)
            case 2:
                lines[at] = random.choice((" ", "  ", "\t", "    ")) + line
            case 3:
                lines[at] = line.strip()
            case 4:
                lines.insert(at, random.choice(raw))
            case _:
                key, colon, _ = line.partition(":")
                lines[at] = f"{key}{colon} {random.choice(raw)}"
    return encoded("\n".join(lines) + "\n")


def structure(data: bytes) -> list[int]:
    """Returns where a binary file holds small numbers and offsets rather than weights.

    A float read as an integer is larger than the file, unless it is 0.
    """
    words = np.frombuffer(data, "<u4", len(data) // 4)
    signed = words.view("<i4")
    small = ((words > 0) & (words < len(data))) | ((signed < 0) & (signed > -(1 << 16)))
    return [int(at) * 4 for at in np.flatnonzero(small)]


def damaged(random: Random, data: bytes, among: Sequence[int] = ()) -> bytes:
    """Returns damaged bytes.

    Args:
        random: Makes the choices.
        data: What to damage.
        among: Where most of the changes are made. Default: anywhere.
    """
    found = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        if not found:
            return bytes(found)
        at = random.randrange(len(found))
        if among and random.randrange(8):
            at = min(random.choice(among), len(found) - 1)
    match random.randrange(9):
        case 0:
            found[at] ^= 1 << random.randrange(8)
        case 1:
            found[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF))
        case 2:
            found[at : at + 4] = struct.pack("<I", integer(random) % 2**32)
        case 3:
            aligned = at & ~3
            found[aligned : aligned + 4] = struct.pack("<I", integer(random) % 2**32)
        case 4:
            found[at : at + 8] = struct.pack("<Q", integer(random) % 2**64)
        case 5:
            del found[at : at + random.choice((1, 2, 4, 100, len(found)))]
        case 6:
            found[at:at] = bytes(random.randrange(256) for _ in range(random.choice((1, 4, 9))))
        case 7:
            start = random.randrange(len(found))
            size = random.choice((1, 4, 16, 64))
            found[at : at + size] = found[start : start + size]
        case _:
            aligned = at & ~3
            value = int.from_bytes(found[aligned : aligned + 4], "little")
            value += random.choice((-4, -1, 1, 4, 1 << 16, -(1 << 16)))
            found[aligned : aligned + 4] = struct.pack("<I", value % 2**32)
    return bytes(found)


_WORD = re.compile(rb"[A-Za-z0-9_./@-]{3,60}")


def misspelled(random: Random, data: bytes) -> bytes:
    """Returns bytes in which one word has become another one of the same length."""
    words = list(_WORD.finditer(data))
    if not words:
        return data
    one, other = random.choice(words), random.choice(words)[0]
    texts = (other, b"../" * 20, b"/etc/hostname" + b"x" * 60, b"\xff" * 60, b"\0" * 60)
    text = random.choice(texts)[: len(one[0])].ljust(len(one[0]), random.choice((b"x", b"\0")))
    return data[: one.start()] + text + data[one.end() :]
