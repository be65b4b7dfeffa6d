"""Runs of a sweep: resumed, gated, interrupted.

A device that vanishes at a certain moment, or is too warm, cannot be had from real ones at will:
`Device` stands in for those. What is killed with -9 is the real command on this computer.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from mnv4_mobile.errors import ConfigError, DeviceError, StoreError
from mnv4_mobile.measuring import perform as performing
from mnv4_mobile.measuring import session
from mnv4_mobile.measuring.device import DeviceGoneError
from mnv4_mobile.measuring.measurement import DeviceInfo, Samples, Thermal
from mnv4_mobile.measuring.perform import measure, new_run, perform
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.results.store import Store, claimed
from mnv4_mobile.measuring.sweep import Sweep, SweepDevice
from mnv4_mobile.records import replace
from tests.notes import Notes

SAMPLES = Samples(golden_sqnr_db=None, latencies_ms=(1.0, 2.0), t_ms=(0.0, 1.0))


class Device:
    """Stands in for a phone; `script` says what its sessions do, one after the other."""

    def __init__(self, address, *, refuses="", warm=0):
        self.address, self.refuses, self.warm = address, refuses, warm
        self.script = []
        self.sessions = []
        self.shown = []
        self.closed = False

    def describe(self):
        return DeviceInfo(id=self.address, model="Phone", soc="", os_build="1", cores=8)

    def thermal(self):
        self.warm -= 1
        return Thermal(status="nominal" if self.warm < 0 else "serious", celsius=85)

    def check(self, subject, plan):
        if subject.artifact.name == self.refuses:
            raise ConfigError(f"{self.address}: does not run {subject.artifact.name}")

    def show(self, session, sessions, seconds_left):
        self.shown.append((session, sessions, seconds_left))

    def measure(self, subject, plan, progress):
        self.sessions.append((subject.artifact.name, plan.threads))
        does = self.script.pop(0) if self.script else None
        if isinstance(does, Exception):
            raise does
        return does or SAMPLES

    def close(self):
        self.closed = True


@pytest.fixture
def devices(monkeypatch):
    """The devices that there are, by address."""
    found = {}

    def connect(address, tool, progress):
        if address not in found:
            raise DeviceError(f"{address}: no such device")
        return [found[address]]

    monkeypatch.setattr(performing, "load_kind", lambda kind: None)
    monkeypatch.setattr(performing, "connect", connect)
    monkeypatch.setattr(performing, "invited", lambda address, tool: None)
    return found


@pytest.fixture
def artifacts(tmp_path):
    """Two artifacts that no stand-in ever reads."""
    for name in ("a.tflite", "b.tflite"):
        (tmp_path / name).write_bytes(name.encode())
    return str(tmp_path / "*.tflite")


@pytest.fixture
def run(tmp_path, artifacts):
    """Performs a sweep of the two artifacts under the run name `r`."""

    def performed(*addresses, threads=(1,), **plan):
        sweep = Sweep(
            name="sweep",
            bundles=(artifacts,),
            devices=tuple(SweepDevice(device=address) for address in addresses),
            threads=threads,
            plan=Plan(**plan),
        )
        store = tmp_path / "s.sqlite"
        found = perform(sweep, run="r", store=store, out=tmp_path / "out", progress=progress)
        return found.measurements, found.failures

    progress = performed.progress = Notes()
    return performed


def test_sessions_of_the_cells_take_turns(devices, run):
    devices["x"] = Device("x")
    found, failures = run("x", threads=(1, 2), repeats=2)
    cells = [(name, threads) for name in ("a.tflite", "b.tflite") for threads in (1, 2)]
    assert devices["x"].sessions == cells * 2
    assert [m.session for m in found] == [0] * 4 + [1] * 4
    assert failures == []
    assert devices["x"].closed


def test_a_device_with_a_screen_is_told_how_far_it_is(devices, run):
    devices["one"] = Device("one")
    run("one", repeats=2)
    first, *others = devices["one"].shown
    assert first == (1, 4, None)
    assert [shown[:2] for shown in others] == [(2, 4), (3, 4), (4, 4)]
    assert all(left >= 0 for _, _, left in others)


def test_a_run_of_the_same_name_measures_what_is_missing(devices, run):
    devices["x"] = Device("x")
    devices["x"].script = [None, DeviceError("out of space")]
    found, failures = run("x", repeats=2)
    # What failed is not tried again in the same run, and is when the run is resumed.
    assert devices["x"].sessions == [("a.tflite", 1), ("b.tflite", 1), ("a.tflite", 1)]
    assert [(m.artifact.name, m.session, m.status) for m in found] == [
        ("a.tflite", 0, "ok"),
        ("b.tflite", 0, "failed"),
        ("a.tflite", 1, "ok"),
    ]
    assert [(f.what, str(f.error), f.error.exit_code) for f in failures] == [
        ("x: b.tflite, 1 thread", "out of space", 5)
    ]
    devices["x"] = Device("x")
    found, failures = run("x", repeats=3)
    assert devices["x"].sessions == [(f"{n}.tflite", 1) for n in ("b", "b", "a", "b")]
    assert Counter(m.artifact.name for m in found if m.status == "ok") == {
        "a.tflite": 3,
        "b.tflite": 3,
    }
    assert all(m.status == "ok" for m in found)
    assert failures == []


def test_a_device_that_vanishes_does_not_stop_the_others(devices, run):
    devices["x"], devices["y"] = Device("x"), Device("y")
    devices["x"].script = [None, DeviceGoneError("x: vanished")]
    found, failures = run("x", "y", "z", threads=(1, 2))
    assert len(devices["x"].sessions) == 2
    assert len(devices["y"].sessions) == 4
    assert [(f.what, str(f.error)) for f in failures] == [
        ("z", "z: no such device"),
        ("x: a.tflite, 2 threads", "x: vanished"),
        ("x: b.tflite, 1 thread", "left out: x: vanished"),
        ("x: b.tflite, 2 threads", "left out: x: vanished"),
    ]
    assert Counter((m.device.id, m.status) for m in found) == {
        ("x", "ok"): 1,
        ("x", "failed"): 1,
        ("y", "ok"): 4,
    }


def test_a_device_that_is_not_there_at_all_is_an_error(devices, run):
    with pytest.raises(DeviceError, match="z: no such device"):
        run("z")


def test_an_unforeseen_error_fails_its_session_alone(devices, run, capfd):
    devices["x"] = Device("x")
    devices["x"].script = [RuntimeError("surprise")]
    found, failures = run("x")
    assert [m.status for m in found] == ["failed", "ok"]
    assert str(failures[0].error) == "RuntimeError: surprise"
    assert "surprise" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"latencies_ms": (1.0, 1e308)}, r"x: samples\.latencies_ms\[1\]: found 1e\+308, must be"),
        ({"latencies_ms": (10**400,)}, r"x: samples\.latencies_ms\[0\]: found 1000"),
        ({"peak_rss_mb": float("nan")}, r"x: samples\.peak_rss_mb: found nan"),
        ({"versions": {"runtime": "\udcff"}}, "x: measurement: found a text that is not Unicode"),
    ],
)
def test_a_record_that_no_store_takes_fails_its_session_alone(devices, run, changes, said):
    devices["x"] = Device("x")
    devices["x"].script = [replace(SAMPLES, **changes)]
    found, failures = run("x", repeats=2)
    assert [(m.artifact.name, m.status) for m in found] == [
        ("a.tflite", "failed"),
        ("b.tflite", "ok"),
        ("b.tflite", "ok"),
    ]
    (failure,) = failures
    assert re.match(said, str(failure.error))
    assert failure.error.exit_code == 5


def test_an_error_in_a_strange_text_is_recorded(devices, run):
    devices["x"] = Device("x")
    devices["x"].script = [DeviceError("caf\udce9.bin: \x1b[2J")]
    assert run("x")[0][0].error == r"caf\udce9.bin: \u001b[2J"


def test_an_artifact_with_a_strange_name_is_measured(devices, run, tmp_path):
    devices["x"] = Device("x")
    (tmp_path / "a.tflite").rename(tmp_path / os.fsdecode(b"\xff.tflite"))
    found, failures = run("x")
    assert failures == []
    assert {m.artifact.name for m in found} == {"b.tflite", r"\udcff.tflite"}


def test_a_device_with_a_strange_name_is_left_out(devices, run):
    devices["x"], devices["y"] = Device("\udcff"), Device("y")
    found, (failure,) = run("x", "y")
    assert {m.device.id for m in found} == {"y"}
    assert str(failure.error) == "x: deviceinfo: found a text that is not Unicode"


@pytest.mark.parametrize("name", ["", "a\nb", "\udcff", "\x1b[2J"])
def test_a_run_needs_a_name_that_can_be_printed(tmp_path, artifacts, name):
    with pytest.raises(ConfigError, match=r"--run: found '.*', must be a text of printable"):
        measure(artifacts, run=name, store=tmp_path / "s.sqlite")


def test_a_run_is_measured_by_one_process_at_a_time(devices, run, tmp_path):
    devices["x"] = Device("x")
    with (
        claimed(tmp_path / "s.sqlite", "r"),
        pytest.raises(StoreError, match="another process is measuring the run 'r'"),
    ):
        run("x")
    assert devices["x"].sessions == []
    run("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tflite", "b.tflite", "s.sqlite"]


def test_what_a_device_cannot_measure_is_left_out_and_said(devices, run, tmp_path):
    devices["x"], devices["y"] = Device("x", refuses="b.tflite"), Device("y")
    _, failures = run("x", "y", threads=(1, 2))
    assert devices["x"].sessions == [("a.tflite", 1), ("a.tflite", 2)]
    assert run.progress.notes == [
        "not measured: b.tflite on x: x: does not run b.tflite",
        f"run r in {tmp_path / 's.sqlite'}",
    ]
    assert failures == []
    with pytest.raises(ConfigError, match=r"x: does not run b\.tflite"):
        run("x")
    assert len(devices["x"].sessions) == 2


def test_a_session_waits_until_the_device_is_cool(devices, run, monkeypatch):
    monkeypatch.setattr(session, "_POLL_S", 0.01)
    devices["x"] = Device("x", warm=3)
    found, _ = run("x")
    assert [m.status for m in found] == ["ok", "ok"]
    assert devices["x"].warm < 0


def test_a_device_that_stays_warm_is_a_failed_session_that_says_so(devices, run, monkeypatch):
    monkeypatch.setattr(session, "_POLL_S", 0.01)
    monkeypatch.setattr(session, "THERMAL_WAIT_S", 0.03)
    devices["x"] = Device("x", warm=1000)
    found, failures = run("x")
    assert [m.status for m in found] == ["failed", "failed"]
    assert devices["x"].sessions == []
    assert "x: too warm: found serious (85 degrees Celsius), allowed: nominal" in str(
        failures[0].error
    )
    found, failures = run("x", max_thermal="serious")
    assert failures == []


def test_a_pause_lies_between_sessions(devices, run, monkeypatch):
    slept = []
    clock = [0.0]

    def sleep(seconds):
        slept.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(session.time, "sleep", sleep)
    monkeypatch.setattr(session.time, "monotonic", lambda: clock[0])
    devices["x"] = Device("x")
    run("x", cooldown_s=2.5)
    assert sum(slept) == pytest.approx(2.5)


def test_an_artifact_is_measured_once(devices, run, tmp_path):
    devices["x"] = Device("x")
    (tmp_path / "c.tflite").write_bytes(b"a.tflite")
    run("x")
    assert [name for name, _ in devices["x"].sessions] == ["a.tflite", "b.tflite"]
    note, _ = run.progress.notes
    assert "c.tflite: the same artifact as" in note


def test_a_bundle_that_is_missing_is_told_before_any_device_is_asked(devices, run, tmp_path):
    for name in ("a.tflite", "b.tflite"):
        (tmp_path / name).unlink()
    with pytest.raises(ConfigError, match="no such bundle or artifact"):
        run("no such device")


def test_runs_are_named_after_the_sweep_and_the_time():
    assert new_run("quick").startswith("quick-20")


COMMAND = [sys.executable, "-m", "mnv4_mobile"]


@pytest.mark.toolchain("tflite")
def test_a_run_that_is_interrupted_is_resumed(demo_bundle, tmp_path):
    sweep = tmp_path / "mine.yaml"
    sweep.write_text(
        f"description: x\nbundles: [{demo_bundle('tflite').path}]\ndevices: [host]\n"
        "threads: [1, 2]\nplan: {warmup: 1, runs: 3, seconds: 0.1, repeats: 2}\n"
    )
    store = tmp_path / "s.sqlite"
    arguments = ["sweep", str(sweep), "--run", "night", "--store", str(store), "--json"]
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while not (before := stored(store)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"resume with: mnv4 sweep {sweep} --run night" in err
    assert "Traceback" not in err
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["run"] == "night"
    assert found["failures"] == []
    # Each session once, and nothing that was there was measured again.
    assert sorted((m["plan"]["threads"], m["session"]) for m in found["measurements"]) == [
        *((1, 0), (1, 1)),
        *((2, 0), (2, 1)),
    ]
    assert stored(store)[: len(before)] == before


def stored(path):
    if not path.exists():
        return []
    with Store(path) as store:
        return [m.id for m in store.measurements()]
