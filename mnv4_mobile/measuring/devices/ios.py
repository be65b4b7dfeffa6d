"""iPhones and iPads, through Xcode's devicectl and the benchmark app of the iOS SDK.

The job and its result are files (`devices.app`). The app is launched with its console
attached, which ends with the app, so that nothing polls the device while it measures. Simulators
are not listed: they compute on the Mac, which is the kind `host`.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4_mobile import records
from mnv4_mobile.errors import ConfigError, DeviceError, ToolchainError
from mnv4_mobile.measuring.device import Attached, DeviceGoneError, check_unit
from mnv4_mobile.measuring.devices import app
from mnv4_mobile.measuring.measurement import DeviceInfo, Samples, Thermal
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.progress import SILENT, Progress
from mnv4_mobile.units import UNITS

BUNDLE_ID = "io.github.mnv4.benchmark"
"""Bundle id of the benchmark app. A team that signs it with another id names that by `--tool`."""
LAUNCHED_FOR_JOB = "--mnv4-job"
"""The app's argument that makes it run the copied job and exit."""
_RUN = ("coreml", "coreai")
"""The targets whose artifacts the app runs."""
_READ, _WRITTEN = "Documents", "Library/Caches"
"""Folders of the app: copied files, which belong to root, and files that the app writes."""
_LIST_S, _COPY_S, _START_S, _SLOWEST_RUN_S = 60, 600, 300, 2


@dataclass(frozen=True, kw_only=True)
class AppleDevice:
    """A device as devicectl lists it."""

    udid: str
    info: DeviceInfo
    missing: str | None


class IosDevice:
    """One iPhone or iPad.

    Args:
        phone: The device, as devicectl lists it.
        bundle_id: Bundle id of the benchmark app on it.
    """

    def __init__(self, phone: AppleDevice, bundle_id: str) -> None:
        self._phone, self._bundle_id = phone, bundle_id
        self._copied: set[str] = set()

    def describe(self) -> DeviceInfo:
        """See `Device.describe`."""
        return self._phone.info

    def thermal(self) -> Thermal:
        """Returns nothing: the app waits for `max_thermal`, and its samples have the status."""
        return Thermal()

    def check(self, subject: Subject, plan: Plan) -> None:
        """See `Device.check`."""
        app.check(self._phone.info.id, subject)
        target = subject.artifact.target
        units = UNITS if target in _RUN else UNITS[:1]
        check_unit(f"{target} on {self._phone.info.id}", plan, units)
        if plan.affinity != "none":
            raise ConfigError(f"affinity: found {plan.affinity!r}, allowed on iOS: none")

    def measure(self, subject: Subject, plan: Plan, progress: Progress) -> Samples:
        """See `Device.measure`."""
        assert subject.bundle is not None
        name, device = subject.artifact.name, self._phone.info.id
        # Each bundle gets a folder: the app cannot remove root's files, devicectl removes too much.
        folder = f"{app.BUNDLE}-{subject.artifact.sha256[:16]}"
        job = app.new_job(plan, folder)
        if folder not in self._copied:
            progress.update(f"{device}: copy {name}")
            with tempfile.TemporaryDirectory() as work:
                subject.bundle.copy_to(Path(work, name))
                self._copy_to(Path(work, name), folder)
            self._copied.add(folder)
        with tempfile.TemporaryDirectory() as work:
            file = Path(work, "job.json")
            file.write_bytes(records.encode(job, indent=1))
            self._copy_to(file, app.JOB)
            progress.update(f"{device}: run {name}")

            def tell(line: str) -> None:
                if step := app.said(line):
                    progress.update(f"{device}: {name}: {step}")

            timeout_s = _START_S + 2 * plan.seconds + (plan.warmup + plan.runs) * _SLOWEST_RUN_S
            ended = self._device(
                ["process", "launch"],
                ["--terminate-existing", "--console", self._bundle_id, "--", LAUNCHED_FOR_JOB],
                timeout_s,
                tell,
            )
            # Only a result counts, however devicectl says that the app ended.
            result = Path(work, "result.json")
            self._copy("from", f"{_WRITTEN}/{app.RESULT}", str(result))
            samples = app.read_samples(result.read_bytes(), job, name) if result.is_file() else None
        if samples is None:
            raise failure(self._phone, f"the app ended without a result: {_why(ended)}")
        return samples

    def close(self) -> None:
        """Does nothing: copied files stay until the app is removed, as devicectl cannot delete."""

    def _copy_to(self, source: Path, to: str) -> None:
        ended = self._copy("to", str(source), f"{_READ}/{to}")
        if ended.code != 0:
            raise failure(self._phone, f"cannot copy {source.name}: {_why(ended)}")

    def _copy(self, direction: str, source: str, destination: str) -> _Ended:
        container = ["--domain-type", "appDataContainer", "--domain-identifier", self._bundle_id]
        files = ["--source", source, "--destination", destination]
        return self._device(["copy", direction], container + files, _COPY_S)

    def _device(
        self,
        verb: list[str],
        arguments: list[str],
        timeout_s: float,
        tell: Callable[[str], None] = lambda _: None,
    ) -> _Ended:
        command = ["device", *verb, "--device", self._phone.udid, *arguments]
        return _devicectl(command, timeout_s, tell)


