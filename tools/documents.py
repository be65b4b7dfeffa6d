"""Makes tests/golden/documents/: records that every language must accept, or must refuse.

`tools/golden.py` writes the files and describes their form. The text of each document is made by
editing a base document, so that it differs from an accepted document in a single place.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

Documents = dict[str, list[dict[str, str]]]
RecordKind = Literal["manifest", "plan", "job", "result"]

_SHA256 = "0123456789abcdef" * 4
_ID = "3f2b8c1e-0d4a-4c6b-9e57-12ab34cd56ef"
_MOST = 2**31 - 1
_SAFE = 2**53 - 1
# The bounds of the positive numbers that a 32-bit float holds in full precision.
_SMALLEST = 2.0**-126
_LARGEST = (2 - 2.0**-23) * 2.0**127
_MOST_MS, _MOST_S = 10**9, 10**6
_GONE: Any = type("Gone", (), {})
"""The value of an edit that removes its key. It is a class because a copy of a class is itself."""

_PLAN: dict[str, Any] = {
    "schema": 1,
    "warmup": 10,
    "runs": 50,
    "seconds": 2.0,
    "repeats": 1,
    "cooldown_s": 0.0,
    "max_thermal": "nominal",
    "threads": 1,
    "affinity": "none",
    "unit": None,
    "statistic": "p50",
}

_JOB: dict[str, Any] = {"schema": 1, "id": _ID, "bundle": "bundle", "plan": _PLAN}

_SAMPLES: dict[str, Any] = {
    "golden_sqnr_db": 84.5,
    "load_cold_ms": 12.5,
    "load_warm_ms": 4,
    "first_ms": 3.25,
    "latencies_ms": [1.5, 1.25, 1],
    "t_ms": [0, 1.75, 3.5],
    "summary": None,
    "preprocess_ms": [0.5],
    "peak_rss_mb": 61.25,
    "ran_on": ["cpu"],
    "thermal_before": {"status": "nominal", "celsius": 31.5},
    "thermal_after": {"status": None, "celsius": None},
    "versions": {"runtime": "litert 1.4.0"},
    "conditions": {"battery_percent": 87, "governor": "schedutil"},
}

_EMPTY_SAMPLES: dict[str, Any] = {
    "golden_sqnr_db": None,
    "load_cold_ms": None,
    "load_warm_ms": None,
    "first_ms": None,
    "latencies_ms": [],
    "t_ms": [],
    "summary": None,
    "preprocess_ms": [],
    "peak_rss_mb": None,
    "ran_on": [],
    "thermal_before": {"status": None, "celsius": None},
    "thermal_after": {"status": None, "celsius": None},
    "versions": {},
    "conditions": {},
}

_RESULT: dict[str, Any] = {
    "schema": 1,
    "job": _ID,
    "status": "ok",
    "error": None,
    "samples": _SAMPLES,
}

_MANIFEST: dict[str, Any] = {
    "schema": 1,
    "id": "conv-small-96x96-fp32-tflite",
    "ingredients": {"weights": _SHA256, "recipe": _SHA256},
    "model": {
        "name": "conv-small",
        "config_sha256": _SHA256,
        "weights": "timm",
        "weights_sha256": _SHA256,
        "licence": None,
    },
    "target": "tflite",
    "recipe": "fp32",
    "options": {},
    "artifact": {"path": "conv-small-96x96-fp32.tflite", "bytes": 15_000_000, "sha256": _SHA256},
    "inputs": [
        {
            "name": "image",
            "kind": "image",
            "shape": [1, 96, 96, 3],
            "dtype": "float32",
            "layout": "nhwc",
        }
    ],
    "outputs": [
        {"name": "logits", "kind": "logits", "shape": [1, 4], "dtype": "float32", "layout": None}
    ],
    "preprocess": {
        "size": [96, 96],
        "crop": 0.95,
        "interpolation": "bicubic",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "inside": False,
        "assumed": ["mean", "crop"],
    },
    "labels": None,
    "golden": [
        {
            "path": "golden/input.pixels.bin",
            "tensor": "pixels",
            "shape": [2, 96, 96, 3],
            "dtype": "uint8",
            "sha256": _SHA256,
            "source": "input",
            "min_sqnr_db": None,
        },
        {
            "path": "golden/eager.logits.bin",
            "tensor": "logits",
            "shape": [2, 4],
            "dtype": "float32",
            "sha256": _SHA256,
            "source": "eager",
            "min_sqnr_db": 80.0,
        },
    ],
    "parity": {},
    "layers": [],
    "requires": {},
    "versions": {},
}

_PARITY: dict[str, Any] = {
    "sqnr_db": 31.5,
    "sqnr_db_p10": 28,
    "top1_agreement": 0.995,
    "max_abs": 0.75,
    "n": 16,
    "gate_db": 20.0,
}

_CALIBRATION: dict[str, Any] = {
    "images": 460,
    "held_out": 51,
    "skipped": 0,
    "seed": 0,
    "dataset_sha256": _SHA256,
    "range": "image-percentile",
    "agreement": {"top1": 0.98, "n": 51, "gate": 0.9},
}

_TUNING: dict[str, Any] = {
    "objective": "size",
    "max_drop": 1,
    "min_p10": 22,
    "max_latency": 1.1,
    "images": 384,
    "tried": [
        {
            "recipe": "2 blocks in float",
            "drop": 0.26,
            "sqnr_db_p10": 23.4,
            "latency": 1.04,
            "bytes": 4_000_000,
        },
        {
            "recipe": "as begun with",
            "drop": 1.82,
            "sqnr_db_p10": 20.9,
            "latency": 1,
            "bytes": 3_900_000,
        },
    ],
}

_SIZE: dict[str, Any] = {
    "size": [128, 160],
    "golden": [
        {
            **_MANIFEST["golden"][0],
            "path": "golden/128x160/input.pixels.bin",
            "shape": [2, 128, 160, 3],
        },
        {**_MANIFEST["golden"][1], "path": "golden/128x160/eager.logits.bin"},
    ],
    "parity": {"cpu": {"logits": _PARITY}},
}


def _with_map(golden: list[dict[str, Any]], sides: list[int]) -> list[dict[str, Any]]:
    """Returns golden tensors with those of a feature map."""
    return [*golden, {**golden[1], "tensor": "stage_1", "shape": [2, 64, *sides]}]


_SIZED_MAP: dict[str, Any] = {
    "outputs": [
        *_MANIFEST["outputs"],
        _MANIFEST["outputs"][0]
        | {"name": "stage_1", "kind": "stage_1", "shape": [1, 64, 6, 6], "layout": "nchw"},
    ],
    "golden": _with_map(_MANIFEST["golden"], [6, 6]),
    "more_sizes": [{**_SIZE, "golden": _with_map(_SIZE["golden"], [8, 10])}],
}

_FULL: dict[str, Any] = {
    "id": "conv-small-96x96_128x160-int8-18-coreml",
    "model.licence": "apache-2.0",
    "target": "coreml",
    "recipe": "int8",
    "options": {"min_ios": 18, "compute_unit": "all", "stock": False},
    "artifact": {
        "path": "conv-small-96x96_128x160-int8-18.mlpackage",
        "bytes": 4_000_000,
        "sha256": _SHA256,
    },
    "labels": ["zero", "one", "two", "three"],
    "parity": {"cpu": {"logits": _PARITY}},
    "layers": [
        {
            "name": "conv_stem",
            "kind": "convolution",
            "block": "stem",
            "precision": "int8",
            "why": None,
        },
        {
            "name": "head",
            "kind": "other",
            "block": "head",
            "precision": "float16",
            "why": "after the pooling",
        },
    ],
    "more_sizes": [_SIZE],
    "calibration": _CALIBRATION,
    "float16_range": {"images": 16, "margin": 12.5, "layer": "stages.3.1.add"},
    "tuning": _TUNING,
    "requires": {"coreml.min_ios": "18", "coreml.compute_unit": "all"},
    "versions": {"mnv4-mobile": "0.1.0", "coremltools": "9.0"},
}

_GRID = {"scale": 0.0186, "zero_point": -14}

_QUANTIZED = {
    "inputs[0].dtype": "int8",
    "inputs[0].quantization": _GRID,
    "outputs[0].dtype": "uint8",
    "outputs[0].quantization": {"scale": 1e-5, "zero_point": 0},
}


def _edited(base: Mapping[str, Any], edits: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy of a document with values set at places such as `outputs[0].shape`."""
    found: dict[str, Any] = copy.deepcopy(dict(base))
    for place, value in edits.items():
        *parents, last = re.findall(r"[^.\[\]]+", place)
        at: Any = found
        for key in parents:
            at = at[int(key) if isinstance(at, list) else key]
        if value is _GONE:
            del at[last]
        else:
            at[int(last) if isinstance(at, list) else last] = copy.deepcopy(value)
    return found


