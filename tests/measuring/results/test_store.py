"""The store keeps what was added, whatever happened in between."""

import os
import signal
import sqlite3
import time
import warnings
from contextlib import closing
from pathlib import Path

import pytest
from records import ARTIFACT, DEVICE, PROFILE, evaluation, measurement

from mnv4_mobile.errors import ConfigError, DamagedRecord, DiskError, StoreError
from mnv4_mobile.measuring.results import store as module
from mnv4_mobile.measuring.results.record import Stored, stored
from mnv4_mobile.measuring.results.store import Store, claimed, store_path
from mnv4_mobile.records import replace
from tests.permissions import no_writing


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
    with Store(str(path), "read") as store:
        assert store.measurements() == [ok, failed]
        assert store.measurements(runs=["b"]) == [failed]
        assert store.measurements(ids=[ok.id], devices=[DEVICE.id]) == [ok]
        assert store.measurements(artifacts=["b" * 64]) == []
        assert store.evaluations() == [evaluation()]
        assert store.profiles() == [PROFILE]
    with Store(path, "change") as store:
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
    for content in (b"not a database, but long enough to have a header" * 10, b"x"):
        path.write_bytes(content)
        for access in ("read", "create"):
            with pytest.raises(StoreError, match="is not a store"):
                Store(path, access)
        assert path.read_bytes() == content
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


