"""Recipes: what precision is wanted, declared without naming a target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, cast, get_args

from mnv4_mobile.configs import find_config
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.units import UNITS, Unit
from mnv4_mobile.yaml_file import Section, checked, read_yaml

Precision = Literal["float32", "float16"]
Form = Literal["integer", "palette"]
Granularity = Literal["tensor", "channel", "block", "group"]
Clustering = Literal["kmeans", "uniform"]
Mode = Literal["static", "dynamic"]
Rule = Literal["image-percentile", "minmax", "mse", "histogram", "auto"]
Step = Literal["equalize", "distill", "gptq"]
HELD_BACK = 128
"""Pictures that are held back at most: they tell 99 % from 98 %."""
JUDGED = 1024
"""Images that `range: auto` judges at most: three standard errors of what a rule gains are then
0.5 to 0.7 dB, about what it must gain to be chosen (`mnv4_mobile.builder.range_rule`)."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How the weights of convolutions are quantized, always symmetrically."""

    bits: int
    """8 or 4; a palette also 6."""
    form: Form = "integer"
    """`integer` with a scale, or indices into a `palette` of values."""
    per: Granularity = "channel"
    """What shares a scale: a tensor, an output channel, or a block of `size` inputs of a channel.
    What shares a palette: a tensor, or a group of `size` output channels."""
    size: int | None = None
    """Of blocks and groups."""
    clustering: Clustering | None = None
    """How a palette is found."""

    @property
    def largest(self) -> int:
        """The largest integer: that of the largest weight of those that share a scale."""
        return (1 << (self.bits - 1)) - 1


@dataclass(frozen=True, kw_only=True)
class Activations:
    """How activations are quantized, with one scale a tensor."""

    mode: Mode
    """`static`: ranges from calibration images; `dynamic`: from every input, while running."""
    range: Rule = "image-percentile"
    """How a tensor's range follows from the images (`quantize.ranges`); `auto`: by
    `image-percentile`, unless another rule is clearly better on images that are held back."""
    percentile: float = 90
    """Of `image-percentile`: over images, of each image's smallest and largest value."""
    symmetric: bool = False
    """Whether zero is in the middle of the range; affine ranges fit ReLU's outputs better."""


@dataclass(frozen=True, kw_only=True)
class Keep:
    """What stays at the recipe's float precision although the rest is quantized."""

    residual_additions: bool = False
    """The additions of blocks to their inputs."""
    after_pooling: bool = False
    """The activations behind the global pooling: two layers on a 1 x 1 map, where integers save no
    time. Their weights, which are a large part of a small network, are quantized."""
    depthwise: bool = False
    """Depthwise convolutions: a few weights of a network, and much depends on each."""
    modules: tuple[str, ...] = ()
    """Patterns (`fnmatch`) of names of modules, as the manifest's layers have them; a module's
    parts stay with it."""

    def why(self, layer: str) -> str | None:
        """Which of these keeps a layer in float; None where it is to be quantized."""
        if self.residual_additions and layer.endswith(".add"):
            return "keep.residual_additions"
        for pattern in self.modules:
            if any(fnmatchcase(module, pattern) for module in _modules_of(layer)):
                return f"keep.modules: {pattern}"
        return None

    def only_activations(self, layer: str) -> bool:
        """Whether a layer's weights are quantized, but not its activations."""
        return self.after_pooling and layer.startswith("head.")

    def check(self, layers: Iterable[str]) -> None:
        """Refuses patterns that none of the layers matches.

        Raises:
            ConfigError: Naming the pattern.
        """
        modules = {module for layer in layers for module in _modules_of(layer)}
        for pattern in self.modules:
            if not any(fnmatchcase(module, pattern) for module in modules):
                raise ConfigError(
                    f"keep.modules: {pattern!r} matches no module; there are for example "
                    + ", ".join(sorted(modules)[:5])
                )


