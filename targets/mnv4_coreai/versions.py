"""The versions of Core AI's tools that wrote an asset, and what is known of them."""

from __future__ import annotations

from importlib.metadata import version

LEAST_OS = 27
"""The oldest iOS, iPadOS, macOS, tvOS, visionOS and watchOS with Core AI."""

_REFUSED = {
    "0.4.0": "macOS 27 beta 3 and later refuse its assets: build with coreai-torch 0.4.1 or later",
}
"""Versions of coreai-torch whose assets a system refuses (its release notes of 0.4.1)."""


def converter() -> str:
    """Returns the tools that write assets: `coreai-torch 0.4.3, coreai-core 1.0.0b3`."""
    return ", ".join(f"{name} {version(name)}" for name in ("coreai-torch", "coreai-core"))


def warnings() -> tuple[str, ...]:
    """Returns what is known to go wrong with assets of the installed converter."""
    found = version("coreai-torch")
    return (f"coreai-torch {found}: {_REFUSED[found]}",) if found in _REFUSED else ()
