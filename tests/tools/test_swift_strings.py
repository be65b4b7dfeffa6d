from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools import swift_strings

ROOT = Path(__file__).parent.parent.parent
KEY, VALUE, PLAIN = "LocalizedStringKey", "String.LocalizationValue", "String"


def tree(source: Path, *literals: tuple[str, str]) -> str:
    """Returns the part of a syntax tree that has literals, given as types and first characters."""
    text, nodes = source.read_text("utf-8"), []
    for kind, begin in literals:
        before = text[: text.index(begin)]
        line, column = before.count("\n") + 1, len(before.rpartition("\n")[2].encode()) + 1
        name = "interpolated_string_literal" if "\\(" in begin else "string_literal"
        place = f"location={source}:{line}:{column} range=[{source}:{line}:{column} - line:1:1]"
        # Result builders print a literal more than once.
        nodes += 2 * [f'  ({name}_expr type="{kind}" {place} encoding=utf8']
        # The first part of an interpolation has its place.
        nodes += [f'  (string_literal_expr type="String" {place} encoding=utf8'] * ("\\(" in begin)
    return "\n".join(nodes)


def check(tmp_path: Path, code: str, keys: list[str], *literals: tuple[str, str]) -> list[str]:
    source, catalog = tmp_path / "Screen.swift", tmp_path / "Localizable.xcstrings"
    source.write_text(code, "utf-8")
    catalog.write_text(json.dumps({"strings": {key: {} for key in keys}}), "utf-8")
    found = swift_strings.check(tree(source, *literals), [source], catalog)
    return [message.removeprefix(f"{tmp_path}/") for message in found]


def test_texts_that_are_in_the_catalog(tmp_path: Path) -> None:
    code = 'let é = Text("a \\"b\\""); Text("c")\n_ = String(localized: "\\(ms(1)) ms")\n'
    keys = ['a "b"', "c", "%@ ms"]
    literals = [(KEY, '"a'), (KEY, '"c'), (VALUE, '"\\(ms'), (PLAIN, ' ms"')]
    assert check(tmp_path, code, keys, *literals) == []


@pytest.mark.parametrize(
    "code",
    [
        'Label(key, systemImage: "bolt")',
        'set(1, forKey: "model")',
        'DispatchQueue(label: "mnv4.camera")',
        'appendingPathComponent("\\(id).json")',
        'device ?? ""',
        '"\\(width) / \\(height)"',
    ],
)
def test_texts_that_nobody_reads(tmp_path: Path, code: str) -> None:
    assert check(tmp_path, code, [], (PLAIN, code[code.index('"') :])) == []


@pytest.mark.parametrize(
    ("keys", "kind", "message"),
    [
        ([], KEY, 'Screen.swift:2: found "Hot", which is not in Localizable.xcstrings: add it'),
        (
            ["Hot", "Cold"],
            VALUE,
            'Localizable.xcstrings: found "Cold", which no code shows: remove it',
        ),
        (
            [],
            PLAIN,
            'Screen.swift:2: found "Hot", which is not looked up in Localizable.xcstrings: '
            "use String(localized:), or let SwiftUI take the literal",
        ),
    ],
)
def test_wrong(tmp_path: Path, keys: list[str], kind: str, message: str) -> None:
    assert check(tmp_path, '\n    Text("Hot")\n', keys, (kind, '"Hot"')) == [message]


def test_texts_of_the_settings(tmp_path: Path) -> None:
    catalog = tmp_path / "InfoPlist.xcstrings"
    entry = {"localizations": {"en": {"stringUnit": {"value": "Frames"}}}}
    strings = {"NSCameraUsageDescription": entry, "NSOldUsageDescription": entry}
    catalog.write_text(json.dumps({"sourceLanguage": "en", "strings": strings}), "utf-8")
    prefix = "INFOPLIST_KEY_"
    settings = {f"{prefix}NSCameraUsageDescription": "Frames", f"{prefix}CFBundleDisplayName": "A"}
    assert swift_strings.check_settings({**settings, "PRODUCT_NAME": "B"}, catalog) == [
        f"{catalog}: CFBundleDisplayName: found None, the project has 'A'",
        f"{catalog}: NSOldUsageDescription: found 'Frames', the project has None",
    ]
