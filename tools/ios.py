"""Builds and tests ios_demo without a Mac: `make ios`.

Code that needs only Foundation runs: Swift builds and tests MobileNetV4Core on Linux, with bundles
and jobs that Python wrote, and Python reads the results. All other code is type-checked against
tests/sdks/ios_stubs, which declare the parts of Apple's modules that this project uses and are not
written by Apple.
Uses the Swift on the PATH, or else Debian's from the cache (tools/peers.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mnv4_mobile import build, records
from mnv4_mobile.measuring.devices import app
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject, open_subject
from mnv4_mobile.sdks.ios import EXECUTORCH, write_ios
from tools import peers
from tools.hostile_bundle import hostile_bundle

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "ios_demo"
KIT = DEMO / "MobileNetV4Kit"
STUBS = ROOT / "tests" / "sdks" / "ios_stubs"
OUT = ROOT / "out" / "ios"
FIXTURES = OUT / "fixtures"
MODULES = OUT / "modules"
# In import order. Foundation.swift is compiled together with the code that is checked.
STUB_MODULES = (
    *("Darwin", "CryptoKit", "CoreGraphics", "ImageIO", "CoreVideo", "CoreMedia", "CoreML"),
    *("UIKit", "SwiftUI", "PhotosUI", "Charts", "AVFoundation", "ExecuTorch"),
)
EXTRAS = STUBS / "Foundation.swift"
RECIPES = ("fp16", "fp32")
# Enters a root folder made from the unpacked packages, with this checkout at its own path: their
# programs need their own C library at its usual path.
_ENTER = """
set -e
packages=$1 here=$2; shift 2
mount -t tmpfs tmpfs /mnt
cd /mnt
mkdir usr etc dev proc tmp
for name in bin sbin lib lib64; do ln -s usr/$name $name; done
mount --rbind "$packages/usr" usr
mount --rbind "$packages/etc" etc
for name in dev proc tmp; do mount --rbind /$name $name; done
mkdir -p ".$here"
mount --rbind "$here" ".$here"
exec unshare --root=. --wd="$here" "$@"
"""


def swift(*command: str) -> None:
    """Runs a program of the toolchain in the checkout, and exits with its code if it fails."""
    print("+", *(word.removeprefix(f"{ROOT}/") for word in command), flush=True)
    environment = os.environ | {"HOME": str(OUT / "home")}
    if shutil.which("swift") is None:
        packages = peers.unpacked("swiftlang")
        enter = ["unshare", "--map-root-user", "--mount", "sh", "-c", _ENTER, "sh"]
        command = (*enter, str(packages), str(ROOT), *command)
        environment["PATH"] = f"/usr/libexec/swift/bin:{environment['PATH']}"
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    if code:
        sys.exit(code)


def lint() -> None:
    """Checks the style of all Swift except the stubs, which declare only what is needed."""
    style = str(DEMO / ".swift-format")
    swift("swift", "format", "lint", "--strict", "-r", "--configuration", style, "ios_demo")


def fixtures() -> tuple[app.Job, Subject]:
    """Writes bundles and a job for the tests, and returns the job and what it measures."""
    shutil.rmtree(FIXTURES, ignore_errors=True)
    bundles = FIXTURES / "bundles"
    build("conv-small-035", weights="demo", out=bundles, targets=["coreml"], recipes=RECIPES)
    build("conv-small-035", weights="demo", out=bundles, targets=["executorch"])
    hashes = [hashlib.sha256(b"a" * count).hexdigest() for count in range(130)]
    (FIXTURES / "hashes.json").write_text(json.dumps(hashes))
    subject = open_subject(bundles / "conv-small-035-96x96-fp16-coreml")
    plan = Plan(warmup=2, runs=5, seconds=0.0, unit="npu")
    job = app.new_job(plan, f"{app.BUNDLE}-{subject.artifact.sha256[:16]}")
    documents = FIXTURES / "Documents"
    file = documents / app.JOB
    shutil.copytree(bundles / subject.artifact.name, file.parent / job.bundle)
    file.write_bytes(records.encode(job, indent=1))
    return job, subject


def core(job: app.Job, subject: Subject) -> None:
    """Builds and tests the core, and reads the result of the job that Swift ran."""
    swift("swift", "test", *_package(KIT, "build"))
    samples = app.read_samples(
        (FIXTURES / "Caches" / app.RESULT).read_bytes(), job, subject.path.name
    )
    assert samples is not None, "the result belongs to another job"
    assert len(samples.latencies_ms) == job.plan.runs, samples
    assert subject.bundle is not None
    # The stand-in for Core ML returns what the artifact returned here.
    golden = subject.bundle.golden("artifact")
    wanted = subject.check([{n: v[i : i + 1] for n, v in golden.items()} for i in range(2)])
    assert samples.golden_sqnr_db is not None
    assert wanted is not None
    assert abs(samples.golden_sqnr_db - wanted) < 1e-6, (samples.golden_sqnr_db, wanted)
    print(f"Python reads the result: {wanted:.1f} dB, as it computes itself")


def types() -> None:
    """Type-checks the code that needs Apple's modules against the stubs."""
    shutil.rmtree(MODULES, ignore_errors=True)
    MODULES.mkdir(parents=True)
    for name in STUB_MODULES:
        _module(name, [STUBS / f"{name}.swift"])
    _module("MobileNetV4Core", _sources(KIT / "Sources" / "MobileNetV4Core"))
    _module("MobileNetV4Kit", [*_sources(KIT / "Sources" / "MobileNetV4Kit"), EXTRAS])
    tests = _sources(KIT / "Tests" / "MobileNetV4KitTests")
    _check("MobileNetV4KitTests", tests)
    second = KIT / EXECUTORCH
    _check("MobileNetV4ExecuTorch", [*_sources(second / "Sources"), EXTRAS])
    swift("swift", "package", *_package(second, "build"), "dump-package")
    _check("App", [*_sources(DEMO / "App" / "Sources"), EXTRAS])


