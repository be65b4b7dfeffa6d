import json
import os

import pytest
from PIL import Image

from mnv4_mobile import Options, build
from mnv4_mobile.errors import DiskError
from mnv4_mobile.measuring.results.store import Store
from mnv4_mobile.quality.evaluate import evaluate

pytestmark = pytest.mark.toolchain("tflite")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, heldout):
    """Sixty of the held-out scenes, in one folder per class."""
    folder = tmp_path_factory.mktemp("dataset")
    for index, (image, label) in enumerate(zip(*heldout, strict=True)):
        if index < 60:
            path = folder / str(label) / f"{index:03}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(image).save(path)
    return folder


def test_accuracy_and_agreement(demo_bundle, dataset):
    bundle = demo_bundle("tflite")
    found = evaluate(bundle, dataset, parent=bundle)
    assert found.n == 60
    assert found.top1 >= 0.9
    assert found.top1 <= found.top5 <= 1
    assert found.agreement == 1
    assert found.sqnr_db == 200
    assert found.confusion == ()
    assert found.artifact_sha256 == bundle.manifest.artifact.sha256
    few = evaluate(bundle, dataset, limit=7)
    assert few.n == 7
    assert few.agreement is None
    assert few.dataset_sha256 != found.dataset_sha256


def test_a_dataset_without_classes_and_with_a_broken_file(demo_bundle, dataset, tmp_path, mnv4):
    for index, path in enumerate(sorted(dataset.rglob("*.png"))[:5]):
        (tmp_path / f"{index}.png").write_bytes(path.read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    bundle = demo_bundle("tflite").path
    code, out, err = mnv4("evaluate", bundle, tmp_path, "--parent", bundle, "--json")
    assert code == 0
    (found,) = json.loads(out)["evaluations"]
    assert (found["n"], found["top1"], found["agreement"]) == (5, None, 1.0)
    assert "broken.png" in found["skipped"][0]
    assert "skipped" in err


def test_the_table_and_the_record(demo_bundle, dataset, mnv4, tmp_path):
    path = tmp_path / "s.sqlite"
    bundle = demo_bundle("tflite")
    code, out, err = mnv4("evaluate", bundle.path, dataset, "--limit", "8", "--store", path)
    assert f"recorded in {path}" in err
    with Store(path) as store:
        (kept,) = store.evaluations()
    assert kept.artifact_sha256 == bundle.manifest.artifact.sha256
    assert kept.n == 8
    assert code == 0
    assert "top-1" in out
    assert "8, 0 skipped" in " ".join(out.split())


def test_bad_input(demo_bundle, dataset, tmp_path, mnv4):
    bundle = demo_bundle("tflite").path
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "a.png").write_bytes(next(dataset.rglob("*.png")).read_bytes())
    for arguments, message in (
        ((tmp_path,), "folder 'cats' is not a label of the bundle, and there are 1 folders for 10"),
        ((tmp_path / "nowhere",), "nowhere"),
        ((dataset, "--limit", "0"), "--limit: found '0', must be greater than or equal to 1"),
    ):
        code, _, err = mnv4("evaluate", bundle, *arguments)
        assert code == 2
        assert message in " ".join(err.split())
        assert "Traceback" not in err


def test_file_names_that_are_not_text_are_recorded(demo_bundle, dataset, tmp_path, mnv4):
    pictures = tmp_path / os.fsdecode(b"caf\xe9")
    pictures.mkdir()
    first = next(dataset.rglob("*.png")).read_bytes()
    (pictures / os.fsdecode(b"\xff.png")).write_bytes(first)
    (pictures / os.fsdecode(b"\xfe.png")).write_bytes(b"no picture")
    store = tmp_path / "s.sqlite"
    code, _, err = mnv4("evaluate", demo_bundle("tflite").path, pictures, "--store", store)
    assert code == 0, err
    with Store(store, "read") as opened:
        (kept,) = opened.evaluations()
    assert (kept.n, kept.dataset) == (1, r"caf\udce9")
    assert r"\udcfe.png" in kept.skipped[0]


def test_what_cannot_be_recorded_is_printed(demo_bundle, dataset, tmp_path, mnv4, monkeypatch):
    def full(self, record):
        raise DiskError(f"{self.path}: the disk is full")

    monkeypatch.setattr(Store, "add", full)
    store = tmp_path / "s.sqlite"
    words = ["evaluate", demo_bundle("tflite").path, dataset, "--limit", "3", "--store", store]
    code, out, err = mnv4(*words)
    assert (code, "top-1" in out) == (2, True)
    assert err.splitlines()[-1] == f"error: not recorded: {store}: the disk is full"
    assert "recorded in" not in err
    code, out, _ = mnv4(*words, "--json")
    printed = json.loads(out)
    assert (code, printed["evaluations"][0]["n"]) == (2, 3)
    assert printed["error"]["type"] == "DiskError"


@pytest.mark.usefixtures("_cache")
def test_an_input_size_of_several(dataset, mnv4, tmp_path):
    path = tmp_path / "s.sqlite"
    (built,) = build(
        "demo",
        out=tmp_path,
        targets=["tflite"],
        options=Options(size=(64, 64), more_sizes=((96, 96),)),
    )
    command = "evaluate", built.path, dataset, "--limit", "12", "--store", path
    code, out, _ = mnv4(*command, "--input-size", "96", "--parent", built.path)
    assert code == 0
    assert f"{built.manifest.id} at 96x96" in " ".join(out.split())
    mnv4(*command)
    with Store(path) as store:
        large, small = store.evaluations()
    assert (large.size, small.size) == ((96, 96), (64, 64))
    assert large.agreement == 1  # the parent ran at the same size
    code, _, err = mnv4(*command, "--input-size", "32")
    assert code == 2
    assert "found 32x32" in err
    assert "takes: 64x64, 96x96" in " ".join(err.split())
