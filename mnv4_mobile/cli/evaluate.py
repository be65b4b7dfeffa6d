"""`mnv4 evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mnv4_mobile.cli.measured import StorePath
from mnv4_mobile.cli.show import Json, print_json, print_table, steps


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A bundle folder.")],
    dataset: Annotated[
        Path, typer.Argument(help="Folder of pictures; with a folder a class, accuracy is known.")
    ],
    parent: Annotated[
        Path | None, typer.Option(help="The float bundle to compare with.", metavar="BUNDLE")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Pictures at most, evenly spread.", min=1)
    ] = None,
    threads: Annotated[int, typer.Option(help="Of each runtime.", min=1)] = 1,
    store: StorePath = None,
    as_json: Json = False,
) -> None:
    """Measures an artifact's accuracy on a dataset, and its agreement with its float parent.

    What was found is recorded in the store, where `mnv4 choose` finds it.
    """
    from mnv4_mobile.bundle.manifest import open_bundle
    from mnv4_mobile.measure.results.store import Store, store_path
    from mnv4_mobile.quality.evaluate import evaluate as run

    with steps(verbose=False) as progress, Store(store_path(store)) as opened:
        found = run(
            open_bundle(bundle),
            dataset,
            parent=open_bundle(parent) if parent else None,
            limit=limit,
            threads=threads,
            progress=progress,
        )
        for reason in found.skipped:
            progress.note(f"skipped {reason}")
        opened.add(found)
        progress.note(f"recorded in {opened.path}")
    if as_json:
        print_json(found)
        return
    rows = [["pictures", f"{found.n}, {len(found.skipped)} skipped"]]
    for name, key in (("top-1", "top1"), ("top-5", "top5")):
        rows.append([name, _share(getattr(found, key))])
        if parent:
            rows.append([f"{name} of the parent", _share(getattr(found, f"parent_{key}"))])
    if parent:
        rows.append(["same class as the parent", _share(found.agreement)])
        rows.append(["SQNR in dB, median", f"{found.sqnr_db:.1f}"])
        rows.append(["SQNR in dB, 10th percentile", f"{found.sqnr_db_p10:.1f}"])
    rows.append(["pictures a second", f"{found.images_per_s:.0f}"])
    print_table(["", ""], rows, found.bundle_id)
    if found.confusion:
        rows = [[c.parent, c.artifact, str(c.count)] for c in found.confusion[:20]]
        print_table(["parent says", "artifact says", ">pictures"], rows)


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2%}"
