"""Decides whether a user names a network or weights, and finds the network that weights are for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import KnownPreprocess
from mnv4_mobile.model.checkpoint_index import read_index
from mnv4_mobile.model.checkpoint_source import SUFFIXES, find_checkpoint, random_seed
from mnv4_mobile.model.fit import fit_checkpoint
from mnv4_mobile.model.grammar import read_model
from mnv4_mobile.model.spec import ModelSpec
from mnv4_mobile.model.timm_names import is_timm_name


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A network with its weights."""

    model: ModelSpec
    """The network with the number of classes and the layer scale of the weights."""
    weights: str
    """The weights for `load_checkpoint`, with an absolute path."""
    preprocess: KnownPreprocess
    """What the checkpoint says about preprocessing."""
    asked: tuple[str, ...] = field(compare=False)
    """The words of a command that name the network and its weights, as the user gave them."""
    notes: tuple[str, ...]
    """Messages for the user."""


RANDOM_NOTE = "the weights are random: the outputs mean nothing"


def is_weights(text: str) -> bool:
    """Returns whether a text names weights rather than a network.

    The names of shipped networks, timm's names and YAML files are networks. Weights are `demo`,
    what begins with `hf-hub:` or `random:`, an existing file or folder, and any other name with the
    suffix of a checkpoint, so that a missing file is reported as one.
    """
    if text in shipped("models") or text.endswith((".yaml", ".yml")):
        return False
    if text == "demo" or text.startswith(("hf-hub:", "random:")) or text.endswith(SUFFIXES):
        return True
    return Path(text).exists()


def resolve(
    model_or_weights: str, weights: str | None = None, *, num_classes: int | None = None
) -> Resolved:
    """Finds the network and the weights that a user names.

    Args:
        model_or_weights: A shipped network's name, timm's name for it, or a YAML file, all of which
            need `weights`; or weights (`is_weights`), from which the network follows.
        weights: The weights of a network: `demo`, `random:SEED`, `hf-hub:OWNER/NAME`, a checkpoint
            file or a folder with one; `{model}` in it stands for the network's name.
        num_classes: The number of classes. Default: the checkpoint's.

    Raises:
        ConfigError: The name is neither, or weights are missing or given twice.
        WeightsError: The weights cannot be read, or are not the network's.
    """
    if is_weights(model_or_weights):
        if weights:
            raise ConfigError(
                f"--weights: found {weights!r}, but {model_or_weights} is weights already; leave "
                "one of them out, or name a model before --weights"
            )
        if model_or_weights.startswith("random:"):
            raise ConfigError(
                f"{model_or_weights}: random weights fit any model, so name one: "
                f"conv-small --weights {model_or_weights}"
            )
        return _with_weights(None, (model_or_weights,), num_classes)
    if "/" in model_or_weights and not model_or_weights.endswith((".yaml", ".yml")):
        raise ConfigError(
            f"{model_or_weights}: no such file or folder; a repository on the Hugging Face hub is "
            f"named hf-hub:{model_or_weights}"
        )
    file = read_model(model_or_weights)
    if not weights:
        repository = _repository(model_or_weights)
        raise ConfigError(
            f"--weights: missing for the model {model_or_weights}; allowed: the file or folder of "
            f"a checkpoint, hf-hub:{repository}, demo, random:SEED"
        )
    notes: list[str] = []
    if file.unused:
        notes.append(f"{file.path.name}: ignored keys: {', '.join(file.unused)}")
    if file.tag:
        notes.append(
            f"{model_or_weights}: the tag {file.tag} has no effect; --weights names the weights"
        )
    asked = (model_or_weights, "--weights", weights.replace("{model}", file.spec.name))
    return _with_weights(file.spec, asked, num_classes, notes)


def _with_weights(
    spec: ModelSpec | None,
    asked: tuple[str, ...],
    num_classes: int | None,
    notes: Sequence[str] = (),
) -> Resolved:
    """Resolves the weights that the last of the user's words names."""
    source = asked[-1]
    path = find_checkpoint(source)
    if path is None:
        random_seed(source)
        assert spec is not None
        model = spec if num_classes is None else spec.with_head(num_classes)
        return Resolved(
            model=model,
            weights=source,
            preprocess=KnownPreprocess(),
            asked=asked,
            notes=(*notes, RANDOM_NOTE),
        )
    fit = fit_checkpoint(read_index(path), spec, num_classes=num_classes)
    if Path(source).exists():
        source = str(Path(source).absolute())
    return Resolved(
        model=fit.spec,
        weights=source,
        preprocess=fit.about.preprocess,
        asked=asked,
        notes=(*notes, *fit.notes),
    )


def _repository(model: str) -> str:
    """Returns the repository on the Hugging Face hub that a message suggests for a network."""
    if not is_timm_name(model):
        return "OWNER/NAME"
    return f"timm/{model}" if "." in model else f"timm/{model}.TAG"
