"""Provides devices without a phone or a board: real adbd and sshd processes on loopback.

    python -m tools.boards COMMAND...

runs a command while two adb devices (adb:127.0.0.1:5601 and :5602) and an ssh host (ssh:board) are
attached. Needs the peers `adbd` and `sshd` (tools/peers.py), and root or user namespaces.

Each adb device has its own root folder, with this machine's programs, /data/local/tmp and stand-ins
for Android's services. All devices, and an adb server of their own, run in a network namespace that
has only loopback, because adbd listens on every address and accepts every client. The adb client
reaches that server through a socket file named by the environment variable ADB_SERVER_SOCKET.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path

from tools import peers

ANDROID: Mapping[str, str] = {
    "getprop": """
echo "[ro.product.manufacturer]: [Board]"
echo "[ro.product.model]: [Board $ADBD_PORT]"
echo "[ro.soc.manufacturer]: [Loopback]"
echo "[ro.soc.model]: [L1]"
echo "[ro.build.version.release]: [14]"
echo "[ro.build.id]: [AP1A]"
echo "[ro.serialno]: [BOARD$ADBD_PORT]"
""",
    "dumpsys": """
case "$1" in
thermalservice) cat /data/thermal ;;
battery) echo "Current Battery Service state:"; echo "  level: 87" ;;
power) echo "  mWakefulness=Asleep" ;;
deviceidle) echo ACTIVE ;;
esac
""",
    "pm": "cat /data/packages 2>/dev/null",
    "am": "exit 1",
}
"""Shell scripts that stand in for Android's programs, by name."""
APP_LISTED = """
[ "$*" = "list instrumentation io.github.mnv4.benchmark" ] || exit 1
echo "instrumentation:io.github.mnv4.benchmark/.Measure (target=io.github.mnv4.benchmark)"
"""
"""The script `pm` of a device that has the benchmark app."""
THERMAL = """IsStatusOverride: false
Thermal Status: {status}
Cached temperatures:
\tTemperature{{mValue=99.0, mType=3, mName=skin, mStatus=0}}
HAL Ready: true
Current temperatures from HAL:
\tTemperature{{mValue=31.5, mType=3, mName=skin, mStatus=0}}
\tTemperature{{mValue=-99.9, mType=6, mName=pa, mStatus=0}}
\tTemperature{{mValue=42.25, mType=0, mName=cpu, mStatus=0}}
Current cooling devices from HAL:
\tCoolingDevice{{mValue=0, mType=2, mName=cpu}}
"""
_PYTHONS = ("usr/bin/python3", "usr/local/bin/python3", "bin/python3")
_SHARED = ("usr", "bin", "sbin", "lib", "lib32", "lib64", "etc", "dev", "proc", "sys", "tmp")


