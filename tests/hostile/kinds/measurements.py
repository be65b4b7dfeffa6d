"""Files of measurements, and stores."""

from __future__ import annotations

import functools
import io
import json
import sqlite3
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from mnv4_mobile.errors import MobileError
from tests.hostile.kinds.kind import Kind, command, each
from tests.hostile.mutations import (
    TEXTS,
    changed_json,
    damaged,
    integer,
    text_of,
)
from tests.hostile.promise import BrokenError, Files


@functools.cache
def _records() -> tuple[Any, ...]:
    """Returns the records of a good store, as lines of a file of them."""
    from mnv4_mobile.records import plain
    from tests import records

    ids = [f"00000000-0000-4000-8000-{number:012}" for number in range(3)]
    measured = [
        records.measurement(id=ids[0]),
        records.measurement(id=ids[1], session=1, latencies=(5.5, 6.0, 7.25)),
        records.measurement(id=ids[2], session=2, status="failed"),
    ]
    lines = [{"measurement": plain(one)} for one in measured]
    lines.append({"evaluation": plain(records.evaluation())})
    lines.append({"profile": plain(records.profile())})
    return tuple(json.loads(json.dumps(line)) for line in lines)


def _lines(random: Random) -> Files:
    found = [text_of(line).encode() for line in _records()]
    at = random.randrange(len(found))
    found[at] = changed_json(random, _records()[at])
    if random.randrange(10) == 0:
        found.insert(at, random.choice((b"", b"{}", b"null", b"[]", b"\xff", found[at], b"\0")))
    return {"hostile.jsonl": b"\n".join(found) + b"\n"}


def good_lines() -> Files:
    return {"hostile.jsonl": b"\n".join(text_of(line).encode() for line in _records()) + b"\n"}


def _import(given: Path, out: Path) -> None:
    """Imports a file; if that works, every other command on the store must work."""
    (path,) = given.iterdir()
    store = out / "store.sqlite"
    command("results", "import", path, "--store", store)
    try:
        _use(store, out)
    except MobileError as error:
        raise BrokenError(f"imported, but then: {error}") from error


def _use(store: Path, out: Path) -> None:
    from mnv4_mobile.measuring.results.store import Store

    with Store(store, "read") as opened:
        ids = [one.id for one in opened.measurements()]
    words: list[list[object]] = [
        ["results"],
        ["results", "list"],
        ["results", "list", "--json"],
        ["results", "export", out / "all.jsonl"],
        ["results", "export", out / "all.csv"],
        ["report", "-o", out / "report.html"],
        ["report", "-o", out / "report.md"],
        ["report", "-o", out / "report.csv"],
    ]
    words += [["results", "show", ids[0]]] if ids else []
    words += [["results", "delete", *ids, "--yes"]] if ids else []
    for one in words:
        with suppress(*(() if ids else (MobileError,))):  # a report on nothing is refused
            command(*one, "--store", store)


@functools.cache
def _parquet() -> bytes:
    from mnv4_mobile.measuring.results.exchange import Records, export_records
    from tests.records import measurement

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "good.parquet")
        one = measurement(id="00000000-0000-4000-8000-000000000000")
        export_records(Records(measurements=[one]), path)
        return path.read_bytes()


def _hostile_parquet(random: Random) -> Files:
    data = _parquet()
    if random.randrange(3) == 0:  # the record itself, which Parquet keeps as text
        from pyarrow import parquet, table

        body = changed_json(random, _records()[0]["measurement"])
        file = io.BytesIO()
        parquet.write_table(table({"record": [random.choice((body, body.decode("latin1")))]}), file)
        return {"hostile.parquet": file.getvalue()}
    if random.randrange(3):
        return {"hostile.parquet": damaged(random, data, range(len(data) - 4000, len(data)))}
    return {"hostile.parquet": damaged(random, data)}


@functools.cache
def _store() -> bytes:
    from mnv4_mobile.measuring.results.exchange import import_records
    from mnv4_mobile.measuring.results.store import Store

    with tempfile.TemporaryDirectory() as folder:
        lines, path = Path(folder, "good.jsonl"), Path(folder, "good.sqlite")
        content = good_lines()["hostile.jsonl"]
        assert isinstance(content, bytes)
        lines.write_bytes(content)
        with Store(path) as store:
            import_records(store, lines)
        return path.read_bytes()


