"""Checkpoints of every kind into our network, and everything that can be wrong with one."""

import argparse
import contextlib
import hashlib
import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import timm
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from timm.models._hub import save_for_hf
from torch import Tensor, nn

from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import ConfigError, MobileError, WeightsError
from mnv4_mobile.images import Preprocess
from mnv4_mobile.model.checkpoint_about import about_timm
from mnv4_mobile.model.checkpoint_file import read_checkpoint
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.model.spec import (
    ConvSpec,
    FusedIBSpec,
    HeadSpec,
    MMQASpec,
    ModelSpec,
    UIRSpec,
)
from mnv4_mobile.model.weights import Checkpoint, load_checkpoint

PARAMETERS = {
    "conv-small": 3_774_024,
    "conv-medium": 9_715_512,
    "conv-large": 32_590_864,
    "hybrid-medium": 11_074_648,
    "hybrid-large": 37_764_624,
    "conv-small-035": 1_905_384,
    "conv-small-050": 2_238_952,
    "hybrid-medium-075": 7_313_528,
    "hybrid-large-075": 22_754_984,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def uir(out: int, hidden: int, extra: int | None, middle: int | None, stride: int = 1) -> UIRSpec:
    return UIRSpec(
        out_channels=out,
        hidden_channels=hidden,
        extra_kernel_size=extra,
        middle_kernel_size=middle,
        stride=stride,
    )


def mmqa(out: int, pooling: int | None, kernel: int | None) -> MMQASpec:
    return MMQASpec(
        out_channels=out,
        attention_channels=24,
        num_heads=3,
        query_pooling_stride=pooling,
        kv_kernel_size=kernel,
        kv_stride=2 if kernel else None,
    )


TINY = ModelSpec(
    name="tiny",
    stem=ConvSpec(out_channels=8, kernel_size=3, stride=2),
    stages=(
        (
            ConvSpec(out_channels=8, kernel_size=3, stride=1),
            FusedIBSpec(out_channels=8, hidden_channels=16, kernel_size=3, stride=2),
        ),
        (uir(16, 32, 3, 5, 2), uir(16, 32, None, 3), uir(16, 32, 5, None), uir(16, 16, None, None)),
        (uir(16, 16, 3, 3), mmqa(16, None, None), mmqa(16, 2, 3), mmqa(16, None, 3)),
    ),
    final=ConvSpec(out_channels=24, kernel_size=1, stride=1),
    head=HeadSpec(hidden_channels=32, num_classes=7),
    layer_scale=0.1,
    input_size=(64, 64),
)
"""Every block of the grammar, in every form that numbers its parts differently."""


@pytest.fixture(scope="module")
def tiny() -> dict[str, Tensor]:
    return random_state(TINY, 0)


def network(checkpoint: Checkpoint) -> MobileNetV4:
    outputs = ("logits",) if checkpoint.spec.head else ("embedding",)
    net = MobileNetV4(checkpoint.spec, outputs).eval()
    net.load_state_dict(checkpoint.state)
    return net


def save(state: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> str:
    safetensors.torch.save_file(state, path, metadata)
    return str(path)


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


# timm


@pytest.mark.parametrize("name", shipped("models"))
def test_equals_timm(name: str, tmp_path: Path) -> None:
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
    assert (checkpoint.source, checkpoint.licence, checkpoint.preprocess) == ("timm", None, None)
    assert any("no config.json" in note for note in checkpoint.notes)


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What timm itself writes for the hub."""
    folder = tmp_path_factory.mktemp("timm")
    model = timm.create_model("mobilenetv4_conv_small_035", num_classes=10)
    save_for_hf(
        model,
        str(folder),
        model_config={
            "label_names": [f"n{i}" for i in range(10)],
            "label_descriptions": {"n3": "three"},
        },
        safe_serialization=True,
    )
    return folder


SMALL = load_model("conv-small-035")


def copy_of(folder: Path, to: Path, **changes: object) -> str:
    """The same weights with another config.json; `pretrained_cfg` is merged, None deletes."""
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"] |= changes.pop("pretrained_cfg", {})
    config |= changes
    (to / "config.json").write_text(json.dumps(config))
    os.link(folder / "model.safetensors", to / "model.safetensors")
    return str(to / "model.safetensors")


def test_config_of_timm(timm_folder: Path) -> None:
    checkpoint = load_checkpoint(SMALL, str(timm_folder / "model.safetensors"))
    assert checkpoint.spec == replace(SMALL.with_head(10), layer_scale=None)
    assert checkpoint.preprocess == Preprocess(
        size=(224, 224), crop=0.875, interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    assert checkpoint.licence == "apache-2.0"
    assert checkpoint.labels == ("n0", "n1", "n2", "three", *(f"n{i}" for i in range(4, 10)))
    data = (timm_folder / "model.safetensors").read_bytes()
    assert checkpoint.sha256 == hashlib.sha256(data).hexdigest()
    assert checkpoint.notes == (
        ("the checkpoint has no layer scale: left out",) if SMALL.layer_scale else ()
    )


def test_older_config_of_timm(timm_folder: Path, tmp_path: Path) -> None:
    config = json.loads((timm_folder / "config.json").read_text())
    flat = {"architecture": config["architecture"], **config["pretrained_cfg"]}
    (tmp_path / "config.json").write_text(json.dumps(flat))
    about = about_timm(tmp_path / "model.safetensors", SMALL)
    assert about.preprocess is not None
    assert about.preprocess.size == (224, 224)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"architecture": "mobilenetv4_conv_aa_medium"}, WeightsError, "mobilenetv4_conv_aa_med"),
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


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
        assert about_timm(folder / "model.safetensors", SMALL).preprocess is not None


# A training checkpoint


def test_training_checkpoint_of_timm(tmp_path: Path) -> None:
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
    assert any("state_dict_ema" in note for note in best.notes)
    assert not any("ema" in note for note in last.notes)


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin"])
def test_wrappers_and_suffixes(
    wrapper: str | None, suffix: str, tiny: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save({wrapper: tiny, "epoch": 1} if wrapper else tiny, path)
    assert_same(load_checkpoint(TINY, str(path)).state, tiny)


# NetsPresso Trainer: its names written down a second time, in the order of the network


def netspresso_names(spec: ModelSpec) -> Iterator[str]:
    def norm(name: str) -> Iterator[str]:
        for tensor in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
            yield f"{name}.{tensor}"

    def layer(name: str) -> Iterator[str]:
        yield f"{name}.block.conv.weight"
        yield from norm(f"{name}.block.norm")

    yield from layer("backbone.conv_stem")
    channels = spec.stem.out_channels
    for s, stage in enumerate(spec.stages):
        for i, block in enumerate(stage):
            at = f"backbone.stages.{s}.{i}"
            if isinstance(block, ConvSpec):
                yield from layer(at)
            elif isinstance(block, FusedIBSpec):
                yield from layer(f"{at}.block.0")
                yield from layer(f"{at}.block.1")
            elif isinstance(block, UIRSpec):
                present = (
                    block.extra_kernel_size,
                    block.hidden_channels != channels,
                    block.middle_kernel_size,
                    True,
                )
                for index in range(sum(map(bool, present))):
                    yield from layer(f"{at}.block.{index}")
            else:
                yield from norm(f"{at}.norm_layer")
                if block.query_pooling_stride:
                    yield from norm(f"{at}.attention.query.1")
                yield f"{at}.attention.query.{2 if block.query_pooling_stride else 0}.weight"
                for part in ("key", "value"):
                    if block.kv_kernel_size:
                        yield f"{at}.attention.{part}.0.weight"
                        yield from norm(f"{at}.attention.{part}.1")
                    yield f"{at}.attention.{part}.{2 if block.kv_kernel_size else 0}.weight"
                yield f"{at}.attention.linear.{1 if block.query_pooling_stride else 0}.weight"
            if isinstance(block, UIRSpec | MMQASpec) and spec.layer_scale:
                yield f"{at}.layer_scale.gamma"
            channels = block.out_channels
    last = len(spec.stages) - 1
    yield from layer(f"backbone.stages.{last}.{len(spec.stages[last])}")
    if spec.head:
        if spec.head.hidden_channels:
            yield from layer("head.classifier.0")
        classifier = f"head.classifier.{2 if spec.head.hidden_channels else 1}.block.conv"
        yield f"{classifier}.weight"
        yield f"{classifier}.bias"


def netspresso(spec: ModelSpec, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(netspresso_names(spec), state.values(), strict=True))


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize(
    "spec",
    [
        TINY,
        replace(TINY, layer_scale=None),
        replace(TINY, head=HeadSpec(hidden_channels=None, num_classes=5)),
        load_model("hybrid-medium-075"),
    ],
    ids=["tiny", "no layer scale", "head of one layer", "hybrid-medium-075"],
)
def test_netspresso(spec: ModelSpec, tmp_path: Path) -> None:
    state = random_state(spec, 1)
    path = save(netspresso(spec, state), tmp_path / "best.safetensors")
    other = spec.with_head(spec.head.num_classes + 1) if spec.head else spec
    checkpoint = load_checkpoint(other, path)
    assert (checkpoint.source, checkpoint.spec, checkpoint.notes) == ("netspresso", spec, ())
    assert_same(checkpoint.state, state)
    network(checkpoint)


@pytest.mark.parametrize("prefix", ["backbone.", ""])
def test_backbone_of_netspresso(prefix: str, tiny: dict[str, Tensor], tmp_path: Path) -> None:
    named = netspresso(TINY, tiny)
    backbone = {
        name.replace("backbone.", prefix, 1): tensor
        for name, tensor in named.items()
        if name.startswith("backbone.")
    }
    path = save(backbone, tmp_path / "backbone.safetensors")
    features = load_checkpoint(TINY, path)
    assert features.spec.head is None
    assert any("no head" in note for note in features.notes)
    network(features)
    classifier = load_checkpoint(TINY, path, num_classes=3)
    assert classifier.spec.head == replace(TINY.head, num_classes=3)
    assert any("untrained" in note for note in classifier.notes)
    again = load_checkpoint(TINY, path, num_classes=3)
    assert_same(again.state, classifier.state)
    assert network(classifier)(torch.randn(1, 3, 64, 64))["logits"].shape == (1, 3)


# Our own, and what follows the checkpoint


def test_own_format(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    preprocess = {
        "size": [64, 96],
        "crop": 1.0,
        "interpolation": "bilinear",
        "mean": [0.1, 0.2, 0.3],
        "std": [1, 1, 1],
    }
    metadata = {
        "format": "mnv4-mobile",
        "model": "tiny",
        "num_classes": "7",
        "labels": json.dumps(list("abcdefg")),
        "preprocess": json.dumps(preprocess),
        "licence": "MIT",
    }
    half = {name: t.half() if t.is_floating_point() else t for name, t in tiny.items()}
    checkpoint = load_checkpoint(TINY, save(half, tmp_path / "own.safetensors", metadata))
    assert (checkpoint.source, checkpoint.licence) == ("mnv4-mobile", "MIT")
    assert checkpoint.labels == tuple("abcdefg")
    assert checkpoint.preprocess == Preprocess(
        size=(64, 96), crop=1.0, interpolation="bilinear", mean=(0.1, 0.2, 0.3), std=(1, 1, 1)
    )
    expected = {n: t.half().float() if t.is_floating_point() else t for n, t in tiny.items()}
    assert_same(checkpoint.state, expected)
    for key, value, words in (
        ("labels", "[", "labels: not JSON"),
        ("labels", '["a"]', "comes with 1 labels, must be 7"),
        ("preprocess", json.dumps(preprocess | {"crop": 0}), "crop"),
        ("preprocess", json.dumps(preprocess | {"colour": 1}), "colour"),
    ):
        path = save(half, tmp_path / "bad.safetensors", metadata | {key: value})
        with pytest.raises(MobileError, match=words):
            load_checkpoint(TINY, path)


def test_without_counters(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    few = {name: t for name, t in tiny.items() if not name.endswith("num_batches_tracked")}
    checkpoint = load_checkpoint(TINY, save(few, tmp_path / "x.safetensors"))
    assert_same(checkpoint.state, tiny)
    network(checkpoint)


def test_layer_scale_follows_the_checkpoint(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    path = save(tiny, tmp_path / "with.safetensors")
    added = load_checkpoint(replace(TINY, layer_scale=None), path)
    assert any("layer scale: added" in note for note in added.notes)
    assert_same(added.state, tiny)
    network(added)
    without = {name: t for name, t in tiny.items() if "layer_scale" not in name}
    left_out = load_checkpoint(TINY, save(without, tmp_path / "without.safetensors"))
    assert any("layer scale: left out" in note for note in left_out.notes)
    assert_same(left_out.state, without)
    network(left_out)


def test_number_of_classes(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    path = save(tiny, tmp_path / "x.safetensors")
    assert load_checkpoint(TINY.with_head(5), path).spec.head == TINY.head
    assert_same(load_checkpoint(TINY, path, num_classes=7).state, tiny)
    changed = load_checkpoint(TINY, path, num_classes=4)
    assert any("re-initialised" in note and "has 7" in note for note in changed.notes)
    weight = changed.state["head.classifier.weight"]
    assert weight.shape == (4, 32, 1, 1)
    assert 0.005 < weight.std() < 0.02
    rest = {n: t for n, t in changed.state.items() if "classifier" not in n}
    assert_same(rest, {n: t for n, t in tiny.items() if "classifier" not in n})
    assert_same(load_checkpoint(TINY, path, num_classes=4).state, changed.state)
    with pytest.raises(ConfigError, match="num_classes: found 0"):
        load_checkpoint(TINY, path, num_classes=0)


def test_model_without_a_head(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    checkpoint = load_checkpoint(replace(TINY, head=None), save(tiny, tmp_path / "x.safetensors"))
    assert checkpoint.spec.head is None
    assert any("left out" in note for note in checkpoint.notes)
    network(checkpoint)


def test_timm_without_a_classifier(tmp_path: Path) -> None:
    model = timm.create_model("mobilenetv4_conv_small_035", num_classes=0)
    path = save(model.state_dict(), tmp_path / "x.safetensors")
    with pytest.raises(WeightsError, match=r"2 missing: classifier\.weight; classifier\.bias"):
        load_checkpoint(SMALL, path)
    checkpoint = load_checkpoint(SMALL, path, num_classes=3)
    assert torch.equal(checkpoint.state["head.conv.conv.weight"], model.conv_head.weight)
    assert any("no classifier" in note for note in checkpoint.notes)


# The hub, through a cache laid out as huggingface_hub does


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def cache(hub: Path, repo: str, *files: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = hub / f"models--{repo.replace('/', '--')}"
    for name in ("blobs", "refs", f"snapshots/{commit}"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "refs/main").write_text(commit)
    for file in files:
        blob = hashlib.sha256(file.read_bytes()).hexdigest()
        os.link(file, folder / "blobs" / blob)
        (folder / "snapshots" / commit / file.name).symlink_to(f"../../blobs/{blob}")


def test_hub(hub: Path, timm_folder: Path) -> None:
    repo = "timm/mobilenetv4_conv_small_035.e1_r224_digits"
    cache(hub, repo, timm_folder / "model.safetensors", timm_folder / "config.json")
    checkpoint = load_checkpoint(SMALL, f"hf-hub:{repo}")
    assert checkpoint.licence == "apache-2.0"
    assert_same(
        checkpoint.state, load_checkpoint(SMALL, str(timm_folder / "model.safetensors")).state
    )


def test_hub_with_a_pickle_and_no_config(
    hub: Path, tiny: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pickle") / "pytorch_model.bin"
    torch.save(tiny, path)
    cache(hub, "someone/tiny", path)
    assert_same(load_checkpoint(TINY, "hf-hub:someone/tiny").state, tiny)


@pytest.mark.parametrize(
    ("repo", "words"),
    [
        ("someone/nothing", "model.safetensors nor pytorch_model.bin.*network"),
        ("not a name", "cannot be fetched"),
        ("", "cannot be fetched"),
        ("timm/mobilenetv4_conv_aa_large.e230_r448_in12k_ft_in1k", "mobilenetv4_conv_aa_large"),
    ],
)
def test_hub_refuses(repo: str, words: str, hub: Path) -> None:
    with pytest.raises(WeightsError, match=words) as raised:
        load_checkpoint(SMALL, f"hf-hub:{repo}")
    assert f"hf-hub:{repo}" in str(raised.value)
    assert "\n" not in str(raised.value)


# Weights that do not fit, and files that hold none


def test_mismatch_is_listed_in_the_names_of_the_checkpoint(
    tiny: dict[str, Tensor], tmp_path: Path
) -> None:
    named = netspresso(TINY, tiny)
    for name in [name for name in named if name.startswith("backbone.stages.1.1.block.0.")]:
        del named[name]
    named["backbone.extra"] = torch.zeros(1)
    named["head.classifier.0.block.conv.weight"] = torch.zeros(48, 24, 1, 1)
    path = save(named, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError) as raised:
        load_checkpoint(TINY, path)
    message = str(raised.value)
    assert message.startswith(f"{path} does not fit tiny: 5 missing: backbone.stages.1.1.block.0.")
    assert message.count("backbone.stages.1.1.block.0.") == 3
    assert "| 1 unexpected: backbone.extra |" in message
    assert (
        "1 misshaped: head.classifier.0.block.conv.weight is 48x24x1x1, must be 32x24x1x1"
    ) in message


def test_another_network(timm_folder: Path) -> None:
    with pytest.raises(WeightsError, match="made for mobilenetv4_conv_small_035, does not fit"):
        load_checkpoint(load_model("conv-medium"), str(timm_folder / "model.safetensors"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_no_numbers(bad: float, tiny: dict[str, Tensor], tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in tiny.items()}
    state["stages.0.0.norm.running_var"][3] = bad
    with pytest.raises(WeightsError, match=r"stages\.0\.0\.norm\.running_var: holds NaN"):
        load_checkpoint(TINY, save(state, tmp_path / "x.safetensors"))


@pytest.mark.parametrize(
    "value",
    [torch.zeros(24, dtype=torch.int8), torch.zeros(24).to_sparse(), torch.zeros(24).cfloat()],
    ids=["integers", "sparse", "complex"],
)
def test_tensors_of_other_kinds(value: Tensor, tiny: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(tiny | {"final.norm.bias": value}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"final\.norm\.bias: found torch"):
        load_checkpoint(TINY, str(tmp_path / "x.pth"))


class Code:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, ("touch owned",))


def bad_files() -> dict[str, tuple[str, object]]:
    """Name -> (words of the message, what is saved: bytes as they are, others by torch.save)."""
    one = safetensors.torch.save({"stem.conv.weight": torch.ones(9)})
    other = safetensors.torch.save({"fc.weight": torch.ones(1)})
    return {
        "empty.pth": ("is empty", b""),
        "empty.safetensors": ("is empty", b""),
        "text.pth": ("only weights", b"hello, this is no checkpoint"),
        "text.safetensors": ("not a readable safetensors", b"hello, this is no checkpoint"),
        "header.safetensors": (
            "not a readable safetensors",
            (20).to_bytes(8, "little") + b"{not json           }",
        ),
        "long_header.safetensors": ("not a readable safetensors", b"\xff" * 64),
        "truncated.safetensors": ("not a readable safetensors", one[:-4]),
        "nothing.safetensors": ("no tensor at all", safetensors.torch.save({})),
        "other.safetensors": ("not a MobileNetV4.*found fc.weight", other),
        "code.pth": (r"posix\.system|nt\.system", {"state_dict": Code()}),
        "code.ckpt": ("only weights", pickle.dumps(Code(), protocol=2)),
        "module.pt": (r"torch\.nn\.modules\.linear\.Linear", nn.Linear(1, 1)),
        "list.pth": ("found a list, must be a state dict", [torch.ones(1)]),
        "tensor.pth": ("found a Tensor, must be a state dict", torch.ones(1)),
        "epoch.pth": ("'epoch' with a int", {"epoch": 1, "optimizer": {}}),
        "index.pth": ("found 0 with a Tensor", {0: torch.ones(1)}),
        "weights.onnx": (r"found '\.onnx', allowed: \.safetensors, \.pth", b"x"),
    }  # fmt: skip


@pytest.mark.parametrize("name", bad_files())
def test_refuses_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words, content = bad_files()[name]
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(WeightsError, match=words) as raised:
        load_checkpoint(TINY, str(path))
    message = str(raised.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "weights_only" not in message
    assert not (tmp_path / "owned").exists()


def test_refuses_what_is_no_file(tmp_path: Path, tiny: dict[str, Tensor]) -> None:
    with pytest.raises(WeightsError, match="no such file"):
        load_checkpoint(TINY, str(tmp_path / "missing.pth"))
    with pytest.raises(WeightsError, match="not a file"):
        load_checkpoint(TINY, str(tmp_path))
    torch.save(tiny, tmp_path / "whole.pth")
    data = (tmp_path / "whole.pth").read_bytes()
    for size in (10, len(data) // 2, len(data) - 5):
        (tmp_path / "part.pth").write_bytes(data[:size])
        with pytest.raises(WeightsError, match=r"part\.pth: not a whole PyTorch checkpoint"):
            load_checkpoint(TINY, str(tmp_path / "part.pth"))


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """The bytes cut short, or with a few of them changed."""
    places = st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=4)

    def apply(size: int, changes: list[tuple[int, int]]) -> bytes:
        copy = bytearray(data)
        for place, value in changes:
            copy[place] = value
        return bytes(copy[:size])

    return st.builds(apply, st.sampled_from([len(data)]) | st.integers(0, len(data)), places)


PICKLED = pickle.dumps({"a": [1, 2.5, "x"], "b": {"c": None}}, protocol=2)
STORED = safetensors.torch.save({"a": torch.ones(2, 3), "b": torch.ones(4)}, {"format": "pt"})


@settings(max_examples=120, deadline=None)
@given(
    data=damaged(STORED).map(lambda b: (".safetensors", b))
    | damaged(PICKLED).map(lambda b: (".pth", b))
)
def test_any_bytes_are_read_or_refused(
    data: tuple[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    suffix, content = data
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    with contextlib.suppress(WeightsError):
        tensors = read_checkpoint(path).tensors
        assert all(isinstance(tensor, Tensor) for tensor in tensors.values())


# Random weights


@pytest.mark.parametrize("name", shipped("models"))
def test_random_weights_are_lively(name: str) -> None:
    checkpoint = load_checkpoint(load_model(name), "random:5")
    net = network(checkpoint)
    stds = []
    for block, _ in checkpoint.spec.blocks():
        net.get_submodule(block).register_forward_hook(lambda *a: stds.append(a[2].std().item()))
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(2, 3, 96, 96, generator=generator)
    smooth = nn.functional.interpolate(
        torch.randn(2, 3, 12, 12, generator=generator), size=(96, 96), mode="bilinear"
    )
    with torch.no_grad():
        logits = net(torch.cat([noise, smooth]))["logits"]
    assert all(0.4 < row.std() < 4 for row in logits)
    assert len(set(logits.argmax(1).tolist())) >= 3
    assert all(0.1 < std < 10 for std in stds)
    assert len(stds) == sum(1 for _ in checkpoint.spec.blocks())
    gammas = [t for n, t in checkpoint.state.items() if n.endswith("gamma")]
    assert bool(gammas) == (checkpoint.spec.layer_scale is not None)
    assert all((gamma == 0.5).all() for gamma in gammas)


def test_random_weights_are_those_of_the_seed() -> None:
    first = load_checkpoint(TINY, "random:7")
    assert first.sha256 == hashlib.sha256(b"random:7").hexdigest()
    assert (first.source, first.spec, first.preprocess) == ("random", TINY, None)
    before = torch.get_rng_state()
    torch.set_num_threads(2)
    assert_same(load_checkpoint(TINY, "random:7").state, first.state)
    assert torch.get_num_threads() == 2
    assert torch.equal(torch.get_rng_state(), before)
    other = load_checkpoint(TINY, "random:8").state
    assert not torch.equal(other["stem.conv.weight"], first.state["stem.conv.weight"])
    assert load_checkpoint(TINY, "random:7", num_classes=3).spec.head.num_classes == 3
    assert load_checkpoint(replace(TINY, head=None), "random:7").spec.head is None


@pytest.mark.parametrize("seed", ["", "x", "-1", "1.5", "9" * 5000, "²"])
def test_refuses_seed(seed: str) -> None:
    with pytest.raises(WeightsError, match="random: found"):
        load_checkpoint(TINY, f"random:{seed}")
