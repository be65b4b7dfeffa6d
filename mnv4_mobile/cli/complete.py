"""Completes values in the shell: names, and bundles in the folders below. Loads no toolchain."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable
from pathlib import Path

from mnv4_mobile.configs import shipped
from mnv4_mobile.units import UNITS

_PLAIN = re.compile(r"[\w@%+=:,./\[\]-]+")


def models(incomplete: str) -> list[str]:
    """Completes names of models and forms of weights."""
    return _listed(incomplete, [*shipped("models"), "demo", "hf-hub:"])


def weights(incomplete: str) -> list[str]:
    """Completes forms of weights; the shell completes files."""
    return _begin(incomplete, ["demo", "hf-hub:", "random:0"])


def targets(incomplete: str) -> list[str]:
    """Completes names of installed targets."""
    from mnv4_mobile.target import target_names

    return _listed(incomplete, target_names())


def recipes(incomplete: str) -> list[str]:
    """Completes names of shipped recipes."""
    return _listed(incomplete, shipped("recipes"))


def sweeps(incomplete: str) -> list[str]:
    """Completes names of shipped sweeps."""
    return _begin(incomplete, shipped("sweeps"))


def units(incomplete: str) -> list[str]:
    """Completes names of units."""
    return _listed(incomplete, UNITS)


def devices(incomplete: str) -> list[str]:
    """Completes kinds of devices; asking which are attached would take seconds."""
    from mnv4_mobile.measuring.device import kind_names

    return _listed(incomplete, kind_names())


def bundles(incomplete: str) -> list[str]:
    """Completes folders of bundles, two levels deep.

    Names that a shell would not take as one plain word are left out: zsh evaluates what it is
    offered, and bash puts it into the command line without quotes.
    """
    begin = glob.escape(incomplete)
    found = [p for deep in ("", "*/") for p in glob.glob(f"{begin}*/{deep}manifest.json")]
    return sorted(name for path in found if _PLAIN.fullmatch(name := str(Path(path).parent)))


def _listed(incomplete: str, names: Iterable[str]) -> list[str]:
    """Completes the last name of several that are separated by commas."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in _begin(last, names)]


def _begin(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