@dataclass(frozen=True, kw_only=True)
class Distill:
    """How long and how fast the step `distill` learns (`mnv4_mobile.quantize.distillation`)."""

    steps: int = 100
    """At most: batches of 8 calibration images."""
    rate: float = 0.02
    """Adam's, for the logarithms of the factors of channels."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A declared intent; every target maps it or refuses it by its scheme."""

    name: str
    """Of its file; part of the bundle's."""
    description: str
    precision: Precision
    """Of weights and, where the runtime can, of the arithmetic of what is not quantized."""
    weights: Weights | None = None
    activations: Activations | None = None
    keep: Keep = Keep()
    keep_on: tuple[tuple[Unit, Keep], ...] = ()
    """What is kept instead on a unit that the recipe names; see `on`."""
    prepare: tuple[Step, ...] = ()
    """What is done to the weights before lowering, the same for all targets; without calibration
    images, nothing."""
    distill: Distill = Distill()
    """For that step."""
    calibration_images: int = 0
    """How many are used at most; 0 where none are."""
    calibration_seed: int = 0
    """Which of them, where there are more."""
    min_sqnr_db: float
    """The gate: what verification must find on every output."""
    min_agreement: float | None = None
    """Another gate: on how many of the pictures that are held back of the calibration images the
    artifact must name the float network's class, as a share of 1."""

    def on(self, unit: Unit) -> Recipe:
        """Returns the recipe for artifacts that are made for a unit: nothing is left per unit."""
        return replace(self, keep=dict(self.keep_on).get(unit, self.keep), keep_on=())

    def check_keep(self, layers: Sequence[str]) -> None:
        """Refuses patterns of what is kept, on any unit, that match none of the layers.

        Raises:
            ConfigError: Naming the pattern.
        """
        for keep in (self.keep, *(keep for _, keep in self.keep_on)):
            keep.check(layers)

    @property
    def held_back(self) -> int:
        """How many pictures calibration does not see, if there are enough: they judge it."""
        if self.activations is not None and self.activations.range == "auto":
            return JUDGED
        return HELD_BACK if self.min_agreement is not None else 0

    @property
    def static(self) -> bool:
        """Whether activations have ranges from calibration images."""
        return self.activations is not None and self.activations.mode == "static"

    @property
    def needs_images(self) -> bool:
        """Whether it cannot do without calibration images, which only prepare it otherwise."""
        return self.static or self.min_agreement is not None

    @property
    def scheme(self) -> str:
        """For targets: fp32, fp16, int8 (static), int8-dynamic, intN-weights or palettize-N."""
        if self.weights is None:
            return {"float32": "fp32", "float16": "fp16"}[self.precision]
        if self.weights.form == "palette":
            return f"palettize-{self.weights.bits}"
        match self.activations:
            case None:
                return f"int{self.weights.bits}-weights"
            case Activations(mode="static"):
                return f"int{self.weights.bits}"
            case _:
                return f"int{self.weights.bits}-dynamic"


def _modules_of(layer: str) -> list[str]:
    """A layer's name and those of the modules around it."""
    parts = layer.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def load_recipe(name: str) -> Recipe:
    """A recipe: the name of a shipped one, or a YAML file.

    Raises:
        ConfigError: Naming the file and key, what was found and what is allowed.
    """
    path = find_config("recipes", name)
    top = Section(read_yaml(path), str(path))
    description = top.get("description", str)
    precision = _one_of(top, "precision", Precision)
    weights = _weights(top.section("weights")) if "weights" in top else None
    activations = _activations(top.section("activations")) if "activations" in top else None
    keep, keep_on = _keeps(top.section("keep")) if "keep" in top else (Keep(), ())
    prepare = _texts(top, "prepare")
    for step in prepare:
        if step not in get_args(Step):
            _refuse(top, "prepare", step, Step)
    distill = (
        _distill(top.section("distill")) if "distill" in prepare and "distill" in top else Distill()
    )
    static = activations is not None and activations.mode == "static"
    images, seed = 0, 0
    if static or prepare:
        calibration = top.section("calibration")
        images = calibration.get("images", int)
        seed = calibration.get("seed", int, 0)
        if images < 1:
            raise ConfigError(f"{calibration.at('images')}: found {images}, must be 1 or more")
        calibration.close()
    if "gate" not in top:
        raise ConfigError(f"{top.at('gate')}: missing; {_GATE}")
    sqnr, agreement = _gate(top.section("gate"), images)
    top.close()
    if weights is None and (activations is not None or keep != Keep() or keep_on or prepare):
        raise ConfigError(f"{top.at('weights')}: missing: nothing is quantized without it")
    if activations and weights and (weights.form, weights.bits) != ("integer", 8):
        raise ConfigError(f"{top.at('activations')}: only with integer weights of 8 bits")
    if "distill" in prepare and (not static or (weights and weights.per == "block")):
        raise ConfigError(
            f"{top.at('prepare')}: distill: only with static activations and one weight scale a "
            "tensor or channel"
        )
    if "gptq" in prepare and weights and (weights.form == "palette" or weights.per == "block"):
        raise ConfigError(
            f"{top.at('prepare')}: gptq: only with integer weights, one scale a tensor or channel"
        )
    return Recipe(
        name=path.stem,
        description=description,
        precision=precision,
        weights=weights,
        activations=activations,
        keep=keep,
        keep_on=keep_on,
        prepare=cast(tuple[Step, ...], prepare),
        distill=distill,
        calibration_images=images,
        calibration_seed=seed,
        min_sqnr_db=sqnr,
        min_agreement=agreement,
    )


