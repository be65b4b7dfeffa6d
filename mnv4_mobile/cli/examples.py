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
    6: "the measurements are inconclusive",
    130: "Ctrl-C or SIGTERM",
}
"""The exit codes of `mnv4`. Every verb may end with 0, 1, 2 or 130."""

_FLOAT = "out/conv-small-035-96x96-fp32-tflite"
_INT8 = "out/conv-small-035-96x96-int8-tflite"
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "build": (
        "mnv4 build demo -t tflite,executorch",
        "mnv4 build demo -t tflite -r int8 --calibrate photos",
        "mnv4 build my_checkpoint.safetensors -t coreml --set coreml.min_ios=18",
    ),
    "models": ("mnv4 models", "mnv4 models conv-small", "mnv4 models --published"),
    "recipes": ("mnv4 recipes", "mnv4 recipes int8"),
    "targets": ("mnv4 targets", "mnv4 targets coreml"),
    "doctor": ("mnv4 doctor",),
    "verify": (f"mnv4 verify {_FLOAT}", f"mnv4 verify {_FLOAT} --weights demo"),
    "predict": (f"mnv4 predict {_INT8} photo.jpg --top 3",),
    "evaluate": (f"mnv4 evaluate {_INT8} photos --parent {_FLOAT}",),
    "diff": (f"mnv4 diff {_FLOAT} {_INT8}", f"mnv4 diff {_FLOAT} --weights demo -o diff.html"),
    "inspect": (f"mnv4 inspect {_INT8}",),
    "lint": (f"mnv4 lint {_FLOAT} {_INT8}",),
    "sensitivity": ("mnv4 sensitivity demo --calibrate photos",),
    "tune": ("mnv4 tune demo -t tflite --calibrate photos --minutes 30 -o tuned",),
    "measure": (
        f"mnv4 measure {_FLOAT} {_INT8} --threads 1,2 --run monday",
        f"mnv4 measure {_INT8} -d adb --run tuesday",
    ),
    "sweep": ("mnv4 sweep quick", "mnv4 sweep mine.yaml -d adb"),
    "devices": ("mnv4 devices",),
    "profile": (f"mnv4 profile {_INT8} --operators",),
    "report": ("mnv4 report --max-ms 10", "mnv4 report -o results.csv --run monday"),
    "results": ("mnv4 results",),
    "results list": ("mnv4 results list --recipe int8",),
    "results show": ("mnv4 results show 3f2a",),
    "results export": ("mnv4 results export monday.jsonl --run monday",),
    "results import": ("mnv4 results import monday.jsonl",),
    "compare": ("mnv4 compare monday tuesday --max-regression 5",),
    "choose": ("mnv4 choose --max-ms 20", "mnv4 choose --device host --min-top1 50"),
    "results delete": ("mnv4 results delete --run monday --yes",),
    "cache": ("mnv4 cache",),
    "cache prune": ("mnv4 cache prune --older-than 30",),
    "sdk": ("mnv4 sdk android --help",),
    "sdk android": (f"mnv4 sdk android {_INT8} -o app/mnv4",),
    "sdk ios": ("mnv4 sdk ios out/conv-small-035-96x96-fp32-executorch -o App/mnv4",),
}
"""Examples of each verb, in an order in which they run: later ones use what earlier ones made.

They also need a folder `photos` and an image `photo.jpg` of the user.
"""

_CODES: Mapping[str, tuple[int, ...]] = {
    "build": (3, 5),
    "verify": (3, 5),
    "predict": (5,),
    "evaluate": (5,),
    "diff": (5,),
    "lint": (3,),
    "tune": (3, 5),
    "measure": (3, 5),
    "sweep": (3, 5),
    "profile": (5,),
    "compare": (4, 6),
    "choose": (3,),
}


def exit_codes(verb: str) -> list[int]:
    """Returns the exit codes that are specific to a verb."""
    return list(_CODES.get(verb, ()))


def epilog(verb: str) -> str:
    """Returns the end of `mnv4 VERB --help`."""
    lines = ["Examples:" if len(EXAMPLES[verb]) > 1 else "Example:", *EXAMPLES[verb]]
    if codes := exit_codes(verb):
        lines.append("Exit codes: " + "; ".join(f"{code}: {EXIT_CODES[code]}" for code in codes))
    return "\n\n".join(lines)
