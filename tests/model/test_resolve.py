"""Weights alone: which network they are of, in the wrapper and under the prefix of any trainer."""

import json
import shutil
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import ConfigError, MobileError, WeightsError
from mnv4_mobile.images import KnownPreprocess
from mnv4_mobile.model.checkpoint_source import DEMO
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.resolve import RANDOM_NOTE, is_weights, resolve
from mnv4_mobile.model.timm_names import shipped_name, timm_name
from mnv4_mobile.model.weights import load_checkpoint
from tests.model.checkpoints import TINY, assert_same, notes, save

pytestmark = pytest.mark.usefixtures("one_thread")
DATA = Path(__file__).parents[1] / "data"
State = dict[str, Tensor]


class Settings(dict[str, object]):
    """A class of a trainer's own, as hyperparameters may have it."""


def lightning(state: State) -> dict[str, object]:
    """What Lightning saves: the module's other tensors, and objects of any class."""
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {
            **{f"net.backbone.{name}": tensor for name, tensor in state.items()},
            "criterion.weight": torch.ones(3),
        },
        "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}}],
        "hyper_parameters": {
            "folder": Path("/data"),
            "settings": Settings(rate=0.1),
            "loss": torch.nn.CrossEntropyLoss(weight=torch.ones(3)),
            "history": deque([np.float64(0.9)]),
        },
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_path": "x"}},
    }


def prefixed(prefix: str) -> Callable[[State], object]:
    return lambda state: {f"{prefix}{name}": tensor for name, tensor in state.items()}


TRAINERS: dict[str, Callable[[State], object]] = {
    "plain": lambda state: state,
    "model.": prefixed("model."),
    "module.": prefixed("module."),
    "_orig_mod.": prefixed("_orig_mod."),
    "module._orig_mod.": prefixed("module._orig_mod."),
    "timm_model.": prefixed("timm_model."),
    "average": lambda state: {**prefixed("module.")(state), "n_averaged": torch.tensor(1)},
    "lightning": lightning,
    "timm": lambda state: {"arch": "x", "epoch": 1, "state_dict": state},
    "model and optimizer": lambda state: {"model": state, "optimizer": {"state": {}}},
}


@pytest.fixture(scope="module")
def timm_state() -> Callable[[str], State]:
    """A function from timm's name to a state dict whose tensors take no memory."""
    import timm

    found: dict[str, State] = {}

    def state(name: str) -> State:
        if name not in found:
            with torch.device("meta"):
                model = timm.create_model(name, num_classes=7)
            found[name] = {
                key: torch.zeros(()).to(tensor.dtype).expand(tensor.shape)
                for key, tensor in model.state_dict().items()
            }
        return found[name]

    return state


NAMES = [timm_name(name) for name in shipped("models")]


def test_every_network_of_timm_is_known() -> None:
    import timm

    assert set(NAMES) == set(timm.list_models("mobilenetv4_*"))
    assert [shipped_name(name) for name in NAMES] == list(shipped("models"))


@pytest.mark.parametrize("name", NAMES)
def test_every_network_of_timm_is_recognized_from_any_trainer(
    name: str, timm_state: Callable[[str], State], tmp_path: Path
) -> None:
    expected = load_model(shipped_name(name)).with_head(7)
    if "hybrid" not in name:
        expected = replace(expected, layer_scale=None)
    if expected.aa_layer is not None:  # it has no tensors, so what names it decides
        torch.save({"arch": name, "state_dict": timm_state(name)}, tmp_path / "last.pth")
        assert resolve(str(tmp_path / "last.pth")).model == expected
        return
    others = {"lightning": "criterion.weight", "average": "n_averaged"}
    for trainer in TRAINERS if name.endswith("_035") else ("lightning",):
        torch.save(TRAINERS[trainer](timm_state(name)), tmp_path / "last.ckpt")
        resolved = resolve(str(tmp_path / "last.ckpt"))
        assert resolved.model == expected, trainer
        ignored = [note for note in resolved.notes if "ignored" in note]
        assert ignored == ([f"ignored keys: {others[trainer]}"] if trainer in others else [])


