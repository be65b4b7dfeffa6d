import json
import os
import re
import shutil

import numpy as np
import pytest
from records import replace_golden

from mnv4_mobile.bundle.folder import open_bundle, write_golden
from mnv4_mobile.errors import BundleError
from mnv4_mobile.quality.verify import verify

ARTIFACT = {"bytes": 1, "sha256": "0" * 64}
pytestmark = pytest.mark.toolchain("tflite")


@pytest.fixture
def bundle(demo_bundle, tmp_path):
    """A copy to damage."""
    original = demo_bundle("tflite")
    copy = tmp_path / "bundle"
    shutil.copytree(original.path, copy)
    return open_bundle(copy)


def edit(bundle, **changes):
    path = bundle.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_bundle_says_what_an_app_needs(bundle):
    manifest = bundle.manifest
    assert manifest.id == "conv-small-035-96x96-fp32-tflite"
    assert manifest.labels == tuple(map(str, range(10)))
    assert bundle.input.shape == (1, 96, 96, 3)
    assert bundle.preprocess.size == (96, 96)
    assert manifest.parity["cpu"]["logits"].sqnr_db > 80
    assert {layer.precision for layer in manifest.layers} == {"float32"}
    assert manifest.versions["mnv4-mobile"]
    pixels = bundle.golden("input")["pixels"]
    assert pixels.dtype == np.uint8
    assert pixels.shape == (4, 96, 96, 3)
    eager, artifact = bundle.golden("eager")["logits"], bundle.golden("artifact")["logits"]
    np.testing.assert_allclose(eager, artifact, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda b: b.artifact.write_bytes(b.artifact.read_bytes()[:-1] + b"x"), "damaged: sha256"),
        (lambda b: b.artifact.unlink(), r"fp32\.tflite: missing"),
        (lambda b: (b.path / "manifest.json").unlink(), "not a bundle: manifest.json cannot be"),
        (lambda b: (b.path / "manifest.json").write_text("{"), "not JSON"),
        (
            lambda b: (b.path / "manifest.json").write_text("[]"),
            r"manifest\.json: found \[\], must be an object",
        ),
        (lambda b: edit(b, schema=2), "written by a newer version"),
        (lambda b: edit(b, schema=0), r"schema: found 0, allowed: 1"),
        (lambda b: edit(b, surprise=1), "surprise: unknown key, allowed: schema, id"),
        (
            lambda b: edit(b, artifact=ARTIFACT | {"path": "../other/model.tflite"}),
            r"artifact\.path: found '.*', must be a path inside the bundle",
        ),
        (
            lambda b: edit(b, artifact=ARTIFACT | {"path": "/etc/passwd"}),
            r"artifact\.path: found '.*', must be a path inside the bundle",
        ),
    ],
)
def test_a_damaged_bundle_is_refused(bundle, damage, message):
    damage(bundle)
    with pytest.raises(BundleError, match=message):
        open_bundle(bundle.path)


def test_a_golden_file_of_another_length_is_refused(bundle):
    path = bundle.path / "golden" / "input.pixels.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        BundleError, match=r"pixels\.bin: found 110591 bytes, the manifest says 110592"
    ):
        bundle.golden("input")


def test_golden_tensors_are_little_endian_in_c_order(tmp_path):
    tensor = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    (entry,) = write_golden(tmp_path, "eager", {"y": tensor}, {"y": 80.0})
    data = (tmp_path / entry.path).read_bytes()
    assert data == np.arange(6, dtype="<f4").tobytes()
    assert entry.min_sqnr_db == 80.0
    assert entry.dtype == "float32"


def test_a_golden_file_that_was_changed_is_refused(bundle):
    path = bundle.path / "golden" / "eager.logits.bin"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(BundleError, match=r"eager\.logits\.bin: damaged: sha256"):
        open_bundle(bundle.path).golden("eager")


def test_a_reference_that_is_not_finite_is_refused(bundle):
    values = bundle.golden("eager")["logits"].copy()
    values[0, 0] = np.nan
    replace_golden(bundle.path, "golden/eager.logits.bin", values.tobytes())
    with pytest.raises(BundleError, match=r"eager\.logits\.bin: holds values that are not finite"):
        verify(bundle.path)


@pytest.mark.parametrize("lacking", ["input", "eager"])
def test_incomplete_golden_pairs_are_refused(bundle, lacking):
    golden = json.loads((bundle.path / "manifest.json").read_text())["golden"]
    edit(bundle, golden=[entry for entry in golden if entry["source"] != lacking])
    with pytest.raises(BundleError, match=r"manifest\.json: golden: needs the pixels of the input"):
        open_bundle(bundle.path)


def test_sizes_that_contradict_the_files_are_refused(bundle):
    artifact = json.loads((bundle.path / "manifest.json").read_text())["artifact"]
    edit(bundle, artifact=artifact | {"bytes": artifact["bytes"] + 1})
    with pytest.raises(BundleError, match=r"fp32\.tflite: found \d+ bytes, the manifest says"):
        open_bundle(bundle.path)


@pytest.mark.parametrize("name", ["golden/input.pixels.bin", "manifest.json", "extra", "golden/x"])
@pytest.mark.parametrize("kind", ["link", "fifo", "folder link"])
def test_links_and_devices_are_refused_before_anything_is_opened(bundle, name, kind):
    path = bundle.path / name
    path.unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("/etc" if kind == "folder link" else "/etc/hostname")
    with pytest.raises(BundleError, match=f"{re.escape(str(path))}: is a"):
        open_bundle(bundle.path)


def test_names_that_cannot_be_printed_are_refused(bundle):
    (bundle.path / "golden" / "a\nb").touch()
    with pytest.raises(BundleError, match=r"golden: holds the name 'a\\nb', must be printable"):
        open_bundle(bundle.path)


def test_the_path_to_a_bundle_may_be_a_link(bundle, tmp_path):
    (tmp_path / "link").symlink_to(bundle.path)
    assert open_bundle(tmp_path / "link").manifest == bundle.manifest


def test_only_what_the_manifest_names_is_copied(bundle, tmp_path):
    (bundle.path / "golden" / "secret.bin").write_text("secret")
    open_bundle(bundle.path).copy_to(tmp_path / "copy")
    copied = sorted(
        path.relative_to(tmp_path / "copy").as_posix()
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    )
    assert copied == sorted(bundle.files)
    assert open_bundle(tmp_path / "copy").manifest == bundle.manifest


def test_a_manifest_of_many_megabytes_is_not_read(bundle):
    with (bundle.path / "manifest.json").open("r+b") as file:
        file.truncate(2**33)
    with pytest.raises(BundleError, match=r"manifest\.json: found 8589934592 bytes, must be"):
        open_bundle(bundle.path)
