"""The GitHub Action: its script runs end to end, and no input reaches a shell as text."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mnv4_mobile import Options, build
from tools import action

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
PICTURES = ROOT / "mnv4_mobile" / "demo" / "pictures"


def environment(**inputs):
    """The script's variables as GitHub would set them: the inputs' defaults where not given."""
    (step,) = [step for step in ACTION["runs"]["steps"] if step.get("id") == "mnv4"]
    found = {}
    for variable, value in step["env"].items():
        (name,) = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value).groups()
        found[variable] = inputs.pop(name.replace("-", "_"), ACTION["inputs"][name].get("default"))
    assert not inputs
    return found


@pytest.fixture
def run(tmp_path):
    """Runs the script in an adopter's checkout, as action.yml does."""

    def script(**inputs):
        for name in ("summary", "output"):
            (tmp_path / name).write_text("")
        runner = {
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "RUNNER_TEMP": str(tmp_path),
        }
        command = ACTION["runs"]["steps"][-1]["run"].replace("python", sys.executable, 1)
        done = subprocess.run(
            ["bash", "-c", command],
            env=os.environ | runner | environment(**inputs),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        outputs = dict(line.split("=") for line in (tmp_path / "output").read_text().splitlines())
        return done.returncode, (tmp_path / "summary").read_text(), outputs, done.stdout

    return script


def test_inputs_reach_the_script_as_variables_only():
    steps = ACTION["runs"]["steps"]
    used = set()
    for step in steps:
        assert "${{" not in step.get("run", "")
        for value in (step.get("env", {}) | step.get("with", {})).values():
            used |= set(re.findall(r"inputs\.([a-z-]+)", value))
    assert used == set(ACTION["inputs"])
    read = set(re.findall(r'given\["([A-Z_]+)"\]', Path(action.__file__).read_text()))
    assert {f"INPUT_{name}" for name in read} == set(steps[-1]["env"])
    assert "not run" in ACTION["description"]


@pytest.mark.toolchain("tflite")
def test_builds_verifies_and_compares(run, demo_bundle, tmp_path):
    base = tmp_path / "base bundles"
    old = demo_bundle("tflite")
    # The script's process takes both from the cache: a builder of its own would take seconds.
    options = Options(images=PICTURES)
    build("demo", out=tmp_path, targets=["tflite"], recipes=["fp32", "fp16"], options=options)
    shutil.copytree(old.path, base / old.path.name)
    shutil.copytree(old.path, base / "gone-tflite")
    code, summary, outputs, log = run(
        models="demo\n",
        targets="tflite",
        recipes="fp32,fp16",
        build_options=f"--images {PICTURES}",
        out="my bundles",
        images=str(PICTURES),
        min_agreement="90",
        base=str(base),
        device="host",
        sessions="1",
    )
    assert code == 6, log  # one session decides nothing
    names = [f"conv-small-035-96x96-{recipe}-tflite" for recipe in ("fp16", "fp32")]
    assert [path.name for path in action.bundles(tmp_path / outputs["bundles"])] == names
    assert f"| {names[0]} (new) | 1.3" in summary
    assert re.search(rf"\| {names[1]} \| 2\.55 \| 1\d\d\.\d( \(base: .*\))? \|  \|  \|", summary)
    assert re.search(rf"\| {re.escape(names[0])} \(new\) .*\| 100\.0% \|  \|", summary)
    assert "Only in the base: gone-tflite." in summary
    assert "inconclusive" in summary
    assert "**Failed:** `mnv4 compare` ended with exit code 6." in summary
    assert Path(outputs["summary"]).read_text() == summary
    assert Path(outputs["store"]).is_file()
    for command in ("build", "verify", "evaluate", "measure", "compare"):
        assert f"$ mnv4 {command} " in log


@pytest.mark.slow
def test_a_failed_build_is_in_the_summary(run):
    code, summary, _, log = run(models="no-such-model", targets="tflite", weights="demo")
    assert code == 2
    assert "**Failed:** `mnv4 build` ended with exit code 2." in summary
    assert "$ mnv4 verify" not in log


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"min_agreement": "90 %"}, "min-agreement: found '90 %', must be a number"),
        ({"min_agreement": "900", "images": "x"}, "min-agreement: found 900, must be a percentage"),
        ({"min_agreement": "90"}, "min-agreement: needs images"),
        ({"device": "adb"}, "device: needs base"),
        ({"base": "nowhere"}, "base: nowhere: no such folder"),
        ({"sessions": "0.5"}, "sessions: found 0.5, must be a whole number"),
    ],
)
def test_an_input_that_cannot_be_is_named(capsys, inputs, message):
    assert action.main(environment(models="demo", targets="tflite", **inputs)) == 2
    assert message in capsys.readouterr().out


def test_too_little_agreement_is_a_reason():
    found = {
        "int8": {"agreement": 0.94, "n": 50},
        "fp16": {"agreement": 0.95, "n": 50},
        "fp32": {"agreement": None, "n": 50},
    }
    (reason,) = action.too_different(found, 95)
    assert reason.startswith("int8 agrees with its fp32 bundle on 94.0% of 50 images, must be 95%")
    assert action.too_different(found, None) == []


def test_names_of_folders_stay_in_their_cell(tmp_path):
    manifest = '{"parity": {}, "artifact": {"bytes": 1000000}}'
    for side in ("base", "out"):
        folder = tmp_path / side / f"a | <h1>\n# {side}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(manifest)
    inputs = SimpleNamespace(base=tmp_path / "base", out=tmp_path / "out")
    *_, row, _, gone, _ = action.table(inputs, {})
    assert row == r"| a \| \<h1\> \# out (new) | 1.00 |  |  |  |"
    assert gone == r"Only in the base: a \| \<h1\> \# base."