DAMAGED = {
    "another type": b'{"id": 1}',
    "a list": b"[]",
    "no JSON": b"\xff\x00",
    "nesting": b"[" * 100_000,
    "a number that is too large": b"[1" + b"0" * 5000 + b"]",
    "a number out of bounds": None,
    "no text": 7,
    "the text of another record": None,
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_record_is_left_out_and_can_be_deleted(path, what):
    sound, damaged = measurement(), measurement(session=1)
    with Store(path) as store:
        store.add(damaged)
        store.add(sound)
    body = DAMAGED[what]
    if what == "a number out of bounds":
        body = stored(damaged).body.replace("[5.0,", f"[1{'0' * 400},")
    elif what == "the text of another record":
        body = stored(sound).body
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE measurements SET body = ? WHERE session = 1", (body,))
    with Store(path, "change") as store:
        with pytest.warns(DamagedRecord, match=f"out a damaged measurement; .*: {damaged.id} "):
            assert store.measurements() == [sound]
        assert set(store.ids()) == {damaged.id, sound.id}
        assert store.delete([damaged.id]) == 1
    with Store(path, "read") as store, warnings.catch_warnings(action="error"):
        assert store.measurements() == [sound]


HOSTILE = {
    "a view": "DROP TABLE profiles; CREATE VIEW profiles AS WITH RECURSIVE x(seq) AS "
    "(SELECT 1 UNION ALL SELECT seq + 1 FROM x) SELECT seq, 'a' AS id, '{}' AS body FROM x",
    "a trigger": "CREATE TRIGGER bomb AFTER DELETE ON measurements BEGIN "
    "UPDATE measurements SET run = 'other'; END",
    "another table": "CREATE TABLE more (title)",
    "another column": "ALTER TABLE profiles ADD COLUMN more AS (hex(zeroblob(500000000)))",
    "a table less": "DROP TABLE evaluations",
    "another index": "CREATE INDEX slow ON measurements (length(hex(zeroblob(500000000))))",
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("access", ["read", "change", "create"])
def test_a_store_whose_tables_were_changed_is_refused(path, what, access):
    with Store(path) as store:
        store.add(measurement()) if what == "a trigger" else None
    with closing(sqlite3.connect(path)) as database:
        database.executescript(HOSTILE[what])
    kept = path.read_bytes()
    with pytest.raises(StoreError, match="sqlite: is a database, but not a store"):
        Store(path, access)
    assert path.read_bytes() == kept


def test_a_schema_that_is_no_text_is_damage(path):
    Store(path).close()
    data = path.read_bytes()
    path.write_bytes(
        data.replace(b"CREATE INDEX measurements_run", b"CREATE IN\xf9EX measurements_run")
    )
    for access in ("read", "create"):
        with pytest.raises(StoreError, match=r"mnv4\.sqlite: is damaged: "):
            Store(path, access)


def test_a_damaged_file_is_named(path):
    with Store(path) as store:
        for _ in range(20):
            store.add(measurement())
    data = bytearray(path.read_bytes())
    data[5 * 4096 : 6 * 4096] = bytes(4096)
    path.write_bytes(data)
    for access in ("read", "create"):
        with pytest.raises(StoreError, match=r"mnv4\.sqlite: is damaged: "):
            Store(path, access)


def test_places_that_cannot_be_written(path, monkeypatch):
    with pytest.raises(StoreError, match="there is no store"):
        Store(path, "read")
    assert not path.exists()
    with pytest.raises(DiskError, match="cannot be opened"):
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
    with Store(path) as store:
        holder.execute("BEGIN IMMEDIATE")
        assert len(store.measurements()) == 1  # readers do not wait
        with pytest.raises(StoreError, match="another process has been writing"):
            store.add(measurement())
        holder.execute("ROLLBACK")
        store.add(measurement())
    holder.close()


def test_a_store_that_cannot_be_written_is_read(path):
    one = measurement()
    with Store(path) as store:
        store.add(one)
    before = path.read_bytes()
    denied = pytest.raises(DiskError, match="cannot be written: Permission denied")
    with no_writing(path.parent):
        with Store(path, "read") as store:
            assert store.measurements() == [one]
        for access in ("change", "create"):
            with pytest.raises(DiskError, match="cannot be written: no permission"):
                Store(path, access)
        with denied, claimed(path, "a"):
            pass
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_records_in_a_log_that_cannot_be_read_are_not_forgotten(path):
    with Store(path) as store:
        store.add(measurement())
        log = Path(f"{path}-wal").read_bytes()
    Path(f"{path}-wal").write_bytes(log)  # as a killed process leaves it
    refused = pytest.raises(StoreError, match="wal holds records that can only be read")
    with no_writing(path.parent), refused:
        Store(path, "read")


def test_reading_changes_nothing(path):
    path.touch()
    with Store(path, "read") as store:
        assert (store.measurements(), store.runs(), store.ids()) == ([], [], [])
    assert path.read_bytes() == b""
    with Store(path) as store:
        store.add(measurement())
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    before = path.read_bytes()
    with Store(path, "read") as store:
        assert len(store.measurements()) == 1
        with pytest.raises(DiskError, match="cannot be written"):
            store.delete(store.ids())
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for access in ("read", "create"):
        with pytest.raises(StoreError, match="is a folder, not a store"):
            Store(tmp_path, access)
        with pytest.raises(StoreError, match="fifo: is a device, not a store"):
            Store(tmp_path / "fifo", access)


def test_a_run_is_claimed_by_one_process(path):
    def work(tell):
        with claimed(path, "night"):
            tell("x")
            time.sleep(60)

    child, told = _fork(work)
    assert os.read(told, 1) == b"x"
    with (
        pytest.raises(StoreError, match="another process is measuring the run 'night'"),
        claimed(path, "night"),
    ):
        pass
    with claimed(path, "day"), claimed(path.with_name("other.sqlite"), "night"):
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(told)
    with claimed(path, "day"):
        assert len(os.listdir(path.parent)) == 1  # without the one of the killed process
        with claimed(path, "night"):
            pass
        with pytest.raises(StoreError), claimed(path, "day"):
            pass
    assert os.listdir(path.parent) == []


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
    one = measurement()
    body = stored(one).body
    with Store(path) as store:
        columns = {"run": "a", "session": 0, "device": DEVICE.id, "artifact": ARTIFACT.sha256}
        ids = [f"{i:08x}{one.id[8:]}" for i in range(10_000)]
        store.add_all(
            [
                Stored(
                    kind="measurement",
                    columns={"id": id_, **columns},
                    body=body.replace(one.id, id_),
                )
                for id_ in ids
            ]
        )
        assert len(store.measurements()) == 10_000
        # More than SQLite allows parameters in some builds.
        assert len(store.measurements(ids=ids[:9_000])) == 9_000


def test_where_the_store_is(monkeypatch):
    monkeypatch.setenv("MNV4_STORE", "/somewhere/s.sqlite")
    assert store_path(Path("given.sqlite")) == Path("given.sqlite")
    assert store_path(None) == Path("/somewhere/s.sqlite")
    monkeypatch.delenv("MNV4_STORE")
    assert store_path(None) == Path("mnv4.sqlite")
