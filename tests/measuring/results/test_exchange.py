"""Files of records: they come back as they went, and damage is named."""

import csv
import json
import sqlite3
import sys
from contextlib import closing

import pytest
from damage import damages
from hypothesis import given, settings
from hypothesis import strategies as st
from records import DEVICE, PROFILE, evaluation, measurement

from mnv4_mobile import processes
from mnv4_mobile.errors import ConfigError, MobileError, StoreError, ToolchainError
from mnv4_mobile.measuring.measurement import Samples, Summary
from mnv4_mobile.measuring.results import exchange
from mnv4_mobile.measuring.results.exchange import (
    Records,
    export_records,
    import_records,
    read_records,
)
from mnv4_mobile.measuring.results.store import Store
from mnv4_mobile.records import encode, plain, replace

SUMMARY = Samples(
    golden_sqnr_db=None, summary=Summary(mean=4.0, std=None, min=None, max=None, count=9)
)
SEVERAL = [
    measurement(latencies=[1 / 3, 5.0, 1e-3]),
    measurement(status="failed", session=1),
    measurement(samples=SUMMARY, session=2),
]
REPEATED = encode(measurement(latencies=[1 / 3] * 5000)).decode()
ALL = Records(measurements=SEVERAL, evaluations=[evaluation()], profiles=[PROFILE])


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "mnv4.sqlite") as opened:
        yield opened


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_what_is_exported_is_imported_once(store, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"all.{suffix}"
    export_records(ALL, path)
    added = import_records(store, path)
    assert store.measurements() == SEVERAL
    again = import_records(store, path)
    assert (again.new, again.known) == (0, added.new)
    if suffix == "jsonl":
        assert (store.evaluations(), store.profiles()) == ([evaluation()], [PROFILE])


def test_stores_of_several_machines_merge(store, tmp_path):
    shared, there, here = measurement(), measurement(session=1), measurement(session=2)
    path = tmp_path / "other.sqlite"
    with Store(path) as other:
        other.add(shared)
        other.add(there)
        other.add(evaluation())
    store.add(shared)
    store.add(here)
    added = import_records(store, path)
    assert (added.new, added.known) == (2, 1)
    assert store.measurements() == [shared, here, there]
    with Store(path) as other:
        other.add(replace(here, run="another"))
    with pytest.raises(StoreError, match=rf"other.sqlite: not imported: .*{here.id}: a different"):
        import_records(store, path)


def _edited(**samples):
    """The line of a record whose samples have these values."""
    entries = plain(SEVERAL[0])
    entries["samples"] = entries["samples"] | samples
    return json.dumps({"measurement": entries})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON: Input data was truncated"),
        ("[]", r"found \[\], must be an object"),
        ('{"measurement": null}', "must be an object with one key"),
        ('{"thing": {}}', "thing: unknown key, allowed: measurement, evaluation, profile"),
        ('{"measurement": {"schema": 1}}', "measurement.run: missing"),
        ('{"measurement": {"schema": 7}}', "measurement.schema: written by a newer version"),
        ('{"measurement": {"schema": NaN}}', "not JSON"),
        ('{"evaluation": 3}', "evaluation: found 3, must be an object"),
        ("\udcff", "not JSON"),
        ("[" * 100_000, "recursion"),
        ("", "not JSON"),
        (f'{{"measurement": {"9" * 5000}}}', "not JSON: Integer value out of range"),
        (r'{"measurement": "\ud800"}', "not JSON"),
        (_edited(latencies_ms=[10**400]), r"latencies_ms\[0\]: found 1000.*, must be a number"),
        (_edited(latencies_ms=[1e308] * 50), r"latencies_ms\[0\]: found 1e\+308, must be a number"),
        (_edited(peak_rss_mb=1e308), r"peak_rss_mb: found 1e\+308, must be a number"),
        (_edited(conditions={"busy": -1e308}), r"conditions.busy: found -1e\+308"),
        (json.dumps({"measurement": plain(SEVERAL[0]) | {"session": 10**30}}), "session: found 10"),
    ],
    ids=range(18),
)
def test_a_damaged_line_is_named_and_nothing_is_imported(store, tmp_path, line, said):
    path = tmp_path / "damaged.jsonl"
    good = json.dumps({"measurement": plain(SEVERAL[0])})
    path.write_bytes(f"{good}\n{line}\n{good}\n".encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=rf"damaged.jsonl: line 2: .*{said}"):
        import_records(store, path)
    assert store.measurements() == []


def test_two_records_of_one_file_with_one_id(store, tmp_path):
    path = tmp_path / "twice.jsonl"
    one = SEVERAL[0]
    export_records(Records(measurements=[one, replace(one, run="b")]), path)
    with pytest.raises(StoreError, match=f"{one.id}: a different record"):
        import_records(store, path)
    assert store.measurements() == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=40)
@given(data=st.data())
def test_any_damage_is_an_error_for_the_user(tmp_path_factory, data):
    """One value of a good record is replaced by anything."""
    entries = json.loads(encode(SEVERAL[0]))
    place = entries
    while True:
        key = data.draw(st.sampled_from(sorted(place)))
        if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(_JSON)
    path = tmp_path_factory.mktemp("damage") / "one.jsonl"
    path.write_text(json.dumps({"measurement": entries}) + "\n")
    with Store(path.with_suffix(".sqlite")) as store:
        said = None
        try:
            import_records(store, path)
        except MobileError as error:
            said = str(error)
        imported = [m.id for m in store.measurements()]
    assert imported == [entries["id"]] if said is None else "line 1" in said and not imported


