"""`mnv4 sdk`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnv4_mobile.cli import complete
from mnv4_mobile.cli.show import Json, Quiet, print_json, print_text, show_next

if TYPE_CHECKING:
    from mnv4_mobile.sdks.shipping import Written

app = typer.Typer(help="Writes libraries for apps, with bundles inside.", no_args_is_help=True)


@app.command()
def android(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE...",
            help="Bundles for LiteRT or ExecuTorch.",
            autocompletion=complete.bundles,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the Gradle module.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Writes a Gradle module with which an Android app classifies images in three lines.

    A module that was written before is replaced. Constants that are removed or added are listed,
    and files that you added are kept.
    """
    from mnv4_mobile.sdks.write import sdk

    _show(sdk("android", bundles, out), "a Gradle module", as_json)
    show_next(["measure", bundles[0], "-d", "adb"], hidden=as_json or quiet)


@app.command()
def ios(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE...",
            help="Bundles for Core ML or ExecuTorch.",
            autocompletion=complete.bundles,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the Swift package.")],
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Writes a Swift package with which an iOS app classifies images in three lines.

    A package that was written before is replaced. Constants that are removed or added are listed,
    and files that you added are kept.
    """
    from mnv4_mobile.sdks.write import sdk

    _show(sdk("ios", bundles, out), "a Swift package", as_json)
    show_next(["measure", bundles[0], "-d", "ios"], hidden=as_json or quiet)


def _show(written: Written, what: str, as_json: bool) -> None:
    changes = {"removed": written.removed, "added": written.added}
    if as_json:
        print_json({"path": str(written.path), "models": written.constants, **changes})
        return
    models = ", ".join(written.constants)
    print_text(f"{written.path}: {what} with {models}; its README.md says how to add it")
    if any(changes.values()):
        print_text(
            "; ".join(f"{key}: {', '.join(names) or 'none'}" for key, names in changes.items())
        )
