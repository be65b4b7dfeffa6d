"""Where a bundle's artifact spends its time on this machine, by operator, block and stage."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from mnv4_mobile.bundle.folder import Bundle
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.configs import shipped
from mnv4_mobile.layers import OperatorTime, is_convolution
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.spec import BlockRow
from mnv4_mobile.records import Count, Milliseconds, NotNegative, Operations, Record, Sha256, Text
from mnv4_mobile.target import load_target, require
from mnv4_mobile.tensors import CLASSES, feed


class PartTime(Record, frozen=True, kw_only=True):
    """How long a block takes, or several blocks together."""

    name: str
    """The name that `mnv4 models` shows: `stem`, `stages.S.I`, `final`, `head`; a stage is
    `stages.S`."""
    role: str | None
    """The kind of block; null unless the configuration is a shipped one."""
    ms: Milliseconds
    """Sum of the operators' times."""
    macs: Operations | None
    """Multiply-accumulates per run; null unless the configuration is a shipped one."""
    gflops: NotNegative | None
    """Billions of floating-point operations per second, two per multiply-accumulate."""


class KindTime(Record, frozen=True, kw_only=True):
    """How long all operators of one kind take."""

    kind: str
    """The runtime's name for the kind."""
    count: Count
    """Number of operators."""
    ms: Milliseconds
    """Sum of their times."""


class Profile(Record, frozen=True, kw_only=True):
    """The times of an artifact in milliseconds; see `layers.operator_times`."""

    bundle: str
    """Id of the bundle."""
    threads: Count
    """Number of runtime threads."""
    runs: Count
    """Number of runs with the profiler, and again without it."""
    latency_ms: Milliseconds
    """Median of the runs without the profiler."""
    fastest_ms: Milliseconds
    """The fastest run without the profiler, to compare `total` with."""
    total: PartTime
    """All operators together."""
    convolutions_ms: Milliseconds
    """All convolutions together."""
    stages: tuple[PartTime, ...]
    """Every stage; `stem`, `final` and `head` are stages of their own."""
    blocks: tuple[PartTime, ...]
    """Every block, in the order of the configuration."""
    kinds: tuple[KindTime, ...]
    """The kinds of operators, the slowest first."""
    operators: tuple[OperatorTime, ...]
    """Every operator, in the order in which they run."""


class StoredProfile(Record, frozen=True, kw_only=True):
    """Where an artifact spends its time on a device."""

    artifact_sha256: Sha256
    """Hash of the artifact."""
    device_id: Text
    """Id of the device."""
    profile: Profile
    """What was measured."""


def stage_of(block: str) -> str:
    """Returns the name of the stage that a block is in."""
    return ".".join(block.split(".")[:2])


def profile_bundle(bundle: Bundle, *, threads: int = 1, runs: int = 50) -> Profile:
    """Times every operator of a bundle's artifact, on the bundle's golden pixels.

    Args:
        bundle: What to profile.
        threads: Number of runtime threads.
        runs: Number of runs with the profiler, and again without it.

    Raises:
        BundleError: Golden files that do not match their hashes.
        DeviceError: The runtime has no profiler here.
    """
    require(load_target(bundle.manifest.target))
    pixels = bundle.golden("input")["pixels"][: bundle.input.shape[0]]
    inputs = feed(bundle.input, pixels, bundle.preprocess)
    with Worker(bundle.manifest.target, bundle.artifact, threads=threads) as worker:
        operators = worker.profile(inputs, bundle.convolutions, runs)
        latencies = worker.time(inputs, runs=runs).latencies_ms
    blocks, kinds = _blocks(bundle, operators), _kinds(operators)
    stages = {stage_of(block.name): None for block in blocks}
    return Profile(
        bundle=bundle.manifest.id,
        threads=threads,
        runs=runs,
        latency_ms=median(latencies),
        fastest_ms=min(latencies),
        total=_sum("total", blocks),
        convolutions_ms=sum(kind.ms for kind in kinds if is_convolution(kind.kind)),
        stages=tuple(_sum(s, [b for b in blocks if stage_of(b.name) == s]) for s in stages),
        blocks=tuple(blocks),
        kinds=tuple(kinds),
        operators=tuple(operators),
    )


def _kinds(operators: Sequence[OperatorTime]) -> list[KindTime]:
    found: dict[str, list[float]] = {}
    for operator in operators:
        found.setdefault(operator.kind, []).append(operator.ms)
    kinds = [KindTime(kind=kind, count=len(ms), ms=sum(ms)) for kind, ms in found.items()]
    return sorted(kinds, key=lambda kind: -kind.ms)


def _blocks(bundle: Bundle, operators: Sequence[OperatorTime]) -> list[PartTime]:
    block_of = {layer.name: layer.block for layer in bundle.manifest.layers}
    times: dict[str, float] = {}
    for operator in operators:
        block = block_of[operator.layer]
        times[block] = times.get(block, 0) + operator.ms
    rows, batch = _table(bundle), bundle.input.shape[0]
    return [
        _part(
            name,
            rows[name].role if name in rows else None,
            ms,
            rows[name].cost.macs * batch if name in rows else None,
        )
        for name, ms in times.items()
    ]


def _table(bundle: Bundle) -> dict[str, BlockRow]:
    """Returns the stage table by block; empty unless the configuration is a shipped one."""
    model = bundle.manifest.model
    if model.name not in shipped("models"):
        return {}
    spec = load_model(model.name)
    for output in bundle.outputs:
        if output.kind in CLASSES:
            spec = spec.with_head(output.shape[1])
    if spec.sha256() != model.config_sha256:
        return {}
    return {row.name: row for row in spec.table(bundle.preprocess.size)}


def _sum(name: str, parts: Sequence[PartTime]) -> PartTime:
    macs = [part.macs for part in parts]
    known = [count for count in macs if count is not None]
    return _part(
        name,
        parts[0].role if len(parts) == 1 else None,
        sum(part.ms for part in parts),
        sum(known) if len(known) == len(macs) else None,
    )


def _part(name: str, role: str | None, ms: float, macs: int | None) -> PartTime:
    gflops = 2 * macs / ms / 1e6 if macs is not None and ms else None
    return PartTime(name=name, role=role, ms=ms, macs=macs, gflops=gflops)
