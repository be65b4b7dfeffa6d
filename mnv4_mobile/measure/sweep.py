"""What a sweep is, and how it is read: bundles x devices x threads x units, and a plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from mnv4_mobile.configs import find_config
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.measure.plan import Plan, preset
from mnv4_mobile.model.grammar import read_size
from mnv4_mobile.option import Given
from mnv4_mobile.units import Unit, read_units
from mnv4_mobile.yaml_file import Section, checked, read_yaml

T = TypeVar("T", int, str)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Bundles that are built first, or come out of the cache; see `matrix.cells`."""

    models: tuple[str, ...]
    weights: str
    targets: tuple[str, ...]
    recipes: tuple[str, ...] = ("fp32",)
    sizes: tuple[tuple[int, int] | None, ...] = (None,)
    calibrate: str | None = None
    options: Given = field(default_factory=dict, hash=False)
    """Options of targets, as in `Options.options`."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """What is measured where, and how.

    Raises:
        ConfigError: A number of threads or a unit that cannot be.
    """

    name: str
    bundles: tuple[str, ...] = ()
    """Paths or patterns of bundles and of bare artifacts."""
    build: Matrix | None = None
    devices: tuple[tuple[str, str | None], ...]
    """KIND or KIND:ADDRESS, and the program that runs artifacts there, where it needs one."""
    threads: tuple[int, ...] = (1,)
    units: tuple[Unit | None, ...] = (None,)
    """What artifacts run on; None is what each asks for by default."""
    plan: Plan
    """For all; its threads and unit are replaced."""

    def __post_init__(self) -> None:
        for threads in self.threads:
            self.plan.with_values({"threads": threads})

    def plans(self) -> list[Plan]:
        """One for each number of threads and each unit."""
        return [
            self.plan.with_values({"threads": threads, "unit": unit})
            for threads in self.threads
            for unit in self.units
        ]


def load_sweep(name: str) -> Sweep:
    """A sweep: the name of a shipped one, or a YAML file.

    Paths in it are relative to the folder that the command runs in, as on the command line.

    Raises:
        ConfigError: Naming the file, the key, what was found and what is allowed.
    """
    path = find_config("sweeps", name)
    top = Section(read_yaml(path), str(path))
    top.get("description", str)
    bundles = top.values("bundles", str, [])
    build, plan = top.any("build", None), top.any("plan", {})
    devices = top.any("devices")
    if not isinstance(devices, list) or not devices:
        raise ConfigError(f"{top.at('devices')}: found {devices!r}, must be a list of devices")
    try:
        sweep = Sweep(
            name=path.stem,
            bundles=bundles,
            build=None if build is None else _matrix(Section(build, top.at("build"))),
            devices=tuple(_device(value, top.at("devices")) for value in devices),
            threads=_axis(top, "threads", int, 1),
            units=_units(top),
            plan=_plan(Section(plan, top.at("plan"))),
        )
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(str(path)) else f"{path}: {text}") from None
    top.close()
    if not bundles and build is None:
        raise ConfigError(f"{top.place}: found neither bundles nor build, must have one of them")
    return sweep


def _axis(top: Section, key: str, kind: type[T], known: T) -> tuple[T, ...]:
    values = tuple(dict.fromkeys(top.values(key, kind, [known])))
    if not values:
        raise ConfigError(f"{top.at(key)}: found an empty list, must have one value or more")
    return values


def _units(top: Section) -> tuple[Unit | None, ...]:
    return read_units(_axis(top, "units", str, "")) if "units" in top else (None,)


def _matrix(section: Section) -> Matrix:
    sizes = section.any("sizes", None)
    place = section.at("sizes")
    if sizes is not None and (not isinstance(sizes, list) or not sizes):
        raise ConfigError(f"{place}: found {sizes!r}, must be a list of numbers or [height, width]")
    found = Matrix(
        models=section.values("models", str),
        weights=section.get("weights", str),
        targets=section.values("targets", str),
        recipes=section.values("recipes", str, ["fp32"]),
        sizes=tuple(read_size(size, place) for size in sizes) if sizes else (None,),
        calibrate=section.optional("calibrate", str),
        options=section.any("options", {}),
    )
    section.close()
    return found


def _device(value: object, place: str) -> tuple[str, str | None]:
    """`adb:SERIAL`, or `{device: adb:SERIAL, tool: PROGRAM}`."""
    if not isinstance(value, dict):
        return checked(value, str, place), None
    section = Section(value, place)
    found = section.get("device", str), section.optional("tool", str)
    section.close()
    return found


def _plan(section: Section) -> Plan:
    """A preset and what differs from it."""
    known = [n for n in Plan.__struct_fields__ if n not in ("schema", "threads", "unit")]
    base = preset(section.get("preset", str, "quick"))
    found = {name: section.any(name, None) for name in known}
    section.close()
    return base.with_values({name: value for name, value in found.items() if value is not None})
