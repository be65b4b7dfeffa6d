"""Exchanges files between Python and Kotlin in `make android`.

Before the Kotlin tests, `write` makes:

    bundles/         float32 bundles for LiteRT and ExecuTorch
    pictures/        the demo model's pictures and photographs
    formats/         images: grey, 16 bits, turned by EXIF, ...; NAME.rgb: what Python decodes
    large.jpg        a photograph of 50 megapixels; large.jpg.rgb: the input that Python makes of it
    expected.json    what `mnv4 predict` returns for the pictures
    formats.json     size and tolerance of each image in formats/
    job.json         a job for the benchmark app

After them, `read` checks what Kotlin wrote there: a job's result, a measurement and predictions.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mnv4_mobile import build, load, records
from mnv4_mobile.bundle.manifest import open_bundle
from mnv4_mobile.images import Preprocess, pixels, read_image
from mnv4_mobile.measuring.devices.app import Job, read_samples
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.results.exchange import import_records
from mnv4_mobile.measuring.results.store import Store

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "mnv4_mobile" / "demo"
DATA = ROOT / "tests" / "data"
CONV = "conv-small-035-96x96-fp32-tflite"
HYBRID = "hybrid-narrow-96x96-fp32-tflite"
WRITTEN = ("result.json", "measurement.jsonl", "classified.json")
"""Files that the Kotlin tests write."""


def write(folder: Path) -> None:
    """Makes the fixtures, replacing those of an earlier call."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "formats").mkdir(parents=True)
    _bundles(folder / "bundles")
    pictures = sorted([*(DEMO / "pictures").iterdir(), *(DEMO / "photos").iterdir()])
    (folder / "pictures").mkdir()
    for path in pictures:
        shutil.copy(path, folder / "pictures")
    expected = {}
    for name in (CONV, HYBRID):
        with load(folder / "bundles" / name) as model:
            found = model.classify(pictures, top=5)
        expected[name] = [
            {"picture": f"pictures/{path.name}", "top": [asdict(p) for p in predictions]}
            for path, predictions in zip(pictures, found, strict=True)
        ]
    _dump(folder / "expected.json", expected)
    _dump(folder / "formats.json", _formats(folder / "formats"))
    _large(folder / "large.jpg")
    (folder / "job.json").write_bytes(records.encode(_job(folder), indent=1))


def read(folder: Path) -> None:
    """Reads what the Kotlin tests wrote, and prints how the predictions compare."""
    absent = [name for name in WRITTEN if not (folder / name).is_file()]
    if absent:
        sys.exit(f"{folder}: the tests did not write {', '.join(absent)}")
    samples = read_samples((folder / "result.json").read_bytes(), _job(folder), CONV)
    assert samples is not None, "the result belongs to another job"
    assert len(samples.latencies_ms) == len(samples.t_ms) >= 5
    with tempfile.TemporaryDirectory() as scratch, Store(Path(scratch) / "store.sqlite") as store:
        import_records(store, folder / "measurement.jsonl")
        (measurement,) = store.measurements()
    assert (
        measurement.artifact.sha256
        == open_bundle(folder / "bundles" / CONV).manifest.artifact.sha256
    )
    assert measurement.samples is not None
    assert measurement.plan == Plan()
    print("\nPython read a result of the benchmark app and a measurement of the demo app\n")
    print("| bundle | photo | Python top-1 | Kotlin top-1 | largest difference of the top 5 |")
    print("| --- | --- | --- | --- | --- |")
    for row in json.loads((folder / "classified.json").read_text()):
        difference = f"{row['difference']:.1e}"
        print("|", row["bundle"], "|", row["picture"], "|", end=" ")
        print(row["python"], "|", row["kotlin"], "|", difference, "|")


def _bundles(out: Path) -> None:
    build("conv-small-035", weights="demo", out=out, targets=["tflite", "executorch"])
    hybrid = str(DATA / "hybrid-narrow.yaml")
    weights = str(DATA / "hybrid-narrow.safetensors")
    build(hybrid, weights=weights, out=out, targets=["tflite"])


def _formats(folder: Path) -> dict[str, Any]:
    """Writes images of each format and what Python decodes; returns their sizes and tolerances."""
    rng = np.random.default_rng(0)
    # Blocks of flat colour pass through JPEG almost unchanged.
    rgb = np.kron(rng.integers(0, 256, (3, 4, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
    grey = Image.fromarray(rgb[:, :, 0])
    deep = Image.fromarray(rng.integers(0, 65536, (20, 30)).astype(np.uint16))
    colour = Image.fromarray(rgb)
    clear = colour.copy()
    clear.putalpha(Image.fromarray(rgb[:, :, 1] | np.uint8(1)))
    saved: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "grey.png": (grey, {}),
        "grey.jpg": (grey, {"quality": 100}),
        "grey16.png": (deep, {}),
        "palette.png": (colour.quantize(12), {}),
        "alpha.png": (clear, {}),
        "colour.webp": (colour, {"lossless": True}),
    }
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        options: dict[str, Any] = {"exif": exif, "quality": 100, "subsampling": 0}
        saved[f"turned{orientation}.jpg"] = (colour, options)
        saved[f"turned{orientation}.png"] = (colour, {"exif": exif})
        saved[f"turned{orientation}.webp"] = (colour, {"exif": exif, "lossless": True})
    about = {}
    for name, (picture, options) in saved.items():
        picture.save(folder / name, **options)
        decoded = read_image(folder / name)
        (folder / f"{name}.rgb").write_bytes(decoded.tobytes())
        height, width, _ = decoded.shape
        # JPEG decoders differ a little; decoders of lossless formats do not.
        off = 3 if name.endswith(".jpg") else 0
        about[name] = {"width": width, "height": height, "off": off}
    return about


def _large(path: Path) -> None:
    with Image.open(DEMO / "photos" / "cat.jpg") as photo:
        photo.resize((8160, 6120)).save(path, quality=80)
    preprocess = Preprocess(size=(224, 224), crop=0.875, interpolation="bicubic")
    path.with_name(f"{path.name}.rgb").write_bytes(pixels(read_image(path), preprocess).tobytes())


def _job(folder: Path) -> Job:
    """Returns the same job every time, so that the result of another job is recognized."""
    return Job(
        id="00000000-0000-4000-8000-000000000008",
        bundle="bundle",
        plan=Plan(warmup=2, runs=5, seconds=0.0),
    )


def _dump(path: Path, entries: Any) -> None:
    path.write_text(json.dumps(entries, indent=1))
