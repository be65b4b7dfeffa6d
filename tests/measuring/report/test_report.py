"""The report: what is in the page, in Markdown and in tables, without a browser."""

import json
import re
import sys
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import ARTIFACT, DEVICE, PLAN, evaluation, measurement, profile

from mnv4_mobile import cli
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measuring.plan import PRESETS
from mnv4_mobile.measuring.profile import PartTime
from mnv4_mobile.measuring.report import data as report_data
from mnv4_mobile.measuring.report.data import drawn, page_data, rows
from mnv4_mobile.measuring.report.markdown import markdown
from mnv4_mobile.measuring.report.page import html
from mnv4_mobile.measuring.report.write import write_report
from mnv4_mobile.measuring.results.choose import Bounds
from mnv4_mobile.measuring.results.store import Store
from mnv4_mobile.records import replace

HOSTILE = "</script><script>document.title='taken'</script><!-- \u2028 & | `x` [a](b) @someone"


class Page(HTMLParser):
    """What a parser of HTML sees: elements, and the text of the data's script."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.data, self._in_data = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._in_data = dict(attributes).get("id") == "data"

    def handle_endtag(self, tag):
        self._in_data = False

    def handle_data(self, text):
        if self._in_data:
            self.data += text


def store_of(tmp_path, *measurements, evaluations=()):
    store = Store(tmp_path / "store.sqlite")
    for one in measurements:
        store.add(one)
    for one in evaluations:
        store.add(one)
    return store


@given(st.text(), st.text())
def test_data_stays_data_whatever_the_names(name, model):
    artifact = replace(ARTIFACT, name=HOSTILE + name, bundle_id=None, model=None)
    one = measurement(artifact=artifact, device=replace(DEVICE, model=model + HOSTILE))
    found = page_data([one], [], [])
    text = html(found)
    page = Page(text)
    assert json.loads(page.data) == json.loads(json.dumps(found))
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert "document.title='taken'" not in re.sub(r'id="data">.*?</script>', "", text)


def test_a_page_names_no_other_place_and_allows_none():
    page = Page(html(page_data([measurement()], [], [])))
    links = [
        value for _, all_ in page.tags for key, value in all_.items() if key in ("src", "href")
    ]
    assert links == ["data:,"]
    (policy,) = [a["content"] for _, a in page.tags if "http-equiv" in a]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_few_samples_are_all_drawn_and_many_by_a_fixed_seed(monkeypatch):
    assert drawn(50, 50, seed="a") == list(range(50))
    some = drawn(5000, 50, seed="a")
    assert some == drawn(5000, 50, seed="a") != drawn(5000, 50, seed="b")
    assert some == sorted(set(some))
    assert len(some) == 50
    monkeypatch.setattr(report_data, "POINTS", 20)
    one = measurement(latencies=[5.0 + i / 1000 for i in range(1000)])
    (row,) = page_data([one], [], [])["rows"]
    (session,) = row["sessions"]
    assert len(session["ms"]) == len(session["t"]) == 20
    assert row["n"] == 1000
    # Statistics are of all samples all the same.
    assert row["box"] == pytest.approx([5.05, 5.25, 5.5, 5.75, 5.95], rel=1e-3)


def test_accuracy_is_joined_by_the_artifact_and_what_is_missing_stays():
    other = replace(ARTIFACT, sha256="b" * 64, name="unjudged")
    found = page_data(
        [measurement(), measurement(artifact=other)],
        [
            evaluation(top1=0.5, started_at="2026-01-01T00:00:00+00:00"),
            evaluation(top1=0.74),
            evaluation(dataset="small", dataset_sha256="e" * 64, top1=0.9),
        ],
        [],
    )
    assert [dataset["name"] for dataset in found["datasets"]] == ["val", "small"]
    assert [[a and a["top1"] for a in row["accuracy"]] for row in found["rows"]] == [
        [74, 90],
        [None, None],
    ]
    # Wilson's interval of 740 of 1000.
    first = found["rows"][0]["accuracy"][0]
    assert (first["low"], first["high"], first["n"]) == (71.19, 76.62, 1000)
    assert [row["ms"] for row in found["rows"]] == [5.0, 5.0]


def test_runs_are_rows_of_their_own_and_the_latest_of_a_group_is_known():
    other = replace(PLAN, threads=2)
    found = rows(
        [
            measurement(run="old", session=0),
            measurement(run="old", session=1),
            measurement(run="old", plan=other),
            measurement(run="new"),
        ]
    )
    shown = [(r.first.run, r.first.plan.threads, len(r.group.sessions), r.latest) for r in found]
    assert shown == [("old", 1, 2, False), ("old", 2, 1, True), ("new", 1, 1, True)]


def test_what_failed_and_what_is_doubted_is_shown_with_its_reason():
    noisy = measurement(latencies=[5.0, 9.0] * 20)
    found = page_data([noisy, measurement(session=1, status="failed")], [], [])
    (row,) = found["rows"]
    assert list(found["doubts"]) == ["failed", "scatter"]
    assert found["common"] == []  # of a single row nothing is said above the table
    assert row["doubts"] == [["failed", "1/2"], ["scatter", ""]]
    assert row["errors"] == ["the device vanished"]
    assert [session["status"] for session in row["sessions"]] == ["ok", "failed"]
    assert row["ms"] == 7.0


def test_a_row_has_the_accuracy_of_its_own_unit():
    judged = [
        evaluation(top1=0.8, unit="npu"),
        evaluation(top1=0.5, unit="cpu", started_at="2026-05-01T00:00:00+00:00"),
    ]
    timed = [measurement(plan=replace(PLAN, unit=unit)) for unit in ("npu", "cpu")]
    found = page_data(timed, judged, [])
    assert [row["accuracy"][0]["top1"] for row in found["rows"]] == [80, 50]


def test_a_verdict_for_each_device_and_dataset_of_its_bundles():
    digits, animals, unknown = (
        replace(ARTIFACT, sha256=letter * 64, name=name)
        for letter, name in (("a", "digits"), ("b", "animals"), ("c", "unknown"))
    )
    phone, board = DEVICE, replace(DEVICE, id="ssh:board", model="Board")
    timed = [
        measurement(artifact=digits, device=phone),
        measurement(artifact=animals, device=phone),
        measurement(artifact=unknown, device=board),
    ]
    judged = [evaluation(), evaluation("b" * 64, dataset="zoo", dataset_sha256="f" * 64)]
    found = page_data(timed, judged, [])["verdicts"]
    assert [(v["device"], v["dataset"], v["headline"], v["why"]) for v in found] == [
        (0, "val", "ship digits", "the only one that was compared"),
        (0, "zoo", "ship animals", "the only one that was compared"),
        (1, None, "no bundle can be named", "1 not evaluated"),
    ]
    assert found[0]["next"] == ["mnv4 sdk android digits -o mnv4"]
    assert found[2]["next"] == ["mnv4 evaluate unknown DATASET"]
    assert "top-1 74.0% (95% interval 71.2 to 76.6, 1000 images)" in found[0]["facts"]


def test_a_doubt_that_all_rows_have_is_said_once():
    other = replace(ARTIFACT, sha256="b" * 64, name="other")
    timed = [
        measurement(latencies=(4.0,) * 10),
        measurement(artifact=other, latencies=[5.0, 9.0] * 5),
    ]
    judged = [evaluation(), evaluation("b" * 64)]
    found = page_data(timed, judged, [])
    assert found["common"] == ["few"]
    assert [row["doubts"] for row in found["rows"]] == [
        [["few", ""]],
        [["scatter", ""], ["few", ""]],
    ]
    assert found["verdicts"][0]["doubts"] == []
    text = markdown(timed, judged)
    assert text.count("few") == 1  # in the sentence about all rows
    assert "- All rows: a session has fewer than 20 runs" in text


def test_bounds_decide_what_the_report_ships(tmp_path):
    slow = replace(ARTIFACT, sha256="b" * 64, name="slow")
    with store_of(
        tmp_path,
        measurement(),
        measurement(artifact=slow, latencies=(8.0,) * 50),
        evaluations=[evaluation(), evaluation("b" * 64, top1=0.9)],
    ) as store:
        texts = []
        for bounds in (Bounds(), Bounds(max_ms=6), Bounds(max_ms=1)):
            write_report(store, tmp_path / "r.md", "md", bounds=bounds)
            texts.append((tmp_path / "r.md").read_text().splitlines()[4])
    assert texts[0].startswith("- **Pixel 8**: ship slow: 8.00 ms (p50, 1 thread), top-1 90.0%")
    assert texts[0].endswith("Next: `mnv4 sdk android slow -o mnv4`")
    assert texts[1].startswith("- **Pixel 8**: ship conv-small-224x224-int8-tflite: 5.00 ms")
    assert texts[2] == "- **Pixel 8**: no bundle is known to fit: 2 rejected."


def test_drift_compares_the_quarters_of_a_session():
    one = measurement(latencies=[4.0] * 25 + [5.0] * 50 + [6.0] * 25)
    (row,) = page_data([one], [], [])["rows"]
    assert row["sessions"][0]["drift"] == 0.5
    assert row["sessions"][0]["before"] == ["nominal", 31.5]


def test_profiles_are_joined_by_artifact_and_device():
    block = PartTime(name="stem", role="Conv", ms=1.5, macs=10, gflops=0.1)
    there, elsewhere = (
        profile(ARTIFACT.sha256, device, blocks=(block,)) for device in (DEVICE.id, "host")
    )
    found = page_data([measurement()], [], [there, elsewhere])["profiles"]
    assert found == [{"artifact": 0, "device": 0, "threads": 1, "blocks": [["stem", "Conv", 1.5]]}]


def test_published_figures_stand_beside_measurements_with_their_source():
    phone = replace(DEVICE, model="Google Pixel 6")
    dynamic = replace(ARTIFACT, sha256="b" * 64, recipe="int8-dynamic")
    larger = replace(ARTIFACT, sha256="c" * 64, size=(256, 256))
    data = page_data(
        [measurement(device=phone, artifact=a) for a in (ARTIFACT, dynamic, larger)]
        + [measurement(device=phone, plan=PRESETS["paper"])],
        [],
        [],
    )
    found = data["rows"]
    assert [row["published"] and row["published"]["ms"] for row in found] == [2.4, None, None, 2.4]
    assert [row["alike"] for row in found] == [False, False, False, True]
    assert found[0]["published"]["source"] == "The paper"
    assert list(data["sources"]) == ["The paper"]
    assert data["sources"]["The paper"]["url"] == "https://arxiv.org/abs/2404.10518"
    of_device = data["devices"][0]["published"]
    assert {(one["device"], one["unit"]) for one in of_device} == {("Pixel 6", "CPU")}
    assert of_device[0]["top1"] == 73.8


def test_markdown_is_a_table_for_each_device(tmp_path):
    slow = replace(ARTIFACT, sha256="b" * 64, name="slow")
    phone = replace(DEVICE, model="Pixel 6", id="adb:6")
    text = markdown(
        [
            measurement(artifact=slow, latencies=(8.0,) * 50, device=phone),
            measurement(device=phone),
            measurement(device=phone, session=1, latencies=(6.0,) * 50),
            measurement(status="failed"),
        ],
        [evaluation()],
    )
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [cell[0] for cell in cells if not cell[0].startswith("---")] == [
        "Artifact",
        "conv-small-224x224-int8-tflite",
        "slow",
        "Artifact",
        "conv-small-224x224-int8-tflite",
    ]
    assert cells[2][2:9] == [
        "**5.50**",
        "5.00 to 6.00",
        "5.50",
        "74.0 (71.2 to 76.6)",
        "4.00",
        "-",
        "2.40 (CPU)",
    ]
    assert cells[2][9] == "spread 20%"
    assert "- `spread`: the slowest session took over 7% longer than the fastest" in text
    assert cells[3][5] == "unknown"
    assert "the device vanished" in cells[-1][9]
    assert "Not evaluated on val (`mnv4 evaluate BUNDLE DATASET` does it): slow." in text


def test_formats_are_written_by_their_suffix(tmp_path):
    with store_of(tmp_path, measurement()) as store:
        for kind, begin in (("html", b"<!doctype html>"), ("md", b"# "), ("csv", b"id,run,")):
            path = tmp_path / f"report.{kind}"
            assert len(write_report(store, path, kind)) == 1
            assert path.read_bytes().startswith(begin)
        assert write_report(store, tmp_path / "r.md", "md", runs=["a"])
        with pytest.raises(ConfigError, match=r"--run: found 'b', allowed: a"):
            write_report(store, tmp_path / "b.md", "md", runs=["a", "b"])
        with pytest.raises(ConfigError, match="there is no such folder"):
            write_report(store, tmp_path / "no" / "r.html", "html")
    assert not (tmp_path / "b.md").exists()


def test_an_empty_store_says_how_to_fill_it(tmp_path):
    with (
        store_of(tmp_path) as store,
        pytest.raises(ConfigError, match=r"holds no measurement yet; mnv4 measure"),
    ):
        write_report(store, tmp_path / "r.html", "html")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["mnv4", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code or 0


def test_the_command(tmp_path, monkeypatch, capsys):
    store_of(tmp_path, measurement()).__exit__(None, None, None)
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "report", "--store", "store.sqlite", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    size = (tmp_path / "report.html").stat().st_size
    (verdict,) = printed.pop("verdicts")
    assert printed == {"schema": 1, "path": "report.html", "bytes": size, "measurements": 1}
    assert (verdict["device"], verdict["ship"]) == (DEVICE.id, None)
    assert verdict["verdict"] == "no bundle can be named: 1 not evaluated"
    for wrong in (["-o", "report.txt"], ["-o", "report.html", "--format", "md"]):
        assert run(monkeypatch, "report", "--store", "store.sqlite", *wrong) == 2
        assert f"error: -o {wrong[1]}: found" in capsys.readouterr().err
