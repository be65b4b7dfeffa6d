"""Assets that are damaged, of another version, or not ours."""

import hashlib
import json
import shutil

import pytest

from mnv4_coreai import target
from mnv4_coreai.asset import HASH, METADATA, PROGRAM
from mnv4_mobile import processes
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import BundleError, DeviceError
from tests.damage import damages

pytestmark = pytest.mark.toolchain("coreai")


@pytest.fixture(scope="module")
def asset(small, tmp_path_factory):
    return small.lower(target, tmp_path_factory.mktemp("asset") / "small.aimodel", "fp16")


@pytest.fixture
def copy(asset, tmp_path):
    return shutil.copytree(asset, tmp_path / "copy.aimodel")


@pytest.mark.parametrize("name", [PROGRAM, HASH, METADATA])
def test_a_file_that_is_missing_cut_or_changed(copy, name):
    file = copy / name
    data = file.read_bytes()
    for damaged in (data[: len(data) // 2], bytes([data[0] ^ 1]) + data[1:], b"", None):
        file.unlink(missing_ok=True)
        if damaged is not None:
            file.write_bytes(damaged)
        for read in (target.inputs, target.operators, lambda path: target.open(path, 1)):
            with pytest.raises(BundleError, match=r"copy\.aimodel"):
                read(copy)


def test_programs_with_the_hash_of_their_damage(copy):
    """Core AI's parser gets them: it may refuse them or end its process, but not this one."""
    refused = 0
    for data in damages((copy / PROGRAM).read_bytes(), 12):
        (copy / PROGRAM).write_bytes(data)
        (copy / HASH).write_bytes(hashlib.sha256(data).digest())
        try:
            target.operators(copy)
        except BundleError as error:
            assert str(error).startswith(str(copy))  # noqa: PT017
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("ours", "theirs", "said"),
    [
        (b"ML\xefR\x0d", b"ML\xefR\x0f", "bytecode version 7 is newer"),
        (b".conv2d_v1\0", b".conv2d_v9\0", r"unregistered operation 'aicode\.primitive\.conv2d_v9"),
    ],
)
def test_a_program_of_another_version(copy, ours, theirs, said):
    data = (copy / PROGRAM).read_bytes()
    assert data.count(ours) == 1
    data = data.replace(ours, theirs)
    (copy / PROGRAM).write_bytes(data)
    (copy / HASH).write_bytes(hashlib.sha256(data).digest())
    with pytest.raises(BundleError, match=r"copy\.aimodel: not .* that coreai-core 1\.0\S+ reads"):
        target.operators(copy)
    with pytest.raises(DeviceError, match=said), Worker("coreai", copy) as worker:
        worker.run({})


def test_a_parser_that_ends_its_process(copy, monkeypatch):
    monkeypatch.setattr(processes, "_SERVE", "import os; os.abort()")
    with pytest.raises(BundleError, match=r"copy\.aimodel: not a Core AI .* ended with -6"):
        target.operators(copy)


def test_metadata_that_is_no_object(copy):
    (copy / METADATA).write_text(json.dumps([1]))
    with pytest.raises(BundleError, match=r"metadata\.json: damaged: found list"):
        target.inputs(copy)


def test_a_file_and_a_link_in_place_of_an_asset(copy, tmp_path):
    file = tmp_path / "file.aimodel"
    file.write_text("x")
    with pytest.raises(BundleError, match="not a Core AI asset: Not a directory"):
        target.inputs(file)
    (copy / PROGRAM).unlink()
    (copy / PROGRAM).symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="link"):
        target.inputs(copy)
