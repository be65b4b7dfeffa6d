"""The browser's server, with a client in place of a page: who is let in, and what is believed."""

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from notes import Notes

from mnv4_mobile.errors import ConfigError, DeviceError, ParityError
from mnv4_mobile.measure.device import DeviceGoneError
from mnv4_mobile.measure.devices.browser import BrowserKind, parse, task
from mnv4_mobile.measure.devices.browser.about import device_info, text
from mnv4_mobile.measure.devices.browser.certificate import context
from mnv4_mobile.measure.devices.browser.guard import MAX_BODY, Rate
from mnv4_mobile.measure.devices.browser.phone import Patience
from mnv4_mobile.measure.measurement import Artifact
from mnv4_mobile.measure.plan import Plan
from mnv4_mobile.progress import Progress

PLAN = Plan(runs=3)
PATIENCE = Patience(join=20, poll=0.5, silence=1.5, reload=0.5, goodbye=0.5)
SAMPLES = {
    "golden_sqnr_db": None,
    "load_cold_ms": 2.5,
    "load_warm_ms": 1,
    "first_ms": 3,
    "latencies_ms": [1.5, 1, 1.25],
    "t_ms": [0, 1.6, 2.7],
    "preprocess_ms": [],
    "versions": {"runtime": "litert.js 2.5.3"},
    "conditions": {"timer_resolution_ms": 0.005},
}


class Subject:
    """A bare .tflite of two floats."""

    bundle = None

    def __init__(self, folder: Path):
        self.path = folder / "two.tflite"
        self.path.write_bytes(b"model")
        self.artifact = Artifact(
            sha256="0" * 64,
            bytes=5,
            target="tflite",
            bundle_id=None,
            name="two.tflite",
            model=None,
            recipe=None,
            size=None,
        )

    def feeds(self):
        return [{"x": np.array([1, 2], np.float32)}]


class Client:
    """A page as far as the server sees one."""

    def __init__(self, url, cookie=None):
        self.host, self.prefix = url.removeprefix("http://").split("/", 1)
        self.page, self.cookie = "a", cookie

    def ask(self, method, path, body=None, headers=None):
        """Status and text."""
        connection = http.client.HTTPConnection(self.host, timeout=20)
        headers = {"Cookie": self.cookie or "", **(headers or {})}
        connection.request(method, f"/{self.prefix}{path}", body, headers)
        answer = connection.getresponse()
        if cookie := answer.getheader("Set-Cookie"):
            self.cookie = cookie.split(";")[0]
        return answer.status, answer.read()

    def api(self, method, path, entries=None):
        body = entries if isinstance(entries, bytes) or entries is None else json.dumps(entries)
        status, found = self.ask(method, f"api/{path}?page={self.page}", body)
        return status, json.loads(found)

    def join(self):
        return self.api("POST", "join", {"user_agent": "Mozilla/5.0 (X11; Linux x86_64)"})

    def task(self):
        """The next task."""
        for _ in range(20):
            _, order = self.api("GET", "next")
            if order["state"] == "measure":
                return order["task"]
        raise AssertionError(order)


@pytest.fixture
def opened():
    """A function that serves, joins with clients, and gives them with their devices."""
    devices = []

    def run(address="", pages=1, cookie=None):
        said = []
        kind = BrowserKind(patience=PATIENCE)
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(kind.connect, address, None, Notes(said))
            while not said:
                time.sleep(0.01)
            url = next(word for word in said[0].split() if word.startswith("http"))
            clients = [Client(url, cookie=cookie) for _ in range(pages)]
            assert [client.join()[0] for client in clients] == [200] * pages
            found = waiting.result()
        devices.extend(found)
        return SimpleNamespace(url=url, clients=clients, devices=found, said=said)

    yield run
    for device in devices:
        device.close()


