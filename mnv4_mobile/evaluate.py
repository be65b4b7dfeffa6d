"""Accuracy of an artifact on a dataset, and how far it is from its float parent.

Everything is measured on the bytes of the artifacts. The dataset is a folder of pictures: with one
folder a class its accuracy is known, without only how often artifact and parent agree.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from mnv4_mobile.bundle import Bundle
from mnv4_mobile.cell import versions
from mnv4_mobile.errors import ConfigError, ImageError
from mnv4_mobile.files import sha256
from mnv4_mobile.images import list_images, pixels, read_image
from mnv4_mobile.parity import sqnr_db
from mnv4_mobile.progress import Progress
from mnv4_mobile.target import load_target, require
from mnv4_mobile.worker import Worker, run_pixels

SCHEMA = 1
_CHUNK = 16  # pictures in memory at a time
_Run = Callable[[npt.NDArray[np.uint8]], dict[str, npt.NDArray[Any]]]


class Confusion(TypedDict):
    """Pictures for which artifact and parent name different classes."""

    parent: str
    artifact: str
    count: int


class Evaluation(TypedDict):
    """What was found; rates are shares of 1."""

    schema: int
    artifact_sha256: str
    bundle_id: str
    dataset: str
    dataset_sha256: str
    """Of the sorted lines `<sha256>  <posix path>` of the pictures."""
    n: int
    skipped: list[str]
    """Files that could not be read, with the reason."""
    top1: float | None
    """None for a dataset without classes."""
    top5: float | None
    parent_sha256: str | None
    parent_top1: float | None
    parent_top5: float | None
    agreement: float | None
    """Share of pictures for which artifact and parent name the same class first."""
    sqnr_db: float | None
    """Median over the pictures of the ratio of the parent's scores to the difference."""
    sqnr_db_p10: float | None
    confusion: list[Confusion]
    """The most frequent first."""
    images_per_s: float
    """Of this artifact alone, decoding included."""
    threads: int
    started_at: str
    versions: dict[str, str]


