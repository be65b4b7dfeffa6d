"""Exchanges files between Python and Kotlin in `make android`.

Before the Kotlin tests, `write` makes:

    kinds/           a bundle of every kind that Android runs, for LiteRT and ExecuTorch
    bundles/         those of them that are the apps' assets
    npu/             stand-ins of bundles that were compiled for the NPU of each SoC
    pictures/        the demo model's pictures and photographs
    formats/         images: grey, 16 bits, turned by EXIF, ...; NAME.rgb: what Python decodes
    large.jpg        a photograph of 50 megapixels; large.jpg.rgb: the input that Python makes of it
    expected.json    what `mnv4 predict` returns for the pictures
    kinds.json       what the golden check and the golden images of each kind give in Python
    formats.json     size and tolerance of each image in formats/
    job.json         a job for the benchmark app

After them, `read` checks what Kotlin wrote there: a job's result, a measurement and predictions,
and prints how Kotlin's outputs compare with Python's.
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

from mnv4_mobile import Options, load, records
from mnv4_mobile.builder.cache import Cache
from mnv4_mobile.builder.matrix import build_cells, cells
from mnv4_mobile.bundle.folder import Bundle, open_bundle
from mnv4_mobile.bundle.parity import median_db
from mnv4_mobile.files import cache_folder
from mnv4_mobile.images import Preprocess, pixels, read_image
from mnv4_mobile.measuring.devices.app import Job, read_samples
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.results.exchange import import_records
from mnv4_mobile.measuring.results.store import Store
from mnv4_mobile.measuring.subject import CHECKED_IMAGES
from mnv4_mobile.progress import Progress
from tools.hostile_bundle import compiled_bundle

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "mnv4_mobile" / "demo"
DATA = ROOT / "tests" / "data"
CONV = "conv-small-035-96x96-fp32-tflite"
HYBRID = "hybrid-narrow-96x96-fp32-tflite"
APPS = (CONV, CONV.replace("tflite", "executorch"), HYBRID)
"""The bundles in the apps' assets."""
SIZED = "conv-small-035-96x96_64x96-fp32-logits-stage_2-tflite"
"""A bundle that takes several input sizes."""
SOCS = ("SM8650", "SM8750")
"""The SoCs that the stand-ins of compiled bundles are for."""
PICTURES = DEMO / "pictures"
KINDS = [
    ("fp32", Options(images=PICTURES)),
    ("fp16", Options(images=PICTURES)),
    ("int8", Options(images=PICTURES, calibrate=str(PICTURES))),
    ("int8", Options(images=PICTURES, calibrate=str(PICTURES), io="int8")),
    ("int8", Options(images=PICTURES, calibrate=str(PICTURES), io="uint8")),
    ("fp32", Options(images=PICTURES, input="pixels")),
    ("fp32", Options(images=PICTURES, outputs=("probabilities", "embedding", "features"))),
    (
        "fp32",
        Options(
            images=PICTURES,
            size=(96, 96),
            more_sizes=((64, 96),),
            outputs=("logits", "stage_2"),
        ),
    ),
]
"""Recipe and options of each kind; ExecuTorch has no uint8."""
WRITTEN = (
    "result.json",
    "measurement.jsonl",
    "classified.json",
    "kinds-found.json",
    "choices.json",
)
"""Files that the Kotlin tests write."""


def write(folder: Path) -> None:
    """Makes the fixtures, replacing those of an earlier call."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "formats").mkdir(parents=True)
    _dump(folder / "kinds.json", _kinds(folder / "kinds"))
    for name in APPS:
        shutil.copytree(folder / "kinds" / name, folder / "bundles" / name)
    for soc in SOCS:
        compiled_bundle(folder / "bundles" / CONV, folder / "npu", soc)
    pictures = sorted([*PICTURES.iterdir(), *(DEMO / "photos").iterdir()])
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
    _print_choices(json.loads((folder / "choices.json").read_text()))
    _print_predictions(json.loads((folder / "classified.json").read_text()))
    kinds = json.loads((folder / "kinds.json").read_text())
    found = json.loads((folder / "kinds-found.json").read_text())
    print("\n| bundle | top-1 in Python | in Kotlin | largest difference |", end=" ")
    print("golden check in Python, dB | in Kotlin |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, kind in kinds.items():
        print(f"| {name} | {' '.join(kind['top'])} |", end=" ")
        if kotlin := found.get(name):
            print(f"{' '.join(kotlin['top'])} | {kotlin['difference']:.1e} |", end=" ")
            print(f"{kind['sqnr_db']:.4f} | {kotlin['sqnr_db']:.4f} |")
        else:
            print(f"refused by this ExecuTorch | | {kind['sqnr_db']:.4f} | |")


def _print_choices(rows: list[dict[str, str]]) -> None:
    """Prints which unit was chosen where the GPU is bad, and why."""
    print("| the GPU is | chosen | what the app can show |")
    print("| --- | --- | --- |")
    for row in rows:
        print(f"| {row['case']} | {row['unit']} | {row['text']} |")
    print()


def _print_predictions(rows: list[dict[str, Any]]) -> None:
    """Prints for each bundle how many photos have the same top-1 in Kotlin and in Python."""
    print("| bundle | photos | same top-1 | largest difference of the top 5 |")
    print("| --- | --- | --- | --- |")
    for bundle in dict.fromkeys(row["bundle"] for row in rows):
        own = [row for row in rows if row["bundle"] == bundle]
        same = sum(row["python"] == row["kotlin"] for row in own)
        worst = max(row["difference"] for row in own)
        print(f"| {bundle} | {len(own)} | {same} | {worst:.1e} |")


def _kinds(out: Path) -> dict[str, Any]:
    """Builds a bundle of every kind; returns what each gives in Python."""
    progress = Progress()
    targets = ["tflite", "executorch"]
    wanted = [
        cell
        for recipe, options in KINDS
        for cell in cells(
            ["conv-small-035"],
            "demo",
            targets,
            [recipe],
            [options],
            skip_unsupported=True,
            progress=progress,
        )
    ]
    hybrid = [str(DATA / "hybrid-narrow.yaml")]
    weights = str(DATA / "hybrid-narrow.safetensors")
    wanted += cells(hybrid, weights, targets, ["fp32"], [Options()], progress=progress)
    built = build_cells(wanted, out, cache=Cache(cache_folder(), progress), progress=progress)
    for one in built:
        if one.error:
            raise one.error
    bundles = [open_bundle(one.path) for one in built if one.path]
    return {bundle.manifest.id: _python(bundle) for bundle in bundles}


def _python(bundle: Bundle) -> dict[str, Any]:
    """Returns the classes of a bundle's golden images and the result of the golden check.

    The runtime's outputs are in the bundle: those that were verified when it was built.
    """
    eager, artifact = bundle.golden("eager"), bundle.golden("artifact")
    classes = artifact[bundle.class_output("logits", "probabilities").name].argmax(1)
    labels = bundle.manifest.labels
    checked = slice(CHECKED_IMAGES)
    return {
        "top": [labels[i] if labels else str(i) for i in classes],
        "sqnr_db": min(median_db(eager[name][checked], artifact[name][checked]) for name in eager),
    }


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
