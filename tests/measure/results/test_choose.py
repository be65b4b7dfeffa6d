"""Choosing: the most accurate bundle that fits, and what nobody knows yet."""

import pytest
from records import ARTIFACT, DEVICE, PLAN, evaluation, measurement

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measure.results.choose import Bounds, choose, one_device
from mnv4_mobile.records import replace

BOUNDS = Bounds(max_ms=10, min_top1=0.79, max_mb=8)


def _artifact(name, megabytes=4.0):
    sha256 = name.encode().hex().ljust(64, "0")
    return replace(ARTIFACT, sha256=sha256, name=name, bytes=int(megabytes * 1e6))


def _timed(name, ms, megabytes=4.0, **fields):
    return measurement(latencies=[ms] * 50, artifact=_artifact(name, megabytes), **fields)


def _judged(name, top1, **fields):
    return evaluation(_artifact(name).sha256, bundle_id=name, top1=top1, n=50_000, **fields)


def test_the_most_accurate_that_fits():
    measurements = [
        _timed("good", 8.0),
        _timed("better", 9.0),
        _timed("as good, slower", 9.5),
        _timed("slow", 11.0),
        _timed("rough", 5.0),
        _timed("large", 5.0, megabytes=9.0),
        _timed("elsewhere", 1.0, device=replace(DEVICE, id="adb:2")),
        _timed("unknown", 5.0),
        measurement(status="wrong", artifact=_artifact("wrong")),
        measurement(status="failed", artifact=_artifact("failed")),
    ]
    rates = {"good": 0.80, "better": 0.82, "as good, slower": 0.80, "slow": 0.9, "rough": 0.7}
    rates |= dict.fromkeys(("large", "elsewhere", "wrong", "failed", "never measured"), 0.9)
    evaluations = [_judged(name, top1) for name, top1 in rates.items()]
    found = choose(measurements, evaluations, DEVICE.id, BOUNDS)
    assert [one.name for one in found.fitting] == ["better", "good", "as good, slower"]
    assert {one.name: one.missing for one in found.undecided} == {
        "elsewhere": ("not measured on the device",),
        "never measured": ("not measured on the device",),
        "failed": ("failed on the device",),
        "unknown": ("not evaluated",),
    }
    assert {one.name: one.misses for one in found.rejected} == {
        "slow": ("too slow: 11.00 ms, at most 10",),
        "rough": ("top-1 too low: 70.00%, at least 79.00%",),
        "large": ("too large: 9.00 MB, at most 8",),
        "wrong": ("wrong on the device",),
    }


def test_the_fastest_plan_and_the_newest_build_count():
    new = replace(DEVICE, os_build="Android 16")
    later = {"device": new, "started_at": "2026-06-01T00:00:00+00:00"}
    measurements = [
        _timed("one", 3.0),
        _timed("one", 9.0, **later),
        _timed("one", 7.0, plan=replace(PLAN, threads=4), **later),
        _timed("other", 5.0),
    ]
    evaluations = [_judged("one", 0.5), _judged("one", 0.8), _judged("other", 0.81)]
    found = choose(measurements, evaluations, DEVICE.id, BOUNDS)
    other, one = found.fitting
    assert (one.latency_ms, one.group.first.plan.threads, one.top1) == (7.0, 4, 0.8)
    assert one.doubts == ()
    assert other.doubts == ("different OS build since: Android 16",)


def test_an_accuracy_near_the_bound_is_doubted():
    evaluations = [replace(_judged("one", 0.795), n=1000)]
    found = choose([_timed("one", 5.0)], evaluations, DEVICE.id, BOUNDS)
    assert found.fitting[0].doubts == ("top-1 of 1000 pictures, known to 2.5% only",)


def test_accuracy_on_another_unit_is_a_doubt():
    evaluations = [_judged("good", 0.82, unit="cpu")]
    for unit, doubts in (
        ("cpu", ()),
        ("npu", ("top-1 is that on cpu, timed on npu",)),
        (None, ("top-1 is that on cpu, timed on the default unit",)),
    ):
        timed = [_timed("good", 8.0, plan=replace(PLAN, unit=unit))]
        assert choose(timed, evaluations, DEVICE.id, BOUNDS).fitting[0].doubts == doubts


def test_what_cannot_be_decided_is_asked_for():
    measurements = [_timed("one", 5.0)]
    evaluations = [_judged("one", 0.8), _judged("one", 0.7, dataset="street")]
    with pytest.raises(ConfigError, match=r"--dataset: needed, .* street, val"):
        choose(measurements, evaluations, DEVICE.id, BOUNDS)
    assert choose(measurements, evaluations, DEVICE.id, BOUNDS, "val").fitting
    assert choose(measurements, evaluations, DEVICE.id, BOUNDS, "street").rejected
    with pytest.raises(ConfigError, match="--dataset: found 'x', allowed: street, val"):
        choose(measurements, evaluations, DEVICE.id, BOUNDS, "x")
    with pytest.raises(ConfigError, match="--device: found 'adb:9', measured: adb:1"):
        choose(measurements, evaluations, "adb:9", BOUNDS)


def test_a_device_is_named_by_its_kind_where_there_is_one_of_it():
    host = replace(DEVICE, id="host:computer")
    measurements = [_timed("one", 5.0), _timed("one", 4.0, device=host)]
    assert one_device("host", measurements) == "host:computer"
    assert one_device("adb:1", measurements) == "adb:1"
    measurements.append(_timed("one", 4.0, device=replace(DEVICE, id="adb:2")))
    with pytest.raises(ConfigError, match="--device: found 'adb', several: adb:1, adb:2"):
        one_device("adb", measurements)
