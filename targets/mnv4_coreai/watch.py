"""Shows the values of an `.aimodel`'s layers: the same program, with more outputs."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mnv4_coreai.asset import FUNCTION, describe
from mnv4_coreai.lint import graph_of
from mnv4_coreai.session import open_session
from mnv4_coreai.speedups import save_with_ports
from mnv4_mobile.target import Session
from mnv4_mobile.tensors import Tensors
from mnv4_mobile.units import Unit
from mnv4_mobile.watch import Watch, as_nchw, from_nchw, layer_values


def watch(path: Path, layers: Sequence[str], unit: Unit | None) -> Watch:
    """Loads an asset so that it returns the values of its layers; see `Watchable.watch`."""
    program = describe(path)
    places = {
        layer: int(place)
        for layer, place in layer_values(graph_of(program, layers), layers).items()
    }
    types = {layer: program.values[place].dtype for layer, place in places.items()}

    @cache
    def opened(given: tuple[str, ...]) -> Session:
        with tempfile.TemporaryDirectory() as folder:
            asset = Path(folder, path.name)
            save_with_ports(path, FUNCTION, places, given, asset)
            return open_session(asset, unit)

    def run(inputs: Tensors, given: Tensors) -> dict[str, npt.NDArray[Any]]:
        fed = {
            layer: from_nchw(given[layer], "nchw", types[layer])
            for layer in places
            if layer in given
        }
        found = opened(tuple(fed))({**inputs, **fed})
        return {layer: as_nchw(found[layer], "nchw") for layer in places}

    return run
