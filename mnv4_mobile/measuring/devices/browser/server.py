"""Serves the page of a run and its files, and receives results, in a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import ssl
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from mnv4_mobile import records
from mnv4_mobile.errors import ConfigError, DeviceError, MobileError
from mnv4_mobile.measuring.devices.app import Result
from mnv4_mobile.measuring.devices.browser.about import About, device_info, text
from mnv4_mobile.measuring.devices.browser.guard import MAX_BODY, guard
from mnv4_mobile.measuring.devices.browser.phone import Patience, Phone
from mnv4_mobile.measuring.measurement import Samples
from mnv4_mobile.records import Record

DIST = Path(__file__).parent / "dist"
_COOKIE = "mnv4_phone"  # cookies are kept by host, so a new port for every run does not matter
_MEANWHILE_S = 0.5
_YEAR_S = 365 * 24 * 3600
_LIMITS: dict[str, Any] = {
    # A sleeping page or a stranger in the middle of a request must not delay the end of a run,
    # nor hold a connection for ever.
    "shutdown_timeout": 0.5,
    "lingering_time": 1.0,
    "keepalive_timeout": 60.0,
    "auto_decompress": False,  # the page compresses nothing
}
T = TypeVar("T")


def _is_news(entry: logging.LogRecord) -> bool:
    """Keeps broken requests out of the log, which strangers could fill with them."""
    error = entry.exc_info[1] if entry.exc_info else None
    return not isinstance(error, HttpProcessingError | ConnectionError)


_LOG = logging.getLogger(__name__)
_LOG.addFilter(_is_news)


class Doing(Record, frozen=True, kw_only=True):
    """What a page is doing."""

    job: str
    """Id of the job."""
    text: str
    """What the progress display shows."""


class Server:
    """Serves pages for one run.

    Args:
        host: Address to listen on.
        tls: The TLS context for HTTPS; None serves HTTP.
        places: Number of phones that may join.
        patience: How long to wait.
        gpu: Whether WebGPU runs the artifacts.

    Raises:
        DeviceError: The server cannot listen on the address.
    """

    def __init__(
        self,
        host: str,
        tls: ssl.SSLContext | None,
        places: int,
        patience: Patience,
        *,
        gpu: bool = False,
    ) -> None:
        self.gpu = gpu
        self.token = secrets.token_urlsafe(16)
        self.phones: dict[str, Phone] = {}
        self.full = threading.Event()
        """Set when all phones have joined."""
        self._places, self._patience, self._secure = places, patience, tls is not None
        self._static = {
            path.name.removesuffix(".gz"): path for path in DIST.iterdir() if path.is_file()
        }
        self._loop = asyncio.new_event_loop()
        self._runner = web.AppRunner(
            self._app(lan=host not in ("127.0.0.1", "::1")),
            access_log=None,
            logger=_LOG,
            **_LIMITS,
        )
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="mnv4-browser", daemon=True
        )
        self._thread.start()
        try:
            self.port = self.run(self._listen(host, tls))
        except OSError as error:
            self.stop()
            raise DeviceError(f"browser: cannot listen on {host}: {error.strerror}") from None

    def run(self, work: Coroutine[Any, Any, T], meanwhile: Callable[[], None] | None = None) -> T:
        """Runs a coroutine in the server's loop, where all of its state lives.

        Args:
            work: What to do.
            meanwhile: Called in this thread repeatedly until the work is done.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            while meanwhile is not None and not future.done():
                wait([future], timeout=_MEANWHILE_S)
                meanwhile()
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def stop(self) -> None:
        """Ends the server; does nothing if it has ended."""
        if not self._thread.is_alive():
            return
        self.run(self._goodbye())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self, host: str, tls: ssl.SSLContext | None) -> int:
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, 0, ssl_context=tls)
        await site.start()
        port: int = self._runner.addresses[0][1]
        return port

    async def _goodbye(self) -> None:
        here = [phone for phone in self.phones.values() if not phone.gone]
        for phone in here:
            phone.end("The run is over. You can close this page, or go on classifying images.")
        if here:
            heard = [asyncio.create_task(phone.heard_end.wait()) for phone in here]
            _, waiting = await asyncio.wait(heard, timeout=self._patience.goodbye)
            for task in waiting:
                task.cancel()
            await asyncio.sleep(0.1)  # for the answers to be sent
        await self._runner.cleanup()
        # Connections in the middle of a TLS handshake are not the runner's yet.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for unfinished in rest:
            unfinished.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _app(self, *, lan: bool) -> web.Application:
        app = web.Application(middlewares=[guard(self.token, lan=lan)], client_max_size=MAX_BODY)
        app.router.add_get("/{token}/", self._file)
        app.router.add_get("/{token}/{name}", self._file)
        app.router.add_post("/{token}/api/join", self._join)
        app.router.add_get("/{token}/api/next", self._next)
        app.router.add_get("/{token}/api/files/{job}/{name:.+}", self._task_file)
        app.router.add_post("/{token}/api/progress", self._progress)
        app.router.add_post("/{token}/api/result", self._result)
        app.router.add_post("/{token}/api/bye", self._bye)
        return app

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """Serves a file of the page; compressed files stay compressed."""
        path = self._static.get(request.match_info.get("name", "index.html"))
        if path is None:
            raise web.HTTPNotFound(text="There is no such file.")
        # The runtime is fetched for every session, and is the same in all of them.
        cache = {"Cache-Control": "private, max-age=3600"}
        return web.FileResponse(path.with_name(path.name.removesuffix(".gz")), headers=cache)

    async def _join(self, request: web.Request) -> web.Response:
        about = await _record(request, About)
        found = request.cookies.get(_COOKIE, "")
        secret = found if re.fullmatch("[0-9a-f]{32}", found) else secrets.token_hex(16)
        phone = self.phones.get(secret)
        if phone is None:
            if len(self.phones) >= self._places:
                raise web.HTTPForbidden(
                    text=f"This run measures on the first {self._places} of the devices that open "
                    "the address, and has them all."
                )
            phone = self.phones[secret] = Phone(
                device_info(secret, about, gpu=self.gpu), self._patience
            )
        phone.page = request.query.get("page", "")
        phone.heard()
        if len(self.phones) == self._places:
            self.full.set()
        info = phone.info
        device = {"id": info.id, "model": info.model, "os_build": info.os_build}
        response = web.json_response({"device": device})
        response.set_cookie(
            _COOKIE, secret, max_age=_YEAR_S, httponly=True, samesite="Strict", secure=self._secure
        )
        return response

    def _phone(self, request: web.Request) -> Phone:
        phone = self.phones.get(request.cookies.get(_COOKIE, ""))
        if phone is None:
            raise web.HTTPForbidden(text="This device is not known here: are cookies off?")
        if phone.page != request.query.get("page", ""):
            raise web.HTTPConflict(text="The page was opened again, in another tab.")
        phone.heard()
        return phone

    async def _next(self, request: web.Request) -> web.Response:
        phone = self._phone(request)
        order = await phone.order()
        return web.json_response(order)

    async def _task_file(self, request: web.Request) -> web.StreamResponse:
        phone, asked = self._phone(request), request.match_info
        task = phone.task
        if task is None or task.job.id != asked["job"] or asked["name"] not in task.files:
            raise web.HTTPNotFound(text="This measurement is over.")
        content = task.files[asked["name"]]
        if isinstance(content, Path):
            return web.FileResponse(content)
        return web.Response(body=content)

    async def _progress(self, request: web.Request) -> web.Response:
        phone, found = self._phone(request), await _record(request, Doing)
        if phone.task is None or phone.task.job.id != found.job:
            raise web.HTTPConflict(text=_OVER)
        phone.doing = text(found.text, 80)
        return web.json_response({})

    async def _result(self, request: web.Request) -> web.Response:
        phone = self._phone(request)
        task = phone.task
        outcome: Samples | MobileError
        refused: web.HTTPException | None = None
        try:
            result = await _record(request, Result)
            if task is None or task.job.id != result.job:
                raise web.HTTPConflict(text=_OVER)
            outcome = task.samples(result)
        except ConfigError as error:
            refused = web.HTTPBadRequest(text=text(error, 500))
        except MobileError as error:
            outcome = error
        except web.HTTPConflict:
            raise
        except web.HTTPException as error:
            refused = error
        if refused is not None:
            # This session failed, but the next one may succeed.
            outcome = DeviceError(f"{phone.info.id}: sent an unusable result: {refused.text}")
        if phone.task is task:
            phone.finish(outcome)
        if refused is not None:
            raise refused
        return web.json_response({})

    async def _bye(self, request: web.Request) -> web.Response:
        self._phone(request).left()
        return web.json_response({})


_OVER = (
    "The computer has ended this measurement: it was interrupted, or this page was silent for too "
    "long."
)


async def _record(request: web.Request, kind: type[T]) -> T:
    """Returns the record in the body of a request.

    Raises:
        HTTPRequestEntityTooLarge: The body has more than `MAX_BODY` bytes.
        HTTPBadRequest: The body is something else.
    """
    try:
        body = await request.read()
        # In a thread, because the largest body would stop all pages for a second.
        return await asyncio.to_thread(records.decode, body, kind, kind.__name__.lower())
    except web.HTTPRequestEntityTooLarge:
        raise web.HTTPRequestEntityTooLarge(
            MAX_BODY, request.content_length or 0, text=f"More than {MAX_BODY} bytes were sent."
        ) from None
    except (ConfigError, web.RequestPayloadError) as error:
        raise web.HTTPBadRequest(text=text(error, 500)) from None
