"""Measures the accuracy of an artifact on a dataset, and how far it is from its float parent.

Everything is measured on the bytes of the artifacts. The dataset is a folder of images. With
one folder per class it gives the accuracy, otherwise only how often artifact and parent agree.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mnv4_mobile.bundle.folder import AnyBundle, Bundle, open_bundle
from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.bundle.versions import versions
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.errors import ConfigError, ImageError, ParityError
from mnv4_mobile.files import sha256
from mnv4_mobile.images import Preprocess, Side, list_images, pixels, read_image
from mnv4_mobile.progress import Progress
from mnv4_mobile.records import Count, DateTime, Finite, NotNegative, Record, Sha256, Share
from mnv4_mobile.target import check_units, load_target, require
from mnv4_mobile.tensors import CLASSES
from mnv4_mobile.text import printable
from mnv4_mobile.units import Unit

_CHUNK = 16  # number of images in memory at a time


class Confusion(Record, frozen=True, kw_only=True):
    """Images for which artifact and parent name different classes."""

    parent: str
    """The class that the parent names."""
    artifact: str
    """The class that the artifact names."""
    count: Count
    """Number of images."""


class Evaluation(Record, frozen=True, kw_only=True):
    """Accuracy of an artifact on a dataset; rates are shares of 1."""

    schema: Literal[1] = 1
    """Version of this format."""
    artifact_sha256: Sha256
    """Hash of the artifact."""
    bundle_id: str
    """Id of the artifact's bundle."""
    size: tuple[Side, Side] | None = None
    """Height and width of the input; null in records that do not say so."""
    dataset: str
    """Name of the dataset's folder."""
    dataset_sha256: Sha256
    """Hash of the sorted lines `<sha256>  <posix path>` of the images."""
    n: Count
    """Number of images."""
    skipped: tuple[str, ...]
    """Files that could not be read, with the reason."""
    top1: Share | None
    """Accuracy; null for a dataset without classes."""
    top5: Share | None
    """Share of images whose class is among the first five; null for a dataset without classes."""
    parent_sha256: Sha256 | None
    """Hash of the float parent's artifact; null without a parent, as are all fields about it."""
    parent_top1: Share | None
    """The parent's accuracy."""
    parent_top5: Share | None
    """The parent's share of images whose class is among the first five."""
    agreement: Share | None
    """Share of images for which artifact and parent name the same class first."""
    sqnr_db: Finite | None
    """Median over the images of the ratio of the parent's scores to the difference."""
    sqnr_db_p10: Finite | None
    """10th percentile of the same ratios."""
    confusion: tuple[Confusion, ...]
    """Differing classes of parent and artifact, the most frequent pair first."""
    images_per_s: NotNegative
    """Images per second with this artifact alone, including decoding."""
    threads: Count
    """Number of runtime threads."""
    unit: Unit | None
    """Unit that the artifact ran on; null for the one that it asks for by default."""
    started_at: DateTime
    """Start of the evaluation, as ISO 8601 in UTC."""
    versions: Mapping[str, str]
    """Versions of the packages that evaluated the artifact."""


