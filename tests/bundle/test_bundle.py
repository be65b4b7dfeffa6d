import json
import shutil

import numpy as np
import pytest

from mnv4_mobile.bundle.manifest import open_bundle, write_golden
from mnv4_mobile.errors import BundleError

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
    with pytest.raises(BundleError, match=r"pixels\.bin: found 110591 bytes, must be 110592"):
        bundle.golden("input")


def test_golden_tensors_are_little_endian_in_c_order(tmp_path):
    tensor = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    (entry,) = write_golden(tmp_path, "eager", {"y": tensor}, {"y": 80.0})
    data = (tmp_path / entry.path).read_bytes()
    assert data == np.arange(6, dtype="<f4").tobytes()
    assert entry.min_sqnr_db == 80.0
    assert entry.dtype == "float32"
