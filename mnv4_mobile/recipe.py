"""Recipes, which declare the wanted precision without naming a target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import asdict

from mnv4_mobile.configs import read_config
from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.records import Count, Decibels, Natural, Record, convert, replace, show
from mnv4_mobile.units import UNITS, Unit

Precision = Literal["float32", "float16"]
Form = Literal["integer", "palette"]
Granularity = Literal["tensor", "channel", "block", "group"]
Clustering = Literal["kmeans", "uniform"]
Mode = Literal["static", "dynamic"]
Rule = Literal["image-percentile", "minmax", "mse", "histogram", "auto"]
Step = Literal["equalize", "distill", "guard", "gptq"]
INT16 = "int8-int16"
"""The scheme of int8 weights with static activations of 16 bits."""
HELD_OUT = 128
"""The most images to hold out; enough to tell 99 % from 98 %."""
FEWEST_DISTILLED = 64
"""The fewest calibration images that `distill` works with."""
JUDGED = 1024
"""The most images that `range: auto` judges by. Three standard errors of a rule's gain are then
0.5 to 0.7 dB, about the gain with which it is chosen (`mnv4_mobile.builder.range_rule`)."""


class Weights(Record, frozen=True, kw_only=True, omit_defaults=True):
    """How the weights of convolutions are quantized, always symmetrically."""

    bits: Literal[8, 6, 4]
    """Number of bits of a weight; 6 only in a palette."""
    form: Form = "integer"
    """`integer` with a scale, or indices into a `palette` of values."""
    per: Granularity = "channel"
    """What shares a scale: a tensor, an output channel, or a block of `size` inputs of a channel.
    What shares a palette: a tensor, or a group of `size` output channels."""
    size: Count | None = None
    """Size of blocks and groups."""
    clustering: Clustering | None = None
    """How a palette is found."""

    @property
    def largest(self) -> int:
        """The largest integer, which the largest weight of those that share a scale gets."""
        return (1 << (self.bits - 1)) - 1


PERCENTILE = 95
"""Default of `Activations.percentile`. 90 has the same median but worse tails
(docs/results/tails.md)."""


class Activations(Record, frozen=True, kw_only=True, omit_defaults=True):
    """How activations are quantized, with one scale per tensor."""

    mode: Mode
    """`static`: ranges from calibration images; `dynamic`: from every input, while running."""
    bits: Literal[8, 16] = 8
    """Number of bits of an activation; 16 only with `static` and the range `minmax`."""
    range: Rule = "image-percentile"
    """The rule that finds a tensor's range from the images (`quantize.ranges`). `auto` means
    `image-percentile`, unless another rule is clearly better on held-out images."""
    percentile: Annotated[float, Meta(ge=50, le=100)] = PERCENTILE
    """The percentile, for `image-percentile`, over each image's smallest and largest value."""
    symmetric: bool = False
    """Whether zero is in the middle of the range; affine ranges fit ReLU's outputs better."""


