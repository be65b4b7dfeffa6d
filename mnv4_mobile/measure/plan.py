"""How a latency is measured; the JSON form is the same for Kotlin, Swift and the browser."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.units import UNITS, Unit

SCHEMA = 1
Statistic = Literal["p50", "p90", "mean"]
ThermalStatus = Literal["nominal", "fair", "serious", "critical"]
"""Apple's four levels. Android's: none is nominal, light and moderate are fair, severe is serious,
what is above is critical."""
THERMAL_STATUSES: tuple[ThermalStatus, ...] = get_args(ThermalStatus)


def _least(name: str, found: float, least: float) -> None:
    if not found >= least:  # NaN neither
        raise ConfigError(f"plan: {name}: found {found:g}, must be {least:g} or more")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one artifact is measured on one device.

    A *session* is one fresh process on the device: load, golden check, first inference, warm-up,
    timed runs. `repeats` sessions are made, each a Measurement of its own, because two sessions
    differ by more than the samples of one.

    Raises:
        ConfigError: A value that no device could follow.
    """

    warmup: int = 10
    """Runs that are not timed; the first inference is recorded before them, apart."""
    runs: int = 50
    """Timed runs at least."""
    seconds: float = 2.0
    """Timed at least, even if that takes more than `runs`."""
    repeats: int = 1
    """Sessions."""
    cooldown_s: float = 0.0
    """Before every session but the first one of a run."""
    max_thermal: ThermalStatus = "nominal"
    """A session begins only while the device is at this status or a better one."""
    threads: int = 1
    """Of the runtime."""
    affinity: str = "none"
    """`none`, `fastest` (the cores of the highest clock), or cores: `4,5`."""
    unit: Unit | None = None
    """What the artifact runs on; None is what it asks for by default."""
    statistic: Statistic = "p50"
    """Of the samples of a session, what is shown first; sessions are reduced by their median."""

    def __post_init__(self) -> None:
        for name, least in (("warmup", 0), ("runs", 1), ("repeats", 1), ("threads", 1)):
            _least(name, getattr(self, name), least)
        for name in ("seconds", "cooldown_s"):
            _least(name, getattr(self, name), 0)
        for name, allowed in (
            ("max_thermal", THERMAL_STATUSES),
            ("unit", (None, *UNITS)),
            ("statistic", get_args(Statistic)),
        ):
            if getattr(self, name) not in allowed:
                found, words = getattr(self, name), ", ".join(str(one) for one in allowed if one)
                raise ConfigError(f"plan: {name}: found {found!r}, allowed: {words}")
        if self.affinity not in ("none", "fastest") and self.cores is None:
            raise ConfigError(
                f"plan: affinity: found {self.affinity!r}, allowed: none, fastest, or numbers of "
                "cores as in 4,5"
            )

    @property
    def cores(self) -> tuple[int, ...] | None:
        """The cores that `affinity` names; None where it names none."""
        parts = self.affinity.split(",")
        return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None

    @cached_property
    def key(self) -> str:
        """Names what is measured; how often, and after which pause, is left out.

        Results of plans with the same key may be compared.
        """
        entries = asdict(self)
        for name in ("repeats", "cooldown_s", "statistic"):
            del entries[name]
        return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        """The plan as `schema/plan.schema.json` has it."""
        return {"schema": SCHEMA, **asdict(self)}

    @classmethod
    def from_json(cls, entries: Mapping[str, Any]) -> Plan:
        """A plan from its JSON form.

        Raises:
            ConfigError: A newer schema, an unknown key, or a value that cannot be used.
        """
        found = dict(entries)
        if (schema := found.pop("schema", None)) != SCHEMA:
            raise ConfigError(f"plan: schema: found {schema!r}, this version reads {SCHEMA}")
        return _PLAN.with_values(found)

    def with_values(self, values: Mapping[str, Any]) -> Plan:
        """This plan with some fields replaced, from a file or the command line.

        Raises:
            ConfigError: An unknown key, a wrong type, or a value that cannot be used.
        """
        types = {field.name: type(field.default) for field in fields(self)} | {"unit": str}
        for name, value in values.items():
            if name not in types:
                raise ConfigError(f"plan: {name}: unknown key, allowed: {', '.join(types)}")
            if name == "unit" and value is None:
                continue
            kinds = (int, float) if types[name] is float else (types[name],)
            if not isinstance(value, kinds) or isinstance(value, bool):
                word = {int: "an integer", float: "a number", str: "a text"}[types[name]]
                raise ConfigError(f"plan: {name}: found {value!r}, must be {word}")
        return replace(self, **values)


_PLAN = Plan()

PRESETS: dict[str, Plan] = {
    # Sessions a while apart, as they take turns with those of other cells: what lasts longer than
    # one is seen in none.
    "quick": Plan(repeats=3),
    # arXiv 2404.10518: about 1000 runs, their mean; five repeats, the median of the means; pinned
    # to the fastest core.
    "paper": Plan(
        warmup=50, runs=1000, seconds=0.0, repeats=5, affinity="fastest", statistic="mean"
    ),
    # MLPerf Mobile, single stream: 1024 samples and 60 s at least, the 90th percentile, 5 minutes
    # of cool-down.
    "mlperf": Plan(warmup=50, runs=1024, seconds=60.0, cooldown_s=300.0, statistic="p90"),
}


def preset(name: str) -> Plan:
    """A preset by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in PRESETS:
        raise ConfigError(f"plan: found {name!r}, allowed: {', '.join(PRESETS)}")
    return PRESETS[name]
