"""The kind `ios` against a stand-in for xcrun that checks its arguments; no iPhone was measured."""

import json
import os
import sys
from pathlib import Path

import pytest
from records import SMALL, manifest

from mnv4_mobile.bundle.folder import Bundle, write_manifest
from mnv4_mobile.bundle.manifest import ArtifactEntry
from mnv4_mobile.errors import ConfigError, DeviceError, ParityError, ToolchainError
from mnv4_mobile.measuring.device import DeviceGoneError
from mnv4_mobile.measuring.devices import app
from mnv4_mobile.measuring.devices.ios import kind
from mnv4_mobile.measuring.measurement import Samples, Thermal
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import plain, replace
from mnv4_mobile.units import UNITS

UDID = "00008110-000A11B22C33D44E"
SAMPLES = Samples(
    golden_sqnr_db=61.0,
    load_cold_ms=900.0,
    latencies_ms=(1.0, 1.5),
    t_ms=(0.0, 1.25),
    thermal_before=Thermal(status="nominal"),
    versions={"runtime": "Core ML 18.5"},
)
# devicectl as far as it is used, and the benchmark app behind it. The folder is the Mac's view of
# the world: devices.json, the app's container, how the app ends, and the calls.
XCRUN = """#!PYTHON
import json, pathlib, shutil, sys

world = pathlib.Path("WORLD")
state = json.loads((world / "state.json").read_text())
argv = sys.argv[1:]
with (world / "calls").open("a") as calls:
    calls.write(json.dumps(argv) + "\\n")


def options(names, found):
    assert found[::2] == names, (names, found)
    return found[1::2]


def local(path):
    assert path.startswith(("Documents/mnv4/job/", "Library/Caches/mnv4/")), path
    return world / "container" / path


assert argv.pop(0) == "devicectl"
if argv[:2] == ["list", "devices"]:
    (out,) = options(["--json-output"], argv[2:])
    text = json.dumps({"info": {"jsonVersion": 2}, "result": {"devices": state["devices"]}})
    pathlib.Path(out).write_text(state.get("listed", text))
    sys.exit()
assert argv.pop(0) == "device"
verb, argv = argv[:2], argv[2:]
device, udid, *argv = argv
assert (device, udid) == ("--device", "UDID")
if state["end"] == "unplugged":
    state["devices"][0]["connectionProperties"]["tunnelState"] = "unavailable"
    (world / "state.json").write_text(json.dumps(state))
    sys.exit("ERROR: The connection was invalidated.")
if verb[0] == "copy":
    names = ["--domain-type", "--domain-identifier", "--source", "--destination"]
    domain, app, source, destination = options(names, argv)
    assert domain == "appDataContainer"
    if app != state["app"]:
        print("ERROR: The specified file could not be transferred. (error 7000)")
        print("       NSLocalizedFailureReason = There is no app", app)
        sys.exit(1)
    if verb[1] == "to":
        source, destination = pathlib.Path(source), local(destination)
        destination.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, destination, dirs_exist_ok=True)
        else:
            shutil.copyfile(source, destination)
    else:
        assert verb[1] == "from"
        source = local(source)
        if not source.exists():
            sys.exit("ERROR: The file does not exist.")
        shutil.copyfile(source, destination)
    sys.exit()
assert verb == ["process", "launch"]
assert argv == ["--terminate-existing", "--console", state["app"], "--", "--mnv4-job"], argv
print("Launched application.", flush=True)
job = json.loads(local("Documents/mnv4/job/job.json").read_text())
bundle = local("Documents/mnv4/job/" + job["bundle"])
assert (bundle / "model.mlpackage/Data/weights.bin").read_bytes() == b"weights"
print("mnv4: load", flush=True)
if state["end"] == "crash":
    print("App terminated due to signal 9.")
    sys.exit(1)
another = "00000000-0000-4000-8000-000000000000"
result = state["result"] | {"job": job["id"] if state["end"] != "old" else another}
written = local("Library/Caches/mnv4/result.json")
written.parent.mkdir(parents=True, exist_ok=True)
written.write_text(json.dumps(result))
print("mnv4: timed runs: 2 of 2", flush=True)
"""


