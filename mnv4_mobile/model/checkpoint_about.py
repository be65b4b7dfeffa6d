"""What comes with a checkpoint beside its tensors: preprocessing, labels, licence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnv4_mobile.errors import ConfigError, WeightsError, unknown
from mnv4_mobile.images import Preprocess
from mnv4_mobile.model.spec import ModelSpec
from mnv4_mobile.records import convert, decode
from mnv4_mobile.yaml_file import Section, checked

TIMM_ACTIVATIONS = {
    "mobilenetv4_conv_small_035": "relu",
    "mobilenetv4_conv_small_050": "relu",
    "mobilenetv4_conv_small": "relu",
    "mobilenetv4_conv_medium": "relu",
    "mobilenetv4_conv_large": "relu",
    "mobilenetv4_hybrid_medium_075": "relu",
    "mobilenetv4_hybrid_medium": "relu",
    "mobilenetv4_hybrid_large_075": "gelu",
    "mobilenetv4_hybrid_large": "gelu",
}
"""timm's architectures that this grammar can express, with the activation of each."""

LOOKALIKES = (
    "mobilenetv4_conv_aa_medium",
    "mobilenetv4_conv_aa_large",
    "mobilenetv4_conv_blur_medium",
)
"""timm's anti-aliased variants: the same tensors as some of the above, but other networks."""


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known about a checkpoint."""

    made_for: str | None = None
    """The network that the weights are said to belong to."""
    licence: str | None = None
    labels: tuple[str, ...] | None = None
    preprocess: Preprocess | None = None
    notes: tuple[str, ...] = ()


def about_ours(path: Path, metadata: Mapping[str, str]) -> About:
    """What the metadata of one of our own safetensors files says.

    Raises:
        ConfigError: A value that cannot be used, named.
    """
    if metadata.get("format") != "mnv4-mobile":
        return About()
    values = dict[str, Any](metadata)
    if "labels" in values:
        values["labels"] = _json(values["labels"], f"{path}: metadata: labels")
    section = Section(values, f"{path}: metadata")
    preprocess = None
    if "preprocess" in section:
        text = section.get("preprocess", str)
        preprocess = decode(text, Preprocess, section.at("preprocess"), WeightsError)
    return About(
        made_for=section.optional("model", str),
        licence=section.optional("licence", str),
        labels=_labels(section, "labels"),
        preprocess=preprocess,
    )


def about_timm(path: Path, spec: ModelSpec) -> About:
    """What timm's `config.json` beside a checkpoint says (timm: models/_hub.py).

    Raises:
        WeightsError: An unreadable file, or a network that is not this one.
        ConfigError: A value that cannot be used, named.
    """
    path = path.with_name("config.json")
    if not path.exists():
        note = "no config.json beside the weights: preprocessing, labels and licence are not known"
        return About(notes=(note,))
    try:
        config = Section(_json(path.read_text(), str(path)), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from None
    architecture = config.get("architecture", str)
    check_architecture(architecture, str(path), spec)
    if "model_args" in config:
        _check_arguments(config.section("model_args"))
    # Older exports have everything at the top.
    trained = config.section("pretrained_cfg") if "pretrained_cfg" in config else config
    crop_mode = trained.get("crop_mode", str, "center")
    if crop_mode != "center":
        raise ConfigError(f"{trained.at('crop_mode')}: found {crop_mode!r}, must be 'center'")
    size = trained.values("input_size", int)[-2:]
    return About(
        made_for=architecture,
        licence=trained.optional("license", str),
        labels=_timm_labels(config if "label_names" in config else trained, config),
        preprocess=convert(
            {
                "size": size,
                "crop": trained.get("crop_pct", float),
                **{name: trained.any(name) for name in ("interpolation", "mean", "std")},
            },
            Preprocess,
            trained.place,
        ),
    )


def check_architecture(name: str, place: str, spec: ModelSpec) -> None:
    """Refuses weights of a network that the tensors alone cannot tell from this one.

    Raises:
        WeightsError: Naming what was found and what is allowed.
    """
    if name not in TIMM_ACTIVATIONS:
        raise WeightsError(unknown(f"{place}: architecture", name, TIMM_ACTIVATIONS))
    if TIMM_ACTIVATIONS[name] != spec.act:
        raise WeightsError(
            f"{place}: architecture: found {name!r}, which has act {TIMM_ACTIVATIONS[name]}; "
            f"{spec.name} has {spec.act}"
        )


def _check_arguments(section: Section) -> None:
    """Refuses timm's creation arguments where they change the network."""
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
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{place}: not JSON: {error}") from None


def _labels(section: Section, key: str) -> tuple[str, ...] | None:
    """A list of names; timm's may also be a mapping from the index of the class."""
    value = section.any(key, None)
    if value is None:
        return None
    place = section.at(key)
    if isinstance(value, dict):
        value = [value.get(str(index)) for index in range(len(value))]
    if not isinstance(value, list):
        raise ConfigError(f"{place}: found {value!r}, must be a list of names")
    return tuple(checked(label, str, place) for label in value)


def _timm_labels(section: Section, config: Section) -> tuple[str, ...] | None:
    names = _labels(section, "label_names")
    if names is None:
        return None
    holder = config if "label_descriptions" in config else section
    descriptions = holder.any("label_descriptions", None) or {}
    if not isinstance(descriptions, dict):
        raise ConfigError(f"{holder.at('label_descriptions')}: must be a mapping")
    return tuple(str(descriptions.get(name, name)) for name in names)