def _raw(literal: str) -> str:
    """Returns a value that is written into the text unchanged, such as NaN or 2.0."""
    return f"<<{literal}>>"


def _text(document: Any) -> str:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return re.sub('"<<(.*?)>>"', lambda found: found[1].replace('\\"', '"'), text)


class _Kind:
    """The documents of one kind of record."""

    def __init__(self, base: Mapping[str, Any]) -> None:
        self._base = base
        self._accept: list[dict[str, str]] = []
        self._refuse: list[dict[str, str]] = []

    def accept(self, name: str, edits: Mapping[str, Any] | None = None) -> None:
        """Adds a document to accept; `edits` maps places to values."""
        self.accept_text(name, _text(_edited(self._base, edits or {})))

    def accept_text(self, name: str, text: str) -> None:
        """Adds a text to accept."""
        self._accept.append({"name": name, "text": text})

    def refuse(
        self,
        place: str,
        *values: Any,
        key: str | None = None,
        other: Mapping[str, Any] | None = None,
    ) -> None:
        """Adds documents to refuse, each of them wrong at one place.

        Args:
            place: The place that is wrong.
            values: Wrong values for that place, one document per value.
            key: Text that the message must contain. Default: the place.
            other: Further edits, which are valid.
        """
        for value in values:
            shown = "nothing" if value is _GONE else _text(value)
            text = _text(_edited(self._base, {**(other or {}), place: value}))
            self.refuse_text(f"{place}: {shown}", text, place if key is None else key)

    def refuse_text(self, name: str, text: str, key: str = "") -> None:
        """Adds a text to refuse."""
        self._refuse.append({"name": name, "text": text, "key": key})

    def documents(self) -> Documents:
        """Returns the content of the file."""
        return {"accept": self._accept, "refuse": self._refuse}

    def refuse_what_no_record_may_be(self, number: str) -> None:
        """Adds texts that are wrong for every kind of record.

        Args:
            number: The place of a number that has to be finite.
        """
        text = _text(self._base)
        self.refuse_text("an empty text", "")
        self.refuse_text("text that is not JSON", "schema: 1")
        self.refuse_text("text that ends too early", text[:-1])
        self.refuse_text("text after the end", text + " 1")
        self.refuse_text("a comma before the end", text[:-1] + ",}")
        self.refuse_text("a comment", text[:-1] + " /* end */}")
        self.refuse_text("single quotes", text.replace('"', "'"))
        self.refuse_text("a line feed in a string", text[:-1] + ', "a\nb": 1}')
        self.refuse_text("a list", f"[{text}]")
        self.refuse_text("a string", json.dumps(text))
        self.refuse_text("null", "null")
        self.refuse_text("nesting that is too deep", '{"schema": ' + "[" * 2000 + "]" * 2000 + "}")
        self.refuse("schema", _GONE, 2, 0, "1", True, None, _raw("1.0"))
        self.refuse("surprise", 1)
        self.refuse_text("a key twice", text[:-1] + ', "schema": 1}', "schema")
        literals = ("NaN", "Infinity", "-Infinity", "1e999", "01", "+1", ".5", "1.", "0x1", "True")
        self.refuse(number, *map(_raw, literals), key="")


