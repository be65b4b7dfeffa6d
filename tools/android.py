"""Builds and tests android_demo without the Android SDK: `make android`.

Maven compiles Kotlin against the real framework classes (Robolectric's) and the Java classes of
ExecuTorch and LiteRT; aapt2 links resources and manifests; tests run under Robolectric, with
Android's own libraries of both runtimes (tools/android_native.py).
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from tools import android_packages, peers
from tools.android_packages import central, run

ROOT = Path(__file__).parent.parent
ANDROID = ROOT / "android_demo"
CHECK = ANDROID / "check"
TARGET = CHECK / "target"
FIXTURES = TARGET / "fixtures"
NATIVE = TARGET / "native"
FRAMEWORK = "org.robolectric:android-all:14-robolectric-10818077"
NEWEST = "15-robolectric-12650502"
"""The framework of API 35, which sources compile against too; aapt2 cannot read its resources."""
KTLINT = "com.pinterest.ktlint:ktlint-cli:1.5.0"
DETEKT = "io.gitlab.arturbosch.detekt:detekt-cli:1.23.8"
MIN_SDK, TARGET_SDK = 26, 34
"""SDK versions of the linked packages; 34 is the newest that these framework classes know."""


def lint() -> None:
    """Checks the style (ktlint) and the documentation and lengths (detekt) of all Kotlin."""
    ktlint = central(KTLINT, classifier="all")
    files = ("**/src/**/*.kt", "**/*.kts", "!check/target/**")
    run("java", "-jar", ktlint, "--relative", *files, folder=ANDROID)
    detekt = central(DETEKT, classifier="all")
    sources = ",".join(str(path) for path in sorted(ANDROID.glob("*/src/main")))
    run(
        "java", "-jar", detekt, "--input", sources, "--config", CHECK / "detekt.yml", folder=ANDROID
    )


def link(module: Path, assets: Path) -> Path:
    """Links the resources and the manifest in a module's folder into a package without code.

    Returns:
        A folder with `app.apk`, the `AndroidManifest.xml` and `java/`, which has its class R.
    """
    out = TARGET / module.name
    shutil.rmtree(out, ignore_errors=True)
    (out / "java").mkdir(parents=True)
    source = module / "src" / "main"
    # Gradle takes the package from the build script.
    package = namespace(module)
    manifest = (source / "AndroidManifest.xml").read_text()
    (out / "AndroidManifest.xml").write_text(
        manifest.replace("<manifest ", f'<manifest package="{package}" ', 1)
    )
    options: list[str | Path] = ["--java", out / "java", "--manifest", out / "AndroidManifest.xml"]
    options += ["--min-sdk-version", str(MIN_SDK), "--target-sdk-version", str(TARGET_SDK)]
    if (source / "res").is_dir():
        # The pseudolocales show which texts cannot be translated.
        res = ("--dir", source / "res", "-o", out / "res.zip")
        run("aapt2", "compile", "--pseudo-localize", *res, folder=out)
        options.append(out / "res.zip")
    options += ["-A", assets, "-0", ".tflite"]
    options += ["-o", out / "app.apk"]
    run("aapt2", "link", "-I", central(FRAMEWORK), *options, folder=out)
    return out


def namespace(module: Path) -> str:
    """Returns a module's package, read from its build script."""
    script = (module / "build.gradle.kts").read_text()
    found = re.search(r'namespace = "(.+?)"', script)
    assert found is not None, module
    return found[1]


def robolectric(module: Path, assets: Path) -> None:
    """Links a module, and writes the file that points Robolectric to the result."""
    out = link(module, assets)
    config = out / "config" / "com" / "android" / "tools" / "test_config.properties"
    config.parent.mkdir(parents=True)
    entries = {
        "android_merged_manifest": out / "AndroidManifest.xml",
        "android_resource_apk": out / "app.apk",
        "android_merged_assets": assets,
        "android_custom_package": namespace(module),
    }
    config.write_text("".join(f"{key}={value}\n" for key, value in entries.items()))


def app() -> None:
    """Links the apps, with all bundles of the fixtures as assets."""
    assets = TARGET / "assets"
    shutil.rmtree(assets, ignore_errors=True)
    shutil.copytree(FIXTURES / "bundles", assets / "mnv4")
    robolectric(ANDROID / "app", assets)
    robolectric(ANDROID / "benchmark", assets)


def generated() -> None:
    """Writes two models modules into one folder, and links their assets as an app does.

    One has a bundle for each runtime, those for NPUs, one of several input sizes and one whose
    texts are hostile, the other a classifier of other things that has the same id as one of these.
    """
    from mnv4_mobile.sdks.android import write_android
    from tools.android_fixtures import CONV, SIZED
    from tools.hostile_bundle import hostile_bundle, relabelled_bundle

    conv = FIXTURES / "bundles" / CONV
    bundles = [conv, conv.with_name(CONV.replace("tflite", "executorch"))]
    bundles.append(hostile_bundle(conv, TARGET / "hostile"))
    bundles += [FIXTURES / "kinds" / SIZED, *sorted((FIXTURES / "npu").iterdir())]
    out = TARGET / "generated"
    shutil.rmtree(out, ignore_errors=True)
    write_android(bundles, out)
    write_android([relabelled_bundle(conv, TARGET / "relabelled")], out, name="shop")
    assets = TARGET / "merged"
    shutil.rmtree(assets, ignore_errors=True)
    for name in ("main", "shop"):
        for folder in (out / f"models-{name}" / "src/main/assets/mnv4").iterdir():
            shutil.copytree(folder, assets / "mnv4" / folder.name)
    robolectric(out / "models-main", assets)


def main() -> None:
    if peers.PEERS["android"].missing:
        print("android_demo: not tested, as java, mvn, npm, aapt2 or gcc is missing here;", end=" ")
        print("install with: python -m tools.peers install")
        sys.exit(1 if os.environ.get("MNV4_REQUIRE_ALL") else 0)
    from tools import android_fixtures, android_native

    lint()
    for built in CHECK.glob("*/target"):  # classes of sources that are gone would be tested too
        shutil.rmtree(built)
    android_native.build(NATIVE)
    android_fixtures.write(FIXTURES)
    app()
    generated()
    jars = {
        "executorch": android_packages.executorch("jar"),
        "fbjni": android_packages.classes(android_packages.FBJNI),
        "tensorflow-lite": android_packages.classes(android_packages.LITERT),
        "tensorflow-lite-api": android_packages.classes(android_packages.LITERT_API),
    }
    options = [f"-D{name}.jar={path}" for name, path in jars.items()]
    options += [f"-Dmnv4.native={NATIVE}", f"-Dmnv4.fixtures={FIXTURES}"]
    options.append(f"-Dmnv4.golden={ROOT / 'tests' / 'golden'}")
    newest = (f"-Dandroid.version={NEWEST}", "-Doutput=target/newest")
    android_packages.maven("--quiet", "compile", *options, *newest, folder=CHECK)
    android_packages.maven("--quiet", "compile", folder=ROOT / "benchmarks" / "jvm")
    android_packages.maven("verify", *options, *sys.argv[1:], folder=CHECK)
    android_fixtures.read(FIXTURES)


if __name__ == "__main__":
    main()
