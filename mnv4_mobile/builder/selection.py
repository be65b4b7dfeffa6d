"""Selects the targets and recipes of a matrix: those that are named, or all that work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mnv4_mobile.builder.cell import Options
from mnv4_mobile.builder.naming import check_name
from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import ConfigError, MobileError, ToolchainError
from mnv4_mobile.images import KnownPreprocess
from mnv4_mobile.model.grammar import read_model
from mnv4_mobile.option import ALL, Given, lacking
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import Recipe, load_recipe
from mnv4_mobile.target import Target, check_recipe, completed, load_target, require, target_names


def select_targets(
    names: Iterable[str], given: Sequence[Given], progress: Progress
) -> dict[str, Target]:
    """Loads targets. This needs no toolchain; `build_cells` checks for that.

    Args:
        names: Names of targets; `all` stands for those whose toolchain is installed and whose
            required options are given.
        given: The values of options, for each input size.
        progress: Receives notes on the targets that `all` leaves out, and why.

    Raises:
        ConfigError: A target does not exist.
        ToolchainError: With `all`, no toolchain is installed.
    """
    names = list(dict.fromkeys(names))
    found = {name: load_target(name) for name in names if name != ALL}
    if ALL in names:
        for name in target_names():
            try:
                target = load_target(name)
                require(target)
                for lack in (text for one in given for text in lacking(name, target.options, one)):
                    raise ConfigError(lack)
            except MobileError as error:
                progress.note(f"--target all: left out: {error}")
            else:
                found[name] = target
        if not found:
            raise ToolchainError(
                "--target all: no toolchain is installed; pip install 'mnv4-mobile[all]'"
            )
    return found


def select_recipes(names: Iterable[str]) -> list[Recipe]:
    """Loads recipes; `all` stands for every shipped one.

    Raises:
        ConfigError: A recipe cannot be read, or two have the same name.
    """
    paths: dict[str, None] = {}
    for name in names:
        paths |= dict.fromkeys(shipped("recipes") if name == ALL else [name])
    found = [load_recipe(path) for path in paths]
    known = [recipe.name for recipe in found]
    for name in known:
        check_name("recipe", name)
        if known.count(name) > 1:
            raise ConfigError(
                f"--recipe: found two recipes named {name!r}; bundles need one name each"
            )
    return found


def maps(target: Target, recipe: Recipe) -> bool:
    """Returns whether a target can lower a network with a recipe if no other option is given."""
    shared = Options().build_spec(read_model("conv-small").spec, KnownPreprocess())
    try:
        spec = completed(shared, target, recipe)
        check_recipe(target, spec, recipe.on(target.made_for(spec)))
    except MobileError:
        return False
    return True
