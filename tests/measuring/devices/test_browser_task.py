"""The task of a page: what a browser can measure, and what its answer may hold."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from mnv4_mobile.errors import BundleError, ConfigError
from mnv4_mobile.measuring.devices.app import Result
from mnv4_mobile.measuring.devices.browser import task
from mnv4_mobile.measuring.subject import open_subject
from mnv4_mobile.records import convert, replace
from tests.measuring.devices.browser_client import PLAN, Subject, result


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"latencies_ms": [1.0]}, "latencies_ms"),
        ({"latencies_ms": [1, -1, 1]}, r"latencies_ms\[1\]: found -1"),
        ({"latencies_ms": [1, "1", 1]}, "must be a number"),
        ({"latencies_ms": [1, 1e8, 1]}, "or less"),
        ({"t_ms": [0, 1]}, "equally many"),
        ({"latencies_ms": [1] * (task.MAX_SAMPLES + 1)}, "more than"),
        ({"golden_sqnr_db": 99}, "golden_sqnr_db"),
        ({"versions": {}}, "no runtime"),
        ({"versions": {"runtime": "\x1b[2J"}}, "printable"),
        ({"conditions": {str(i): i for i in range(50)}}, "more than"),
        ({"surprise": 1}, "surprise"),
        ({"load_cold_ms": None, "first_ms": True}, "first_ms: found True"),
    ],
)
def test_what_a_page_sends_is_checked(tmp_path, changes, reason):
    made = task.make(Subject(tmp_path), PLAN)
    with pytest.raises(ConfigError, match=reason):
        made.samples(convert(result(made.job.id, **changes), Result, "result"))


def test_a_page_cannot_claim_what_no_browser_knows(tmp_path):
    made = task.make(Subject(tmp_path), PLAN)
    summary = {"mean": 1, "std": None, "min": None, "max": None, "count": 1}
    claims = {"peak_rss_mb": 1, "thermal_before": {"status": "nominal"}, "summary": summary}
    samples = made.samples(convert(result(made.job.id, **claims), Result, "result"))
    assert (samples.peak_rss_mb, samples.thermal_before.status) == (None, None)
    assert samples.summary is None


@pytest.mark.parametrize(("gpu", "unit"), [(False, None), (True, "gpu")])
def test_webgpu_is_the_unit_of_the_pages_plan(tmp_path, gpu, unit):
    assert task.make(Subject(tmp_path), PLAN, gpu=gpu).job.plan == replace(PLAN, unit=unit)


@pytest.mark.toolchain("tflite")
def test_what_no_browser_can_measure_is_refused(opened, demo_bundle):
    device = opened().devices[0]
    subject = open_subject(demo_bundle("tflite").path)
    device.check(subject, PLAN)
    with pytest.raises(ConfigError, match="affinity: found 'fastest'"):
        device.check(subject, replace(PLAN, affinity="fastest"))
    device.check(subject, replace(PLAN, unit="cpu"))
    with pytest.raises(ConfigError, match=r"unit: found 'gpu', allowed: cpu with --device browser"):
        device.check(subject, replace(PLAN, unit="gpu"))
    for changes, reason in (
        ({"target": "coreml"}, r"a browser runs \.tflite only, found the target coreml"),
        ({"bytes": 2**30}, r"found 1074 MB, a browser takes 716 MB at most"),
    ):
        artifact = replace(subject.artifact, **changes)
        with pytest.raises(ConfigError, match=reason):
            device.check(replace(subject, artifact=artifact), PLAN)


@pytest.mark.toolchain("tflite")
def test_the_inputs_of_a_file_without_a_bundle_are_looked_at(tmp_path, demo_bundle):
    bundle = demo_bundle("tflite")
    path = Path(shutil.copy(bundle.artifact, tmp_path / "bare.tflite"))
    task.check(open_subject(path), PLAN)
    path.write_bytes(b"model")
    with pytest.raises(BundleError, match="not a LiteRT model"):
        task.check(open_subject(path), PLAN)


def test_integer_inputs_are_refused(tmp_path):
    subject = Subject(tmp_path)
    subject.bundle = SimpleNamespace(input=SimpleNamespace(name="image", dtype="int8"), outputs=())
    with pytest.raises(ConfigError, match=r"image: found int8 input or output, LiteRT\.js takes"):
        task.check(subject, PLAN)
