"""Reads what accompanies a checkpoint's tensors: network, preprocessing, labels, licence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnv4_mobile import limits
from mnv4_mobile.errors import ConfigError, WeightsError
from mnv4_mobile.files import Read
from mnv4_mobile.images import KnownPreprocess, check_scale
from mnv4_mobile.labels import Label
from mnv4_mobile.records import convert, read_json
from mnv4_mobile.yaml_file import Section


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known about a checkpoint."""

    made_for: str | None = None
    """The network that the weights are said to belong to."""
    place: str = ""
    """The file and the key that say so."""
    licence: str | None = None
    labels: tuple[str, ...] | None = None
    preprocess: KnownPreprocess = field(default_factory=KnownPreprocess)
    notes: tuple[str, ...] = ()


def about_ours(path: Path, metadata: Mapping[str, str]) -> About:
    """Reads the metadata of one of our own safetensors files.

    Raises:
        MobileError: Names a value that cannot be used.
    """
    if metadata.get("format") != "mnv4-mobile":
        return About()
    values = dict[str, Any](metadata)
    for key in ("labels", "preprocess"):
        if key in values:
            values[key] = _json(values[key], f"{path}: metadata: {key}")
    section = Section(values, f"{path}: metadata")
    return About(
        made_for=section.optional("model", str),
        place=section.at("model"),
        licence=section.optional("licence", str),
        labels=_labels(section, "labels"),
        preprocess=_preprocess(section.any("preprocess", {}), section.at("preprocess")),
    )


def about_timm(path: Path, read: Read = Path.read_bytes) -> About:
    """Reads timm's `config.json` beside a checkpoint (timm: models/_hub.py).

    A `config.json` without an `architecture` is another program's and has no effect.

    Args:
        path: The checkpoint.
        read: Returns a file's bytes.

    Raises:
        WeightsError: The file cannot be read, or the tensors alone do not describe its network.
        ConfigError: Names a value that cannot be used.
    """
    path = path.with_name("config.json")
    if not path.exists():
        return About()
    try:
        if not path.is_file():  # a FIFO would block, a device never end
            raise WeightsError(f"{path}: not a file")
        limits.check(path, "bytes", path.stat().st_size, limits.HEADER_BYTES, WeightsError)
        config = Section(_json(read(path).decode(), str(path)), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from None
    if "architecture" not in config:
        return About(notes=(f"{path}: ignored, as it has no key architecture",))
    architecture = config.get("architecture", str)
    if "model_args" in config:
        _check_arguments(config.section("model_args"))
    # Older exports have everything at the top level.
    trained = config.section("pretrained_cfg") if "pretrained_cfg" in config else config
    crop_mode = trained.get("crop_mode", str, "center")
    if crop_mode != "center":
        raise ConfigError(f"{trained.at('crop_mode')}: found {crop_mode!r}, must be 'center'")
    values = {name: trained.any(name, None) for name in ("interpolation", "mean", "std")}
    values["crop"] = trained.optional("crop_pct", float)
    if "input_size" in trained:
        values["size"] = trained.values("input_size", int)[-2:]
    return About(
        made_for=architecture,
        place=config.at("architecture"),
        licence=trained.optional("license", str),
        labels=_timm_labels(config if "label_names" in config else trained, config),
        preprocess=_preprocess(values, trained.place),
    )


def _preprocess(values: object, place: str) -> KnownPreprocess:
    known = convert(values, KnownPreprocess, place)
    for name in ("mean", "std"):
        if (found := getattr(known, name)) is not None:
            check_scale(f"{place}: {name}", found)
    return known


def _check_arguments(section: Section) -> None:
    """Refuses arguments of timm's `create_model` that change the network."""
    harmless = ("num_classes", "drop_rate", "drop_path_rate")
    standard = {"in_chans": 3, "global_pool": "avg"}
    for key, value in standard.items():
        found = section.any(key, None)
        if found not in (None, value):
            raise WeightsError(f"{section.at(key)}: found {found!r}, must be {value!r}")
    try:
        section.close(harmless)
    except ConfigError as error:
        raise WeightsError(f"{error} (the others change the network)") from None


def _json(text: str, place: str) -> Any:
    return read_json(text, place, WeightsError)


def _labels(section: Section, key: str) -> tuple[str, ...] | None:
    """Returns a list of names; timm's may also be a mapping from the index of the class."""
    value = section.any(key, None)
    if value is None:
        return None
    place = section.at(key)
    if isinstance(value, dict):
        value = [value.get(str(index)) for index in range(len(value))]
    if not isinstance(value, list):
        raise ConfigError(f"{place}: found {value!r}, must be a list of names")
    return convert(value, tuple[Label, ...], place)


def _timm_labels(section: Section, config: Section) -> tuple[str, ...] | None:
    names = _labels(section, "label_names")
    if names is None:
        return None
    holder = config if "label_descriptions" in config else section
    descriptions = holder.any("label_descriptions", None) or {}
    if not isinstance(descriptions, dict):
        raise ConfigError(f"{holder.at('label_descriptions')}: must be a mapping")
    described = [str(descriptions.get(name, name)) for name in names]
    return convert(described, tuple[Label, ...], section.at("label_names"))
