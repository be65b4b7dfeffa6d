"""Writes a library for apps of either platform."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from mnv4_mobile.bundle.folder import AnyBundle
from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.sdks.android import write_android
from mnv4_mobile.sdks.ios import write_ios
from mnv4_mobile.sdks.shipping import NAME, Written


def sdk(
    platform: Literal["android", "ios"],
    bundles: Iterable[AnyBundle],
    out: str | Path,
    *,
    name: str = NAME,
    namespace: str | None = None,
    agp: int | None = None,
    version: str | None = None,
    compiled: bool = False,
) -> Written:
    """Writes a library with which an app classifies images in three lines, with bundles inside.

        sdk("android", build("conv-small", weights="demo", targets=["tflite"], out="out"), "mnv4")

    Args:
        platform: `android` writes Gradle modules (LiteRT, ExecuTorch), `ios` Swift packages
            (Core ML, Core AI, ExecuTorch).
        bundles: Bundles, their folders or the artifacts in them.
        out: The library's folder. A library that was written before is replaced; other models
            modules and files that you added are kept.
        name: The bundles' module or package is `models-<name>`.
        namespace: Android: the package of the module's `Mnv4Models`. Default: the one that the
            module has, or `io.github.mnv4.models.<name>`.
        agp: Android: major version of the Android Gradle Plugin, 8 or 9. Default: the one that the
            folder was written for, or 9.
        version: Android: the version under which Gradle publishes the modules. Default: the one
            that the folder was written with, or 1.0.
        compiled: iOS: whether Xcode compiles the models for Core ML now, so that no device has to.

    Raises:
        ConfigError: A bundle that the platform does not run, two bundles with one id, or a folder
            that holds something else.
        ToolchainError: `compiled` elsewhere than on a Mac with Xcode.
        BundleError: A damaged bundle, or one that does not compile.
    """
    if platform == "android":
        if compiled:
            raise ConfigError("compiled: is for ios, Android's runtimes compile no models")
        return write_android(
            list(bundles),
            Path(out),
            name=name,
            namespace=namespace,
            agp=agp,
            version=version,
        )
    if platform != "ios":
        raise ConfigError(unknown("platform", platform, ("android", "ios")))
    given = {"namespace": namespace, "agp": agp, "version": version}
    if strange := [key for key, value in given.items() if value is not None]:
        raise ConfigError(f"{strange[0]}: is for android, a Swift package has none")
    return write_ios(list(bundles), Path(out), name=name, compiled=compiled)
