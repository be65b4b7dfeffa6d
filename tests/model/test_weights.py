"""Checkpoints into our network: our own format, and what follows the checkpoint."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from mnv4_mobile.errors import ConfigError, MobileError, WeightsError
from mnv4_mobile.images import KnownPreprocess
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.weights import load_checkpoint
from tests.model.checkpoints import TINY, assert_same, network, notes, save

pytestmark = pytest.mark.usefixtures("one_thread")


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
    assert checkpoint.preprocess == KnownPreprocess(
        size=(64, 96), crop=1.0, interpolation="bilinear", mean=(0.1, 0.2, 0.3), std=(1, 1, 1)
    )
    expected = {n: t.half().float() if t.is_floating_point() else t for n, t in tiny.items()}
    assert_same(checkpoint.state, expected)
    for key, value, words in (
        ("labels", "[", "labels: not JSON"),
        ("labels", '["a", "b\\n"]', r"bad\.safetensors: metadata: labels: \[1\]: found 'b\\n'"),
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
    unscaled = replace(TINY, layer_scale=None)
    added = load_checkpoint(unscaled, path)
    assert any("layer scale: added" in note for note in notes(unscaled, path))
    assert_same(added.state, tiny)
    network(added)
    without = {name: t for name, t in tiny.items() if "layer_scale" not in name}
    path = save(without, tmp_path / "without.safetensors")
    left_out = load_checkpoint(TINY, path)
    assert any("layer scale: left out" in note for note in notes(TINY, path))
    assert_same(left_out.state, without)
    network(left_out)


def test_number_of_classes(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    path = save(tiny, tmp_path / "x.safetensors")
    assert load_checkpoint(TINY.with_head(5), path).spec.head == TINY.head
    assert_same(load_checkpoint(TINY, path, num_classes=7).state, tiny)
    changed = load_checkpoint(TINY, path, num_classes=4)
    assert any("re-initialised" in note and "has 7" in note for note in notes(TINY, path, 4))
    weight = changed.state["head.classifier.weight"]
    assert weight.shape == (4, 32, 1, 1)
    assert 0.005 < weight.std() < 0.02
    rest = {n: t for n, t in changed.state.items() if "classifier" not in n}
    assert_same(rest, {n: t for n, t in tiny.items() if "classifier" not in n})
    assert_same(load_checkpoint(TINY, path, num_classes=4).state, changed.state)
    with pytest.raises(ConfigError, match="num_classes: found 0"):
        load_checkpoint(TINY, path, num_classes=0)


def test_model_without_a_head(tiny: dict[str, Tensor], tmp_path: Path) -> None:
    headless, path = replace(TINY, head=None), save(tiny, tmp_path / "x.safetensors")
    checkpoint = load_checkpoint(headless, path)
    assert checkpoint.spec.head is None
    assert any("left out" in note for note in notes(headless, path))
    network(checkpoint)


def test_another_network(timm_folder: Path) -> None:
    with pytest.raises(WeightsError, match="the weights of conv-small-035, but conv-medium was"):
        load_checkpoint(load_model("conv-medium"), str(timm_folder / "model.safetensors"))
