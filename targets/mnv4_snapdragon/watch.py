"""Shows the values of a compiled file's layers: its LiteRT model, compiled again with more outputs.

The NPU's program returns nothing but its outputs, and cannot be given others once it is compiled.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mnv4_mobile.errors import BundleError
from mnv4_mobile.target import Session
from mnv4_mobile.tensors import Tensors
from mnv4_mobile.watch import Watch
from mnv4_snapdragon.compiled import read_compiled, soc_of, source_of
from mnv4_snapdragon.session import open_session
from mnv4_snapdragon.speedups import compiled
from mnv4_tflite import watch as tflite


def watch(path: Path, layers: Sequence[str], threads: int) -> Watch:
    """Loads a compiled file so that it returns the values of its layers; see `Watchable.watch`.

    Whenever no layer is given, the outputs are compared with those of the file itself: they must be
    the same to the bit, so that the layers are those of the file's own program.

    Raises:
        LoweringError: The file was built without its LiteRT model.
        BundleError: The file is damaged, or its LiteRT model computes something else.
    """
    model, source = read_compiled(path), source_of(path)
    own = open_session(path, threads)

    def open_(changed: Path) -> Session:
        session = open_session(compiled(changed, soc_of(model), changed.parent), threads)

        def run(tensors: Tensors) -> dict[str, npt.NDArray[Any]]:
            found = session(tensors)
            if len(tensors) == len(model.inputs):
                for name, value in own(tensors).items():
                    if found[name].tobytes() != value.tobytes():  # they may be NaN
                        raise BundleError(
                            f"{path}: {name}: the LiteRT model in it, compiled with more outputs, "
                            "gives other values than the file, so its layers say nothing about it; "
                            "build it again"
                        )
            return found

        return run

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, path.name)
        file.write_bytes(source)
        return tflite.watch(file, layers, open_)
