"""`mnv4 sdk`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mnv4_mobile.cli.show import Json, print_json

app = typer.Typer(help="Writes libraries for apps, with bundles inside.", no_args_is_help=True)


@app.command()
def android(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="For LiteRT or ExecuTorch.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the Gradle module.")],
    as_json: Json = False,
) -> None:
    """Writes a Gradle module that an Android app classifies pictures with in three lines."""
    from mnv4_mobile.sdk.android import write_android

    constants = write_android(bundles, out)
    _written(out, "a Gradle module", constants, as_json)


@app.command()
def ios(
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="For Core ML or ExecuTorch.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the Swift package.")],
    as_json: Json = False,
) -> None:
    """Writes a Swift package that an iOS app classifies pictures with in three lines."""
    from mnv4_mobile.sdk.ios import write_ios

    constants = write_ios(bundles, out)
    _written(out, "a Swift package", constants, as_json)


def _written(out: Path, what: str, models: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json({"path": str(out), "models": models})
        return
    print(f"{out}: {what} with {', '.join(models)}; its README.md says how to add it")
