"""How a latency is measured; the JSON form is the same for Kotlin, Swift and the browser."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_args

from msgspec import Meta

from mnv4_mobile import records
from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.records import Count, Natural, Record, Seconds, whole
from mnv4_mobile.units import Unit

PresetName = Literal["quick", "paper", "mlperf"]
Statistic = Literal["p50", "p90", "mean"]
ThermalStatus = Literal["nominal", "fair", "serious", "critical"]
"""Apple's four levels. Of Android's levels, none is nominal, light and moderate are fair, severe is
serious, and all above are critical."""
THERMAL_STATUSES: tuple[ThermalStatus, ...] = get_args(ThermalStatus)


class Plan(Record, frozen=True, kw_only=True):
    """How one artifact is measured on one device.

    A *session* is one fresh process on the device: load, golden check, first inference, warm-up,
    timed runs. `repeats` sessions are made, each a Measurement of its own, because two sessions
    differ by more than the samples of one.
    """

    schema: Literal[1] = 1
    """Version of this format."""
    warmup: Natural = 10
    """Number of untimed runs before the timed ones. The first inference is recorded before them."""
    runs: Count = 50
    """Smallest number of timed runs."""
    seconds: Seconds = 2.0
    """Shortest time to measure in seconds, even if that takes more than `runs` runs."""
    repeats: Annotated[int, Meta(ge=1, le=10_000)] = 1
    """Number of sessions."""
    cooldown_s: Seconds = 0.0
    """Seconds of pause before every session but the first one of a run."""
    max_thermal: ThermalStatus = "nominal"
    """A session begins only while the device is at this status or a better one."""
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1
    """Number of runtime threads."""
    affinity: Annotated[
        str,
        Meta(
            pattern=whole("none|fastest|[0-9]{1,4}(,[0-9]{1,4})*"),
            description="none, fastest, or numbers of cores as in 4,5",
        ),
    ] = "none"
    """Cores to run on: `none` (any), `fastest` (those of the highest clock), or numbers: `4,5`."""
    unit: Unit | None = None
    """What the artifact runs on; null is what it asks for by default."""
    statistic: Statistic = "p50"
    """The statistic of a session's samples that is shown first. Sessions are reduced by their
    median."""

    @property
    def cores(self) -> tuple[int, ...] | None:
        """The cores that `affinity` names; None if it names none."""
        parts = self.affinity.split(",")
        return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else None

    @property
    def key(self) -> str:
        """Identifies the plan without `repeats`, `cooldown_s` and `statistic`.

        Results of plans with the same key may be compared.
        """
        return _key(self)

    def with_values(self, values: Mapping[str, Any]) -> Plan:
        """Returns this plan with some fields replaced, from a file or the command line.

        Raises:
            ConfigError: An unknown key, a wrong type, or a value that cannot be used.
        """
        return records.convert({**records.plain(self), **values}, Plan, "plan")


@cache
def _key(plan: Plan) -> str:
    entries = records.plain(plan)
    for name in ("repeats", "cooldown_s", "statistic"):
        del entries[name]
    return hashlib.sha256(records.encode(entries)).hexdigest()[:12]


PRESETS: dict[str, Plan] = {
    # Three sessions, which take turns with those of other artifacts: a single session cannot show
    # conditions that last longer than it does.
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


def preset(name: str, place: str = "plan") -> Plan:
    """Returns a preset by its name.

    Raises:
        ConfigError: No preset has that name.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise ConfigError(unknown(place, name, PRESETS))
    return PRESETS[name]
