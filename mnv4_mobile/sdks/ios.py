"""Swift packages: the library of `ios_demo`, and packages with bundles in their resources.

What runs ExecuTorch is a package of its own, so that an app with Core ML alone resolves without a
network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from mnv4_mobile.bundle.folder import AnyBundle, Bundle
from mnv4_mobile.errors import BundleError, ConfigError
from mnv4_mobile.files import copy_folder
from mnv4_mobile.sdks import shipping
from mnv4_mobile.sdks.code import swift_comment, swift_string
from mnv4_mobile.sdks.compiled import compiled as compiled_bundles
from mnv4_mobile.sdks.names import open_bundles

KIT = "MobileNetV4Kit"
EXECUTORCH = "MobileNetV4ExecuTorch"
"""The name `ExecuTorch` would clash with the package it needs."""
PACKAGES = {
    KIT: "the library, which runs Core ML and Core AI; no dependencies",
    EXECUTORCH: "runs `.pte` as well; downloads ExecuTorch",
}
"""The packages of the library, each with a product of the same name, and what each is for."""
RUNTIMES = {"coreml": KIT, "coreai": KIT, "executorch": EXECUTORCH}
"""The package that runs the artifacts of each target."""
_FLOATS = {
    "coreml": ["float32", "float16"],
    "coreai": ["float32", "float16"],
    "executorch": ["float32"],
}
"""The types of floats that the library takes for each target."""
_TESTS = {
    "coreml": "SystemTests.swift",
    "coreai": "SystemTests.swift",
    "executorch": "ExecuTorchTests.swift",
}
"""The test of a models package for the bundles of each target."""
_PLATFORMS = 'platforms: [.iOS("16.0"), .macOS("13.0"), .tvOS("16.0"), .visionOS("1.0")]'
_IOS = re.compile(r"\.iOS\(\.v(\d+)\)")
_TEST_TARGET = re.compile(r" *\.testTarget\(.*\),\n")
_NOT_SHIPPED = (".build", ".swiftpm", "Tests")


def write_ios(
    given: Sequence[AnyBundle], out: Path, *, name: str = shipping.NAME, compiled: bool = False
) -> shipping.Written:
    """Writes the library, and the bundles into a models package.

    A folder that was written before keeps its other models packages.

    Args:
        given: Bundles for Core ML, Core AI or ExecuTorch.
        out: The folder of all packages. Other files in it are kept.
        name: The models package is `models-<name>`; it is replaced if it was written before.
        compiled: Whether Xcode compiles the models for Core ML now (`sdks.compiled`).

    Raises:
        ConfigError: A bundle that the library does not run, two bundles with one name, a name that
            no package can have, or `out` holds something else; `compiled` without a model for
            Core ML.
        ToolchainError: `compiled` elsewhere than on a Mac with Xcode.
        BundleError: A damaged bundle, or one that does not compile.
    """
    shipping.check_name(name)
    models = open_bundles(given, tuple(RUNTIMES), "swift")
    for bundle in models.values():
        shipping.check_runs(bundle, "iOS", _FLOATS[bundle.manifest.target])

    def fill(
        folder: Path, _old: shipping.Marker | None, every: shipping.Bundles
    ) -> shipping.Marker:
        _check_modules(every, name)
        _fill(folder, out.absolute().name, every)
        return shipping.Marker(
            models={
                key: shipping.Models(bundles={one: b.manifest.id for one, b in found.items()})
                for key, found in every.items()
            }
        )

    with compiled_bundles(models) if compiled else nullcontext(models) as shipped:
        written = shipping.write_library(out, shipping.Marker, name, shipped, _resources, fill)
    return replace(written, notes=_notes(models))


def _notes(models: Mapping[str, Bundle]) -> tuple[str, ...]:
    manifests = [bundle.manifest for bundle in models.values()]
    floats = [m.id for m in manifests if m.target == "coreml" and m.inputs[0].dtype != "uint8"]
    if not floats:
        return ()
    return (
        f"{', '.join(floats)}: takes floats, but Vision and the camera feed images; for them, "
        "build with --input pixels",
    )


def library() -> Path:
    """Returns the folder of the Swift library's packages."""
    return shipping.library("ios", "ios_demo")


def module(name: str) -> str:
    """Returns the name of a models package, and of its product and module."""
    return f"MobileNetV4Models{_words(name)}"


def constants(name: str) -> str:
    """Returns the type that has a models package's constants."""
    return f"{_words(name)}Models"


def _words(name: str) -> str:
    return "".join(map(str.capitalize, name.split("-")))


def _resources(name: str) -> Path:
    return Path("Sources", module(name), "Resources", "mnv4")


def _check_modules(every: shipping.Bundles, name: str) -> None:
    """Refuses a module that another package has: file systems of Macs ignore case."""
    for other in every:
        if other != name and module(other).lower() == module(name).lower():
            raise ConfigError(
                f"name: found {name!r}, whose module {module(name)} models-{other} has; every "
                "package needs its own"
            )


def _fill(folder: Path, project: str, every: shipping.Bundles) -> None:
    needed = {_runtime(models) for models in every.values()}
    packages = [package for package in PACKAGES if package in {KIT, *needed}]
    for package in packages:
        (folder / package).mkdir()
        copy_folder(library() / package, folder / package, without=_NOT_SHIPPED)
        manifest = folder / package / "Package.swift"
        manifest.write_text(_TEST_TARGET.sub("", manifest.read_text("utf-8")), "utf-8")
    for name, models in every.items():
        _fill_models(folder / f"models-{name}", name, models)
    _write_readme(folder / "README.md", project, packages, every)