def _plan() -> Documents:
    kind = _Kind(_PLAN)
    kind.accept("the plan quick")
    paper = {"warmup": 50, "runs": 1000, "seconds": 0.0, "repeats": 5, "statistic": "mean"}
    kind.accept("the plan paper", paper)
    mlperf = {"runs": 1024, "seconds": 60.0, "cooldown_s": 300.0, "statistic": "p90"}
    kind.accept("the plan mlperf", mlperf)
    for unit in ("cpu", "gpu", "npu"):
        kind.accept(f"unit {unit}", {"unit": unit})
    for status in ("fair", "serious", "critical"):
        kind.accept(f"max_thermal {status}", {"max_thermal": status})
    kind.accept("integers for numbers", {"seconds": 2, "cooldown_s": 0})
    exponents = {"seconds": _raw("2.5E-1"), "cooldown_s": _raw("3e+2")}
    kind.accept("numbers with exponents", exponents)
    kind.accept("the fastest cores", {"affinity": "fastest"})
    kind.accept("cores by number", {"affinity": "4,5,11,9999"})
    kind.accept("no warm-up", {"warmup": 0})
    most = {"warmup": _MOST, "runs": _MOST, "repeats": 10_000, "threads": 1024}
    kind.accept("the largest integers", most)
    kind.accept("the longest times", {"seconds": _MOST_S, "cooldown_s": _raw("1e6")})
    kind.accept_text("another order", _text(dict(reversed(_PLAN.items()))))
    kind.accept_text("much white space", "\n\t " + json.dumps(_PLAN, indent=3) + "\r\n ")
    kind.accept_text("an escaped key", _text(_PLAN).replace('"runs"', '"\\u0072uns"'))

    kind.refuse_what_no_record_may_be("seconds")
    for key in _PLAN:
        if key != "schema":
            kind.refuse(key, _GONE)
    for key, largest in most.items():
        kind.refuse(key, 2.5, _raw("2.0"), _raw("1e1"), True, "2", None, -1, largest + 1, 2**64)
    kind.refuse("runs", 0)
    kind.refuse("repeats", 0)
    kind.refuse("threads", 0)
    for key in ("seconds", "cooldown_s"):
        kind.refuse(key, -0.5, "2.0", False, None, [])
        kind.refuse(key, _MOST_S + 1, 1e308, _raw("1" + "0" * 400))
    kind.refuse("max_thermal", "warm", "Nominal", "nominal\n", "", 0, None)
    kind.refuse("statistic", "p95", "median", "", 50, None)
    kind.refuse("unit", "all", "cpu_only", "CPU", "npu\n", "", 0, ["cpu"])
    kind.refuse("affinity", "slowest", "4, 5", "4,", "4,5\n", "\u0664", "-1", "", 4, None)
    kind.refuse("affinity", "10000", "4," + "9" * 5000)
    kind.refuse("compute_unit", "all")
    kind.refuse_text("runs: twice", _text(_PLAN)[:-1] + ',"runs":60}', "runs")
    return kind.documents()


