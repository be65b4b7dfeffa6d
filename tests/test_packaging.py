"""The wheel, and what the README promises."""

import itertools
import os
import re
import subprocess
import sys
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mnv4_mobile.target import load_target, target_names

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Where the wheel is unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_brings_everything_that_runs(wheel, tmp_path):
    site = wheel
    for package in ("mnv4_mobile", "mnv4_coreml", "mnv4_executorch", "mnv4_tflite"):
        assert (site / package / "py.typed").is_file()
    code = (
        "import mnv4_mobile, mnv4_tflite\n"
        f"assert mnv4_mobile.__file__.startswith({str(site)!r})\n"
        f"assert mnv4_tflite.__file__.startswith({str(site)!r})\n"
        "from mnv4_mobile.configs import config_folder, shipped\n"
        "from mnv4_mobile.model.grammar import load_model\n"
        "from mnv4_mobile.labels import read_labels\n"
        "from mnv4_mobile.model.checkpoint_source import DEMO\n"
        "from mnv4_mobile.recipe import load_recipe\n"
        f"assert str(config_folder('models')).startswith({str(site)!r})\n"
        "assert len([load_model(name) for name in shipped('models')]) == 9\n"
        "assert {'fp16', 'fp32', 'int8'} <= {load_recipe(n).name for n in shipped('recipes')}\n"
        "assert len(read_labels('imagenet-1k')) == 1000\n"
        "assert DEMO.is_file()\n"
        "from mnv4_mobile.sdk import android, ios\n"
        f"assert str(android.library()).startswith({str(site)!r})\n"
        f"assert str(ios.library()).startswith({str(site)!r})\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
    )


def test_the_wheel_brings_the_libraries_for_apps_whole(wheel):
    for inside, checkout in (("android", "android_demo/mnv4"), ("ios", "ios_demo/MobileNetV4Kit")):
        library, source = wheel / "mnv4_mobile" / inside, ROOT / checkout
        kept = [
            path
            for path in source.rglob("*")
            if path.is_file() and not {"build", ".build", ".gradle"} & set(path.parts)
        ]
        assert len(kept) > 20
        for path in kept:
            copy = library / path.relative_to(source)
            assert copy.read_bytes() == path.read_bytes(), copy


@pytest.mark.parametrize("name", target_names())
def test_untested_minor_versions_of_toolchains_are_not_installed(name):
    """Where the speedups of a target end, its requirements do too."""
    target = load_target(name)
    requirements = [Requirement(text) for text in requires("mnv4-mobile")]
    for distribution, tested in target.patches.tested.items():
        (bound,) = SpecifierSet(tested)
        major, minor, _ = bound.version.split(".")
        for requirement in requirements:
            if requirement.name == distribution:
                assert not requirement.specifier.contains(f"{major}.{int(minor) + 1}.0")
                assert requirement.specifier.contains(version(distribution))


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
