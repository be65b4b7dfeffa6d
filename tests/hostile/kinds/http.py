"""Requests to the server of the browser page."""

from __future__ import annotations

from pathlib import Path
from random import Random

from tests.hostile.kinds.kind import Kind
from tests.hostile.mutations import (
    changed_json,
    damaged,
    text_of,
)
from tests.hostile.promise import Files

_PATHS = ("", "api/join", "api/next", "api/progress", "api/result", "api/bye", "api/files/JOB/x")
_METHODS = (
    "GET",
    "POST",
    "POST",
    "POST",
    "PUT",
    "HEAD",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "get",
    "G\0T",
)
_HEADERS = (
    "Content-Length: 5",
    "Content-Length: -1",
    "Content-Length: 99999999999999999999",
    "Content-Length: 20000000",
    "Content-Length: 3\r\nContent-Length: 4",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: chunked, identity",
    "Content-Encoding: gzip",
    "Content-Encoding: br",
    "Content-Type: text/plain; charset=utf-99",
    "Content-Type: multipart/form-data; boundary=" + "x" * 200,
    "Expect: 100-continue",
    "Expect: x",
    "Upgrade: websocket\r\nConnection: Upgrade",
    "Connection: close",
    "Range: bytes=0-0,5-1,99999999999999999999-",
    "If-Modified-Since: x",
    "Cookie: mnv4_phone=" + "f" * 32,
    "Cookie: mnv4_phone=\x80\xff",
    "Cookie: " + "a=b; " * 2000,
    "Host: evil",
    "X: " + "a" * 9000,
    "X : y",
    " folded",
    "\0: \0",
    "Accept-Encoding: gzip",
)


def _request(random: Random) -> bytes:
    """Returns the bytes of a request; the call puts in what it does not know."""
    from tests.measuring.devices.browser_client import result

    path, method = random.choice(_PATHS), random.choice(_METHODS)
    body: bytes = b""
    if random.randrange(3):
        tree = random.choice(
            (result("JOB"), {"user_agent": "Mozilla/5.0", "cores": 4}, {"job": "JOB", "text": "x"})
        )
        body = text_of(tree).encode()
        if random.randrange(4):
            body = changed_json(random, tree)
    target = random.choice(
        (f"/TOKEN/{path}?page=a",) * 6 + ("*", "/", "http://evil/", "//", "x:1", "/" + "a" * 9000)
    )
    if random.randrange(8) == 0:
        target += random.choice(
            ("%00", "%ff", "/../../etc/passwd", "&page=b", "#x", "?", " ", "é", "%2e%2e%2f")
        )
    lines = [f"{method} {target} HTTP/{random.choice(('1.1',) * 8 + ('1.0', '2.0', '0.9', 'x'))}"]
    lines.append("Host: 127.0.0.1")
    if random.randrange(3):
        lines.append("Cookie: COOKIE")
    lines.append(f"Content-Length: {len(body)}")
    for _ in range(random.choice((0, 0, 1, 2))):
        lines.insert(random.randrange(1, len(lines) + 1), random.choice(_HEADERS))
    data = "\r\n".join(lines).encode("utf-8", "surrogatepass") + b"\r\n\r\n" + body
    match random.randrange(10):
        case 0:
            return damaged(random, data)
        case 1:
            return data[: random.randrange(len(data))]
        case _:
            return data


def _requests(random: Random) -> Files:
    return {f"{number}.http": _request(random) for number in range(random.choice((1, 2, 4)))}


def _good_requests() -> Files:
    return {"0.http": b"GET /TOKEN/api/next?page=a HTTP/1.1\r\nHost: a\r\nCookie: COOKIE\r\n\r\n"}


def _serve(given: Path, out: Path) -> None:
    from tests.hostile.server import attacked

    attacked([path.read_bytes() for path in sorted(given.iterdir())], out)


KINDS = {
    "http": Kind(_good_requests, _requests, _serve),
}
