"""Every verb has examples and exit codes, in its help and in the reference."""

import re
import shlex
import shutil

import pytest

from mnv4_mobile.cli.examples import EXAMPLES, EXIT_CODES, exit_codes
from mnv4_mobile.errors import MobileError
from mnv4_mobile.model.checkpoint_source import DEMO
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


NOT_RUN = {
    "my_checkpoint": "a checkpoint of the user's",
    "mnv4 tune": "takes minutes",
    "mnv4 diff": "tests/quality/test_diff.py runs it",
    "mnv4 sweep": "takes minutes",
    "mnv4 sensitivity": "takes half a minute; test_next.py runs one",
    "-d adb": "a phone",
    "results show": "an id of the store",
    "tuesday": "a second run",
}
"""Examples that the test leaves out by a part of their text, and what they need."""


@pytest.mark.toolchain("executorch")
@pytest.mark.toolchain("tflite")
def test_examples_run_one_after_the_other(mnv4, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNV4_STORE", str(tmp_path / "mnv4.sqlite"))
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "nine"]
    for label, name in zip("012345679", names, strict=True):
        (tmp_path / "photos" / label).mkdir(parents=True)
        shutil.copy(DEMO.parent / "pictures" / f"{name}.jpg", f"photos/{label}")
    shutil.copy(DEMO.parent / "pictures" / "three.jpg", "photo.jpg")
    for verb, examples in EXAMPLES.items():
        for example in examples:
            if any(part in example for part in NOT_RUN):
                continue
            words = shlex.split(example)[1:]
            if verb == "measure":
                words += ["--runs", "1", "--seconds", "0", "--repeats", "1", "--warmup", "0"]
            if verb == "cache prune":
                monkeypatch.setenv("MNV4_CACHE", str(tmp_path / "cache"))
            code, _, err = mnv4(*words)
            assert code == 0, f"{example}: {err}"


def test_the_command_says_what_its_exit_codes_mean(mnv4):
    _, out, _ = mnv4("--help")
    text = " ".join(out.split())
    for code, meaning in EXIT_CODES.items():
        assert f"{code}: {meaning}" in text


def test_every_error_has_a_documented_exit_code():
    def kinds(kind):
        return {kind, *(found for part in kind.__subclasses__() for found in kinds(part))}

    assert {kind.exit_code for kind in kinds(MobileError)} | {0} == set(EXIT_CODES)
