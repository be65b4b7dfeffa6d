"""`mnv4 targets`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnv4_mobile.cli import complete, next_step
from mnv4_mobile.cli.show import (
    Json,
    Quiet,
    option_text,
    print_json,
    print_table,
    print_text,
    show_next,
)

if TYPE_CHECKING:
    from mnv4_mobile.option import Option
    from mnv4_mobile.recipe import Recipe
    from mnv4_mobile.target import Target


def targets(
    target: Annotated[
        str | None,
        typer.Argument(
            help="The target to explain: its recipes, options and units.",
            autocompletion=complete.targets,
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lists the installed targets, including broken ones, or explains one."""
    if target is not None:
        _explain(target, as_json)
        show_next(next_step.build(target=target), hidden=as_json or quiet)
        return
    from mnv4_mobile.errors import MobileError
    from mnv4_mobile.target import load_target, target_names

    rows: list[dict[str, str]] = []
    for name in target_names():
        try:
            found = load_target(name)
        except MobileError as error:
            rows.append({"target": name, "artifact": "", "recipes": "", "state": str(error)})
            continue
        recipes = ", ".join(recipe.name for recipe in _recipes(found))
        row = {"target": name, "artifact": found.suffix, "recipes": recipes, "state": _state(found)}
        rows.append(row)
    if as_json:
        print_json({"targets": rows})
        return
    columns = ["target", "artifact", "recipes", "state"]
    print_table(columns, [[row[column] for column in columns] for row in rows])
    show_next(["targets", rows[0]["target"]], hidden=quiet)


def _recipes(target: Target) -> list[Recipe]:
    from mnv4_mobile.builder.selection import maps, select_recipes
    from mnv4_mobile.option import ALL

    return [recipe for recipe in select_recipes([ALL]) if maps(target, recipe)]


def _state(target: Target) -> str:
    from mnv4_mobile.errors import MobileError
    from mnv4_mobile.target import require

    try:
        require(target)
    except MobileError as error:
        return str(error)
    return "ready"


def _explain(name: str, as_json: bool) -> None:
    """Shows what a target takes, and what it needs."""
    from mnv4_mobile.bundle.versions import versions
    from mnv4_mobile.target import load_target

    target = load_target(name)
    mapped = _recipes(target)
    found: dict[str, Any] = {
        "target": name,
        "artifact": target.suffix,
        "state": _state(target),
        "recipes": [recipe.name for recipe in mapped],
        "options": [
            {
                "name": option.name,
                "type": option.type.__name__,
                "values": list(option.values),
                "default": None
                if option.required
                else _default(option, {r.name: option.default_for(r) for r in mapped}),
                "help": option.help,
            }
            for option in target.options
        ],
        "units": {
            unit: {
                "runs": executor.name,
                "emulated": executor.emulated,
                "missing": executor.missing,
            }
            for unit, executor in target.units.items()
        },
        "io": {recipe.name: target.io(recipe) for recipe in mapped},
        "requires": {f"{name}.{key}": meaning for key, meaning in target.requires.items()},
        "base": target.base,
        "versions": versions(target.distributions),
    }
    if as_json:
        print_json(found)
        return
    units = [
        f"{unit}: {one['runs']}"
        + (" (emulated)" if one["emulated"] else "")
        + (f"; {one['missing']}" if one["missing"] else "")
        for unit, one in found["units"].items()
    ]
    rows = [
        ["target", f"{name} ({target.suffix})"],
        ["state", found["state"]],
        *([["builds on", target.base]] if target.base else []),
        ["recipes", ", ".join(found["recipes"])],
        *(["unit on this machine", text] for text in units),
        ["inputs and outputs", _default(None, found["io"])],
        *(["requires", f"{key}: {meaning}"] for key, meaning in found["requires"].items()),
        ["versions", ", ".join(f"{key} {value}" for key, value in found["versions"].items())],
    ]
    print_table(["", ""], rows)
    if target.options:
        print_text()
        options = [
            [
                f"{name}.{o['name']}",
                option.allowed,
                "must be given" if option.required else option_text(o["default"]),
                option.help,
            ]
            for o, option in zip(found["options"], target.options, strict=True)
        ]
        print_table(["option", "values", "default", "what it decides"], options)


def _default(option: Option | None, by_recipe: dict[str, Any]) -> Any:
    """Returns a value that is the same with all recipes, otherwise each value with its recipes."""
    if option and not callable(option.default):
        return option.default
    by_value: dict[Any, list[str]] = {}
    for recipe, value in by_recipe.items():
        by_value.setdefault(value, []).append(recipe)
    if len(by_value) == 1:
        return next(iter(by_value))
    return "; ".join(f"{value} with {', '.join(names)}" for value, names in by_value.items())
