"""`mnv4 results`, `compare` and `choose` as a user meets them."""

import io
import json
import os
import shutil
import sqlite3
from contextlib import closing
from itertools import product
from pathlib import Path

import pytest
from records import ARTIFACT, DEVICE, evaluation, measurement

from mnv4_mobile.measuring.measurement import Samples, Summary
from mnv4_mobile.measuring.results.store import Store
from mnv4_mobile.records import replace
from tests.permissions import no_writing

SLOWER = replace(ARTIFACT, sha256="b" * 64)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A store with two runs of three sessions; the second one is 20 % slower."""
    (tmp_path / "nothing").mkdir()
    path = tmp_path / "mnv4.sqlite"
    monkeypatch.setenv("MNV4_STORE", str(path))
    with Store(path) as store:
        for i in range(3):
            store.add(measurement([5.0 + i / 100] * 50, run="base", session=i))
            store.add(measurement([6.0 + i / 100] * 50, run="new", session=i, artifact=SLOWER))
        store.add(evaluation())
    return path


class _Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self):
        return True


def test_runs_and_cells_are_listed(mnv4, path):
    code, out, _ = mnv4("results", "--json")
    assert code == 0
    assert [row["run"] for row in json.loads(out)["runs"]] == ["base", "new"]
    assert "2 runs, 1 evaluation" in mnv4("results")[1]
    code, out, _ = mnv4("results", "list", "--json")
    assert [cell["latency_ms"] for cell in json.loads(out)["groups"]] == [5.01, 6.01]
    for option, value, count in (
        ("--run", "base", 1),
        ("--run", "base,new", 2),
        ("--device", "adb", 2),
        ("--device", "adb:2", 0),
        ("--model", "conv-small", 2),
        ("--recipe", "fp32", 0),
        ("--target", "tflite", 2),
    ):
        code, out, _ = mnv4("results", "list", option, value, "--json")
        assert (code, len(json.loads(out)["groups"])) == (0, count), (option, value)
    code, out, _ = mnv4("results", "list")
    assert "5.010" in out
    assert "conv-small-224x224-int8-tflite" in out
    code, _, err = mnv4("results", "--json", "list")
    assert (code, err) == (2, "error: results: options go after list\n")


def test_one_is_shown_and_deleted(mnv4, path, monkeypatch):
    with Store(path) as store:
        one, *others = store.measurements()
    code, out, _ = mnv4("results", "show", one.id[:12], "--json")
    assert json.loads(out)["measurement"]["id"] == one.id
    assert "Pixel 8" in mnv4("results", "show", one.id)[1]
    code, _, err = mnv4("results", "show", "zzz")
    assert (code, err) == (2, "error: zzz: found 0 measurements whose id begins so, must be 1\n")
    code, _, err = mnv4("results", "delete", one.id)
    assert (code, err) == (2, "error: --yes: needed to delete 1 measurement without asking\n")
    assert mnv4("results", "delete")[0] == 2
    assert mnv4("results", "delete", one.id, "--run", "base")[0] == 2
    assert mnv4("results", "delete", one.id, "--yes")[1] == "deleted 1 measurement\n"
    with Store(path) as store:
        assert store.measurements() == others
    for answer, deleted in (("n", 0), ("y", 3)):
        monkeypatch.setattr("sys.stdin", _Terminal(f"{answer}\n"))
        code, out, err = mnv4("results", "delete", "--run", "new", "--json")
        assert (code, json.loads(out)) == (0, {"schema": 1, "deleted": deleted})
        assert f"Delete 3 measurements of new from {path}?" in err


def test_export_and_import(mnv4, path, tmp_path):
    file = tmp_path / "new.jsonl"
    code, out, _ = mnv4("results", "export", file, "--run", "base")
    assert (code, out) == (0, f"{file}: 3 measurements\n")
    assert len(file.read_text().splitlines()) == 4  # with the evaluation of its artifact
    other = tmp_path / "other.sqlite"
    code, out, _ = mnv4("results", "import", file, path, "--store", other)
    assert out.splitlines() == [
        f"{file}: 4 new records, 0 already known",
        f"{path}: 3 new records, 4 already known",
    ]
    with Store(other) as store:
        assert len(store.measurements()) == 6
    code, _, err = mnv4("results", "export", tmp_path / "none" / "x.csv")
    assert (code, "there is no such folder" in err) == (2, True)
    code, _, err = mnv4("results", "--store", tmp_path / "none.sqlite")
    assert (code, "there is no store" in err) == (2, True)


def test_empty_lists_say_so(mnv4, path, tmp_path, monkeypatch):
    code, out, _ = mnv4("results", "list", "--recipe", "fp32")
    assert (code, out) == (0, f"None of the 6 measurements in {path} matches.\n")
    monkeypatch.delenv("MNV4_STORE")
    monkeypatch.chdir(tmp_path / "nothing")
    for command in (["results"], ["results", "list"]):
        code, out, _ = mnv4(*command)
        assert (code, out) == (
            0,
            "No measurements in mnv4.sqlite yet; mnv4 measure BUNDLE adds some.\n",
        )
    assert json.loads(mnv4("results", "list", "--json")[1])["groups"] == []
    assert not (tmp_path / "nothing" / "mnv4.sqlite").exists()


@pytest.mark.parametrize(
    ("words", "following"),
    [
        (("results",), "results list --run new --store STORE"),
        (("results", "list"), "report --store STORE"),
        (("results", "list", "--recipe", "fp32"), "results --store STORE"),
        (("results", "delete", "--run", "new", "--yes"), "results --store STORE"),
        (("results", "export", "x.csv"), "results --store STORE"),
        (("compare", "base", "new"), "report --run base --run new --store STORE"),
        (("choose", "--max-ms", "9"), f"sdk android {ARTIFACT.name} -o mnv4"),
        (("report",), f"sdk android {ARTIFACT.name} -o mnv4"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_the_next_command(mnv4, path, tmp_path, monkeypatch, words, following):
    monkeypatch.chdir(tmp_path)
    code, _, err = mnv4(*words, "--store", path)
    last = f"Next: mnv4 {following.replace('STORE', str(path))}"
    assert (code, err.splitlines()[-1]) == (0, last)
    assert mnv4(*words, "--store", path, "-q")[2] == ""
    if words[0] in ("choose", "report"):
        (tmp_path / "out" / ARTIFACT.name).mkdir(parents=True)
        assert f"sdk android out/{ARTIFACT.name} -o mnv4" in mnv4(*words, "--store", path)[2]


def test_doubts_are_codes_with_a_legend(mnv4, path):
    phone = replace(DEVICE, model="of no published figure")
    with Store(path) as store:
        store.add(measurement([5.0] * 10, run="short", device=phone))
        store.add(measurement([5.0, 9.0] * 5, run="rough", device=phone, artifact=SLOWER))
    code, out, _ = mnv4("results", "list", "--run", "short,rough")
    lines = out.splitlines()
    assert (code, lines[0]) == (0, "all 2 rows: a session has fewer than 20 runs")
    assert lines[1].split()[-1] == "doubts"
    assert [line.split()[-1] for line in lines[2:4]] == ["60.0", "scatter"]
    legend = lines[lines.index("doubts:") + 1 :]
    assert legend == [
        "  scatter    the standard deviation of a session's runs is over 10% of their mean"
    ]
    _, out, _ = mnv4("results", "list", "--run", "base")
    assert "doubts" not in out
    (group,) = json.loads(mnv4("results", "list", "--run", "short", "--json")[1])["groups"]
    assert group["doubts"] == [{"code": "few", "detail": ""}]


def test_the_nearest_published_figure_stands_beside_a_result(mnv4, path):
    phone = replace(DEVICE, id="adb:7", model="samsung SM-S931U", soc="QTI SM8750")
    medium = replace(ARTIFACT, model="conv-medium")
    plan = replace(measurement().plan, unit="npu")
    with Store(path) as store:
        store.add(measurement((0.964,) * 50, device=phone, artifact=medium, plan=plan))
    _, out, _ = mnv4("results", "list", "--device", "adb:7")
    assert "0.241 NPU" in out
    assert "  0.241 ms  conv-medium 224 px, int8, NPU, LiteRT, Galaxy S25 (the same chip): " in out
    _, out, _ = mnv4("results", "list", "--device", "adb:7", "--json")
    (group,) = json.loads(out)["groups"]
    assert group["published"]["source"] == "Qualcomm AI Hub"
    assert group["doubts"] == [
        {
            "code": "published",
            "detail": "4.0 times slower than the published NPU figure of the same chip: it "
            "probably ran on the CPU",
        }
    ]


def test_compare_ends_with_4_on_a_regression(mnv4, path, tmp_path):
    code, out, _ = mnv4("compare", "base", "new", "--json")
    (one,) = json.loads(out)["differences"]
    assert (code, one["verdict"], round(one["change"], 2)) == (0, "slower", 0.2)
    assert (one["base_ms"], one["new_ms"], one["advice"]) == (5.01, 6.01, None)
    code, out, err = mnv4("compare", "base", "new", "--max-regression", "10")
    assert code == 4
    assert "+20.0%" in out
    assert err.startswith("error: slower by more than 10 %, with confidence: conv-small")
    code, out, _ = mnv4("compare", "base", "new", "--max-regression", "25")
    assert (code, "no regression" in out) == (0, True)
    assert mnv4("compare", "new", "base", "--max-regression", "0")[0] == 0
    file = tmp_path / "base.jsonl"
    mnv4("results", "export", file, "--run", "base")
    assert mnv4("compare", file, "new", "--max-regression", "10")[0] == 4


def test_compare_ends_with_6_where_the_interval_decides_nothing(mnv4, path):
    with Store(path) as store:
        store.add(measurement(run="once"))
        for i, ms in enumerate((2.0, 5.0, 30.0)):
            store.add(measurement([ms] * 50, run="noisy", session=i))
    for bound in ([], ["--max-regression", "5"]):
        code, out, err = mnv4("compare", "base", "once", *bound)
        assert (code, "inconclusive" in out) == (6, True)
        assert "tflite on adb:1: each run needs 3 sessions; found 3 and 1" in err
        code, out, err = mnv4("compare", "base", "noisy", *bound)
        assert (code, "inconclusive" in out) == (6, True)
        assert "use a quiet device" in err
        assert "error: 1 of 1 comparisons inconclusive; measure both runs with more" in err
    other = replace(ARTIFACT, sha256="c" * 64, name="other", model="other")
    with Store(path) as store:
        store.add(measurement(run="base", artifact=other))
        store.add(measurement(run="new", artifact=other))
    code, _, err = mnv4("compare", "base", "new", "--max-regression", "10")
    assert (code, "inconclusive: other on adb:1" in err) == (4, True)  # outranks 6
    assert mnv4("compare", "base", "new", "--max-regression", "25")[0] == 6


def test_compare_says_what_it_does_not_compare(mnv4, path):
    with Store(path) as store:
        store.add(measurement(run="elsewhere", device=replace(DEVICE, id="adb:2")))
    code, _, err = mnv4("compare", "base", "elsewhere")
    assert (code, "nothing to compare" in err) == (2, True)
    with Store(path) as store:
        store.add(measurement(run="base", device=replace(DEVICE, id="adb:2")))
    code, _, err = mnv4("compare", "base", "new", "--max-regression", "25")
    assert (code, err.splitlines()[0]) == (
        0,
        "not compared: conv-small-224x224-int8-tflite on adb:2: only in base",
    )
    code, _, err = mnv4("compare", "base", "nothing")
    assert (code, "found no run 'nothing'; runs: base, new" in err) == (2, True)


def test_choose_ends_with_3_when_nothing_fits(mnv4, path):
    asked = ("choose", "--device", "adb:1", "--max-ms", "5.5")
    code, out, _ = mnv4(*asked, "--min-top1", "70", "--json")
    found = json.loads(out)
    assert (code, found["ship"]) == (0, "conv-small-224x224-int8-tflite")
    assert found["rejected"][0]["misses"] == ["too slow: 6.01 ms, at most 5.5"]
    code, out, err = mnv4(*asked, "--min-top1", "79")
    assert code == 3
    assert "top-1 too low: 74.00%, at least 79.00%" in out
    assert err == "error: adb:1: no bundle is known to fit: 2 rejected\n"
    code, out, err = mnv4("choose", "--device", "adb:1", "--max-ms", "9", "--min-top1", "79")
    assert code == 3
    assert "mnv4 evaluate conv-small-224x224-int8-tflite DATASET" in out
    assert err.endswith("1 rejected, 1 not evaluated\n")


def test_choose_takes_any_bound_alone_but_needs_one(mnv4, path):
    code, _, err = mnv4("choose")
    assert (code, "choose: found no bound; give one or more of --max-ms" in err) == (2, True)
    for bound in (["--max-ms", "5.5"], ["--max-mb", "5"], ["--min-top1", "70"]):
        code, out, _ = mnv4("choose", *bound)
        assert code == 0
        assert "ship conv-small-224x224-int8-tflite: 5.01 ms (p50, 1 thread), top-1 74.0%" in out


@pytest.mark.parametrize(
    ("device", "address"),
    [
        ("host:computer", "host"),
        ("browser:1a2b", "browser"),
        ("browser:1a2b:gpu", "browser:gpu"),
        ("ssh:board", "ssh:board"),
        ("ssh:$(touch taken)", "'ssh:$(touch taken)'"),
    ],
)
def test_choose_says_what_to_measure_and_where(mnv4, path, device, address):
    with Store(path) as store:
        other = replace(ARTIFACT, sha256="f" * 64, name="other")
        store.add(measurement(artifact=other, device=replace(DEVICE, id=device)))
    kind = device.partition(":")[0]
    _, out, _ = mnv4("choose", "--device", kind, "--max-ms", "9", "--min-top1", "70")
    assert f"mnv4 measure conv-small-224x224-int8-tflite --device {address}\n" in out


def test_names_in_a_store_command_neither_the_terminal_nor_the_shell(mnv4, tmp_path, monkeypatch):
    hostile = "\x1b]0;x\x07\u202e\n$(touch taken)`"
    artifact = replace(ARTIFACT, name=hostile, bundle_id=hostile, model=hostile, recipe=hostile)
    device = replace(DEVICE, id=f"adb:{hostile}", model=hostile, soc=hostile, os_build=hostile)
    monkeypatch.setenv("MNV4_STORE", str(tmp_path / "mnv4.sqlite"))
    monkeypatch.chdir(tmp_path)
    with Store(tmp_path / "mnv4.sqlite") as store:
        for run in (hostile, "b"):
            one = measurement(run=run, artifact=artifact, device=device)
            store.add(one)
        store.add(evaluation("0" * 64, bundle_id=hostile))
    compare = ("compare", hostile, "b", "--max-regression", "5")
    for words in (
        ("results",),
        ("results", "list"),
        ("results", "show", one.id),
        ("results", "list", "--json"),
        compare,
        ("report",),
        ("report", "-o", "report.md"),
        ("choose", "--max-ms", "10", "--min-top1", "50"),
    ):
        _, out, err = mnv4(*words)
        assert "u202e" in out, words
        assert all(c.isprintable() for c in (out + err).replace("\n", "")), words
    assert not any(line.startswith(("$", "touch")) for line in out.split("\n"))
    text = (tmp_path / "report.md").read_text()
    assert all(c.isprintable() for c in text.replace("\n", ""))
    assert "touch taken" in text
    assert not any(line.startswith(("$", "touch")) for line in text.split("\n"))


@pytest.mark.filterwarnings("always")  # Python shows a warning once for every place
def test_a_damaged_record_is_noted_and_deleted(mnv4, path):
    with Store(path) as store:
        damaged = store.measurements()[0]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE measurements SET body = '[]' WHERE id = ?", (damaged.id,))
    for words in (["results"], ["results", "list"], ["compare", "base", "new"], ["report"]):
        words += ["-o", path.with_name("report.html")] if words == ["report"] else []
        _, out, err = mnv4(*words)
        assert out
        assert f"note: {path}: left out a damaged measurement; mnv4 results delete" in err, words
        assert damaged.id in err
    assert mnv4("results", "delete", damaged.id[:10], "--yes")[1] == "deleted 1 measurement\n"
    assert "note: " not in mnv4("results")[2]


def test_what_cannot_be_imported_makes_no_store(mnv4, tmp_path):
    lines, store = tmp_path / "bad.jsonl", tmp_path / "new.sqlite"
    lines.write_text("{}\n")
    assert mnv4("results", "import", lines, "--store", store)[0] == 2
    assert [one.name for one in tmp_path.iterdir()] == ["bad.jsonl"]


@pytest.mark.parametrize("option", ["--run", "--device"])
def test_an_empty_filter_chooses_nothing(mnv4, path, option):
    code, _, err = mnv4("results", "delete", option, "", "--target", "tflite", "--yes")
    assert (code, err) == (2, f"error: {option}: found '', must not be empty\n")


def test_the_most_extreme_figures_are_shown(mnv4, tmp_path):
    path = tmp_path / "extreme.sqlite"
    least, most = 5e-324, 1e9
    summary = Summary(mean=least, std=most, min=least, max=most, count=2**31 - 1)
    latencies = [[least] * 15 + [most] * 45, [0.0] * 60, [most] * 60, [least] * 60]
    artifacts = [replace(ARTIFACT, sha256=f"{i:064}", name=f"{i}", model=f"{i}") for i in range(5)]
    with Store(path) as store:
        for run, session in product(("base", "new"), range(3)):
            fields = {"run": run, "session": session}
            for artifact, times in zip(artifacts, latencies, strict=False):
                turned = times if run == "base" else times[::-1]
                store.add(measurement(turned, artifact=artifact, **fields))
            samples = Samples(golden_sqnr_db=-3.4e38, peak_rss_mb=3.4e38, summary=summary)
            store.add(measurement(artifact=artifacts[4], samples=samples, **fields))
    for words in (["list"], ["list", "--run", "new"]):
        code, out, _ = mnv4("results", *words, "--json", "--store", path)
        assert (code, len(json.loads(out, parse_constant=pytest.fail)["groups"])) == (0, 5)
        assert mnv4("results", *words, "--store", path)[0] == 0
    code, out, _ = mnv4("compare", "base", "new", "--json", "--store", path)
    assert len(json.loads(out, parse_constant=pytest.fail)["differences"]) == 5
    for name in ("report.html", "report.md", "report.csv"):
        code, _, err = mnv4("report", "-o", tmp_path / name, "--store", path)
        assert code == 0, err
    assert mnv4("choose", "--max-ms", "1", "--store", path)[0] in (0, 3)


def test_a_store_without_write_permission_is_read(mnv4, path, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    kept = Path(shutil.copy(path, folder))
    with no_writing(folder):
        for words in (
            ["results"],
            ["results", "list"],
            ["results", "export", tmp_path / "all.jsonl"],
            ["report", "-o", tmp_path / "report.html"],
            ["compare", "base", "new"],
            ["choose", "--max-ms", "10"],
        ):
            code, _, err = mnv4(*words, "--store", kept)
            assert code == 0, err
        code, _, err = mnv4("results", "delete", "--run", "base", "--yes", "--store", kept)
        assert (code, err) == (2, f"error: {kept}: cannot be written: no permission\n")
    assert os.listdir(folder) == [kept.name]
    assert kept.read_bytes() == path.read_bytes()
