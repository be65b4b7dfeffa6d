"""Builds and tests ios_demo without a Mac: `make ios`.

Code that needs only Foundation runs: Swift builds and tests MobileNetV4Core on Linux, with bundles
and jobs that Python wrote, and Python reads the results. All other code is compiled against
tests/sdks/ios_stubs, which declare the parts of Apple's modules that this project uses and are not
written by Apple. So is tests/sdks/ios_adopters: `accepted` is what users of the packages write, and
`refused` has mistakes that the compiler must report. tests/sdks/ios_packages has an app that reads
the bundles of two models packages.
Uses the Swift on the PATH, or else Debian's from the cache (tools/peers.py).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from mnv4_mobile import Options, build, files, records
from mnv4_mobile.measuring.devices import app
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject, open_subject
from mnv4_mobile.sdks.ios import EXECUTORCH, KIT, module, write_ios
from tools import peers, swift_availability, swift_strings
from tools.hostile_bundle import hostile_bundle, relabelled_bundle

ROOT = Path(__file__).parent.parent
DEMO = ROOT / "ios_demo"
STUBS = ROOT / "tests" / "sdks" / "ios_stubs"
APP = DEMO / "App"
LOGIC = APP / "Logic"
PREVIEWS = APP / "Sources" / "Previews.swift"
CATALOG = APP / "Localizable.xcstrings"
SETTINGS_CATALOG = APP / "InfoPlist.xcstrings"
PROJECT = APP / "project.yml"
BENCHMARK = ROOT / "benchmarks" / "swift"
ADOPTERS = ROOT / "tests" / "sdks" / "ios_adopters"
PACKAGES = ROOT / "tests" / "sdks" / "ios_packages"
RUNS = ROOT / "tests" / "sdks" / "ios_runs"
OUT = ROOT / "out" / "ios"
FIXTURES = OUT / "fixtures"
MODULES = OUT / "modules"
GENERATED = OUT / "generated"
LINUX = OUT / "linux"
# In import order. Foundation.swift is compiled together with the code that is checked.
STUB_MODULES = (
    *("Darwin", "CryptoKit", "CoreGraphics", "CoreImage", "ImageIO"),
    *("CoreVideo", "CoreMedia", "CoreML"),
)
# What the kit does without on a Mac, with an older Xcode, or altogether.
APP_MODULES = (
    *("CoreAI", "Vision", "UIKit", "SwiftUI", "PhotosUI", "Charts", "AVFoundation"),
    "ExecuTorch",
)
PACKAGE_MODULES = ("MobileNetV4Core", "MobileNetV4Kit", "MobileNetV4KitTests")
"""The modules of the kit, which see each other's `package` declarations."""
EXTRAS = STUBS / "Foundation.swift"
SWIFT = Path("usr/libexec/swift/bin/swift")
"""Where Debian's package has it."""
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
    code, _ = _swift(*command)
    if code:
        sys.exit(code)


def _swift(*command: str, capture: bool = False, **variables: str) -> tuple[int, str]:
    """Runs a program of the toolchain, and returns its exit code and, if captured, its output."""
    print("+", *(word.removeprefix(f"{ROOT}/") for word in command), flush=True)
    environment = os.environ | variables | {"HOME": str(OUT / "home")}
    if shutil.which("swift") is None:
        packages = peers.unpacked("swiftlang")
        enter = ["unshare", "--map-root-user", "--mount", "sh", "-c", _ENTER, "sh"]
        command = (*enter, str(packages), str(ROOT), *command)
        environment["PATH"] = f"/{SWIFT.parent}:{environment['PATH']}"
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        check=False,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.STDOUT if capture else None,
        text=True,
    )
    return done.returncode, done.stdout or ""


def lint() -> None:
    """Checks the style of all Swift except the stubs, which declare only what is needed."""
    style = str(DEMO / ".swift-format")
    swift(
        "swift",
        "format",
        "lint",
        "--strict",
        "-r",
        "--configuration",
        style,
        "ios_demo",
        str(ADOPTERS),
        str(PACKAGES),
        str(RUNS),
        str(BENCHMARK),
    )


