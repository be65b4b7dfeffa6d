"""Comparing runs: copies pass, slower ones are caught, and the interval keeps its promise."""

import dataclasses

import numpy as np
import pytest
from records import ARTIFACT, DEVICE, PLAN, measurement

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measuring.measurement import Samples, Summary
from mnv4_mobile.measuring.results.compare import SESSIONS, compare, interval, side
from mnv4_mobile.measuring.results.doubts import Doubt
from mnv4_mobile.measuring.results.exchange import Records, export_records
from mnv4_mobile.measuring.results.statistics import groups
from mnv4_mobile.measuring.results.store import Store
from mnv4_mobile.records import replace


def _run(random, ms, sessions=8, **fields):
    """A run as devices give them: it drifts as a whole, its sessions differ, samples have tails."""
    run = ms * np.exp(random.normal(0, 0.01))
    found = []
    for i in range(sessions):
        session = run * np.exp(random.normal(0, 0.015))
        warming = 1 + 0.02 * np.arange(50) / 50
        tail = 1 + (random.random(50) < 0.05) * random.exponential(0.5, 50)
        latencies = session * warming * tail * np.exp(random.normal(0, 0.01, 50))
        found.append(measurement(latencies=latencies.tolist(), session=i, **fields))
    return found


def verdicts(comparisons, bound):
    return [one.verdict(bound) for found in comparisons for one in found.differences]


def test_copies_pass_20_of_20_and_slower_ones_are_caught():
    random = np.random.default_rng(1)
    changed = {"artifact": replace(ARTIFACT, sha256="b" * 64)}
    copies = [compare(_run(random, 6.0), _run(random, 6.0, **changed)) for _ in range(20)]
    slower = [compare(_run(random, 6.0), _run(random, 6.6, **changed)) for _ in range(20)]
    assert "regression" not in verdicts(copies, 0.05)
    assert verdicts(slower, 0.05).count("regression") >= 18
    assert verdicts(slower, None) == ["slower"] * 20
    assert "regression" not in verdicts(slower, 0.15)


@pytest.mark.parametrize("sessions", [(3, 3), (5, 5), (3, 10), (10, 10)])
@pytest.mark.parametrize("noise", ["normal", "skewed"])
def test_the_interval_holds_the_truth(sessions, noise):
    random = np.random.default_rng(2)
    draw = {
        "normal": lambda n: random.normal(0, 0.02, n),
        "skewed": lambda n: random.exponential(0.02, n),
    }[noise]
    hits = 0
    for _ in range(200):
        low, high = interval(np.exp(draw(sessions[0])), 1.1 * np.exp(draw(sessions[1])))
        hits += low <= 0.1 <= high
    # 190 of 200 are promised; a binomial variable of that mean stays above 181 in 99 % of cases.
    assert hits >= 182


def test_sessions_without_noise_have_an_interval_without_width():
    assert interval([5.0] * 4, [6.0] * 4) == pytest.approx((0.2, 0.2))


def test_the_ends_of_an_interval_stay_finite():
    low, high = interval([1e-9, 1.0, 1e9], [1e-9, 1.0, 1e9])
    assert (low, high) == pytest.approx((-0.999, 999.0))


def _with_interval(change, interval, sessions=4):
    group = compare([measurement(session=i) for i in range(sessions)], [measurement()])
    one = group.differences[0]
    return dataclasses.replace(one, new=one.base, change=change, interval=interval)


@pytest.mark.parametrize(
    ("interval", "bound", "verdict"),
    [
        ((0.06, 0.2), 0.05, "regression"),
        ((0.05, 0.2), 0.05, "inconclusive"),
        ((0.01, 0.06), 0.05, "inconclusive"),
        ((0.01, 0.05), 0.05, "no regression"),
        ((-0.3, -0.1), 0.05, "no regression"),
        ((-0.98, 33.4), 0.05, "inconclusive"),
        ((0.0, 0.0), 0.0, "no regression"),
        (None, 0.05, "inconclusive"),
        ((0.01, 0.2), None, "slower"),
        ((-0.2, -0.01), None, "faster"),
        ((-0.05, 0.05), None, "no difference shown"),
        ((-0.01, 0.06), None, "inconclusive"),
        ((-0.98, 33.4), None, "inconclusive"),
        (None, None, "inconclusive"),
    ],
)
def test_what_an_interval_decides(interval, bound, verdict):
    assert _with_interval(0.0, interval).verdict(bound) == verdict


