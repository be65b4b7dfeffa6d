"""Finds the configurations that ship with the package, and the files of users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mnv4_mobile.errors import ConfigError, unknown
from mnv4_mobile.yaml_file import read_yaml


def config_folder(kind: str) -> Path:
    """Returns the folder of shipped configurations: `models`, `recipes`, ..."""
    package = Path(__file__).parent
    inside = package / "configs"  # in a wheel; beside the package in a checkout
    return (inside if inside.is_dir() else package.parent / "configs") / kind


def shipped(kind: str) -> list[str]:
    """Returns the names of the shipped configurations of a kind."""
    return sorted(path.stem for path in config_folder(kind).glob("*.yaml"))


def find_config(kind: str, name: str) -> Path:
    """Returns the file of a shipped configuration by its name, or of any YAML file by its path.

    Raises:
        ConfigError: No such name or file; the message lists the shipped names.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise ConfigError(f"{name}: no such file")
    if name in shipped(kind):
        return config_folder(kind) / f"{name}.yaml"
    raise ConfigError(unknown(kind[:-1], name, shipped(kind), hint="or a .yaml file"))


def read_config(kind: str, name: str) -> tuple[Path, dict[str, Any]]:
    """Reads a configuration that is named after its file; see `find_config`.

    Returns:
        The file, and its values with its stem as `name`.

    Raises:
        ConfigError: The file does not exist, is not a YAML mapping, or has a key `name`.
    """
    path = find_config(kind, name)
    values = read_yaml(path)
    if "name" in values:
        raise ConfigError(f"{path}: name: unknown key; the file's name is the {kind[:-1]}'s")
    return path, {"name": path.stem, **values}
