"""One phone: its page, whether the page answers, and its task. Runs in the server's loop."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass
from typing import Any

from mnv4_mobile.errors import DeviceError, MobileError
from mnv4_mobile.measuring.device import DeviceGoneError
from mnv4_mobile.measuring.devices.browser.task import Task
from mnv4_mobile.measuring.measurement import DeviceInfo, Samples

_STARTS = 3
"""How often a page may begin one session. It begins again after it was reloaded or hidden."""


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait, in seconds."""

    join: float = 300
    """Limit for all pages to be opened."""
    poll: float = 15
    """Longest time before a page's request for work is answered."""
    silence: float = 30
    """Time after which a silent page counts as gone; longer than `poll`."""
    reload: float = 8
    """Time after which a closed page counts as gone; it may only have been reloaded."""
    goodbye: float = 3
    """Limit for pages to learn that the run is over."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a session is in the run of one phone."""

    session: int = 1
    """Number of the session, from 1."""
    sessions: int = 1
    """Number of sessions on the phone."""
    seconds_left: float | None = None
    """An estimate for this session and those after it; None while nothing is known."""


class Phone:
    """A phone with a page that is or was open.

    Args:
        info: What the phone is.
        patience: How long to wait.
    """

    def __init__(self, info: DeviceInfo, patience: Patience) -> None:
        self.info = info
        self.page = ""
        """Identifies the newest load of the page; older ones are ignored."""
        self.task: Task | None = None
        self.place = Place()
        self.doing = ""
        """What its page is doing, for the progress display."""
        self._patience = patience
        self._starts = 0
        self._wake = asyncio.Event()
        self._result: asyncio.Future[Samples] | None = None
        self._closed_by_user = False
        self._end: dict[str, Any] | None = None
        self.heard_end = asyncio.Event()
        """Set when its page knows that the run is over."""
        self._deadline = 0.0
        self.heard()

    @property
    def gone(self) -> bool:
        """Whether its page has been silent for too long."""
        return time.monotonic() > self._deadline

    def heard(self) -> None:
        """Records that its page sent something."""
        self._closed_by_user = False
        self._deadline = time.monotonic() + self._patience.silence

    def left(self) -> None:
        """Records that its page was closed or is being reloaded."""
        self._closed_by_user = True
        self._deadline = time.monotonic() + self._patience.reload

    async def measure(self, task: Task) -> Samples:
        """Gives its page a task and waits for the result.

        Raises:
            ParityError: The page found wrong outputs.
            DeviceGoneError: Its page was closed or fell silent.
            DeviceError: The page could not measure, or sent something else.
        """
        self.task, self._starts = task, 0
        self._result = asyncio.get_running_loop().create_future()
        # The phone may have fallen asleep while others were measured; this leaves time to wake it.
        self._deadline = max(self._deadline, time.monotonic() + self._patience.silence)
        self._wake.set()
        try:
            while not self._result.done():
                await asyncio.wait([self._result], timeout=0.2)
                if self.gone and not self._result.done():
                    raise DeviceGoneError(f"{self.info.id} ({self.info.model}): {self._why()}")
            return self._result.result()
        finally:
            self.task = self._result = None
            self._wake.clear()

    def _why(self) -> str:
        if self._closed_by_user:
            return "the page was closed, and not opened again"
        return (
            f"the page was silent for {self._patience.silence:g} s: the phone sleeps, "
            "left the network, or the page was closed"
        )

    async def order(self) -> dict[str, Any]:
        """Returns what its page has to do next, after waiting a while for a task."""
        if self._end is None and self.task is None:
            try:
                await asyncio.wait_for(self._wake.wait(), self._patience.poll)
            except TimeoutError:
                return {"state": "wait"}
        if self._end is not None:
            self.heard_end.set()
            return self._end
        if self.task is None:
            return {"state": "wait"}
        self._starts += 1
        if self._starts > _STARTS:
            self.finish(
                DeviceError(
                    f"{self.task.name}: the page began {_STARTS} times and did not get to the end: "
                    "it was reloaded or in the background, or the browser ran out of memory"
                )
            )
            return {"state": "wait"}
        task = self.task
        order = {"state": "measure", "job": task.job.id, "name": task.name}
        return order | {"files": list(task.files), **asdict(self.place)}

    def finish(self, outcome: Samples | MobileError) -> None:
        """Ends the task with its outcome."""
        if self._result is None or self._result.done():
            return
        self.task = None  # its page asks for the next one immediately
        self._wake.clear()
        if isinstance(outcome, MobileError):
            self._result.set_exception(outcome)
        else:
            self._result.set_result(outcome)

    def end(self, text: str) -> None:
        """Tells its page that the run is over."""
        self._end = {"state": "end", "text": text}
        self._wake.set()