class Adb:
    """An adb server and devices, in a network namespace of their own.

    Args:
        folder: A folder for the server's socket and the devices' roots; its path must be short.
        adb: The path of the adb client.
    """

    def __init__(self, folder: Path, adb: str) -> None:
        self._folder, self._adb = folder, adb
        self._devices: dict[int, subprocess.Popen[bytes]] = {}
        script = "ip link set lo up && echo ready && exec sleep infinity"
        self._namespace = subprocess.Popen(
            ["unshare", "--map-root-user", "--net", "--mount", "sh", "-c", script],
            stdout=subprocess.PIPE,
        )
        assert self._namespace.stdout is not None
        assert self._namespace.stdout.readline() == b"ready\n", "no user namespaces here"
        self.environment = {
            "ADB_SERVER_SOCKET": f"localfilesystem:{folder / 'adb.sock'}",
            "ANDROID_USER_HOME": str(folder / "home"),  # its key
            "ADB_MDNS": "0",
        }
        (folder / "home").mkdir()
        socket_name = self.environment["ADB_SERVER_SOCKET"]
        self._server = self.start(adb, "-L", socket_name, "server", "nodaemon")
        until((folder / "adb.sock").exists)

    def start(self, *command: str | Path) -> subprocess.Popen[bytes]:
        """Starts a program in the namespace."""
        holder = str(self._namespace.pid)
        enter = ["nsenter", "--target", holder, "--user", "--net", "--mount"]
        with (self._folder / f"{Path(command[0]).name}.log").open("ab") as log:
            return subprocess.Popen(
                [*enter, "--preserve-credentials", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
            )

    def device(
        self, port: int, *, megabytes: int = 600, programs: Mapping[str, str] = ANDROID
    ) -> str:
        """Starts a device and connects it.

        Args:
            port: The port that the device listens on.
            megabytes: The size of its storage.
            programs: Scripts that stand in for Android's programs, by name.

        Returns:
            The device's serial number.
        """
        root = self._folder / f"device-{port}"
        root.mkdir(exist_ok=True)
        unpacked = peers.unpacked("adbd")
        lines = ["set -e", f"mount -t tmpfs -o size={megabytes}m tmpfs {root}", f"cd {root}"]
        for name in _SHARED:
            if Path("/", name).is_dir():
                lines += [f"mkdir -p {name}", f"mount --rbind /{name} {name}"]
        # A phone has no Python.
        lines += [f"mount --bind /dev/null {path}" for path in _PYTHONS if Path("/", path).exists()]
        lines += [
            "mkdir -p data/local/tmp sdcard system/bin adbd",
            f"mount --rbind {unpacked} adbd",
        ]
        for name, script in programs.items():
            text = shlex.quote(f"#!/bin/sh\n{script}")
            lines += [f"printf %s {text} > system/bin/{name}", f"chmod 755 system/bin/{name}"]
        lines.append(f"printf %s {shlex.quote(THERMAL.format(status=0))} > data/thermal")
        # adbd's C library may be newer than this machine's, so its own loader starts it.
        (loader,) = unpacked.glob("usr/lib/*-linux-gnu*/ld-linux-*.so.*")
        libraries = f"/adbd/{loader.parent.relative_to(unpacked)}"
        path = "/system/bin:/usr/bin:/bin"
        lines.append(
            f"exec /usr/sbin/chroot . env -i ADBD_PORT={port} HOME=/data/local/tmp PATH={path} "
            f"{libraries}/{loader.name} --library-path {libraries}:{libraries}/android "
            "/adbd/usr/lib/android-sdk/platform-tools/adbd"
        )
        # In a process namespace of its own, so that all its processes end with it.
        apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        self._devices[port] = self.start(*apart, "sh", "-c", "\n".join(lines))
        serial = f"127.0.0.1:{port}"
        until(lambda: "connected to" in self.adb("connect", serial))
        until(lambda: f"{serial}\tdevice" in self.adb("devices"))
        return serial

    def adb(self, *arguments: str) -> str:
        """Runs the adb client, and returns what it prints."""
        done = subprocess.run(
            [self._adb, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=os.environ | self.environment,
        )
        return done.stdout + done.stderr

    def unplug(self, port: int) -> None:
        """Kills a device without closing its connections, as if its cable were pulled."""
        device = self._devices.pop(port)
        device.kill()
        device.wait()

    def close(self) -> None:
        """Ends the devices, the server and the namespace."""
        for port in list(self._devices):
            self.unplug(port)
        for process in (self._server, self._namespace):
            process.kill()
            process.wait()


class Sshd:
    """An ssh server on loopback that accepts one key, and the client's configuration for it.

    Args:
        folder: A folder for keys, configuration and the home of the server's sessions.
        port: The port that the server listens on.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        for name in ("host", "key", "other_key"):
            generate = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
            subprocess.run(generate, check=True)
        (folder / "authorized_keys").write_bytes((folder / "key.pub").read_bytes())
        self.home = folder / "home"
        self.home.mkdir()
        settings = {
            "ListenAddress": "127.0.0.1",
            "Port": port,
            "HostKey": folder / "host",
            "AuthorizedKeysFile": folder / "authorized_keys",
            "AuthenticationMethods": "publickey",
            "PermitRootLogin": "prohibit-password",
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            # Sessions find the Python that runs this process, which has LiteRT.
            "SetEnv": f"HOME={self.home} PATH={Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        (folder / "sshd_config").write_text("".join(f"{k} {v}\n" for k, v in settings.items()))
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd needs it; it is only created at boot
        with (folder / "sshd.log").open("wb") as log:
            self.process = subprocess.Popen(
                [peers.find("sshd"), "-D", "-e", "-f", folder / "sshd_config"],
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
        until(lambda: b"listening" in (folder / "sshd.log").read_bytes())
        self.know(folder / "host.pub")
        self.configure()
        # ssh reads ~/.ssh/config whatever HOME is, so a wrapper precedes it on the PATH.
        (folder / "bin").mkdir()
        wrapper = folder / "bin" / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec {peers.find("ssh")} -F {folder}/config "$@"\n')
        wrapper.chmod(0o755)
        self.environment = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}

    def know(self, key: Path) -> None:
        """Makes a host key the only one that the client knows."""
        kind, value, *_ = key.read_text().split()
        known = f"[127.0.0.1]:{self.port} {kind} {value}\n"
        (self.folder / "known_hosts").write_text(known)

    def configure(self, key: str = "key") -> None:
        """Makes the client offer a key: the server accepts `key` and refuses `other_key`."""
        (self.folder / "config").write_text(
            f"Host board\n  HostName 127.0.0.1\n  Port {self.port}\n"
            f"Host *\n  IdentityFile {self.folder / key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.folder / 'known_hosts'}\n"
        )

    def drop(self) -> None:
        """Kills the open connections, but not the programs that run in them."""
        import psutil

        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it may end by itself meanwhile
                if child.name().startswith("sshd"):
                    child.kill()

    def close(self) -> None:
        """Ends the server and its connections."""
        self.drop()
        self.process.terminate()
        self.process.wait()


def until(done: Callable[[], object], seconds: float = 30) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, f"the condition did not hold within {seconds} s"
        time.sleep(0.05)


def main() -> int:
    """Runs the command given as arguments.

    Returns:
        Its exit code; 2 if no command was given or a program that the devices need is missing.
    """
    from mnv4_mobile.errors import MobileError
    from mnv4_mobile.measuring.devices.adb import adb_path

    if not sys.argv[1:]:
        print("usage: python -m tools.boards COMMAND...", file=sys.stderr)
        return 2
    if absent := [name for name in ("adbd", "sshd") if peers.PEERS[name].missing]:
        advice = "install with: python -m tools.peers install"
        print(f"error: not installed: {', '.join(absent)}; {advice}", file=sys.stderr)
        return 2
    try:
        adb_program = adb_path()
    except MobileError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mnv4-boards-")))
        (folder / "ssh").mkdir()
        sshd = stack.enter_context(closing(Sshd(folder / "ssh", 5603)))
        adb = stack.enter_context(closing(Adb(folder, adb_program)))
        for port in (5601, 5602):
            adb.device(port)
        environment = os.environ | adb.environment | sshd.environment
        try:
            return subprocess.run(sys.argv[1:], env=environment).returncode
        except KeyboardInterrupt:  # the command received it too
            return 130


if __name__ == "__main__":
    sys.exit(main())