class Ios:
    """The kind `ios`: `ios` or `ios:UDID`."""

    name = "ios"

    def connect(
        self, address: str, tool: str | None, progress: Progress = SILENT
    ) -> Sequence[IosDevice]:
        """See `Kind.connect`. `tool` is the bundle id of the benchmark app."""
        bundle_id = tool or BUNDLE_ID
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", bundle_id):
            raise ConfigError(f"--tool: found {tool!r}, for ios it is the app's bundle id")
        return [IosDevice(ready(address), bundle_id)]

    def attached(self) -> list[Attached]:
        """Returns what devicectl lists, or why it cannot be asked; nothing if this is not a Mac."""
        if shutil.which("xcrun") is None:
            return []
        try:
            phones = _phones()
        except (ToolchainError, DeviceError) as error:
            return [Attached(address=self.name, info=None, missing=str(error))]
        return [Attached(address=p.info.id, info=p.info, missing=p.missing) for p in phones]


def ready(address: str) -> AppleDevice:
    """Returns the phone of a UDID, or the only one that is ready.

    Raises:
        ToolchainError: Xcode is not installed.
        DeviceError: No such phone, or it is not ready.
    """
    known = _phones()
    names = ", ".join(phone.info.id for phone in known) or "none"
    if address:
        phones = [phone for phone in known if phone.udid == address]
        if not phones:
            raise DeviceError(f"ios:{address}: not known to this Mac; known: {names}")
    else:  # pairing never expires, so most of the known devices may be away
        phones = [phone for phone in known if not phone.missing] or known
    if not phones:
        raise DeviceError("ios: no device is known: plug one in and trust this computer")
    if len(phones) > 1:
        raise DeviceError(f"ios: several devices, say which as ios:UDID: {names}")
    (phone,) = phones
    if phone.missing:
        raise DeviceGoneError(f"{phone.info.id}: {phone.missing}")
    return phone


def failure(phone: AppleDevice, message: str) -> DeviceError:
    """Returns a phone's error, after looking again whether the phone is still connected."""
    now = next((one for one in _phones() if one.udid == phone.udid), None)
    if now is None or now.missing:
        return DeviceGoneError(f"{phone.info.id}: {now.missing if now else 'is gone'}")
    return DeviceError(f"{phone.info.id}: {message}")


@dataclass(frozen=True)
class _Ended:
    code: int
    text: str


def _devicectl(
    arguments: Sequence[str], timeout_s: float, tell: Callable[[str], None] = lambda _: None
) -> _Ended:
    if shutil.which("xcrun") is None:
        raise ToolchainError("ios: needs a Mac with Xcode 15 or later; found no xcrun")
    lines = []
    with subprocess.Popen(
        ["xcrun", "devicectl", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        timer = threading.Timer(timeout_s, process.kill)
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line)
                tell(line)
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    text = "".join(lines)
    if "unable to find utility" in text:
        raise ToolchainError("ios: needs Xcode 15 or later: this one has no devicectl")
    if process.returncode == -signal.SIGKILL:
        text += f"devicectl took more than {timeout_s:.0f} s"
    return _Ended(process.returncode, text)


def _why(ended: _Ended) -> str:
    """Returns devicectl's error with the reason below it, or else the last line."""
    lines = [line.strip() for line in ended.text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")][:1]
    errors += [line for line in lines if "FailureReason" in line][:1]
    return "; ".join(errors or lines[-1:] or [f"devicectl ended with code {ended.code}"])[:400]


def _phones() -> list[AppleDevice]:
    """Returns the iPhones and iPads that this Mac knows.

    Raises:
        ToolchainError: Xcode is not installed.
        DeviceError: devicectl fails.
    """
    with tempfile.TemporaryDirectory() as work:
        file = Path(work, "devices.json")
        ended = _devicectl(["list", "devices", "--json-output", str(file)], _LIST_S)
        try:
            listed = json.loads(file.read_bytes())["result"]["devices"]
            return [_phone(entries) for entries in listed if _is_phone(entries)]
        except OSError:
            raise DeviceError(f"ios: {_why(ended)}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeviceError(f"ios: devicectl's list has an unknown form: {error!r}") from None


def _is_phone(entries: dict[str, Any]) -> bool:
    hardware = entries["hardwareProperties"]
    return (hardware.get("platform"), hardware.get("reality")) == ("iOS", "physical")


def _phone(entries: dict[str, Any]) -> AppleDevice:
    hardware, about = entries["hardwareProperties"], entries["deviceProperties"]
    udid = str(hardware["udid"])
    model = hardware.get("marketingName") or hardware.get("productType") or about.get("name") or ""
    build = about.get("osBuildUpdate")
    return AppleDevice(
        udid=udid,
        info=DeviceInfo(
            id=f"ios:{udid}",
            model=str(model),
            soc="",
            os_build=f"iOS {about.get('osVersionNumber', '')}" + (f" ({build})" if build else ""),
        ),
        missing=_missing(entries["connectionProperties"], about),
    )


def _missing(connection: dict[str, Any], about: dict[str, Any]) -> str | None:
    if connection.get("pairingState") != "paired":
        return "not paired: plug it in, unlock it and trust this computer"
    # "disconnected" means reachable, without a connection at the moment.
    if connection.get("tunnelState") == "unavailable":
        return "not reachable: plug it in and unlock it"
    if about.get("developerModeStatus") == "disabled":
        return "Developer Mode is off: Settings > Privacy & Security > Developer Mode"
    return None


kind = Ios()
