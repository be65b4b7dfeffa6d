"""Errors as the user and machines see them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from mnv4_mobile.cli import app
from mnv4_mobile.measuring import device

MNV4 = Path(sys.executable).parent / "mnv4"


def commands(group=None, path=()):
    """Every command that does something, as the words that call it."""
    for name, command in (group or get_command(app)).commands.items():
        words = (*path, name)
        if not hasattr(command, "commands"):
            yield words
            continue
        yield from commands(command, words)
        if command.invoke_without_command:
            yield words


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_can_be_quiet_and_print_json(words):
    command = get_command(app)
    for word in words:
        command = command.commands[word]
    assert {"--json", "--quiet"} <= {option for param in command.params for option in param.opts}


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_says_what_is_wrong_as_text_and_as_json(mnv4, words):
    code, out, err = mnv4(*words, "--nonsense")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: mnv4 {' '.join(words)}: found '--nonsense', ")
    assert err.count("\n") == 1
    code, out, again = mnv4(*words, "--nonsense", "--json")
    message = err.removeprefix("error: ").strip()
    error = {"type": "ConfigError", "message": message, "exit_code": 2}
    assert (code, json.loads(out)) == (2, {"schema": 1, "error": error})
    assert again == err


def test_what_is_missing_or_unknown_is_named(mnv4):
    for words, text in (
        (("predict",), "Missing argument 'bundle'."),
        (("predict", "x", "y", "--top"), "Option '--top' requires an argument."),
        (("predict", "x", "y", "--top", "0"), "--top"),
        (("nothing",), "mnv4: found 'nothing', allowed: build, models"),
        (("results", "delet"), "mnv4 results: found 'delet', did you mean delete?"),
    ):
        code, out, err = mnv4(*words)
        assert (code, out, text in err, err.count("\n")) == (2, "", True, 1), err


@pytest.mark.parametrize("words", [(), ("sdk",)])
def test_a_group_of_commands_alone_shows_its_help(mnv4, words):
    code, out, err = mnv4(*words)
    assert (code, "Usage: mnv4" in out, err) == (2, True, "")


def test_our_errors_are_json_too(mnv4):
    code, out, err = mnv4("inspect", "nowhere", "--json")
    error = json.loads(out)["error"]
    assert (code, error["type"], error["exit_code"]) == (2, "BundleError", 2)
    assert err == f"error: {error['message']}\n"


@pytest.mark.toolchain("tflite")
def test_results_and_error_are_one_object(mnv4, demo_bundle):
    bundle = demo_bundle("tflite").path
    code, out, err = mnv4("verify", bundle, "--weights", "random:0", "--json")
    found = json.loads(out)
    assert (code, found["error"]["type"], found["error"]["exit_code"]) == (3, "ParityError", 3)
    assert found["bundles"][0]["parity"]["cpu"]["logits"]["sqnr_db"] < 10
    assert found["error"]["message"] in err


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_ctrl_c(mnv4, monkeypatch, flags):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(device, "all_attached", interrupted)
    code, out, err = mnv4("devices", *flags)
    assert (code, err) == (130, "error: interrupted\n")
    if flags:
        error = {"type": "StoppedError", "message": "interrupted", "exit_code": 130}
        assert json.loads(out) == {"schema": 1, "error": error}


def test_a_bug_is_a_traceback_and_json(mnv4, monkeypatch, capfd):
    def broken():
        raise RuntimeError("surprise")

    monkeypatch.setattr(device, "all_attached", broken)
    with pytest.raises(RuntimeError, match="surprise"):
        mnv4("devices", "--json")
    error = {"type": "UnexpectedError", "message": "RuntimeError: surprise", "exit_code": 1}
    assert json.loads(capfd.readouterr().out) == {"schema": 1, "error": error}


def test_an_encoding_without_a_character_ends_nothing():
    done = subprocess.run(
        [MNV4, "inspect", "é犬👩", "--json"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["message"].startswith("é犬👩: not a bundle")
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("redirection", "code", "message"),
    [(">/dev/full", 2, "error: cannot write: No space left on device\n"), ("| true", 1, "")],
)
def test_output_that_nobody_takes(redirection, code, message):
    script = f"set -o pipefail; {MNV4} models {redirection}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, message)
