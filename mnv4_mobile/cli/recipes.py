"""`mnv4 recipes`."""

from __future__ import annotations

from typing import Annotated

import typer

from mnv4_mobile.builder.selection import maps
from mnv4_mobile.cli import complete, next_step
from mnv4_mobile.cli.show import Json, Quiet, print_json, print_table, show_next
from mnv4_mobile.configs import shipped
from mnv4_mobile.recipe import Keep, Recipe, load_recipe
from mnv4_mobile.records import plain
from mnv4_mobile.target import load_target, target_names
from mnv4_mobile.units import UNITS


def recipes(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help="The recipe to explain: a name or a YAML file.", autocompletion=complete.recipes
        ),
    ] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Lists recipes and the targets that map them, or explains one."""
    targets = [load_target(name) for name in target_names()]
    found = [load_recipe(name) for name in ([recipe] if recipe else shipped("recipes"))]
    supported = {one.name: [t.name for t in targets if maps(t, one)] for one in found}
    if as_json:
        print_json({"recipes": [plain(one) | {"targets": supported[one.name]} for one in found]})
    elif recipe:
        (one,) = found
        print_table(["", ""], [*_explained(one), ["targets", ", ".join(supported[one.name])]])
    else:
        rows = [[one.name, ", ".join(supported[one.name]), one.description] for one in found]
        print_table(["recipe", "targets", "what it is"], rows)
    words = next_step.build(recipe=recipe) if recipe else ["recipes", "int8"]
    show_next(words, hidden=as_json or quiet)


def _kept(keep: Keep) -> str:
    return ", ".join(
        [
            *(["residual additions"] if keep.residual_additions else []),
            *(["activations after the pooling"] if keep.after_pooling else []),
            *(["depthwise convolutions"] if keep.depthwise else []),
            *keep.modules,
        ]
    )


def _explained(recipe: Recipe) -> list[list[str]]:
    """Returns what a recipe decides, one row each."""
    weights, activations = recipe.weights, recipe.activations
    rows = [["recipe", recipe.name], ["", recipe.description]]
    if weights is None:
        rows.append(["everything", recipe.precision])
    else:
        size = f" of {weights.size}" if weights.size else ""
        how = "palette" if weights.form == "palette" else "integers"
        text = f"{how} of {weights.bits} bits, one scale or palette per {weights.per}{size}"
        rows.append(["weights", text + (f", {weights.clustering}" if weights.clustering else "")])
        rows.append(["the rest", recipe.precision])
    if activations is not None:
        text = "ranges from every input while running"
        if activations.mode == "static":
            text = f"ranges from calibration images: {activations.range}"
            if activations.range == "image-percentile":
                text += f" {activations.percentile:g}"
            text = f"{activations.bits} bits, {text}"
        rows.append(["activations", text + (", symmetric" if activations.symmetric else "")])
    everywhere = _kept(recipe.keep)
    rows += [["kept in float", everywhere]] if everywhere else []
    for unit in UNITS:
        if (kept := _kept(recipe.keep.on(unit))) != everywhere:
            rows.append([f"kept in float on {unit}", kept or "nothing"])
    wide = ", ".join(recipe.keep.int16)
    rows += [["activations of 16 bits", wide]] if wide else []
    for unit in UNITS:
        if (of_unit := ", ".join(recipe.keep.on(unit).int16)) != wide:
            rows.append([f"activations of 16 bits on {unit}", of_unit or "none"])
    rows += [["preparation", ", ".join(recipe.prepare)]] if recipe.prepare else []
    if "distill" in recipe.prepare:
        text = f"{recipe.distill.steps} steps at most, rate {recipe.distill.rate:g}"
        rows.append(["distillation", text])
    if recipe.calibration is not None:
        text = f"{recipe.calibration.images} at most, seed {recipe.calibration.seed}"
        rows.append(["calibration images", text])
    rows.append(["gate", f"{recipe.gate.sqnr_db:g} dB on the golden pairs"])
    if recipe.gate.top1_agreement is not None:
        text = f"the same class for {recipe.gate.top1_agreement:.1%} of the held-out images"
        rows.append(["", text])
    return rows
