"""Builds, libraries and the cache survive kill -9 at random moments, and a disk that is full."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from random import Random

import pytest
import yaml

from mnv4_mobile.builder.cache import Cache
from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.matrix import build_cells, cells
from mnv4_mobile.errors import ConfigError, MobileError
from mnv4_mobile.files import sha256, size
from mnv4_mobile.progress import SILENT
from mnv4_mobile.sdks.shipping import MARKER
from mnv4_mobile.sdks.write import sdk
from tests.builder.test_matrix import PARAMS, STAGES
from tests.hostile.disks import fill
from tests.notes import Notes

pytestmark = [pytest.mark.slow, pytest.mark.toolchain("tflite")]
_KEYS = "abc"


def fork(work):
    """Runs a function in a process of its own, which ends with 2 after a MobileError."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except MobileError:
            code = 2
        finally:
            os._exit(code)
    return child


def killed(child, seconds):
    """Kills a process after some time."""
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def names(folder):
    """The names in a folder, without working folders, which a killed process may leave."""
    return sorted(name for name in os.listdir(folder) if not name.startswith(".mnv4-"))


# --- builds


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The arguments of a build of a tiny network."""
    path = tmp_path_factory.mktemp("model") / "tiny.yaml"
    path.write_text(
        yaml.safe_dump({"name": "mobilenetv4", "params": PARAMS, "stage_params": STAGES})
    )
    return str(path)


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    """The cells of two networks of one name, their bundles, and a cache that holds both."""
    folder = tmp_path_factory.mktemp("built")
    cache, found = Cache(folder / "cache"), []
    for seed in range(2):
        options = [Options(outputs=("embedding",), size=(32, 32))]
        (cell,) = cells([tiny], f"random:{seed}", ["tflite"], ["fp32"], options, progress=SILENT)
        (one,) = build_cells([cell], folder / str(seed), cache=cache)
        found.append((cell, one.path))
    return cache, found


def command(tiny, *arguments):
    """A process that builds the second network."""
    words = ["build", tiny, "--weights", "random:1", "-t", "tflite", "--outputs", "embedding"]
    return [sys.executable, "-m", "mnv4_mobile", *words, "--input-size", "32", "-q", *arguments]


def test_kills_of_a_build(seeds, tiny, built, tmp_path, monkeypatch):
    cache, ((_, old), (cell, new)) = built
    monkeypatch.setenv("MNV4_CACHE", str(cache.folder))
    for seed in seeds:
        out, again = tmp_path / str(seed), f"MNV4_ATTACK={seed} repeats it"
        shutil.copytree(old, out / old.name)
        # Every third one builds, the others take the bundle from the cache.
        words, seconds = ([], 1.5) if seed % 3 else (["--no-cache"], 8)
        process = subprocess.Popen(
            command(tiny, "-o", out, "--force", *words),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(Random(seed).uniform(0, seconds))
        process.kill()
        process.wait()
        # The next one puts back what was moved away, and sweeps.
        try:
            build_cells([cell], out, cache=cache)
            assert sha256(out / old.name) == sha256(new), again
        except ConfigError:  # the old one would be replaced
            assert sha256(out / old.name) == sha256(old), again
        assert os.listdir(out) == [old.name], again
        (one,) = build_cells([cell], out, cache=cache, force=True)
        assert one.cached, again
        assert sha256(out / old.name) == sha256(new), again


def test_kills_of_a_build_on_a_full_disk(seeds, built, disk):
    cache, ((_, old), (cell, new)) = built
    out = disk / "out"
    for seed in seeds:
        again = f"MNV4_ATTACK={seed} repeats it"
        shutil.copytree(old, out / old.name)
        fill(disk, Random(seed).randrange(3 * size(new)))
        code = os.waitpid(fork(lambda: build_cells([cell], out, cache=cache, force=True)), 0)[1]
        assert os.waitstatus_to_exitcode(code) in (0, 2), again
        assert os.listdir(out) == [old.name], again
        assert sha256(out / old.name) == sha256(old if code else new), again
        (disk / "fill").unlink()
        shutil.rmtree(out)


# --- the cache


def test_kills_of_a_cache(seeds, built, tmp_path):
    _, found = built
    cache, out = Cache(tmp_path / "cache"), tmp_path / "out"
    cache.folder.mkdir()
    bundles = {name: found[index % 2][1] for index, name in enumerate(_KEYS)}

    def work(random):
        while True:
            name = random.choice(_KEYS)
            cache.put(name, bundles[name])
            cache.take(random.choice(_KEYS), out)
            if random.randrange(3) == 0:
                cache.prune(limit=size(bundles[name]))

    for seed in seeds:
        random, notes = Random(seed), Notes()
        again = f"MNV4_ATTACK={seed} repeats it"
        killed(fork(lambda random=random: work(random)), random.uniform(0, 0.3))
        for name in _KEYS:
            taken = Cache(cache.folder, notes).take(name, tmp_path / "taken")
            assert taken is None or sha256(taken) == sha256(bundles[name]), again
        assert notes.notes == [], again  # nothing was damaged
        cache.put("a", bundles["a"])
        assert set(os.listdir(cache.folder)) <= set(_KEYS), again


def test_kills_of_a_cache_on_a_full_disk(seeds, built, disk):
    _, ((_, one), (_, other)) = built
    for seed in seeds:
        again = f"MNV4_ATTACK={seed} repeats it"
        notes = Notes()
        cache = Cache(disk / "cache", notes)
        cache.put("a", one)
        fill(disk, Random(seed).randrange(3 * size(other)))
        cache.put("b", other)
        assert sorted(os.listdir(cache.folder)) == ["a", *(["b"] if not notes.notes else [])], again
        (disk / "fill").unlink()
        assert sha256(cache.take("a", disk / "out")) == sha256(one), again
        shutil.rmtree(cache.folder)
        shutil.rmtree(disk / "out")


# --- libraries


@pytest.fixture
def libraries(demo_bundle, tmp_path):
    """The same bundle under two names."""
    found = []
    for name in ("first", "second"):
        folder = shutil.copytree(demo_bundle("tflite").path, tmp_path / name)
        manifest = json.loads((folder / "manifest.json").read_bytes())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"id": name}))
        found.append(folder)
    return found


def whole(out):
    """Checks that a library is what its marker says, and returns the names of its bundles."""
    marker = json.loads((out / MARKER).read_bytes())
    for name, digest in marker["files"].items():
        assert sha256(out / name) == digest
    return [id for module in marker["models"].values() for id in module["bundles"].values()]


def test_kills_of_a_library(seeds, libraries, tmp_path):
    out = tmp_path / "apps" / "mnv4"
    for seed in seeds:
        random = Random(seed)
        again = f"MNV4_ATTACK={seed} repeats it"
        platform = "android"
        sdk(platform, libraries[:1], out)

        def work(platform=platform):
            while True:
                for library in reversed(libraries):
                    sdk(platform, [library], out)

        killed(fork(work), random.uniform(0, 0.5))
        if names(out.parent):  # else it was killed between the renames, and the next one mends it
            assert whole(out) in (["first"], ["second"]), again
        sdk(platform, libraries[1:], out)
        assert whole(out) == ["second"], again
        assert os.listdir(out.parent) == ["mnv4"], again


def test_kills_of_a_library_on_a_full_disk(seeds, libraries, disk):
    out = disk / "mnv4"
    for seed in seeds:
        again = f"MNV4_ATTACK={seed} repeats it"
        sdk("android", libraries[:1], out)
        fill(disk, Random(seed).randrange(2 * size(out)))
        code = os.waitpid(fork(lambda: sdk("android", libraries[1:], out)), 0)[1]
        assert os.waitstatus_to_exitcode(code) in (0, 2), again
        assert whole(out) == (["first"] if code else ["second"]), again
        assert sorted(os.listdir(disk)) == ["fill", "mnv4"], again
        (disk / "fill").unlink()
        shutil.rmtree(out)
