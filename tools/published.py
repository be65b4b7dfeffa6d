"""Writes what others published about MobileNetV4 into `mnv4_mobile/data`.

    python -m tools.published                       # timm's checkpoints, from the installed timm
    python -m tools.published results-imagenet.csv  # timm's accuracies, from results/ of timm's git
    python -m tools.published qai_hub_models-*.whl  # Qualcomm AI Hub's figures, from PyPI's wheel

`published.json` also has the figures of the paper and of MLPerf Mobile, which are kept by hand.
Nothing is downloaded.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mnv4_mobile import records
from mnv4_mobile.model.timm_names import PREFIX
from mnv4_mobile.published import (
    Accuracy,
    Checkpoint,
    Checkpoints,
    Device,
    Figures,
    Latency,
    Preprocessing,
)
from mnv4_mobile.units import UNITS, Unit

DATA = Path(__file__).parents[1] / "mnv4_mobile" / "data"
CHECKPOINTS, FIGURES = DATA / "checkpoints.json", DATA / "published.json"


def main(arguments: Sequence[str]) -> None:
    """Writes the files; see the module."""
    if not arguments:
        CHECKPOINTS.write_text(text(timm_checkpoints()), "utf-8")
    for argument in arguments:
        found = records.decode(FIGURES.read_bytes(), Figures, FIGURES.name)
        change = ai_hub if argument.endswith(".whl") else timm_accuracies
        FIGURES.write_text(text(change(found, Path(argument))), "utf-8")


def text(record: object) -> str:
    """Returns a record as JSON with a line for each of its smallest parts."""
    return _lines(records.plain(record)) + "\n"


_LONGEST = 400
"""Longer values are spread over several lines."""


def _lines(value: Any, margin: str = "\n") -> str:
    line = json.dumps(value, ensure_ascii=False)
    if len(line) <= _LONGEST or not isinstance(value, dict | list | tuple):
        return line
    inner = margin + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_lines(item, inner)}" for key, item in value.items()]
        return f"{{{inner}{f',{inner}'.join(parts)}{margin}}}"
    return f"[{inner}{f',{inner}'.join(_lines(item, inner) for item in value)}{margin}]"


def timm_checkpoints() -> Checkpoints:
    """Returns the checkpoints of the installed timm."""
    import timm

    names = timm.list_models(f"{PREFIX}*", pretrained=True)
    return Checkpoints(timm=timm.__version__, checkpoints=tuple(map(_checkpoint, names)))


def _checkpoint(name: str) -> Checkpoint:
    from timm.models import get_pretrained_cfg

    about = get_pretrained_cfg(name)
    assert about.crop_mode == "center", f"{name}: another crop than ours"
    trained = Preprocessing(size=about.input_size[-1], crop=about.crop_pct)
    size, crop = about.test_input_size or about.input_size, about.test_crop_pct or about.crop_pct
    test = Preprocessing(size=size[-1], crop=crop)
    return Checkpoint(
        name=name,
        source=f"hf-hub:{about.hf_hub_id}",
        licence=about.license,
        classes=about.num_classes,
        mean=about.mean,
        std=about.std,
        interpolation=about.interpolation,
        trained=trained,
        test=None if test == trained else test,
    )


def timm_accuracies(old: Figures, path: Path) -> Figures:
    """Returns the figures with timm's accuracies from its `results-imagenet.csv`."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"].startswith(PREFIX)]
    found = (
        Accuracy(model=row["model"], size=int(row["img_size"]), top1=float(row["top1"]))
        for row in sorted(rows, key=lambda row: (row["model"], int(row["img_size"])))
    )
    return _with(old, "timm", accuracies=tuple(found))


_RUNTIMES = {"tflite": "LiteRT", "qnn_dlc": "QNN", "onnx": "ONNX Runtime"}
"""AI Hub's names of runtimes, in the order in which they are shown."""
_PRECISIONS: Mapping[str, Any] = {"float": "float", "w8a8": "int8"}
_MAKERS = re.compile(r"^(?:Samsung|Google) ")
_SOC = re.compile(r"\b(?:sm|sc|sa|qcs|qcm)\d{4}\w*")


