"""This computer as a device, with the real runtimes."""

import os
import shutil
import threading
import time

import numpy as np
import psutil
import pytest
from records import replace_golden

from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measuring.devices.host import kind
from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.session import PlannedSession, measured
from mnv4_mobile.measuring.subject import open_subject
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import decode, encode, replace
from mnv4_mobile.target import load_target
from mnv4_mobile.units import Executor

SHORT = Plan(warmup=1, runs=5, seconds=0.0)


@pytest.fixture
def host():
    (device,) = kind.connect("", None)
    return device


def measure(device, path, plan=SHORT):
    subject = open_subject(path)
    device.check(subject, plan)
    planned = [PlannedSession(subject=subject, plan=plan, session=i) for i in range(plan.repeats)]
    return list(measured(device, planned, "run", Progress()))


@pytest.mark.parametrize(
    ("target", "runtime"),
    [
        pytest.param("tflite", "litert 2", marks=pytest.mark.toolchain("tflite")),
        pytest.param("executorch", "executorch 1", marks=pytest.mark.toolchain("executorch")),
    ],
)
def test_a_session_has_all_its_figures(demo_bundle, host, target, runtime):
    (found,) = measure(host, demo_bundle(target).path, replace(SHORT, seconds=0.3))
    assert (found.status, found.error) == ("ok", None)
    assert found.runtime.startswith(runtime)
    samples = found.samples
    assert samples.golden_sqnr_db > 80
    assert samples.ran_on == ("cpu",)
    assert len(samples.latencies_ms) == len(samples.t_ms) >= 5
    assert samples.t_ms[-1] + samples.latencies_ms[-1] >= 300
    assert np.all(np.diff(samples.t_ms) >= samples.latencies_ms[:-1])
    for milliseconds in (samples.load_cold_ms, samples.load_warm_ms, samples.first_ms):
        assert milliseconds > 0
    assert len(samples.preprocess_ms) == 20
    assert samples.conditions["runtime_rss_mb"] < samples.peak_rss_mb < 2000
    assert 0 <= samples.conditions["busy"] <= 1
    assert found.device == host.describe()
    # What goes through the store and to other languages comes back as it was.
    assert decode(encode(found), Measurement, "it") == found


@pytest.mark.toolchain("tflite")
def test_a_wrong_output_is_not_timed(demo_bundle, host, tmp_path):
    copy = tmp_path / "bundle"
    shutil.copytree(demo_bundle("tflite").path, copy)
    logits = open_bundle(copy).golden("eager")["logits"]
    replace_golden(copy, "golden/eager.logits.bin", (logits + 1).tobytes())
    (found,) = measure(host, copy)
    assert found.status == "wrong"
    assert "output logits: wrong on the device" in found.error
    assert found.samples is None


