"""A Gradle module: the Kotlin library of `android_demo/mnv4` with bundles in its assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mnv4_mobile.bundle.manifest import AnyBundle, Bundle
from mnv4_mobile.files import copy_folder
from mnv4_mobile.sdks import shipping
from mnv4_mobile.sdks.code import kotlin_comment, kotlin_string
from mnv4_mobile.sdks.names import open_bundles

RUNTIMES = {
    "tflite": "com.google.ai.edge.litert:litert:1.4.0",
    "executorch": "org.pytorch:executorch-android:1.5.1",
}
PACKAGE = "io.github.mnv4"
_KOTLIN = Path("src/main/kotlin", *PACKAGE.split("."))
_SAMPLE = "CONV_SMALL_224X224_INT8_TFLITE"


def write_android(given: Sequence[AnyBundle], out: Path) -> shipping.Written:
    """Writes the module.

    Args:
        given: Bundles for LiteRT or ExecuTorch.
        out: The module's folder. A module that was written before is replaced; other files in the
            folder are kept.

    Raises:
        ConfigError: A bundle for another target, two bundles with one name, or `out` holds
            something else.
        BundleError: A damaged bundle.
    """
    models = open_bundles(given, tuple(RUNTIMES), "kotlin")
    return shipping.write_library(out, models, lambda folder: _fill(folder, models))


def library() -> Path:
    """Returns the folder of the Kotlin library."""
    return shipping.library("android", "android_demo/mnv4")


def _fill(folder: Path, models: Mapping[str, Bundle]) -> None:
    copy_folder(library(), folder, without=["build"])
    for bundle in models.values():
        bundle.copy_to(folder / "src/main/assets/mnv4" / bundle.manifest.id)
    (folder / _KOTLIN / "Mnv4Models.kt").write_text(_code(models), "utf-8")
    used = sorted({RUNTIMES[bundle.manifest.target] for bundle in models.values()})
    gradle = folder / "build.gradle.kts"
    lines = "".join(f'    implementation("{line}")\n' for line in used)
    text = gradle.read_text("utf-8").replace("    // runtimes\n", lines)
    gradle.write_text(text, "utf-8")
    shipping.write_readme(folder / "README.md", models, _SAMPLE)


def _code(models: Mapping[str, Bundle]) -> str:
    lines = [f"package {PACKAGE}", "", "/** The bundles in this module's assets. */"]
    lines.append("public object Mnv4Models {")
    for constant, bundle in models.items():
        value = f"Mnv4Model({kotlin_string(bundle.manifest.id)})"
        lines += [f"    {kotlin_comment(f'{shipping.about(bundle)}.')}"]
        lines += [f"    public val {constant}: Mnv4Model = {value}", ""]
    lines.append("    /** All bundles, in the order in which they were given. */")
    lines.append(f"    public val ALL: List<Mnv4Model> = listOf({', '.join(models)})")
    return "\n".join([*lines, "}", ""])
