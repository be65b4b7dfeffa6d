"""A Gradle module: the Kotlin library of `android_demo/mnv4` with bundles in its assets."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from mnv4_mobile.bundle.manifest import Bundle
from mnv4_mobile.files import new_folder
from mnv4_mobile.sdk import shipping
from mnv4_mobile.sdk.names import names, open_bundles

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
    with new_folder(out, shipping.MARKER) as folder:
        built = shutil.ignore_patterns("build")
        shutil.copytree(library(), folder, dirs_exist_ok=True, ignore=built)
        for bundle in bundles:
            shutil.copytree(bundle.path, folder / "src/main/assets/mnv4" / bundle.manifest.id)
        (folder / _KOTLIN / "Mnv4Models.kt").write_text(_models(bundles, constants))
        used = sorted({RUNTIMES[bundle.manifest.target] for bundle in bundles})
        gradle = folder / "build.gradle.kts"
        lines = "".join(f'    implementation("{line}")\n' for line in used)
        gradle.write_text(gradle.read_text().replace("    // runtimes\n", lines))
        shipping.write_readme(folder / "README.md", bundles, constants, "CONV_SMALL_INT8")
        shipping.write_marker(folder, bundles)
    return constants


def library() -> Path:
    """The Kotlin library."""
    return shipping.library("android", "android_demo/mnv4")


def _models(bundles: Sequence[Bundle], constants: Sequence[str]) -> str:
    lines = [f"package {PACKAGE}", "", "/** The bundles in this module's assets. */"]
    lines.append("public object Mnv4Models {")
    for bundle, constant in zip(bundles, constants, strict=True):
        lines += [f"    /** {shipping.about(bundle)}. */"]
        lines += [
            f'    public val {constant}: Mnv4Model = Mnv4Model("{bundle.manifest.id}")',
            "",
        ]
    lines.append("    /** All of them. */")
    lines.append(f"    public val ALL: List<Mnv4Model> = listOf({', '.join(constants)})")
    return "\n".join([*lines, "}", ""])