@pytest.mark.toolchain("tflite")
def test_a_killed_runtime_is_a_failed_session_and_ends_its_cell(demo_bundle, host):
    path = demo_bundle("tflite").path
    killed = []
    others = psutil.Process().children()  # builders that wait

    def kill():
        while not killed:
            time.sleep(0.2)
            for child in {*psutil.Process().children()}.difference(others):
                if child.cpu_times().user > 0.5:  # it is timing by now
                    child.kill()
                    killed.append(child.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    found = measure(host, path, replace(SHORT, seconds=60.0, repeats=3))
    thread.join()
    assert [m.status for m in found] == ["failed"]
    assert "ended with code -9" in found[0].error
    assert found[0].samples is None


@pytest.mark.toolchain("tflite")
@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no threads")
def test_cores_are_pinned(demo_bundle, host):
    core = max(os.sched_getaffinity(0))
    path = demo_bundle("tflite").path
    (found,) = measure(host, path, replace(SHORT, affinity=str(core)))
    assert found.samples.conditions["affinity"] == str(core)
    with Worker("tflite", open_subject(path).path, threads=2, cores=[core]) as worker:
        worker.run(open_subject(path).feeds()[0])
        for thread in os.listdir(f"/proc/{worker._process.pid}/task"):
            assert os.sched_getaffinity(int(thread)) == {core}
    with pytest.raises(ConfigError, match=r"affinity: found '4000', this computer has cores 0"):
        measure(host, path, replace(SHORT, affinity="4000"))


@pytest.mark.toolchain("tflite")
def test_memory_is_the_workers_own(demo_bundle):
    ballast = np.ones(500 * 2**17)  # 500 MiB of this process's
    with Worker("tflite", demo_bundle("tflite").artifact) as worker:
        assert worker.peak_rss_mb() < 400
    assert ballast.nbytes == 500 * 2**20


@pytest.mark.toolchain("tflite")
def test_an_artifact_from_elsewhere_is_measured_unverified(demo_bundle, host, tmp_path):
    from mnv4_tflite.flatbuffer import read_model, write_model

    model = read_model(demo_bundle("tflite").artifact.read_bytes())
    model.signatureDefs = []  # as models of older converters are
    path = tmp_path / "elsewhere.tflite"
    path.write_bytes(write_model(model))
    (found,) = measure(host, path)
    assert found.status == "ok"
    assert (found.artifact.bundle_id, found.artifact.name) == (None, "elsewhere.tflite")
    assert found.samples.golden_sqnr_db is None
    assert len(found.samples.latencies_ms) == 5
    (feed,) = open_subject(path).feeds()
    assert {name: array.shape for name, array in feed.items()} == {"image": (1, 96, 96, 3)}


@pytest.mark.toolchain("executorch")
def test_a_program_that_does_not_name_its_inputs_has_numbers(tmp_path, host):
    import torch
    from executorch.exir import to_edge

    class Sum(torch.nn.Module):
        def forward(self, a, b):
            return a + b.sum()

    program = torch.export.export(Sum(), (torch.zeros(2, 3), torch.zeros(4, dtype=torch.int64)))
    path = tmp_path / "sum.pte"
    path.write_bytes(to_edge(program).to_executorch().buffer)
    (feed,) = open_subject(path).feeds()
    assert {n: (a.shape, a.dtype.name) for n, a in feed.items()} == {
        "input_0": ((2, 3), "float32"),
        "input_1": ((4,), "int64"),
    }
    with Worker("executorch", path) as worker:
        found = worker.run(feed)
    np.testing.assert_allclose(
        found["output_0"], feed["input_0"] + feed["input_1"].sum(), rtol=1e-6
    )


@pytest.mark.toolchain("tflite")
def test_a_runtime_that_falls_back_silently_names_no_unit(demo_bundle, host, monkeypatch):
    units = {"cpu": Executor(name="Core ML, CPU_AND_NE", falls_back=True)}
    monkeypatch.setattr(type(load_target("tflite")), "units", units)
    (found,) = measure(host, demo_bundle("tflite").path)
    assert (found.status, found.samples.ran_on) == ("ok", ())


def test_an_interpreter_is_not_measured(host, tmp_path):
    package = tmp_path / "model.mlpackage"
    package.mkdir()
    (package / "Manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"cpu is only emulated \(interpreter of"):
        measure(host, package)


def test_a_unit_that_the_runtime_lacks_here_is_refused(host, tmp_path):
    path = tmp_path / "elsewhere.tflite"
    path.write_bytes(b"TFL3")
    with pytest.raises(ConfigError, match="unit: found 'npu', which tflite does not have on this"):
        measure(host, path, replace(SHORT, unit="npu"))


def test_another_computer_is_refused():
    with pytest.raises(ConfigError, match=r"host:elsewhere: this computer is host:.*use ssh:HOST"):
        kind.connect("elsewhere", None)
    with pytest.raises(ConfigError, match=r"--tool: found './runner'; host takes none"):
        kind.connect("", "./runner")
