"""Sweeps: bundles x devices x threads x units, and a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, field

from mnv4_mobile.configs import read_config
from mnv4_mobile.errors import ConfigError, unknown_key
from mnv4_mobile.images import InputSize, height_and_width
from mnv4_mobile.measuring.plan import Plan, preset
from mnv4_mobile.option import choices
from mnv4_mobile.records import Count, Record, Text, convert, plain, show
from mnv4_mobile.target import load_target, target_names
from mnv4_mobile.units import Unit


class Matrix(Record, frozen=True, kw_only=True):
    """Bundles to build first, or to take from the cache: every combination of the values."""

    models: tuple[str, ...]
    """Names of shipped models, timm's names or paths of YAML files; or weights that determine
    their model, as `mnv4 build` takes them."""
    weights: str | None = None
    """The weights of the models, as `mnv4 build --weights` takes them."""
    targets: tuple[str, ...]
    """Names of targets."""
    recipes: tuple[str, ...] = ("fp32",)
    """Names of shipped recipes, or paths of YAML files."""
    sizes: Annotated[tuple[InputSize, ...], Meta(min_length=1)] | None = None
    """Input sizes: numbers or [height, width]. Default: what the checkpoint or the model says."""
    calibrate: str | None = None
    """A folder of calibration images, or `random`."""
    options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Options of targets: `{coreml: {min_ios: 17}}`."""

    @property
    def input_sizes(self) -> list[tuple[int, int] | None]:
        """Height and width of every size."""
        if self.sizes is None:
            return [None]
        return [height_and_width(size) for size in self.sizes]


class SweepDevice(Record, frozen=True, kw_only=True):
    """A device to measure on."""

    device: Text
    """KIND or KIND:ADDRESS."""
    tool: str | None = None
    """The program that runs artifacts on the device, if the device needs one."""


class Sweep(Record, frozen=True, kw_only=True):
    """What is measured where, and how.

    Raises:
        ConfigError: An invalid number of threads.
    """

    name: str
    """The sweep file's stem."""
    description: str = ""
    """What the sweep is for."""
    bundles: tuple[str, ...] = ()
    """Paths or patterns of bundles and of bare artifacts."""
    build: Matrix | None = None
    """Bundles to build before measuring."""
    devices: Annotated[tuple[SweepDevice, ...], Meta(min_length=1)]
    """Devices to measure on: KIND, KIND:ADDRESS, or an object with a tool."""
    threads: Annotated[tuple[Count, ...], Meta(min_length=1)] = (1,)
    """Numbers of runtime threads."""
    units: Annotated[tuple[Unit | None, ...], Meta(min_length=1)] = (None,)
    """What artifacts run on; null is what each asks for by default."""
    plan: Plan
    """How every bundle is measured: a preset, and the values that differ from it."""

    def __post_init__(self) -> None:
        self.plans()

    def plans(self) -> list[Plan]:
        """Returns one plan for each number of threads and each unit."""
        return [
            self.plan.with_values({"threads": threads, "unit": unit})
            for threads in dict.fromkeys(self.threads)
            for unit in dict.fromkeys(self.units)
        ]


PLAN_KEYS = tuple(
    name for name in Plan.__struct_fields__ if name not in ("schema", "threads", "unit")
)
"""Keys of a sweep's `plan` besides `preset`; threads and units have lists of their own."""


def load_sweep(name: str) -> Sweep:
    """Reads a sweep: the name of a shipped one, or a YAML file.

    Paths in it are relative to the folder that the command runs in, as on the command line.

    Raises:
        ConfigError: Naming the file, the key, what was found and what is allowed.
    """
    path, values = read_config("sweeps", name)
    values["plan"] = _plan(values.get("plan", {}), f"{path}: plan")
    if isinstance(devices := values.get("devices"), list):
        values["devices"] = [{"device": one} if isinstance(one, str) else one for one in devices]
    sweep = convert(values, Sweep, str(path))
    if not sweep.bundles and sweep.build is None:
        raise ConfigError(f"{path}: found neither bundles nor build, must have one of them")
    if sweep.build is not None:
        _check_options(sweep.build, f"{path}: build")
    return sweep


def _check_options(matrix: Matrix, place: str) -> None:
    try:
        declared = {name: load_target(name).options for name in matrix.targets}
        choices(declared, matrix.options, target_names())
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from None


def _plan(values: Any, place: str) -> dict[str, Any]:
    """Returns a preset with the values that differ from it."""
    if not isinstance(values, dict):
        raise ConfigError(f"{place}: found {show(values)}, must be an object")
    for key in values:
        if key not in ("preset", *PLAN_KEYS):
            raise ConfigError(unknown_key(f"{place}.{key}", key, ["preset", *PLAN_KEYS]))
    changed = {key: value for key, value in values.items() if key != "preset" and value is not None}
    base: dict[str, Any] = plain(preset(values.get("preset", "quick"), f"{place}.preset"))
    return base | changed
