"""Comparing runs: copies pass, slower ones are caught, and the interval keeps its promise."""

import numpy as np
import pytest
from records import ARTIFACT, DEVICE, PLAN, measurement

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measure.measurement import Samples, Summary
from mnv4_mobile.measure.results.compare import SESSIONS, compare, interval, side
from mnv4_mobile.measure.results.exchange import Records, export_records
from mnv4_mobile.measure.results.store import Store
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


def test_copies_pass_20_of_20_and_slower_ones_are_caught():
    random = np.random.default_rng(1)
    changed = {"artifact": replace(ARTIFACT, sha256="b" * 64)}
    copies = [compare(_run(random, 6.0), _run(random, 6.0, **changed)) for _ in range(20)]
    slower = [compare(_run(random, 6.0), _run(random, 6.6, **changed)) for _ in range(20)]
    assert [len(one.regressions(0.05)) for one in copies] == [0] * 20
    assert sum(len(one.regressions(0.05)) for one in slower) >= 18
    assert all(one.differences[0].verdict == "slower" for one in slower)
    assert not any(one.regressions(0.15) for one in slower)


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
        low, high = interval(draw(sessions[0]), draw(sessions[1]) + np.log(1.1))
        hits += low <= 0.1 <= high
    # 190 of 200 are promised; a binomial variable of that mean stays above 181 in 99 % of cases.
    assert hits >= 182


def test_sessions_without_noise_have_an_interval_without_width():
    same = np.log(np.full(4, 5.0))
    assert interval(same, same + np.log(1.2)) == pytest.approx((0.2, 0.2))


def test_two_sessions_say_nothing():
    few = [measurement(session=i) for i in range(SESSIONS - 1)]
    slower = [measurement(latencies=[9.0] * 50, session=i) for i in range(5)]
    (one,) = compare(few, slower).differences
    assert (one.verdict, one.interval, one.slower_than(0.05)) == ("too few sessions", None, False)
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
    assert one.doubts == ("different OS build: Android 15 before, Android 16 after",)
    assert one.verdict == "no difference seen"
    assert [group.first.plan.threads for group in found.only_before] == [4]
    assert [group.first.device.id for group in found.only_after] == ["adb:2"]


def test_a_session_that_failed_is_not_a_fast_one():
    before = [measurement(session=i) for i in range(3)]
    failed = [measurement(status="failed", session=i) for i in range(3)]
    (one,) = compare(before, failed).differences
    assert (one.verdict, one.after_ms, one.slower_than(0)) == ("not timed", None, False)
    assert "after: failed: 3 of 3 sessions" in one.doubts


def test_summaries_are_compared_by_their_means():
    told = Summary(mean=6.0, std=0.1, min=5.0, max=7.0, count=50)
    before = [measurement(latencies=[5.0] * 49 + [55.0], session=i) for i in range(3)]
    after = [
        measurement(samples=Samples(golden_sqnr_db=60.0, summary=told), session=i) for i in range(3)
    ]
    (one,) = compare(before, after).differences
    assert one.statistic == "mean"
    assert (one.before_ms, one.after_ms) == pytest.approx((6.0, 6.0))


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
