"""Compares an artifact's outputs with the float model's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from mnv4_mobile.errors import ParityError
from mnv4_mobile.records import Count, Record, Share
from mnv4_mobile.tensors import CLASSES, TensorSpec


class Parity(Record, frozen=True, kw_only=True):
    """How close one output of an artifact is to the float model's, over `n` images."""

    sqnr_db: float
    """Median over the images of each image's signal to quantization noise ratio, in decibels."""
    sqnr_db_p10: float
    """10th percentile of the same ratios."""
    top1_agreement: Share | None
    """Share of the images with the same largest class; null for outputs without classes."""
    max_abs: Annotated[float, Meta(ge=0)]
    """Largest absolute difference between two elements."""
    n: Count
    """Number of images."""
    gate_db: float
    """The least `sqnr_db` that the build accepted."""


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
    same = (a == b).all(1)
    bounded = np.where(np.isfinite(b).all(1), np.clip(ratio, -EXACT_DB, EXACT_DB), -EXACT_DB)
    return np.where(same, EXACT_DB, bounded)


def compare(
    reference: npt.NDArray[Any], found: npt.NDArray[Any], *, classes: bool, gate_db: float
) -> Parity:
    """Returns how close `found` is to `reference`, both (N, ...).

    Raises:
        ParityError: The shapes differ.
    """
    if reference.shape != found.shape:
        raise ParityError(f"shape {found.shape}, must be {reference.shape}")
    ratios = sqnr_db(reference, found)
    difference = np.abs(reference.astype(np.float64) - found.astype(np.float64)).max()
    agreement = None
    if classes:
        agreement = float((reference.argmax(1) == found.argmax(1)).mean())
    return Parity(
        sqnr_db=round(float(np.median(ratios)), 2),
        sqnr_db_p10=round(float(np.percentile(ratios, 10)), 2),
        top1_agreement=agreement,
        max_abs=float(difference) if np.isfinite(difference) else float("inf"),
        n=len(reference),
        gate_db=gate_db,
    )


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
    if agreement < gate:
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
        if p.sqnr_db < p.gate_db
    ]
    if missed:
        raise ParityError(f"{what}: does not compute what the model computes: {'; '.join(missed)}")
