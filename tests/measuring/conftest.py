"""What tests of devices share."""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from mnv4_mobile.measuring.devices.adb import adb_path
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.subject import open_subject
from tools import boards

QUICK = Plan(warmup=1, runs=5, seconds=0.0)
LONG = Plan(warmup=1, runs=5, seconds=61 + (os.getpid() % 9999 + 1) / 10_000)
"""Its seconds, in the arguments of what runs it, are no other worker's."""


@contextmanager
def while_it_runs(call: Callable[[], None]) -> Iterator[None]:
    """Calls something as soon as a session with the plan `LONG` runs on a device."""

    def runs() -> bool:
        processes = psutil.process_iter(["cmdline"])
        return any(str(LONG.seconds) in (one.info["cmdline"] or ()) for one in processes)

    called = threading.Event()

    def wait() -> None:
        boards.until(runs, 120)
        call()
        called.set()

    thread = threading.Thread(target=wait)
    thread.start()
    yield
    thread.join()
    assert called.is_set()


def only(devices):
    """The one device, closed at the end."""
    (device,) = devices
    return closing(device)


@pytest.fixture
def adb(monkeypatch):
    """An adb server of its own, without devices."""
    with (
        tempfile.TemporaryDirectory(prefix="mnv4-") as folder,
        closing(boards.Adb(Path(folder), adb_path())) as adb,
    ):
        for name, value in adb.environment.items():
            monkeypatch.setenv(name, value)
        yield adb


@pytest.fixture(scope="session")
def subject(demo_bundle):
    """A function from a target's name to the demo bundle for it, to be measured."""
    return lambda target: open_subject(demo_bundle(target).path)


@pytest.fixture(scope="session")
def runner(executorch_runner):
    """The folder of the runner for `.pte`, compiled for this machine: what `--tool` takes."""
    import platform

    return str(executorch_runner(platform.machine()).parent)


@pytest.fixture
def fake_tool(tmp_path) -> Callable[[str, str], Path]:
    """A function from a file name and a shell script to a tool for `--tool`."""

    def make(name: str, script: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        return path

    return make
