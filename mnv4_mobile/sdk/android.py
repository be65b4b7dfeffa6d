"""A Gradle module: the Kotlin library of `android_demo/mnv4` with bundles in its assets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files as resources
from pathlib import Path

from mnv4_mobile.bundle import Bundle
from mnv4_mobile.files import new_folder
from mnv4_mobile.sdk.names import names, open_bundles

MARKER = "mnv4-sdk.json"
"""In every folder that is written here, by which it may be replaced."""
RUNTIMES = {
    "tflite": "com.google.ai.edge.litert:litert:1.4.0",
    "executorch": "org.pytorch:executorch-android:1.5.1",
}
PACKAGE = "io.github.mnv4"
_KOTLIN = Path("src/main/kotlin", *PACKAGE.split("."))


def write_android(paths: Sequence[Path], out: Path) -> list[str]:
    """Writes the module.

    Args:
        paths: Bundles for LiteRT or ExecuTorch.
        out: Its folder; one that was written before is replaced, whole.

    Returns:
        The names in `Mnv4Models`, in the bundles' order.

    Raises:
        ConfigError: A bundle for another target, two of one id, or something else at `out`.
        BundleError: A damaged bundle.
    """
    bundles = open_bundles(paths, tuple(RUNTIMES))
    constants = ["_".join(words).upper() for words in names(bundles)]
    with new_folder(out, MARKER) as folder:
        shutil.copytree(library(), folder, dirs_exist_ok=True, ignore=_not_shipped)
        for bundle in bundles:
            shutil.copytree(bundle.path, folder / "src/main/assets/mnv4" / bundle.manifest["id"])
        (folder / _KOTLIN / "Mnv4Models.kt").write_text(_models(bundles, constants))
        used = sorted({RUNTIMES[bundle.manifest["target"]] for bundle in bundles})
        gradle = folder / "build.gradle.kts"
        lines = "".join(f'    implementation("{line}")\n' for line in used)
        gradle.write_text(gradle.read_text().replace("    // runtimes\n", lines))
        (folder / "README.md").write_text(_readme(bundles, constants))
        entry = {
            "version": version("mnv4-mobile"),
            "bundles": [bundle.manifest["id"] for bundle in bundles],
        }
        (folder / MARKER).write_text(json.dumps(entry, indent=1) + "\n")
    return constants


def library() -> Path:
    """The Kotlin library: beside the package in a checkout, inside it when installed."""
    inside = Path(str(resources("mnv4_mobile") / "android"))
    return inside if inside.is_dir() else Path(__file__).parents[2] / "android_demo" / "mnv4"


def _not_shipped(folder: str, entries: list[str]) -> set[str]:
    """The library's own tests, but the one of what is generated."""
    if Path(folder) == library() / "src" / "test" / "kotlin" / "io" / "github" / "mnv4":
        return set(entries) - {"Mnv4ModelsTest.kt"}
    return {"build"} & set(entries)


def _models(bundles: Sequence[Bundle], constants: Sequence[str]) -> str:
    lines = [f"package {PACKAGE}", "", "/** The bundles in this module's assets. */"]
    lines.append("public object Mnv4Models {")
    for bundle, constant in zip(bundles, constants, strict=True):
        lines += [f"    /** {_about(bundle)}. */"]
        lines += [
            f'    public val {constant}: Mnv4Model = Mnv4Model("{bundle.manifest["id"]}")',
            "",
        ]
    lines.append("    /** All of them. */")
    lines.append(f"    public val ALL: List<Mnv4Model> = listOf({', '.join(constants)})")
    return "\n".join([*lines, "}", ""])


def _about(bundle: Bundle) -> str:
    manifest = bundle.manifest
    height, width = manifest["preprocess"]["size"]
    outputs = ", ".join(output["kind"] for output in manifest["outputs"])
    return f"{manifest['model']['name']}, {height} x {width}, {manifest['recipe']}: {outputs}"


def _readme(bundles: Sequence[Bundle], constants: Sequence[str]) -> str:
    rows = []
    for bundle, constant in zip(bundles, constants, strict=True):
        manifest = bundle.manifest
        megabytes = manifest["artifact"]["bytes"] / 1e6
        licence = manifest["model"]["licence"] or "not known"
        rows.append(f"| `{constant}` | {_about(bundle)} | {megabytes:.1f} MB | {licence} |")
    text = (library() / "README.md").read_text()
    return text.replace("CONV_SMALL_INT8", constants[0]).replace("<!-- models -->", "\n".join(rows))