def _job() -> Documents:
    kind = _Kind(_JOB)
    kind.accept("a bundle called bundle")
    for name in (
        "conv-small-224x224-int8-tflite",
        "conv-small-224x224-int8-18-coreml",
        "A.b_c-d",
        "0",
        "x" * 200,
    ):
        kind.accept(f"a bundle called {name[:40]}", {"bundle": name})
    kind.accept("another plan", {"plan.unit": "npu", "plan.runs": 1000})
    kind.accept("the largest integers", {"plan.runs": _MOST})
    kind.accept_text("another order", _text(dict(reversed(_JOB.items()))))

    kind.refuse_what_no_record_may_be("plan.seconds")
    for key in ("id", "bundle", "plan"):
        kind.refuse(key, _GONE, None, 1, [])
    kind.refuse("id", _ID + "\n", _ID.upper(), _ID[:-1], "job", "", f"{{{_ID}}}", f" {_ID}")
    kind.refuse("bundle", "", ".", "..", ".hidden", "-x", "_x", "a/b", "../a", "/a", "a\\b", "a b")
    kind.refuse("bundle", "größe", "a\n", "\na", "a\0", "a:b", "~", "\u0664")
    kind.refuse("plan", json.dumps({"schema": 1}))
    kind.refuse("plan.runs", 2.5, 0, _GONE)
    kind.refuse("plan.schema", 2, _GONE)
    kind.refuse("plan.max_thermal", "warm")
    kind.refuse("plan.unit", "all")
    kind.refuse("plan.surprise", 1)
    twice = _text(_JOB).replace('"runs":50', '"runs":50,"runs":50')
    kind.refuse_text("plan.runs: twice", twice, "plan.runs")
    return kind.documents()


def _result() -> Documents:
    kind = _Kind(_RESULT)
    failed = {"status": "failed", "error": "x", "samples": None}
    summary = {"mean": 1.5, "std": 0.25, "min": 1, "max": 2.5, "count": 50}
    unknown = {"mean": 1.5, "std": None, "min": None, "max": None, "count": 1}
    kind.accept("all figures")
    kind.accept("no figures", {"samples": _EMPTY_SAMPLES})
    wrong = "logits: 3.1 dB, must be 80 or more"
    kind.accept("wrong", {"status": "wrong", "error": wrong, "samples": None})
    kind.accept("failed", failed)
    kind.accept("the result of an unreadable job", {**failed, "job": "", "error": ""})
    escapes = '"Größe \\\\ \\/ \\b\\f\\n\\r\\t \\u732b \\ud83d\\ude00 \U0001f600 \\""'
    text = _text(_edited(_RESULT, failed)).replace('"x"', escapes)
    kind.accept_text("an error with all kinds of characters", text)
    for status in ("fair", "serious", "critical"):
        kind.accept(f"a device that is {status}", {"samples.thermal_after.status": status})
    kind.accept("a cold device", {"samples.thermal_before.celsius": -3})
    kind.accept("a summary", {"samples": _EMPTY_SAMPLES | {"summary": summary}})
    kind.accept("a short summary", {"samples": _EMPTY_SAMPLES | {"summary": unknown}})
    kind.accept("large numbers", {"samples.latencies_ms": [_MOST_MS, 0.0, _raw("1E+9")]})
    kind.accept("several units", {"samples.ran_on": ["gpu", "cpu"]})
    kind.accept("negative decibels", {"samples.golden_sqnr_db": -12.5})
    conditions = {"größe": "ja", "": 0, "a.b": -1.5}
    kind.accept("conditions of any name", {"samples.conditions": conditions})
    kind.accept_text("another order", _text(dict(reversed(_RESULT.items()))))

    kind.refuse_what_no_record_may_be("samples.first_ms")
    for key in ("job", "status", "error", "samples"):
        kind.refuse(key, _GONE, 1, [])
    kind.refuse("job", _ID + "\n", _ID.upper(), "job", None)
    kind.refuse("status", "fine", "OK", "ok\n", "", None)
    kind.refuse("samples", None)
    kind.refuse("error", "no memory")
    kind.refuse("error", None, other=failed)
    kind.refuse("status", "failed", key="")
    for key in _SAMPLES:
        kind.refuse(f"samples.{key}", _GONE, True)
    for key in ("load_cold_ms", "load_warm_ms", "first_ms", "peak_rss_mb"):
        kind.refuse(f"samples.{key}", -1, "1", 1e308, 10**400)
    kind.refuse("samples.golden_sqnr_db", 1e308, -1e308, 10**400)
    for key in ("latencies_ms", "t_ms", "preprocess_ms"):
        place = f"samples.{key}"
        kind.refuse(f"{place}[0]", -1, "1", None, True, key=place)
        kind.refuse(f"{place}[0]", _MOST_MS + 1, 1e308, 10**400, key=place)
    kind.refuse("samples.ran_on", "cpu", ["tpu"], [None])
    kind.refuse("samples.thermal_before.status", "warm", 1)
    kind.refuse("samples.thermal_before.celsius", "31", True, _GONE, -1e308, 10**400)
    kind.refuse("samples.thermal_before.surprise", 1)
    kind.refuse("samples.surprise", 1)
    kind.refuse("samples.versions.runtime", 1, None, key="samples.versions")
    kind.refuse("samples.conditions.governor", None, True, [1], 1e308, key="samples.conditions")
    kind.refuse("samples.summary", {"count": 1}, summary | {"count": 0}, summary | {"count": 0.5})
    kind.refuse("samples.summary.std", 1e308, other={"samples.summary": summary})
    return kind.documents()


