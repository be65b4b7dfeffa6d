"""Hostile input and killed processes: few of them in the suite, many under `make attack`.

`promise.py` has the promise and the process that holds a call to it, `kinds.py` the kinds of input,
`attack.py` the attack with fresh seeds. The suite tries some inputs of each kind with fixed seeds
(`test_promise.py`), for 90 s of CPU time at most.

A test that kills processes at random moments is called `test_kills_*` and takes its moments from
the fixture `seeds`:

    def test_kills_of_a_build(seeds, ...):
        for seed in seeds:
            moment = Random(seed).uniform(0, 3)
            ...
            assert nothing_left, f"MNV4_ATTACK={seed} repeats it"

The environment variable MNV4_ATTACK chooses them: two fixed ones by default, `fresh` for 50 fresh
ones (`make attack`), a number for that one.
"""

import os
import secrets
import shutil
import subprocess

import pytest

from tests.lacking import lacking


@pytest.fixture
def seeds():
    """The seeds of a test that kills processes."""
    asked = os.environ.get("MNV4_ATTACK", "")
    if asked == "fresh":
        return [secrets.randbelow(10**9) for _ in range(50)]
    return [int(asked)] if asked else [0, 1]


@pytest.fixture
def disk(tmp_path):
    """A disk of 8 MB of its own for a test to fill, mounted in a folder."""
    folder = tmp_path / "disk"
    folder.mkdir()
    root = ["sudo", "-n"] if os.geteuid() and shutil.which("sudo") else []
    mount = [*root, "mount", "-t", "tmpfs", "-o", "size=8m", "none", folder]
    if subprocess.run(mount, check=False).returncode:
        lacking("no disk can be mounted: run as root, or with sudo, and not in a locked container")
    try:
        yield folder
    finally:
        subprocess.run([*root, "umount", "--lazy", folder], check=True)
