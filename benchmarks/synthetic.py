"""Draws synthetic measurements from a seed, to try tables and charts with.

Latencies follow multiply-accumulates, threads, a slow warming of the device and skewed noise; a few
sessions are busy, hot, wrong or failed. They say nothing about any device.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mnv4_mobile.measuring.measurement import Artifact, DeviceInfo, Measurement, Samples, Thermal
from mnv4_mobile.measuring.plan import THERMAL_STATUSES, Plan
from mnv4_mobile.measuring.profile import PartTime, Profile, StoredProfile
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.quality.evaluate import Evaluation

RUN = "synthetic: nothing was measured"
MODELS = {
    "conv-small": 73.8,
    "conv-medium": 79.9,
    "hybrid-medium": 80.7,
    "conv-large": 82.9,
    "hybrid-large": 83.4,
}
"""Top-1 accuracy of the float networks in percent, about as published."""
RECIPES = {
    "fp32": (1.0, 4.0, 0.0),
    "fp16": (0.85, 2.0, 0.02),
    "int8": (0.52, 1.05, 0.9),
    "int8-dynamic": (0.7, 1.1, 0.4),
}
"""Each recipe's share of fp32's latency, bytes per parameter, and loss of top-1 in points."""
TARGETS = {"executorch": ("executorch 1.5.1", 1.0), "tflite": ("litert 2.3.0", 1.08)}
THREADS = (1, 2, 4, 8)
SESSIONS = 5


@dataclass(frozen=True)
class _Phone:
    info: DeviceInfo
    gmacs_per_s: float
    heat: float
    """Degrees that one second of work adds."""


def _phone(address: str, model: str, soc: str, os: str, speed: float, heat: float) -> _Phone:
    info = DeviceInfo(id=address, model=model, soc=soc, os_build=os, cores=8)
    return _Phone(info, speed, heat)


PHONES = (
    _phone("adb:SYNTH6", "Pixel 6", "Google Tensor", "Android 14 UQ1A.240205.002", 44.0, 0.9),
    _phone("adb:SYNTH23", "SM-S911B", "SM8550", "Android 14 UP1A.231005.007", 62.0, 0.6),
    _phone("ssh:pi5", "Raspberry Pi 5", "BCM2712", "Debian 13 6.12.25", 21.0, 0.3),
    _phone("adb:SYNTH8", "Pixel 8", "Google Tensor G3", "Android 15 AP4A.250105.002", 55.0, 0.8),
    _phone("browser:a1", "Chrome 140 on Android", "", "Android 15", 18.0, 0.4),
    _phone("host", "AMD EPYC 9B14", "AMD EPYC 9B14", "Debian GNU/Linux 13", 70.0, 0.0),
    _phone("adb:SYNTHA5", "SM-A546B", "Exynos 1380", "Android 14 UP1A.231005.007", 27.0, 0.7),
    _phone("adb:SYNTHX", "Xperia 1 V", "SM8550", "Android 14 67.1.A.2.261", 58.0, 0.5),
    _phone("adb:SYNTHM", "moto g84", "SM6375", "Android 14 U1TCS34", 15.0, 0.4),
    _phone("adb:SYNTHF", "Fairphone 5", "QCM6490", "Android 14 FP5.UT2M", 30.0, 0.5),
)


def artifacts(models: Mapping[str, float] = MODELS) -> dict[str, Artifact]:
    """Returns the bundles of all models, recipes and targets, by id."""
    found = {}
    for model in models:
        spec = load_model(model)
        (height, width), macs = spec.input_size, _macs(model)
        for recipe, (_, bytes_each, _) in RECIPES.items():
            for target in TARGETS:
                name = f"{model}-{height}x{width}-{recipe}-{target}"
                found[name] = Artifact(
                    sha256=hashlib.sha256(name.encode()).hexdigest(),
                    bytes=int(bytes_each * (2.8e6 + macs / 230)),
                    target=target,
                    bundle_id=name,
                    name=name,
                    model=model,
                    recipe=recipe,
                    size=spec.input_size,
                )
    return found


def measurements(count: int, *, seed: int = 0, runs: int = 100) -> Iterator[Measurement]:
    """Yields `count` sessions, phone after phone, with `runs` samples each."""
    draw = random.Random(seed)
    made = 0
    start = datetime(2026, 1, 1, tzinfo=UTC)
    kinds = list(artifacts().values())
    # Every pass over all combinations has a different warm-up.
    for warmup in range(10, 1000):
        for phone in PHONES:
            for artifact in kinds:
                for threads in THREADS:
                    plan = Plan(
                        warmup=warmup, runs=runs, repeats=SESSIONS, threads=threads, cooldown_s=10
                    )
                    for session in range(SESSIONS):
                        if made == count:
                            return
                        made += 1
                        start += timedelta(seconds=12)
                        yield _measurement(draw, phone, artifact, plan, session, start)


def _measurement(
    draw: random.Random,
    phone: _Phone,
    artifact: Artifact,
    plan: Plan,
    session: int,
    start: datetime,
) -> Measurement:
    bad = draw.random()
    status, error, samples = "ok", None, None
    if bad < 0.004:
        status, error = "failed", "the device vanished in the middle of a session"
    elif bad < 0.007:
        status, error = "wrong", "output logits: SQNR of 7.1 dB, must be 20 dB or more"
    else:
        samples = _samples(draw, phone, artifact, plan, session, busy=bad > 0.97)
    return Measurement(
        id=str(uuid.UUID(int=draw.getrandbits(128), version=4)),
        run=RUN,
        session=session,
        artifact=artifact,
        device=phone.info,
        plan=plan,
        status=status,  # type: ignore[arg-type]
        error=error,
        samples=samples,
        started_at=start.isoformat(),
    )


def _samples(
    draw: random.Random, phone: _Phone, artifact: Artifact, plan: Plan, session: int, *, busy: bool
) -> Samples:
    assert artifact.model is not None
    assert artifact.recipe is not None
    runtime, slower = TARGETS[artifact.target]
    share = RECIPES[artifact.recipe][0]
    speed_up = plan.threads / (1 + 0.16 * (plan.threads - 1) + 0.03 * (plan.threads - 1) ** 2)
    level = _macs(artifact.model) / phone.gmacs_per_s / 1e6 * share * slower / speed_up
    level *= draw.lognormvariate(0, 0.02 if not busy else 0.12)
    celsius, now = 29.0 + 0.5 * session + draw.random(), 0.0
    latencies, times, before = [], [], celsius
    for _ in range(plan.runs):
        throttled = 1 + max(0.0, celsius - 33) * 0.03
        noise = draw.lognormvariate(0, 0.015 if not busy else 0.2)
        spike = 1 + (draw.random() * 0.6 if draw.random() < 0.01 else 0)
        latency = round(level * throttled * noise * spike, 4)
        latencies.append(latency)
        times.append(round(now, 3))
        now += latency + 0.02
        celsius += phone.heat * latency / 1000 * plan.threads**0.5
    levels = [THERMAL_STATUSES[min(3, max(0, int((c - 32) / 5)))] for c in (before, celsius)]
    quiet = phone.info.id.startswith("browser")
    return Samples(
        golden_sqnr_db=48.0 - 20 * (share < 0.8) + draw.random(),
        load_cold_ms=artifact.bytes / 1e5 + draw.random(),
        load_warm_ms=artifact.bytes / 3e5 + draw.random(),
        first_ms=level * 1.9,
        latencies_ms=tuple(latencies),
        t_ms=tuple(times),
        preprocess_ms=() if quiet else tuple(1 + draw.random() / 10 for _ in range(5)),
        peak_rss_mb=None if quiet else artifact.bytes * 1.6 / 2**20 + 18 + draw.random(),
        thermal_before=Thermal() if quiet else Thermal(status=levels[0], celsius=round(before, 1)),
        thermal_after=Thermal() if quiet else Thermal(status=levels[1], celsius=round(celsius, 1)),
        versions={"runtime": runtime},
        conditions={"busy": 0.31 if busy else 0.02},
    )


def evaluations(*, seed: int = 0) -> list[Evaluation]:
    """Returns accuracies of all bundles except those of one network."""
    draw = random.Random(seed)
    found = []
    for artifact in artifacts(
        {m: top1 for m, top1 in MODELS.items() if m != "hybrid-large"}
    ).values():
        assert artifact.model is not None
        assert artifact.recipe is not None
        top1 = MODELS[artifact.model] - RECIPES[artifact.recipe][2] * (0.8 + draw.random() / 2)
        found.append(
            Evaluation(
                artifact_sha256=artifact.sha256,
                bundle_id=artifact.name,
                dataset="synthetic-imagenet",
                dataset_sha256=hashlib.sha256(b"synthetic").hexdigest(),
                n=50_000,
                skipped=(),
                top1=round(top1 / 100, 5),
                top5=round(1 - (1 - top1 / 100) / 3.5, 5),
                parent_sha256=None,
                parent_top1=None,
                parent_top5=None,
                agreement=None,
                sqnr_db=None,
                sqnr_db_p10=None,
                confusion=(),
                images_per_s=200.0,
                threads=1,
                unit=None,
                started_at="2026-01-01T00:00:00+00:00",
                versions={},
            )
        )
    return found


def profile(artifact: Artifact, device: str, latency_ms: float) -> StoredProfile:
    """Returns a profile whose times are proportional to multiply-accumulates."""
    assert artifact.model is not None
    assert artifact.size is not None
    rows = load_model(artifact.model).table(artifact.size)
    total = sum(row.cost.macs + 2e6 for row in rows)
    blocks = [
        _part(row.name, row.role, row.cost.macs, latency_ms * (row.cost.macs + 2e6) / total)
        for row in rows
    ]
    found = Profile(
        bundle=artifact.name,
        threads=1,
        runs=50,
        latency_ms=latency_ms,
        fastest_ms=latency_ms * 0.97,
        total=_part("total", None, _macs(artifact.model), latency_ms),
        convolutions_ms=0.9 * latency_ms,
        stages=(),
        blocks=tuple(blocks),
        kinds=(),
        operators=(),
    )
    return StoredProfile(artifact_sha256=artifact.sha256, device_id=device, profile=found)


def _part(name: str, role: str | None, macs: int, ms: float) -> PartTime:
    return PartTime(name=name, role=role, ms=ms, macs=macs, gflops=2 * macs / ms / 1e6)


def _macs(model: str) -> int:
    if model not in _MACS:
        spec = load_model(model)
        _MACS[model] = sum(row.cost.macs for row in spec.table(spec.input_size))
    return _MACS[model]


_MACS: dict[str, int] = {}