def evaluate(
    bundle: AnyBundle,
    dataset: str | Path,
    *,
    parent: AnyBundle | None = None,
    limit: int | None = None,
    threads: int = 1,
    unit: Unit | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Runs a bundle, and its float parent if one is given, over a dataset.

        found = evaluate("out/conv-small-224x224-int8-tflite", "val", limit=1000)
        print(found.top1, found.n)

    Args:
        bundle: A bundle with a class output, its folder, or the artifact in it. One that takes
            several input sizes runs at its first, or at that of `Bundle.at`.
        dataset: A folder of images, or of one folder per class, named by the labels. If the names
            are not labels, but there are as many folders as classes, the sorted folders are the
            classes.
        parent: A bundle of the same network in float, to compute the agreement with. It runs at
            the same input size.
        limit: The most images to read, spread evenly over the dataset.
        threads: Number of threads of each runtime.
        unit: The unit that the bundle runs on. Default: the one that the artifact asks for.
        progress: Receives the count of images.

    Raises:
        ConfigError: The bundle has no class output, the target lacks the unit, the folders are not
            the classes, or the parent prepares images in another way.
        ImageError: No image can be read.
    """
    progress = progress or Progress()
    bundle, dataset = open_bundle(bundle), Path(dataset)
    parent = None if parent is None else open_bundle(parent)
    check_units(load_target(bundle.manifest.target), [unit] if unit else [])
    if parent and (size := bundle.preprocess.size) in parent.manifest.sizes:
        parent = parent.at(size)
    if parent and parent.preprocess != bundle.preprocess:
        raise ConfigError(
            f"--parent: {parent.path}: prepares images as {parent.preprocess}, must be as "
            f"{bundle.path}: {bundle.preprocess}"
        )
    paths = list_images(dataset)
    if limit is not None and limit < len(paths):
        paths = [paths[i * len(paths) // limit] for i in range(limit)]
    dataset_images = _Images(dataset, _Classes.of(bundle).truths(dataset, paths), bundle.preprocess)
    started = datetime.now(UTC)
    ratios: list[float] = []
    seen = 0
    name = bundle.manifest.id
    progress.step(f"{name}: evaluate")
    with ExitStack() as stack:
        stack.enter_context(progress.count(len(paths), "images"))
        judged = stack.enter_context(_judging(bundle, threads, unit))
        reference = stack.enter_context(_judging(parent, threads)) if parent else None
        for images in dataset_images.chunks():
            scores = judged.run(images)
            if reference:
                ratios += list(sqnr_db(reference.run(images), scores))
            progress.advance(dataset_images.seen - seen)
            seen = dataset_images.seen
            speed = len(dataset_images.known) / (dataset_images.seconds + judged.seconds)
            progress.update(f"{name}: evaluate, {speed:.0f} images per second")
    if not dataset_images.known:
        raise ImageError(f"{dataset}: no image can be read; the first: {dataset_images.skipped[0]}")
    return _evaluation(judged, reference, dataset_images, ratios, threads, unit, started)


def _evaluation(
    judged: _Judged,
    reference: _Judged | None,
    dataset_images: _Images,
    ratios: Sequence[float],
    threads: int,
    unit: Unit | None,
    started: datetime,
) -> Evaluation:
    """Returns the record of an artifact and its parent, if it has one."""
    known = dataset_images.known
    pairs = judged.confusion(reference) if reference else Counter()
    manifest = judged.bundle.manifest
    return Evaluation(
        artifact_sha256=manifest.artifact.sha256,
        bundle_id=manifest.id,
        size=manifest.preprocess.size,
        dataset=printable(dataset_images.dataset.name),
        dataset_sha256=dataset_images.sha256(),
        n=len(known),
        skipped=tuple(dataset_images.skipped),
        top1=judged.top(1, known),
        top5=judged.top(5, known),
        parent_sha256=reference.bundle.manifest.artifact.sha256 if reference else None,
        parent_top1=reference.top(1, known) if reference else None,
        parent_top5=reference.top(5, known) if reference else None,
        agreement=1 - pairs.total() / len(known) if reference else None,
        sqnr_db=round(float(np.median(ratios)), 2) if ratios else None,
        sqnr_db_p10=round(float(np.percentile(ratios, 10)), 2) if ratios else None,
        confusion=tuple(
            Confusion(parent=judged.classes.name(a), artifact=judged.classes.name(b), count=count)
            for (a, b), count in pairs.most_common()
        ),
        images_per_s=round(len(known) / (dataset_images.seconds + judged.seconds), 1),
        threads=threads,
        unit=unit,
        started_at=started.isoformat(timespec="seconds"),
        versions=versions(load_target(manifest.target).distributions),
    )


@contextmanager
def _judging(bundle: Bundle, threads: int, unit: Unit | None = None) -> Iterator[_Judged]:
    """Runs a bundle's artifact in a separate process."""
    target = bundle.manifest.target
    require(load_target(target))
    with Worker(target, bundle.artifact, threads=threads, unit=unit) as worker:
        yield _Judged(bundle, worker)


@dataclass(frozen=True, kw_only=True)
class _Classes:
    """A bundle's class output."""

    output: str
    count: int
    labels: Sequence[str] | None

    @classmethod
    def of(cls, bundle: Bundle) -> _Classes:
        output = bundle.class_output(*CLASSES)
        labels = bundle.manifest.labels
        return cls(output=output.name, count=output.shape[1], labels=labels)

    def name(self, index: int) -> str:
        return self.labels[index] if self.labels else str(index)

    def truths(self, dataset: Path, paths: Sequence[Path]) -> dict[Path, int | None]:
        """Returns the class of every image, which the outermost folder around it names."""
        folders = {path: path.relative_to(dataset).parts[:-1] for path in paths}
        names = sorted({parts[0] for parts in folders.values() if parts})
        if not names:
            return dict.fromkeys(paths)
        if not all(folders.values()):
            raise ConfigError(f"{dataset}: found images inside and outside of class folders")
        if self.labels and set(names) <= set(self.labels):
            order = {label: index for index, label in enumerate(self.labels)}
        elif len(names) == self.count:
            order = {name: index for index, name in enumerate(names)}
        else:
            strange = next((n for n in names if n not in (self.labels or ())), names[0])
            raise ConfigError(
                f"{dataset}: folder {strange!r} is not a label of the bundle, and there are "
                f"{len(names)} folders for {self.count} classes"
            )
        return {path: order[parts[0]] for path, parts in folders.items()}


class _Judged:
    """A running artifact, and the classes that it named, best first, for all images so far."""

    def __init__(self, bundle: Bundle, worker: Worker) -> None:
        self.bundle, self.classes = bundle, _Classes.of(bundle)
        self.seconds = 0.0
        self._worker = worker
        self._best: list[npt.NDArray[np.int64]] = []

    def run(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Returns the scores for some images, (N, H, W, 3) RGB after resizing.

        Raises:
            ParityError: A score is not finite, so it names no class.
        """
        begin = time.perf_counter()
        bundle = self.bundle
        found = run_pixels(self._worker, bundle.input, bundle.outputs, images, bundle.preprocess)
        scores = found[self.classes.output]
        if not np.isfinite(scores).all():
            raise ParityError(
                f"{bundle.artifact}: output {self.classes.output}: found scores that are not finite"
            )
        self._best += list(np.argsort(-scores, axis=1, kind="stable")[:, :5])
        self.seconds += time.perf_counter() - begin
        return scores

    def top(self, k: int, known: Sequence[int | None]) -> float | None:
        """Returns the share of images whose class is among the first k."""
        if None in known:
            return None
        return float(np.mean([t in best[:k] for t, best in zip(known, self._best, strict=True)]))

    def confusion(self, parent: _Judged) -> Counter[tuple[int, int]]:
        """Counts the pairs (the parent's class, this one's) that differ."""
        pairs = zip(parent._best, self._best, strict=True)
        return Counter((int(a[0]), int(b[0])) for a, b in pairs if a[0] != b[0])


class _Images:
    """The images of a dataset, and the classes of those that could be read, in order.

    Args:
        dataset: The folder.
        truths: The class of every image; None if it is not known.
        preprocess: How the images are resized.
    """

    def __init__(
        self, dataset: Path, truths: Mapping[Path, int | None], preprocess: Preprocess
    ) -> None:
        self.dataset = dataset
        self.known: list[int | None] = []
        self.skipped: list[str] = []
        self.seconds = 0.0
        self._truths, self._preprocess = truths, preprocess
        self._lines: list[str] = []

    @property
    def seen(self) -> int:
        """Number of images so far, including those that could not be read."""
        return len(self.known) + len(self.skipped)

    def chunks(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Yields the decoded images, up to `_CHUNK` at a time: (N, H, W, 3) RGB after resizing."""
        paths = iter(self._truths)
        while images := list(islice(self._decoded(paths), _CHUNK)):
            yield np.stack(images)

    def _decoded(self, paths: Iterator[Path]) -> Iterator[npt.NDArray[np.uint8]]:
        for path in paths:
            begin = time.perf_counter()
            try:
                image = pixels(read_image(path), self._preprocess)
            except ImageError as error:
                self.skipped.append(printable(str(error)))
                continue
            name = path.relative_to(self.dataset).as_posix()
            self._lines.append(f"{sha256(path)}  {name}\n")
            self.known.append(self._truths[path])
            self.seconds += time.perf_counter() - begin
            yield image

    def sha256(self) -> str:
        """Returns the hash of the sorted lines `<sha256>  <posix path>` of the images read."""
        lines = "".join(sorted(self._lines))
        return hashlib.sha256(os.fsencode(lines)).hexdigest()
