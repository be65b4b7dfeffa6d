"""What a page says about its phone, as a `DeviceInfo`."""

from __future__ import annotations

import hashlib
import re
from typing import Annotated

from msgspec import Meta

from mnv4_mobile.measuring.measurement import DeviceInfo
from mnv4_mobile.records import Record

_LONGEST = 200
_SYSTEMS = (
    # Hints are preferred, as agents are frozen (Android 10; K, Mac OS X 10_15_7, Windows NT 10.0).
    (r"\((?P<model>iPhone|iPad)[^)]*? OS (?P<version>[\d_]+)", "iOS"),
    (r"Android (?P<version>[\d.]+); (?P<model>[^;)]+)", "Android"),
    (r"(?P<model>Mac)intosh[^)]*? OS X (?P<version>[\d_.]+)", "macOS"),
    (r"Windows NT (?P<version>[\d.]+)", "Windows"),
    (r"Linux", "Linux"),
)
_BROWSERS = (
    ("Edg", "Edge"),
    ("EdgA", "Edge"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Version", "Safari"),
)


class About(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What a page says about its phone. A browser may keep any of it to itself."""

    user_agent: str = ""
    """`navigator.userAgent`."""
    cores: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """Number of cores."""
    model: str = ""
    """The phone's model."""
    platform: str = ""
    """The system with its version."""
    browser: str = ""
    """The browser with its version."""


def text(value: object, longest: int = _LONGEST) -> str:
    """Makes text from a page safe for a terminal: printable, with at most `longest` characters."""
    printable = "".join(c if c.isprintable() else " " for c in str(value)[: 4 * longest])
    return printable.strip()[:longest].rstrip()


def device_info(secret: str, about: About, *, gpu: bool = False) -> DeviceInfo:
    """Describes a phone. `os_build` includes the browser, which affects speed as much.

    Args:
        secret: Identifies the phone; the id is a hash of it.
        about: What its page says; `model`, `platform` and `browser` are preferred to `user_agent`.
        gpu: Whether WebGPU is measured, which counts as another device.
    """
    agent = text(about.user_agent, 500)
    model, system = _system(agent)
    return DeviceInfo(
        id=f"browser:{hashlib.sha256(secret.encode()).hexdigest()[:8]}{':gpu' if gpu else ''}",
        model=text(about.model) or model or "unknown",
        soc="",
        os_build=", ".join(
            filter(
                None,
                (text(about.platform) or system, text(about.browser) or _browser(agent)),
            )
        ),
        cores=about.cores,
    )


def _system(agent: str) -> tuple[str, str]:
    """Returns the model, and the system with its version."""
    for pattern, name in _SYSTEMS:
        if found := re.search(pattern, agent):
            parts = found.groupdict()
            version = parts.get("version", "").replace("_", ".")
            return parts.get("model", "PC").strip(), f"{name} {version}".strip()
    return "", ""


def _browser(agent: str) -> str:
    for key, name in _BROWSERS:
        if found := re.search(rf"\b{key}/([\d.]+)", agent):
            return f"{name} {found[1]}"
    return ""
