"""Runs an artifact in a separate process, the worker.

The runtimes cannot share a process (ExecuTorch and LiteRT together die without a message), take
seconds to import and can crash. A separate process also has its own number of threads, timeout and
peak memory. Parent and worker talk through two pipes in `multiprocessing`'s framing.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt

from mnv4_mobile.bundle.timing import WARM_UP, Timing, timed
from mnv4_mobile.errors import ConfigError, DeviceError, MobileError
from mnv4_mobile.images import Preprocess, pixels
from mnv4_mobile.layers import OperatorTime
from mnv4_mobile.processes import start
from mnv4_mobile.target import Session, load_target
from mnv4_mobile.tensors import Tensors, TensorSpec, answer, feed
from mnv4_mobile.units import Unit
from mnv4_mobile.watch import Watch, check_watchable

_CODE = """
import os, sys
if sys.argv[1]:  # before anything starts threads, which inherit it: numpy does when it is imported
    os.sched_setaffinity(0, [int(core) for core in sys.argv[1].split(",")])
from mnv4_mobile.bundle.worker import serve
serve()
"""


@dataclass(frozen=True, kw_only=True)
class Loads:
    """How long an artifact takes to load, once its runtime is imported."""

    runtime: str
    """Name and version of the runtime: `executorch 1.5.1`."""
    cold_ms: float
    """Time to load in a fresh process; the system may have the file in its cache."""
    warm_ms: float
    """Time to load a second time in the same process."""
    runtime_rss_mb: float
    """Peak memory of the process before either load (Python and the runtime), in MiB."""
    adapter: str
    """What the artifact runs on, if the session has a name for it (`Session`)."""


class Worker:
    """Runs one artifact in a separate process.

    The process starts at once and loads the artifact while the caller continues. Threads may share
    a worker: their requests take turns. A request that was not answered in time, or that Ctrl-C
    interrupted, ends the process, as its late answer would be taken for the next request's.

    Every request raises DeviceError if the runtime failed or died, or did not answer in time, and
    ConfigError if the worker is closed or belongs to another process.

    Args:
        target: Name of the target.
        path: The artifact.
        threads: Number of runtime threads.
        cores: The cores to pin the process to, on systems that can; None does not pin it.
        unit: See `Target.open`.
        timeout_s: Limit for loading and for every run.
    """

    def __init__(
        self,
        target: str,
        path: Path,
        *,
        threads: int = 1,
        cores: Sequence[int] | None = None,
        unit: Unit | None = None,
        timeout_s: float = 600,
    ) -> None:
        self.name = f"{target} runtime ({path})"
        self._timeout = timeout_s
        self._turns = threading.Lock()
        self._owner = os.getpid()
        self._closed = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        pinned = ",".join(map(str, cores or ()))
        self._process, self._out, self._in = start(
            *(_CODE, pinned, target, str(path), str(threads), unit or ""),
            threads=threads,
            log=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Runs arrays by input name, and returns arrays by output name."""
        outputs: dict[str, npt.NDArray[Any]] = self._ask("run", dict(inputs))
        return outputs

    def loads(self) -> Loads:
        """Loads the artifact once more, and returns how long loading took each time."""
        found: Loads = self._ask("loads")
        return found

    def time(
        self,
        inputs: Tensors,
        *,
        warmup: int = WARM_UP,
        runs: int,
        seconds: float = 0,
        run_s: float = 0,
    ) -> Timing:
        """Times runs, without the pipes.

        Args:
            inputs: Arrays by input name.
            warmup: Number of runs that are not timed.
            runs: Least number of timed runs.
            seconds: Least time that the timed runs take together.
            run_s: The most that a run takes, as far as known; it extends the timeout.
        """
        limit = self._timeout + seconds + (warmup + runs) * run_s
        found: Timing = self._ask("time", dict(inputs), warmup, runs, seconds, timeout_s=limit)
        return found

    def preprocess(
        self, image: TensorSpec, picture: npt.NDArray[np.uint8], preprocess: Preprocess, runs: int
    ) -> Timing:
        """Times how long a decoded image takes to become the input.

        Args:
            image: The artifact's input.
            picture: The image (h, w, 3), RGB.
            preprocess: The preprocessing.
            runs: Number of runs.
        """
        found: Timing = self._ask("preprocess", image, picture, preprocess, runs)
        return found

    def profile(self, inputs: Tensors, layers: Sequence[str], runs: int) -> list[OperatorTime]:
        """Returns the time of every operator (see `Target.profile`); loads the artifact once more.

        Raises:
            DeviceError: Also if the runtime has no profiler on this machine.
        """
        found: list[OperatorTime] = self._ask("profile", dict(inputs), list(layers), runs)
        return found

    def load_watch(self, layers: Sequence[str]) -> None:
        """Loads the artifact for `watch` (see `Watchable.watch`).

        Args:
            layers: Names of the network's convolutions in the order in which they run.
        """
        self._ask("load_watch", list(layers))

    def watch(self, inputs: Tensors, given: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Returns the values of an artifact's layers (see `Watch`), after `load_watch`.

        Args:
            inputs: Arrays by input name.
            given: Values by layer, which the layers' readers read instead of its own.
        """
        found: dict[str, npt.NDArray[Any]] = self._ask("watch", dict(inputs), dict(given))
        return found

    def peak_rss_mb(self) -> float:
        """Returns the peak memory of the process so far, in MiB."""
        peak: float = self._ask("peak_rss_mb")
        return peak

    def close(self) -> None:
        """Ends the process, even while another thread waits for it. Closing twice is fine."""
        self._closed = True
        if os.getpid() == self._owner:
            self._process.kill()
            with self._turns:
                self._process.wait()
        self._out.close()
        self._in.close()
        self._log.close()

    def _ask(self, request: str, *arguments: object, timeout_s: float | None = None) -> Any:
        if os.getpid() != self._owner:
            # Two processes would read each other's answers, and the lock may be another thread's.
            raise ConfigError(f"{self.name}: was started by another process; start one here")
        limit = self._timeout if timeout_s is None else timeout_s
        with self._turns:
            answer = self._exchanged((request, arguments), limit)
            if isinstance(answer, MobileError):
                raise answer
            if isinstance(answer, str):
                raise DeviceError(f"{self.name}: {answer}{self._tail()}")
            return answer

    def _exchanged(self, request: object, limit: float) -> Any:
        """Sends a request and returns the answer."""
        if self._closed:
            raise ConfigError(f"{self.name}: is closed")
        late = threading.Event()

        def end() -> None:
            late.set()
            self._process.kill()

        # A runtime that hangs does not even read, so sending has to be limited as well.
        timer = threading.Timer(limit, end)
        timer.start()
        try:
            self._out.send(request)
            return self._in.recv()
        except (EOFError, OSError):
            code = self._process.wait()
            if self._closed:
                raise ConfigError(f"{self.name}: was closed while it ran") from None
            if late.is_set():
                raise DeviceError(f"{self.name}: no answer in {limit:g} s") from None
            raise DeviceError(f"{self.name}: ended with code {code}{self._tail()}") from None
        except BaseException:
            self._process.kill()
            raise
        finally:
            timer.cancel()

    def _tail(self) -> str:
        """Returns the last lines that the runtime printed."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()[-5:]
        return "".join(f"\n  {line}" for line in lines)


def run_pixels(
    worker: Worker,
    image: TensorSpec,
    outputs: Sequence[TensorSpec],
    images: npt.NDArray[np.uint8],
    preprocess: Preprocess,
) -> dict[str, npt.NDArray[Any]]:
    """Runs RGB pixels through an artifact, in batches of the artifact's size.

    Args:
        worker: The artifact's worker.
        image: The artifact's input.
        outputs: The artifact's outputs.
        images: The images (N, H, W, 3), after resizing.
        preprocess: How the images are normalised.

    Returns:
        The outputs by name, N rows of floats each.

    Raises:
        ParityError: The artifact has other outputs.
    """
    batch, count = image.shape[0], len(images)
    filled = np.concatenate([images, np.repeat(images[-1:], -count % batch, axis=0)])
    parts = [
        answer(outputs, worker.run(feed(image, filled[i : i + batch], preprocess)), worker.name)
        for i in range(0, len(filled), batch)
    ]
    return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}


