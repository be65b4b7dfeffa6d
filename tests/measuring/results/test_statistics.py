"""Statistics against the golden cases of all languages, and what is doubted."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import ARTIFACT, DEVICE, PLAN, measurement

from mnv4_mobile.measuring.measurement import Samples, Summary, Thermal
from mnv4_mobile.measuring.results import statistics
from mnv4_mobile.measuring.results.doubts import Doubt, common, doubts, doubts_of_group, os_builds
from mnv4_mobile.measuring.results.statistics import SessionGroup, drift, groups, wilson
from mnv4_mobile.records import plain, replace

CASES = json.loads((Path(__file__).parents[2] / "golden" / "statistics.json").read_text())["cases"]


def codes(found):
    """Doubts as a table shows them."""
    return list(map(str, found))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_golden_cases(case):
    values, expected = case["latencies_ms"], case["expected"]
    found = plain(statistics.of_samples(values))
    assert (found["cv"] is None) == (expected["cv"] is None)
    known = {key: value for key, value in expected.items() if value is not None}
    assert {key: found[key] for key in known} == pytest.approx(known, rel=1e-9)


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=60), st.floats(0, 100))
def test_statistics_are_those_of_numpy(values, q):
    assert statistics.percentile(values, q) == pytest.approx(np.percentile(values, q), rel=1e-9)
    found = statistics.of_samples(values)
    assert found.p90 == pytest.approx(np.percentile(values, 90), rel=1e-9)
    assert found.mean == pytest.approx(np.mean(values), rel=1e-9)
    assert (found.min, found.max, found.n) == (min(values), max(values), len(values))
    if len(values) > 1:
        deviation = np.std(values, ddof=1)
        assert found.cv * found.mean == pytest.approx(deviation, rel=1e-9, abs=1e-6 * found.mean)


def test_a_summary_has_no_percentiles():
    told = Summary(mean=4.0, std=1.0, min=3.0, max=9.0, count=50)
    one = measurement(samples=Samples(golden_sqnr_db=60.0, summary=told))
    found = statistics.of(one)
    assert (found.p50, found.mean, found.cv, found.n) == (None, 4.0, 0.25, 50)
    group = SessionGroup((one,))
    assert (group.statistic, group.latency_ms) == ("mean", 4.0)
    assert codes(doubts(one)) == ["scatter", "summary"]


def test_sessions_are_reduced_by_the_median_of_the_plans_statistic():
    sessions = [
        measurement(latencies=[v] * 24 + [10 * v] * 6, session=i)
        for i, v in enumerate((1.0, 5.0, 2.0))
    ]
    assert SessionGroup(tuple(sessions)).latency_ms == 2.0
    mean = [replace(m, plan=replace(PLAN, statistic="p90")) for m in sessions]
    assert SessionGroup(tuple(mean)).latency_ms == 20.0


def test_failed_sessions_stay_with_their_group():
    ok = measurement()
    failed = measurement(status="failed", session=1)
    other = measurement(device=replace(DEVICE, os_build="Android 16"))
    found = groups([ok, failed, other])
    assert [len(group.measurements) for group in found] == [2, 1]
    assert [len(group.sessions) for group in found] == [1, 1]
    assert codes(doubts_of_group(found[0].measurements)) == ["failed 1/2"]
    assert SessionGroup((failed,)).latency_ms is None
    assert doubts(failed) == []


def _with(**values):
    return measurement(samples=replace(measurement().samples, **values))


def _asked(unit, ran_on):
    return replace(_with(ran_on=ran_on), plan=replace(PLAN, unit=unit))


def test_a_group_says_which_unit_ran_instead_of_the_one_that_was_asked_for():
    fell, ran = _asked("gpu", ("cpu",)), _asked("gpu", ("gpu",))
    assert codes(doubts_of_group([fell, fell])) == ["fallback asked for gpu, ran on cpu"]
    assert codes(doubts_of_group([fell, ran])) == ["fallback 1/2"]


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (measurement(), []),
        (_with(conditions={"busy": 0.4}), ["busy"]),
        (_with(conditions={"busy": 0.05}), []),
        (_with(conditions={"timer_resolution_ms": 1.0}), ["timer"]),
        (measurement(latencies=[1.0, 2.0] * 20), ["scatter"]),
        (
            measurement(latencies=[4.0] * 15 + [4.4] * 35),  # a CV of 4 % only
            ["drift"],
        ),
        (measurement(latencies=[4.0, 4.4] * 100), []),
        (measurement(latencies=[4.0] * 49 + [6.0]), []),
        (measurement(latencies=[0.0] * 50), []),  # of a timer that is too coarse
        (measurement(latencies=[5.0] * 10), ["few"]),
        (_with(thermal_before=Thermal(status="fair")), ["warm"]),
        (_with(thermal_after=Thermal(status="serious")), ["warming"]),
        (_with(ran_on=("gpu", "cpu")), []),  # the plan asks for no unit
        (_asked("gpu", ()), []),  # the runtime does not say
        (_asked("gpu", ("gpu",)), []),
        (_asked("gpu", ("cpu",)), ["fallback asked for gpu, ran on cpu"]),
        (_asked("npu", ("npu", "cpu")), ["fallback asked for npu, ran on npu and cpu"]),
        (_with(golden_sqnr_db=None), ["unchecked"]),
        (
            measurement(artifact=replace(ARTIFACT, bundle_id=None)),
            ["unverified"],
        ),
    ],
)
def test_doubts(one, said):
    assert codes(doubts(one)) == said


@given(st.lists(st.floats(0.1, 100), min_size=10, max_size=200))
def test_drift_is_that_of_the_medians_of_ten_parts_that_have_all_samples(values):
    parts = np.array_split(values, 10)
    assert sum(map(len, parts)) == len(values)
    if len(values) % 10 == 0:  # numpy gives the first parts what is left over
        medians = [np.median(part) for part in parts]
        assert drift(values) == pytest.approx(max(medians) / min(medians) - 1)
    assert drift(values) >= 0
    assert drift([2 * value for value in values]) == pytest.approx(drift(values))
    assert drift([values[0]] * len(values)) == 0
    assert drift([0.0] * 10 + values[:1] * 10) == math.inf


def test_doubts_of_a_group():
    a, b = measurement(latencies=[5.0] * 30), measurement(latencies=[6.0] * 30, session=1)
    assert codes(doubts_of_group([a, b])) == ["spread 20%"]
    warm = _with(thermal_before=Thermal(status="fair"))
    assert codes(doubts_of_group([a, warm])) == ["warm 1/2"]
    updated = measurement(
        device=replace(DEVICE, os_build="Android 16"), started_at="2026-06-01T00:00:00+00:00"
    )
    assert codes(doubts_of_group([a, updated])) == ["os Android 15, Android 16"]
    assert codes(doubts_of_group([a], os_builds([a, updated]))) == ["updated Android 16"]
    assert doubts_of_group([updated], os_builds([updated, a])) == []


def test_a_doubt_that_all_rows_have_is_common_whatever_its_detail():
    rows = [[Doubt("busy"), Doubt("few")], [Doubt("busy", "1/3")], [Doubt("busy"), Doubt("warm")]]
    assert common(rows) == ["busy"]
    assert common(rows[:1]) == []
    assert common([*rows, []]) == []


@pytest.mark.parametrize(
    ("share", "n", "interval"),
    [  # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
        (81 / 263, 263, (0.2553, 0.3662)),
        (15 / 148, 148, (0.0624, 0.1605)),
        (0.0, 20, (0.0, 0.1611)),
        (1 / 29, 29, (0.0061, 0.1718)),
        (1.0, 20, (0.8389, 1.0)),
    ],
)
def test_wilsons_interval(share, n, interval):
    assert wilson(share, n) == pytest.approx(interval, abs=5e-5)
