"""Examples and exit codes of the verbs, for `--help` and docs/reference/commands.md."""

from __future__ import annotations

from collections.abc import Mapping

EXIT_CODES: Mapping[int, str] = {
    0: "everything that was asked for is done",
    1: "a bug, with a traceback; please report it",
    2: "bad input; the line names the file, key or flag, what was found and what is allowed",
    3: "a quality bound was not met",
    4: "a regression",
    5: "a device, a runtime or a build process failed",
    6: "the measurements decide nothing",
    130: "Ctrl-C",
}
"""What `mnv4` ends with. 0, 1, 2 and 130 may be the end of every verb."""

EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "build": (
        "mnv4 build demo -t tflite",
        "mnv4 build my_checkpoint.safetensors -t executorch,tflite -r int8 --calibrate photos/",
        "mnv4 build conv-small,conv-medium --weights random:0 -t all -r fp32,fp16",
        "mnv4 build my_checkpoint.safetensors -t coreml --set coreml.min_ios=18",
    ),
    "models": ("mnv4 models", "mnv4 models conv-small"),
    "recipes": ("mnv4 recipes", "mnv4 recipes int8"),
    "targets": ("mnv4 targets", "mnv4 targets coreml"),
    "doctor": ("mnv4 doctor",),
    "cache": ("mnv4 cache",),
    "cache prune": ("mnv4 cache prune",),
    "verify": (
        "mnv4 verify out/*",
        "mnv4 verify out/* --weights my_checkpoint.safetensors",
    ),
    "predict": ("mnv4 predict out/conv-small-224x224-fp32-tflite photo.jpg",),
    "evaluate": (
        "mnv4 evaluate out/conv-small-224x224-int8-tflite val/ "
        "--parent out/conv-small-224x224-fp32-tflite",
    ),
    "inspect": ("mnv4 inspect out/conv-small-224x224-int8-tflite",),
    "lint": ("mnv4 lint out/* --strict",),
    "sensitivity": ("mnv4 sensitivity my_checkpoint.safetensors --calibrate photos/",),
    "tune": ("mnv4 tune my_checkpoint.safetensors -t tflite --calibrate photos/ --max-drop 0.5",),
    "measure": (
        "mnv4 measure out/*",
        "mnv4 measure out/* -d host,adb --threads 1,4 --run monday",
    ),
    "sweep": ("mnv4 sweep quick", "mnv4 sweep mine.yaml -d adb"),
    "devices": ("mnv4 devices",),
    "profile": ("mnv4 profile out/conv-small-224x224-int8-tflite",),
    "report": ("mnv4 report --max-ms 10", "mnv4 report -o results.parquet --run monday"),
    "compare": ("mnv4 compare monday tuesday --max-regression 5",),
    "choose": (
        "mnv4 choose --max-ms 10",
        "mnv4 choose --device host --max-ms 10 --min-top1 70",
    ),
    "results": ("mnv4 results",),
    "results list": ("mnv4 results list --device host",),
    "results show": ("mnv4 results show 3f2a",),
    "results export": ("mnv4 results export results.csv",),
    "results import": ("mnv4 results import phone.jsonl",),
    "results delete": ("mnv4 results delete --run monday",),
    "sdk": ("mnv4 sdk android out/*-tflite -o mnv4",),
    "sdk android": ("mnv4 sdk android out/*-tflite -o mnv4",),
    "sdk ios": ("mnv4 sdk ios out/*-coreml -o MobileNetV4Kit",),
}
"""Examples of each verb. A test parses them."""

_CODES: Mapping[str, tuple[int, ...]] = {
    "build": (3, 5),
    "verify": (3, 5),
    "predict": (5,),
    "evaluate": (5,),
    "lint": (3,),
    "tune": (3, 5),
    "measure": (3, 5),
    "sweep": (3, 5),
    "profile": (5,),
    "compare": (4, 6),
    "choose": (3,),
}


def exit_codes(verb: str) -> list[int]:
    """Returns the exit codes that are special to a verb."""
    return list(_CODES.get(verb, ()))


def epilog(verb: str) -> str:
    """Returns what `mnv4 VERB --help` ends with."""
    lines = ["Examples:" if len(EXAMPLES[verb]) > 1 else "Example:", *EXAMPLES[verb]]
    if codes := exit_codes(verb):
        lines.append("Exit codes: " + "; ".join(f"{code}: {EXIT_CODES[code]}" for code in codes))
    return "\n\n".join(lines)
