"""`mnv4 evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnv4_mobile import limits
from mnv4_mobile.cli import complete, next_step
from mnv4_mobile.cli.measured import StorePath, recorded
from mnv4_mobile.cli.show import (
    BundlePath,
    BundleSize,
    Json,
    NoSizeLimits,
    Quiet,
    Threads,
    UnitNames,
    open_at,
    print_json,
    print_table,
    show_next,
    split,
)
from mnv4_mobile.cli.steps import steps

if TYPE_CHECKING:
    from mnv4_mobile.quality.evaluate import Evaluation


def evaluate(
    bundle: BundlePath,
    dataset: Annotated[
        Path,
        typer.Argument(
            help="Folder of images. Accuracy needs one subfolder per class, named by its label."
        ),
    ],
    parent: Annotated[
        Path | None,
        typer.Option(
            help="The float bundle of the same network, to compare with.",
            metavar="BUNDLE",
            autocompletion=complete.bundles,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(help="Use at most this many images, evenly spread.", metavar="N", min=1),
    ] = None,
    input_size: BundleSize = None,
    threads: Threads = 1,
    unit: UnitNames = [],  # noqa: B006 - typer makes a new list for every call
    store: StorePath = None,
    no_size_limits: NoSizeLimits = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measures an artifact's accuracy on a dataset, and its agreement with its float parent.

    The evaluation is recorded in the store, where `mnv4 choose` finds it. Each unit gets an
    evaluation of its own.
    """
    limits.lift(no_size_limits)
    from mnv4_mobile.bundle.folder import open_bundle
    from mnv4_mobile.measuring.results.store import check_store, store_path
    from mnv4_mobile.quality.evaluate import evaluate as run
    from mnv4_mobile.target import check_units, load_target
    from mnv4_mobile.tensors import sizes_text
    from mnv4_mobile.units import read_units

    units = read_units(split("--unit", unit))
    judged = open_at(bundle, input_size)
    reference = open_bundle(parent) if parent else None
    check_units(load_target(judged.manifest.target), units)
    path = store_path(store)
    check_store(path)
    found, refused = [], None
    with steps(verbose=False, quiet=quiet) as progress:
        for one in units or (None,):
            evaluation = run(
                judged,
                dataset,
                parent=reference,
                limit=limit,
                threads=threads,
                unit=one,
                progress=progress,
            )
            found.append(evaluation)
            refused = recorded(path, evaluation, progress) or refused
        for reason in found[0].skipped:
            progress.note(f"skipped {reason}")
    if as_json:
        print_json({"evaluations": found})
    else:
        manifest = judged.manifest
        several = len(manifest.sizes) > 1
        at = f" at {sizes_text([manifest.preprocess.size])}" if several else ""
        for evaluation in found:
            _show(evaluation, at)
    if refused:
        raise refused
    show_next(next_step.measure(bundle, store), hidden=as_json or quiet)


def _show(found: Evaluation, at: str) -> None:
    rows = [["images", f"{found.n}, {len(found.skipped)} skipped"]]
    for name, key in (("top-1", "top1"), ("top-5", "top5")):
        rows.append([name, _share(getattr(found, key))])
        if found.parent_sha256:
            rows.append([f"{name} of the parent", _share(getattr(found, f"parent_{key}"))])
    if found.parent_sha256:
        rows.append(["same class as the parent", _share(found.agreement)])
        rows.append(["SQNR in dB, median", f"{found.sqnr_db:.1f}"])
        rows.append(["SQNR in dB, 10th percentile", f"{found.sqnr_db_p10:.1f}"])
    rows.append(["images per second", f"{found.images_per_s:.0f}"])
    on = f" on {found.unit}" if found.unit else ""
    print_table(["", ""], rows, found.bundle_id + at + on)
    if found.confusion:
        rows = [[c.parent, c.artifact, str(c.count)] for c in found.confusion[:20]]
        print_table(["parent says", "artifact says", ">images"], rows)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2%}"