@pytest.mark.parametrize("trainer", TRAINERS)
def test_tensors_are_found_in_any_trainer_s_file(trainer: str, tiny: State, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(TRAINERS[trainer](tiny), path)
    assert_same(load_checkpoint(TINY, str(path)).state, tiny)
    with pytest.raises(WeightsError, match="fits no shipped model"):
        resolve(str(path))


def test_a_file_of_an_older_torch(tiny: State, tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    torch.save({"model": tiny}, path, _use_new_zipfile_serialization=False)
    assert_same(load_checkpoint(TINY, str(path)).state, tiny)


def test_averaged_weights_come_first(tiny: State, tmp_path: Path) -> None:
    average = {name: t * 0.5 if t.is_floating_point() else t for name, t in tiny.items()}
    wrappers: tuple[object, ...] = (
        {"state_dict": tiny, "state_dict_ema": average},
        {"model": tiny, "model_ema": average},
        {"state_dict": {**prefixed("net.")(tiny), **prefixed("ema.module.")(average)}},
    )
    for wrapped in wrappers:
        torch.save(wrapped, tmp_path / "x.pth")
        checkpoint = load_checkpoint(TINY, str(tmp_path / "x.pth"))
        assert_same(checkpoint.state, average)
        assert any("the averaged weights" in note for note in notes(TINY, str(tmp_path / "x.pth")))


def test_several_networks_are_refused(tiny: State, tmp_path: Path) -> None:
    both = {**prefixed("student.")(tiny), **prefixed("teacher.")(tiny)}
    path = save({name: t.clone() for name, t in both.items()}, tmp_path / "x.safetensors")
    with pytest.raises(WeightsError) as raised:
        load_checkpoint(TINY, path)
    assert str(raised.value) == (
        f"{path}: found 2 networks, at student, teacher; must be one: save the state dict of the "
        "one to build alone"
    )


def test_other_keys_are_ignored_but_not_those_of_the_network(tiny: State, tmp_path: Path) -> None:
    others = {f"loss.{i}": torch.ones(1) for i in range(4)}
    path = save(tiny | others, tmp_path / "x.safetensors")
    load_checkpoint(TINY, path)
    assert notes(TINY, path) == ("ignored keys: loss.0, loss.1, loss.2, ...",)
    more = tiny | {"stages.1.9.conv.weight": torch.ones(1)}
    with pytest.raises(WeightsError, match=r"1 unexpected: stages\.1\.9\.conv\.weight$"):
        load_checkpoint(TINY, save(more, tmp_path / "x.safetensors"))


def test_demo_and_its_file_are_the_same() -> None:
    demo, file = resolve("demo"), resolve(str(DEMO))
    assert demo.model == file.model == load_model("conv-small-035").with_head(10)
    assert (demo.weights, file.weights) == ("demo", str(DEMO))
    assert demo.preprocess == KnownPreprocess(
        size=(96, 96), crop=1.0, interpolation="bilinear", mean=(0.5,) * 3, std=(0.5,) * 3
    )
    assert demo.preprocess.assumed == ()


def test_a_snapshot_folder(
    timm_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = resolve(str(timm_folder))
    assert alone.model == replace(load_model("conv-small-035").with_head(10), layer_scale=None)
    assert alone.preprocess.assumed == ()
    assert resolve("conv-small-035", str(timm_folder)) == alone
    monkeypatch.chdir(timm_folder.parent)
    assert resolve(timm_folder.name) == alone
    template = tmp_path / "conv-small-035"
    shutil.copytree(timm_folder, template)
    assert resolve("conv-small-035", f"{tmp_path}/{{model}}").weights == str(template)
    with_pickle = tmp_path / "pickle"
    with_pickle.mkdir()
    torch.save(load_checkpoint(alone.model, alone.weights).state, with_pickle / "pytorch_model.bin")
    assert resolve(str(with_pickle)).model == alone.model


def test_what_a_config_does_not_say_is_assumed(timm_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(timm_folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())

    def known(**trained: object) -> KnownPreprocess:
        (tmp_path / "config.json").write_text(json.dumps(config | {"pretrained_cfg": trained}))
        return resolve(str(tmp_path)).preprocess

    assert known() == KnownPreprocess()
    assert known().assumed == ("mean", "std", "crop", "interpolation")
    assert known(mean=[0, 0, 0], crop_pct=0.9).assumed == ("std", "interpolation")
    assert known(input_size=[3, 96, 64]).completed((224, 224)).size == (96, 64)
    assert known(mean=[0, 0, 0]).completed((224, 224)).mean == (0, 0, 0)
    for key in ("mean", "std"):
        with pytest.raises(ConfigError) as raised:
            known(**{key: [127.5, 127.5, 127.5]})
        assert str(raised.value) == (
            f"{tmp_path / 'config.json'}: pretrained_cfg: {key}: found 127.5,127.5,127.5, must be "
            "at most 1, as samples are scaled to 0..1; divide by 255: 0.5,0.5,0.5"
        )
    (tmp_path / "config.json").write_text('{"trainer": "mine"}')
    resolved = resolve(str(tmp_path))
    assert resolved.preprocess == KnownPreprocess()
    assert any("config.json: ignored" in note for note in resolved.notes)


@pytest.mark.parametrize(
    ("text", "weights"),
    [
        ("demo", True),
        ("hf-hub:timm/mobilenetv4_conv_small.e2400_r224_in1k", True),
        ("random:0", True),
        ("missing.safetensors", True),
        ("missing.ckpt", True),
        ("file", True),
        ("folder", True),
        ("model.yaml", False),
        ("missing.yml", False),
        ("conv-small", False),
        ("mobilenetv4_conv_small", False),
        ("mobilenetv4_conv_small.e2400_r224_in1k", False),
        ("Demo", False),
    ],
)
def test_what_is_weights(
    text: str, weights: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("model.yaml", "file"):
        (tmp_path / name).write_text("x")
    for name in ("folder", "conv-small"):
        (tmp_path / name).mkdir()
    assert is_weights(text) == weights
    assert is_weights("./conv-small")


def test_names_of_timm_are_models() -> None:
    for name in NAMES:
        plain = resolve(name, "random:0")
        assert plain.model == load_model(shipped_name(name))
        assert plain.notes == (RANDOM_NOTE,)
    tagged = resolve("mobilenetv4_conv_small.e2400_r224_in1k", "random:0", num_classes=4)
    assert tagged.model == load_model("conv-small").with_head(4)
    assert tagged.notes == (
        "mobilenetv4_conv_small.e2400_r224_in1k: the tag e2400_r224_in1k has no effect; --weights "
        "names the weights",
        RANDOM_NOTE,
    )


ALLOWED = "allowed: the file or folder of a checkpoint, hf-hub:{}, demo, random:SEED"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("conv-small",),
            "--weights: missing for the model conv-small; " + ALLOWED.format("OWNER/NAME"),
        ),
        (
            ("mobilenetv4_conv_small.e2400_r224_in1k",),
            "--weights: missing for the model mobilenetv4_conv_small.e2400_r224_in1k; "
            + ALLOWED.format("timm/mobilenetv4_conv_small.e2400_r224_in1k"),
        ),
        (
            ("mobilenetv4_conv_small",),
            "--weights: missing for the model mobilenetv4_conv_small; "
            + ALLOWED.format("timm/mobilenetv4_conv_small.TAG"),
        ),
        (
            ("demo", "random:0"),
            "--weights: found 'random:0', but demo is weights already; leave one of them out, or "
            "name a model before --weights",
        ),
        (
            ("random:7",),
            "random:7: random weights fit any model, so name one: conv-small --weights random:7",
        ),
        (("conv-small", "random:x"), "random: found 'x', must be a seed of up to 18 digits"),
        (
            ("conv-medium", "demo"),
            f"{DEMO}: these are the weights of conv-small-035, but conv-medium was asked for; "
            "leave the model out to build conv-small-035, or give other weights",
        ),
        (("missing.pth",), "missing.pth: no such file"),
        (
            ("timm/resnet50.a1_in1k",),
            "timm/resnet50.a1_in1k: no such file or folder; a repository on the Hugging Face hub "
            "is named hf-hub:timm/resnet50.a1_in1k",
        ),
        (
            (str(DATA / "hybrid-narrow.safetensors"),),
            None,
        ),
    ],
)
def test_refuses(arguments: tuple[str, ...], message: str | None) -> None:
    with pytest.raises((ConfigError, WeightsError)) as raised:
        resolve(*arguments)
    if message is not None:
        assert str(raised.value) == message
    else:
        assert "(made for hybrid-narrow): fits no shipped model; the nearest is " in str(
            raised.value
        )
        assert "give its .yaml file as the model and the weights with --weights" in str(
            raised.value
        )


def test_a_typo_in_a_name() -> None:
    with pytest.raises(ConfigError, match="found 'conv-smal', did you mean conv-small"):
        resolve("conv-smal", "demo")
    with pytest.raises(ConfigError, match="found 'mobilenetv4_conv_smal', did you mean "):
        resolve("mobilenetv4_conv_smal", "demo")


def test_a_folder_without_weights(tmp_path: Path) -> None:
    for name in "abcdefg":
        (tmp_path / name).write_text("x")
    for arguments in ((str(tmp_path),), ("conv-small", str(tmp_path))):
        with pytest.raises(WeightsError) as raised:
            resolve(*arguments)
        assert str(raised.value) == (
            f"{tmp_path}: found a, b, c, d, e, ...; a folder of weights must hold "
            "model.safetensors or pytorch_model.bin; or give the checkpoint's file"
        )


def test_what_a_file_says_must_be_so(
    timm_folder: Path, timm_state: Callable[[str], State], tmp_path: Path
) -> None:
    shutil.copytree(timm_folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["architecture"] = "mobilenetv4_conv_medium"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError) as raised:
        resolve(str(tmp_path))
    assert str(raised.value) == (
        f"{tmp_path / 'model.safetensors'}: these are the weights of conv-small-035, but "
        f"{tmp_path / 'config.json'}: architecture says mobilenetv4_conv_medium; leave the model "
        "out to build conv-small-035, or give other weights"
    )


def test_networks_that_differ_in_anti_aliasing_alone(
    timm_state: Callable[[str], State], tmp_path: Path
) -> None:
    state = timm_state("mobilenetv4_conv_medium")
    # The checkpoint says which one it is,
    path = tmp_path / "x.pth"
    for arch, name in (("conv_medium", "conv-medium"), ("conv_blur_medium", "conv-blur-medium")):
        torch.save({"arch": f"mobilenetv4_{arch}", "state_dict": state}, path)
        resolved = resolve(str(path))
        assert (resolved.model.name, resolved.notes) == (name, ())
    assert resolve("conv-blur-medium", str(path)).model == resolved.model
    for asked, layer in (("conv-medium", "~"), ("conv-aa-medium", "avg")):
        with pytest.raises(WeightsError) as raised:
            resolve(asked, str(path))
        assert str(raised.value) == (
            f"{path}: arch: found 'mobilenetv4_conv_blur_medium', which has aa_layer blurpc; "
            f"{asked} has {layer}; leave the model out to build conv-blur-medium, or give other "
            "weights"
        )
    with pytest.raises(WeightsError, match="these are the weights of conv-blur-medium, but conv-s"):
        resolve("conv-small", str(path))
    torch.save({"arch": "mobilenetv4_conv_medium", "state_dict": state}, path)
    with pytest.raises(WeightsError, match=r"has aa_layer ~; conv-aa-medium has avg; leave"):
        resolve("conv-aa-medium", str(path))
    # or else its name,
    path = tmp_path / "mobilenetv4_conv_aa_medium.mine.pth"
    torch.save(state, path)
    resolved = resolve(str(path))
    assert (resolved.model.name, resolved.notes) == ("conv-aa-medium", ())
    with pytest.raises(
        WeightsError, match=r"mine\.pth: the file's name: found 'mobilenetv4_conv_a"
    ):
        resolve("conv-medium", str(path))
    # or else the user, who is asked to.
    torch.save(state, tmp_path / "x.pth")
    for name in ("conv-medium", "conv-aa-medium", "conv-blur-medium"):
        assert resolve(name, str(tmp_path / "x.pth")).model.name == name
    resolved = resolve(str(tmp_path / "x.pth"))
    assert (resolved.model.name, resolved.notes) == (
        "conv-medium",
        (
            "assumed conv-medium; conv-aa-medium and conv-blur-medium have the same tensors: to "
            "build one of them, name it, as in conv-aa-medium --weights x.pth",
        ),
    )
    # A name that the tensors do not fit says nothing.
    torch.save(timm_state("mobilenetv4_conv_small"), path)
    assert resolve(str(path)).model.name == "conv-small"


def test_a_network_of_ones_own_width(timm_state: Callable[[str], State], tmp_path: Path) -> None:
    state = dict(timm_state("mobilenetv4_conv_small"))
    state["conv_stem.weight"] = torch.zeros(24, 3, 3, 3)
    torch.save(state, tmp_path / "wide.pth")
    with pytest.raises(MobileError) as raised:
        resolve(str(tmp_path / "wide.pth"))
    assert str(raised.value).startswith(
        f"{tmp_path / 'wide.pth'}: fits no shipped model; the nearest is conv-small: 1 misshaped: "
        "conv_stem.weight is 24x3x3x3, must be 32x3x3x3; for a network of your own, give its .yaml "
    )
