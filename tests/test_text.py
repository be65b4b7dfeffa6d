"""Text that is not ours, where it is shown."""

import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnv4_mobile.text import csv_cell, markdown_text, printable, printable_message

HOSTILE = "</script><!-- \u2028 & | `x` [a](b) @someone"
texts = st.text() | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp"]))


@given(texts)
def test_what_is_printed_is_one_line_without_commands(text):
    found = printable(text)
    assert not {unicodedata.category(c) for c in found} & {"Cc", "Cs", "Zl", "Zp"}
    directions = {unicodedata.bidirectional(c) for c in found}
    assert not directions & {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    assert len(found.splitlines()) <= 1
    assert all(line.startswith("  ") for line in printable_message(text).split("\n")[1:])


@given(texts.filter(lambda text: not re.search("[\ud800-\udfff]{2}", text)))
def test_a_printed_json_document_keeps_its_meaning(text):
    assert json.loads(printable(json.dumps(text, ensure_ascii=False))) == text


@pytest.mark.parametrize("text", ["café, naïve", "खच्‍चर", "تست", "👩‍🚀", "犬　猫", "[red]x[/red]"])
def test_words_of_all_languages_are_printed_as_they_are(text):
    assert printable(text) == text


@given(st.text())
def test_names_in_markdown_stay_text(name):
    found = markdown_text(HOSTILE + name)
    assert "\n" not in found
    assert not re.search(r"(?<!\\)(\\\\)*[|<\[`](?!!-- -->)", found)
    assert not re.search(r"@\w", found)


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])  # noqa: RUF001
def test_no_spreadsheet_takes_a_text_as_a_formula(begin):
    assert csv_cell(f"{begin}1") == f"'{begin}1"


@pytest.mark.parametrize("value", [-1.5, -1, None, "", "a-b", "1 = 1"])
def test_other_cells_stay_as_they_are(value):
    assert csv_cell(value) is value
