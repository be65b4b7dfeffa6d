"""Compares an artifact's outputs with the float model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.errors import ParityError
from mnv4_mobile.records import MAX_FLOAT, Count, Decibels, NotNegative, Record, Share
from mnv4_mobile.tensors import CLASSES, TensorSpec


class Parity(Record, frozen=True, kw_only=True):
    """How close one output of an artifact is to the float model's, over `n` images."""

    sqnr_db: Decibels
    """Median over the images of each image's signal to quantization noise ratio, in decibels; -200
    if a value of any image is not finite."""
    sqnr_db_p10: Decibels
    """10th percentile of the same ratios."""
    top1_agreement: Share | None
    """Share of the images with the same largest class; null for outputs without classes."""
    max_abs: NotNegative
    """Largest absolute difference between two elements; 3.4e38 if it is larger, or if one of them
    is not finite."""
    n: Count
    """Number of images."""
    gate_db: Decibels
    """The least `sqnr_db` that the build accepted."""

    @property
    def finite(self) -> bool:
        """Whether all values of the output are finite."""
        return self.max_abs < MAX_FLOAT

    @property
    def passed(self) -> bool:
        """Whether the output is finite and reached the gate."""
        return self.finite and self.sqnr_db >= self.gate_db


EXACT_DB = 200.0
"""The largest SQNR reported, also for equal tensors; float32 reaches about 150 dB."""


def sqnr_db(reference: npt.NDArray[Any], found: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Returns the signal to quantization noise ratio in dB of every image, (N, ...) -> (N,).

    One figure per image, because the image with the largest values would dominate a pooled one.
    """
    a = reference.reshape(len(reference), -1).astype(np.float64)
    b = found.reshape(len(found), -1).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 10 * np.log10((a**2).sum(1) / ((a - b) ** 2).sum(1))
    # NaN is neither equal to anything nor larger, so it gives the least ratio.
    bounded = np.where(ratio > -EXACT_DB, np.minimum(ratio, EXACT_DB), -EXACT_DB)
    bounded[~np.isfinite(b).all(1)] = -EXACT_DB
    return np.where((a == b).all(1) & np.isfinite(a).all(1), EXACT_DB, bounded)


def median_db(reference: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    """Returns the median of `sqnr_db`, or -200 if a value of any image is not finite."""
    ratios = sqnr_db(reference, found)
    return float(np.median(ratios)) if _finite(reference, found) else -EXACT_DB


def same_class(reference: npt.NDArray[Any], found: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Returns for every image whether both name the same class; never with scores not finite."""
    same: npt.NDArray[np.bool_] = np.isfinite(found).all(1)
    same &= reference.argmax(1) == found.argmax(1)
    return same


def compare(
    reference: npt.NDArray[Any], found: npt.NDArray[Any], *, classes: bool, gate_db: float
) -> Parity:
    """Returns how close `found` is to `reference`, both (N, ...).

    A value that is not finite fails, whatever the other images give.

    Raises:
        ParityError: The shapes differ.
    """
    if reference.shape != found.shape:
        raise ParityError(f"shape {found.shape}, must be {reference.shape}")
    ratios = sqnr_db(reference, found)
    agreement = None
    if classes:
        agreement = float(same_class(reference, found).mean())
    return Parity(
        sqnr_db=round(median_db(reference, found), 2),
        sqnr_db_p10=round(float(np.percentile(ratios, 10)), 2),
        top1_agreement=agreement,
        max_abs=_max_abs(reference, found),
        n=len(reference),
        gate_db=gate_db,
    )


def _max_abs(reference: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    if not _finite(reference, found):
        return MAX_FLOAT
    difference = np.abs(reference.astype(np.float64) - found.astype(np.float64)).max()
    return min(float(difference), MAX_FLOAT)


def _finite(*tensors: npt.NDArray[Any]) -> bool:
    return all(np.isfinite(tensor).all() for tensor in tensors)


def parities(
    outputs: Sequence[TensorSpec],
    expected: dict[str, npt.NDArray[Any]],
    found: dict[str, npt.NDArray[Any]],
    gate_db: float,
) -> dict[str, Parity]:
    """Returns the parity of every output."""
    return {
        o.name: compare(
            expected[o.name],
            found[o.name],
            classes=o.kind in CLASSES,
            gate_db=gate_db,
        )
        for o in outputs
    }


def check_agreement(agreement: float, gate: float, what: str) -> None:
    """Refuses an artifact whose class differs from the float network's for too many images.

    Raises:
        ParityError: Saying how often the classes agree.
    """
    if not agreement >= gate:
        raise ParityError(
            f"{what}: names the float network's class for {agreement:.1%} of the "
            f"images held out of calibration, must be {gate:.1%} or more"
        )


def check(parity: Mapping[str, Parity], what: str) -> None:
    """Refuses outputs that missed their gate.

    Raises:
        ParityError: Naming every output that missed it.
    """
    missed = [
        f"{name} at {p.sqnr_db} dB (10th percentile {p.sqnr_db_p10}), must be {p.gate_db:g} or more"
        for name, p in parity.items()
        if not p.passed
    ]
    if missed:
        raise ParityError(f"{what}: does not compute what the model computes: {'; '.join(missed)}")
