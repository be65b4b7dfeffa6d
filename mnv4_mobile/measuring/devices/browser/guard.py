"""Limits who may ask the server: addresses, the token, rates and sizes."""

from __future__ import annotations

import ipaddress
import secrets
import time
from collections import OrderedDict

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

MAX_BODY = 8 * 2**20
"""Limit of a request in bytes: a result with `task.MAX_SAMPLES` samples has a little less."""
_MAX_CLIENTS = 1000
HEADERS = {
    # Browsers give threads and fine timers only to pages isolated from other origins.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
        "connect-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), screen-wake-lock=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Rate:
    """Limits how often each client may ask, with a bucket of permits that is refilled steadily.

    Args:
        burst: Number of permits at first.
        per_second: Number of permits that are added each second.
    """

    def __init__(self, burst: float, per_second: float) -> None:
        self._burst, self._per_second = burst, per_second
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, client: str) -> bool:
        """Takes a permit and returns whether the client had one."""
        now = time.monotonic()
        left, then = self._clients.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - then) * self._per_second)
        self._clients[client] = (left - 1 if left >= 1 else left, now)
        if len(self._clients) > _MAX_CLIENTS:
            self._clients.popitem(last=False)
        return left >= 1


def guard(token: str, *, lan: bool) -> Middleware:
    """Returns a middleware that admits only requests with the token, at a limited rate.

    Args:
        token: The first part of every path.
        lan: Whether other computers of the network may ask; computers outside it never may.
    """
    requests, wrong = Rate(burst=300, per_second=30), Rate(burst=10, per_second=0.2)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        client = request.remote or ""
        response: web.StreamResponse
        try:
            _check(request, client)
            response = await handler(request)
        except web.HTTPException as refused:
            response = _refusal(request, refused)
        if not response.prepared:
            response.headers.update(HEADERS | dict(response.headers))
        return response

    def _check(request: web.Request, client: str) -> None:
        address = ipaddress.ip_address(client.partition("%")[0] or "0.0.0.0")
        if address.is_global or not (lan or address.is_loopback):
            raise web.HTTPForbidden(text="Only computers of the same network may ask.")
        found = request.path.removeprefix("/").partition("/")[0]
        if not secrets.compare_digest(found.encode(), token.encode()):
            if not wrong.allows(client):
                raise web.HTTPTooManyRequests(text="Too many wrong addresses; wait a minute.")
            raise web.HTTPForbidden(
                text="This address is not valid, or not any more. Open the one that mnv4 shows, or "
                "scan its QR code again."
            )
        if not requests.allows(client):
            raise web.HTTPTooManyRequests(text="Too many requests; wait a moment.")

    return middleware


def _refusal(request: web.Request, refused: web.HTTPException) -> web.Response:
    """Returns the reason as JSON for the page's own requests, otherwise as text."""
    if "/api/" in request.path:
        return web.json_response({"error": refused.text}, status=refused.status)
    return web.Response(text=f"{refused.text}\n", status=refused.status)
