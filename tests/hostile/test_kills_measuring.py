"""Measurements and stores survive kill -9 at random moments, and a disk that fills up."""

import os
import signal
import sqlite3
import tempfile
import time
import traceback
from contextlib import closing, suppress
from random import Random

import psutil
import pytest

from mnv4_mobile.errors import DiskError
from mnv4_mobile.measuring.perform import measure
from mnv4_mobile.measuring.plan import Plan
from mnv4_mobile.measuring.results.store import Store
from mnv4_mobile.progress import Progress
from tests.hostile.disks import fill
from tests.records import measurement

pytestmark = pytest.mark.slow
PLAN = Plan(warmup=0, runs=2, seconds=0.0, repeats=40)


def _fork(work):
    """Runs `work(report)` in a process of its own.

    Returns:
        The process, and a function that waits for its end and returns what it reported.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        os.close(reading)
        try:
            work(lambda text: os.write(writing, f"{text}\n".encode()))
        except DiskError:
            pass
        except BaseException:  # noqa: BLE001 - this process reports it
            os.write(writing, f"raised {traceback.format_exc()!r}\n".encode())
        finally:
            os._exit(0)
    os.close(writing)

    def ended():
        os.waitpid(child, 0)
        with os.fdopen(reading, "rb") as pipe:
            reported = pipe.read().decode().splitlines()
        assert not [line for line in reported if line.startswith("raised")]
        return reported

    return child, ended


def _check(path):
    """Checks that a store is whole, and returns its measurements."""
    if not path.exists():
        return []
    with Store(path, "read") as store:  # which checks every page
        return store.measurements()


def test_kills_of_a_store(seeds, tmp_path):
    path, recorded = tmp_path / "mnv4.sqlite", set()
    for seed in seeds:
        random = Random(seed)

        def work(report, random=random):
            with Store(path) as store:
                while True:
                    one = measurement([5.0] * random.randrange(1, 2000))
                    store.add(one)
                    report(one.id)
                    if random.randrange(4) == 0:
                        store.delete([one.id])
                        report(f"deleted {one.id}")

        child, ended = _fork(work)
        time.sleep(random.uniform(0, 0.3))
        os.kill(child, signal.SIGKILL)
        reported = ended()
        found = {m.id for m in _check(path)}
        deleted = {line.split()[1] for line in reported if line.startswith("deleted")}
        recorded |= {line for line in reported if " " not in line} - deleted
        lost = recorded - found
        # The last one may have been deleted without a report, and one may have come without one.
        assert lost <= {*reported[-1:]}, f"MNV4_ATTACK={seed} repeats it"
        assert len(found - recorded) <= 1, f"MNV4_ATTACK={seed} repeats it"
        recorded = found
        assert os.listdir(tmp_path) in ([], [path.name]), f"MNV4_ATTACK={seed} repeats it"


def test_kills_of_a_store_on_a_full_disk(seeds, disk):
    for seed in seeds:
        random, path = Random(seed), disk / f"{seed}.sqlite"

        def work(report, random=random, path=path):
            with Store(path) as store:
                while True:
                    one = measurement([5.0] * random.randrange(1, 500))
                    store.add(one)
                    report(one.id)

        fill(disk, random.randrange(50_000, 500_000))
        child, ended = _fork(work)
        time.sleep(random.uniform(0, 0.3))
        os.kill(child, signal.SIGKILL)
        recorded = {*ended()}
        (disk / "fill").unlink()
        found = {m.id for m in _check(path)}
        assert recorded <= found, f"MNV4_ATTACK={seed} repeats it"
        assert len(found - recorded) <= 1, f"MNV4_ATTACK={seed} repeats it"
        with Store(path) as store:
            store.add(measurement())
        fill(disk, 0)
        assert len(_check(path)) == len(found) + 1, f"MNV4_ATTACK={seed} repeats it"
        (disk / "fill").unlink()
        assert len(_check(path)) == len(found) + 1, f"MNV4_ATTACK={seed} repeats it"
        assert os.listdir(disk) == [path.name], f"MNV4_ATTACK={seed} repeats it"
        path.unlink()


class _Reporting(Progress):
    """Reports every session that is recorded."""

    def __init__(self, report):
        self._report = report

    def advance(self, done=1):
        for _ in range(done):
            self._report("session")


@pytest.mark.toolchain("tflite")
def test_kills_of_a_measurement(seeds, demo_bundle, tmp_path, monkeypatch):
    _measured(seeds, demo_bundle("tflite"), tmp_path / "store", tmp_path, monkeypatch)


@pytest.mark.toolchain("tflite")
def test_kills_of_a_measurement_on_a_full_disk(seeds, demo_bundle, disk, tmp_path, monkeypatch):
    _measured(seeds, demo_bundle("tflite"), disk, tmp_path, monkeypatch, full=True)


def _measured(seeds, bundle, folder, tmp_path, monkeypatch, full=False):
    """Kills a run at random moments and resumes it: each session is recorded once."""
    folder.mkdir(exist_ok=True)
    path, before = folder / "mnv4.sqlite", []
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr(tempfile, "tempdir", None)

    def work(report):
        measure(bundle, plan=PLAN, run="r", store=path, progress=_Reporting(report))

    for seed in seeds:
        random = Random(seed)
        if full:
            fill(folder, random.choice((0, random.randrange(60_000))))
        child, ended = _fork(work)
        time.sleep(random.uniform(0, 4))
        os.kill(child, signal.SIGKILL)
        reported = ended()
        if full:
            (folder / "fill").unlink()
        found = [(m.id, m.session) for m in _check(path)]
        assert found[: len(before)] == before, f"MNV4_ATTACK={seed} repeats it"
        assert 0 <= len(found) - len(before) - len(reported) <= 1, f"MNV4_ATTACK={seed} repeats it"
        before = found
        end = time.monotonic() + 20
        while workers := _in_group(child):  # they end by themselves
            assert time.monotonic() < end, f"{workers}: MNV4_ATTACK={seed} repeats it"
            time.sleep(0.05)
        if len(before) > 30:  # begin anew before the run is complete
            path.unlink()
            before = []
    plan = PLAN.with_values({"repeats": len(before) + 2})
    found = measure(bundle, plan=plan, run="r", store=path)
    assert found.failures == []
    assert [m.session for m in found.measurements] == list(range(plan.repeats))
    assert [m.id for m in found.measurements][: len(before)] == [id_ for id_, _ in before]
    assert os.listdir(folder) == [path.name]
    assert list(scratch.iterdir()) == []
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _in_group(group):
    """Returns the processes of a group that still run."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