def _refuse(section: Section, key: str, found: object, literal: object) -> None:
    allowed = ", ".join(map(str, get_args(literal)))
    raise ConfigError(f"{section.at(key)}: found {found!r}, allowed: {allowed}")


def _one_of(section: Section, key: str, literal: object, default: object = ...) -> Any:
    """A text that must be one of a Literal's."""
    found = section.get(key, str, default)
    if found not in get_args(literal):
        _refuse(section, key, found, literal)
    return found


def _texts(section: Section, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    values = section.any(key, list(default))
    if not isinstance(values, list):
        raise ConfigError(f"{section.at(key)}: found {values!r}, must be a list of texts")
    return tuple(checked(value, str, section.at(key)) for value in values)


def _weights(section: Section) -> Weights:
    form = _one_of(section, "form", Form, "integer")
    bits = section.get("bits", int)
    allowed = (8, 4) if form == "integer" else (8, 6, 4)
    if bits not in allowed:
        words = ", ".join(map(str, allowed))
        raise ConfigError(f"{section.at('bits')}: found {bits}, allowed for {form}: {words}")
    per = _one_of(section, "per", Granularity, "channel" if form == "integer" else "tensor")
    places = ("tensor", "channel", "block") if form == "integer" else ("tensor", "group")
    if per not in places:
        raise ConfigError(
            f"{section.at('per')}: found {per!r}, allowed for {form}: {', '.join(places)}"
        )
    size = section.get("size", int) if per in ("block", "group") else None
    if size is not None and size < 1:
        raise ConfigError(f"{section.at('size')}: found {size}, must be 1 or more")
    clustering = _one_of(section, "clustering", Clustering) if form == "palette" else None
    section.close()
    return Weights(bits=bits, form=form, per=per, size=size, clustering=clustering)


def _activations(section: Section) -> Activations:
    mode = _one_of(section, "mode", Mode)
    known = Activations(mode=mode)
    if mode == "static":
        rule = _one_of(section, "range", Rule, known.range)
        percentile = known.percentile
        if rule == "image-percentile":
            percentile = section.get("percentile", float, known.percentile)
            if not 50 <= percentile <= 100:
                raise ConfigError(
                    f"{section.at('percentile')}: found {percentile:g}, must be from 50 to 100"
                )
        known = Activations(
            mode=mode,
            range=rule,
            percentile=percentile,
            symmetric=section.get("symmetric", bool, known.symmetric),
        )
    section.close()
    return known


def _distill(section: Section) -> Distill:
    known = Distill()
    steps = section.get("steps", int, known.steps)
    rate = section.get("rate", float, known.rate)
    section.close()
    if steps < 1:
        raise ConfigError(f"{section.at('steps')}: found {steps}, must be 1 or more")
    if not 0 < rate < 1:
        raise ConfigError(f"{section.at('rate')}: found {rate:g}, must be between 0 and 1")
    return Distill(steps=steps, rate=rate)


def _keeps(section: Section) -> tuple[Keep, tuple[tuple[Unit, Keep], ...]]:
    """What is kept on all units, and on those that have keys of their own over the common ones."""
    own = {unit: section.section(unit) for unit in UNITS if unit in section}
    keep = _keep(section, Keep())
    return keep, tuple((unit, _keep(keys, keep)) for unit, keys in own.items())


def _keep(section: Section, common: Keep) -> Keep:
    keep = Keep(
        residual_additions=section.get("residual_additions", bool, common.residual_additions),
        after_pooling=section.get("after_pooling", bool, common.after_pooling),
        depthwise=section.get("depthwise", bool, common.depthwise),
        modules=_texts(section, "modules", common.modules),
    )
    section.close()
    return keep


_GATE = (
    "a gate says how close a bundle must come to the float model to be written: the least signal "
    "to noise ratio of every output, in dB, for example gate: {sqnr_db: 15}"
)


def _gate(section: Section, images: int) -> tuple[float, float | None]:
    """The bounds on SQNR and agreement of a recipe with so many calibration images."""
    if "sqnr_db" not in section:
        raise ConfigError(f"{section.at('sqnr_db')}: missing; {_GATE}")
    sqnr = section.get("sqnr_db", float)
    agreement = section.get("top1_agreement", float) if "top1_agreement" in section else None
    if agreement is not None and not 0 < agreement <= 1:
        raise ConfigError(
            f"{section.at('top1_agreement')}: found {agreement:g}, must be above 0 and at most 1"
        )
    if agreement is not None and not images:
        raise ConfigError(
            f"{section.at('top1_agreement')}: is judged on calibration images that are held back, "
            "and this recipe has none"
        )
    section.close()
    return sqnr, agreement
