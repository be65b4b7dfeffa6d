"""The command `mnv4`: one thin file for each verb."""

from __future__ import annotations

import os
import re
import sys
import warnings
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from mnv4_mobile.cli import (
    build,
    cache,
    choose,
    compare,
    devices,
    diff,
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
from mnv4_mobile.cli.examples import EXIT_CODES, epilog
from mnv4_mobile.cli.show import ESCAPED, end_json, print_text
from mnv4_mobile.errors import (
    ConfigError,
    MobileError,
    StoppedError,
    UnexpectedError,
    disk_error,
    unknown,
)
from mnv4_mobile.records import show

app = typer.Typer(
    name="mnv4",
    help="MobileNetV4 on phones: builds, verifies and runs ExecuTorch, Core ML and LiteRT bundles.",
    no_args_is_help=True,
    epilog="\n\n".join(["Exit codes:", *(f"{code}: {what}" for code, what in EXIT_CODES.items())]),
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
app.command(rich_help_panel=_QUALITY)(diff.diff)
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


def _end_help(group: typer.Typer, prefix: str = "") -> None:
    """Puts examples and exit codes at the end of the help of a group's commands."""
    for command in group.registered_commands:
        assert command.callback is not None
        command.epilog = epilog(f"{prefix}{command.name or command.callback.__name__}")
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        inner.epilog = epilog(f"{prefix}{inner.name}")
        _end_help(inner.typer_instance, f"{prefix}{inner.name} ")


_end_help(app)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print_text(version("mnv4-mobile"))
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


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
    if param and (details := getattr(error.__cause__, "errors", None)):  # pydantic's
        detail = details()[0]
        must = re.sub("^Input should be|, unable to parse.*", "", detail["msg"])
        return f"{param.opts[-1]}: found {show(detail['input'])}, must be{must}"
    if param and error.message:
        return f"{param.opts[-1]}: {error.message}"
    return f"{path}: {text} See {path} --help."


def main() -> None:
    """Runs the command; an error for the user becomes one line on stderr and an exit code.

    With `--json` the error is part of the JSON object on stdout, too.
    """
    as_json = "--json" in sys.argv[1:]
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors=ESCAPED)
    warnings.showwarning = _show_warning
    try:
        error = _run()
        if as_json:
            end_json(error)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has closed it
        _drop_output()
        sys.exit(1)
    except OSError as failed:  # while writing the last lines
        _drop_output()
        if (error := disk_error(failed)) is None:
            raise
    except Exception as bug:
        if as_json:
            end_json(UnexpectedError(f"{type(bug).__name__}: {bug}"))
        raise
    if error:
        if str(error):
            print_text(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    sys.exit(0)


def _run() -> MobileError | None:
    """Runs the command and returns what the user has to know if it fails."""
    try:
        code = app(standalone_mode=False)
    except MobileError as error:
        return error
    except typer.TyperException as error:
        # A group of commands without a command has shown its help, and has nothing to add.
        message = error.format_message()
        return ConfigError(_usage(error) if message else "")
    except typer.Abort:
        return StoppedError("interrupted")
    except OSError as error:
        if (known := disk_error(error)) is None:
            raise
        return known
    # Typer returns what Ctrl-C ends with instead of raising it.
    return StoppedError("interrupted") if code == StoppedError.exit_code else None


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Shows our warnings as notes, and others as Python does."""
    if issubclass(category, MobileError):
        print_text(f"note: {message}", err=True)
    else:
        (file or sys.stderr).write(
            warnings.formatwarning(message, category, filename, lineno, line)
        )


def _drop_output() -> None:
    """Keeps Python from writing the rest of the output when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