def listed(udid=UDID, *, paired="paired", tunnel="disconnected", mode="enabled", **hardware):
    return {
        "identifier": "3D048AED-F823-4530-A0E8-D1D1C16F9948",
        "hardwareProperties": {
            "platform": "iOS",
            "reality": "physical",
            "udid": udid,
            "marketingName": "iPhone 13 Pro",
            **hardware,
        },
        "deviceProperties": {
            "name": "Test phone",
            "osVersionNumber": "18.5",
            "osBuildUpdate": "22F76",
            "developerModeStatus": mode,
        },
        "connectionProperties": {"pairingState": paired, "tunnelState": tunnel},
    }


class World:
    """What the stand-in reads, and what it was asked."""

    def __init__(self, folder):
        self.folder = folder
        self.state = {
            "app": "io.github.mnv4.benchmark",
            "devices": [listed()],
            "end": "well",
            "result": {
                "schema": 1,
                "status": "ok",
                "error": None,
                "samples": plain(SAMPLES),
            },
        }
        self.set()

    def set(self, **changes):
        self.state |= changes
        (self.folder / "state.json").write_text(json.dumps(self.state))

    @property
    def calls(self):
        rows = (self.folder / "calls").read_text().splitlines()
        return [json.loads(row)[1:4] for row in rows]


@pytest.fixture
def world(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    xcrun = tmp_path / "bin/xcrun"
    text = XCRUN.replace("PYTHON", sys.executable).replace("WORLD", str(tmp_path))
    xcrun.write_text(text.replace("UDID", UDID))
    xcrun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    return World(tmp_path)


@pytest.fixture
def subject(tmp_path):
    folder = tmp_path / "small"
    (folder / "model.mlpackage/Data").mkdir(parents=True)
    (folder / "model.mlpackage/Data/weights.bin").write_bytes(b"weights")
    artifact = replace(SMALL, sha256="a" * 64, bytes=7)
    package = ArtifactEntry(path="model.mlpackage", bytes=7, sha256="a" * 64)
    bundle = Bundle(path=folder, manifest=manifest(artifact=package))
    write_manifest(folder, bundle.manifest)
    (folder / "golden").mkdir()
    for entry in bundle.manifest.golden:
        (folder / entry.path).write_bytes(b"golden")
    return Subject(path=folder / "model.mlpackage", artifact=artifact, bundle=bundle)


class Told(Progress):
    def __init__(self):
        self.texts = []

    def update(self, text, worker=""):
        self.texts.append(text)


def test_sessions(world, subject):
    (device,) = kind.connect("", None)
    info = device.describe()
    assert (info.id, info.model, info.os_build) == (
        f"ios:{UDID}",
        "iPhone 13 Pro",
        "iOS 18.5 (22F76)",
    )
    plan, told = Plan(unit="npu"), Told()
    device.check(subject, plan)
    assert device.measure(subject, plan, told) == SAMPLES
    steps = [text.removeprefix(f"{info.id}: ") for text in told.texts]
    assert steps == ["copy small", "run small", "small: load", "small: timed runs: 2 of 2"]
    file = world.folder / "container/Documents" / app.JOB
    job = json.loads(file.read_text())
    assert job["plan"] == plain(plan)

    assert device.measure(subject, plan, Told()) == SAMPLES
    assert json.loads(file.read_text())["id"] != job["id"]
    session = [
        ["device", "copy", "to"],
        ["device", "process", "launch"],
        ["device", "copy", "from"],
    ]
    # The bundle is copied once.
    begin = [["list", "devices", "--json-output"], ["device", "copy", "to"]]
    assert world.calls == begin + session + session
    device.close()


def test_an_app_of_ones_own_bundle_id(world, subject):
    world.set(app="com.example.bench")
    (device,) = kind.connect(UDID, "com.example.bench")
    assert device.measure(subject, Plan(), Progress()) == SAMPLES
    (device,) = kind.connect(UDID, None)
    with pytest.raises(DeviceError, match=r"copy small: ERROR: .*There is no app io\."):
        device.measure(subject, Plan(), Progress())
    with pytest.raises(ConfigError, match="--tool: found '--console', for ios it is the app's"):
        kind.connect("", "--console")


def test_what_goes_wrong_in_the_app(world, subject):
    (device,) = kind.connect("", None)

    def measure(**changes):
        world.set(**changes)
        device.measure(subject, Plan(), Progress())

    failed = {"schema": 1, "samples": None}
    with pytest.raises(ParityError, match=r"small: wrong on the device: logits: 3 dB"):
        measure(result=failed | {"status": "wrong", "error": "logits: 3 dB, must be 30"})
    with pytest.raises(DeviceError, match="small: the app failed: no runtime for tflite"):
        measure(result=failed | {"status": "failed", "error": "no runtime for tflite"})
    with pytest.raises(DeviceError, match="ended without a result: App terminated due to signal 9"):
        measure(end="crash")
    with pytest.raises(DeviceError, match="ended without a result: mnv4: timed runs"):
        measure(end="old")
    with pytest.raises(DeviceGoneError, match="not reachable"):
        measure(end="unplugged")


def test_devices_and_what_they_lack(world):
    world.set(
        devices=[
            listed("1"),
            listed("2", paired="unpaired"),
            listed("3", tunnel="unavailable"),
            listed("4", mode="disabled", marketingName="iPad Air"),
            listed("5", reality="virtual"),
            listed("6", platform="watchOS"),
        ]
    )
    found = {one.address: one.missing or "" for one in kind.attached()}
    assert list(found) == ["ios:1", "ios:2", "ios:3", "ios:4"]
    assert found["ios:1"] == ""
    assert "not paired" in found["ios:2"]
    assert "not reachable" in found["ios:3"]
    assert "Developer Mode" in found["ios:4"]
    (device,) = kind.connect("", None)  # the only one that is ready
    assert device.describe().id == "ios:1"
    with pytest.raises(DeviceGoneError, match="ios:4: Developer Mode is off"):
        kind.connect("4", None)
    with pytest.raises(DeviceError, match="ios:9: not known to this Mac; known: ios:1, ios:2"):
        kind.connect("9", None)
    world.set(devices=[listed("1"), listed("2")])
    with pytest.raises(DeviceError, match="several devices, say which as ios:UDID: ios:1, ios:2"):
        kind.connect("", None)
    world.set(devices=[])
    with pytest.raises(DeviceError, match="no device is known"):
        kind.connect("", None)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"result": 3}', '{"result": {"devices": [{"hardwareProperties": []}]}}']
)
def test_a_list_in_another_form(text, world):
    world.set(listed=text)
    (attached,) = kind.attached()
    assert (attached.address, attached.info) == ("ios", None)
    assert "devicectl's list has an unknown form" in attached.missing
    with pytest.raises(DeviceError, match="devicectl's list has an unknown form"):
        kind.connect("", None)


