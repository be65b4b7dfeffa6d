"""Versions of what makes and runs artifacts."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

_CORE = ("torch", "numpy", "pillow")


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Returns the versions of this package, of Python and of what makes or runs artifacts.

    Args:
        distributions: What a target adds to the core's own (`Target.distributions`); those that
            are not installed are left out.
    """
    found = {"mnv4-mobile": version("mnv4-mobile"), "python": platform.python_version()}
    for name in (*_CORE, *distributions):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