def fixtures() -> tuple[app.Job, Subject]:
    """Writes bundles and a job for the tests, and returns the job and what it measures."""
    shutil.rmtree(FIXTURES, ignore_errors=True)
    bundles = FIXTURES / "bundles"
    both = ["coreml", "coreai"]
    build("conv-small-035", weights="demo", out=bundles, targets=both, recipes=["fp16"])
    sizes = Options(size=(96, 96), more_sizes=((64, 96),))
    both = ["coreml", "executorch"]
    build("conv-small-035", weights="demo", out=bundles, targets=both, options=sizes)
    hashes = [hashlib.sha256(b"a" * count).hexdigest() for count in range(130)]
    (FIXTURES / "hashes.json").write_text(json.dumps(hashes))
    # Names that order differently by whole paths, by characters, or without hidden files.
    for path in (
        "a/b",
        "a-b",
        "a/.hidden",
        "a/B/c",
        "a0",
        "\u00e9",
        "e\u0301",
        "\uff5e",
        "\U0001f642",
    ):
        file = FIXTURES / "tree" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path, "utf-8")
    (FIXTURES / "tree.sha256").write_text(files.sha256(FIXTURES / "tree"))
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
    test = ["swift", "test", *_package(DEMO / KIT, "build")]
    swift(*test)
    _trap_is_noticed(test)
    samples = app.read_samples(
        (FIXTURES / "Caches" / app.RESULT).read_bytes(), job, subject.path.name
    )
    assert samples is not None, "the result belongs to another job"
    assert len(samples.latencies_ms) == job.plan.runs, samples
    assert (job.plan.unit, samples.ran_on) == ("npu", ("cpu",)), samples
    assert subject.bundle is not None
    # The stand-in for Core ML returns what the artifact returned here.
    golden = subject.bundle.golden("artifact")
    wanted = subject.check([{n: v[i : i + 1] for n, v in golden.items()} for i in range(2)])
    assert samples.golden_sqnr_db is not None
    assert wanted is not None
    assert abs(samples.golden_sqnr_db - wanted) < 1e-6, (samples.golden_sqnr_db, wanted)
    print(f"Python reads the result: {wanted:.1f} dB, as it computes itself")


def _trap_is_noticed(test: Sequence[str]) -> None:
    """Exits unless the tests fail and name the change when a changed document traps."""
    command = [*test, "--skip-build", "--filter", "aPlantedTrap"]
    code, said = _swift(*command, capture=True, MNV4_PLANTED_TRAP="1")
    if not code or "trap: seed 1, change 6" not in said:
        sys.exit(f"a planted trap must fail the tests and be named; exit code {code}\n{said}")
    print("a planted trap fails the tests, as it must")


def logic() -> None:
    """Tests what the app decides, which is plain Swift, with the core that was built already."""
    swift("swift", "test", *_package(LOGIC, "build"))


def compiled() -> None:
    """Compiles the code that needs Apple's modules against the stubs, and adopters' code.

    The library is the one that `mnv4 sdk ios` wrote, with its models packages.
    """
    shutil.rmtree(MODULES, ignore_errors=True)
    MODULES.mkdir(parents=True)
    for name in STUB_MODULES:
        _compile(name, [STUBS / f"{name}.swift"])
    sources = GENERATED / KIT / "Sources"
    _compile("MobileNetV4Core", _sources(sources / "MobileNetV4Core"))
    kit = [*_sources(sources / KIT), EXTRAS]
    _compile(KIT, kit)  # as for a Mac with Xcode 16, which imports neither UIKit nor Core AI
    for name in APP_MODULES:
        _compile(name, [STUBS / f"{name}.swift"])
    _compile(KIT, kit)
    _compile("MobileNetV4KitTests", _sources(DEMO / KIT / "Tests" / "MobileNetV4KitTests"))
    second = GENERATED / EXECUTORCH
    _compile(EXECUTORCH, [*_sources(second / "Sources"), EXTRAS])
    swift("swift", "package", *_package(second, "build"), "dump-package")
    for name in ("main", "shop"):
        models = GENERATED / f"models-{name}"
        _compile(module(name), [*_sources(models / "Sources"), EXTRAS])
        _compile(f"{module(name)}Tests", _sources(models / "Tests"))
    _compile(_app_module(), [*_app(), _previews(), EXTRAS])
    _compile("Preprocessing", _sources(BENCHMARK / "Sources"))
    for source in _sources(ADOPTERS / "accepted"):
        _compile(source.stem, [source])
    for source in _sources(ADOPTERS / "refused"):
        _refused(source)


