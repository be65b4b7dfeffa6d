"""Finds and installs programs that some tests need: adb and ssh servers, compilers, a browser.

    python -m tools.peers            lists them, and what is missing
    python -m tools.peers install    installs what is missing (Debian; as root or with sudo)

A test that needs one is marked `peer("name")`. If the program is missing, the test is skipped,
which the end of the test run reports, or fails if MNV4_REQUIRE_ALL is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Peer:
    """Programs, and the Debian packages that provide them."""

    programs: dict[str, str]
    """The required programs, each with its package."""
    beside: tuple[str, ...] = ()
    """Required packages that provide no program."""
    apart: tuple[str, ...] = ()
    """Packages of a later Debian release, which are unpacked together into a folder of their own
    (`unpacked`), named after the first."""
    instead: str | None = None
    """A program that makes everything else unnecessary if it is installed."""

    @property
    def missing(self) -> bool:
        if self.instead and shutil.which(self.instead):
            return False
        return bool(self._absent) or (bool(self.apart) and not unpacked(self.apart[0]).is_dir())

    @property
    def needed(self) -> set[str]:
        """The packages of missing programs; that of one from elsewhere might conflict with it."""
        return {self.programs[program] for program in self._absent} | {*self.beside}

    @property
    def _absent(self) -> list[str]:
        return [program for program in self.programs if shutil.which(program, path=_PATH) is None]


_PATH = os.environ.get("PATH", "") + ":/usr/sbin"  # where Debian puts sshd
PEERS = {
    "adbd": Peer(
        {
            "unshare": "util-linux",
            "nsenter": "util-linux",
            "ip": "iproute2",
            "chroot": "coreutils",
            "apt-get": "apt",
            "dpkg-deb": "dpkg",
        },
        beside=("debian-archive-keyring",),
        apart=("adbd",),
    ),
    "android": Peer(
        {
            "java": "openjdk-17-jdk-headless",
            "mvn": "maven",
            "npm": "npm",
            "aapt2": "aapt",
            "gcc": "gcc",
        },
        beside=("libc6-dev",),
    ),
    "arm64": Peer(
        {
            "qemu-aarch64": "qemu-user",
            "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu",
            "cmake": "cmake",
            "make": "make",
        },
        beside=("libc6-arm64-cross",),
    ),
    "chromium": Peer({"chromium": "chromium"}),
    "c++": Peer({"g++": "g++", "cmake": "cmake", "make": "make"}),
    "fish": Peer({"fish": "fish"}),
    "node": Peer({"node": "nodejs", "npm": "npm"}),
    "sshd": Peer({"sshd": "openssh-server", "ssh": "openssh-client"}),
    "swift": Peer(
        {"unshare": "util-linux", "apt-get": "apt", "dpkg-deb": "dpkg"},
        beside=("debian-archive-keyring",),
        # The package of Swift only recommends the C library's headers and start files.
        apart=("swiftlang", "libc6-dev", "libstdc++-14-dev"),
        instead="swift",
    ),
}


def find(program: str) -> str:
    """Returns the path of an installed program."""
    path = shutil.which(program, path=_PATH)
    assert path is not None, program
    return path


def missing() -> list[str]:
    """Returns the names of the peers that are not installed."""
    return [name for name, peer in PEERS.items() if peer.missing]


def unpacked(package: str) -> Path:
    """Returns the folder of packages of Debian trixie and all they need, even the C library."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "mnv4-mobile" / "peers" / package


def unpack(*packages: str) -> None:
    """Downloads packages of Debian trixie and unpacks them, without installing anything.

    A mirror keeps only current versions, so none is pinned: apt finds the packages in the release's
    list, and verifies the list and every package by Debian's signature.
    """
    folder = unpacked(packages[0])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        scratch = Path(name)
        for part in ("lists/partial", "cache/archives/partial", "root"):
            (scratch / part).mkdir(parents=True)
        (scratch / "status").touch()  # nothing is installed: all dependencies are downloaded
        (scratch / "sources.list").write_text(
            "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] "
            f"{_mirror()} trixie main\n"
        )
        options = {
            "Dir::Etc::SourceList": scratch / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State": scratch,
            "Dir::State::status": scratch / "status",
            "Dir::Cache": scratch / "cache",
            "Acquire::Languages": "none",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "APT::Sandbox::User": "root",
        }
        apt = ["apt-get", "-q", "-y", *(f"-o{key}={value}" for key, value in options.items())]
        subprocess.run([*apt, "update"], check=True)
        subprocess.run(
            [*apt, "install", "--download-only", "--no-install-recommends", *packages], check=True
        )
        for archive in sorted((scratch / "cache" / "archives").glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", archive, scratch / "root"], check=True)
        (scratch / "root").rename(folder)


def _mirror() -> str:
    """Returns the Debian mirror that this machine's own apt uses."""
    listed = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"],
        check=True,
        capture_output=True,
        text=True,
    )
    for line in listed.stdout.splitlines():
        origin, _, rest = line.partition(" ")
        label, _, uri = rest.rpartition(" ")
        if (origin, label) == ("Debian", "Debian"):
            return uri
    sys.exit("apt has no Debian mirror configured, but packages of Debian trixie come from one")


def install(names: list[str]) -> None:
    """Installs peers by name with apt-get, which shows its progress."""
    packages = sorted({package for name in names for package in PEERS[name].needed})
    if not packages:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    subprocess.run([*sudo, "apt-get", "update", "-q"], check=True)
    command = ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]
    subprocess.run(
        [*sudo, *command], check=True, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    )
    for name in names:
        if apart := PEERS[name].apart:
            unpack(*apart)


def main() -> None:
    if sys.argv[1:] == ["install"]:
        install(missing())
    for name, peer in PEERS.items():
        command = f"missing: apt-get install {' '.join(sorted(peer.needed))}"
        if peer.apart:
            command += f"; python -m tools.peers install unpacks {peer.apart[0]} into the cache"
        print(f"{name:10} {command if peer.missing else 'installed'}")
    if sys.argv[1:] == ["install"] and missing():
        sys.exit(1)


if __name__ == "__main__":
    main()
