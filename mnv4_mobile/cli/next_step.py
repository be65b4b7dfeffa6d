"""Finds the command that comes after another one, as words for `show_next`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4_mobile.errors import MobileError

if TYPE_CHECKING:
    from mnv4_mobile.bundle.folder import Bundle
    from mnv4_mobile.recipe import Recipe
    from mnv4_mobile.target import Target

Words = list[str | Path]


def build(*what: str, target: str | None = None, recipe: str = "fp32") -> Words:
    """Returns the command that builds a model, or `doctor` if no installed target can.

    Args:
        what: The model and its weights; nothing means the demo.
        target: The target; None takes one that `installed_target` finds.
        recipe: A shipped recipe, or a YAML file.
    """
    from mnv4_mobile.recipe import load_recipe

    loaded = load_recipe(recipe)
    found = installed_target(loaded, target)
    if found is None:
        return ["doctor"]
    words: Words = ["build", *(what or ["demo"]), "-t", found]
    words += ["-r", recipe] if recipe != "fp32" else []
    return words + (["--calibrate", "random"] if loaded.needs_images else [])


def installed_target(recipe: Recipe, name: str | None = None) -> str | None:
    """Returns a target that can build a recipe, preferably one that this machine runs.

    Args:
        recipe: The recipe to build.
        name: The only target to look at; None looks at all.
    """
    from mnv4_mobile.target import load_target, missing, target_names

    found = []
    for one in target_names() if name is None else [name]:
        with suppress(MobileError):  # a target that cannot be loaded
            target = load_target(one)
            if not missing(target) and recipe.scheme in target.schemes:
                found.append(target)
    return min(found, key=_emulated).name if found else None


def predict(bundle: Bundle, images: Path | None) -> Words:
    """Returns the command that classifies an image, if the bundle has classes.

    Args:
        bundle: The bundle that classifies.
        images: The user's images; None takes an image that is installed with this package.
    """
    from mnv4_mobile.images import list_images

    try:
        bundle.class_output("probabilities", "logits")
    except MobileError:
        return measure(bundle.path)
    if images:
        image = list_images(images)[0]
    else:
        digits = bundle.manifest.model.weights == "demo"
        image = Path(__file__).parents[1] / "demo"
        image /= "pictures/three.jpg" if digits else "photos/cat.jpg"
    return ["predict", _typed(bundle.path), _typed(image)]


def measure(path: Path, store: Path | None = None) -> Words:
    """Returns the command that measures a bundle.

    If this machine only emulates the target, it is the command that puts the bundle into an app for
    iOS, or the one that shows it.

    Args:
        path: The bundle, as the user named it.
        store: The store that the user named.
    """
    from mnv4_mobile.bundle.folder import open_bundle
    from mnv4_mobile.sdks.ios import RUNTIMES
    from mnv4_mobile.target import load_target

    name = open_bundle(path).manifest.target
    if _emulated(load_target(name)):
        if name not in RUNTIMES:
            return ["inspect", _typed(path)]
        return ["sdk", "ios", _typed(path), "-o", "mnv4"]
    return ["measure", _typed(path), *in_store(store)]


def in_store(store: Path | None) -> Words:
    """Returns the option for a store that the user named."""
    return ["--store", store] if store else []


def _typed(path: Path) -> Path:
    """Returns a path as the user would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _emulated(target: Target) -> bool:
    """Returns whether this machine only emulates the runtime, or lacks it."""
    executor = next(iter(target.units.values()), None)
    return executor is None or executor.emulated