def _manifest() -> Documents:
    kind = _Kind(_MANIFEST)
    _manifests(kind)
    kind.refuse_what_no_record_may_be("preprocess.crop")
    for key in _MANIFEST:
        if key != "schema":
            kind.refuse(key, _GONE, 1)
    for key in ("id", "model", "options", "outputs", "golden", "parity", "requires"):
        kind.refuse(key, None)
    for part in ("model", "artifact", "preprocess"):
        for key in _MANIFEST[part]:
            kind.refuse(f"{part}.{key}", _GONE)
    for part in ("inputs", "outputs", "golden"):
        for key in _MANIFEST[part][0]:
            kind.refuse(f"{part}[0].{key}", _GONE)
    for part in ("model", "artifact", "preprocess", "inputs[0]", "outputs[0]", "golden[0]"):
        kind.refuse(f"{part}.surprise", 1)
        kind.refuse(part, [])
    kind.refuse("id", _MANIFEST["id"] + "\n", "", ".", "..", ".a", "-a", "a/b", "a\\b", "a b")
    kind.refuse("id", "größe", "a\0")
    kind.refuse("ingredients", _SHA256, [])
    wrong = (_SHA256.upper(), _SHA256[:-1], _SHA256 + "\n", "g" * 64)
    kind.refuse("ingredients.weights", *wrong, None)
    for key in ("model.config_sha256", "model.weights_sha256", "artifact.sha256"):
        kind.refuse(key, _SHA256.upper())
    kind.refuse("model.name", None)
    kind.refuse("model.licence", 1)
    paths = ("../a", "a/../b", "..", ".", "./a", "/a", "a//b", "a/", "", "a\\b", "C:\\a", ".a")
    kind.refuse("artifact.path", *paths, "a/.b", "a\n", "a b", "größe", "a\0", "-a", "file:a")
    kind.refuse("artifact.path", "a/%2e%2e/b")
    kind.refuse("golden[0].path", "../a", "a/../b", "/a", "a\\b", "")
    kind.refuse("artifact.bytes", 0, -1, 1.5, _raw("1.0"), _raw("1e6"), True, "1", None)
    kind.refuse("artifact.bytes", _SAFE + 1, 2**64)
    _wrong_tensors(kind)
    _wrong_preprocessing(kind)
    text = _text(_MANIFEST).replace('"recipe":"fp32"', r'"recipe":"\ud800"')
    kind.refuse_text("recipe: half of a surrogate pair", text)
    kind.refuse("labels", ["a"], [], ["a", "b", "c", "d", "e"], "abcd", {"a": 1})
    kind.refuse("labels", [1, 2, 3, 4], ["a", "b", "c", None])
    control = ("\n", "a\nb", "a\r", "\t", "\0", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "")
    for label in control:
        kind.refuse("labels", ["a", "b", "c", label])
    kind.refuse("golden", _MANIFEST["golden"][:1])
    kind.refuse("golden[1].source", "float", "Input", "", None)
    kind.refuse("golden[1].min_sqnr_db", "80", True, [], 200.5, -201, 1e308, None)
    kind.refuse("golden[1].sha256", _SHA256.upper(), _SHA256[:-1], "", None)
    _wrong_golden_tensors(kind)
    _wrong_sizes(kind)
    kind.refuse("options.min_ios", 1.5, None, [], {}, _SAFE + 1, 2**64, key="options")
    kind.refuse("requires", {"coreml.min_ios": 18}, {"coreml.min_ios": None})
    for key in ("min_ios", ".min_ios", "coreml.", "coreml.min_ios\n", "core ml.min_ios", ""):
        kind.refuse("requires", {key: "18"})
    kind.refuse("versions", {"torch": 2.13}, {"torch": None})
    _wrong_facts(kind)
    text = _text(_MANIFEST).replace('"bytes":', '"bytes":1,"bytes":')
    kind.refuse_text("artifact.bytes: twice", text, "artifact.bytes")
    kind.refuse_text("target: twice", _text(_MANIFEST)[:-1] + ',"target":"coreml"}', "target")
    return kind.documents()


