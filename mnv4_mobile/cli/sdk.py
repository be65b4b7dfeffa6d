"""`mnv4 sdk`."""

from __future__ import annotations

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
    if as_json:
        print_json({"path": str(out), "models": constants})
        return
    print(f"{out}: a Gradle module with {', '.join(constants)}; its README.md says how to add it")


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
    if as_json:
        print_json({"path": str(out), "models": constants})
        return
    print(f"{out}: a Swift package with {', '.join(constants)}; its README.md says how to add it")
