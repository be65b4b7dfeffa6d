import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import SMALL

from mnv4_mobile.bundle.folder import Bundle
from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.measuring.devices import app
from mnv4_mobile.measuring.measurement import Samples
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.records import decode, encode, plain, replace

SUBJECT = Subject(
    path=Path("model.mlpackage"),
    artifact=SMALL,
    bundle=Bundle(path=Path("small"), manifest={}),
)
JOB = app.new_job(Plan(unit="npu"))
SAMPLES = Samples(
    golden_sqnr_db=80.5,
    load_cold_ms=120.0,
    latencies_ms=(1.5, 1.25),
    t_ms=(0.0, 1.75),
    versions={"runtime": "Core ML 18.1"},
)
RESULT = {
    "schema": 1,
    "job": JOB.id,
    "status": "ok",
    "error": None,
    "samples": plain(SAMPLES),
}


def samples(**changes):
    return app.read_samples(json.dumps(RESULT | changes).encode(), JOB, "small")


def test_a_job_is_read_as_it_was_written_and_a_result_gives_its_samples():
    assert decode(encode(JOB), app.Job, "job.json") == JOB
    assert f"mnv4/job/{JOB.bundle}" == app.BUNDLE
    assert samples() == SAMPLES


def test_a_result_of_another_job_is_none():
    assert app.read_samples(json.dumps(RESULT).encode(), app.new_job(JOB.plan), "small") is None


def test_what_the_app_says_went_wrong():
    with pytest.raises(ParityError, match=r"small: wrong on the device: logits: 3\.1 dB"):
        samples(status="wrong", error="logits: 3.1 dB, must be 30 or more", samples=None)
    with pytest.raises(DeviceError, match="small: the app failed: no memory"):
        samples(status="failed", error="no memory", samples=None)
    with pytest.raises(DeviceError, match="did not check the golden pair"):
        samples(samples=RESULT["samples"] | {"golden_sqnr_db": None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "written by a newer version"),
        ({"samples": None}, "samples"),
        ({"status": "fine"}, "status"),
        ({"samples": RESULT["samples"] | {"latencies_ms": [-1]}}, r"latencies_ms\[0\]"),
        ({"samples": RESULT["samples"] | {"latencies_ms": [float("nan")]}}, "not JSON"),
        ({"samples": RESULT["samples"] | {"latencies_ms": [10**400]}}, r"latencies_ms\[0\]"),
    ],
)
def test_results_that_are_not_as_the_schema_says(changes, message):
    with pytest.raises(DeviceError, match=message):
        samples(**changes)


KEYS = st.sampled_from([*RESULT, *RESULT["samples"], "other"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(JOB.id),
    lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from([*RESULT]), JSON) | JSON)
def test_whatever_stands_in_a_result_is_an_error_of_the_device(entries):
    found = RESULT | entries if isinstance(entries, dict) else entries
    if found != RESULT:
        try:
            given = app.read_samples(json.dumps(found).encode(), JOB, "small")
        except (DeviceError, ParityError):
            return
        assert given is None or isinstance(given, Samples)


@given(st.binary())
def test_bytes_that_are_no_result(data):
    with pytest.raises(DeviceError):
        app.read_samples(data, JOB, "small")


def test_an_artifact_without_a_bundle_is_refused():
    app.check("ios", SUBJECT)
    with pytest.raises(ConfigError, match=r"ios: .* found model\.mlpackage"):
        app.check("ios", replace(SUBJECT, bundle=None))


def test_steps_are_told_from_other_output():
    assert app.said("mnv4: timed runs: 10 of 50\n") == "timed runs: 10 of 50"
    assert app.said("11-23 10:00:00.000  812  812 I mnv4: load\n") == "load"
    assert app.said("CoreML: loaded") is None
