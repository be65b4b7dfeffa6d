"""The benchmark app on an Android device, driven by its instrumentation.

The job and its result are files (`devices.app`). What `am instrument` prints, and its exit code,
which is 0 for a crash too, only explain why there is no result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress

from mnv4_mobile import records
from mnv4_mobile.errors import ConfigError, DeviceError
from mnv4_mobile.measuring.devices import app
from mnv4_mobile.measuring.devices.shell import Shell
from mnv4_mobile.measuring.measurement import Samples
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.units import UNITS, Unit

PACKAGE = "io.github.mnv4.benchmark"
_FILES = f"/sdcard/Android/data/{PACKAGE}/files"
"""The app's own folder, which both the app and the shell may use without a permission."""
_UNITS: Mapping[str, tuple[Unit, ...]] = {
    "tflite": UNITS,
    "snapdragon": ("npu",),
    "executorch": ("cpu",),
}
"""What the app runs. A unit that does not take all of an artifact fails the session."""


class BenchmarkApp:
    """The app on one device; a `Way` to run artifacts.

    Args:
        shell: The device's shell.
        component: The app's instrumentation, `package/class`.
    """

    def __init__(self, shell: Shell, component: str) -> None:
        self._shell, self._component = shell, component
        self._copied: str | None = None

    def check(self, subject: Subject) -> None:
        """Refuses anything but a bundle for Android.

        Raises:
            ConfigError: See `app.check`; or a target that the app has no runtime for.
        """
        app.check(self._shell.name, subject)
        target = subject.artifact.target
        if target not in _UNITS:
            raise ConfigError(
                f"{self._shell.name}: the benchmark app cannot run {target}, only "
                f"{', '.join(_UNITS)}"
            )

    def units(self, subject: Subject) -> tuple[Unit, ...]:
        """See `Way.units`."""
        return _UNITS[subject.artifact.target]

    def copy(self, subject: Subject) -> None:
        """Copies a bundle, unless it is the one that was copied last.

        Raises:
            DeviceError: No space left, ...
        """
        assert subject.bundle is not None
        if self._copied == subject.artifact.sha256:
            return
        self._copied = None
        self._shell.remove(f"{_FILES}/{app.BUNDLE}")
        for name in subject.bundle.files:
            self._shell.push(subject.bundle.path / name, f"{_FILES}/{app.BUNDLE}/{name}")
        self._copied = subject.artifact.sha256

    def measure(
        self, subject: Subject, plan: Plan, cores: tuple[int, ...] | None, timeout_s: float
    ) -> Samples:
        """Measures one session. The app pins itself as the plan says.

        Raises:
            ParityError: The app's golden check failed.
            DeviceError: The app gave no result.
        """
        job = app.new_job(plan)
        self._shell.remove(f"{_FILES}/{app.RESULT}")
        self._shell.push(records.encode(job, indent=1), f"{_FILES}/{app.JOB}")
        ended = self._shell.run(
            ["am", "instrument", "-w", "-r", self._component], timeout_s=timeout_s
        )
        try:
            data = self._shell.pull(f"{_FILES}/{app.RESULT}")
            samples = app.read_samples(data, job, subject.artifact.name)
        except DeviceError as error:
            raise DeviceError(f"{self._shell.name}: {error}; {_why(ended.text)}") from None
        if samples is None:
            raise DeviceError(f"{self._shell.name}: the app wrote another job's result")
        return samples

    def close(self) -> None:
        """Removes what was copied, unless the device is gone."""
        with suppress(DeviceError):
            self._shell.remove(f"{_FILES}/mnv4")


def find(shell: Shell) -> BenchmarkApp | None:
    """Returns the app, or None if it is not installed.

    Raises:
        DeviceError: The device does not answer.
    """
    said = shell.ask({"listed": f"pm list instrumentation {PACKAGE}"})["listed"]
    found = re.search(rf"^instrumentation:(\S+) \(target={re.escape(PACKAGE)}\)", said, re.M)
    return BenchmarkApp(shell, found[1]) if found else None


def _why(printed: str) -> str:
    """Returns what `am instrument` says about an app that ended early."""
    for pattern in (r"^INSTRUMENTATION_RESULT: (?:short|long)Msg=(.*)", r"^(?:Error|.*FAILED): .*"):
        if found := re.search(pattern, printed, re.MULTILINE):
            return found[0].strip()[:300]
    return "am instrument: no message"
