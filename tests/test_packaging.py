"""The sdist and the wheel."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mnv4_mobile.target import load_target, target_names

ROOT = Path(__file__).parents[1]
_UNTRACKED = {"build", ".build", ".gradle", "__pycache__", "node_modules"}


def hatchling(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", *arguments],
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with the sdist and the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    hatchling("build", "-t", "sdist", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    return folder


@pytest.fixture(scope="module")
def wheel(dist):
    """Where the wheel is unpacked."""
    (file,) = dist.glob("*.whl")
    with zipfile.ZipFile(file) as archive:
        archive.extractall(dist / "site")
    return dist / "site"


@pytest.fixture(scope="module")
def unpacked_sdist(dist):
    (file,) = dist.glob("*.tar.gz")
    with tarfile.open(file) as archive:
        archive.extractall(dist, filter="data")
    return dist / file.name.removesuffix(".tar.gz")


def test_the_package_index_accepts_both_files(dist):
    files = [*dist.glob("*.whl"), *dist.glob("*.tar.gz")]
    assert len(files) == 2
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, files)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_sdist_makes_the_same_wheel_without_git(dist, unpacked_sdist):
    hatchling("build", "-t", "wheel", "-d", str(dist / "again"), cwd=unpacked_sdist)
    (first,), (again,) = dist.glob("*.whl"), (dist / "again").glob("*.whl")
    assert first.name == again.name
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(again) as other:
        assert {i.filename: i.CRC for i in one.infolist()} == {
            i.filename: i.CRC for i in other.infolist()
        }


def test_the_version_is_that_of_the_tag(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "README.md", tmp_path)
    assert hatchling("version", cwd=tmp_path) == "0.1.0.dev0"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
    for arguments in (["init"], ["add", "."], ["commit", "-m", "first"], ["tag", "v1.2.3"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, check=True, capture_output=True)
    assert hatchling("version", cwd=tmp_path) == "1.2.3"


def test_links_of_the_readme_work_on_the_package_index(wheel):
    (metadata,) = wheel.glob("*.dist-info/METADATA")
    about = message_from_string(metadata.read_text("utf-8"))
    urls = dict(url.split(", ") for url in about.get_all("Project-URL"))
    readme = about.get_payload()
    links = re.findall(r"\]\(([^)#][^)]*)\)", readme)
    assert len(links) > 20
    assert all(link.startswith("https://") for link in links), links
    raw = urls["Repository"].replace("github.com", "raw.githubusercontent.com")
    ours = [
        x.split("/main/")[1]
        for x in links
        if x.startswith((urls["Repository"], raw)) and "/main/" in x
    ]
    assert len(ours) > 10
    for path in ours:
        assert (ROOT / path.partition("#")[0]).exists(), path


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
        "assert len([load_model(name) for name in shipped('models')]) == 12\n"
        "assert {'fp16', 'fp32', 'int8'} <= {load_recipe(n).name for n in shipped('recipes')}\n"
        "assert len(read_labels('imagenet-1k')) == 1000\n"
        "assert DEMO.is_file()\n"
        "from mnv4_mobile.sdks import android, ios\n"
        f"assert str(android.library()).startswith({str(site)!r})\n"
        "assert all((android.library() / name).is_dir() for name in android.MODULES)\n"
        f"assert str(ios.library()).startswith({str(site)!r})\n"
    )
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
    )


def test_the_wheel_brings_all_files_of_the_package_and_of_the_libraries_for_apps(wheel):
    folders = (
        (".", "mnv4_mobile"),
        ("configs", "configs"),
        ("android/mnv4", "android_demo/mnv4"),
        ("ios/MobileNetV4Kit", "ios_demo/MobileNetV4Kit"),
    )
    for inside, checkout in folders:
        library, source = wheel / "mnv4_mobile" / inside, ROOT / checkout
        kept = [
            path
            for path in source.rglob("*")
            if path.is_file() and not _UNTRACKED & set(path.relative_to(source).parts)
        ]
        assert len(kept) > 10
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