def _manifests(kind: _Kind) -> None:
    full = _edited(_MANIFEST, _FULL)
    kind.accept("required keys only")
    kind.accept("all keys", _FULL)
    for unit in ("cpu", "gpu", "npu"):
        parity = {unit: {"logits": _PARITY | {"top1_agreement": None}}}
        kind.accept(f"verified on {unit}", {"parity": parity})
    kind.accept("quantized input and output", _QUANTIZED)
    kind.accept("an input of pixels", {"inputs[0].dtype": "uint8", "preprocess.inside": True})
    half = {
        "inputs[0].dtype": "float16",
        "inputs[0].shape": [1, 3, 96, 96],
        "inputs[0].layout": "nchw",
        "outputs[0].dtype": "float16",
    }
    kind.accept("half precision, channels first", half)
    kind.accept("two input sizes", {"more_sizes": [_SIZE]})
    kind.accept("no further input size", {"more_sizes": []})
    kind.accept("input sizes and a feature map", _SIZED_MAP)
    output = _MANIFEST["outputs"][0]
    golden = _MANIFEST["golden"]
    outputs = [
        output | {"name": "probabilities", "kind": "probabilities"},
        output | {"name": "embedding", "kind": "embedding", "shape": [1, 1280]},
        output | {"name": "stage_1", "kind": "stage_1", "shape": [1, 64, 6, 6], "layout": "nchw"},
        output | {"name": "boxes_0", "kind": "boxes_0", "shape": [1, 36, 14]},  # of one's own head
    ]
    labels = ["a", "b", "c", "d"]
    references = [
        golden[1] | {"tensor": one["name"], "shape": [2, *one["shape"][1:]], "path": one["name"]}
        for one in outputs
    ]
    artifact = references[0] | {"source": "artifact", "dtype": "float16", "min_sqnr_db": None}
    several = {
        "outputs": outputs,
        "labels": labels,
        "golden": [golden[0], *references, artifact],
        "parity": {"cpu": {"embedding": _PARITY}},
    }
    kind.accept("several outputs", several)
    batch = {
        "inputs[0].shape": [8, 96, 96, 3],
        "outputs[0].shape": [8, 4],
        "labels": labels,
        "golden[0].shape": [16, 96, 96, 3],
        "golden[1].shape": [16, 4],
    }
    kind.accept("a batch", batch)
    for name, size in (("an oblong input", [64, 96]), ("a large input", [16384, 4096])):
        sizes = {"inputs[0].shape": [1, *size, 3], "golden[0].shape": [2, *size, 3]}
        kind.accept(name, {"preprocess.size": size, **sizes})
    gates = {
        "golden[1].min_sqnr_db": -200,
        "parity": {"cpu": {"logits": _PARITY | {"gate_db": 200}}},
    }
    kind.accept("gates at their bounds", gates)
    far = {"preprocess.mean": [-_LARGEST, 0, _LARGEST], "preprocess.std": [_SMALLEST, 1, _LARGEST]}
    kind.accept("means and deviations at their bounds", far)
    low = {"scale": _SMALLEST, "zero_point": -128}
    high = {"scale": _LARGEST, "zero_point": 255}
    bounds = {"inputs[0].quantization": low, "outputs[0].quantization": high}
    kind.accept("quantization at its bounds", {**_QUANTIZED, **bounds})
    emulated = {"tried": [_TUNING["tried"][0] | {"latency": None}]}
    kind.accept("tuned on an emulated unit", {"tuning": _TUNING | emulated})
    nothing = dict.fromkeys(("calibration", "float16_range", "tuning", "inputs[0].quantization"))
    kind.accept("null for optional keys", nothing)
    kind.accept("names in Unicode", {"labels": ["Größe", "\u732b", " ", "\U0001f600"]})
    escapes = r"""["\u732b","\ud83d\ude00","\"","\\ \/ \u00e9"]"""
    kind.accept_text("names with escapes", _text(full).replace(_text(_FULL["labels"]), escapes))
    options = {"a": _SAFE, "b": -_SAFE, "c": "", "d": True}
    kind.accept("options of each type", {"options": options})
    kind.accept("the largest file", {"artifact.bytes": _SAFE})
    whole = {"preprocess.crop": 1, "preprocess.mean": [0, 0.5, _raw("5e-1")]}
    kind.accept("no crop", whole)
    for interpolation in ("nearest", "bilinear", "lanczos"):
        kind.accept(f"interpolation {interpolation}", {"preprocess.interpolation": interpolation})
    kind.accept("the smallest crop", {"preprocess.crop": 0.01})
    kind.accept("nothing assumed", {"preprocess.assumed": []})
    assumable = ["mean", "std", "crop", "interpolation"]
    kind.accept("everything assumed", {"preprocess.assumed": assumable})
    kind.accept("a file in a folder", {"artifact.path": "a_1/b-2/c.d.tflite"})
    kind.accept_text("another order", _text(dict(reversed(full.items()))))
    noise = _CALIBRATION | {"dataset_sha256": None, "range": None, "agreement": None}
    kind.accept("calibrated with noise", {"calibration": noise})