def serve() -> None:
    """Runs in the worker: opens the artifact, then answers requests until the pipe closes."""
    _limit_memory()
    _, name, path, threads, unit, read, write = sys.argv[1:]
    requests, answers = Connection(int(read)), Connection(int(write))
    failure: object = None
    try:
        served = _Served(name, Path(path), int(threads), cast(Unit | None, unit or None))
    except MobileError as error:
        failure = error
    except Exception as error:  # noqa: BLE001 - the parent shows any error of a runtime
        failure = f"cannot load the artifact: {error!r}"
    while True:
        try:
            request, arguments = requests.recv()
        except EOFError:
            return
        if failure is not None:
            answers.send(failure)
            continue
        try:
            answers.send(getattr(served, request)(*arguments))
        except Exception as error:  # noqa: BLE001
            answers.send(error if isinstance(error, MobileError) else repr(error))


def _limit_memory() -> None:
    """Makes a request for more memory than this computer has fail in this process.

    Otherwise Linux would grant it, and end some process once the memory is used.
    """
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        limit = whole if hard == resource.RLIM_INFINITY else min(whole, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


class _Served:
    """An opened artifact; its methods are the requests that a parent may send."""

    def __init__(self, target: str, path: Path, threads: int, unit: Unit | None) -> None:
        self._target, self._path = load_target(target), path
        self._threads, self._unit = threads, unit
        self._runtime = self._target.runtime()
        self._runtime_rss_mb = self.peak_rss_mb()
        self.run, self._cold_ms = self._load()
        self.watch: Watch

    def _load(self) -> tuple[Session, float]:
        begin = time.perf_counter()
        session = self._target.open(self._path, self._threads, self._unit)
        return session, (time.perf_counter() - begin) * 1e3

    def loads(self) -> Loads:
        del self.run  # frees its threads for the next session
        self.run, warm = self._load()
        return Loads(
            runtime=self._runtime,
            cold_ms=self._cold_ms,
            warm_ms=warm,
            runtime_rss_mb=self._runtime_rss_mb,
            adapter=getattr(self.run, "adapter", ""),
        )

    def peak_rss_mb(self) -> float:
        if sys.platform == "darwin":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        # Not ru_maxrss: on Linux it starts at the parent's value.
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def time(self, inputs: Tensors, warmup: int, runs: int, seconds: float) -> Timing:
        return timed(lambda: self.run(inputs), warmup=warmup, runs=runs, seconds=seconds)

    def preprocess(
        self, image: TensorSpec, picture: npt.NDArray[np.uint8], preprocess: Preprocess, runs: int
    ) -> Timing:
        return timed(lambda: feed(image, pixels(picture, preprocess)[None], preprocess), runs=runs)

    def profile(self, inputs: Tensors, layers: Sequence[str], runs: int) -> list[OperatorTime]:
        return self._target.profile(self._path, inputs, layers, threads=self._threads, runs=runs)

    def load_watch(self, layers: Sequence[str]) -> None:
        target = check_watchable(self._target)
        self.watch = target.watch(self._path, layers, threads=self._threads, unit=self._unit)
