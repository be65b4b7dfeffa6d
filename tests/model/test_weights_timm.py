"""Checkpoints and configurations that timm wrote."""

import argparse
import contextlib
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import ConfigError, MobileError, WeightsError
from mnv4_mobile.images import KnownPreprocess
from mnv4_mobile.model.checkpoint_about import about_timm
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.weights import load_checkpoint
from tests.model.checkpoints import SMALL, network, notes, save

pytestmark = pytest.mark.usefixtures("one_thread")
PARAMETERS = {
    "conv-small": 3_774_024,
    **dict.fromkeys(("conv-medium", "conv-aa-medium", "conv-blur-medium"), 9_715_512),
    **dict.fromkeys(("conv-large", "conv-aa-large"), 32_590_864),
    "hybrid-medium": 11_074_648,
    "hybrid-large": 37_764_624,
    "conv-small-035": 1_905_384,
    "conv-small-050": 2_238_952,
    "hybrid-medium-075": 7_313_528,
    "hybrid-large-075": 22_754_984,
}


@torch.no_grad()
def lively(model: nn.Module) -> nn.Module:
    """A timm network that does something, and does not blow rounding errors up."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
            if module.groups > 1:  # mostly copies
                middle = module.kernel_size[0] // 2
                module.weight[:, :, middle, middle] += 2
            else:
                module.weight -= module.weight.mean((1, 2, 3), keepdim=True)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, mean=0.5, std=0.2)
        elif hasattr(module, "gamma"):
            nn.init.uniform_(module.gamma, 0.3, 0.7)
    model.train()(torch.randn(32, 3, 32, 32) + torch.randn(32, 3, 1, 1))
    return model.eval()


@pytest.mark.parametrize("name", shipped("models"))
@pytest.mark.slow
def test_equals_timm(name: str, tmp_path: Path) -> None:
    import timm

    model = lively(timm.create_model(f"mobilenetv4_{name.replace('-', '_')}"))
    path = save(model.state_dict(), tmp_path / "model.safetensors")
    checkpoint = load_checkpoint(load_model(name), path)
    net = network(checkpoint)
    pictures = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        expected, found = model(pictures), net(pictures)["logits"]
    assert expected.std() > 0.01
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert sum(p.numel() for p in net.parameters()) == PARAMETERS[name]
    assert (checkpoint.source, checkpoint.licence) == ("timm", None)
    assert checkpoint.preprocess == KnownPreprocess()


def copy_of(folder: Path, to: Path, **changes: object) -> str:
    """The same weights with another config.json; `pretrained_cfg` is merged, None deletes."""
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= changes.pop("pretrained_cfg", {})
    config |= changes
    (to / "config.json").write_text(json.dumps(config))
    os.link(folder / "model.safetensors", to / "model.safetensors")
    return str(to / "model.safetensors")


def test_config_of_timm(timm_folder: Path) -> None:
    path = str(timm_folder / "model.safetensors")
    checkpoint = load_checkpoint(SMALL, path)
    assert checkpoint.spec == replace(SMALL.with_head(10), layer_scale=None)
    assert checkpoint.preprocess == KnownPreprocess(
        size=(224, 224), crop=0.875, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    assert checkpoint.licence == "apache-2.0"
    assert checkpoint.labels == ("n0", "n1", "n2", "three", *(f"n{i}" for i in range(4, 10)))
    data = (timm_folder / "model.safetensors").read_bytes()
    assert checkpoint.sha256 == hashlib.sha256(data).hexdigest()
    assert notes(SMALL, path) == (
        ("the checkpoint has no layer scale: left out",) if SMALL.layer_scale else ()
    )


def test_older_config_of_timm(timm_folder: Path, tmp_path: Path) -> None:
    config = json.loads((timm_folder / "config.json").read_text())
    flat = {"architecture": config["architecture"], **config["pretrained_cfg"]}
    (tmp_path / "config.json").write_text(json.dumps(flat))
    about = about_timm(tmp_path / "model.safetensors")
    assert about.preprocess is not None
    assert about.preprocess.size == (224, 224)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        (
            {"architecture": "mobilenetv4_conv_aa_small"},
            WeightsError,
            "found 'mobilenetv4_conv_aa_small', did you mean",
        ),
        ({"architecture": "mobilenetv4_hybrid_large"}, WeightsError, "gelu"),
        ({"architecture": 3}, ConfigError, "architecture"),
        ({"model_args": {"act_layer": "gelu"}}, WeightsError, "act_layer"),
        ({"model_args": {"global_pool": "max"}}, WeightsError, "must be 'avg'"),
        ({"model_args": {"in_chans": 1}}, WeightsError, "in_chans"),
        ({"pretrained_cfg": {"crop_mode": "squash"}}, ConfigError, "crop_mode: found 'squash'"),
        ({"pretrained_cfg": {"crop_pct": "all"}}, ConfigError, "crop_pct"),
        ({"pretrained_cfg": {"interpolation": "random"}}, ConfigError, "interpolation"),
        ({"pretrained_cfg": {"mean": 0.5}}, ConfigError, "mean"),
        ({"pretrained_cfg": {"std": [0.5, 0.5]}}, ConfigError, "std"),
        ({"pretrained_cfg": {"input_size": [3]}}, ConfigError, "size"),
        ({"label_names": ["a", "b"]}, WeightsError, "comes with 2 labels, must be 10"),
        (
            {"label_descriptions": {"n2": "two\nthree"}},
            ConfigError,
            r"config\.json.*label_names: \[2\]: found 'two\\nthree', must be one line",
        ),
        ({"label_names": "abc"}, ConfigError, "label_names"),
        ({"label_names": [1] * 10}, ConfigError, "label_names"),
    ],
)
def test_refuses_config_of_timm(
    changes: dict, error: type[MobileError], words: str, timm_folder: Path, tmp_path: Path
) -> None:
    path = copy_of(timm_folder, tmp_path, **changes)
    with pytest.raises(error, match=words) as raised:
        load_checkpoint(SMALL, path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[1]", "\xff"])
def test_refuses_broken_config(text: str, timm_folder: Path, tmp_path: Path) -> None:
    path = copy_of(timm_folder, tmp_path)
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(MobileError, match=r"config\.json"):
        load_checkpoint(SMALL, path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 999) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
KEYS = ("architecture", "model_args", "label_names", "label_descriptions", "pretrained_cfg")
INNER = ("input_size", "crop_pct", "crop_mode", "interpolation", "mean", "std", "license")


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(
    outer=st.dictionaries(st.sampled_from(KEYS), json_values, max_size=2),
    inner=st.dictionaries(st.sampled_from(INNER), json_values, max_size=2),
)
def test_any_config_is_read_or_refused(
    outer: dict, inner: dict, timm_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    config = json.loads((timm_folder / "config.json").read_text())
    config["pretrained_cfg"] |= inner
    (folder / "config.json").write_text(json.dumps(config | outer))
    with contextlib.suppress(MobileError):
        assert about_timm(folder / "model.safetensors").preprocess is not None


def test_training_checkpoint_of_timm(tmp_path: Path) -> None:
    import timm

    raw = timm.create_model("mobilenetv4_conv_small_035").state_dict()
    ema = {name: t * 0.5 if t.is_floating_point() else t for name, t in raw.items()}
    wrapped = {f"module._orig_mod.{name}": t for name, t in raw.items()}
    training = {
        "epoch": 3,
        "arch": "mobilenetv4_conv_small_035",
        "args": argparse.Namespace(lr=0.1, model="x"),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}},
        "state_dict": wrapped,
    }
    torch.save(training, tmp_path / "last.pth.tar")
    torch.save(training | {"state_dict_ema": ema}, tmp_path / "best.pth.tar")
    last = load_checkpoint(SMALL, str(tmp_path / "last.pth.tar"))
    best = load_checkpoint(SMALL, str(tmp_path / "best.pth.tar"))
    assert torch.equal(last.state["stem.conv.weight"], raw["conv_stem.weight"])
    assert torch.equal(best.state["stem.conv.weight"], ema["conv_stem.weight"])
    assert any("state_dict_ema" in note for note in notes(SMALL, str(tmp_path / "best.pth.tar")))
    assert not any("ema" in note for note in notes(SMALL, str(tmp_path / "last.pth.tar")))


def test_timm_without_a_classifier(tmp_path: Path) -> None:
    import timm

    model = timm.create_model("mobilenetv4_conv_small_035", num_classes=0)
    path = save(model.state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"2 missing: classifier\.weight; classifier\.bias"):
        load_checkpoint(SMALL, path)
    checkpoint = load_checkpoint(SMALL, path, num_classes=3)
    assert torch.equal(checkpoint.state["head.conv.conv.weight"], model.conv_head.weight)
    assert any("no classifier" in note for note in notes(SMALL, path, 3))
