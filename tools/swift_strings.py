"""Checks that a String Catalog has exactly the texts that Swift code shows.

Xcode extracts the texts while it builds, with an option that Swift on Linux lacks. Here they come
from the compiler's syntax tree, which has the type of every literal: SwiftUI looks up literals of
some types in the catalog and shows all others as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOKED_UP = ("LocalizedStringKey", "String.LocalizationValue")
"""Types whose literals are keys of the catalog. Their interpolations are strings, `%@` in a key,
because the stubs allow nothing else: numbers are formatted before."""

_NODE = re.compile(
    r"\((?:string_literal|interpolated_string_literal)_expr "
    r'type="([^"]+)" location=(\S+\.swift):(\d+):(\d+) '
)
_UNSEEN = re.compile(
    r"(?:\b(?:systemImage|forKey): |\b(?:DispatchQueue\(label: |appendingPathComponent\())$"
)
"""Code before a literal that nobody sees."""
_ESCAPES = {"n": "\n", "t": "\t"}


@dataclass(frozen=True)
class _Literal:
    path: Path
    line: int
    looked_up: bool
    key: str
    before: str


def check(tree: str, sources: Sequence[Path], catalog: Path) -> list[str]:
    """Returns a message for each text that is missing, unused or not looked up.

    Args:
        tree: What `swiftc -dump-ast` prints for the sources.
        sources: The Swift files whose texts people see.
        catalog: The String Catalog.
    """
    keys = json.loads(catalog.read_text("utf-8"))["strings"].keys()
    literals = list(_literals(tree, sources))
    messages = []
    for one in literals:
        place = f'{one.path}:{one.line}: found "{one.key}"'
        if one.looked_up and one.key not in keys:
            messages.append(f"{place}, which is not in {catalog.name}: add it")
        elif not one.looked_up and _is_seen(one):
            messages.append(
                f"{place}, which is not looked up in {catalog.name}: use String(localized:), or "
                "let SwiftUI take the literal"
            )
    used = {one.key for one in literals if one.looked_up}
    return messages + [
        f'{catalog}: found "{key}", which no code shows: remove it' for key in sorted(keys - used)
    ]


def check_settings(settings: Mapping[str, object], catalog: Path) -> list[str]:
    """Returns a message for each text of an app's build settings that its catalog has otherwise.

    Args:
        settings: Xcode's build settings; people see the app's name and why it asks for permission.
        catalog: The String Catalog of the Info.plist, with the texts in its own language.
    """
    content = json.loads(catalog.read_text("utf-8"))
    language = content["sourceLanguage"]
    found = {
        key: entry["localizations"][language]["stringUnit"]["value"]
        for key, entry in content["strings"].items()
    }
    shown = {
        key.removeprefix("INFOPLIST_KEY_"): text
        for key, text in settings.items()
        if key.startswith("INFOPLIST_KEY_") and key.endswith(("DisplayName", "UsageDescription"))
    }
    return [
        f"{catalog}: {key}: found {found.get(key)!r}, the project has {shown.get(key)!r}"
        for key in sorted(found.keys() | shown.keys())
        if found.get(key) != shown.get(key)
    ]


def _is_seen(one: _Literal) -> bool:
    letters = one.key.replace("%@", "")
    return any(letter.isalpha() for letter in letters) and not _UNSEEN.search(one.before)


def _literals(tree: str, sources: Sequence[Path]) -> Iterator[_Literal]:
    """Yields the outermost literals; the first part of one has its place, and other types."""
    places: dict[Path, dict[tuple[int, int], bool]] = {source: {} for source in sources}
    for kind, path, *place in _NODE.findall(tree):
        if Path(path) in places:
            found, at = places[Path(path)], (int(place[0]), int(place[1]))
            found[at] = found.get(at, False) or kind in LOOKED_UP
    for path, found in places.items():
        text = path.read_text("utf-8")
        starts = [0, *(match.end() for match in re.finditer("\n", text))]
        end = 0
        for (line, column), looked_up in sorted(found.items()):
            # Columns count bytes.
            ahead = text[starts[line - 1] :].encode()[: column - 1].decode()
            start = starts[line - 1] + len(ahead)
            if start < end:
                continue
            key, end = _key(text, start)
            yield _Literal(path, line, looked_up, key, text[:start])


def _key(text: str, start: int) -> tuple[str, int]:
    """Returns the key of the literal that begins at an offset, and the offset of its end."""
    assert text[start] == '"', text[start : start + 20]
    assert not text.startswith('"""', start), "a literal of several lines"
    key, at = "", start + 1
    while text[at] != '"':
        if text.startswith("\\(", at):
            key, at = f"{key}%@", _closed(text, at + 1)
        elif text[at] == "\\":
            key, at = key + _ESCAPES.get(text[at + 1], text[at + 1]), at + 2
        else:
            key, at = key + text[at], at + 1
    return key, at + 1


def _closed(text: str, start: int) -> int:
    """Returns the offset after the parenthesis that closes the one at an offset."""
    depth = 0
    for at in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return at + 1
    raise AssertionError("an interpolation that does not end")