def evaluate(
    bundle: Bundle,
    dataset: Path,
    *,
    parent: Bundle | None = None,
    limit: int | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Runs a bundle, and its float parent if there is one, over a dataset.

    Args:
        bundle: What is judged; it must have a class output.
        dataset: A folder of pictures, or of one folder a class, named by labels; where the names
            are no labels but as many as classes, their sorted order is that of the classes.
        parent: A bundle of the same network in float.
        limit: Pictures at most, evenly spread over the dataset.
        threads: Of each runtime.
        progress: Is told how far it is.

    Raises:
        ConfigError: No class output, folders that are not the classes, or a parent that prepares
            pictures in another way.
        ImageError: No readable picture.
    """
    progress = progress or Progress()
    if parent and parent.preprocess != bundle.preprocess:
        raise ConfigError(
            f"--parent: {parent.path}: prepares pictures as {parent.preprocess}, must be as "
            f"{bundle.path}: {bundle.preprocess}"
        )
    paths = list_images(dataset)
    if limit is not None and limit < len(paths):
        paths = [paths[i * len(paths) // limit] for i in range(limit)]
    classes = _Classes.of(bundle)
    truths = classes.truths(dataset, paths)
    started = datetime.now(UTC)
    judged = _Judged(classes)
    reference = _Judged(_Classes.of(parent)) if parent else None
    skipped: list[str] = []
    lines: list[str] = []
    known: list[int | None] = []
    ratios: list[float] = []
    seconds = 0.0
    progress.step(f"{bundle.manifest['id']}: evaluate")
    with ExitStack() as stack:
        run = stack.enter_context(_running(bundle, threads))
        run_parent = stack.enter_context(_running(parent, threads)) if parent else None
        begin = time.perf_counter()
        for chunk in _chunks(dataset, paths, bundle, skipped, lines):
            images = np.stack([image for _, image in chunk])
            known += [truths[path] for path, _ in chunk]
            scores = judged.add(run(images))
            seconds += time.perf_counter() - begin
            if run_parent and reference:
                ratios += list(sqnr_db(reference.add(run_parent(images)), scores))
            progress.update(
                f"{bundle.manifest['id']}: {len(known)} of {len(paths)} pictures, "
                f"{len(known) / seconds:.0f} a second"
            )
            begin = time.perf_counter()
    if not known:
        raise ImageError(f"{dataset}: no readable picture; the first: {skipped[0]}")
    pairs = judged.confusion(reference) if reference else Counter()
    return Evaluation(
        schema=SCHEMA,
        artifact_sha256=bundle.manifest["artifact"]["sha256"],
        bundle_id=bundle.manifest["id"],
        dataset=dataset.name,
        dataset_sha256=hashlib.sha256("".join(sorted(lines)).encode()).hexdigest(),
        n=len(known),
        skipped=skipped,
        top1=judged.top(1, known),
        top5=judged.top(5, known),
        parent_sha256=parent.manifest["artifact"]["sha256"] if parent else None,
        parent_top1=reference.top(1, known) if reference else None,
        parent_top5=reference.top(5, known) if reference else None,
        agreement=1 - pairs.total() / len(known) if reference else None,
        sqnr_db=round(float(np.median(ratios)), 2) if ratios else None,
        sqnr_db_p10=round(float(np.percentile(ratios, 10)), 2) if ratios else None,
        confusion=[
            Confusion(parent=classes.name(a), artifact=classes.name(b), count=count)
            for (a, b), count in pairs.most_common()
        ],
        images_per_s=round(len(known) / seconds, 1),
        threads=threads,
        started_at=started.isoformat(timespec="seconds"),
        versions=versions(),
    )


@contextmanager
def _running(bundle: Bundle, threads: int) -> Iterator[_Run]:
    """A bundle's artifact in a process of its own: pixels in, outputs out."""
    target = bundle.manifest["target"]
    require(load_target(target))
    with Worker(target, bundle.artifact, threads=threads) as worker:
        yield lambda images: run_pixels(
            worker, bundle.input, bundle.outputs, images, bundle.preprocess
        )


@dataclass(frozen=True, kw_only=True)
class _Classes:
    """A bundle's class output."""

    output: str
    count: int
    labels: Sequence[str] | None

    @classmethod
    def of(cls, bundle: Bundle) -> _Classes:
        output = bundle.class_output("logits", "probabilities")
        labels = bundle.manifest["labels"]
        return cls(output=output.name, count=output.shape[1], labels=labels)

    def name(self, index: int) -> str:
        return self.labels[index] if self.labels else str(index)

    def truths(self, dataset: Path, paths: Sequence[Path]) -> dict[Path, int | None]:
        """The class of every picture, by the first folder that it is in."""
        folders = {path: path.relative_to(dataset).parts[:-1] for path in paths}
        names = sorted({parts[0] for parts in folders.values() if parts})
        if not names:
            return dict.fromkeys(paths)
        if not all(folders.values()):
            raise ConfigError(f"{dataset}: found pictures in folders of classes and beside them")
        if self.labels and set(names) <= set(self.labels):
            order = {label: index for index, label in enumerate(self.labels)}
        elif len(names) == self.count:
            order = {name: index for index, name in enumerate(names)}
        else:
            strange = next((n for n in names if n not in (self.labels or ())), names[0])
            raise ConfigError(
                f"{dataset}: folder {strange!r} is no label of the bundle, and {len(names)} "
                f"folders are not its {self.count} classes"
            )
        return {path: order[parts[0]] for path, parts in folders.items()}


class _Judged:
    """The classes that an artifact names, best first, of all pictures so far."""

    def __init__(self, classes: _Classes) -> None:
        self._output = classes.output
        self._best: list[npt.NDArray[np.int64]] = []

    def add(self, outputs: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """Takes the outputs of some pictures; their scores."""
        scores = outputs[self._output]
        self._best += list(np.argsort(-scores, axis=1, kind="stable")[:, :5])
        return scores

    def top(self, k: int, known: Sequence[int | None]) -> float | None:
        """How often the class is among the first k."""
        if None in known:
            return None
        return float(np.mean([t in best[:k] for t, best in zip(known, self._best, strict=True)]))

    def confusion(self, parent: _Judged) -> Counter[tuple[int, int]]:
        """How often (the parent's class, this one's) differ."""
        pairs = zip(parent._best, self._best, strict=True)
        return Counter((int(a[0]), int(b[0])) for a, b in pairs if a[0] != b[0])


def _chunks(
    dataset: Path, paths: Sequence[Path], bundle: Bundle, skipped: list[str], lines: list[str]
) -> Iterator[list[tuple[Path, npt.NDArray[np.uint8]]]]:
    """Decoded pictures, some at a time; notes what is skipped, and hashes what is not."""
    chunk: list[tuple[Path, npt.NDArray[np.uint8]]] = []
    for path in paths:
        try:
            chunk.append((path, pixels(read_image(path), bundle.preprocess)))
        except ImageError as error:
            skipped.append(str(error))
            continue
        lines.append(f"{sha256(path)}  {path.relative_to(dataset).as_posix()}\n")
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
