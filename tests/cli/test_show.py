"""What all verbs print with."""

import json
import os

import pytest

from mnv4_mobile.cli.show import print_table, print_text
from mnv4_mobile.cli.steps import steps


@pytest.mark.parametrize("name", ["host:computer: x", "[bold]", "[/x]", "two  spaces"])
def test_names_are_printed_as_they_are(name, capfd):
    with steps(verbose=True) as progress:
        progress.step(name)
        progress.note(name)
        progress.update(f"{name}, once more")
    print_table(["name", ">number"], [[name, "1"]])
    out, err = capfd.readouterr()
    assert err.startswith(f"note: {name}\n{name}, once more 0.")
    assert name in out


def test_names_cannot_command_the_terminal(capfd):
    name = "\x1b[2J\u202etac\r\nerror: \x9b31m"
    with steps(verbose=True) as progress:
        progress.step(name)
        progress.note(name)
    print_table(["name"], [[name]], name)
    print_text(name)
    out, err = capfd.readouterr()
    for printed in (out, err):
        assert not any(not c.isprintable() for c in printed.replace("\n", ""))
        assert r"\u001b[2J\u202etac\u000d" in printed
        assert not any(line.startswith("error:") for line in printed.splitlines())


def test_errors_and_json_show_paths_of_any_bytes(mnv4):
    path = os.fsdecode(b"\x1b[2J\xff")
    code, out, err = mnv4("inspect", path, "--json")
    assert code == 2
    assert err.startswith(r"error: \u001b[2J\udcff: not a bundle")
    assert json.loads(out)["error"]["message"].startswith(f"{path}: not a bundle")
