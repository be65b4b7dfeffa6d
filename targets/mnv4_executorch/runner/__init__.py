"""Compiles the C++ runner for `.pte`, which measures on devices without Python.

It is compiled on this machine, against the C++ SDK in ExecuTorch's wheels: the installed wheel for
this machine's architecture, and the wheel of the same version for another one.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from mnv4_mobile.errors import CrashError, ToolchainError
from mnv4_mobile.files import cache_folder, new_folder
from mnv4_mobile.progress import Progress

PROGRAM = "mnv4-executorch-runner"
ARCHITECTURES = ("aarch64", "x86_64")
"""Architectures of Linux with glibc, for which ExecuTorch has wheels."""
_SDK = ("executorch/include/", "executorch/lib/", "executorch/share/")
_CONFIG = "executorch/share/cmake/executorch-config.cmake"


def build(arch: str, out: Path, progress: Progress) -> Path:
    """Compiles the runner.

    Args:
        arch: One of `ARCHITECTURES`.
        out: Folder to create, with the runner and the libraries that it needs; it can be copied
            to a device as it is.
        progress: Receives the steps.

    Returns:
        The path of the runner in `out`.

    Raises:
        ToolchainError: A compiler, CMake or ExecuTorch is missing; the message says how to get it.
        ConfigError: Something else is at `out`.
        CrashError: The compiler failed.
    """
    native = sys.platform == "linux" and platform.machine() == arch
    compiler = "g++" if native else f"{arch}-linux-gnu-g++"
    package = "g++" if native else f"g++-{arch.replace('_', '-')}-linux-gnu"
    needed = {compiler: package, "cmake": "cmake", "make": "make"}
    absent = [name for name in needed if shutil.which(name) is None]
    if absent:
        packages = " ".join(needed[name] for name in absent)
        raise ToolchainError(
            f"the runner for {arch}: {', '.join(absent)} not found; on Debian: "
            f"apt-get install {packages}"
        )
    sdk = _installed_sdk() if native else _downloaded_sdk(arch, progress)
    with tempfile.TemporaryDirectory() as work, new_folder(out, PROGRAM) as folder:
        progress.step(f"compile the runner for {arch}")
        settings = {
            "executorch_DIR": (sdk / _CONFIG).parent,
            "CMAKE_CXX_COMPILER": compiler,
            "CMAKE_INSTALL_PREFIX": folder,
            **({} if native else {"CMAKE_SYSTEM_NAME": "Linux", "CMAKE_SYSTEM_PROCESSOR": arch}),
        }
        defined = [f"-D{name}={value}" for name, value in settings.items()]
        source = str(Path(__file__).parent)
        _run(["cmake", "-G", "Unix Makefiles", "-S", source, "-B", work, *defined])
        _run(["cmake", "--build", work, "--target", "install"])
    return out / PROGRAM


def _version() -> str:
    try:
        return metadata.version("executorch").partition("+")[0]
    except metadata.PackageNotFoundError:
        raise ToolchainError(
            "executorch: not installed: pip install 'mnv4-mobile[executorch]'"
        ) from None


def _installed_sdk() -> Path:
    """Returns the folder that contains `executorch/`."""
    _version()
    spec = find_spec("executorch")
    assert spec is not None
    for found in spec.submodule_search_locations or ():
        if (Path(found).parent / _CONFIG).is_file():
            return Path(found).parent
    raise ToolchainError("executorch: this build has no C++ SDK; install the wheel from PyPI")


def _downloaded_sdk(arch: str, progress: Progress) -> Path:
    """Returns the folder of another architecture's SDK in the cache; downloads it if missing."""
    version = _version()
    path = cache_folder() / f"executorch-{version}-{arch}"
    if (path / _CONFIG).is_file():
        return path
    if find_spec("pip") is None:
        raise ToolchainError(f"the runner for {arch}: pip not found; run python -m ensurepip")
    progress.step(f"download executorch {version} for {arch}")
    with tempfile.TemporaryDirectory() as work:
        try:
            # pip uses the user's index, proxy and certificates, and checks the index's hash.
            pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
            wheel = ["--no-deps", "--only-binary=:all:", "--platform", f"manylinux_2_28_{arch}"]
            _run([*pip, "--quiet", *wheel, "--dest", work, f"executorch=={version}"])
        except CrashError as error:
            raise ToolchainError(
                f"executorch {version} for {arch}: cannot be downloaded: {error}"
            ) from None
        (file,) = Path(work).glob("*.whl")
        with zipfile.ZipFile(file) as archive, new_folder(path, _CONFIG) as folder:
            archive.extractall(folder, [n for n in archive.namelist() if n.startswith(_SDK)])
    return path


def _run(command: Sequence[str]) -> None:
    """Runs a command. If it fails, its last lines become the error."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        lines = done.stdout.decode(errors="replace").strip().splitlines()[-15:]
        tail = "".join(f"\n  {line}" for line in lines)
        raise CrashError(f"{command[0]}: ended with code {done.returncode}{tail}")
