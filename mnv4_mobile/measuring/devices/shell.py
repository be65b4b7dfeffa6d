"""A shell on a device, over adb or ssh.

Everything goes through one command of the system (`adb shell`, `ssh`): files too, as its input and
output, so that a device needs nothing but a shell with `cat`. The exit codes of adb and ssh are not
trusted (`adb shell` ends with 0 when the device vanishes): a marker with the exit code of the
device's own command ends the output, and without it the connection is lost.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from subprocess import PIPE

from mnv4_mobile.errors import DeviceError
from mnv4_mobile.measuring.device import DeviceGoneError

_ANSWER_S = 60
"""Seconds that a short command may take."""
_COPY_S = 1800
_LEFT = "mnv4-"
"""The beginning of our folders' names on devices."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A command that ran to its end on a device."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        """Everything that it printed."""
        return self.stdout.decode(errors="replace") + self.stderr

    @property
    def last_line(self) -> str:
        """The last line of its errors, or of its output, for a message."""
        for text in (self.stderr, self.stdout.decode(errors="replace")):
            if lines := text.strip().splitlines():
                return lines[-1].strip()[:300]
        return "no message"


class Shell(ABC):
    """A device's shell, and our folder on the device.

    Args:
        name: The device, for messages: `adb:SERIAL`.
        parent: Where the folder is made, as the device's shell writes it; programs must be allowed
            to run there.
    """

    def __init__(self, name: str, parent: str) -> None:
        self.name, self._parent = name, parent

    @cached_property
    def folder(self) -> str:
        """Path of our folder on the device, which is created when it is first needed.

        Raises:
            DeviceError: It cannot be created.
        """
        folder = f"{self._parent}/{_LEFT}{uuid.uuid4().hex[:12]}"
        # Leftovers of killed measurements are removed after a day.
        made = self._run(
            f"find {self._parent} -maxdepth 1 -name '{_LEFT}*' -mtime +1 -exec rm -rf {{}} + "
            f"2>/dev/null; mkdir -p {folder} && cd {folder} && pwd"
        )
        if made.code:
            raise DeviceError(f"{self.name}: cannot make the folder {folder}: {made.last_line}")
        return made.stdout.decode().strip()

    @abstractmethod
    def _shell_command(self, script: str) -> list[str]:
        """Returns the command on this machine that runs a script in the device's shell."""

    @abstractmethod
    def _lost(self, message: str) -> DeviceGoneError:
        """Returns why there is no connection and what to do, from what adb or ssh printed."""

    def close(self) -> None:
        """Removes our folder, if it was created and the device is still connected."""
        if "folder" in self.__dict__:
            with suppress(DeviceError):
                self.remove(self.folder)

    def run(self, argv: Sequence[str], *, timeout_s: float, libraries: str | None = None) -> Ended:
        """Runs a program in our folder and returns its output, whatever its exit code.

        The program is killed when it takes too long, when this process ends, and when the
        connection is lost, so that no device stays busy.

        Args:
            argv: The program and its arguments.
            timeout_s: Seconds that it may take.
            libraries: Folder on the device with the program's shared libraries.

        Raises:
            DeviceGoneError: The connection was lost.
            DeviceError: The program took too long.
        """
        settings = f"LD_LIBRARY_PATH={shlex.quote(libraries)} " if libraries else ""
        # The program lives as long as the input of adb or ssh is open: a `cat` on the device waits
        # for its end, and kills the program with all that it started (hence a session of its own).
        # No `cat` may remain at the end, because adbd waits until its socket is closed. It gets
        # KILL, because a shell that has not become `cat` yet would lose a TERM. Programs in the
        # background have no input unless it is redirected.
        script = (
            f"cd {shlex.quote(self.folder)} && "
            f"{{ {settings}setsid {shlex.join(argv)} </dev/null & program=$!; "
            "{ trap 'kill -s KILL $!; exit' TERM; cat <&3 & wait $!; kill -s KILL -- -$program; } "
            ">/dev/null 2>&1 & watcher=$!; "
            "wait $program; code=$?; kill $watcher; exit $code; } 3<&0"
        )
        mark, command = self._command(script)
        end, opened = os.pipe()
        connection = subprocess.Popen(command, stdin=end, stdout=PIPE, stderr=PIPE)
        os.close(end)
        late = False
        try:
            try:
                stdout, stderr = connection.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                late = True
            finally:
                os.close(opened)
            if late:
                stdout, stderr = connection.communicate(timeout=_ANSWER_S)
        except subprocess.TimeoutExpired:
            raise DeviceGoneError(f"{self.name}: no longer answers") from None
        finally:
            connection.kill()
            connection.wait()
        ended = self._ended(mark, stdout, stderr)
        if late:
            raise DeviceError(f"{self.name}: {argv[0]}: took more than {timeout_s:.0f} s, killed")
        return ended

    def ask(self, questions: Mapping[str, str]) -> dict[str, str]:
        """Returns what several short commands print, with one call; nothing for one that fails.

        Args:
            questions: Shell commands by name, which are constants of this package, never data.

        Raises:
            DeviceGoneError: The connection was lost.
        """
        mark = uuid.uuid4().hex
        script = f"; echo; echo {mark}; ".join(
            f"{{ {command}; }} 2>/dev/null </dev/null" for command in questions.values()
        )
        answers = self._run(script).stdout.decode(errors="replace").split(f"\n{mark}\n")
        return {
            name: answer.replace("\0", "").strip()
            for name, answer in zip(questions, answers, strict=True)
        }

    def push(self, source: Path | bytes, name: str, *, executable: bool = False) -> str:
        """Copies a file of this machine, or some bytes, to the device.

        Args:
            source: The file or the bytes.
            name: Its name in our folder, or a whole path. Folders are created.
            executable: Whether it is a program.

        Returns:
            Its path on the device.

        Raises:
            DeviceGoneError: The connection was lost.
            DeviceError: No space left, ...
        """
        path = name if name.startswith("/") else f"{self.folder}/{name}"
        target = shlex.quote(path)
        script = f"mkdir -p {shlex.quote(path.rpartition('/')[0])} && cat > {target}"
        if executable:
            script += f" && chmod 755 {target}"
        # If it fails, read the rest: adb takes data that nobody reads for a lost connection.
        script = f"{{ {script}; }} || {{ cat >/dev/null; false; }}"
        data = source if isinstance(source, bytes) else source.read_bytes()
        ended = self._run(script, data=data, timeout_s=_COPY_S)
        if ended.code:
            self._run(f"rm -f {target}")
            raise DeviceError(f"{self.name}: cannot copy to {path}: {ended.last_line}")
        return path

    def pull(self, path: str) -> bytes:
        """Returns the bytes of a file on the device.

        Raises:
            DeviceGoneError: The connection was lost.
            DeviceError: No such file.
        """
        ended = self._run(f"cat {shlex.quote(path)}", timeout_s=_COPY_S)
        if ended.code:
            raise DeviceError(f"{self.name}: {path}: {ended.last_line}")
        return ended.stdout

    def remove(self, path: str) -> None:
        """Removes a file or a folder, if it exists."""
        self._run(f"rm -rf {shlex.quote(path)}")

    def _run(self, script: str, *, data: bytes = b"", timeout_s: float = _ANSWER_S) -> Ended:
        mark, command = self._command(script)
        try:
            done = subprocess.run(command, input=data, capture_output=True, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            raise DeviceGoneError(f"{self.name}: no longer answers") from None
        return self._ended(mark, done.stdout, done.stderr)

    def _command(self, script: str) -> tuple[bytes, list[str]]:
        """Returns the marker that ends a script's output, and the command on this machine."""
        mark = uuid.uuid4().hex
        # In parentheses, so that the marker is printed even after an `exit` or a signal.
        return mark.encode(), self._shell_command(f"( {script} ); printf '\\n%s %s\\n' {mark} $?")

    def _ended(self, mark: bytes, printed: bytes, errors: bytes) -> Ended:
        stderr = errors.decode(errors="replace")
        stdout, found, code = printed.rpartition(b"\n" + mark + b" ")
        if not found or not code.strip().isdigit():
            raise self._lost(stderr.strip() or "the connection was lost")
        return Ended(code=int(code), stdout=stdout, stderr=stderr)
