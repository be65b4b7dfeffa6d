"""The ten mistakes of a newcomer: each has one message, which says what to do, and an exit code."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

MNV4 = Path(sys.executable).with_name("mnv4")
ROOT = Path(__file__).parents[1]
DEMO = ROOT / "mnv4_mobile" / "demo" / "conv-small-035.safetensors"


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A checkpoint of conv-small-035 in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(DEMO, "plants.safetensors")
    return "plants.safetensors"


MODELS = (
    "conv-aa-large, conv-aa-medium, conv-blur-medium, conv-large, conv-medium, conv-small, "
    "conv-small-035, conv-small-050, hybrid-large, hybrid-large-075, hybrid-medium, "
    "hybrid-medium-075"
)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(
            "conv-medium --weights plants.safetensors -t tflite",
            "plants.safetensors: these are the weights of conv-small-035, but conv-medium was "
            "asked for; leave the model out to build conv-small-035, or give other weights",
            id="wrong model for the weights",
        ),
        pytest.param(
            "conv-small -t tflite",
            "--weights: missing for the model conv-small; allowed: the file or folder of a "
            "checkpoint, hf-hub:OWNER/NAME, demo, random:SEED",
            id="no weights",
        ),
        pytest.param(
            "plants.safetensors -t tflite -r int8",
            "--calibrate: missing; recipe int8 needs a folder of images, or random for generated "
            "ones",
            id="no calibration images",
        ),
        pytest.param(
            "plants.safetensors -t tflite -r palettize-4",
            "tflite: recipe palettize-4: found 'palettize-4', supported: fp16, fp32, int8, "
            "int8-dynamic, int8-weights",
            id="a recipe that the target lacks",
        ),
        pytest.param(
            "plants.safetensors -t tflite --input-size 100",
            "input size: found 100x100, both must be multiples of 32, the network's total "
            "stride; the nearest is 96x96",
            id="a wrong size",
        ),
        pytest.param(
            "conv-smal --weights plants.safetensors -t tflite",
            f"model: found 'conv-smal', did you mean conv-small? allowed: {MODELS}; "
            "or a .yaml file",
            id="a typo in a name",
        ),
    ],
)
@pytest.mark.usefixtures("checkpoint")
def test_a_mistake_is_refused_before_any_work(mnv4, words, message):
    assert mnv4("build", *words.split(), "-o", "out") == (2, "", f"error: {message}\n")
    assert not Path("out").exists()


@pytest.mark.toolchain("tflite")
def test_a_folder_with_other_files_is_left_as_it_is(mnv4, checkpoint):
    notes = Path("out", "conv-small-035-96x96-fp32-tflite", "notes.txt")
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    path = notes.parent.absolute()
    message = f"error: {path}: exists and holds no manifest.json, so it is not overwritten\n"
    assert mnv4("build", checkpoint, "-t", "tflite") == (2, "", message)
    assert [*Path("out").rglob("*.*")] == [notes]


BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ai_edge_litert", "litert_torch", "litert_quantizer"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Blocker())
"""


def test_a_missing_extra_is_named_with_the_command_that_installs_it(checkpoint):
    Path("site").mkdir()
    Path("site", "sitecustomize.py").write_text(BLOCKER)
    done = subprocess.run(
        [MNV4, "build", checkpoint, "-t", "tflite"],
        env=os.environ | {"PYTHONPATH": str(Path("site").absolute())},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "error: tflite: its toolchain is not installed; pip install 'mnv4-mobile[tflite]'\n"
    )


def test_an_old_python_is_named_before_anything_is_made(tmp_path):
    stand_in = tmp_path / "python3"
    old = "import sys; sys.version_info = (3, 9, 2)"
    stand_in.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{old}; exec(sys.argv[2])" "$@"\n')
    stand_in.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    before = set(tmp_path.iterdir())
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["make", "env"],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[0] == (
        "PYTHON: found python3, which is Python 3.9; needs 3.11 to 3.13: make PYTHON=python3.12 ..."
    )
    assert set(tmp_path.iterdir()) == before


@pytest.mark.toolchain("tflite")
def test_an_interrupted_build_says_how_to_go_on(checkpoint):
    command = [MNV4, "build", checkpoint, "-t", "tflite", "--no-cache"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as building:
        deadline = time.monotonic() + 60
        while not Path("out").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        building.send_signal(signal.SIGINT)
        _, printed = building.communicate(timeout=60)
    assert building.returncode == 130
    assert printed.decode().endswith(
        "interrupted; finished bundles are kept; run the same command again to build the rest\n"
    )
    assert not Path("out").exists()