def _wrong_tensors(kind: _Kind) -> None:
    kind.refuse("inputs", [], _MANIFEST["inputs"] * 2)
    kind.refuse("outputs", [])
    place = "outputs[0].shape"
    kind.refuse(f"{place}[0]", 0, -1, 2.5, _raw("4.0"), True, "4", None, key=place)
    kind.refuse(f"{place}[0]", 2**31, 2**62, 2**64, key=place)
    kind.refuse(place, [2**29], key="outputs[0]")  # 2^31 bytes
    for tensor in ("inputs[0]", "outputs[0]", "golden[0]"):
        kind.refuse(f"{tensor}.shape[1]", 0.5, key=f"{tensor}.shape")
        kind.refuse(f"{tensor}.shape", [], 4)
        sides = ([2**62, 10], [65536, 65536], [2**21, 2**21, 2**21, 2])
        kind.refuse(f"{tensor}.shape", *sides, key=tensor)
        kind.refuse(f"{tensor}.dtype", "bfloat16")
    kind.refuse("outputs[0].dtype", "float64", "int32", "Float32", "float32\n", "")
    shapes = ([1, 96, 96, 4], [1, 3, 96, 96], [1, 96, 97, 3], [1, 48, 96, 3], [96, 96, 3], [1])
    kind.refuse("inputs[0].shape", *shapes)
    kind.refuse("inputs[0].layout", None)
    kind.refuse("inputs[0].layout", "nchw", key="inputs[0]")
    kind.refuse("outputs[0].layout", "chw", "nhwc")
    kind.refuse("outputs[0].shape", [2, 4], [1], [4], [1, 2, 4], [1, 1, 1, 4])
    kind.refuse("inputs[0].shape", [3, 96, 96, 3], key="outputs[0].shape")
    kind.refuse("inputs[0].kind", "logits", "picture", "", None)
    kind.refuse("outputs[0].kind", "image", "1_stage", "stage_1\n", "Logits", "a-b", "", None)
    embedding = {"kind": "embedding", "shape": [1, 6, 6, 4], "layout": None}
    kind.refuse("outputs[0]", _MANIFEST["outputs"][0] | embedding, key="outputs[0].layout")
    kind.refuse("outputs", _MANIFEST["outputs"] * 2, key="outputs[1].name")
    place = "outputs[0].quantization"
    kind.refuse(place, _GRID, key="outputs[0]")  # a tensor of floats has no quantization
    kind.refuse(place, [], 1, True, other=_QUANTIZED)
    scales = (0, -0.5, 1e-50, 1.1e-38, 3.5e38, 1e39, "1", True, None, _GONE)
    kind.refuse(f"{place}.scale", *scales, other=_QUANTIZED)
    zeros = (-129, 256, 0.5, _raw("0.0"), True, "0", None, _GONE)
    kind.refuse(f"{place}.zero_point", *zeros, other=_QUANTIZED)
    kind.refuse(f"{place}.surprise", 1, other=_QUANTIZED)


def _wrong_sizes(kind: _Kind) -> None:
    kind.refuse("more_sizes", None, {}, 1)
    sized = {"more_sizes": [_SIZE]}
    place = "more_sizes[0]"
    for key in _SIZE:
        kind.refuse(f"{place}.{key}", _GONE, None, 1, other=sized)
    kind.refuse(f"{place}.surprise", 1, other=sized)
    kind.refuse(f"{place}.size", [128], [128, 160, 3], [96, 96], other=sized)
    sides = (0, -1, 128.5, _raw("128.0"), "128", True, None, 16385)
    kind.refuse(f"{place}.size[0]", *sides, key=f"{place}.size", other=sized)
    kind.refuse(f"{place}.size", [16384, 16384], other=sized)
    kind.refuse("more_sizes", [_SIZE, _SIZE], key="more_sizes[1].size")
    kind.refuse(f"{place}.size", [160, 128], key=f"{place}.golden[0].shape", other=sized)
    kind.refuse(f"{place}.golden", _SIZE["golden"][:1], other=sized)
    kind.refuse(f"{place}.golden[1].shape", [2, 5], other=sized)
    kind.refuse(f"{place}.golden[1].tensor", "pixels", "scores", key=f"{place}.golden", other=sized)
    kind.refuse(f"{place}.golden[1].min_sqnr_db", None, other=sized)
    kind.refuse(f"{place}.parity", {"cpu": {"scores": _PARITY}}, other=sized)
    kind.refuse(f"{place}.parity", {"dsp": {"logits": _PARITY}}, other=sized)
    channels = [2, 32, 8, 10]
    kind.refuse(f"{place}.golden[2].shape", channels, other=_SIZED_MAP)


def _wrong_golden_tensors(kind: _Kind) -> None:
    """Adds documents whose golden tensors do not belong to the input and the outputs."""
    pixels, logits = _MANIFEST["golden"]
    golden = "golden[1]"
    kind.refuse(f"{golden}.tensor", "pixels", "embedding", "", 1, None, key="golden")
    kind.refuse("golden[0].tensor", "logits", key="golden")
    kind.refuse("golden[0].source", "eager", key="golden")
    kind.refuse(f"{golden}.source", "artifact", key="golden")
    kind.refuse(f"{golden}.shape", [2, 5], [3, 4], [1, 4], [2], [2, 4, 1])
    kind.refuse("golden[0].shape", [2, 3, 96, 96], [2, 96, 95, 3], [96, 96, 3])
    kind.refuse("golden[0].dtype", "float32", "int8")
    kind.refuse(f"{golden}.dtype", "float16", "uint8")
    kind.refuse(
        "golden", [pixels, logits, logits], [pixels, logits, pixels], key="golden[2].tensor"
    )
    artifact = logits | {"source": "artifact", "tensor": "embedding"}
    kind.refuse("golden", [pixels, logits, artifact], key="golden[2].tensor")
    batch = {"inputs[0].shape": [4, 96, 96, 3], "outputs[0].shape": [4, 4]}
    kind.refuse("golden[0].shape", [2, 96, 96, 3], other=batch)