def test_csv_has_a_row_a_measurement(tmp_path):
    path = tmp_path / "all.csv"
    export_records(ALL, path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert float(rows[0]["p50_ms"]) == pytest.approx(1 / 3)
    assert (rows[1]["p50_ms"], rows[1]["error"]) == ("", "the device vanished")
    assert (rows[2]["mean_ms"], rows[2]["doubts"]) == ("4.0", "unchecked; summary")
    with pytest.raises(ConfigError, match=r"found '.csv', allowed: .jsonl, .parquet, .sqlite"):
        read_records(path)


def test_csv_has_no_formulas(tmp_path):
    path = tmp_path / "all.csv"
    device = replace(DEVICE, id="=HYPERLINK(A1)", model="+1", soc="-1", os_build="\t=1")
    one = measurement(run="@SUM(A1)", device=device)
    samples = replace(one.samples, golden_sqnr_db=-12.5)
    export_records(Records(measurements=[replace(one, samples=samples)]), path)
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["run"] == "'@SUM(A1)"
    assert row["device"] == "'=HYPERLINK(A1)"
    assert (row["device_model"], row["soc"], row["os_build"]) == ("'+1", "'-1", "'\t=1")
    assert row["golden_sqnr_db"] == "-12.5"  # a number stays one


def test_parquet_has_samples_and_types(tmp_path):
    arrow_parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "all.parquet"
    export_records(Records(measurements=SEVERAL[1:2]), path)
    assert str(arrow_parquet.read_schema(path).field("p50_ms").type) == "double"
    export_records(ALL, path)
    table = arrow_parquet.read_table(path)
    assert table["latencies_ms"].to_pylist()[:2] == [[1 / 3, 5.0, 1e-3], []]
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ConfigError, match="not a Parquet file of measurements"):
        read_records(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_records(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"id": ["a"]}, "not a Parquet file of measurements"),
        ({"record": [1]}, "not a Parquet file of measurements: record: found int64, must be str"),
        ({"record": ["[" * 5000]}, "row 1: not JSON"),
        ({"record": [None, "{"]}, "row 1: not JSON"),
        ({"record": [f'{{"session": {"9" * 5000}}}']}, "row 1: not JSON"),
        (
            {"record": ["x" * 100] * 100_000},
            "not a Parquet .*found 100000 rows, more than the file",
        ),
        ({"record": [" " * 10**7]}, "not a Parquet .*found 1 rows, more than the file can hold"),
        ({"record": [REPEATED] * 100}, "not a Parquet .*found more text than the file can hold"),
    ],
    ids=range(8),
)
def test_a_parquet_file_of_something_else(store, tmp_path, column, said):
    arrow = pytest.importorskip("pyarrow")
    arrow_parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "odd.parquet"
    arrow_parquet.write_table(arrow.table(column), path, compression="zstd")
    with pytest.raises(ConfigError, match=rf"odd\.parquet: {said}"):
        import_records(store, path)
    assert store.measurements() == []


def test_a_damaged_parquet_file(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "damaged.parquet"
    export_records(ALL, path)
    refused = 0
    for data in damages(path.read_bytes(), 12):
        path.write_bytes(data)
        try:
            read_records(path)
        except MobileError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017
            refused += 1
    assert refused > 6


def test_a_parquet_file_that_crashes_pyarrow(store, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    path = tmp_path / "crashes.parquet"
    export_records(ALL, path)
    # Which bytes crash it changes with its release.
    monkeypatch.setattr(processes, "_SERVE", "import os; os.abort()")
    with pytest.raises(ConfigError, match=r"crashes\.parquet: not a Parquet .* ended with -6"):
        import_records(store, path)
    assert store.measurements() == []


def test_a_line_without_end(store, tmp_path, monkeypatch):
    monkeypatch.setattr(exchange, "RECORD_BYTES", 1000)
    path = tmp_path / "long.jsonl"
    path.write_text("[" * 1000)
    with pytest.raises(ConfigError, match=r"long\.jsonl: line 1: has 1000 bytes or more"):
        import_records(store, path)


def test_a_store_of_another_machine_is_left_as_it_is(store, tmp_path):
    path = tmp_path / "other.sqlite"
    with Store(path) as other:
        other.add(SEVERAL[0])
        other.add(SEVERAL[1])
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = DELETE")
    before = path.read_bytes()
    assert import_records(store, path).new == 2
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE measurements SET body = '[]' WHERE session = 0")
    with pytest.raises(StoreError, match=r"other\.sqlite: left out a damaged measurement"):
        import_records(store, path)
    # An empty file is a store without records, and stays an empty file.
    path.write_bytes(b"")
    assert import_records(store, path).new == 0
    assert path.read_bytes() == b""


def test_without_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "all.parquet"
    with pytest.raises(ToolchainError, match=r"pip install 'mnv4-mobile\[parquet\]'"):
        export_records(ALL, path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match=r"found '.txt', allowed: .jsonl, .csv, .parquet"):
        export_records(ALL, tmp_path / "all.txt")
