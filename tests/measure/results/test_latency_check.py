"""The example for a CI job does what it says: its shell, with this computer in place of a phone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mnv4_mobile.measure.results.store import Store

EXAMPLE = Path(__file__).parents[3] / "docs" / "how-to" / "latency-check.yml"


@pytest.mark.toolchain("tflite")
def test_both_sides_are_measured_in_turns_and_compared(demo_bundle, tmp_path):
    steps = yaml.safe_load(EXAMPLE.read_text())["jobs"]["compare"]["steps"]
    measure, compare = (
        step["run"]
        for step in steps
        if "run" in step and ("mnv4 measure" in step["run"] or "mnv4 compare" in step["run"])
    )
    for side in ("base", "new"):
        shutil.copytree(demo_bundle("tflite").path, tmp_path / side / "bundles" / "one")
    environment = os.environ | {
        "DEVICE": "host",
        "MNV4_STORE": str(tmp_path / "mnv4.sqlite"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    def run(script):
        command = ["bash", "-e", "-c", script]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    code, said = run(measure.replace("1 2 3 4 5 6", "1 2 3"))
    assert code == 0, said
    with Store(tmp_path / "mnv4.sqlite") as store:
        found = [(m.run, m.session) for m in store.measurements()]
    assert found == [(side, session) for session in range(3) for side in ("base", "new")]
    code, said = run(compare)
    assert code in (0, 4), said  # chance may make one of them slower here
    assert "3/3" in said
