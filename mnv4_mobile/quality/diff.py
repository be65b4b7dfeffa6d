"""Compares the values of every layer of two programs that compute one network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import lcm
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.bundle.folder import Bundle
from mnv4_mobile.bundle.parity import EXACT_DB, sqnr_db
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import list_images, pixels, read_image
from mnv4_mobile.layers import block_of
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.figure import write_figure
from mnv4_mobile.quality.sides import Side
from mnv4_mobile.tensors import Tensors

_CHUNK = 8  # number of images whose values are in memory at a time
_GUARDED = (".query", ".key.project", ".value.project", "head.conv")
"""Ends of the names of layers whose channels only `guard` scales, by powers of two."""


@dataclass(frozen=True, kw_only=True)
class LayerDiff:
    """How close a layer of one program is to that of the reference."""

    layer: str
    """The layer, as the manifest names it."""
    block: str
    """The block of the network that the layer belongs to."""
    sqnr_db: float
    """Median over the images of the ratio of the reference's values to the difference."""
    own_db: float | None
    """The same with both layers computing from the same inputs: what the layer loses by itself.
    None if neither program can compute a layer from given inputs."""


@dataclass(frozen=True, kw_only=True)
class PairDiff:
    """How close a program is to the reference, along the network."""

    reference: str
    other: str
    rescaled: bool
    """Whether each channel was first scaled by the factor that fits best, because the two were
    prepared differently."""
    layers: tuple[LayerDiff, ...]
    """The layers that both have, in the order in which they run."""
    missing: tuple[str, ...]
    """Layers that one of them does not have, or not with the same shape."""
    first_below: LayerDiff | None
    """The first layer below the bound."""
    worst: LayerDiff | None
    """The layer that loses most by itself."""


@dataclass(frozen=True, kw_only=True)
class Diff:
    """Programs that compute one network, each compared with the first one."""

    images: int
    bound_db: float
    """The bound of `first_below`."""
    executors: dict[str, str]
    """What ran each artifact, by its name in the pairs."""
    pairs: tuple[PairDiff, ...]

    def shown(self, name: str) -> str:
        """Returns a program's name with what ran it."""
        executor = self.executors.get(name)
        return f"{name} ({executor})" if executor else name


def check_same_network(bundles: Sequence[Bundle]) -> None:
    """Refuses bundles that are not of one network, one size and one preprocessing.

    Raises:
        ConfigError: Naming the bundle and what differs.
    """
    first, *others = map(_identity, bundles)
    for bundle, other in zip(bundles[1:], others, strict=True):
        for what, (value, shown) in other.items():
            if value != first[what][0]:
                raise ConfigError(
                    f"{bundle.path}: {what}: found {shown}, must be that of {bundles[0].path}: "
                    f"{first[what][1]}"
                )


def _identity(bundle: Bundle) -> dict[str, tuple[object, str]]:
    """Returns what makes a bundle's network, each with how messages show it."""
    entry, preprocess = bundle.manifest.model, bundle.preprocess
    return {
        "model": (entry.config_sha256, f"{entry.name} ({entry.config_sha256[:12]})"),
        "weights": (entry.weights_sha256, f"{entry.weights} ({entry.weights_sha256[:12]})"),
        "preprocess": (preprocess, str(preprocess)),
    }


