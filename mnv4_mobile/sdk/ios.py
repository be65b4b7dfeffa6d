"""A Swift package: the library of `ios_demo/MobileNetV4Kit` with bundles in its resources.

Bundles for ExecuTorch go into a second package inside it, so that an app with Core ML alone
resolves without a network.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from mnv4_mobile.bundle.manifest import Bundle
from mnv4_mobile.files import new_folder
from mnv4_mobile.sdk import shipping
from mnv4_mobile.sdk.names import names, open_bundles

TARGETS = ("coreml", "executorch")
EXECUTORCH = "MobileNetV4ExecuTorch"
"""Folder of the second package; as `ExecuTorch` it would have the identity of what it needs."""
_SPELLED = {"fp16": "FP16", "fp32": "FP32", "coreml": "CoreML", "executorch": "ExecuTorch"}
_KIT = Path("Sources/MobileNetV4Kit")
_EXECUTORCH = Path(EXECUTORCH, "Sources/MobileNetV4ExecuTorch")
_CORE_TESTS = (
    '        .testTarget(name: "MobileNetV4CoreTests", dependencies: ["MobileNetV4Core"]),\n'
)
_IMPORT = "import MobileNetV4ExecuTorch"
_NOT_SHIPPED = shutil.ignore_patterns(".build", ".swiftpm", ".gitkeep", "MobileNetV4CoreTests")


def write_ios(paths: Sequence[Path], out: Path) -> list[str]:
    """Writes the package.

    Args:
        paths: Bundles for Core ML or ExecuTorch.
        out: Its folder; one that was written before is replaced, whole.

    Returns:
        The names in `MNV4Model`, in the bundles' order.

    Raises:
        ConfigError: A bundle for another target, two of one id, or something else at `out`.
        BundleError: A damaged bundle.
    """
    bundles = open_bundles(paths, TARGETS)
    constants = dict(zip([b.path for b in bundles], map(constant, names(bundles)), strict=True))
    by_target = {
        target: [bundle for bundle in bundles if bundle.manifest.target == target]
        for target in TARGETS
    }
    with new_folder(out, shipping.MARKER) as folder:
        shutil.copytree(library(), folder, dirs_exist_ok=True, ignore=_NOT_SHIPPED)
        _fill(folder / _KIT, by_target["coreml"], constants, "all")
        if by_target["executorch"]:
            _fill(folder / _EXECUTORCH, by_target["executorch"], constants, "allExecuTorch")
        else:
            shutil.rmtree(folder / EXECUTORCH)
        package = folder / "Package.swift"
        text = package.read_text("utf-8")
        assert _CORE_TESTS in text, package
        package.write_text(text.replace(_CORE_TESTS, ""), "utf-8")
        readme = folder / "README.md"
        ordered = [bundle for target in TARGETS for bundle in by_target[target]]
        shipping.write_readme(
            readme, ordered, [constants[bundle.path] for bundle in ordered], "convSmallFP16"
        )
        if not by_target["coreml"]:  # then its example is of the second package
            text = readme.read_text("utf-8").replace("import MobileNetV4Kit", _IMPORT)
            text = text.replace("await MobileNetV4(.", "await MobileNetV4(executorch: .")
            readme.write_text(text, "utf-8")
        shipping.write_marker(folder, bundles)
    return list(constants.values())


def library() -> Path:
    """The Swift library."""
    return shipping.library("ios", "ios_demo/MobileNetV4Kit")


def constant(words: Sequence[str]) -> str:
    """A name in Swift's style: `convSmallFP16`; numbers that would run together stay apart."""
    name = words[0]
    for word in words[1:]:
        word = _SPELLED.get(word, word.capitalize())
        name += f"_{word}" if name[-1].isdigit() and word[0].isdigit() else word
    return name


def _fill(target: Path, bundles: Sequence[Bundle], constants: dict[Path, str], every: str) -> None:
    """Puts bundles into a target's resources, and their constants into its code."""
    resources = target / "Resources" / "mnv4"
    resources.mkdir(parents=True, exist_ok=True)
    for bundle in bundles:
        shutil.copytree(bundle.path, resources / bundle.manifest.id)
    code = target / "MNV4Models.swift"
    head, mark, _ = code.read_text("utf-8").partition("// `mnv4 sdk ios`")
    assert mark, code
    if not bundles:  # SwiftPM wants the folder, and copies no empty one
        (resources / "README").write_text("No bundles for this runtime.\n", "utf-8")
    code.write_text(head + _models(bundles, constants, every), "utf-8")


def _models(bundles: Sequence[Bundle], constants: dict[Path, str], every: str) -> str:
    lines = ["extension MNV4Model {"]
    for bundle in bundles:
        value = f'MNV4Model(id: "{bundle.manifest.id}", in: .module)'
        lines += [f"    /// {shipping.about(bundle)}."]
        lines += [f"    public static let {constants[bundle.path]} = {value}", ""]
    names = ", ".join(constants[bundle.path] for bundle in bundles)
    lines += ["    /// All bundles in this package's resources."]
    lines += [f"    public static let {every}: [MNV4Model] = [{names}]", "}", ""]
    return "\n".join(lines)
