"""Programs that run a `.tflite` on a device."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mnv4_mobile.errors import DeviceError
from mnv4_mobile.measuring.devices.tool import Foreign, Run, Runner, Tool
from mnv4_mobile.measuring.measurement import Samples, Summary
from mnv4_mobile.records import replace
from mnv4_mobile.units import Unit

_NUMBER = r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_LONGEST_S = 3600
_FILES = r".*benchmark_(?:litert_)?model.*"


class BenchmarkModel(Foreign):
    """LiteRT's and TensorFlow Lite's `benchmark_model`.

    On a GPU it uses the delegate for OpenCL. It leaves to the CPU what the delegate does not take,
    or everything, and says so in its log.
    """

    units: tuple[Unit, ...] = ("cpu", "gpu")

    def argv(self, run: Run) -> list[str]:
        """See `Tool.argv`. The inputs are random."""
        return [
            *self.pinned(run),
            f"--graph={run.model}",
            f"--num_threads={run.threads}",
            f"--warmup_runs={max(1, run.warmup)}",
            "--warmup_min_secs=0",
            f"--num_runs={run.runs}",
            f"--min_secs={run.seconds:g}",
            f"--max_secs={_LONGEST_S}",
            *self.delegates(run),
        ]

    def memory_argv(self, run: Run) -> list[str]:
        """See `Tool.memory_argv`. It is a separate run: watching memory perturbs the latency."""
        return [
            *self.pinned(run),
            f"--graph={run.model}",
            f"--num_threads={run.threads}",
            "--warmup_runs=1",
            "--warmup_min_secs=0",
            "--num_runs=1",
            "--min_secs=0",
            *self.delegates(run),
            "--report_peak_memory_footprint=true",
        ]

    def delegates(self, run: Run) -> list[str]:
        """Returns the arguments that choose what computes."""
        # XNNPACK also takes what the GPU leaves.
        return ["--use_xnnpack=true", *(["--use_gpu=true"] if run.unit == "gpu" else [])]

    def read(self, printed: str, file: Callable[[str], bytes]) -> Samples:
        """See `parse`."""
        return parse(printed)


class BenchmarkModelOnNpu(BenchmarkModel):
    """LiteRT's `benchmark_model` with a file that is compiled for an NPU.

    LiteRT's dispatch library and those of the NPU's maker are beside it, in one folder.
    """

    units = ("npu",)

    def pinned(self, run: Run) -> list[str]:
        """See `Foreign.pinned`. Qualcomm's library looks for its Skel in ADSP_LIBRARY_PATH."""
        return ["env", f"ADSP_LIBRARY_PATH={self._folder(run)}", *super().pinned(run)]

    def delegates(self, run: Run) -> list[str]:
        """See `BenchmarkModel.delegates`."""
        return ["--use_npu=true", f"--dispatch_library_path={self._folder(run)}"]

    def read(self, printed: str, file: Callable[[str], bytes]) -> Samples:
        """See `parse`. The NPU runs its program or the tool fails; nothing says what else ran."""
        return replace(parse(printed), ran_on=())

    def _folder(self, run: Run) -> str:
        return str(PurePosixPath(run.program[0]).parent)


def parse(printed: str) -> Samples:
    """Reads what old and new releases of `benchmark_model` print.

    The timed runs are the last line `count=... first=... curr=... min=... max=... avg=... std=...`,
    in microseconds, which is `count=N curr=X(all same)` if they do not differ. The line `Inference
    timings in us:` (formerly `Average inference timings in us:`) has the mean and the loading time.

    Raises:
        DeviceError: The output has no mean.
    """
    timings = _last(r"(?:Average inference|Inference) timings in us: (.*)", printed)
    if timings is None:
        raise DeviceError("benchmark_model: printed no line `Inference timings in us`")
    mean = _value(r"(?:Inference \(avg\)|Inference|no stats)", timings[1])
    if mean is None:
        raise DeviceError(f"benchmark_model: no mean in {timings[0].strip()!r}")
    stats = _last(r"^(?:INFO: )?(?:Timings \(microseconds\): )?(count=\d+ .*)$", printed)
    entries = dict(re.findall(rf"(\w+)=({_NUMBER})", stats[1])) if stats else {}
    same = float(entries["curr"]) / 1000 if entries and "avg" not in entries else None

    def ms(name: str) -> float | None:
        return float(entries[name]) / 1000 if name in entries else same

    std = 0.0 if same is not None else ms("std")
    peak = _last(rf"Overall peak memory footprint \(MB\)[^:]*: ({_NUMBER})", printed)
    return Samples(
        golden_sqnr_db=None,
        load_cold_ms=_value("Init", timings[1]),
        first_ms=_value("First inference", timings[1]),
        summary=Summary(
            mean=mean, std=std, min=ms("min"), max=ms("max"), count=int(entries.get("count", 0))
        ),
        peak_rss_mb=float(peak[1]) if peak else None,
        ran_on=_ran_on(printed),
    )


def _ran_on(printed: str) -> tuple[Unit, ...]:
    """Returns the units that ran the model: the CPU, unless the tool says that the GPU did."""
    applied = _last(r"pplied GPU delegate, .* will be (completely|partially) executed", printed)
    taken: tuple[Unit, ...] = ("gpu",) if applied else ()
    return taken if applied and applied[1] == "completely" else (*taken, "cpu")


def _last(pattern: str, printed: str) -> re.Match[str] | None:
    return next(reversed(list(re.finditer(pattern, printed, re.MULTILINE))), None)


def _value(name: str, timings: str) -> float | None:
    """Returns a time from the line with the timings, in ms; None if it is missing."""
    found = re.search(rf"(?:^|, ){name}: ({_NUMBER})", timings)
    return float(found[1]) / 1000 if found else None


TOOLS: tuple[Tool, ...] = (
    Runner(
        "LiteRT in Python",
        r"python[\d.]*",
        script=Path(__file__).with_name("device_runner.py"),
        default="python3",
        named=True,
    ),
    BenchmarkModel("benchmark_model", _FILES),
)
COMPILED_TOOLS: tuple[Tool, ...] = (BenchmarkModelOnNpu("benchmark_model", _FILES),)
