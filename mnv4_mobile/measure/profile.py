"""Where a bundle's artifact spends its time on this machine, by operator, block and stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from mnv4_mobile.bundle.manifest import Bundle
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import BundleError
from mnv4_mobile.layers import OperatorTime, is_convolution
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.spec import Row
from mnv4_mobile.target import load_target, require
from mnv4_mobile.tensors import feed


@dataclass(frozen=True, kw_only=True)
class PartTime:
    """How long a block, or several together, take."""

    name: str
    """As `mnv4 models` has it: `stem`, `stages.S.I`, `final`, `head`; a stage is `stages.S`."""
    role: str | None
    """The kind of block, where the configuration is a shipped one."""
    ms: float
    macs: int | None
    """Multiply-accumulates of a run, where the configuration is a shipped one."""

    @property
    def gflops(self) -> float | None:
        """Billions of floating-point operations a second, two for a multiply-accumulate."""
        return 2 * self.macs / self.ms / 1e6 if self.macs is not None and self.ms else None


@dataclass(frozen=True, kw_only=True)
class KindTime:
    """How long all operators of a kind take."""

    kind: str
    count: int
    ms: float


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The times of an artifact in milliseconds; see `timing.operator_times`."""

    latency_ms: float
    """Of runs without the profiler, the median."""
    fastest_ms: float
    """The fastest of them: what the operators' total compares with."""
    operators: tuple[OperatorTime, ...]
    """In the order in which they run."""
    blocks: tuple[PartTime, ...]
    """In the order of the configuration."""

    @property
    def total(self) -> PartTime:
        """All operators together."""
        return _sum("total", self.blocks)

    @property
    def convolutions_ms(self) -> float:
        """Of all convolutions together."""
        return sum(kind.ms for kind in self.kinds() if is_convolution(kind.kind))

    def stages(self) -> list[tuple[PartTime, list[PartTime]]]:
        """Every stage with its blocks; `stem`, `final` and `head` are their own stage."""
        found: dict[str, list[PartTime]] = {}
        for block in self.blocks:
            found.setdefault(".".join(block.name.split(".")[:2]), []).append(block)
        return [(_sum(name, blocks), blocks) for name, blocks in found.items()]

    def kinds(self) -> list[KindTime]:
        """What the runtime calls its operators, the slowest kind first."""
        found: dict[str, list[float]] = {}
        for operator in self.operators:
            found.setdefault(operator.kind, []).append(operator.ms)
        kinds = [KindTime(kind=k, count=len(ms), ms=sum(ms)) for k, ms in found.items()]
        return sorted(kinds, key=lambda kind: -kind.ms)


def profile_bundle(bundle: Bundle, *, threads: int = 1, runs: int = 50) -> Profile:
    """Times every operator of a bundle's artifact, on the bundle's golden pixels.

    Args:
        bundle: What to profile.
        threads: Of the runtime.
        runs: How often it runs with the profiler, and as often without.

    Raises:
        BundleError: A bundle without golden pixels.
        DeviceError: The runtime has no profiler here.
    """
    require(load_target(bundle.manifest["target"]))
    pixels = bundle.golden("input").get("pixels")
    if pixels is None:
        raise BundleError(f"{bundle.path}: golden: needs the input's pixels")
    batch = bundle.input.shape[0]
    inputs = feed(bundle.input, pixels[:batch], bundle.preprocess)
    with Worker(bundle.manifest["target"], bundle.artifact, threads=threads) as worker:
        operators = worker.profile(inputs, bundle.convolutions, runs)
        latencies = worker.time(inputs, runs=runs).latencies_ms
    return Profile(
        latency_ms=median(latencies),
        fastest_ms=min(latencies),
        operators=tuple(operators),
        blocks=tuple(_blocks(bundle, operators)),
    )


def _blocks(bundle: Bundle, operators: Sequence[OperatorTime]) -> list[PartTime]:
    block_of = {entry["name"]: entry["block"] for entry in bundle.manifest["layers"]}
    times: dict[str, float] = {}
    for operator in operators:
        block = block_of[operator.layer]
        times[block] = times.get(block, 0) + operator.ms
    rows, batch = _table(bundle), bundle.input.shape[0]
    return [
        PartTime(
            name=name,
            role=rows[name].role if name in rows else None,
            ms=ms,
            macs=rows[name].cost.macs * batch if name in rows else None,
        )
        for name, ms in times.items()
    ]


def _table(bundle: Bundle) -> dict[str, Row]:
    """The stage table by block; empty where the configuration is not a shipped one."""
    model = bundle.manifest["model"]
    if model["name"] not in shipped("models"):
        return {}
    spec = load_model(model["name"])
    for output in bundle.outputs:
        if output.kind in ("logits", "probabilities"):
            spec = spec.with_head(output.shape[1])
    if spec.sha256() != model["config_sha256"]:
        return {}
    return {row.name: row for row in spec.table(bundle.preprocess.size)}


def _sum(name: str, parts: Sequence[PartTime]) -> PartTime:
    macs = [part.macs for part in parts]
    known = [count for count in macs if count is not None]
    return PartTime(
        name=name,
        role=parts[0].role if len(parts) == 1 else None,
        ms=sum(part.ms for part in parts),
        macs=sum(known) if len(known) == len(macs) else None,
    )
