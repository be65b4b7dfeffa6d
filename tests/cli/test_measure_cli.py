"""`mnv4 sweep`, `measure` and `results` on input that cannot be, and on a tool's summary."""

import sqlite3

import pytest
from records import measurement

from mnv4_mobile.measuring.measurement import Samples, Summary
from mnv4_mobile.measuring.results.store import Store


@pytest.fixture
def sweep(tmp_path):
    """A function that writes a sweep of one artifact, which nobody gets to read."""

    def written(text="", *, devices="[host]"):
        artifact, path = tmp_path / "a.tflite", tmp_path / "mine.yaml"
        artifact.write_bytes(b"x")
        path.write_text(f"description: x\nbundles: [{artifact}]\ndevices: {devices}\n{text}\n")
        return path

    return written


DIGITS = "9" * 5000


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--device", "", "--device: found '', must not be empty"),
        ("--device", ",", "--device: found ',', must not be empty"),
        ("--device", "adb:\udcff", "adb:"),
        ("--threads", "", "--threads: found '', must not be empty"),
        ("--threads", DIGITS, "--threads: found '9999"),
        ("--threads", "\u0663", "--threads: found '\u0663', must be whole numbers"),
        ("--threads", "1025", "threads: found 1025, must be a whole number, 1 or more, at most 10"),
        ("--unit", " ", "--unit: found ' ', must not be empty"),
        ("--run", "", "--run: found '', must be a text of printable characters"),
        ("--run", "\udcff", r"--run: found '\udcff', must be a text of printable characters"),
        ("--warmup", DIGITS, "--warmup: found '9999"),
        ("--repeats", "10001", "repeats: found 10001, must be a whole number, 1 or more, at most"),
        ("--seconds", "nan", "seconds: found nan, must be a number, 0 or more, at most 1000000"),
        ("--seconds", "1e400", "seconds: found inf, must be a number"),
        ("--cooldown", "1000001", "cooldown_s: found 1000001.0, must be a number"),
        ("--affinity", DIGITS, "affinity: found '9999"),
        ("--max-thermal", "\udcff", r"max_thermal: found '\udcff', allowed: nominal"),
        ("--store", "", "is a folder, not a store"),
        ("--store", "/dev/zero", "/dev/zero: is a device, not a store"),
        ("--store", "a.tflite", "a.tflite: is not a store of measurements"),
    ],
    ids=range(20),
)
def test_an_odd_value_is_named(mnv4, tmp_path, monkeypatch, option, value, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.tflite").write_bytes(b"x")
    code, out, err = mnv4("measure", "a.tflite", option, value)
    assert (code, out) == (2, "")
    (error,) = err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert len(error) < 300
    assert [path.name for path in tmp_path.iterdir()] == ["a.tflite"]
    assert (tmp_path / "a.tflite").read_bytes() == b"x"


def test_bounds_are_finite(mnv4):
    for option in ("--max-ms", "--max-mb", "--min-top1", "--min-agreement"):
        code, _, err = mnv4("choose", option, "nan")
        assert (code, f"{option}: found 'nan', must be" in err) == (2, True)
    assert mnv4("compare", "a", "b", "--max-regression", "nan")[0] == 2


def text_file(path):
    path.write_text("no database, but long enough to have the header of one " * 5)


def newer(path):
    with Store(path), sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (text_file, "s.sqlite: is not a store of measurements"),
        (newer, "s.sqlite: written by a newer version (schema 99, this one reads 1); upgrade"),
        (lambda path: path.mkdir(), "s.sqlite: is a folder, not a store"),
    ],
    ids=["text", "newer", "folder"],
)
def test_a_store_that_cannot_be_used_is_refused_before_any_work(
    mnv4, sweep, tmp_path, make, message
):
    store = tmp_path / "s.sqlite"
    make(store)
    # A device that would fail, too.
    code, out, err = mnv4("sweep", sweep(devices="[adb:nobody]"), "--store", store)
    assert (code, out) == (2, "")
    (error,) = err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    code, _, err = mnv4("results", "list", "--store", store)
    assert (code, message in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "devices", "message"),
    [
        (
            "bundle: [b]",
            "[host]",
            "mine.yaml: bundle: unknown key, did you mean bundles? allowed: name",
        ),
        ("", "[fridge]", "--device: found 'fridge', allowed: adb, browser, coremltools, host"),
        ("build: [conv-small]", "[host]", "mine.yaml: build: "),
        (
            "plan: {affinity: big}",
            "[host]",
            "mine.yaml: plan.affinity: found 'big', must be none",
        ),
    ],
)
def test_a_sweep_that_cannot_be_is_an_error_without_a_store(
    mnv4, sweep, tmp_path, text, devices, message
):
    store = tmp_path / "s.sqlite"
    code, out, err = mnv4("sweep", sweep(text, devices=devices), "--store", store)
    assert (code, out) == (2, "")
    assert f"error: {message}" in err.replace(f"{tmp_path}/", "")
    assert not store.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none/*.tflite",), "none/*.tflite: no such bundle or artifact"),
        (
            ("mine.yaml",),
            "mine.yaml: neither a bundle's folder nor an artifact (.aimodel, .mlpackage, .",
        ),
        (("a.tflite", "--threads", "two"), "--threads: found 'two', must be whole numbers"),
        (
            ("a.tflite", "--threads", "0"),
            "plan: threads: found 0, must be a whole number, 1 or more",
        ),
        (("a.tflite", "--seconds", "nan"), "plan: seconds: found nan, must be a number, 0 or more"),
        (("a.tflite", "--max-thermal", "hot"), "plan: max_thermal: found 'hot', allowed: nominal"),
        (("a.tflite", "--device", "host", "--tool", "x"), "--tool: found 'x'; host takes none"),
    ],
)
def test_what_cannot_be_measured_is_named(mnv4, sweep, monkeypatch, tmp_path, arguments, message):
    sweep()
    monkeypatch.chdir(tmp_path)
    code, out, err = mnv4("measure", *arguments, "--store", "s.sqlite")
    assert (code, out) == (2, "")
    assert f"error: {message}" in err
    assert not (tmp_path / "s.sqlite").exists()


@pytest.mark.toolchain("tflite")
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.pte", (), "a.pte: a browser runs .tflite only, found the target executorch"),
        ("a.mlpackage", (), "a.mlpackage: a browser runs .tflite only, found the target coreml"),
        ("a.pte", ("-d", "host"), "a.pte: a browser runs .tflite only"),
        ("a.tflite", (), "a.tflite: not a LiteRT model"),
        ("a.tflite", ("--unit", "npu"), "unit: found 'npu', allowed: cpu with --device browser"),
        ("a.tflite", ("--plan", "paper"), "affinity: found 'fastest', allowed in a browser"),
        ("a.tflite", ("--tool", "x"), "--tool: found 'x', a browser takes none"),
    ],
)
def test_what_no_browser_can_run_is_refused_before_the_address(
    mnv4, tmp_path, name, options, message
):
    artifact, store = tmp_path / name, tmp_path / "s.sqlite"
    artifact.write_bytes(b"x")
    code, out, err = mnv4("measure", artifact, "-d", "browser", *options, "--store", store)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "http" not in err
    assert not store.exists()


def test_a_tools_summary_is_shown_by_its_mean_and_marked(mnv4, tmp_path):
    told = Summary(mean=4.25, std=0.1, min=4.0, max=5.0, count=50)
    with Store(tmp_path / "s.sqlite") as store:
        store.add(measurement(samples=Samples(golden_sqnr_db=None, summary=told)))
    code, out, _ = mnv4("results", "list", "--store", tmp_path / "s.sqlite")
    assert code == 0
    header, row, *legend = out.splitlines()
    assert row[: header.index("mean ms") + len("mean ms")].split()[-3:] == ["-", "-", "4.250"]
    assert row.endswith("unchecked, summary")
    assert "  summary    the tool reports a mean without its samples" in legend
