from __future__ import annotations

from pathlib import Path

import pytest

from tools import swift_availability as availability

ROOT = Path(__file__).parent.parent.parent
STUBS = sorted((ROOT / "tests" / "sdks" / "ios_stubs").glob("*.swift"))
DEMO = ROOT / "ios_demo"
OLDEST = {"iOS": (16,), "macOS": (13,)}
ALLOWED = """
if #available(iOS 17.4, macOS 14.4, *) { use(MLComputePlan.self) }
---
func f() {
    guard #available(iOS 17.4, macOS 14.4, *) else { return }
    use(MLComputePlan.self)
}
---
func f() {
    if #available(iOS 17.4, macOS 14.4, *), names.contains(where: { $0.isEmpty }) {
        use(MLComputePlan.self)
    }
}
---
@available(iOS 18, macOS 15, *)
public static func f(
    _ plan: MLComputePlan
) -> MLComputePlan
where T: P {
    while a { use(MLComputePlan.self) }
}
---
let text = "MLComputePlan \\" MLComputePlan"  // MLComputePlan
/* MLComputePlan */
---
struct MLComputePlan {}
---
@available(iOS 18, macOS 15, *)
final class Newer {}
if #available(iOS 18, macOS 15, *) { use(Newer.self) }
"""
REFUSED = """
let plan: MLComputePlan
---
if #available(iOS 17.4, macOS 14.4, *) { a() } else { use(MLComputePlan.self) }
---
if #available(iOS 17.4, macOS 14.4, *) { a() }
use(MLComputePlan.self)
---
func f() {
    guard #available(iOS 17.4, macOS 14.4, *) else { return use(MLComputePlan.self) }
}
---
if #available(iOS 17.0, macOS 14.4, *) { use(MLComputePlan.self) }
---
@available(iOS 17.4, macOS 14.4, *)
let a: Int
let plan: MLComputePlan
---
@available(iOS 17.4, macOS 14.4, *)
func f() {}
func g(_ plan: MLComputePlan) {}
---
@available(iOS 17.4, macOS 14.4, *)
final class MLComputePlan {}
let plan: MLComputePlan
"""


def found(tmp_path: Path, code: str) -> list[str]:
    source = tmp_path / "Code.swift"
    source.write_text(code)
    return availability.check([source], availability.introduced(STUBS, [], [source]), OLDEST)


@pytest.mark.parametrize("code", ALLOWED.split("---"))
def test_code_that_older_systems_do_not_reach_may_use_newer_names(
    tmp_path: Path, code: str
) -> None:
    assert found(tmp_path, code) == []


@pytest.mark.parametrize("code", REFUSED.split("---"))
def test_a_name_that_older_systems_lack_is_found(tmp_path: Path, code: str) -> None:
    messages = found(tmp_path, code)
    assert any("MLComputePlan needs iOS 17.4, this code runs from 1" in one for one in messages)


def test_a_message_names_the_line(tmp_path: Path) -> None:
    messages = found(tmp_path, "\n\nuse(MLComputePlan.self)\n")
    assert messages[0].startswith(f"{tmp_path}/Code.swift:3: ")


def test_unavailable_is_refused(tmp_path: Path) -> None:
    assert "#unavailable" in found(tmp_path, "if #unavailable(iOS 17) { a() }")[0]


def test_of_swifts_modules_members_are_left_out(tmp_path: Path) -> None:
    interface = tmp_path / "Swift.swiftinterface"
    since = "@available(macOS 15.0, iOS 18.0, watchOS 11.0, *)"
    interface.write_text(
        f"{since}\n@frozen public struct UInt128 : Swift.Sendable {{\n"
        f"  {since}\n  public var count: Int\n}}\n"
        "@available(*, deprecated)\npublic struct Old {}\n"
    )
    found = availability.introduced([], [interface], [])
    assert found == {"UInt128": {"iOS": (18,), "macOS": (15,)}}


def test_the_oldest_systems_are_the_packages(tmp_path: Path) -> None:
    package = tmp_path / "Package.swift"
    package.write_text("platforms: [.iOS(.v16), .macOS(.v13_1)],")
    assert availability.minimum(package) == {"iOS": (16,), "macOS": (13, 1)}


def test_the_kit_and_the_app_run_on_the_oldest_systems() -> None:
    kit = DEMO / "MobileNetV4Kit"
    oldest = availability.minimum(kit / "Package.swift")
    sources = sorted((kit / "Sources").rglob("*.swift"))
    app = sorted((DEMO / "App" / "Sources").rglob("*.swift"))
    names = availability.introduced(STUBS, [], [*sources, *app])
    assert availability.check(sources, names, oldest) == []
    assert availability.check(app, names, {"iOS": oldest["iOS"]}) == []