def images_for(bundle: Bundle, folder: Path | None, limit: int) -> npt.NDArray[np.uint8]:
    """Returns the images to compare programs on, (N, H, W, 3) RGB after resizing.

    Args:
        bundle: One of the bundles.
        folder: A folder of images. None takes the bundle's golden images.
        limit: The most images to read, spread evenly over the folder.

    Raises:
        ImageError: There is no such folder, no image in it, or one cannot be read.
    """
    if folder is None:
        return bundle.golden("input")["pixels"]
    paths = list_images(folder)
    count = min(limit, len(paths))
    chosen = [paths[index * len(paths) // count] for index in range(count)]
    return np.stack([pixels(read_image(path), bundle.preprocess) for path in chosen])


def diff(
    sides: Sequence[Side], images: npt.NDArray[np.uint8], bound_db: float, progress: Progress
) -> Diff:
    """Compares programs with the first of them, layer by layer.

    Args:
        sides: The programs, two or more.
        images: (N, H, W, 3) RGB pixels after resizing.
        bound_db: The bound below which a layer is reported.
        progress: Receives the count of images.

    Raises:
        ConfigError: Two programs have no layer in common.
        DeviceError: A runtime failed or died.
    """
    batch = lcm(*(side.batch for side in sides))
    images = np.concatenate([images, np.repeat(images[-1:], -len(images) % batch, axis=0)])
    chunk = batch * max(1, _CHUNK // batch)
    pairs = [_Pair(sides[0], other) for other in sides[1:]]
    progress.step("compare the values of layers")
    with progress.count(len(images), "images"):
        for start in range(0, len(images), chunk):
            some = images[start : start + chunk]
            reference = sides[0].values(some, {})
            for pair in pairs:
                pair.add(some, reference)
            progress.advance(len(some))
    return Diff(
        images=len(images),
        bound_db=bound_db,
        executors={side.name: side.executor for side in sides if side.executor},
        pairs=tuple(pair.result(bound_db) for pair in pairs),
    )


@dataclass
class _Pair:
    """Two programs, and the ratios of their layers for all images so far."""

    reference: Side
    other: Side
    ratios: dict[str, list[float]] = field(default_factory=dict)
    own: dict[str, list[float]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    fits: dict[str, _Fit] = field(default_factory=dict)

    @property
    def rescaled(self) -> bool:
        return self.reference.preparation != self.other.preparation

    def add(self, images: npt.NDArray[np.uint8], expected: Tensors) -> None:
        """Adds the ratios of some images.

        Args:
            images: (N, H, W, 3) RGB pixels after resizing.
            expected: The reference's values for them.
        """
        found = self.other.values(images, {})
        if not self.fits:
            self._fit(expected, found)
        for layer, fit in self.fits.items():
            known = self.ratios.setdefault(layer, [])
            known.extend(sqnr_db(expected[layer], fit.forth(found[layer])))
        if self.other.reruns:
            given = {layer: fit.back(expected[layer]) for layer, fit in self.fits.items()}
            alone = self.other.values(images, given)
            pairs = {
                layer: (expected[layer], fit.forth(alone[layer]))
                for layer, fit in self.fits.items()
            }
        elif self.reference.reruns:
            given = {layer: fit.forth(found[layer]) for layer, fit in self.fits.items()}
            alone = self.reference.values(images, given)
            pairs = {layer: (alone[layer], given[layer]) for layer in self.fits}
        else:
            return
        for layer, (one, other) in pairs.items():
            self.own.setdefault(layer, []).extend(sqnr_db(one, other))

    def _fit(self, expected: Tensors, found: Tensors) -> None:
        """Finds the common layers, and how their channels correspond."""
        common = [
            layer
            for layer in expected
            if layer in found and expected[layer].shape == found[layer].shape
        ]
        self.missing = tuple(x for x in dict.fromkeys((*expected, *found)) if x not in common)
        if not common:
            raise ConfigError(
                f"{self.reference.name} and {self.other.name}: have no layer in common"
            )
        self.fits = {
            layer: _fitted(layer, expected[layer], found[layer], rescaled=self.rescaled)
            for layer in common
        }

    def result(self, bound_db: float) -> PairDiff:
        """Returns the medians over the images."""
        layers = tuple(
            LayerDiff(
                layer=layer,
                block=block_of(layer),
                sqnr_db=_median(ratios),
                own_db=_median(self.own[layer]) if layer in self.own else None,
            )
            for layer, ratios in self.ratios.items()
        )
        known = [layer for layer in layers if layer.own_db is not None]
        return PairDiff(
            reference=self.reference.name,
            other=self.other.name,
            rescaled=self.rescaled,
            layers=layers,
            missing=self.missing,
            first_below=next((one for one in layers if not one.sqnr_db >= bound_db), None),
            worst=min(known, key=lambda one: one.own_db or 0.0) if known else None,
        )


def _median(ratios: Sequence[float]) -> float:
    return round(float(np.median(ratios)), 2)


@dataclass(frozen=True, kw_only=True)
class _Fit:
    """How the channels of a layer correspond to the reference's."""

    order: npt.NDArray[np.intp]
    """The channel that is the reference's first one, second one, and so on."""
    factor: npt.NDArray[np.float32]
    """What each of them has to be multiplied by, (C, 1, 1)."""

    def forth(self, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns a value (N, C, H, W) as the reference would have it."""
        turned: npt.NDArray[Any] = value[:, self.order] * self.factor
        return turned

    def back(self, value: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Returns a value of the reference as the other program would have it."""
        turned = np.empty_like(value)
        turned[:, self.order] = value / self.factor
        return turned


def _fitted(
    layer: str, expected: npt.NDArray[Any], found: npt.NDArray[Any], *, rescaled: bool
) -> _Fit:
    channels = expected.shape[1]
    order = np.arange(channels)
    if layer.endswith(".query"):
        # The forms order the channels of queries by head first or last (`model/deploy.py`).
        orders = [order, *_orders_of_heads(channels)]
        order = max(orders, key=lambda one: float(np.median(sqnr_db(expected, found[:, one]))))
    factor = np.ones((channels, 1, 1), np.float32)
    if rescaled and layer != "head.classifier":
        a, b = (
            np.moveaxis(x, 1, 0).reshape(channels, -1).astype(np.float64)
            for x in (expected, found[:, order])
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            fitted = (a * b).sum(1) / (b * b).sum(1)
            if layer.endswith(_GUARDED):
                power = np.exp2(np.log2(fitted).round())
                fitted = np.where(np.isclose(fitted, power, rtol=0.05), power, 1)
        # A channel that is zero, or opposite, has no factor.
        factor[:, 0, 0] = np.where(np.isfinite(fitted) & (fitted > 0), fitted, 1)
    return _Fit(order=order, factor=factor)


def _orders_of_heads(channels: int) -> Iterator[npt.NDArray[np.intp]]:
    """Yields the orders that turn channels of heads from head-first to head-last, and back."""
    for heads in range(2, channels):
        if channels % heads == 0:
            yield np.arange(channels).reshape(heads, -1).T.ravel()


def summary(pair: PairDiff, bound_db: float) -> list[str]:
    """Returns what was found, in a few lines."""
    below, worst = pair.first_below, pair.worst
    lines = [
        f"first layer below {bound_db:g} dB: {below.layer}, {below.sqnr_db:.1f} dB"
        if below
        else f"no layer is below {bound_db:g} dB"
    ]
    if worst:
        lines.append(
            f"loses most by itself: {worst.layer}, {worst.own_db:.1f} dB from the same inputs"
        )
    if pair.rescaled:
        lines.append(
            "the two were prepared differently, so each channel was scaled to fit best; a wrong "
            "scale of whole channels shows in the layer after it"
        )
    if pair.missing:
        lines.append(f"not compared: {', '.join(pair.missing)}")
    return lines


def plot(found: Diff, path: Path, title: str) -> None:
    """Draws the layers' decibels along the network, to a file that `check_figure` accepts.

    A page shows the table below the plot.
    """
    from matplotlib.figure import Figure

    names = _names(found)
    figure = Figure(figsize=(9, 1.5 + 0.18 * len(names)), layout="constrained")
    axes = figure.subplots()
    places = {name: index for index, name in enumerate(names)}
    for pair in found.pairs:
        rows = [places[one.layer] for one in pair.layers]
        (line,) = axes.plot([one.sqnr_db for one in pair.layers], rows, label=pair.other)
        if pair.worst:
            own = [EXACT_DB if one.own_db is None else one.own_db for one in pair.layers]
            axes.plot(own, rows, ".", color=line.get_color(), label=f"{pair.other}, by itself")
    axes.axvline(found.bound_db, color="#c33", linewidth=1, label="bound")
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel(f"SQNR in dB against {found.shown(found.pairs[0].reference)}")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    axes.set_title(title)
    write_figure(figure, path, title, _page(found))


def _page(found: Diff) -> str:
    """Returns the findings and the table as HTML."""
    parts = []
    for pair in found.pairs:
        lines = "".join(f"<li>{escape(line)}</li>" for line in summary(pair, found.bound_db))
        parts.append(f"<h2>{escape(found.shown(pair.other))}</h2><ul>{lines}</ul>")
    columns, rows = table(found)
    head = "".join(f"<th>{escape(column.lstrip('>'))}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return "".join(parts) + f"<table><tr>{head}</tr>{body}</table>"


def table(found: Diff) -> tuple[list[str], list[list[str]]]:
    """Returns the columns and rows of all layers; names of numeric columns begin with `>`."""
    columns, by_layer = ["layer"], []
    for pair in found.pairs:
        several = f"{pair.other}, " if len(found.pairs) > 1 else ""
        columns += [f">{several}dB", f">{several}dB by itself"]
        by_layer.append({one.layer: one for one in pair.layers})
    return columns, [[name, *_cells(name, by_layer)] for name in _names(found)]


def _names(found: Diff) -> list[str]:
    """Returns the layers of all pairs in the order in which they run."""
    longest_first = sorted(found.pairs, key=lambda pair: -len(pair.layers))
    return list(dict.fromkeys(one.layer for pair in longest_first for one in pair.layers))


def _cells(name: str, by_layer: Sequence[Mapping[str, LayerDiff]]) -> Iterator[str]:
    for layers in by_layer:
        one = layers.get(name)
        yield "-" if one is None else f"{one.sqnr_db:.1f}"
        yield "-" if one is None or one.own_db is None else f"{one.own_db:.1f}"