def ai_hub(old: Figures, wheel: Path) -> Figures:
    """Returns the figures with those of a wheel of `qai_hub_models`: conv-medium at 224 pixels."""
    with zipfile.ZipFile(wheel) as archive:
        folder = "qai_hub_models/models/mobilenet_v4"
        perf, numerics, manifest, chips = (
            yaml.safe_load(archive.read(name))
            for name in (
                f"{folder}/perf.yaml",
                f"{folder}/numerics.yaml",
                f"{folder}/manifest.yaml",
                "qai_hub_models/devices_and_chipsets.yaml",
            )
        )
        built = max(entry.date_time for entry in archive.infolist())
    pixels = manifest["technical_details"]["Input resolution"]
    assert pixels == "224x224", f"another input size: {pixels}"
    version = wheel.name.split("-")[1]
    measured = {
        precision: components["components"]["MobileNet-v4"]["performance_metrics"]
        for precision, components in perf["precisions"].items()
    }
    # Devices that were not measured have copies of the figures of one with the same chip.
    copies = {name for name, about in chips["devices"].items() if "reference_chipset" in about}
    names = [name for every in measured.values() for name in every if name not in copies]
    latencies = (
        Latency(
            device=_MAKERS.sub("", name),
            unit=_unit(figure["layer_counts"]),
            runtime=_RUNTIMES[runtime],
            model="conv-medium",
            size=224,
            precision=_PRECISIONS[precision],
            ms=figure["inference_time_milliseconds"],
        )
        for name in dict.fromkeys(names)
        for precision, by_device in measured.items()
        for runtime, figure in sorted(
            by_device.get(name, {}).items(), key=lambda item: list(_RUNTIMES).index(item[0])
        )
    )
    devices = {**old.devices, **_devices(chips, dict.fromkeys(names), perf["supported_devices"])}
    return _with(
        records.replace(old, devices=devices),
        "Qualcomm AI Hub",
        title=f"Qualcomm AI Hub Models {version}, models/mobilenet_v4",
        url=f"https://pypi.org/project/qai-hub-models/{version}/",
        date="{:04}-{:02}-{:02}".format(*built[:3]),
        latencies=tuple(latencies),
        accuracies=tuple(_ai_hub_accuracies(numerics["metrics"])),
    )


def _unit(layers: Mapping[str, int]) -> Unit:
    """Returns the unit that runs every layer."""
    (found,) = (unit for unit in UNITS if layers.get(unit) == layers["total"])
    return found


def _devices(
    chips: Any, measured: Mapping[str, None], supported: Sequence[str]
) -> dict[str, Device]:
    """Returns the measured devices, with others that have the same chip by Qualcomm's numbers."""

    def chip(device: str) -> int:
        about = chips["devices"][device]
        number: int = chips["chipsets"][about["chipset"]]["soc_model"]
        return number

    found = {}
    for name in measured:
        number = chip(name)
        codes = [
            match[0].upper()
            for about in chips["chipsets"].values()
            if about["soc_model"] == number
            for alias in about["aliases"]
            if (match := _SOC.search(alias))
        ]
        like = [other for other in supported if chip(other) == number and other not in measured]
        found[_MAKERS.sub("", name)] = Device(
            names=(_MAKERS.sub("", name),),
            socs=tuple(dict.fromkeys(codes)),
            like=tuple(_MAKERS.sub("", other) for other in like),
        )
    return found


def _ai_hub_accuracies(metrics: Sequence[Any]) -> Iterator[Accuracy]:
    (metric,) = (one for one in metrics if one["metric_name"] == "Top-1 Accuracy")
    (by_precision,) = metric["device_metric"].values()
    for precision, by_runtime in by_precision.items():
        for runtime in sorted(by_runtime, key=list(_RUNTIMES).index):
            yield Accuracy(
                model="conv-medium",
                size=224,
                precision=_PRECISIONS[precision],
                runtime=_RUNTIMES[runtime],
                top1=by_runtime[runtime]["partial_metric"],
                images=metric["num_partial_samples"],
            )


def _with(old: Figures, name: str, **changes: object) -> Figures:
    """Returns the figures with one publication changed."""
    known = [publication.name for publication in old.publications]
    assert name in known, f"{name}: not in {FIGURES.name}, which has {', '.join(known)}"
    return records.replace(
        old,
        publications=tuple(
            records.replace(one, **changes) if one.name == name else one for one in old.publications
        ),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
