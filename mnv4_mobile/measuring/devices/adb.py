"""Android devices, through Google's adb."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence

from mnv4_mobile.errors import ConfigError, DeviceError, ToolchainError
from mnv4_mobile.measuring.device import Attached, DeviceGoneError
from mnv4_mobile.measuring.devices import facts
from mnv4_mobile.measuring.devices.android_app import find
from mnv4_mobile.measuring.devices.remote import Remote
from mnv4_mobile.measuring.devices.shell import Shell
from mnv4_mobile.progress import SILENT, Progress

_FOLDER = "/data/local/tmp"
"""The only folder of an Android device where the shell may write and run programs."""
_MISSING = {
    "unauthorized": "not authorised: unlock it and allow USB debugging for this computer's key",
    "authorizing": "still being authorised: allow USB debugging on its screen",
    "offline": "offline: plug it in again, or `adb reconnect offline`; if it is wireless, connect "
    "it again",
    "no permissions": "this user may not open it: see udev rules in adb's documentation",
    "recovery": "in recovery mode: start Android",
    "sideload": "in sideload mode: start Android",
    "bootloader": "in the bootloader: start Android",
}
_NO_APP = "needs the benchmark app, or a program: --tool"
_NONE = "no device is attached: plug one in and allow USB debugging, or give adb:HOST:PORT"


class AdbShell(Shell):
    """The shell of one Android device.

    Args:
        serial: The serial number, as `adb devices` lists it.
    """

    def __init__(self, serial: str) -> None:
        self.serial = serial
        self._adb = adb_path()
        super().__init__(f"adb:{serial}", _FOLDER)

    def _shell_command(self, script: str) -> list[str]:
        # -T: no terminal, so that bytes pass as they are.
        return [self._adb, "-s", self.serial, "shell", "-T", script]

    def _lost(self, message: str) -> DeviceGoneError:
        # What `adb shell` prints depends on the moment, so the state is asked for again.
        state = dict(_listed()).get(self.serial)
        if state == "device":
            return DeviceGoneError(f"{self.name}: the connection broke: {message}")
        return DeviceGoneError(f"{self.name}: {_MISSING.get(state or '', 'is gone: ' + message)}")


class Adb:
    """The kind `adb`: `adb`, `adb:SERIAL`, or `adb:HOST:PORT` for a wireless device."""

    name = "adb"

    def connect(
        self, address: str, tool: str | None, progress: Progress = SILENT
    ) -> Sequence[Remote]:
        """See `Kind.connect`."""
        if address and not re.fullmatch(r"[A-Za-z0-9._:\[\]-]+", address):
            raise ConfigError(f"--device: adb:{address}: neither a serial number nor HOST:PORT")
        states = dict(_listed())
        if re.search(r":\d+$", address) and states.get(address) in (None, "offline"):
            _connect(address)
            states = dict(_listed())
        attached = ", ".join(states) or "none"
        if not address:
            if not states:
                raise DeviceError(f"adb: {_NONE}")
            if len(states) > 1:
                raise DeviceError(f"adb: several devices, say which as adb:SERIAL: {attached}")
            (address,) = states
        if address not in states:
            raise DeviceError(f"adb:{address}: not attached; attached: {attached}")
        if missing := _missing(states[address]):
            raise DeviceGoneError(f"adb:{address}: {missing}")
        shell = AdbShell(address)
        return [Remote(shell, tool, find(shell))]

    def attached(self) -> list[Attached]:
        """Returns what `adb devices` lists, or why it cannot be asked."""
        try:
            return [_attached(serial, state) for serial, state in _listed()]
        except (ToolchainError, DeviceError) as error:
            return [Attached(address=self.name, info=None, missing=str(error))]


def _attached(serial: str, state: str) -> Attached:
    info, missing = None, _missing(state)
    if missing is None:
        try:
            shell = AdbShell(serial)
            info = facts.ask(shell).info
            missing = None if find(shell) else _NO_APP
        except DeviceError as error:
            missing = str(error)
    return Attached(address=f"adb:{serial}", info=info, missing=missing)


def _connect(address: str) -> None:
    _adb("disconnect", address)  # otherwise an offline device stays offline
    said = _adb("connect", address)
    # The exit code is always 0. A device that still has to be authorised is listed as such.
    if "connected to" not in said and "failed to authenticate" not in said:
        raise DeviceError(
            f"adb:{address}: {said.strip()}; is wireless debugging on, and this computer paired "
            "(`adb pair`)?"
        )


def adb_path() -> str:
    """Returns the path of Google's adb: the one on the PATH, otherwise the one in adbutils.

    Two versions of adb would restart each other's server.

    Raises:
        ToolchainError: Neither is installed.
    """
    if found := shutil.which("adb"):
        return found
    try:
        from adbutils import adb_path as bundled
    except ImportError:
        raise ToolchainError("adb: not installed; pip install 'mnv4-mobile[adb]'") from None
    return str(bundled())


def _adb(*arguments: str) -> str:
    try:
        done = subprocess.run(
            [adb_path(), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=60,
        )
    except subprocess.TimeoutExpired:
        raise DeviceError(f"adb: `adb {' '.join(arguments)}` does not end") from None
    return done.stdout


def _listed() -> list[tuple[str, str]]:
    """Returns the serial number and the state of every device that `adb devices` lists."""
    said = _adb("devices")
    header, found, rows = said.partition("List of devices attached")
    if not found:
        raise DeviceError(f"adb: {(header.strip().splitlines() or ['no answer'])[-1]}")
    # A state is one word, except `no permissions (...)`.
    return re.findall(r"^(\S+)\s+(no permissions|\S+)", rows, re.MULTILINE)


def _missing(state: str) -> str | None:
    return None if state == "device" else _MISSING.get(state, f"in state {state!r}")


kind = Adb()
