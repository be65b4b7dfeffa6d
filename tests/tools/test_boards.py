"""The tool that runs a command beside devices on loopback, where it cannot."""

import sys

from tools import boards, peers


def test_what_is_missing_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(peers, "_PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["boards", "true"])
    assert boards.main() == 2
    advice = "install with: python -m tools.peers install"
    assert capsys.readouterr().err == f"error: not installed: adbd, sshd; {advice}\n"


def test_there_must_be_a_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["boards"])
    assert boards.main() == 2
    assert capsys.readouterr().err == "usage: python -m tools.boards COMMAND...\n"