def images() -> None:
    """Runs the kit's tests of images with the stubs, whose images hold what they were made of."""
    source = DEMO / KIT / "Tests" / f"{KIT}Tests" / "ImagesTests.swift"
    tests = re.findall(r"^ {4}func (test\w+)\(", source.read_text("utf-8"), re.MULTILINE)
    listed = ", ".join(f'("{test}", ImagesTests.{test})' for test in tests)
    start = OUT / "StartImagesTests.swift"
    start.write_text(
        "import XCTest\n\n@main struct Start {\n"
        f"    static func main() {{ XCTMain([testCase([{listed}])]) }}\n}}\n"
    )
    # XCTest's lists are older than Swift 6, in which `compiled` compiles the tests themselves.
    _run("images-tests", [start, source], version=5)


def runtimes() -> None:
    """Runs the kit's code for each runtime with a stub that returns what the artifact returned."""
    for name, bundles in (("CoreAI", "*-coreai"), ("CoreML", "*_64x96-*-coreml")):
        (bundle,) = (FIXTURES / "bundles").glob(bundles)
        sources = [RUNS / f"{name}Run.swift", RUNS / "Checks.swift"]
        _run(f"run-{name}", sources, str(bundle))


def _run(name: str, sources: Sequence[Path], *arguments: str, version: int = 6) -> None:
    """Links a program with the kit and the stubs that `compiled` compiled, and runs it."""
    program = OUT / name
    modules = [*STUB_MODULES, *APP_MODULES, "MobileNetV4Core", KIT]
    objects = [str(MODULES / f"{module}.o") for module in modules]
    swift(
        *("swiftc", "-swift-version", str(version), "-parse-as-library", "-I", str(MODULES)),
        *("-o", str(program), *map(str, sources), *objects),
    )
    swift(str(program), *arguments)


def availability() -> None:
    """Exits if code uses what the package's oldest systems lack."""
    kit = [*_sources(DEMO / KIT / "Sources"), *_sources(DEMO / EXECUTORCH / "Sources")]
    app = _app()
    found = shutil.which("swift")
    toolchain = Path(found).resolve() if found else peers.unpacked("swiftlang") / SWIFT
    modules = toolchain.parent.parent / "lib" / "swift" / "linux"
    interfaces = sorted(modules.glob("*.swiftmodule/*-linux-gnu.swiftinterface"))
    assert interfaces, modules
    introduced = swift_availability.introduced(_sources(STUBS), interfaces, own=[*kit, *app])
    oldest = swift_availability.minimum(DEMO / KIT / "Package.swift")
    newer = swift_availability.check(kit, introduced, oldest)
    newer += swift_availability.check([*app, PREVIEWS], introduced, {"iOS": oldest["iOS"]})
    if newer:
        sys.exit("\n".join(newer))
    print(f"{len(kit) + len(app)} files use nothing newer than the oldest systems")


def texts() -> None:
    """Exits unless the app's String Catalog has exactly the texts that the app shows."""
    modules = ("-I", str(MODULES), "-module-name", _app_module())
    options = ("-wmo", "-swift-version", "6", "-parse-as-library", *modules)
    code, tree = _swift("swiftc", "-dump-ast", *options, *map(str, [*_app(), EXTRAS]), capture=True)
    assert code == 0
    wrong = swift_strings.check(tree, _app(), CATALOG)
    settings = yaml.safe_load(PROJECT.read_text("utf-8"))["targets"]["MobileNetV4"]["settings"]
    wrong += swift_strings.check_settings(settings["base"], SETTINGS_CATALOG)
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{CATALOG.name} has the texts that the app shows, and no others")


def _app() -> list[Path]:
    """Returns the app's sources, without the previews, which no user sees."""
    found = [*_sources(APP / "Sources"), *_sources(LOGIC / "Sources")]
    return [source for source in found if source != PREVIEWS]


def _previews() -> Path:
    """Writes the previews as functions, because Linux lacks the macro, and returns the file.

    Exits unless every screen has one.
    """
    text = PREVIEWS.read_text("utf-8")
    for screen in sorted((APP / "Sources").glob("*Screen.swift")):
        view = f"{screen.stem.removesuffix('Screen')}View"
        if f"{view}(" not in text:
            sys.exit(f"{PREVIEWS}: shows no {view}: every screen needs a #Preview")
    function = "@MainActor @ViewBuilder func preview{}() -> some View {{"
    head, *bodies = re.split(
        r'^#Preview\("[^"]+"(?:, traits: \.\w+)?\) \{$', text, flags=re.MULTILINE
    )
    functions = (function.format(number) + body for number, body in enumerate(bodies))
    target = OUT / PREVIEWS.name
    target.write_text(head + "".join(functions), "utf-8")
    return target


