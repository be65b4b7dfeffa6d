"""Reads what a compiled `.tflite` holds, without running it.

Each program for the NPU is a custom operator, DISPATCH_OP, whose options say where in the file the
program's bytes are: a context binary of Qualcomm's. What LiteRT's compiler left out is beside it.
"""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mnv4_mobile.errors import BundleError, LoweringError, damaged
from mnv4_snapdragon.socs import MANUFACTURER, SOCS
from mnv4_tflite.reader import KIND, Model, Step

DISPATCH = "DISPATCH_OP"
SOURCE = "source.tflite"
"""Name of the LiteRT model that a file was compiled from, in the zip after it, if it was kept."""
_STAMP = "LiteRtStamp"
_VERSION = re.compile(rb"v(\d{1,4}\.\d{1,4}\.\d{1,4})\.\d{6,}")


@dataclass(frozen=True, kw_only=True)
class Program:
    """A program for the NPU."""

    name: str
    context: bytes
    qairt: str
    """The version of Qualcomm's AI runtime that compiled it: `2.50.40`."""


def read_compiled(path: Path) -> Model:
    """Returns the model of a compiled file.

    Raises:
        BundleError: The file is damaged, has no program for an NPU, or is for a SoC that this
            target does not know.
    """
    model = Model(path)
    if all(step.kind != DISPATCH for step in model.steps):
        raise BundleError(
            f"{path}: has no {DISPATCH}: not compiled for an NPU; mnv4 build -t snapdragon makes "
            "such files"
        )
    maker, soc = _stamp(model)
    if maker != MANUFACTURER or soc not in SOCS:
        raise BundleError(
            f"{path}: compiled for {maker} {soc}, must be for {MANUFACTURER} {', '.join(SOCS)}"
        )
    return model


def soc_of(model: Model) -> str:
    """Returns the SoC that a file is compiled for."""
    return _stamp(model)[1]


def source_of(path: Path) -> bytes:
    """Returns the LiteRT model that a file was compiled from.

    Raises:
        LoweringError: The file was built without it.
        BundleError: It is not stored as a build stores it.
    """
    try:
        with zipfile.ZipFile(path) as packed:
            entry = packed.getinfo(SOURCE)
            # What is compressed may be of any size.
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
                raise BundleError(
                    f"{path}: {SOURCE} in it is compressed or encrypted, must be stored as it is"
                )
            return packed.read(entry)
    except (KeyError, zipfile.BadZipFile):
        raise LoweringError(
            f"{path}: a compiled program shows no values of layers, and this file lacks the LiteRT "
            "model that it was compiled from; build it again with --set snapdragon.watchable=true"
        ) from None


def _stamp(model: Model) -> tuple[str, str]:
    """Returns the manufacturer and the name of the SoC that a file is compiled for."""
    words = bytes(model.metadata.get(_STAMP) or b"").split(b"\0")
    maker, soc = ([word for word in words if word] + [b"unknown"] * 2)[:2]
    return maker.decode(errors="replace"), soc.decode(errors="replace")


def program_of(path: Path, step: Step) -> Program:
    """Returns the program of a DISPATCH_OP.

    Raises:
        BundleError: The operator's options or the program are damaged.
    """
    from flatbuffers import flexbuffers

    data = path.read_bytes()
    with damaged(path, KIND):
        where = flexbuffers.Loads(bytes(step.options))
        start, length = int(where["bytecode_offset"]), int(where["bytecode_size"])
        if start < 0 or length < 1 or start + length > len(data):
            raise ValueError(
                f"{DISPATCH}: its program is at bytes {start} to {start + length} of {len(data)}"
            )
        context = data[start : start + length]
        version = _VERSION.search(context)
        if not version:
            raise ValueError(f"{DISPATCH}: its program names no version of QAIRT")
        return Program(name=str(where["name"]), context=context, qairt=version[1].decode())


def outside(model: Model) -> list[Step]:
    """Returns the operators that the NPU does not run."""
    return [step for step in model.steps if step.kind != DISPATCH]


def layer_of(model: Model, step: Step) -> str:
    """Returns the name of an operator's layer: a convolution's filter has it, or else the result.

    The tensors of a compiled file have the names that `mnv4_tflite.lower` gave them.
    """
    number = step.inputs[1] if "CONV" in step.kind else step.outputs[0]
    return model.tensors[number].name.partition(";")[0]