@pytest.fixture
def measuring(opened, tmp_path):
    """A page with a session: its task, and what will come of it."""
    run = opened()
    with ThreadPoolExecutor() as pool:

        def begin():
            device = run.devices[0]
            found = pool.submit(device.measure, Subject(tmp_path), PLAN, Progress())
            return run.clients[0].task(), found

        job, found = begin()
        yield SimpleNamespace(client=run.clients[0], task=job, found=found, begin=begin, run=run)


def result(job, **changes):
    return {"task": job["id"], "status": "ok", "error": None, "samples": SAMPLES | changes}


def test_a_session(measuring):
    client, job = measuring.client, measuring.task
    assert job["plan"] == PLAN.to_json()
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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"latencies_ms": [1.0]}, "latencies_ms"),
        ({"latencies_ms": [1, -1, 1]}, "less than the minimum"),
        ({"latencies_ms": [1, "1", 1]}, "not of type"),
        ({"latencies_ms": [1, 1e8, 1]}, "or less"),
        ({"t_ms": [0, 1]}, "as many"),
        ({"latencies_ms": [1] * (task.MAX_SAMPLES + 1)}, "more than"),
        ({"golden_sqnr_db": 99}, "golden_sqnr_db"),
        ({"versions": {}}, "no runtime"),
        ({"versions": {"runtime": "\x1b[2J"}}, "printable"),
        ({"conditions": {str(i): i for i in range(50)}}, "more than"),
        ({"surprise": 1}, "surprise"),
        ({"load_cold_ms": None, "first_ms": True}, "not of type"),
    ],
)
def test_what_a_page_sends_is_checked(tmp_path, changes, reason):
    made = task.make(Subject(tmp_path), PLAN)
    with pytest.raises(ConfigError, match=reason):
        made.samples(result(made.order, **changes))


def test_a_page_cannot_claim_what_no_browser_knows(tmp_path):
    made = task.make(Subject(tmp_path), PLAN)
    samples = made.samples(result(made.order, peak_rss_mb=1, thermal_before={"status": "nominal"}))
    assert (samples.peak_rss_mb, samples.thermal_before.status) == (None, None)


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


def test_two_pages_are_two_devices_and_a_third_is_refused(opened):
    run = opened("2", pages=2)
    assert len({device.describe().id for device in run.devices}) == 2
    status, answer = Client(run.url).join()
    assert status == 403
    assert "has them already" in answer["error"]


def test_a_phone_keeps_its_id_from_run_to_run(opened):
    first = opened()
    again, other = opened(cookie=first.clients[0].cookie), opened()
    ids = [run.devices[0].describe().id for run in (first, again, other)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("path", ["", "x/", "x/api/next", "x" * 22 + "/page.js"])
def test_a_wrong_token_gets_nothing(opened, path):
    client = opened().clients[0]
    client.prefix = path
    status, answer = client.ask("GET", "")
    assert status == 403
    assert b"This address is not valid" in answer


def test_guessing_is_slow(opened):
    run = opened()
    client = Client(run.url)
    right, client.prefix = client.prefix, "guess/"
    assert [client.ask("GET", "")[0] for _ in range(12)] == [403] * 10 + [429] * 2
    client.prefix = right  # whoever has the token still gets in
    assert client.ask("GET", "")[0] == 200


@pytest.mark.parametrize("name", ["server.py", "..%2fserver.py", "page.js.gz", "api", "%00"])
def test_nothing_else_is_served(opened, name):
    assert opened().clients[0].ask("GET", name)[0] == 404


def test_everything_tells_the_browser_to_be_careful(opened):
    client = opened().clients[0]
    connection = http.client.HTTPConnection(client.host)
    connection.request("GET", f"/{client.prefix}")
    headers = connection.getresponse().headers
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "default-src 'none'" in headers["Content-Security-Policy"]


def test_it_closes_behind_the_last_device(opened):
    run = opened("2", pages=2)
    run.devices[0].close()
    assert run.clients[0].ask("GET", "")[0] == 200
    with ThreadPoolExecutor() as pool:
        ending = pool.submit(run.devices[1].close)
        order = {"state": "wait"}
        while order["state"] == "wait":
            order = run.clients[1].api("GET", "next")[1]
        assert order["state"] == "end"
        ending.result(10)
    with pytest.raises(ConnectionRefusedError):
        run.clients[0].ask("GET", "")


def test_too_few_pages_in_time():
    kind = BrowserKind(patience=replace(PATIENCE, join=0.3))
    with pytest.raises(DeviceError, match=r"0 of 2 pages were opened within 0\.3 s"):
        kind.connect("2", None)
    assert "mnv4-browser" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    "address", ["0", "33", "two", "lan:lan", "1:lan", "lanes", "lan3", "-1", ":", "9" * 5000]
)
def test_addresses_that_cannot_be(address):
    with pytest.raises(ConfigError, match="--device: found browser:"):
        BrowserKind().connect(address, None)


