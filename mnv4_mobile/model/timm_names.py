"""timm's names of the networks that this package ships."""

from __future__ import annotations

from mnv4_mobile.configs import shipped

PREFIX = "mobilenetv4_"


def is_timm_name(name: str) -> bool:
    """Returns whether a name has the form of timm's MobileNetV4 networks."""
    return name.startswith(PREFIX)


def timm_name(name: str) -> str:
    """Returns timm's name of a shipped network."""
    return PREFIX + name.replace("-", "_")


def shipped_name(name: str) -> str | None:
    """Returns the shipped network with timm's name; the tag after a dot, if any, has no effect."""
    ours = name.partition(".")[0].removeprefix(PREFIX).replace("_", "-")
    return ours if is_timm_name(name) and ours in shipped("models") else None
