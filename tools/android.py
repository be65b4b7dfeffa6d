"""Builds and tests android_demo without the Android SDK: `make android`.

Maven compiles Kotlin against the real framework classes (Robolectric's) and the Java classes of
ExecuTorch and LiteRT; aapt2 links resources and manifests; tests run under Robolectric, with a real
TensorFlow Lite for the JVM. Classes that Maven Central has in no jar are extracted from packages.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import platformdirs

from tools import peers

ROOT = Path(__file__).parent.parent
ANDROID = ROOT / "android_demo"
CHECK = ANDROID / "check"
TARGET = CHECK / "target"
FIXTURES = TARGET / "fixtures"
CACHE = Path(platformdirs.user_cache_dir("mnv4-mobile")) / "android"

# The only package at hand that carries ExecuTorch's Java API as a jar.
NPM = "react-native-executorch"
NPM_VERSION = "0.9.3"
NPM_SHA512 = (
    "eanpDe8sFFxbKfCh0lqrSVyU4/deiF1pZWtZOjZSV+w+qfuNsdrkQkoscxvhMwJOnvXNkBt4BXAr8pAlGOXStA=="
)
AARS = ("org.tensorflow:tensorflow-lite:2.16.1", "org.tensorflow:tensorflow-lite-api:2.16.1")
FRAMEWORK = "org.robolectric:android-all:14-robolectric-10818077"
KTLINT = "com.pinterest.ktlint:ktlint-cli:1.5.0"
DETEKT = "io.gitlab.arturbosch.detekt:detekt-cli:1.23.8"
JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Options of every Java program here; they end before the optimizing compiler would pay off."""
MIN_SDK, TARGET_SDK = 26, 34
"""SDK versions of the linked packages; 34 is the newest that these framework classes know."""


def executorch() -> Path:
    """Returns a jar of ExecuTorch's Java API, extracted from an npm package."""
    jar = CACHE / f"executorch-{NPM_VERSION}.jar"
    if not jar.exists():
        run("npm", "pack", "--silent", f"{NPM}@{NPM_VERSION}", "--pack-destination", CACHE)
        package = CACHE / f"{NPM}-{NPM_VERSION}.tgz"
        found = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if found != NPM_SHA512:
            sys.exit(f"{package}: sha512 {found}, must be {NPM_SHA512}")
        with tarfile.open(package) as archive:
            member = archive.extractfile("package/android/libs/classes.jar")
            assert member is not None
            jar.write_bytes(member.read())
        package.unlink()
    return jar


def classes(coordinates: str) -> Path:
    """Returns a jar of the classes in an Android archive of Maven Central."""
    _, name, version = coordinates.split(":")
    jar = CACHE / f"{name}-{version}.jar"
    if not jar.exists():
        with zipfile.ZipFile(central(coordinates, "aar")) as archive:
            jar.write_bytes(archive.read("classes.jar"))
    return jar


def central(coordinates: str, kind: str = "jar", classifier: str = "") -> Path:
    """Returns the cached copy of a file of Maven Central, whose checksum Maven checks."""
    _, name, version = coordinates.split(":")
    file = CACHE / f"{name}-{version}{'-' if classifier else ''}{classifier}.{kind}"
    if not file.exists():
        artifact = f"{coordinates}:{kind}" + (f":{classifier}" if classifier else "")
        options = (f"-Dartifact={artifact}", f"-DoutputDirectory={CACHE}")
        maven("dependency:copy", *options, folder=CACHE)
    return file


def run(*command: str | Path, folder: Path = ANDROID) -> None:
    """Runs a program, shows its output, and exits with its code if it fails."""
    environment = os.environ | {"JAVA_TOOL_OPTIONS": JVM}
    code = subprocess.run(command, cwd=folder, check=False, env=environment).returncode
    if code:
        sys.exit(code)


def maven(*arguments: str, folder: Path = CHECK) -> None:
    """Runs Maven."""
    run("mvn", "--batch-mode", "--no-transfer-progress", *arguments, folder=folder)


def lint() -> None:
    """Checks the style (ktlint) and the documentation and lengths (detekt) of all Kotlin."""
    ktlint = central(KTLINT, classifier="all")
    run("java", "-jar", ktlint, "--relative", "**/src/**/*.kt", "**/*.kts", "!check/target/**")
    detekt = central(DETEKT, classifier="all")
    sources = ",".join(str(path) for path in sorted(ANDROID.glob("*/src/main")))
    run("java", "-jar", detekt, "--input", sources, "--config", CHECK / "detekt.yml")


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
        run("aapt2", "compile", "--dir", source / "res", "-o", out / "res.zip")
        options.append(out / "res.zip")
    options += ["-A", assets, "-0", ".tflite"]
    run("aapt2", "link", "-I", central(FRAMEWORK), *options, "-o", out / "app.apk")
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

    One has a bundle for each runtime and one whose texts are hostile, the other a classifier of
    other things that has the same id as one of these.
    """
    from mnv4_mobile.sdks.android import write_android
    from tools.android_fixtures import CONV
    from tools.hostile_bundle import hostile_bundle, relabelled_bundle

    conv = FIXTURES / "bundles" / CONV
    bundles = [conv, conv.with_name(CONV.replace("tflite", "executorch"))]
    bundles.append(hostile_bundle(conv, TARGET / "hostile"))
    out = TARGET / "generated"
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
        print("android_demo: not tested, as java, mvn, npm or aapt2 is missing here;", end=" ")
        print("install with: python -m tools.peers install")
        sys.exit(1 if os.environ.get("MNV4_REQUIRE_ALL") else 0)
    from tools import android_fixtures

    CACHE.mkdir(parents=True, exist_ok=True)
    lint()
    android_fixtures.write(FIXTURES)
    app()
    generated()
    jars = {"executorch.jar": executorch()}
    jars |= {f"{c.split(':')[1]}.jar": classes(c) for c in AARS}
    options = [f"-D{name}={path}" for name, path in jars.items()]
    options += [f"-Dmnv4.fixtures={FIXTURES}", f"-Dmnv4.golden={ROOT / 'tests' / 'golden'}"]
    maven("verify", *options, *sys.argv[1:])
    android_fixtures.read(FIXTURES)


if __name__ == "__main__":
    main()
