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

Name = Annotated[str, typer.Option(help="The bundles go into `models-NAME`.")]


@app.command()
def android(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE...",
            help="Bundles for LiteRT, ExecuTorch or a Snapdragon.",
            autocompletion=complete.bundles,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the Gradle modules.")],
    name: Name = "main",
    namespace: Annotated[
        str | None,
        typer.Option(
            help="Package of the constants. Default: the folder's, or io.github.mnv4.models.NAME.",
            show_default=False,
        ),
    ] = None,
    agp: Annotated[
        int | None,
        typer.Option(
            help="Your Android Gradle Plugin, 8 or 9. Default: the folder's, or 9.",
            show_default=False,
        ),
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(
            help="Version under which Gradle publishes the modules. Default: the folder's, or 1.0.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Writes Gradle modules with which an Android app classifies images in three lines.

    The folder gets the library and a module with the bundles. Run it again with another `--name`
    to add bundles that are to be a module of their own, and with the same one to replace its
    bundles: constants that are removed or added are listed, other modules stay, and so do files
    that you added.
    """
    from mnv4_mobile.sdks.write import sdk

    written = sdk("android", bundles, out, name=name, namespace=namespace, agp=agp, version=version)
    _show(written, f"Gradle modules, models-{name} with", as_json)
    show_next(["measure", bundles[0], "-d", "adb"], hidden=as_json or quiet)


@app.command()
def ios(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE...",
            help="Bundles for Core ML, Core AI or ExecuTorch.",
            autocompletion=complete.bundles,
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder of the Swift packages.")],
    name: Name = "main",
    compiled: Annotated[
        bool,
        typer.Option(
            "--compiled",
            help="Compile the models for Core ML with Xcode, so that no device has to. Mac only.",
        ),
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Writes Swift packages with which an iOS app classifies images in three lines.

    The folder gets the library and a package with the bundles. Run it again with another `--name`
    to add bundles that are to be a package of their own, and with the same one to replace its
    bundles: constants that are removed or added are listed, other packages stay, and so do files
    that you added.
    """
    from mnv4_mobile.sdks.write import sdk

    written = sdk("ios", bundles, out, name=name, compiled=compiled)
    _show(written, f"Swift packages, models-{name} with", as_json)
    show_next(["measure", bundles[0], "-d", "ios"], hidden=as_json or quiet)


def _show(written: Written, what: str, as_json: bool) -> None:
    changes = {"removed": written.removed, "added": written.added}
    if as_json:
        print_json({"path": str(written.path), "models": written.constants, **changes})
        return
    models = ", ".join(written.constants)
    print_text(f"{written.path}: {what} {models}; its README.md says how to add it")
    if any(changes.values()):
        print_text(
            "; ".join(f"{key}: {', '.join(names) or 'none'}" for key, names in changes.items())
        )
    for note in written.notes:
        print_text(note)
