from __future__ import annotations

import re
from pathlib import Path

import pytest

STUBS = sorted((Path(__file__).parent / "ios_stubs").glob("*.swift"))
DECLARED = re.compile(
    r"(?:@.* )?(?:public|open) (?:final )?(?:class|struct|enum|protocol|func|let|typealias) (\w+)"
)
PAGE = re.compile(
    r"// https://(?:developer\.apple\.com/(?:documentation|library)|docs\.pytorch\.org)/\S+$"
)


def without_page(lines: list[str]) -> list[str]:
    """Returns the declarations of a stub with no page above them, nor the word that it is ours."""
    missing = []
    for at, line in enumerate(lines):
        if not (declared := DECLARED.match(line)):
            continue
        above = at - 1
        while above >= 0 and lines[above].startswith("@"):
            above -= 1
        if not (PAGE.match(lines[above]) or lines[above].startswith("// Ours: ")):
            missing.append(declared[1])
    return missing


@pytest.mark.parametrize("stub", STUBS, ids=lambda stub: stub.stem)
def test_every_declaration_names_the_page_that_it_follows(stub: Path) -> None:
    assert without_page(stub.read_text("utf-8").splitlines()) == []


def test_a_declaration_without_a_page_is_found() -> None:
    assert without_page(["", "@available(iOS 17, *)", "@MainActor public class Some {}"]) == [
        "Some"
    ]