def _runtime(models: Mapping[str, Bundle]) -> str:
    """Returns the package that runs all bundles: ExecuTorch's brings Core ML's."""
    found = {RUNTIMES[bundle.manifest.target] for bundle in models.values()}
    return EXECUTORCH if EXECUTORCH in found else KIT


def _fill_models(folder: Path, name: str, models: Mapping[str, Bundle]) -> None:
    template, runtime = library() / "template" / "models", _runtime(models)
    types = {module(shipping.NAME): module(name), constants(shipping.NAME): constants(name)}
    folder.mkdir()
    copy_folder(template, folder)
    package = folder / "Package.swift"
    values = {
        module(shipping.NAME): module(name),
        KIT: runtime,
        _PLATFORMS: _platforms(_least_ios(models)),
    }
    package.write_text(shipping.fill_in(package.read_text("utf-8"), values), "utf-8")
    needed = {_TESTS[bundle.manifest.target] for bundle in models.values()}
    for test in set(_TESTS.values()):
        path = folder / "Tests" / test
        if test in needed:
            path.write_text(shipping.fill_in(path.read_text("utf-8"), types), "utf-8")
        else:
            path.unlink()
    shipping.ship(name, models, folder / _resources(name))
    sources = folder / "Sources" / module(name)
    (sources / f"{constants(name)}.swift").write_text(_code(name, runtime, models), "utf-8")


def _least_ios(models: Mapping[str, Bundle]) -> int:
    """Returns the oldest iOS that runs one of the bundles; the library refuses the others there."""
    oldest = min(map(_needed_ios, models.values()))
    return max(oldest, _library_ios(_runtime(models)))


def _needed_ios(bundle: Bundle) -> int:
    """Returns the oldest iOS that runs a bundle.

    Raises:
        BundleError: The manifest's version is not a number.
    """
    target = bundle.manifest.target
    least = _library_ios(RUNTIMES[target])
    found = bundle.manifest.requires.get(f"{target}.min_ios", str(least))
    if not re.fullmatch("[1-9][0-9]{1,2}", found):
        raise BundleError(
            f"{bundle.path}: manifest.json: requires.{target}.min_ios: found {found!r}, must be a "
            "version of iOS as in 17"
        )
    return max(int(found), least)


def _library_ios(package: str) -> int:
    """Returns the oldest iOS of one of the library's packages."""
    found = _IOS.search((library() / package / "Package.swift").read_text("utf-8"))
    assert found is not None, package
    return int(found[1])


def _least_macos(ios: int) -> int:
    """Returns the macOS that came with an iOS; from 26 on the numbers are the same."""
    return ios - 3 if ios < 26 else ios


def _systems(ios: int) -> str:
    return f"iOS {ios} or macOS {_least_macos(ios)}"


def _platforms(ios: int) -> str:
    vision = ios if ios >= 26 else max(ios - 16, 1)
    return (
        f'platforms: [.iOS("{ios}.0"), .macOS("{_least_macos(ios)}.0"), .tvOS("{ios}.0"), '
        f'.visionOS("{vision}.0")]'
    )


def _code(name: str, runtime: str, models: Mapping[str, Bundle]) -> str:
    lines = ["// One import for apps.", f"@_exported import {runtime}", ""]
    lines.append("/// The bundles in this package's resources.")
    lines.append(f"public enum {constants(name)} {{")
    for constant, bundle in models.items():
        id = swift_string(shipping.shipped_id(name, bundle.manifest.id))
        lines += [f"    {swift_comment(f'{shipping.about(bundle)}.')}"]
        value = f"MobileNetV4.Model(id: {id}, in: .module)"
        lines += [f"    public static let {constant} = {value}", ""]
    lines.append("    /// All bundles, in the order in which they were given.")
    lines.append(f"    public static let all: [MobileNetV4.Model] = [{', '.join(models)}]")
    return "\n".join([*lines, "}", ""])


def _write_readme(
    path: Path, project: str, packages: Sequence[str], every: shipping.Bundles
) -> None:
    first = next(iter(every))
    constant, sample = next(iter(every[first].items()))
    label = "executorch: " if RUNTIMES[sample.manifest.target] == EXECUTORCH else ""
    tables = []
    for name, models in every.items():
        needs = {one: _systems(_needed_ios(bundle)) for one, bundle in models.items()}
        least = _systems(_least_ios(models))
        tables += [f"### models-{name}", ""]
        tables += [f"`import {module(name)}`, `{constants(name)}`. Needs {least}.", ""]
        tables += [shipping.table(models, Needs=needs), ""]
    values = {
        "<!-- project -->": project,
        "<!-- models -->": f"models-{first}",
        "<!-- module -->": module(first),
        "<!-- sample -->": f"{label}{constants(first)}.{constant}",
        "<!-- packages -->": "\n".join(f"| `{name}/` | {PACKAGES[name]} |" for name in packages),
        "<!-- tables -->": "\n".join(tables).rstrip("\n"),
    }
    text = (library() / "template" / "README.md").read_text("utf-8")
    path.write_text(shipping.fill_in(text, values), "utf-8")
