"""Every verb has examples and exit codes, in its help and in the reference."""

import re

import pytest

from mnv4_mobile.cli.examples import EXAMPLES, EXIT_CODES, exit_codes
from mnv4_mobile.errors import MobileError
from tools.schemas import ROOT

PAGE = (ROOT / "docs/reference/commands.md").read_text()


def test_every_verb_has_examples_and_a_section():
    assert set(EXAMPLES) == set(re.findall("^### mnv4 (.*)$", PAGE, re.M))


@pytest.mark.parametrize("verb", EXAMPLES)
def test_examples_are_of_their_verb_and_stand_in_its_help(verb, mnv4):
    assert all(f"{example} ".startswith(f"mnv4 {verb} ") for example in EXAMPLES[verb])
    code, out, _ = mnv4(*verb.split(), "--help")
    assert code == 0
    text = " ".join(out.split())
    assert all(example in text for example in EXAMPLES[verb])
    assert all(f"{code}: {EXIT_CODES[code]}" in text for code in exit_codes(verb))


def test_every_error_has_a_documented_exit_code():
    def kinds(kind):
        return {kind, *(found for part in kind.__subclasses__() for found in kinds(part))}

    assert {kind.exit_code for kind in kinds(MobileError)} | {0} == set(EXIT_CODES)
