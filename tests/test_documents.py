"""The documents: blocks that can be run, commands that exist, links that lead somewhere.

`make documents` runs the commands themselves.
"""

import re

import pytest
from markdown_it import MarkdownIt

from mnv4_mobile.published import figures
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
    """Columns: model, top-1, runtime, float MB, int8 MB, dB, agreement, / timm's float, int8."""
    sizes = {tuple(row[:3]): row[7] for row in rows("docs/results/float-matrix.md", 10)}
    kept = {tuple(row[:2]): row for row in rows("docs/results/quantization.md", 13)}
    latency = {tuple(row[:3]): row for row in rows("docs/results/artifacts.md", 8)[::-1]}
    (paper,) = (one for one in figures().publications if one.name == "The paper")
    published = {one.model: one.top1 for one in paper.accuracies}
    target = {"ExecuTorch": "executorch", "LiteRT": "tflite", "Core ML": "coreml"}
    found = rows("README.md", 9)
    assert len(found) == 9
    model = ""
    for row in found:
        model, runtime = row[0] or model, row[2]
        floats = "fp16" if runtime == "Core ML" else "fp32"
        assert row[3].removesuffix(" (fp16)") == sizes[model, target[runtime], floats]
        assert row[4] == sizes[model, target[runtime], "int8"]
        network = model.replace("hybrid-medium", "hybrid-medium-075")
        assert row[5] == kept[network, runtime][5].partition(" / ")[0]
        assert row[6].replace(" ", "") == kept[network, runtime][6]
        if row[0]:
            assert float(row[1]) == published[model]
        if runtime == "Core ML":
            assert row[7:] == ["", ""]
            continue
        one_thread = latency[model, runtime, "1"]
        assert row[7:] == [one_thread[4].partition(" ")[0], one_thread[6].partition(" ")[0]]


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
