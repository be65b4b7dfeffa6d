"""Writes a library for apps of either platform."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from mnv4_mobile.bundle.manifest import AnyBundle
from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.sdks.android import write_android
from mnv4_mobile.sdks.ios import write_ios
from mnv4_mobile.sdks.shipping import Written

_WRITERS = {"android": write_android, "ios": write_ios}


def sdk(
    platform: Literal["android", "ios"], bundles: Iterable[AnyBundle], out: str | Path
) -> Written:
    """Writes a library with which an app classifies images in three lines, with bundles inside.

        sdk("android", build("conv-small", weights="demo", targets=["tflite"], out="out"), "mnv4")

    Args:
        platform: `android` writes a Gradle module (LiteRT, ExecuTorch), `ios` a Swift package
            (Core ML, ExecuTorch).
        bundles: Bundles, their folders or the artifacts in them.
        out: The library's folder. A library that was written before is replaced; files that you
            added to it are kept.

    Raises:
        ConfigError: A bundle for another platform, two bundles with one id, or a folder that holds
            something else.
        BundleError: A damaged bundle.
    """
    if platform not in _WRITERS:
        raise ConfigError(unknown("platform", platform, _WRITERS))
    return _WRITERS[platform](list(bundles), Path(out))
