"""Recipes: what precision is wanted, declared without naming a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from mnv4_mobile.config import find_config
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.yaml_file import Section, read_yaml

Precision = Literal["float32", "float16"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A declared intent; every target maps it or refuses it by name."""

    name: str
    description: str
    precision: Precision
    """Of weights and, where the runtime can, of the arithmetic."""
    min_sqnr_db: float
    """The gate: what verification must find on every output."""


def load_recipe(name: str) -> Recipe:
    """A recipe: the name of a shipped one, or a YAML file.

    Raises:
        ConfigError: Naming the file and key, what was found and what is allowed.
    """
    path = find_config("recipes", name)
    top = Section(read_yaml(path), str(path))
    description = top.get("description", str)
    precision = top.get("precision", str)
    if precision not in get_args(Precision):
        allowed = ", ".join(get_args(Precision))
        raise ConfigError(f"{top.at('precision')}: found {precision!r}, allowed: {allowed}")
    gate = top.section("gate")
    sqnr = gate.get("sqnr_db", float)
    gate.close()
    top.close()
    return Recipe(
        name=path.stem,
        description=description,
        precision=cast(Precision, precision),
        min_sqnr_db=sqnr,
    )
