"""The browser's server under attack, with a page whose session must go on."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mnv4_mobile.errors import MobileError
from mnv4_mobile.measuring.devices.browser import BrowserKind
from mnv4_mobile.progress import Progress
from tests.hostile.promise import BrokenError
from tests.measuring.devices.browser_client import PATIENCE, PLAN, Client, Subject, result
from tests.notes import Notes

_ANSWER_S = 1.0
_STOP_S = 8.0


def attacked(requests: Iterable[bytes], folder: Path) -> None:
    """Sends requests to a server with one page, which then measures as if nothing had happened.

    Raises:
        BrokenError: An answer was 5xx, the page's session did not go on, or the end took too long.
    """
    heard = Notes()
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(BrowserKind(patience=PATIENCE).connect, "", None, heard)
        while not heard.notes:
            time.sleep(0.005)
        url = next(word for word in heard.notes[0].split() if word.startswith("http"))
        client = Client(url)
        _expect(client.join()[0], "join")
        (device,) = waiting.result()
        subject = Subject(folder)
        measuring = pool.submit(device.measure, subject, PLAN, Progress())
        sockets = []
        job = client.job()
        names = {
            b"TOKEN": client.prefix.strip("/").encode(),
            b"COOKIE": (client.cookie or "").encode(),
            b"JOB": job.encode(),
        }
        try:
            for request in requests:
                for name, value in names.items():
                    request = request.replace(name, value)
                sockets.append(_send(client.host, request))
            _expect(client.join()[0], "join after the attack")
            if measuring.done():
                try:
                    measuring.result()
                except MobileError as error:
                    print(error)
                measuring = pool.submit(device.measure, subject, PLAN, Progress())
            job = client.job()
            _expect(client.api("POST", "result", result(job))[0], "result after the attack")
            measuring.result(10)
        finally:
            began = time.monotonic()
            device.close()
            took = time.monotonic() - began
            for one in sockets:
                one.close()
        if took > _STOP_S:
            raise BrokenError(f"the server took {took:.1f} s to end")


def _expect(status: int, what: str) -> None:
    if status != 200:
        raise BrokenError(f"{what}: the page got {status}")


def _send(host: str, request: bytes) -> socket.socket:
    """Sends a request and checks the answer, if there is one; the connection stays open."""
    name, _, port = host.partition(":")
    connection = socket.create_connection((name, int(port)), timeout=_ANSWER_S)
    try:
        connection.sendall(request)
        answer = connection.recv(4096)
    except (TimeoutError, ConnectionError):  # half a request gets no answer
        return connection
    words = answer.split(b" ", 2)
    if answer and not (len(words) > 1 and words[1][:1] in b"124" and words[1].isdigit()):
        raise BrokenError(f"answered {answer[:100]!r}")
    return connection
