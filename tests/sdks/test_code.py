"""Text from a manifest in Kotlin and Swift: it stays a comment or a string."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.sdks.android import write_android
from mnv4_mobile.sdks.code import kotlin_comment, kotlin_string, swift_comment, swift_string
from mnv4_mobile.sdks.ios import write_ios
from tools.hostile_bundle import HOSTILE, hostile_bundle

texts = st.text() | st.text('*/ \n\r"$\\u{}\u2028\u202e')
ESCAPES = {
    kotlin_string: (r'\\(?:u([0-9a-f]{4})|(["$\\]))', '"$\\'),
    swift_string: (r'\\(?:u\{([0-9a-f]+)\}|(["\\]))', '"\\'),
}


def after_comment(kotlin):
    """What follows the comment with which Kotlin code begins. Comments nest."""
    depth = 0
    for found in re.finditer(r"/\*|\*/", kotlin):
        depth += 1 if found[0] == "/*" else -1
        if not depth:
            return kotlin[found.end() :]
    return None


@given(texts | st.just(HOSTILE))
def test_comments_end_where_they_are_meant_to(text):
    assert after_comment(f"{kotlin_comment(text)} code") == " code"
    for comment in (kotlin_comment(text), swift_comment(text)):
        assert len(comment.splitlines()) == 1
        assert "\u202e" not in comment


@pytest.mark.parametrize("literal", ESCAPES)
@given(text=texts | st.just(HOSTILE))
def test_strings_hold_the_text(literal, text):
    found = literal(text)
    escape, special = ESCAPES[literal]
    inside = found[1:-1]
    assert found[0] == found[-1] == '"'
    assert not set(re.sub(escape, "", inside)) & {*special, "\n", "\r", "\u202e"}
    assert re.sub(escape, lambda m: m[2] or chr(int(m[1], 16)), inside) == text


@pytest.mark.toolchain("tflite")
@pytest.mark.toolchain("coreml")
def test_names_in_a_manifest_become_no_code(demo_bundle, tmp_path):
    """What `make android` and `make ios` compile differs from other code in its comments only."""
    for target, write, name, columns in (
        ("tflite", write_android, "Mnv4Models.kt", 5),
        ("coreml", write_ios, "MainModels.swift", 6),
    ):
        bundle = hostile_bundle(demo_bundle(target).path, tmp_path / target)
        out = tmp_path / f"{target}-sdk"
        assert open_bundle(bundle).manifest.model.name == HOSTILE
        write([bundle], out)
        (code,) = out.rglob(name)
        lines = code.read_text("utf-8").split("\n")
        (comment,) = (line.strip() for line in lines if "fatalError" in line)
        assert comment.startswith(("/// *", "/** *"))
        assert target == "coreml" or after_comment(comment) == ""
        rows = (out / "README.md").read_text("utf-8").split("\n")
        (row,) = (line for line in rows if "fatalError" in line)
        assert len(re.split(r"(?<!\\)\|", row)) == columns + 2
