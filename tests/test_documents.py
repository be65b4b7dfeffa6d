"""The documents: blocks that can be run, commands that exist, links that lead somewhere.

`make documents` runs the commands themselves.
"""

import re

import pytest
from markdown_it import MarkdownIt

from tools.document_commands import ROOT, documents, read

PAGES = {str(path.relative_to(ROOT)): path for path in documents()}
INDEX = ROOT / "docs/README.md"


@pytest.mark.parametrize("name", PAGES)
def test_every_command_is_run_or_marked_and_exists(name):
    _, problems = read(PAGES[name])
    assert not problems


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_to_a_file_and_a_heading(name):
    for link in links(PAGES[name]):
        target, _, anchor = link.partition("#")
        path = (PAGES[name].parent / target).resolve() if target else PAGES[name]
        assert path.exists(), link
        if anchor and path.suffix == ".md":
            assert anchor in headings(path), link


def test_the_index_names_every_document():
    named = {(INDEX.parent / link).resolve() for link in links(INDEX)}
    assert named >= {path for path in (ROOT / "docs").rglob("*.md") if path != INDEX}


def links(path):
    """The relative links and images of a document."""
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text("utf-8")):
        for child in token.children or ():
            target = child.attrGet("href") or child.attrGet("src")
            if target and not re.match(r"[a-z]+:", target):
                yield target


def headings(path):
    """The anchors that GitHub gives a document's headings."""
    found = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in found}
