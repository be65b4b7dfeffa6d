"""What a page is told to measure, and what it answers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mnv4_mobile import records
from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.images import Preprocess, random_images
from mnv4_mobile.measure.devices.browser.about import text
from mnv4_mobile.measure.devices.host import PICTURE, PREPROCESS_RUNS
from mnv4_mobile.measure.measurement import Samples
from mnv4_mobile.measure.plan import Plan
from mnv4_mobile.measure.subject import Subject
from mnv4_mobile.records import plain
from mnv4_mobile.tensors import Tensors

DTYPES = ("float32", "uint8", "int32")
"""Of the inputs and outputs that LiteRT.js takes."""
MAX_SAMPLES = 200_000
_MAX_NOTES = 20
_MAX_MS = 3.6e6


@dataclass(frozen=True, kw_only=True)
class Task:
    """A session for one page. Only these files of a run are served."""

    id: str
    name: str
    plan: Plan
    golden: bool
    """Whether there is a golden pair."""
    order: dict[str, Any]
    """What the page gets."""
    files: dict[str, Path | bytes]

    def samples(self, entries: Any) -> Samples:
        """What a page measured, checked.

        Raises:
            ConfigError: Not a result, naming the key.
            ParityError: The page found wrong outputs.
            DeviceError: The page could not measure.
        """
        if not isinstance(entries, dict) or entries.get("status") not in ("ok", "wrong", "failed"):
            raise ConfigError("result: status: must be ok, wrong or failed")
        if entries["status"] != "ok":
            kind = ParityError if entries["status"] == "wrong" else DeviceError
            raise kind(f"{self.name}: {text(entries.get('error'), 500)}")
        found = entries.get("samples")
        if not isinstance(found, dict):
            raise ConfigError("result: samples: missing")
        for key in ("latencies_ms", "t_ms", "preprocess_ms", "versions", "conditions"):
            most = MAX_SAMPLES if key.endswith("_ms") else _MAX_NOTES
            if not isinstance(found.get(key), list | dict) or len(found[key]) > most:
                raise ConfigError(f"result: samples.{key}: missing, or more than {most} entries")
        # Nothing that a browser could know, so nothing that a page may claim.
        unknown = {"summary": None, "peak_rss_mb": None}
        thermal = {"status": None, "celsius": None}
        samples = records.convert(
            {**found, **unknown, "thermal_before": thermal, "thermal_after": thermal},
            Samples,
            "result: samples",
        )
        self._check(samples)
        return samples

    def _check(self, samples: Samples) -> None:
        count = len(samples.latencies_ms)
        if count < self.plan.runs or count != len(samples.t_ms):
            raise ConfigError(
                f"result: samples.latencies_ms: found {count} and {len(samples.t_ms)} times, must "
                f"be {self.plan.runs} or more, and as many"
            )
        if max(samples.latencies_ms) > _MAX_MS:
            raise ConfigError(f"result: samples.latencies_ms: must be {_MAX_MS:g} or less")
        if self.golden != (samples.golden_sqnr_db is not None):
            raise ConfigError("result: samples.golden_sqnr_db: does not fit the artifact")
        if "runtime" not in samples.versions:
            raise ConfigError("result: samples.versions: has no runtime")
        for notes in (samples.versions, samples.conditions):
            for key, value in notes.items():
                if text(key) != key or (isinstance(value, str) and text(value) != value):
                    raise ConfigError("result: samples: found a text that is long or not printable")


def check(subject: Subject, plan: Plan) -> None:
    """Refuses what no browser can measure.

    Raises:
        ConfigError: Naming what was found and what is allowed.
    """
    name, target = subject.artifact.name, subject.artifact.target
    if target != "tflite":
        raise ConfigError(f"{name}: a browser runs .tflite only, found the target {target}")
    if plan.affinity != "none":
        raise ConfigError(
            f"affinity: found {plan.affinity!r}, allowed in a browser, which pins nothing: none"
        )
    if subject.bundle is None:
        return
    for tensor in (subject.bundle.input, *subject.bundle.outputs):
        if tensor.dtype not in DTYPES:
            raise ConfigError(
                f"{name}: {tensor.name}: found {tensor.dtype} input or output, LiteRT.js takes "
                f"only {', '.join(DTYPES)}; build it with floating-point inputs and outputs"
            )


def make(subject: Subject, plan: Plan, *, gpu: bool = False) -> Task:
    """The task of one session."""
    feeds = subject.feeds()
    files: dict[str, Path | bytes] = {"model": subject.path}
    names = [f"feed.{i}" for i in range(len(feeds))]
    files |= {name: _bytes(feed) for name, feed in zip(names, feeds, strict=True)}
    order: dict[str, Any] = {
        "id": secrets.token_hex(8),
        "name": subject.artifact.name,
        "sha256": subject.artifact.sha256,
        "bytes": subject.artifact.bytes,
        "plan": plain(plan),
        "accelerator": "webgpu" if gpu else "wasm",
        "feeds": names,
        "inputs": [
            {"name": name, "shape": list(value.shape), "dtype": value.dtype.name, "layout": None}
            for name, value in feeds[0].items()
        ],
        "outputs": [],
        "scores": None,
        "labels": None,
        "picture": None,
        "preprocess": None,
    }
    if subject.bundle is not None:
        _add_bundle(subject, order, files)
    order["files"] = list(files)
    return Task(
        id=order["id"],
        name=subject.artifact.name,
        plan=plan,
        golden=subject.bundle is not None,
        order=order,
        files=files,
    )


def _add_bundle(subject: Subject, order: dict[str, Any], files: dict[str, Path | bytes]) -> None:
    """The golden pair, and what classifying pictures takes."""
    bundle = subject.bundle
    assert bundle is not None
    images = len(order["feeds"]) * bundle.input.shape[0]
    expected = bundle.golden("eager")
    gates = {
        entry.tensor: entry.min_sqnr_db
        for entry in bundle.manifest.golden
        if entry.source == "eager"
    }
    for output in bundle.outputs:
        wanted = np.ascontiguousarray(expected[output.name][:images], dtype="<f4")
        files[f"golden.{output.name}"] = wanted.tobytes()
        order["outputs"].append({"name": output.name, "gate": gates[output.name], "images": images})
    for kind in ("probabilities", "logits"):
        scores = [output for output in bundle.outputs if output.kind == kind]
        if scores:
            name, classes = scores[0].name, scores[0].shape[-1]
            order["scores"] = {"name": name, "kind": kind, "classes": classes}
            break
    files["picture"] = _picture()
    order["picture"] = {"height": PICTURE[0], "width": PICTURE[1], "runs": PREPROCESS_RUNS}
    order["inputs"][0]["layout"] = bundle.input.layout
    order["preprocess"] = plain(bundle.preprocess)
    order["labels"] = bundle.manifest.labels


@cache
def _picture() -> bytes:
    return bytes(random_images(Preprocess(size=PICTURE), 1, seed=0)[0])


def _bytes(feed: Tensors) -> bytes:
    """The arrays one after the other, little-endian."""
    return b"".join(
        np.ascontiguousarray(value, value.dtype.newbyteorder("<")).tobytes()
        for value in feed.values()
    )