def _wrong_preprocessing(kind: _Kind) -> None:
    size, large = "preprocess.size", (_raw("4e9"), 4_000_000_000, 2**62)
    kind.refuse(f"{size}[0]", 0, -1, 96.5, _raw("96.0"), *large, True, "96", None, key=size)
    kind.refuse(size, [], [96], [96, 96, 3], 96, "96x96")
    kind.refuse("preprocess.crop", 0, 1e-300, 1.5, -0.5, 1.0001, "1", True, None)
    kind.refuse("preprocess.interpolation", "cubic", "Bicubic", "bicubic\n", "")
    for place in ("preprocess.mean", "preprocess.std"):
        kind.refuse(place, [], [0.5, 0.5], [0.5] * 4, 0.5)
        kind.refuse(f"{place}[1]", "0.5", True, None, key=place)
    kind.refuse("preprocess.mean[1]", 3.5e38, -3.5e38, key="preprocess.mean")
    kind.refuse("preprocess.std[1]", 0, -0.5, 1e-50, 1.1e-38, 3.5e38, key="preprocess.std")
    wide = {"inputs[0].shape": [1, 96, 16385, 3], "golden[0].shape": [2, 96, 16385, 3]}
    kind.refuse("preprocess.size", [96, 16385], other=wide)
    kind.refuse("preprocess.inside", 0, "false", None)
    kind.refuse("preprocess.assumed", "mean", {}, None)
    kind.refuse("preprocess.assumed[1]", "size", "Mean", "", 1, None, key="preprocess.assumed")


def _wrong_facts(kind: _Kind) -> None:
    """Adds documents that are wrong in parity, layers or calibration."""
    for unit in ("all", "cpu_only", "CPU", "cpu\n", ""):
        kind.refuse("parity", {unit: {"logits": _PARITY}})
    kind.refuse("parity", {"logits": _PARITY}, {"cpu": _PARITY})
    wrong: Mapping[str, tuple[Any, ...]] = {
        "sqnr_db": ("31", None, 201, 1e308, _GONE),
        "top1_agreement": ("1", True, -0.5, 1.5, _GONE),
        "n": (0, 1.5, _raw("16.0"), None, _GONE),
        "max_abs": (-0.5, 3.5e38, None),
        "gate_db": (None, -201, 1e308, _GONE),
        "surprise": (1,),
    }
    other = {"parity": {"cpu": {"logits": _PARITY}}}
    for key, values in wrong.items():
        kind.refuse(f"parity.cpu.logits.{key}", *values, key="parity", other=other)
    kind.refuse("parity", {"cpu": {"embedding": _PARITY}})
    kind.refuse("layers[0].kind", "conv", None, other=_FULL)
    kind.refuse("layers[0].name", 1, other=_FULL)
    kind.refuse("layers[0].why", 1, _GONE, other=_FULL)
    kind.refuse("layers[1].precision", None, _GONE, other=_FULL)
    kind.refuse("layers[1].surprise", 1, other=_FULL)
    kind.refuse("calibration.images", 0, 2.5, other=_FULL)
    kind.refuse("calibration.held_out", -1, other=_FULL)
    kind.refuse("calibration.skipped", _GONE, other=_FULL)
    kind.refuse("calibration.seed", "0", _SAFE + 1, -_SAFE - 1, 2**64, other=_FULL)
    kind.refuse("calibration.dataset_sha256", "0", other=_FULL)
    kind.refuse("calibration.range", 1, other=_FULL)
    kind.refuse("calibration.agreement.top1", 1.5, other=_FULL)
    kind.refuse("calibration.agreement.gate", -0.5, other=_FULL)
    kind.refuse("calibration.agreement.n", 0, _GONE, other=_FULL)
    kind.refuse("calibration.surprise", 1, other=_FULL)
    kind.refuse("float16_range", 4, other=_FULL)
    kind.refuse("float16_range.images", 0, other=_FULL)
    kind.refuse("float16_range.margin", 0, -1, None, _GONE, other=_FULL)
    kind.refuse("float16_range.layer", None, other=_FULL)
    kind.refuse("float16_range.surprise", 1, other=_FULL)
    kind.refuse("tuning", 4, other=_FULL)
    kind.refuse("tuning.objective", "energy", _GONE, other=_FULL)
    for key in ("max_drop", "tried[1].drop"):
        kind.refuse(f"tuning.{key}", -1, None, _GONE, other=_FULL)
    for key in ("min_p10", "tried[0].sqnr_db_p10"):
        kind.refuse(f"tuning.{key}", 201, None, _GONE, other=_FULL)
    kind.refuse("tuning.max_latency", 0, None, _GONE, other=_FULL)
    kind.refuse("tuning.tried[0].latency", 0, _GONE, other=_FULL)
    kind.refuse("tuning.images", 0, _GONE, other=_FULL)
    kind.refuse("tuning.tried", [], None, _GONE, other=_FULL)
    kind.refuse("tuning.tried[0].recipe", 1, _GONE, other=_FULL)
    kind.refuse("tuning.tried[0].bytes", 0, 0.5, other=_FULL)
    kind.refuse("tuning.tried[1].surprise", 1, other=_FULL)
    kind.refuse("tuning.surprise", 1, other=_FULL)


_KINDS: Mapping[RecordKind, Callable[[], Documents]] = {
    "manifest": _manifest,
    "plan": _plan,
    "job": _job,
    "result": _result,
}


def example() -> dict[str, Any]:
    """Returns a manifest with all keys."""
    return _edited(_MANIFEST, _FULL | _QUANTIZED)


def documents() -> dict[str, Documents]:
    """Returns the content of each file by its name in tests/golden/."""
    return {f"documents/{kind}.json": make() for kind, make in _KINDS.items()}
