"""Linux boards, through the system's ssh and the user's configuration of it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mnv4_mobile.errors import ConfigError, ToolchainError
from mnv4_mobile.measuring.device import Attached, DeviceGoneError
from mnv4_mobile.measuring.devices.remote import Remote
from mnv4_mobile.measuring.devices.shell import Shell
from mnv4_mobile.progress import SILENT, Progress

_ADVICE = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key has changed"),
    ("Host key verification failed", "its host key is not known: connect once with `ssh {host}`"),
    ("Permission denied", "it accepts no key of yours: `ssh-copy-id {host}`"),
    ("Could not resolve hostname", "no such host"),
    ("Connection refused", "nothing listens there: is its ssh server running?"),
    ("timed out", "does not answer: is it on, and in this network?"),
    ("No route to host", "cannot be reached: is it on, and in this network?"),
)


class SshShell(Shell):
    """The shell of one host.

    Args:
        destination: `host` or `user@host`; the host may be a name in the user's configuration.
        port: The port. None: the one in the configuration.
    """

    def __init__(self, destination: str, port: str | None) -> None:
        self._destination = destination
        program = shutil.which("ssh")
        if program is None:
            raise ToolchainError("ssh: not installed; install OpenSSH's client")
        # All commands share one connection, so that each takes one round trip without a handshake.
        # Its socket lies in /tmp, because its path must be short, and macOS's TMPDIR is not.
        self._sockets = tempfile.TemporaryDirectory(
            prefix="mnv4-", dir="/tmp", ignore_cleanup_errors=True
        )
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": "10",
            "ServerAliveInterval": "10",
            "ServerAliveCountMax": "3",
            "ControlMaster": "auto",
            "ControlPath": str(Path(self._sockets.name, "%C")),
            "ControlPersist": "60",
            "LogLevel": "ERROR",
        }
        self._ssh = [program, "-T", *(f"-o{key}={value}" for key, value in options.items())]
        if port:
            self._ssh += ["-p", port]
        super().__init__(f"ssh:{destination}{':' + port if port else ''}", '"$HOME"')

    def _shell_command(self, script: str) -> list[str]:
        # The account's login shell may be any shell; the script needs sh.
        return [*self._ssh, "--", self._destination, f"exec sh -c {shlex.quote(script)}"]

    def _lost(self, message: str) -> DeviceGoneError:
        for sign, advice in _ADVICE:
            if sign in message:
                said = advice.format(host=self._destination)
                return DeviceGoneError(f"{self.name}: {said} ({message.splitlines()[-1]})")
        return DeviceGoneError(f"{self.name}: the connection was lost: {message.splitlines()[-1]}")

    def close(self) -> None:
        """Removes our folder and ends the connection."""
        super().close()
        subprocess.run(
            [*self._ssh, "-O", "exit", "--", self._destination],
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        self._sockets.cleanup()


class Ssh:
    """The kind `ssh`: `ssh:host`, `ssh:user@host` or `ssh:user@host:port`."""

    name = "ssh"

    def connect(
        self, address: str, tool: str | None, progress: Progress = SILENT
    ) -> Sequence[Remote]:
        """See `Kind.connect`."""
        # A leading dash would be an option of ssh.
        form = r"(?P<destination>(?:[\w.+-]+@)?(?!-)[\w.-]+|(?:[\w.+-]+@)?\[[\da-fA-F:.]+\])"
        found = re.fullmatch(rf"(?!-){form}(?::(?P<port>\d{{1,5}}))?", address, re.ASCII)
        if found is None:
            raise ConfigError(f"--device: found 'ssh:{address}', allowed: ssh:[user@]host[:port]")
        destination = found["destination"].replace("[", "").replace("]", "")
        return [Remote(SshShell(destination, found["port"]), tool)]

    def attached(self) -> list[Attached]:
        """Returns nothing: hosts cannot be listed."""
        return []


kind = Ssh()
