"""Writes the report of what a store holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.files import check_file, write_bytes
from mnv4_mobile.measuring.measurement import Measurement
from mnv4_mobile.measuring.report.data import NO_BOUNDS, page_data
from mnv4_mobile.measuring.report.markdown import markdown
from mnv4_mobile.measuring.report.page import html
from mnv4_mobile.measuring.results.choose import Bounds
from mnv4_mobile.measuring.results.exchange import Records, export_records
from mnv4_mobile.measuring.results.store import Store, store_path

FORMATS = ("html", "md", "csv", "parquet")


def report(
    out: str | Path = "report.html",
    *,
    store: str | Path | None = None,
    runs: Sequence[str] = (),
    bounds: Bounds = NO_BOUNDS,
) -> list[Measurement]:
    """Writes what a store holds as one self-contained page, or as a table.

        report("report.html", bounds=Bounds(max_ms=10))

    Args:
        out: The file. Its suffix chooses the format: `.html`, `.md`, `.csv` or `.parquet`.
        store: The file with the measurements. Default: `$MNV4_STORE`, or `mnv4.sqlite`.
        runs: Names of the runs to report. Default: all.
        bounds: Bounds on the bundle that the page says to ship; for HTML and Markdown.

    Returns:
        The measurements in the report.

    Raises:
        ConfigError: A suffix that is not known, nothing to report, a run that does not exist, or a
            file that cannot be written.
        StoreError: No such store, or a damaged one.
        ToolchainError: Parquet without pyarrow.
    """
    path = Path(out)
    kind = path.suffix.removeprefix(".")
    if kind not in FORMATS:
        raise ConfigError(unknown(f"-o {path}", path.suffix, [f".{one}" for one in FORMATS]))
    with Store(store_path(store), "read") as opened:
        return write_report(opened, path, kind, runs=runs, bounds=bounds)


def write_report(
    store: Store,
    path: Path,
    kind: str,
    *,
    runs: Sequence[str] = (),
    bounds: Bounds = NO_BOUNDS,
) -> list[Measurement]:
    """Writes a report, and leaves no partial file after an error.

    Args:
        store: What to report from.
        path: The file.
        kind: One of `FORMATS`.
        runs: Names of runs; none means all.
        bounds: Bounds on the bundle to ship; for HTML and Markdown.

    Returns:
        The measurements in the report.

    Raises:
        ConfigError: Nothing to report, an unknown run, or a folder that does not exist.
        ToolchainError: Parquet without pyarrow.
    """
    measurements = store.measurements(runs=runs)
    known = store.runs()
    if absent := [run for run in runs if run not in known]:
        raise ConfigError(unknown("--run", absent[0], known))
    if not measurements:
        raise ConfigError(f"{store.path}: holds no measurement yet; mnv4 measure makes some")
    check_file(path)
    if kind in ("csv", "parquet"):
        export_records(Records(measurements=measurements), path)
        return measurements
    if kind == "md":
        text = markdown(measurements, store.evaluations(), bounds)
    else:
        text = html(page_data(measurements, store.evaluations(), store.profiles(), bounds))
    write_bytes(path, text.encode())
    return measurements
