"""Versions of the packages that make and run artifacts."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

_CORE = ("torch", "numpy", "pillow")


def versions(distributions: Iterable[str]) -> dict[str, str]:
    """Returns the versions of this package, of Python and of packages that make or run artifacts.

    Args:
        distributions: The packages that a target adds to the core's (`Target.distributions`);
            those that are not installed are left out.
    """
    found = {"mnv4-mobile": version("mnv4-mobile"), "python": platform.python_version()}
    for name in (*_CORE, *distributions):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
