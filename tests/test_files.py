import errno
import hashlib
import os
import resource
import subprocess
import sys

import pytest

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.files import new_folder, sha256, size, write_bytes


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
