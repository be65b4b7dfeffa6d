"""A Swift package: the library of `ios_demo/MobileNetV4Kit` with bundles in its resources.

Bundles for ExecuTorch go into a second package inside it, so that an app with Core ML alone
resolves without a network.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from mnv4_mobile.bundle.manifest import AnyBundle, Bundle
from mnv4_mobile.errors import BundleError
from mnv4_mobile.files import copy_folder
from mnv4_mobile.sdks import shipping
from mnv4_mobile.sdks.code import swift_comment, swift_string
from mnv4_mobile.sdks.names import open_bundles

TARGETS = ("coreml", "executorch")
EXECUTORCH = "MobileNetV4ExecuTorch"
"""Folder of the second package. The name `ExecuTorch` would clash with the package it needs."""
_KIT = Path("Sources/MobileNetV4Kit")
_EXECUTORCH = Path(EXECUTORCH, "Sources/MobileNetV4ExecuTorch")
_CORE_TESTS = (
    '        .testTarget(name: "MobileNetV4CoreTests", dependencies: ["MobileNetV4Core"]),\n'
)
_SAMPLE = "convSmall224x224Fp16Coreml"
_IMPORT = "import MobileNetV4ExecuTorch"
_PLATFORMS = re.compile(r"platforms: \[.*\]")
_LEAST_IOS = 16
"""What the library itself needs."""
_EXECUTORCH_IOS = 17
_NEEDS = "iOS 16 or macOS 13"
_EXECUTORCH_NEEDS = "iOS 17 or macOS 14"
_NOT_SHIPPED = (".build", ".swiftpm", ".gitkeep", "MobileNetV4CoreTests")


class _Marker(shipping.Marker, frozen=True, kw_only=True):
    models: Mapping[str, str]
    """Bundle ids by their constants."""


def write_ios(given: Sequence[AnyBundle], out: Path) -> shipping.Written:
    """Writes the package.

    Args:
        given: Bundles for Core ML or ExecuTorch.
        out: The package's folder. A package that was written before is replaced; other files in the
            folder are kept.

    Raises:
        ConfigError: A bundle for another target, two bundles with one name, or `out` holds
            something else.
        BundleError: A damaged bundle.
    """
    models = open_bundles(given, TARGETS, "swift")
    old, new = shipping.write_library(out, _Marker, lambda folder, _: _fill(folder, models))
    return shipping.written(out, new.models, old.models if old else None)


def library() -> Path:
    """Returns the folder of the Swift library."""
    return shipping.library("ios", "ios_demo/MobileNetV4Kit")


def _fill(folder: Path, models: Mapping[str, Bundle]) -> _Marker:
    coreml, executorch = (
        {name: bundle for name, bundle in models.items() if bundle.manifest.target == target}
        for target in TARGETS
    )
    copy_folder(library(), folder, without=_NOT_SHIPPED)
    _fill_target(folder / _KIT, coreml, "all")
    # A phone that runs one of the bundles may have the package; the library refuses the others.
    ios = min(map(_least_ios, coreml.values()), default=_LEAST_IOS)
    executorch_ios = max(ios, _EXECUTORCH_IOS)
    package = folder / "Package.swift"
    text = package.read_text("utf-8")
    assert _CORE_TESTS in text, package
    package.write_text(text.replace(_CORE_TESTS, ""), "utf-8")
    _set_platforms(package, ios)
    if executorch:
        _fill_target(folder / _EXECUTORCH, executorch, "allExecuTorch")
        _set_platforms(folder / EXECUTORCH / "Package.swift", executorch_ios)
    else:
        shutil.rmtree(folder / EXECUTORCH)
    readme = folder / "README.md"
    text = readme.read_text("utf-8")
    if not coreml:  # then the example must import the second package
        text = text.replace("import MobileNetV4Kit", _IMPORT)
        text = text.replace("await MobileNetV4(.", "await MobileNetV4(executorch: .")
    needs = {name: _least_ios(bundle) for name, bundle in coreml.items()}
    needs |= dict.fromkeys(executorch, executorch_ios)
    shipped = coreml | executorch
    rows = "\n".join(
        shipping.table_row(name, bundle, more=[_systems(needs[name])])
        for name, bundle in shipped.items()
    )
    values = {
        _SAMPLE: next(iter(shipped)),
        "<!-- models -->": rows,
        _NEEDS: _systems(ios),
        _EXECUTORCH_NEEDS: _systems(executorch_ios),
    }
    readme.write_text(shipping.fill_in(text, values), "utf-8")
    return _Marker(models={name: bundle.manifest.id for name, bundle in models.items()})


def _least_ios(bundle: Bundle) -> int:
    """Returns the oldest iOS that runs a bundle for Core ML.

    Raises:
        BundleError: The manifest's version is not a number.
    """
    found = bundle.manifest.requires.get("coreml.min_ios", str(_LEAST_IOS))
    if not re.fullmatch("[1-9][0-9]{1,2}", found):
        raise BundleError(
            f"{bundle.path}: manifest.json: requires.coreml.min_ios: found {found!r}, must be a "
            "version of iOS as in 17"
        )
    return max(int(found), _LEAST_IOS)


def _least_macos(ios: int) -> int:
    """Returns the macOS that came with an iOS; from 26 on the numbers are the same."""
    return ios - 3 if ios < 26 else ios


def _systems(ios: int) -> str:
    return f"iOS {ios} or macOS {_least_macos(ios)}"


def _set_platforms(package: Path, ios: int) -> None:
    platforms = f'platforms: [.iOS("{ios}.0"), .macOS("{_least_macos(ios)}.0")]'
    text, count = _PLATFORMS.subn(platforms, package.read_text("utf-8"))
    assert count == 1, package
    package.write_text(text, "utf-8")


def _fill_target(target: Path, models: Mapping[str, Bundle], every: str) -> None:
    """Puts bundles into a target's resources, and their constants into its code."""
    resources = target / "Resources" / "mnv4"
    resources.mkdir(parents=True, exist_ok=True)
    for bundle in models.values():
        bundle.copy_to(resources / bundle.manifest.id)
    path = target / "MNV4Models.swift"
    head, mark, _ = path.read_text("utf-8").partition("// `mnv4 sdk ios`")
    assert mark, path
    if not models:  # SwiftPM requires the folder, and does not copy an empty one
        (resources / "README").write_text("No bundles for this runtime.\n", "utf-8")
    path.write_text(head + _code(models, every), "utf-8")


def _code(models: Mapping[str, Bundle], every: str) -> str:
    lines = ["extension MobileNetV4.Model {"]
    for constant, bundle in models.items():
        value = f"MobileNetV4.Model(id: {swift_string(bundle.manifest.id)}, in: .module)"
        lines += [f"    {swift_comment(f'{shipping.about(bundle)}.')}"]
        lines += [f"    public static let {constant} = {value}", ""]
    lines += ["    /// All bundles in this package's resources."]
    every = f"{every}: [MobileNetV4.Model] = [{', '.join(models)}]"
    lines += [f"    public static let {every}", "}", ""]
    return "\n".join(lines)
