"""`mnv4 cache`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from mnv4_mobile.cli.show import (
    Json,
    Quiet,
    megabytes,
    print_json,
    print_table,
    print_text,
    show_next,
)

app = typer.Typer(help="Shows and prunes the cache of finished bundles.", no_args_is_help=False)


@app.callback(invoke_without_command=True)
def show(context: typer.Context, as_json: Json = False, quiet: Quiet = False) -> None:
    """Shows and prunes the cache of finished bundles."""
    from mnv4_mobile.builder.cache import LIMIT, Cache
    from mnv4_mobile.files import cache_folder

    if context.invoked_subcommand:
        return
    cache = Cache(cache_folder())
    entries = cache.entries()
    if as_json:
        rows = [{"id": e.id, "bytes": e.bytes, "used": e.used, "key": e.path.name} for e in entries]
        print_json({"folder": str(cache.folder), "limit": LIMIT, "entries": rows})
        return
    total = megabytes(sum(entry.bytes for entry in entries))
    title = f"{cache.folder}: {len(entries)} bundles, {total} of {megabytes(LIMIT)}"
    print_table(
        ["bundle", ">size", "last used", "key"],
        [[e.id, megabytes(e.bytes), _when(e.used), e.path.name[:12]] for e in entries],
        title,
    )
    show_next(["cache", "prune", "--older-than", 30], hidden=quiet)


@app.command()
def prune(
    older_than: Annotated[
        float | None,
        typer.Option(help="Remove what was not used for this many days.", metavar="DAYS", min=0),
    ] = None,
    keep: Annotated[
        float, typer.Option(help="GB to keep, the most recently used first.", metavar="GB", min=0)
    ] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Removes bundles from the cache: all, or those that the options do not keep."""
    from mnv4_mobile.builder.cache import Cache
    from mnv4_mobile.files import cache_folder

    limit = 1e18 if older_than is not None and not keep else keep * 1e9
    removed = Cache(cache_folder()).prune(
        limit=limit, older_than_s=None if older_than is None else older_than * 86400
    )
    if as_json:
        rows = [{"id": e.id, "bytes": e.bytes, "key": e.path.name} for e in removed]
        print_json({"removed": rows})
        return
    print_text(f"removed {len(removed)} bundles, {megabytes(sum(e.bytes for e in removed))}")
    show_next(["cache"], hidden=quiet)


def _when(used: float) -> str:
    days = (time.time() - used) / 86400
    return f"{datetime.fromtimestamp(used, UTC).astimezone():%Y-%m-%d %H:%M} ({days:.0f} days ago)"