def _app_module() -> str:
    """Returns the name under which Xcode compiles the app: its product's."""
    found = re.search(r"PRODUCT_NAME: (\w+)", PROJECT.read_text("utf-8"))
    assert found is not None
    return found[1]


def _refused(source: Path) -> None:
    """Exits unless the compiler reports the errors that the lines of a file announce."""
    lines = source.read_text("utf-8").splitlines()
    wanted = {
        f":{number}:": line.partition("// error: ")[2]
        for number, line in enumerate(lines, 1)
        if "// error: " in line
    }
    assert wanted, source
    code, said = _swift(*_compilation(source.stem, [source]), capture=True)
    for place, message in wanted.items():
        if not any(
            f"{source.name}{place}" in line and "error: " in line and message in line
            for line in said.splitlines()
        ):
            print(said)
            sys.exit(
                f"{source}{place} must not compile, with the error '{message}'; "
                f"the compiler's exit code is {code}"
            )
    print(f"{source.name} is refused, as it must be")


def generated() -> None:
    """Writes what `mnv4 sdk ios` writes for two classifiers with one id, and runs it on Linux.

    One models package has bundles for Core ML and Core AI, one of them with hostile texts. The
    other has one for Core ML and one for ExecuTorch.
    """
    shutil.rmtree(GENERATED, ignore_errors=True)
    (conv,) = (FIXTURES / "bundles").glob("*-96x96-*-coreml")
    others = [*(FIXTURES / "bundles").glob("*_64x96-*-coreml")]
    others += (FIXTURES / "bundles").glob("*-coreai")
    assert len(others) == 2
    write_ios([conv, *others, hostile_bundle(conv, OUT / "hostile")], GENERATED)
    shop = [relabelled_bundle(conv, OUT / "relabelled")]
    shop += (FIXTURES / "bundles").glob("*-executorch")
    write_ios(shop, GENERATED, name="shop")
    swift("swift", "package", *_package(GENERATED / "models-main", "resolve"), "resolve")
    # An app with both, and the library without what Linux lacks. Its build begins anew, as SwiftPM
    # does not notice when the manifest of a package that it depends on changes.
    shutil.rmtree(LINUX, ignore_errors=True)
    shutil.copytree(GENERATED, LINUX)
    shutil.copytree(PACKAGES, LINUX, dirs_exist_ok=True)
    swift("swift", "run", *_package(LINUX / "App", "linux/build"))


def _package(folder: Path, scratch: str) -> list[str]:
    return ["--package-path", str(folder), "--scratch-path", str(OUT / scratch)]


def _sources(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.swift"))
    assert found, folder
    return found


def _compile(name: str, sources: Sequence[Path]) -> None:
    """Compiles a module. Swift finds data races only when it compiles whole modules."""
    swift(*_compilation(name, sources))


def _compilation(name: str, sources: Sequence[Path]) -> list[str]:
    options = ["-swift-version", "6", "-warnings-as-errors", "-parse-as-library"]
    if name in PACKAGE_MODULES:
        options += ["-package-name", KIT]
    return [
        *("swiftc", "-c", "-wmo", *options, "-I", str(MODULES), "-module-name", name),
        *("-emit-module", "-emit-module-path", str(MODULES / f"{name}.swiftmodule")),
        *("-o", str(MODULES / f"{name}.o"), *map(str, sources)),
    ]


def main() -> None:
    if peers.PEERS["swift"].missing:
        print("ios_demo: not tested, as Swift is missing here;", end=" ")
        print("install with: python -m tools.peers install")
        sys.exit(1 if os.environ.get("MNV4_REQUIRE_ALL") else 0)
    (OUT / "home").mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    lint()
    core(*fixtures())
    logic()
    if sys.platform != "darwin":  # Xcode has the real modules: .github/workflows/ios.yml
        availability()
        generated()
        compiled()
        images()
        texts()
        runtimes()
    print(f"ios_demo: all checks passed in {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
