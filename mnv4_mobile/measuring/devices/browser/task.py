"""The task of a page: a job, as the benchmark apps get it, and the checks of its result.

The page fetches the files of `devices.app`'s folder `mnv4/job/`, and sends a `Result`:

    job.json             a `Job`
    bundle/manifest.json
    bundle/...           the artifact and the golden tensors that the manifest names

An artifact without a bundle is alone in `bundle/`, without a manifest. The page then makes its
inputs by itself, and nothing verifies its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnv4_mobile import records
from mnv4_mobile.bundle.folder import MANIFEST
from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.measuring.devices.app import Job, Result, new_job
from mnv4_mobile.measuring.devices.browser.about import text
from mnv4_mobile.measuring.measurement import Samples, Thermal
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.target import load_target
from mnv4_mobile.tensors import TensorSpec
from mnv4_mobile.units import Unit

DTYPES = ("float32", "uint8", "int32")
"""Types of inputs and outputs that LiteRT.js supports."""
MAX_BYTES = 2**31 // 3
"""Largest artifact: it, its repacked weights and all activations share the runtime's 2 GiB."""
MAX_SAMPLES = 200_000
JOB = "job.json"
_MAX_NOTES = 20
_MAX_MS = 3.6e6


@dataclass(frozen=True, kw_only=True)
class Task:
    """A session for one page. Only these files are served."""

    job: Job
    name: str
    """The artifact's name, for messages."""
    golden: bool
    """Whether there is a golden pair."""
    files: dict[str, Path | bytes]
    """Files by their paths in `mnv4/job/`."""

    def samples(self, result: Result) -> Samples:
        """Returns what a page measured, after checking it.

        Raises:
            ConfigError: A figure that no page can have, naming the key.
            ParityError: The page found wrong outputs.
            DeviceError: The page could not measure.
        """
        if result.status == "wrong":
            raise ParityError(f"{self.name}: {text(result.error, 500)}")
        if result.samples is None:
            raise DeviceError(f"{self.name}: {text(result.error, 500)}")
        # No browser knows these, so no page may claim them.
        samples = records.replace(
            result.samples,
            summary=None,
            peak_rss_mb=None,
            thermal_before=Thermal(),
            thermal_after=Thermal(),
        )
        self._check(samples)
        return samples

    def _check(self, samples: Samples) -> None:
        for key in ("latencies_ms", "t_ms", "preprocess_ms", "versions", "conditions"):
            most = MAX_SAMPLES if key.endswith("_ms") else _MAX_NOTES
            if len(getattr(samples, key)) > most:
                raise ConfigError(f"result: samples.{key}: found more than {most} entries")
        count, runs = len(samples.latencies_ms), self.job.plan.runs
        if count < runs or count != len(samples.t_ms):
            raise ConfigError(
                f"result: samples.latencies_ms: found {count} and {len(samples.t_ms)} times, must "
                f"be {runs} or more of each, and equally many"
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
                    raise ConfigError("result: samples: found a text that is long or unprintable")


def check(subject: Subject, plan: Plan, *, gpu: bool = False) -> None:
    """Refuses what no browser can measure.

    Args:
        subject: What to measure.
        plan: How to measure it.
        gpu: Whether the page runs it with WebGPU.

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
    unit: Unit = "gpu" if gpu else "cpu"
    if plan.unit not in (None, unit):
        raise ConfigError(
            f"unit: found {plan.unit!r}, allowed: cpu with --device browser, gpu with --device "
            "browser:gpu"
        )
    if subject.artifact.bytes > MAX_BYTES:
        raise ConfigError(
            f"{name}: found {subject.artifact.bytes / 1e6:.0f} MB, a browser takes "
            f"{MAX_BYTES / 1e6:.0f} MB at most: WebAssembly has 2 GiB of memory"
        )
    for tensor in _tensors(subject):
        if tensor.dtype not in DTYPES:
            raise ConfigError(
                f"{name}: {tensor.name}: found {tensor.dtype} input or output, LiteRT.js takes "
                f"only {', '.join(DTYPES)}; build it with floating-point inputs and outputs"
            )


def _tensors(subject: Subject) -> Sequence[TensorSpec]:
    """Returns the inputs and outputs that are known: the file's inputs if there is no bundle."""
    if subject.bundle is not None:
        return (subject.bundle.input, *subject.bundle.outputs)
    try:
        return load_target(subject.artifact.target).inputs(subject.path)
    except ModuleNotFoundError:  # a browser needs no toolchain; the page checks the types too
        return ()


def make(subject: Subject, plan: Plan, *, gpu: bool = False) -> Task:
    """Returns the task of one session.

    Args:
        subject: What to measure.
        plan: How to measure it.
        gpu: Whether the page runs it with WebGPU.
    """
    job = new_job(records.replace(plan, unit="gpu") if gpu else plan)
    files: dict[str, Path | bytes] = {JOB: records.encode(job)}
    bundle = subject.bundle
    if bundle is None:
        files[f"{job.bundle}/{subject.path.name}"] = subject.path
    else:
        golden = [entry.path for entry in bundle.manifest.golden if entry.source != "artifact"]
        for path in (MANIFEST, bundle.manifest.artifact.path, *golden):
            files[f"{job.bundle}/{path}"] = bundle.path / path
    return Task(job=job, name=subject.artifact.name, golden=bundle is not None, files=files)