class KeepOn(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What artifacts for one unit keep in float; a key without a value is as for all units."""

    residual_additions: bool | None = None
    """The additions of blocks to their inputs."""
    after_pooling: bool | None = None
    """The activations after the global pooling."""
    depthwise: bool | None = None
    """Depthwise convolutions."""
    modules: tuple[str, ...] | None = None
    """Patterns (`fnmatch`) of names of modules."""
    int16: tuple[str, ...] | None = None
    """Patterns of names of modules whose activations have 16 bits."""


class Keep(Record, frozen=True, kw_only=True, omit_defaults=True):
    """What stays at the recipe's float precision, or at 16 bits, although the rest is quantized."""

    residual_additions: bool = False
    """The additions of blocks to their inputs."""
    after_pooling: bool = False
    """The activations after the global pooling: two layers on a 1 x 1 map, where integers save no
    time. Their weights, which are a large part of a small network, are quantized."""
    depthwise: bool = False
    """Depthwise convolutions, which have few of a network's weights, but sensitive ones."""
    modules: tuple[str, ...] = ()
    """Patterns (`fnmatch`) of names of modules, as in the manifest's layers; they also match the
    parts of a module."""
    int16: tuple[str, ...] = ()
    """Patterns of names of modules that are quantized with activations of 16 bits instead of 8,
    for runtimes that have them. What another key keeps in float stays in float."""
    cpu: KeepOn | None = None
    """What artifacts for the CPU keep instead."""
    gpu: KeepOn | None = None
    """What artifacts for the GPU keep instead."""
    npu: KeepOn | None = None
    """What artifacts for the NPU keep instead."""

    def on(self, unit: Unit) -> Keep:
        """Returns what artifacts for a unit keep; the result has no values per unit."""
        own = getattr(self, unit)
        values = asdict(self) | dict.fromkeys(UNITS)
        return Keep(
            **values | {k: v for k, v in (asdict(own) if own else {}).items() if v is not None}
        )

    def with_modules(self, patterns: Iterable[str], unit: Unit) -> Keep:
        """Returns a copy that keeps more modules, at least on one unit.

        They are added to the unit's own modules if it has any, or else to those of all units.
        """
        own = getattr(self, unit)
        if own is None or own.modules is None:
            return replace(self, modules=(*self.modules, *patterns))
        return replace(self, **{unit: replace(own, modules=(*own.modules, *patterns))})

    def why(self, layer: str) -> str | None:
        """Returns which of these settings keeps a layer in float; None if none does."""
        if self.residual_additions and layer.endswith(".add"):
            return "keep.residual_additions"
        return _matching("modules", self.modules, layer)

    def why_int16(self, layer: str) -> str | None:
        """Returns which pattern gives a layer activations of 16 bits; None if none does."""
        return _matching("int16", self.int16, layer)

    def only_activations(self, layer: str) -> bool:
        """Returns whether a layer's weights are quantized, but not its activations."""
        return self.after_pooling and layer.startswith("head.")

    def check(self, layers: Iterable[str]) -> None:
        """Refuses patterns that none of the layers matches.

        Raises:
            ConfigError: Naming the pattern.
        """
        modules = {module for layer in layers for module in _modules_of(layer)}
        for key, patterns in (("modules", self.modules), ("int16", self.int16)):
            for pattern in patterns:
                if not any(fnmatchcase(module, pattern) for module in modules):
                    raise ConfigError(
                        f"keep.{key}: {pattern!r} matches no module; some that exist: "
                        + ", ".join(sorted(modules)[:5])
                    )


class Distill(Record, frozen=True, kw_only=True, omit_defaults=True):
    """How long and how fast the step `distill` learns (`mnv4_mobile.quantize.distillation`)."""

    steps: Count = 100
    """The most steps: batches of 8 calibration images."""
    rate: Annotated[float, Meta(gt=0, lt=1)] = 0.02
    """Adam's learning rate, for the logarithms of the factors of channels."""


class CalibrationImages(Record, frozen=True, kw_only=True, omit_defaults=True):
    """The images that a recipe calibrates with."""

    images: Count
    """The most images used."""
    seed: Natural = 0
    """Chooses among the images if there are more."""


class Gate(Record, frozen=True, kw_only=True, omit_defaults=True):
    """How close a bundle must come to the float model to be written."""

    sqnr_db: Decibels
    """The least SQNR of every output in verification, in decibels."""
    top1_agreement: Annotated[float, Meta(gt=0, le=1)] | None = None
    """The least share of the images held out of calibration for which the artifact names the float
    network's class."""


class Recipe(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A declared precision, which every target supports or refuses by its scheme."""

    name: str
    """The recipe file's stem; part of the bundle's name."""
    description: str = ""
    """What the recipe is for, in one line."""
    precision: Precision
    """Precision of weights and, if the runtime supports it, of the arithmetic of all that is not
    quantized."""
    weights: Weights | None = None
    """How weights are quantized; null keeps them in float."""
    activations: Activations | None = None
    """How activations are quantized; null keeps them in float."""
    keep: Keep = Keep()
    """What stays in float although the rest is quantized."""
    prepare: tuple[Step, ...] = ()
    """Steps that change the weights before lowering, the same for all targets; left out without
    calibration images."""
    distill: Distill = Distill()
    """Settings of the step `distill`."""
    calibration: CalibrationImages | None = None
    """The images that ranges and preparation use; null without any."""
    gate: Gate
    """How close the artifact must come to the float model."""

    def on(self, unit: Unit) -> Recipe:
        """Returns the recipe for artifacts made for a unit; `keep` has no values per unit."""
        return replace(self, keep=self.keep.on(unit))

    def check_keep(self, layers: Sequence[str]) -> None:
        """Refuses patterns of `keep`, for any unit, that match none of the layers.

        Raises:
            ConfigError: Naming the pattern.
        """
        for unit in UNITS:
            self.keep.on(unit).check(layers)

    @property
    def held_out(self) -> int:
        """The most images to hold out of calibration, to judge the result by."""
        if self.activations is not None and self.activations.range == "auto":
            return JUDGED
        return HELD_OUT if self.gate.top1_agreement is not None else 0

    @property
    def static(self) -> bool:
        """Whether activations have ranges from calibration images."""
        return self.activations is not None and self.activations.mode == "static"

    @property
    def needs_images(self) -> bool:
        """Whether the recipe requires calibration images; otherwise only `prepare` uses them."""
        return self.static or self.gate.top1_agreement is not None

    @property
    def scheme(self) -> str:
        """The scheme: fp32, fp16, int8 or int8-int16 (both static), int8-dynamic, intN-weights or
        palettize-N.
        """
        if self.weights is None:
            return {"float32": "fp32", "float16": "fp16"}[self.precision]
        if self.weights.form == "palette":
            return f"palettize-{self.weights.bits}"
        match self.activations:
            case None:
                return f"int{self.weights.bits}-weights"
            case Activations(mode="static", bits=bits):
                return INT16 if bits == 16 else f"int{self.weights.bits}"
            case _:
                return f"int{self.weights.bits}-dynamic"


def _modules_of(layer: str) -> list[str]:
    """Returns a layer's name and the names of the modules around it."""
    parts = layer.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]


def _matching(key: str, patterns: Iterable[str], layer: str) -> str | None:
    """Returns the key of `keep` and the first of its patterns that match a layer."""
    for pattern in patterns:
        if any(fnmatchcase(module, pattern) for module in _modules_of(layer)):
            return f"keep.{key}: {pattern}"
    return None


def load_recipe(name: str) -> Recipe:
    """Reads a recipe: the name of a shipped one, or a YAML file.

    Raises:
        ConfigError: Naming the file and key, what was found and what is allowed.
    """
    path, values = read_config("recipes", name)
    try:
        recipe = convert(values, Recipe, str(path))
    except ConfigError as error:
        gate = str(error).endswith((": gate: missing", ": gate.sqnr_db: missing"))
        raise ConfigError(f"{error}; {_GATE}" if gate else str(error)) from None
    for wrong in _contradictions(recipe):
        raise ConfigError(f"{path}: {wrong}")
    return recipe


_GATE = (
    "a gate says how close a bundle must come to the float model to be written: the least signal "
    "to noise ratio of every output, in dB, for example gate: {sqnr_db: 15}"
)


def _contradictions(recipe: Recipe) -> Iterator[str]:
    """Yields the contradictions between fields of a recipe that are valid on their own."""
    weights, activations = recipe.weights, recipe.activations
    if weights is None:
        if activations is not None or recipe.keep != Keep() or {*recipe.prepare} - {"guard"}:
            yield "weights: missing: nothing is quantized without it"
    else:
        yield from _contradictions_of(weights)
    if activations is not None:
        if weights is not None and (weights.form, weights.bits) != ("integer", 8):
            yield "activations: only with integer weights of 8 bits"
        if activations.mode == "dynamic" and activations != Activations(mode="dynamic"):
            yield "activations: bits, range, percentile and symmetric are only for mode static"
        elif activations.bits == 16 and activations.range != "minmax":
            yield (
                f"activations.range: found {show(activations.range)}, must be minmax with 16 bits, "
                "which have room for all values"
            )
        if activations.range != "image-percentile" and activations.percentile != PERCENTILE:
            yield "activations.percentile: only with range image-percentile"
    if recipe.scheme != "int8" and any(recipe.keep.on(unit).int16 for unit in UNITS):
        yield "keep.int16: only with static activations of 8 bits"
    if "guard" in recipe.prepare and recipe.precision != "float16":
        yield "prepare: guard: only with precision float16"
    if "distill" in recipe.prepare:
        if not recipe.static or (weights and weights.per == "block"):
            yield (
                "prepare: distill: only with static activations and one weight scale per tensor or "
                "channel"
            )
    elif recipe.distill != Distill():
        yield "distill: only with distill in prepare"
    if "gptq" in recipe.prepare and weights and (weights.size or weights.form == "palette"):
        yield "prepare: gptq: only with integer weights, one scale per tensor or channel"
    images = recipe.static or bool(recipe.prepare)
    if images != (recipe.calibration is not None):
        yield "calibration: " + (
            "missing" if images else "only with static activations or steps in prepare"
        )
    if recipe.gate.top1_agreement is not None and not images:
        yield (
            "gate.top1_agreement: is judged on held-out calibration images, and this "
            "recipe has none"
        )


def _contradictions_of(weights: Weights) -> Iterator[str]:
    palette = weights.form == "palette"
    if weights.bits == 6 and not palette:
        yield "weights.bits: found 6, allowed for integer: 8, 4"
    allowed = ("tensor", "group") if palette else ("tensor", "channel", "block")
    if weights.per not in allowed:
        yield unknown(f"weights.per with form {weights.form}", weights.per, allowed)
    if (weights.size is None) == (weights.per in ("block", "group")):
        yield f"weights.size: found {show(weights.size)}, needed with per block or group only"
    if (weights.clustering is None) == palette:
        yield f"weights.clustering: found {show(weights.clustering)}, needed with form palette only"