@pytest.mark.parametrize(
    ("address", "pages", "lan", "gpu"),
    [
        ("", 1, False, False),
        ("3", 3, False, False),
        ("lan", 1, True, False),
        ("lan:32", 32, True, False),
        ("gpu:lan:2", 2, True, True),
    ],
)
def test_addresses(address, pages, lan, gpu):
    assert parse(address) == (pages, lan, gpu)


def test_a_browser_takes_no_tool():
    with pytest.raises(ConfigError, match="--tool: found 'x'"):
        BrowserKind().connect("", "x")


def test_what_no_browser_can_measure_is_refused(opened, tmp_path):
    device = opened().devices[0]
    subject = Subject(tmp_path)
    device.check(subject, PLAN)
    with pytest.raises(ConfigError, match="affinity: found 'fastest'"):
        device.check(subject, replace(PLAN, affinity="fastest"))
    subject.artifact = replace(subject.artifact, target="coreml")
    with pytest.raises(ConfigError, match=r"a browser runs .tflite only, found the target coreml"):
        device.check(subject, PLAN)


def test_integer_inputs_are_refused(tmp_path):
    subject = Subject(tmp_path)
    subject.bundle = SimpleNamespace(
        input=SimpleNamespace(name="image", dtype="int8"), outputs=(), golden=None
    )
    with pytest.raises(ConfigError, match=r"image: found int8 input or output, LiteRT\.js takes"):
        task.check(subject, PLAN)


@pytest.mark.parametrize(
    ("agent", "model", "os_build"),
    [
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, "
            "like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            "iPhone",
            "iOS 17.5.1, Safari 17.5",
        ),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
            "Mobile",
            "Android 14, Firefox 127.0",
        ),
        (
            "Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) "
            "SamsungBrowser/24.0 Chrome/117.0.0.0 Mobile Safari/537.36",
            "SM-S911B",
            "Android 13, Samsung Internet 24.0",
        ),
        ("curl/8", "unknown", ""),
    ],
)
def test_a_phone_by_its_user_agent(agent, model, os_build):
    found = device_info("s", {"user_agent": agent, "cores": 8})
    assert (found.model, found.os_build, found.cores) == (model, os_build, 8)


def test_hints_know_better_and_are_cleaned():
    told = {"user_agent": "Android 10; K)", "model": "Pixel 8\x1b[31m", "platform": "Android 14"}
    found = device_info("s", {**told, "browser": "Chrome 126", "cores": True})
    assert (found.model, found.os_build, found.cores) == (
        "Pixel 8 [31m",
        "Android 14, Chrome 126",
        None,
    )
    assert found.id == device_info("s", {}).id != device_info("t", {}).id


def test_text_is_fit_for_a_terminal():
    assert text(" a\nb\u202e " * 100, 5) == "a b"
    assert text(None) == "None"


def test_a_rate_refills():
    rate = Rate(burst=2, per_second=20)
    assert [rate.allows("a"), rate.allows("a"), rate.allows("a")] == [True, True, False]
    assert rate.allows("b")
    time.sleep(0.2)
    assert rate.allows("a")


def test_the_certificate_is_new_and_leaves_no_key_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _, one = context(["192.168.0.7"])
    _, other = context(["192.168.0.7"])
    assert one != other
    assert list(tmp_path.iterdir()) == []
