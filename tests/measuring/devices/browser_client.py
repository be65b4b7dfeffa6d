"""A client in place of a page of the browser, and what it measures."""

import http.client
import json
import socket
from pathlib import Path

from mnv4_mobile.measuring.devices.browser.phone import Patience
from mnv4_mobile.measuring.measurement import Artifact
from mnv4_mobile.measuring.plan import Plan

PLAN = Plan(runs=3)
PATIENCE = Patience(join=20, poll=0.5, silence=1.5, reload=0.5, goodbye=0.5)
SAMPLES = {
    "golden_sqnr_db": None,
    "load_cold_ms": 2.5,
    "load_warm_ms": 1,
    "first_ms": 3,
    "latencies_ms": [1.5, 1, 1.25],
    "t_ms": [0, 1.6, 2.7],
    "summary": None,
    "preprocess_ms": [],
    "peak_rss_mb": None,
    "ran_on": ["cpu"],
    "thermal_before": {"status": None, "celsius": None},
    "thermal_after": {"status": None, "celsius": None},
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

    def raw(self, *lines, body=b""):
        """Sends a request as it is, with this page's cookie, and returns an open socket."""
        host, port = self.host.split(":")
        connection = socket.create_connection((host, int(port)), timeout=20)
        head = [line.replace("PREFIX", self.prefix) for line in lines]
        head += ["Host: x", f"Cookie: {self.cookie}"]
        connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)
        return connection

    def join(self):
        return self.api("POST", "join", {"user_agent": "Mozilla/5.0 (X11; Linux x86_64)"})

    def job(self):
        """Waits for the next job; its id."""
        for _ in range(20):
            _, order = self.api("GET", "next")
            if order["state"] == "measure":
                return order["job"]
        raise AssertionError(order)

    def file(self, job, path):
        """Status and content of one of a job's files."""
        return self.ask("GET", f"api/files/{job}/{path}?page={self.page}")


def result(job, **changes):
    """A result of a job, with some of its samples changed."""
    return {
        "schema": 1,
        "job": job,
        "status": "ok",
        "error": None,
        "samples": SAMPLES | changes,
    }
