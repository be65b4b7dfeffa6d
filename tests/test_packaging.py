"""The wheel, and what the README promises."""

import itertools
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_wheel_brings_everything_that_runs(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    for package in ("mnv4_mobile", "mnv4_coreml", "mnv4_executorch", "mnv4_tflite"):
        assert (site / package / "py.typed").is_file()
    code = (
        "import mnv4_mobile, mnv4_tflite\n"
        f"assert mnv4_mobile.__file__.startswith({str(site)!r})\n"
        f"assert mnv4_tflite.__file__.startswith({str(site)!r})\n"
        "from mnv4_mobile.bundle import _schema\n"
        "from mnv4_mobile.config import config_folder, load_model, shipped\n"
        "from mnv4_mobile.labels import read_labels\n"
        "from mnv4_mobile.model.checkpoint_source import DEMO\n"
        "from mnv4_mobile.recipe import load_recipe\n"
        f"assert str(config_folder('models')).startswith({str(site)!r})\n"
        "assert len([load_model(name) for name in shipped('models')]) == 9\n"
        "assert {'fp16', 'fp32', 'int8'} <= {load_recipe(n).name for n in shipped('recipes')}\n"
        "assert len(read_labels('imagenet-1k')) == 1000\n"
        "assert DEMO.is_file() and _schema()\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
    )


def test_the_readme_names_verbs_and_options_that_exist():
    from typer.main import get_command

    from mnv4_mobile.cli import app

    commands = get_command(app).commands
    assert set(re.findall(r"mnv4 ([a-z]+)", README)) == set(commands)
    groups = [c.commands.values() for c in commands.values() if hasattr(c, "commands")]
    verbs = [*commands.values(), *itertools.chain(*groups)]
    options = {name for command in verbs for p in command.params for name in p.opts}
    assert set(re.findall(r"`(--[a-z-]+)", README)) - {"--help"} <= options


@pytest.mark.toolchain("tflite")
def test_the_python_of_the_readme_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    code = code.replace('out="out"', f"out={str(tmp_path / 'out')!r}")
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True
    )
    assert "label='7'" in done.stdout
