"""Measurements to store, compare and choose from."""

from mnv4_mobile.measure.measurement import Artifact, DeviceInfo, Measurement, Samples, Thermal
from mnv4_mobile.measure.plan import Plan

PLAN = Plan()
ARTIFACT = Artifact(
    sha256="a" * 64,
    bytes=4_000_000,
    target="tflite",
    bundle_id="conv-small-224x224-int8.tflite",
    name="conv-small-224x224-int8.tflite",
    model="conv-small",
    recipe="int8",
    size=(224, 224),
)
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
    """A sound one, unless told otherwise; `latencies` are its samples."""
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
    return {
        "schema": 1,
        "artifact_sha256": sha256,
        "bundle_id": "conv-small-224x224-int8.tflite",
        "dataset": "val",
        "dataset_sha256": "d" * 64,
        "n": 1000,
        "skipped": [],
        "top1": 0.74,
        "top5": 0.91,
        "parent_sha256": None,
        "parent_top1": None,
        "parent_top5": None,
        "agreement": None,
        "sqnr_db": None,
        "sqnr_db_p10": None,
        "confusion": [],
        "images_per_s": 60.0,
        "threads": 1,
        "started_at": "2026-01-02T03:04:05+00:00",
        "versions": {"numpy": "2.0.0"},
        **fields,
    }


PROFILE = {
    "bundle": "conv-small-224x224-int8.tflite",
    "threads": 1,
    "runs": 50,
    "latency_ms": 5.0,
    "fastest_ms": 4.9,
    "total": {"name": "total", "role": None, "ms": 4.8, "macs": 10, "gflops": 0.1},
    "convolutions_ms": 4.0,
    "stages": [],
    "blocks": [],
    "kinds": [],
    "operators": [],
}
