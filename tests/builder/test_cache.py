import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mnv4_mobile import files
from mnv4_mobile.builder.cache import Cache
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.files import copy_folder, sha256
from tests.notes import Notes


def bundle(folder, name="a-fp32-tflite", content="artifact"):
    path = folder / name
    (path / "golden").mkdir(parents=True)
    (path / "manifest.json").write_text("{}")
    (path / "golden" / "x.bin").write_text(content)
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_bundle_comes_back_whole(tmp_path):
    cache, out = Cache(tmp_path / "cache"), tmp_path / "out"
    made = bundle(tmp_path)
    assert cache.take("k", out) is None
    cache.put("k", made)
    found = cache.take("k", out)
    assert found == out / "a-fp32-tflite"
    assert sha256(found) == sha256(made)
    (found / "manifest.json").write_text("changed by its owner")
    assert sha256(cache.take("k", out)) == sha256(made)
    assert cache.take("other", out) is None


def test_taking_again_what_is_there_touches_nothing(tmp_path):
    cache, out = Cache(tmp_path / "cache"), tmp_path / "out"
    cache.put("k", bundle(tmp_path))
    first = cache.take("k", out).stat().st_ino
    assert cache.take("k", out).stat().st_ino == first


@pytest.mark.parametrize("damage", ["bundle", "record", "deep", "out", "cut"])
def test_a_damaged_entry_is_thrown_away_and_said(tmp_path, damage):
    notes = Notes()
    cache = Cache(tmp_path / "cache", notes)
    cache.put("k", bundle(tmp_path))
    entry = tmp_path / "cache" / "k"
    match damage:
        case "bundle":
            (entry / "a-fp32-tflite" / "golden" / "x.bin").write_text("Artifact")
        case "record":
            (entry / "entry.json").write_text("[1]")
        case "deep":
            (entry / "entry.json").write_text("[" * 100_000)
        case "out":
            (entry / "entry.json").write_text(json.dumps({"id": "..", "sha256": "0" * 64}))
        case "cut":
            (entry / "a-fp32-tflite" / "golden" / "x.bin").unlink()
    assert cache.take("k", tmp_path / "out") is None
    assert notes.notes == ["cache: k... is damaged: built again"]
    assert names(tmp_path / "cache") == []
    assert not (tmp_path / "out").exists()


def test_an_entry_that_changes_while_it_is_copied_is_not_handed_out(tmp_path, monkeypatch):
    cache, out = Cache(tmp_path / "cache"), tmp_path / "out"
    cache.put("k", bundle(tmp_path))

    def changing(source, target):
        (source / "golden" / "x.bin").write_text("Artifact")
        copy_folder(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(files, "copy_folder", changing)
        assert cache.take("k", out) is None
        cache.put("k", tmp_path / "a-fp32-tflite")
        patched.setattr(files, "copy_folder", lambda *_: cache.prune(limit=0) or copy_folder(*_))
        assert cache.take("k", out) is None
    assert names(out) == []
    assert names(tmp_path / "cache") == []


def test_what_the_user_had_is_not_overwritten(tmp_path):
    cache = Cache(tmp_path / "cache")
    cache.put("k", bundle(tmp_path))
    mine = tmp_path / "out" / "a-fp32-tflite"
    mine.mkdir(parents=True)
    (mine / "thesis.txt").write_text("precious")
    with pytest.raises(ConfigError, match=r"holds no manifest\.json"):
        cache.take("k", tmp_path / "out")
    assert names(mine) == ["thesis.txt"]


def test_a_folder_that_is_none_is_a_note(tmp_path):
    (tmp_path / "cache").write_text("a file")
    notes = Notes()
    cache = Cache(tmp_path / "cache", notes)
    cache.put("k", bundle(tmp_path))
    assert cache.take("k", tmp_path / "out") is None
    assert cache.entries() == []
    assert len(notes.notes) == 1
    assert "not cached" in notes.notes[0]


def test_a_full_disk_is_a_note_and_leaves_nothing(tmp_path):
    big = bundle(tmp_path, content="x" * 5000)
    code = (
        "import resource, sys, pathlib\n"
        "from mnv4_mobile.builder.cache import Cache\n"
        "from mnv4_mobile.progress import Progress\n"
        "class P(Progress):\n"
        "    def note(self, text): print(text)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "Cache(pathlib.Path(sys.argv[1]), P()).put('k', pathlib.Path(sys.argv[2]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "cache"), str(big)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "not cached" in done.stdout
    assert "File too large" in done.stdout
    assert names(tmp_path / "cache") == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_the_least_recently_used_go_first(tmp_path):
    cache = Cache(tmp_path / "cache")
    for age, name in enumerate(("new", "middle", "old")):
        cache.put(name, bundle(tmp_path / name, name, "x" * 1000))
        record = tmp_path / "cache" / name / "entry.json"
        os.utime(record, (record.stat().st_mtime - 1000 * age,) * 2)
    assert [entry.id for entry in cache.entries()] == ["new", "middle", "old"]
    assert [entry.id for entry in cache.prune(limit=10**9, older_than_s=1500)] == ["old"]
    assert [entry.id for entry in cache.prune(limit=1500)] == ["middle"]
    assert names(tmp_path / "cache") == ["new"]


def test_two_processes_at_once_do_not_corrupt_it(tmp_path):
    bundle(tmp_path)
    code = (
        "import sys, pathlib\n"
        "from mnv4_mobile.builder.cache import Cache\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "cache = Cache(folder / 'cache')\n"
        "for i in range(40):\n"
        "    cache.put('k', folder / 'a-fp32-tflite')\n"
        "    cache.take('k', folder / 'out')\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    running = [subprocess.Popen(command) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    assert names(tmp_path / "cache") == ["k"]
    assert sha256(Cache(tmp_path / "cache").take("k", tmp_path / "again")) == sha256(
        Path(tmp_path / "a-fp32-tflite")
    )


def test_the_command_keeps_any_number_of_gigabytes(mnv4):
    assert mnv4("cache", "prune", "--keep", "1e300", "--quiet")[0] == 0


def test_what_is_no_file_is_not_copied(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target"
    for folder in (source, target):
        folder.mkdir()
    (source / "file").write_bytes(b"1")
    (source / "device").symlink_to("/dev/zero")
    os.mkfifo(source / "fifo")
    files.copy_folder(source, target)
    assert files.sha256(source) == files.sha256(target)
    assert os.listdir(target) == ["file"]


@pytest.mark.parametrize("name", ["x", "entry.json"])
def test_a_fifo_in_an_entry_is_damage(tmp_path, name):
    entry = tmp_path / "key"
    entry.mkdir()
    (entry / "entry.json").write_text(json.dumps({"id": "x", "sha256": "0" * 64}))
    (entry / name).unlink(missing_ok=True)
    os.mkfifo(entry / name)
    cache = Cache(tmp_path)
    assert cache.entries() == []
    assert cache.take("key", tmp_path / "out") is None
    assert not entry.exists()
