"""What the Snapdragon target uses of its toolchain beyond public interfaces."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

from mnv4_mobile.errors import LoweringError, ToolchainError
from mnv4_mobile.patches import Patch, Patches

_SDK = "ai_edge_litert_sdk_qualcomm"
_NEEDED = ("Htp", "HtpPrepare", "Ir", "Saver", "System")
_STAND_INS = ("Cpu", "Dsp", "Lpai")
_LAST_LINES = 5


def library() -> Path:
    """Returns Qualcomm's HTP library.

    Raises:
        ToolchainError: The installation lacks it.
    """
    folder = _folder()
    for name in _NEEDED:
        file = folder / _file(name)
        if not file.is_file():
            raise ToolchainError(
                f"{file}: missing; pip install --force-reinstall onnxruntime-qnn installs it"
            )
    return folder / _file("Htp")


def installed_qairt() -> str:
    """Returns the version of Qualcomm's AI runtime that is installed: 2.50.40."""
    from onnxruntime_qnn.build_and_package_info import qnn_version

    return str(qnn_version)


def compiled(model: Path, soc: str, folder: Path) -> Path:
    """Compiles a `.tflite` for the NPU of a SoC with LiteRT's ahead-of-time compiler.

    Args:
        model: The file.
        soc: One of `SOCS`.
        folder: An own folder to write to.

    Returns:
        The compiled file, in the folder.

    Raises:
        ToolchainError: The installation lacks a library.
        LoweringError: The compiler failed.
    """
    from ai_edge_litert.aot import aot_compile
    from ai_edge_litert.aot.vendors.qualcomm import target

    out = folder / "compiled"
    chosen = target.Target(target.SocModel(soc))
    # The progress bar cannot be turned off.
    with _sdk(folder / "libraries"), redirect_stderr(io.StringIO()):
        try:
            aot_compile.aot_compile(str(model), output_dir=out, target=chosen, keep_going=False)
        except ValueError as error:
            raise LoweringError(
                f"snapdragon: soc {soc}: LiteRT's compiler failed: {_reason(str(error))}"
            ) from None
    (found,) = out.glob("*.tflite")
    return found


@contextmanager
def _sdk(folder: Path) -> Iterator[None]:
    """Makes the compiler find Qualcomm's libraries; see "libraries of another package".

    Args:
        folder: A folder to make, for links to the libraries.
    """
    installed = library().parent
    folder.mkdir()
    beside = installed.parent / f"{installed.name}.libs"
    for file in (*installed.glob("lib*.so"), *beside.glob("lib*")):
        (folder / file.name).symlink_to(file)
    for name in _STAND_INS:  # see "stand-ins"
        link = folder / _file(name)
        if not link.exists():
            link.symlink_to(installed / _file("System"))
    module = ModuleType(_SDK)
    vars(module)["path_to_sdk_libs"] = lambda: folder
    with patch.dict(sys.modules, {_SDK: module}):
        yield


def _reason(message: str) -> str:
    """Returns the errors in the log that the compiler's message names, and removes the log."""
    found = re.search(r"See (\S+\.error) for details", message)
    if not found:
        return message
    log = Path(found[1])
    lines = log.read_text(errors="replace").splitlines()
    log.unlink()
    told = [line for line in lines if "error" in line.lower() or "fail" in line.lower()] or lines
    return "".join(f"\n  {line.strip()}" for line in told[-_LAST_LINES:])


def _folder() -> Path:
    import onnxruntime_qnn

    return Path(onnxruntime_qnn.get_qnn_htp_path()).parent


def _file(name: str) -> str:
    return f"lib{name}.so" if name == "HtpPrepare" else f"libQnn{name}.so"


PATCHES = Patches(
    tested={"ai-edge-litert": "==2.3.*", "onnxruntime-qnn": "==2.6.*"},
    table=(
        Patch(
            name="libraries of another package",
            kind="workaround",
            reason="LiteRT's compiler takes Qualcomm's libraries from ai-edge-litert-sdk-qualcomm, "
            "which downloads the whole SDK from Qualcomm while it is installed.",
            upstream="ai_edge_litert/aot/vendors/qualcomm/qualcomm_backend.py, _apply_plugin",
            saves="A download of 2 GB; the same libraries compile, verify and are pinned.",
        ),
        Patch(
            name="stand-ins",
            kind="workaround",
            reason="LiteRT's plugin is linked with libraries for Qualcomm's other processors, "
            "which onnxruntime-qnn lacks. It calls nothing in them to compile for the NPU, so that "
            "links to another library serve.",
            upstream="ai_edge_litert/vendors/qualcomm/compiler/libLiteRtCompilerPlugin_Qualcomm.so",
            saves="Compiling at all.",
        ),
        Patch(
            name="version of Qualcomm's libraries",
            kind="workaround",
            reason="The package names it in a module of its own only.",
            upstream="onnxruntime_qnn/build_and_package_info.py, qnn_version",
            saves="An error that names both versions if a library refuses a program.",
        ),
    ),
)