def _sql(random: Random) -> bytes:
    """Returns a store that was changed with SQL."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "hostile.sqlite")
        path.write_bytes(_store())
        database = sqlite3.connect(path, isolation_level=None)
        table = random.choice(("measurements", "evaluations", "profiles"))
        for statement, values in _statements(random, database, table):
            try:
                database.execute(statement, values)
            except (sqlite3.Error, OverflowError, UnicodeError):
                continue
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        return path.read_bytes()


_ENDLESS = (
    "CREATE VIEW {table} AS WITH RECURSIVE n(seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n) "
    "SELECT seq, 'x' AS id, 'x' AS run, '{{}}' AS body FROM n"
)
_TRIGGER = (
    "CREATE TRIGGER t AFTER {event} ON {table} BEGIN "
    "INSERT INTO measurements SELECT * FROM measurements; END"
)
_ALTERED = (
    "DROP COLUMN {column}",
    "RENAME TO x",
    "RENAME COLUMN {column} TO x",
    "ADD COLUMN x GENERATED ALWAYS AS (randomblob(1000000000))",
)


def _statements(random: Random, database: sqlite3.Connection, table: str) -> list[Any]:
    """Returns statements that change a store, with their parameters."""
    column = random.choice([row[1] for row in database.execute(f"PRAGMA table_info({table})")])
    (body,) = database.execute(f"SELECT body FROM {table}").fetchone()
    match random.randrange(9):
        case 0:
            values = (None, 1, 1.5, "", "[]", "null", b"\xff", b"[]", "[" * 2000, 2**62)
            return [(f"UPDATE {table} SET {column} = ?", (random.choice(values),))]
        case 1 | 2 | 3:
            changed = changed_json(random, json.loads(body))
            stored = random.choice((changed, changed.decode(errors="replace")))
            return [(f"UPDATE {table} SET body = ?", (stored,))]
        case 4:
            name = random.choice(("user_version", "application_id"))
            return [(f"PRAGMA {name} = {integer(random) % 2**31}", ())]
        case 5:
            return [(f"DROP TABLE {table}", ()), (_ENDLESS.format(table=table), ())]
        case 6:
            change = random.choice(_ALTERED).format(column=column)
            return [(f"ALTER TABLE {table} {change}", ())]
        case 7:
            event = random.choice(("DELETE", "INSERT"))
            return [
                (_TRIGGER.format(event=event, table=table), ()),
                (f"INSERT INTO {table} SELECT * FROM {table}", ()),
            ]
        case _:
            text = "UPDATE sqlite_schema SET sql = ? WHERE name = ?"
            return [("PRAGMA writable_schema = ON", ()), (text, (random.choice(TEXTS), table))]


def _hostile_store(random: Random) -> Files:
    match random.randrange(5):
        case 0:
            data = damaged(random, _store())
        case 1:
            data = damaged(random, _store(), range(200))
        case 2:
            data = _store()
            data = data[: random.randrange(len(data))]
        case _:
            data = _sql(random)
    return {"hostile.sqlite": data}


def _read_store(given: Path, out: Path) -> None:
    """Reads, imports and uses a store; a store that cannot be read is refused by all commands."""
    import shutil

    path = given / "hostile.sqlite"
    copied = out / "copy.sqlite"
    shutil.copy(path, copied)

    def use() -> None:
        from mnv4_mobile.measuring.results.store import Store

        with Store(copied, "read") as opened:
            opened.measurements(), opened.evaluations(), opened.profiles(), opened.runs()
        _use(copied, out)

    each(
        partial(command, "results", "--store", copied),
        partial(command, "report", "--store", copied, "-o", out / "r.html"),
        partial(_import, given, out),
        use,
    )


KINDS = {
    "records": Kind(good_lines, _lines, _import),
    "parquet": Kind(lambda: {"hostile.parquet": _parquet()}, _hostile_parquet, _import),
    "store": Kind(lambda: {"hostile.sqlite": _store()}, _hostile_store, _read_store),
}
