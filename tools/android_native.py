"""Makes Android's own libraries of ExecuTorch and LiteRT loadable by a JVM on x86-64 Linux.

glibc's loader reads Android's libraries, but cannot satisfy them: they ask for versions of symbols
that glibc does not have ("LIBC"), and for functions that only Android's C library has. So `build`
copies the libraries without their tables of versions, and compiles what glibc lacks
(android_demo/check/native) into one library that is loaded first.
"""

from __future__ import annotations

import hashlib
import platform
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

from tools import android_packages, peers

SOURCE = Path(__file__).parent.parent / "android_demo" / "check" / "native" / "bionic.c"
BIONIC = "libbionic.so"
"""The library to load first, in LD_PRELOAD."""
NAMES = ("libc.so", "libm.so", "libdl.so", "liblog.so", "libandroid.so")
"""Android's own libraries, as the others ask for them."""
SHA256 = {
    "libexecutorch.so": "2fd1d48f45259a73a12cd8ec4aa42fffa70f27d383254b86576c899eb1d59e57",
    "libfbjni.so": "a51410366a0394e05bc04052cfb237c70dcf7d4d53a56e1d00a041436cb0b653",
    "libc++_shared.so": "0a2c7afa35b183fdd5a3cb20e2080ad54cbea06c2a4f0bc8f122cb7d1e9e0b9f",
    "libtensorflowlite_jni.so": "21f2570e650fc120ad28a379d927392c1883f9738895a3fd5efa0a32ae784507",
}
"""The checksums of the libraries as their packages have them."""

_DYNAMIC = 2  # the type of the program header of the dynamic section
_VERSIONS = {
    0x6FFFFFF0,  # DT_VERSYM
    0x6FFFFFFC,  # DT_VERDEF
    0x6FFFFFFD,  # DT_VERDEFNUM
    0x6FFFFFFE,  # DT_VERNEED
    0x6FFFFFFF,  # DT_VERNEEDNUM
}


def build(folder: Path) -> None:
    """Writes the libraries into a folder, replacing those of an earlier call."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        found = f"{platform.system()} on {platform.machine()}"
        sys.exit(f"make android: found {found}, allowed: Linux on x86_64; use such a machine")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, sha256 in SHA256.items():
        library = _packed(name)
        found = hashlib.sha256(library).hexdigest()
        if found != sha256:
            cache = android_packages.CACHE
            sys.exit(f"{name}: sha256 {found}, must be {sha256}; delete {cache} and run again")
        (folder / name).write_bytes(unversioned(library))
    command = [peers.find("gcc"), "-O2", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-shared"]
    command += ["-fPIC", "-Wl,--no-as-needed", "-o", str(folder / BIONIC), str(SOURCE)]
    subprocess.run([*command, "-lm", "-ldl"], check=True)
    for name in NAMES:
        (folder / name).symlink_to(BIONIC)


def _packed(name: str) -> bytes:
    """Returns a library as its package has it."""
    if name == "libexecutorch.so":
        return android_packages.executorch("so").read_bytes()
    package = android_packages.FBJNI
    if name == "libtensorflowlite_jni.so":
        package = android_packages.LITERT
    with zipfile.ZipFile(android_packages.central(package, "aar")) as archive:
        return archive.read(f"jni/x86_64/{name}")


def unversioned(library: bytes) -> bytes:
    """Returns an ELF library (64 bits) without the versions of its symbols.

    The loader then finds symbols by their names alone.
    """
    changed = bytearray(library)
    (headers,) = struct.unpack_from("<Q", library, 32)
    (count,) = struct.unpack_from("<H", library, 56)
    for header in range(headers, headers + 56 * count, 56):
        kind, _, start, _, _, size = struct.unpack_from("<IIQQQQ", library, header)
        if kind == _DYNAMIC:
            entries = list(struct.iter_unpack("<QQ", library[start : start + size]))
            kept = [entry for entry in entries if entry[0] not in _VERSIONS]
            kept += [(0, 0)] * (len(entries) - len(kept))  # DT_NULL ends the section
            changed[start : start + size] = b"".join(struct.pack("<QQ", *entry) for entry in kept)
    return bytes(changed)
