"""Runs the shell of the example for a CI job, on this computer in place of a phone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mnv4_mobile.measuring.results.store import Store

EXAMPLE = Path(__file__).parents[3] / "docs" / "how-to" / "latency-check.yml"


@pytest.mark.toolchain("tflite")
def test_both_sides_are_measured_in_turns_and_compared(demo_bundle, tmp_path):
    steps = yaml.safe_load(EXAMPLE.read_text())["jobs"]["compare"]["steps"]
    (script,) = (step["run"] for step in steps if "mnv4 compare" in step.get("run", ""))
    assert "in 6 12 18;" in script
    for side in ("base", "new"):
        shutil.copytree(demo_bundle("tflite").path, tmp_path / side / "bundles" / "one")
    environment = os.environ | {
        "DEVICE": "host",
        "MNV4_STORE": str(tmp_path / "mnv4.sqlite"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }

    looks = [2, 3]
    script = script.replace("6 12 18", " ".join(map(str, looks)))
    quick = script.replace("mnv4 measure ", "mnv4 measure --runs 5 --seconds 0 ")
    assert quick != script
    command = ["bash", "-e", "-c", quick]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode in (0, 4, 6), said  # chance may make one of them slower here
    with Store(tmp_path / "mnv4.sqlite") as store:
        found = [(m.run, m.session) for m in store.measurements()]
    assert found == [(side, session) for session in range(looks[-1]) for side in ("base", "new")]
    # Two sessions decide nothing, so that the job measured one more and looked again.
    assert "each run needs 3 sessions; found 2 and 2" in said
    assert "3/3" in said
