"""The browser's server, with a client in place of a page: who is let in, and to what."""

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mnv4_mobile.errors import ConfigError, DeviceError
from mnv4_mobile.measuring.devices.browser import BrowserKind, parse
from mnv4_mobile.measuring.devices.browser.certificate import context
from mnv4_mobile.measuring.devices.browser.guard import Rate
from mnv4_mobile.records import replace
from tests.measuring.devices.browser_client import PATIENCE, Client


def test_two_pages_are_two_devices_and_a_third_is_refused(opened):
    run = opened("2", pages=2)
    assert len({device.describe().id for device in run.devices}) == 2
    status, answer = Client(run.url).join()
    assert status == 403
    assert "has them all" in answer["error"]


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


POST = "POST /PREFIXapi/join?page=a HTTP/1.1"


def test_what_is_no_request_of_a_page_is_refused_and_the_run_goes_on(opened, caplog):
    client = opened().clients[0]
    for lines, body in [
        (["OPTIONS * HTTP/1.1"], b""),
        (["CONNECT evil:443 HTTP/1.1"], b""),
        (["CONNECT //evil/x HTTP/1.0"], b""),
        (["GET http://evil/ HTTP/1.1"], b""),
        (["GET /%ff/%fe HTTP/1.1"], b""),
        (["GET /\xff HTTP/1.1"], b""),
        (["G\0T / HTTP/1.1"], b""),
        (["GET /PREFIX HTTP/9.9"], b""),
        (["X" * 9000 + " / HTTP/1.1"], b""),
        (["GET /PREFIX" + "x" * 9000 + " HTTP/1.1"], b""),
        (["GET /PREFIX HTTP/1.1", "X: " + "y" * 70_000], b""),
        (["GET /PREFIX HTTP/1.1", "no colon"], b""),
        (["DELETE /PREFIX HTTP/1.1"], b""),
        (["POST /PREFIX HTTP/1.1", "Expect: nothing"], b""),
        ([POST, "Content-Length: -1"], b"{}"),
        ([POST, "Content-Length: two"], b"{}"),
        ([POST, "Content-Length: " + "9" * 400], b"{}"),
        ([POST, "Content-Length: 2", "Transfer-Encoding: chunked"], b"{}"),
        ([POST, "Transfer-Encoding: chunked"], b"zz\r\n{}"),
        ([POST, "Transfer-Encoding: chunked"], b"-5\r\n{}"),
        ([POST, "Content-Length: 2", "Content-Encoding: gzip"], b"{]"),
        ([POST, "Content-Length: 13"], b'{"model": []}'),
        ([POST, "Content-Length: 413"], b'{"cores": %s}' % (b"9" * 402)),
    ]:
        with client.raw(*lines, "Connection: close", body=body) as connection:
            status = connection.recv(100).split(b" ")[1]
        assert status[:1] == b"4", (lines, status)
        assert client.ask("GET", "icon.svg")[0] == 200, lines
    assert client.api("GET", "next") == (200, {"state": "wait"})
    assert not caplog.records


@pytest.mark.parametrize("address", ["x/", "PREFIX"])
def test_half_a_request_does_not_delay_the_end(opened, address):
    run = opened()
    head = f"POST /{address}api/result?page=a HTTP/1.1", "Content-Length: 500"
    with run.clients[0].raw(*head, body=b"{"):
        assert run.clients[0].ask("GET", "icon.svg")[0] == 200  # then the server has the half, too
        begin = time.monotonic()
        run.devices[0].close()
        assert time.monotonic() - begin < PATIENCE.goodbye + 3


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
