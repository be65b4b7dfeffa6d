"""A session with a page: what it is given, what of it is trusted, and how it ends."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from mnv4_mobile.errors import DeviceError, ParityError
from mnv4_mobile.measuring.device import DeviceGoneError
from mnv4_mobile.measuring.devices.app import Job
from mnv4_mobile.measuring.devices.browser.guard import MAX_BODY
from mnv4_mobile.measuring.subject import open_subject
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import decode
from tests.measuring.devices.browser_client import PLAN, result


def test_a_session(measuring):
    client, job = measuring.client, measuring.job
    status, text = client.file(job, "job.json")
    assert status == 200
    assert decode(text, Job, "job.json") == Job(id=job, bundle="bundle", plan=PLAN)
    assert client.file(job, "bundle/two.tflite") == (200, b"model")
    assert client.api("POST", "progress", {"job": job, "text": "Measuring"})[0] == 200
    assert client.api("POST", "result", result(job)) == (200, {})
    samples = measuring.found.result(10)
    assert samples.latencies_ms == (1.5, 1.0, 1.25)
    assert client.api("POST", "result", result(job))[0] == 409
    assert client.file(job, "bundle/two.tflite")[0] == 404


@pytest.mark.parametrize(
    "path", ["bundle", "bundle/", "bundle/manifest.json", "bundle/../job.json", "../server.py"]
)
def test_only_the_files_of_the_job_are_served(measuring, path):
    assert measuring.client.file(measuring.job, path)[0] == 404


@pytest.mark.slow
def test_a_bundle_is_served_as_apps_get_it(opened, demo_bundle):
    run = opened()
    subject = open_subject(demo_bundle("tflite").path)
    with ThreadPoolExecutor() as pool:
        found = pool.submit(run.devices[0].measure, subject, PLAN, Progress())
        client = run.clients[0]
        job = client.job()
        paths = [path for path in subject.bundle.path.rglob("*") if path.is_file()]
        names = [path.relative_to(subject.bundle.path).as_posix() for path in paths]
        served = {name: client.file(job, f"bundle/{name}") for name in names}
        # What the artifact gave on this computer is of no use there.
        mine = served.pop("golden/artifact.logits.bin")
        assert mine[0] == 404
        for name, answer in served.items():
            assert answer == (200, (subject.bundle.path / name).read_bytes()), name
        client.api("POST", "result", result(job, golden_sqnr_db=99.5, preprocess_ms=[1]))
        assert found.result(10).golden_sqnr_db == 99.5


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "not JSON"),
        (b"[1]", 400, "an object"),
        (b"[" * 100_000, 400, "not JSON"),
        (b'{"job": NaN}', 400, "not JSON"),
        (b'{"job": 1e999}', 400, "not JSON"),
        (b'{"schema": %s}' % (b"9" * 400), 400, "schema"),
        (b'{"schema": %s}' % (b"9" * 5000), 400, "not JSON"),
        (b'{"job": 1, "job": 1' + b', "job": 1' * 100_000 + b"}", 400, "occurs twice"),
        (b" " * (MAX_BODY + 1), 413, "bytes"),
    ],
    ids=["cut", "list", "deep", "nan", "infinite", "long", "longer", "twice", "huge"],
)
def test_a_malformed_or_huge_result_fails_its_session_only(measuring, body, status, reason):
    client = measuring.client
    found, answer = client.api("POST", "result", body)
    assert found == status
    assert reason in answer["error"]
    with pytest.raises(DeviceError, match="unusable result") as failed:
        measuring.found.result(10)
    assert not isinstance(failed.value, DeviceGoneError)
    job, found = measuring.begin()
    assert client.api("POST", "result", result(job))[0] == 200
    assert len(found.result(10).latencies_ms) == 3


@pytest.mark.parametrize(("status", "kind"), [("wrong", ParityError), ("failed", DeviceError)])
def test_what_the_page_found_wrong_is_told(measuring, status, kind):
    answer = result(measuring.job) | {
        "status": status,
        "error": "so \x1b it is",
        "samples": None,
    }
    assert measuring.client.api("POST", "result", answer) == (200, {})
    with pytest.raises(kind, match=r"two\.tflite: so   it is"):
        measuring.found.result(10)


def test_a_silent_page_is_gone(measuring):
    with pytest.raises(DeviceGoneError, match=r"the page was silent for 1\.5 s"):
        measuring.found.result(10)
    status, answer = measuring.client.api("POST", "result", result(measuring.job))
    assert status == 409
    assert "has ended this measurement" in answer["error"]


def test_a_closed_page_is_gone_sooner(measuring):
    assert measuring.client.api("POST", "bye")[0] == 200
    with pytest.raises(DeviceGoneError, match="the page was closed"):
        measuring.found.result(10)


def test_a_reloaded_page_gets_its_task_again_but_not_for_ever(measuring):
    client = measuring.client
    for page in "bc":
        assert client.api("POST", "bye")[0] == 200
        client.page = page
        assert client.join()[0] == 200
        assert client.job() == measuring.job
    assert client.api("GET", "next")[1] == {"state": "wait"}
    with pytest.raises(DeviceError, match="began 3 times"):
        measuring.found.result(10)


def test_only_the_newest_page_of_a_phone_is_heard(measuring):
    client = measuring.client
    client.page = "b"
    client.join()
    client.page = "a"
    status, answer = client.api("POST", "result", result(measuring.job))
    assert (status, answer["error"]) == (409, "The page was opened again, in another tab.")
