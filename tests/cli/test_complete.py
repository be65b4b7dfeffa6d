"""What the TAB key offers, in the shells themselves."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnv4_mobile.cli import complete

FOLDER = Path(sys.executable).parent
MODELS = ["conv-aa-large", "conv-aa-medium", "conv-blur-medium", "conv-large", "conv-medium"]
MODELS += ["conv-small", "conv-small-035", "conv-small-050"]
LINES = {
    "mnv4 build conv-": MODELS,
    "mnv4 build demo -t ": ["coreai", "coreml", "executorch", "snapdragon", "tflite"],
    "mnv4 build demo -r fp": ["fp16", "fp32"],
    "mnv4 measure out/": ["out/small"],
    "mnv4 measure x --plan ": ["quick", "paper", "mlperf"],
}
"""What the user has typed, and what is offered."""


@pytest.fixture
def shell(tmp_path):
    """A function that runs a script of a shell in a folder with a bundle, and returns its lines."""
    (tmp_path / "out" / "small").mkdir(parents=True)
    (tmp_path / "out" / "small" / "manifest.json").touch()

    def run(name, script, **environment):
        done = subprocess.run(
            [name, "-c", script],
            cwd=tmp_path,
            env=os.environ | {"PATH": f"{FOLDER}:{os.environ['PATH']}"} | environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


def test_bash(shell):
    script = "source <(mnv4 --show-completion bash)\n"
    for line in LINES:
        words = line.split(" ")
        quoted = " ".join(f"'{word}'" for word in words)
        script += f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _mnv4_completion mnv4\n"
        script += 'echo "${COMPREPLY[@]}"\n'
    assert [line.split() for line in shell("bash", script)] == list(LINES.values())


@pytest.mark.peer("fish")
def test_fish(shell):
    script = "mnv4 --show-completion fish | source\n"
    for line in LINES:
        script += f"complete -C '{line}' | string join ' '\n"
    found = [sorted(line.split()) for line in shell("fish", script)]
    assert found == [sorted(offered) for offered in LINES.values()]


@pytest.mark.parametrize("name", ["zsh", "fish"])
def test_the_values_for_other_shells(shell, name):
    values = shell(
        "bash",
        "mnv4",
        _MNV4_COMPLETE=f"complete_{name}",
        _TYPER_COMPLETE_ARGS="mnv4 build demo -t ",
        _TYPER_COMPLETE_FISH_ACTION="get-args",
    )
    for target in ("coreai", "coreml", "executorch", "snapdragon", "tflite"):
        assert target in "\n".join(values)
    script = shell(
        "bash",
        f"mnv4 --show-completion {name}",
        # Else it writes the script for the shell that runs the tests, whichever that is.
        _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1",
    )
    assert f"_MNV4_COMPLETE=complete_{name}" in "\n".join(script)


def test_nothing_large_is_imported(shell):
    code = "import sys; from mnv4_mobile.cli import complete as c; " + "; ".join(
        f"c.{name}('')" for name in ("models", "targets", "recipes", "devices", "bundles", "units")
    )
    (found,) = shell("bash", f"{sys.executable} -c \"{code}; print('torch' in sys.modules)\"")
    assert found == "False"


def test_the_last_of_several_is_completed():
    assert complete.targets("tflite,corem") == ["tflite,coreml"]
    assert complete.recipes("fp32,fp16,pal")[0] == "fp32,fp16,palettize-4"
    assert complete.devices("host,ad") == ["host,adb"]


def test_folders_with_odd_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "a[1]",
        "b",
        r"c\$(touch taken)",
        "c`touch taken`",
        "c;touch taken",
        "c\nd",
        "c d",
    ):
        Path(name, "x").mkdir(parents=True)
        Path(name, "x", "manifest.json").touch()
    assert complete.bundles("") == ["a[1]/x", "b/x"]
    assert complete.bundles("a[") == ["a[1]/x"]
    assert complete.bundles("c") == []
    assert complete.bundles("nowhere/") == []
