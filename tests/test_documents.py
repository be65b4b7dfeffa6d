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


def test_the_figures_of_the_readme_are_those_of_the_results():
    """Columns: way, latencies of three networks in fp32 and int8, conv-small's dB, share, MB."""
    page = "docs/results/alternatives.md"
    latency = {tuple(row[:2]): row[2:5] for row in rows(page, 6)}
    measured = {tuple(row[:3]): row for row in rows(page, 11)}
    found = rows("README.md", 10)
    assert len(found) == 7
    for name, *cells in found:
        network, _, runtime = name.partition(" on ")
        stock = network == "timm" and runtime in ("LiteRT", "ExecuTorch")
        way = f"{runtime}, stock" if stock else runtime
        for first, recipe in enumerate(("fp32", "int8")):
            ratios = latency.get((way, recipe), [""] * 3)
            assert cells[first:6:2] == [ratio.partition(" ")[0] for ratio in ratios]
        int8 = measured.get(("conv-small", way, "int8"))
        assert cells[6:] == ([int8[8], int8[9], int8[7]] if int8 else [""] * 3)


def rows(name, columns):
    """The cells of a document's tables that have so many columns, without heads."""
    lines = [line for line in (ROOT / name).read_text().splitlines() if line.startswith("|")]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    head = {i for i, cells in enumerate(found) if set("".join(cells)) <= set("-: ")}
    return [
        cells
        for i, cells in enumerate(found)
        if len(cells) == columns and i not in head and i + 1 not in head
    ]