def test_without_xcode(world, monkeypatch):
    (world.folder / "bin/xcrun").write_text(
        "#!/bin/sh\necho 'xcrun: error: unable to find utility \"devicectl\"'\nexit 72\n"
    )
    with pytest.raises(ToolchainError, match="needs Xcode 15"):
        kind.connect("", None)
    monkeypatch.setenv("PATH", str(Path(os.devnull)))
    assert kind.attached() == []
    with pytest.raises(ToolchainError, match="needs a Mac with Xcode 15 or later"):
        kind.connect("", None)


def test_what_an_iphone_cannot_do(world, subject):
    (device,) = kind.connect("", None)
    with pytest.raises(ConfigError, match=r"affinity: found '4,5', allowed on iOS: none"):
        device.check(subject, Plan(affinity="4,5"))
    program = replace(subject, artifact=replace(subject.artifact, target="executorch"))
    asset = replace(subject, artifact=replace(subject.artifact, target="coreai"))
    for unit in UNITS:
        device.check(subject, Plan(unit=unit))
        device.check(asset, Plan(unit=unit))
    device.check(program, Plan(unit="cpu"))
    with pytest.raises(ConfigError, match=r"unit: found 'npu', executorch on .* runs on: cpu$"):
        device.check(program, Plan(unit="npu"))
    with pytest.raises(ConfigError, match="measures bundles"):
        device.check(replace(subject, bundle=None), Plan())
