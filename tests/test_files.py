import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.files import Reader, new_folder, scratch, sha256, size, write_bytes


def entries(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    write_bytes(path, b"new and longer")
    assert path.read_bytes() == b"new and longer"
    assert entries(tmp_path) == ["a.bin"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path):
    # A limit on the size of files is what a test can have of a full disk without being root.
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    code = (
        "import resource, sys, pathlib\n"
        "from mnv4_mobile.errors import DiskError\n"
        "from mnv4_mobile.files import write_bytes\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n"
        "try: write_bytes(pathlib.Path(sys.argv[1]), bytes(5000))\n"
        "except DiskError as error: sys.exit(error.__cause__.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == errno.EFBIG
    assert path.read_bytes() == b"old"
    assert entries(tmp_path) == ["a.bin"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_a_folder_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "deep" / "bundle"
    with new_folder(path, "mark") as folder:
        (folder / "mark").write_text("1")
        assert not path.exists()
    assert entries(path) == ["mark"]
    assert entries(path.parent) == ["bundle"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_folder_that_fails_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "mark").write_text("old")

    def fail():
        with new_folder(path, "mark") as folder:
            (folder / "mark").write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert (path / "mark").read_text() == "old"
    assert entries(tmp_path) == ["bundle"]


def test_a_folder_replaces_its_own_kind_only(tmp_path):
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "mark").write_text("old")
    with new_folder(path, "mark") as folder:
        (folder / "mark").write_text("new")
    assert (path / "mark").read_text() == "new"
    (path / "mark").rename(path / "thesis.txt")
    with pytest.raises(ConfigError, match=r"exists and holds no mark"), new_folder(path, "mark"):
        pass
    assert entries(path) == ["thesis.txt"]


def test_the_hash_of_a_folder_is_that_of_its_sorted_lines(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x").write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"22")
    digests = [hashlib.sha256(data).hexdigest() for data in (b"22", b"1")]
    text = f"{digests[0]}  a\n{digests[1]}  b/x\n"
    assert sha256(tmp_path) == hashlib.sha256(text.encode()).hexdigest()
    assert sha256(tmp_path / "a") == digests[0]
    assert size(tmp_path) == 3
    os.utime(tmp_path / "a", (0, 0))
    assert sha256(tmp_path) == hashlib.sha256(text.encode()).hexdigest()


# --- processes that are killed


DIES = """
import os, signal, sys
from pathlib import Path
from mnv4_mobile.files import new_folder, scratch

path, where = Path(sys.argv[1]), sys.argv[2]
rename = Path.rename

def killed(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def rename_or_die(old, new):
    if where == "between" and new == path and path.name not in os.listdir(path.parent):
        killed()
    done = rename(old, new)
    if where == "after" and new == path:
        killed()
    return done

Path.rename = rename_or_die
with new_folder(path, "mark") as folder:
    (folder / "mark").write_text("new")
    if where == "filling":
        killed()
"""
"""Replaces a folder, and is killed while it does."""


def die(path, where):
    """Runs `DIES`, which leaves a working folder beside the path."""
    done = subprocess.run([sys.executable, "-c", DIES, str(path), where], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len([name for name in entries(path.parent) if name.startswith(".mnv4-")]) == 1


@pytest.mark.parametrize(
    ("where", "found"), [("filling", "old"), ("between", "old"), ("after", "new")]
)
def test_a_killed_process_leaves_a_whole_folder_and_nothing_after_the_next(tmp_path, where, found):
    path = tmp_path / "bundle"
    path.mkdir()
    (path / "mark").write_text("old")
    die(path, where)
    # Between the two renames there is none, until the next process puts it back.
    assert path.exists() == (where != "between")
    write_bytes(tmp_path / "other", b"")
    assert entries(tmp_path) == ["bundle", "other"]
    assert (path / "mark").read_text() == found


def test_only_what_no_process_holds_is_swept(tmp_path):
    mine = [tmp_path / ".mnv4-settings", tmp_path / ".mnv4-12345678"]
    for folder in mine:
        folder.mkdir()
        (folder / "thesis.txt").write_text("precious")
    (tmp_path / ".mnv4-abcdefgh").symlink_to(mine[0])
    (tmp_path / ".mnv4-empty___").mkdir()  # killed before it had a lock
    with scratch(tmp_path) as living:
        (living.folder / "half").write_text("")
        write_bytes(tmp_path / "other", b"")
        assert (living.folder / "half").exists()
    names = [".mnv4-12345678", ".mnv4-abcdefgh", ".mnv4-settings", "other"]
    assert entries(tmp_path) == names
    assert all((folder / "thesis.txt").exists() for folder in mine)


@pytest.mark.parametrize("made", [0, 1, 2])
def test_a_working_folder_that_was_only_begun_is_removed(tmp_path, monkeypatch, made):
    mkdir, left = Path.mkdir, list(range(made))

    def fail_later(path, *arguments, **named):
        if not left:
            raise OSError("killed here, say")
        left.pop()
        mkdir(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", fail_later)
    with pytest.raises(OSError, match="killed here"), scratch(tmp_path):
        pass
    assert entries(tmp_path) == []


def test_processes_that_replace_one_folder_leave_a_whole_one(tmp_path):
    code = (
        "import pathlib, sys\n"
        "from mnv4_mobile.files import new_folder\n"
        "for _ in range(100):\n"
        "    with new_folder(pathlib.Path(sys.argv[1]), 'mark') as folder:\n"
        "        for name in ('mark', 'other'): (folder / name).write_text(sys.argv[2])\n"
    )
    path = tmp_path / "bundle"
    commands = [[sys.executable, "-c", code, str(path), name] for name in "abc"]
    running = [subprocess.Popen(command) for command in commands]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert entries(tmp_path) == ["bundle"]
    assert entries(path) == ["mark", "other"]
    assert (path / "mark").read_text() == (path / "other").read_text()


def test_a_file_that_changes_between_two_reads_is_refused(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"1")
    reader = Reader()
    assert reader.read(path) == b"1"
    path.write_bytes(b"2")
    # The hash stays that of the bytes that were read.
    assert reader.sha256(path) == hashlib.sha256(b"1").hexdigest()
    with pytest.raises(ConfigError, match=r"weights: has changed while it was in use"):
        reader.read(path)
