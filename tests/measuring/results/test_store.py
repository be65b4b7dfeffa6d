"""The store keeps what was added, whatever happened in between."""

import os
import random
import shutil
import signal
import sqlite3
import tempfile
import time
from pathlib import Path

import pytest
from records import ARTIFACT, DEVICE, PROFILE, evaluation, measurement

from mnv4_mobile.errors import ConfigError, DiskError, StoreError
from mnv4_mobile.measuring.results import store as module
from mnv4_mobile.measuring.results.record import Stored, stored
from mnv4_mobile.measuring.results.store import Store, store_path
from mnv4_mobile.records import replace


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mnv4.sqlite"


def test_what_was_added_is_read(path):
    ok, failed = measurement(), measurement(status="failed", run="b", session=1)
    with Store(path) as store:
        store.add(ok)
        store.add(failed)
        store.add(evaluation())
        store.add(PROFILE)
    with Store(path, must_exist=True) as store:
        assert store.measurements() == [ok, failed]
        assert store.measurements(runs=["b"]) == [failed]
        assert store.measurements(ids=[ok.id], devices=[DEVICE.id]) == [ok]
        assert store.measurements(artifacts=["b" * 64]) == []
        assert store.evaluations() == [evaluation()]
        assert store.profiles() == [PROFILE]
        assert store.delete([ok.id, "not there"]) == 1
        assert store.measurements() == [failed]


def test_the_same_id_is_the_same_record(path):
    one = measurement()
    with Store(path) as store:
        store.add(one)
        store.add(one)
        with pytest.raises(StoreError, match=f"{one.id}: a different record"):
            store.add(replace(one, run="other"))
        assert store.measurements() == [one]


def test_a_record_that_breaks_the_schema_is_refused(path):
    with Store(path) as store:
        with pytest.raises(ConfigError, match="session: found -1"):
            store.add(measurement(session=-1))
        with pytest.raises(ConfigError, match="not finite"):
            store.add(measurement(latencies=[float("nan")] * 5))
        with pytest.raises(ConfigError, match=r"latencies_ms\[1\]: found -1"):
            store.add(measurement(latencies=[5.0, -1.0]))
        with pytest.raises(ConfigError, match="top1"):
            store.add(evaluation(top1=74))
        assert store.measurements() == []


def test_an_error_in_the_middle_leaves_nothing(path):
    first = measurement()
    with Store(path) as store:
        store.add(first)
        other = stored(replace(first, run="other"))
        with pytest.raises(StoreError):
            store.add_all([stored(measurement()), other])
        assert store.measurements() == [first]


def test_files_that_are_no_store_are_refused_and_kept(path):
    path.write_bytes(b"not a database, but long enough to have a header" * 10)
    kept = path.read_bytes()
    with pytest.raises(StoreError, match="is not a store"):
        Store(path)
    assert path.read_bytes() == kept
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE albums (title)")
    with pytest.raises(StoreError, match="but not a store"):
        Store(path)
    path.unlink()
    Store(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match=r"newer version \(schema 99, this one reads 1\); upgrade"):
        Store(path)


def test_a_damaged_record_is_told(path):
    with Store(path) as store:
        store.add(measurement())
    with sqlite3.connect(path) as database:
        database.execute("UPDATE measurements SET body = '{\"id\": 1}'")
    with Store(path) as store, pytest.raises(StoreError, match="damaged measurement"):
        store.measurements()


def test_places_that_cannot_be_written(path, monkeypatch):
    with pytest.raises(StoreError, match="there is no store"):
        Store(path, must_exist=True)
    assert not path.exists()
    with pytest.raises(DiskError, match="cannot be opened for writing"):
        Store(path / "no folder" / "mnv4.sqlite")
    with Store(path) as store:
        store.add(measurement())
        # What SQLite says of a disk that is full, from the one limit that needs no disk.
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(DiskError, match="full"):
            store.add(measurement(latencies=[5.0] * 20_000))
        assert len(store.measurements()) == 1
    monkeypatch.setattr(module, "_WAIT_S", 0.1)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with Store(path) as store:
        assert len(store.measurements()) == 1  # readers do not wait
        with pytest.raises(StoreError, match="another process has been writing"):
            store.add(measurement())
        holder.execute("ROLLBACK")
        store.add(measurement())
    holder.close()


def test_a_read_only_place(path):
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody who may not write")
    folder = Path(tempfile.mkdtemp())
    try:
        with Store(folder / "mnv4.sqlite") as store:
            store.add(measurement())
        folder.chmod(0o555)
        os.seteuid(65534)
        try:
            with pytest.raises(DiskError, match="cannot be opened for writing"):
                Store(folder / "mnv4.sqlite")
        finally:
            os.seteuid(0)
    finally:
        shutil.rmtree(folder)


def _fork(work):
    """Runs `work(tell)` in a process of its own; (its id, what it tells through a pipe)."""
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, told
    try:
        os.close(told)
        work(lambda text: os.write(tell, text.encode()))
    finally:
        os._exit(0)


def _read_all(told):
    with os.fdopen(told, "rb") as pipe:
        return pipe.read().decode()


@pytest.mark.slow
def test_killed_at_random_moments_nothing_recorded_is_lost(path):
    moments = random.Random(0)
    recorded = []

    def work(tell):
        with Store(path) as store:
            while True:
                one = measurement(latencies=[5.0] * 20)
                store.add(one)
                tell(one.id)

    for _ in range(50):
        child, told = _fork(work)
        time.sleep(moments.uniform(0, 0.15))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        text = _read_all(told)
        recorded += [text[i : i + 36] for i in range(0, len(text), 36)]
        with Store(path) as store:
            there = {m.id for m in store.measurements()}
        assert there >= set(recorded)
        # At most the one that was on its way is there beside those that were reported.
        assert len(there) <= len(recorded) + 50
    assert len(recorded) > 50
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_processes_make_and_fill_a_store_at_once(path):
    def work(tell):
        with Store(path) as store:
            for _ in range(25):
                one = measurement(latencies=[5.0])
                store.add(one)
                tell(one.id)

    children = [_fork(work) for _ in range(4)]
    told = "".join(_read_all(pipe) for _, pipe in children)
    for child, _ in children:
        os.waitpid(child, 0)
    with Store(path) as store:
        assert {told[i : i + 36] for i in range(0, len(told), 36)} == {
            m.id for m in store.measurements()
        }
        assert len(store.measurements()) == 100


def test_ten_thousand_measurements_are_read(path):
    body = stored(measurement()).body
    with Store(path) as store:
        columns = {"run": "a", "session": 0, "device": DEVICE.id, "artifact": ARTIFACT.sha256}
        store.add_all(
            [
                Stored(kind="measurement", columns={"id": f"{i}", **columns}, body=body)
                for i in range(10_000)
            ]
        )
        assert len(store.measurements()) == 10_000
        wanted = [str(i) for i in range(9_000)]  # more than SQLite allows parameters in some builds
        assert len(store.measurements(ids=wanted)) == 9_000


def test_where_the_store_is(monkeypatch):
    monkeypatch.setenv("MNV4_STORE", "/somewhere/s.sqlite")
    assert store_path(Path("given.sqlite")) == Path("given.sqlite")
    assert store_path(None) == Path("/somewhere/s.sqlite")
    monkeypatch.delenv("MNV4_STORE")
    assert store_path(None) == Path("mnv4.sqlite")
