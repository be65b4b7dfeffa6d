"""The command `mnv4`: thin, one file a verb."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Any

import typer

from mnv4_mobile.cli import (
    build,
    cache,
    choose,
    compare,
    devices,
    doctor,
    evaluate,
    inspect,
    lint,
    measure,
    models,
    predict,
    profile,
    recipes,
    report,
    results,
    sdk,
    sensitivity,
    sweep,
    targets,
    tune,
    verify,
)
from mnv4_mobile.errors import ConfigError, MobileError, disk_error, unknown

app = typer.Typer(
    name="mnv4",
    help="MobileNetV4 on phones: builds, verifies and runs ExecuTorch, Core ML and LiteRT bundles.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
_BUILD, _QUALITY, _MEASURE, _SHIP = "Build", "Quality", "Measure", "Ship"
app.command(rich_help_panel=_BUILD)(build.build)
app.add_typer(cache.app, name="cache", rich_help_panel=_BUILD)
app.command(rich_help_panel=_BUILD)(models.models)
app.command(rich_help_panel=_BUILD)(recipes.recipes)
app.command(rich_help_panel=_BUILD)(targets.targets)
app.command(rich_help_panel=_BUILD)(doctor.doctor)
app.command(rich_help_panel=_QUALITY)(verify.verify)
app.command(rich_help_panel=_QUALITY)(predict.predict)
app.command(rich_help_panel=_QUALITY)(evaluate.evaluate)
app.command(rich_help_panel=_QUALITY)(inspect.inspect)
app.command(rich_help_panel=_QUALITY)(lint.lint)
app.command(rich_help_panel=_QUALITY)(sensitivity.sensitivity)
app.command(rich_help_panel=_QUALITY)(tune.tune)
app.command(rich_help_panel=_MEASURE)(measure.measure)
app.command(rich_help_panel=_MEASURE)(sweep.sweep)
app.command(rich_help_panel=_MEASURE)(devices.devices)
app.command(rich_help_panel=_MEASURE)(profile.profile)
app.command(rich_help_panel=_MEASURE)(report.report)
app.add_typer(results.app, name="results", rich_help_panel=_MEASURE)
app.command(rich_help_panel=_MEASURE)(compare.compare)
app.command(rich_help_panel=_MEASURE)(choose.choose)
app.add_typer(sdk.app, name="sdk", rich_help_panel=_SHIP)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("mnv4-mobile"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""Its module depends on typer's version."""


def _run() -> int | None:
    """Runs the command and returns its exit code.

    Raises:
        ConfigError: A command, an option or a value that does not exist.
    """
    try:
        code: int | None = app(standalone_mode=False)
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help is already printed
            return 2
        raise ConfigError(_usage(error)) from None
    return code


def _usage(error: Any) -> str:
    """Returns a usage error in this project's words: what was found and what is allowed."""
    text = error.format_message()
    if error.ctx is None:
        return str(text)
    path, command, param = error.ctx.command_path, error.ctx.command, getattr(error, "param", None)
    if option := getattr(error, "option_name", None):
        return unknown(path, option, [p.opts[-1] for p in command.params if "-" in p.opts[-1]])
    if found := re.match(r"No such command '(.*?)'", text):
        return unknown(path, found[1], command.list_commands(error.ctx))
    if param and (found := re.search(r"'([^']*)' is not one of (.*)", error.message)):
        return unknown(param.opts[-1], found[1], re.findall(r"'(.*?)'", found[2]))
    if param and error.message:
        return f"{param.opts[-1]}: {error.message}"
    return f"{path}: {text} See {path} --help."


def main() -> None:
    """Runs the command; errors for the user become one line and an exit code.

    0; 2 bad input; 3 a quality bound not met; 4 a regression; 5 a device or its runtime
    failed; 6 an inconclusive comparison; 130 Ctrl-C.
    """
    try:
        sys.exit(_run())
    except MobileError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as end:
        if end.code == 130:  # typer's answer to Ctrl-C, without a word
            print("interrupted", file=sys.stderr)
        raise
    except OSError as error:
        told = disk_error(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        sys.exit(told.exit_code)
