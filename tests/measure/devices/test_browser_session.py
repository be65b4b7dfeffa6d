"""A session with a page: what it is given, what is believed of it, and how it ends."""

import numpy as np
import pytest

from mnv4_mobile.errors import DeviceError, ParityError
from mnv4_mobile.measure.device import DeviceGoneError
from mnv4_mobile.measure.devices.browser.guard import MAX_BODY
from mnv4_mobile.records import plain
from tests.measure.devices.browser_client import PLAN, result


def test_a_session(measuring):
    client, job = measuring.client, measuring.task
    assert job["plan"] == plain(PLAN)
    assert client.ask("GET", f"api/files/{job['id']}/model?page=a") == (200, b"model")
    floats = np.array([1, 2], "<f4").tobytes()
    assert client.ask("GET", f"api/files/{job['id']}/feed.0?page=a") == (200, floats)
    assert client.api("POST", "progress", {"task": job["id"], "text": "Measuring"})[0] == 200
    assert client.api("POST", "result", result(job)) == (200, {})
    samples = measuring.found.result(10)
    assert samples.latencies_ms == (1.5, 1.0, 1.25)
    assert client.api("POST", "result", result(job))[0] == 409
    assert client.ask("GET", f"api/files/{job['id']}/model?page=a")[0] == 404


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "Not JSON"),
        (b"[1]", 400, "Not a JSON object"),
        (b"[" * 100_000, 400, "Not JSON"),
        (b'{"task": NaN}', 400, "NaN"),
        (b'{"task": 1e999}', 400, "finite"),
        (b" " * (MAX_BODY + 1), 413, "bytes"),
    ],
    ids=["cut", "list", "deep", "nan", "infinite", "huge"],
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
    answer = {"task": measuring.task["id"], "status": status, "error": "so \x1b it is"}
    assert measuring.client.api("POST", "result", answer) == (200, {})
    with pytest.raises(kind, match=r"two\.tflite: so   it is"):
        measuring.found.result(10)


def test_a_silent_page_is_gone(measuring):
    with pytest.raises(DeviceGoneError, match=r"nothing was heard from the page for 1\.5 s"):
        measuring.found.result(10)
    status, answer = measuring.client.api("POST", "result", result(measuring.task))
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
        assert client.task()["id"] == measuring.task["id"]
    assert client.api("GET", "next")[1] == {"state": "wait"}
    with pytest.raises(DeviceError, match="began 3 times"):
        measuring.found.result(10)


def test_only_the_newest_page_of_a_phone_is_heard(measuring):
    client = measuring.client
    client.page = "b"
    client.join()
    client.page = "a"
    status, answer = client.api("POST", "result", result(measuring.task))
    assert (status, answer["error"]) == (409, "The page was opened again, in another tab.")