def test_how_many_sessions_would_decide():
    # Half as far from the bound as the interval reaches: four times the sessions.
    one = _with_interval(0.1, tuple(np.expm1(np.log1p(0.1) + np.array([-0.2, 0.2]))))
    bound = float(np.expm1(np.log1p(0.1) - 0.1))
    assert one.advice(bound) == "about 16 sessions of each run would decide"
    # It is near 0, and the interval must fit into 5 %.
    (low, high) = np.expm1([-0.1, 0.1])
    assert _with_interval(0.0, (low, high)).advice() == (
        "about 17 sessions of each run would decide"
    )
    assert "use a quiet device" in _with_interval(0.0, (-0.98, 33.4)).advice()
    assert "use a quiet device" in _with_interval(0.05, (-0.01, 0.2)).advice(0.05)


def test_results_and_compare_show_the_same_latency():
    base = [measurement([ms] * 50, session=i) for i, ms in enumerate((5.0, 6.0, 9.0, 5.5))]
    (one,) = compare(base, base).differences
    (group,) = groups(base)
    assert one.base_ms == one.new_ms == group.latency_ms == 5.75
    assert one.change == 0


def test_two_sessions_say_nothing():
    few = [measurement(session=i) for i in range(SESSIONS - 1)]
    slower = [measurement(latencies=[9.0] * 50, session=i) for i in range(5)]
    (one,) = compare(few, slower).differences
    assert (one.verdict(), one.interval) == ("inconclusive", None)
    assert one.advice() == "each run needs 3 sessions; found 2 and 5"
    assert one.change == pytest.approx(0.8)


def test_what_is_matched_and_what_is_doubted():
    before = [measurement(session=i) for i in range(3)]
    threads = [measurement(plan=replace(PLAN, threads=4))]
    repeated = replace(PLAN, repeats=5, cooldown_s=3.0)
    after = [
        measurement(
            session=i,
            plan=repeated,
            artifact=replace(ARTIFACT, sha256="b" * 64),
            device=replace(DEVICE, os_build="Android 16"),
        )
        for i in range(3)
    ]
    elsewhere = [measurement(device=replace(DEVICE, id="adb:2"))]
    found = compare(before + threads, after + elsewhere)
    (one,) = found.differences
    assert one.doubts == (Doubt("os", "base Android 15, new Android 16"),)
    assert one.verdict() == "no difference shown"
    assert [group.first.plan.threads for group in found.only_in_base] == [4]
    assert [group.first.device.id for group in found.only_in_new] == ["adb:2"]


def test_a_doubt_says_which_run_has_it():
    def run(latencies):
        return [measurement(latencies, session=i) for i in range(3)]

    few, noisy = run([5.0] * 10), run([5.0, 9.0] * 20)
    assert compare(few, few).differences[0].doubts == (Doubt("few"),)
    assert compare(few, noisy).differences[0].doubts == (
        Doubt("scatter", "new"),
        Doubt("few", "base"),
    )


def test_a_session_that_failed_is_not_a_fast_one():
    before = [measurement(session=i) for i in range(3)]
    failed = [measurement(status="failed", session=i) for i in range(3)]
    (one,) = compare(before, failed).differences
    assert (one.verdict(0), one.new_ms) == ("inconclusive", None)
    assert one.advice(0) == "no session of the new run gave a latency"
    assert Doubt("failed", "new 3/3") in one.doubts


def test_summaries_are_compared_by_their_means():
    told = Summary(mean=6.0, std=0.1, min=5.0, max=7.0, count=50)
    before = [measurement(latencies=[5.0] * 49 + [55.0], session=i) for i in range(3)]
    after = [
        measurement(samples=Samples(golden_sqnr_db=60.0, summary=told), session=i) for i in range(3)
    ]
    (one,) = compare(before, after).differences
    assert one.statistic == "mean"
    assert (one.base_ms, one.new_ms) == pytest.approx((6.0, 6.0))


def test_a_side_is_a_run_or_a_file(tmp_path):
    one, other = measurement(run="one"), measurement(run="other")
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        store.add(one)
        store.add(other)
    assert side("other", path) == [other]
    export_records(Records(measurements=[one]), tmp_path / "one.jsonl")
    assert side(str(tmp_path / "one.jsonl"), path) == [one]
    with pytest.raises(ConfigError, match="found no run 'third'; runs: one, other"):
        side("third", path)
