"""Measurements to store, compare and choose from, and bundles with other golden tensors."""

import hashlib
import json

from mnv4_mobile.bundle.manifest import (
    ArtifactEntry,
    GoldenEntry,
    LayerEntry,
    Manifest,
    ModelEntry,
    PreprocessEntry,
)
from mnv4_mobile.bundle.parity import Parity
from mnv4_mobile.measuring.measurement import Artifact, DeviceInfo, Measurement, Samples, Thermal
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.profile import PartTime, Profile, StoredProfile
from mnv4_mobile.quality.evaluate import Evaluation
from mnv4_mobile.tensors import TensorSpec

PLAN = Plan()
ARTIFACT = Artifact(
    sha256="a" * 64,
    bytes=4_000_000,
    target="tflite",
    bundle_id="conv-small-224x224-int8-tflite",
    name="conv-small-224x224-int8-tflite",
    model="conv-small",
    recipe="int8",
    size=(224, 224),
)
SMALL = Artifact(
    sha256="0" * 64,
    bytes=1,
    target="coreml",
    bundle_id="small",
    name="small",
    model="small",
    recipe="fp16",
    size=(64, 64),
)
"""The artifact of a bundle that nobody opens."""
DEVICE = DeviceInfo(id="adb:1", model="Pixel 8", soc="Tensor G3", os_build="Android 15", cores=9)


def samples(latencies):
    return Samples(
        golden_sqnr_db=60.0,
        load_cold_ms=12.5,
        first_ms=9.0,
        latencies_ms=tuple(latencies),
        t_ms=tuple(10.0 * i for i in range(len(latencies))),
        thermal_before=Thermal(status="nominal", celsius=31.5),
        versions={"runtime": "litert 2.1.0"},
    )


def measurement(latencies=(5.0,) * 50, **fields):
    """A sound measurement but for the given fields; `latencies` are its samples."""
    status = fields.get("status", "ok")
    values = {
        "run": "a",
        "session": 0,
        "artifact": ARTIFACT,
        "device": DEVICE,
        "plan": PLAN,
        "status": status,
        "error": None if status == "ok" else "the device vanished",
        "samples": samples(latencies) if status == "ok" else None,
        "started_at": "2026-01-02T03:04:05+00:00",
    }
    return Measurement(**{**values, **fields})


def evaluation(sha256="a" * 64, **fields):
    """An evaluation on 1000 pictures."""
    values = {
        "artifact_sha256": sha256,
        "bundle_id": "conv-small-224x224-int8-tflite",
        "dataset": "val",
        "dataset_sha256": "d" * 64,
        "n": 1000,
        "skipped": (),
        "top1": 0.74,
        "top5": 0.91,
        "parent_sha256": None,
        "parent_top1": None,
        "parent_top5": None,
        "agreement": None,
        "sqnr_db": None,
        "sqnr_db_p10": None,
        "confusion": (),
        "images_per_s": 60.0,
        "threads": 1,
        "unit": None,
        "started_at": "2026-01-02T03:04:05+00:00",
        "versions": {"numpy": "2.0.0"},
    }
    return Evaluation(**{**values, **fields})


def profile(sha256="a" * 64, device="host", **fields):
    """A profile without operators."""
    values = {
        "bundle": "conv-small-224x224-int8-tflite",
        "threads": 1,
        "runs": 50,
        "latency_ms": 5.0,
        "fastest_ms": 4.9,
        "total": PartTime(name="total", role=None, ms=4.8, macs=10, gflops=0.1),
        "convolutions_ms": 4.0,
        "stages": (),
        "blocks": (),
        "kinds": (),
        "operators": (),
    }
    found = Profile(**{**values, **fields})
    return StoredProfile(artifact_sha256=sha256, device_id=device, profile=found)


PROFILE = profile()


def replace_golden(bundle, name, data):
    """Replaces a golden file of a bundle's folder, and its hash in the manifest."""
    (bundle / name).write_bytes(data)
    manifest = json.loads((bundle / "manifest.json").read_text())
    (entry,) = (entry for entry in manifest["golden"] if entry["path"] == name)
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def manifest(**fields):
    """A manifest of a classifier in float32."""
    sha = {"sha256": "d" * 64}
    logits = {"dtype": "float32", "source": "eager", "min_sqnr_db": 80.0, **sha}
    pixels = {"dtype": "uint8", "source": "input", "min_sqnr_db": None, **sha}
    values = {
        "schema": 1,
        "id": "conv-small-96x96-fp32-tflite",
        "ingredients": {"weights": "e" * 64},
        "model": ModelEntry(
            name="conv-small",
            config_sha256="b" * 64,
            weights="demo",
            weights_sha256="c" * 64,
            licence="Apache-2.0",
        ),
        "target": "tflite",
        "recipe": "fp32",
        "options": {"stock": False},
        "artifact": ArtifactEntry(path="conv-small-96x96-fp32.tflite", bytes=1, sha256="a" * 64),
        "inputs": (
            TensorSpec(
                name="image", kind="image", shape=(1, 96, 96, 3), dtype="float32", layout="nhwc"
            ),
        ),
        "outputs": (
            TensorSpec(name="logits", kind="logits", shape=(1, 10), dtype="float32", layout=None),
        ),
        "preprocess": PreprocessEntry(size=(96, 96), inside=False, assumed=()),
        "labels": tuple(map(str, range(10))),
        "golden": (
            GoldenEntry(path="golden/pixels.bin", tensor="pixels", shape=(1, 96, 96, 3), **pixels),
            GoldenEntry(path="golden/logits.bin", tensor="logits", shape=(1, 10), **logits),
        ),
        "parity": {
            "cpu": {
                "logits": Parity(
                    sqnr_db=120.0,
                    sqnr_db_p10=118.5,
                    top1_agreement=1.0,
                    max_abs=1e-5,
                    n=1,
                    gate_db=80.0,
                )
            }
        },
        "layers": (
            LayerEntry(
                name="stem.conv", precision="float32", why=None, kind="convolution", block="stem"
            ),
        ),
        "requires": {},
        "versions": {"mnv4-mobile": "0.1.0"},
    }
    return Manifest(**{**values, **fields})
