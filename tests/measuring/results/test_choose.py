"""Choosing: the most accurate bundle that fits, and what nobody knows yet."""

import pytest
from records import ARTIFACT, DEVICE, PLAN, evaluation, measurement

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measuring.results import choose as choosing
from mnv4_mobile.measuring.results.choose import Bounds, on_dataset, one_device
from mnv4_mobile.measuring.results.doubts import Doubt
from mnv4_mobile.records import replace

BOUNDS = Bounds(max_ms=10, min_top1=0.79, max_mb=8)


def choose(measurements, evaluations, device, bounds, dataset=None):
    """Chooses as the command does."""
    known = on_dataset(evaluations, dataset)
    return choosing.choose(measurements, known, one_device(device, measurements), bounds)


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
    assert found.ship.name == "better"
    assert [one.name for one in found.fitting] == ["better", "good", "as good, slower"]
    assert found.verdict == (
        "ship better: 9.00 ms (p50, 1 thread), top-1 82.0% (95% interval 81.7 to 82.3, "
        "50000 images), 4.00 MB; the most accurate of 3 that fit, 4 undecided"
    )
    assert found.next_commands == ["mnv4 sdk android better -o mnv4"]
    assert {one.name: one.missing for one in found.undecided} == {
        "elsewhere": ("not measured on the device",),
        "never measured": ("size unknown", "not measured on the device"),
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
    other, one = sorted(found.fitting, key=lambda c: c.name, reverse=True)
    assert (one.latency_ms, one.group.first.plan.threads, one.top1) == (7.0, 4, 0.8)
    assert one.doubts == ()
    assert other.doubts == (Doubt("updated", "Android 16"),)


def test_an_accuracy_near_the_bound_is_doubted():
    evaluations = [replace(_judged("one", 0.795), n=1000)]
    found = choose([_timed("one", 5.0)], evaluations, DEVICE.id, BOUNDS)
    assert found.fitting[0].doubts == (Doubt("images", "1000"),)


def test_accuracy_on_another_unit_is_a_doubt():
    evaluations = [_judged("good", 0.82, unit="cpu")]
    for unit, doubts in (
        ("cpu", ()),
        ("gpu", (Doubt("unit", "cpu, timed on gpu"),)),
        (None, (Doubt("unit", "cpu, timed on the default unit"),)),
    ):
        timed = [_timed("good", 8.0, plan=replace(PLAN, unit=unit))]
        assert choose(timed, evaluations, DEVICE.id, BOUNDS).fitting[0].doubts == doubts


def test_the_evaluation_on_the_timed_unit_counts_even_if_another_is_newer():
    evaluations = [
        _judged("good", 0.82, unit="gpu"),
        _judged("good", 0.83, unit="gpu", started_at="2026-02-01T00:00:00+00:00"),
        _judged("good", 0.80, unit="cpu", started_at="2026-03-01T00:00:00+00:00"),
    ]
    for unit, top1 in (("gpu", 0.83), ("cpu", 0.80)):
        timed = [_timed("good", 8.0, plan=replace(PLAN, unit=unit))]
        (one,) = choose(timed, evaluations, DEVICE.id, BOUNDS).fitting
        assert (one.top1, one.doubts) == (top1, ())


THREE = [_timed("small", 2.0, 2.0), _timed("middle", 5.0, 4.0), _timed("large", 20.0, 9.0)]
RATES = {"small": 0.75, "middle": 0.80, "large": 0.84}


def test_an_accuracy_at_another_input_size_does_not_count():
    assert ARTIFACT.size == (224, 224)
    measurements = [_timed("one", 5.0)]
    other = _judged("one", 0.9, size=(96, 96))
    (undecided,) = choose(measurements, [other], DEVICE.id, BOUNDS).undecided
    assert undecided.missing == ("not evaluated",)
    same = _judged("one", 0.8, size=(224, 224), started_at="2020-01-01T00:00:00+00:00")
    assert choose(measurements, [same, other], DEVICE.id, BOUNDS).ship.top1 == 0.8


@pytest.mark.parametrize(
    ("bounds", "ship", "why"),
    [
        (Bounds(max_ms=10), "middle", "the most accurate of 2 that fit"),
        (Bounds(max_mb=5), "middle", "the most accurate of 2 that fit"),
        (Bounds(max_mb=3), "small", "the only one that fits"),
        (Bounds(min_top1=0.78), "middle", "the fastest of 2 that fit"),
        (Bounds(min_agreement=0.95), "large", "the only one that fits"),
        (Bounds(max_ms=50, min_top1=0.78), "large", "the most accurate of 2 that fit"),
        (Bounds(), "large", "the most accurate of 3 that were compared"),
    ],
)
def test_every_bound_decides_alone(bounds, ship, why):
    agreement = {"small": 0.9, "middle": 0.94, "large": 0.97}
    evaluations = [_judged(name, RATES[name], agreement=agreement[name]) for name in RATES]
    found = choose(THREE, evaluations, None, bounds)
    assert found.ship.name == ship
    assert found.verdict.endswith(f"; {why}")
    assert len(found.fitting) + len(found.rejected) == 3
    assert all(len(one.misses) == 1 for one in found.rejected)


def test_of_bundles_that_are_as_accurate_the_fastest_is_shipped():
    evaluations = [replace(_judged(name, RATES[name]), n=400) for name in RATES]
    found = choose(THREE, evaluations, DEVICE.id, Bounds(max_ms=50))
    assert [one.name for one in found.fitting] == ["large", "middle", "small"]
    evaluations[1] = replace(evaluations[1], top1=0.82)
    found = choose(THREE, evaluations, DEVICE.id, Bounds(max_ms=50))
    assert [one.name for one in found.fitting] == ["middle", "large", "small"]
    assert "the fastest of those, among 3 that fit, whose accuracy lies in the interval of" in (
        found.verdict
    )


def test_without_any_accuracy_the_fastest_that_fits_is_shipped():
    found = choose(THREE, [], DEVICE.id, Bounds(max_ms=10))
    assert found.verdict == (
        "ship small: 2.00 ms (p50, 1 thread), accuracy unknown, 2.00 MB; the fastest of 2 that fit"
    )
    found = choose(THREE, [], DEVICE.id, Bounds(min_agreement=0.9))
    assert found.ship is None
    assert found.verdict == "no bundle is known to fit: 3 not evaluated"
    assert found.next_commands[0] == "mnv4 evaluate small DATASET --parent PARENT"


def test_an_agreement_that_nobody_measured_is_named():
    found = choose(THREE[:1], [_judged("small", 0.8)], None, Bounds(min_agreement=0.9))
    assert found.undecided[0].missing == ("evaluated without --parent",)
    assert found.next_commands == ["mnv4 evaluate small DATASET --parent PARENT"]


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
        choose(measurements, evaluations, "adb:9", BOUNDS, "val")


def test_a_device_is_named_by_its_kind_where_there_is_one_of_it():
    host = replace(DEVICE, id="host:computer")
    measurements = [_timed("one", 5.0), _timed("one", 4.0, device=host)]
    assert one_device("host", measurements) == "host:computer"
    assert one_device("adb:1", measurements) == "adb:1"
    measurements.append(_timed("one", 4.0, device=replace(DEVICE, id="adb:2")))
    with pytest.raises(ConfigError, match="--device: found 'adb', several: adb:1, adb:2"):
        one_device("adb", measurements)
    with pytest.raises(ConfigError, match="--device: needed, as several were measured: adb:1, "):
        one_device(None, measurements)
    assert one_device(None, measurements[:1]) == "adb:1"
    with pytest.raises(ConfigError, match="--device: nothing was measured yet"):
        one_device(None, [])
