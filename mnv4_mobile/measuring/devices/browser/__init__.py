"""Any phone with a browser as a device: a page that measures with LiteRT.js.

    browser            one page, on this computer
    browser:3          three pages at once become three devices
    browser:lan        a page on a phone in the same network, over HTTPS
    browser:lan:3      three of them
    browser:gpu        WebGPU instead of the CPU; also `browser:lan:gpu:3`

A session is a fresh Web Worker with a fresh WebAssembly instance: it has its own heap, threads and
compiled kernels, as a process has. What the browser keeps between sessions, such as the runtime's
compiled code, is not counted: `load_cold_ms` begins when the runtime has started.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mnv4_mobile.errors import ConfigError, DeviceError, ToolchainError
from mnv4_mobile.measuring.device import Attached, Device
from mnv4_mobile.measuring.devices.browser import task
from mnv4_mobile.measuring.devices.browser.certificate import addresses, context
from mnv4_mobile.measuring.devices.browser.phone import Patience, Phone, Place
from mnv4_mobile.measuring.measurement import DeviceInfo, Samples, Thermal
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import Subject
from mnv4_mobile.progress import SILENT, Progress

if TYPE_CHECKING:
    from mnv4_mobile.measuring.devices.browser.server import Server

MAX_PAGES = 32
_HELP = "browser: pip install 'mnv4-mobile[browser]'"


class Browser:
    """A page on a phone."""

    def __init__(self, server: Server, phone: Phone, close: Callable[[Browser], None]) -> None:
        self._server, self._phone, self._close = server, phone, close

    def describe(self) -> DeviceInfo:
        """See `Device.describe`."""
        return self._phone.info

    def thermal(self) -> Thermal:
        """Returns nothing: browsers do not report it."""
        return Thermal()

    def check(self, subject: Subject, plan: Plan) -> None:
        """See `Device.check`.

        Raises:
            ConfigError: See `task.check`; or more threads than the phone has cores.
        """
        task.check(subject, plan, gpu=self._server.gpu)
        info = self._phone.info
        if info.cores is not None and plan.threads > info.cores:
            raise ConfigError(
                f"threads: found {plan.threads}, {info.id} ({info.model}) has {info.cores} cores"
            )

    def show(self, session: int, sessions: int, seconds_left: float | None) -> None:
        """See `Screen.show`."""
        self._phone.place = Place(session=session, sessions=sessions, seconds_left=seconds_left)

    def measure(self, subject: Subject, plan: Plan, progress: Progress) -> Samples:
        """See `Device.measure`."""
        what = f"{self._phone.info.id}: {subject.artifact.name}"
        shown = self._phone.doing = ""

        def tell() -> None:
            nonlocal shown
            if self._phone.doing != shown:
                shown = self._phone.doing
                progress.update(f"{what}: {shown}")

        samples = self._server.run(
            self._phone.measure(task.make(subject, plan, gpu=self._server.gpu)), tell
        )
        progress.update(what)
        return samples

    def close(self) -> None:
        """Releases the phone; the last one ends the run on all pages and closes the server."""
        self._close(self)


@dataclass(frozen=True, kw_only=True)
class BrowserKind:
    """The kind `browser`; see the module."""

    name: str = "browser"
    patience: Patience = field(default_factory=Patience)

    def checker(self, address: str, tool: str | None) -> Callable[[Subject, Plan], None]:
        """See `Inviting.checker`."""
        _, _, gpu = parse(address)
        if tool is not None:
            raise ConfigError(f"--tool: found {tool!r}, a browser takes none")
        if _lacking():
            raise ToolchainError(_HELP)
        return partial(task.check, gpu=gpu)

    def connect(
        self, address: str, tool: str | None, progress: Progress = SILENT
    ) -> Sequence[Device]:
        """Serves the page, and waits for the number of phones that the address names.

        Raises:
            MobileError: See `checker`.
            DeviceError: No network, or too few pages in time.
        """
        self.checker(address, tool)
        pages, lan, gpu = parse(address)
        from mnv4_mobile.measuring.devices.browser.server import Server

        if lan:
            names = addresses()
            if not names:
                raise DeviceError("browser:lan: this computer is on no network")
            tls, fingerprint = context(names)
            server = Server("0.0.0.0", tls, pages, self.patience, gpu=gpu)
            url = f"https://{names[0]}:{server.port}/{server.token}/"
            progress.ask(_invitation(url, pages) + _warning(fingerprint))
        else:
            server = Server("127.0.0.1", None, pages, self.patience, gpu=gpu)
            url = f"http://127.0.0.1:{server.port}/{server.token}/"
            progress.ask(_invitation(url, pages, qr=False))
        try:
            self._wait(server, pages, progress)
        except BaseException:
            server.stop()
            raise
        return _devices(server)

    def _wait(self, server: Server, pages: int, progress: Progress) -> None:
        end, seen = time.monotonic() + self.patience.join, 0
        while not server.full.wait(0.2):
            phones = list(server.phones.values())
            for phone in phones[seen:]:
                progress.note(f"{phone.info.id}: {phone.info.model}, {phone.info.os_build}")
            seen = len(phones)
            if time.monotonic() > end:
                raise DeviceError(
                    f"browser: {seen} of {pages} pages were opened within "
                    f"{self.patience.join:g} s; the address is no longer valid"
                )
        for phone in list(server.phones.values())[seen:]:
            progress.note(f"{phone.info.id}: {phone.info.model}, {phone.info.os_build}")

    def attached(self) -> list[Attached]:
        """Returns one entry: any browser will do."""
        return [Attached(address="browser", info=None, missing=_HELP if _lacking() else None)]


kind = BrowserKind()


def _lacking() -> bool:
    return any(find_spec(name) is None for name in ("aiohttp", "cryptography", "segno"))


def parse(address: str) -> tuple[int, bool, bool]:
    """Reads an address: the number of pages, whether on other computers, and whether on WebGPU."""
    words = address.split(":") if address else []
    number = words.pop() if words and words[-1].isdecimal() else "1"
    known = set(words) <= {"lan", "gpu"} and len(set(words)) == len(words)
    if not known or len(number) > 2 or not 1 <= int(number) <= MAX_PAGES:
        raise ConfigError(
            f"--device: found browser:{address}, allowed: browser[:lan][:gpu][:N] with N from 1 to "
            f"{MAX_PAGES}"
        )
    return int(number), "lan" in words, "gpu" in words


def _invitation(url: str, pages: int, *, qr: bool = True) -> str:
    import io

    import segno

    who = "a browser on" if pages == 1 else f"{pages} browsers on"
    where = f"{who} {'phones in this network' if qr else 'this computer'}"
    text = f"Open in {where}:\n\n  {url}\n"
    if not qr:
        return text
    code = io.StringIO()
    segno.make(url, error="l").terminal(out=code, compact=True, border=2)
    return f"{text}\n{code.getvalue()}"


def _warning(fingerprint: str) -> str:
    return (
        "\nThe phone will warn that the connection is not private, because it does not know the\n"
        "certificate, which this computer has just made. The connection is encrypted anyway:\n"
        "  Chrome    Advanced, then Proceed\n"
        "  Safari    Show Details, then visit this website\n"
        "  Firefox   Advanced, then Accept the Risk and Continue\n"
        "To be sure, compare the certificate's SHA-256 fingerprint:\n"
        f"  {fingerprint}\n"
        "Anyone with the address can join until all pages are open. It ends with this run.\n"
    )


def _devices(server: Server) -> list[Device]:
    """Returns a device for every phone; the server stops when the last one is closed."""
    opened: list[Browser] = []

    def close(device: Browser) -> None:
        if device in opened:
            opened.remove(device)
            if not opened:
                server.stop()

    opened.extend(Browser(server, phone, close) for phone in server.phones.values())
    return list(opened)