def generated() -> None:
    """Builds what `mnv4 sdk ios` writes, as far as Linux allows, and type-checks the rest."""
    folder = OUT / "generated"
    bundles = sorted((FIXTURES / "bundles").glob("*-coreml"))
    assert len(bundles) == len(RECIPES)
    bundles.append(hostile_bundle(bundles[0], OUT / "hostile"))
    print(*write_ios(bundles, folder).constants)
    swift("swift", "build", *_package(folder, "build-generated"))
    _check("MobileNetV4Kit", [*_sources(folder / "Sources" / "MobileNetV4Kit"), EXTRAS])


def _package(folder: Path, scratch: str) -> list[str]:
    return ["--package-path", str(folder), "--scratch-path", str(OUT / scratch)]


def _sources(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.swift"))
    assert found, folder
    return found


def _module(name: str, sources: Sequence[Path]) -> None:
    out = str(MODULES / f"{name}.swiftmodule")
    swift("swiftc", "-emit-module", "-o", out, *_compile(name, sources))


def _check(name: str, sources: Sequence[Path]) -> None:
    swift("swiftc", "-typecheck", *_compile(name, sources))


def _compile(name: str, sources: Sequence[Path]) -> list[str]:
    options = [
        "-swift-version",
        "6",
        "-warnings-as-errors",
        "-parse-as-library",
        "-I",
        str(MODULES),
    ]
    return [*options, "-module-name", name, *map(str, sources)]


def main() -> None:
    if peers.PEERS["swift"].missing:
        print("ios_demo: not tested, as Swift is missing here;", end=" ")
        print("install with: python -m tools.peers install")
        sys.exit(1 if os.environ.get("MNV4_REQUIRE_ALL") else 0)
    (OUT / "home").mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    lint()
    core(*fixtures())
    if sys.platform != "darwin":  # Xcode has the real modules: .github/workflows/ios.yml
        types()
        generated()
    print(f"ios_demo: all checks passed in {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
