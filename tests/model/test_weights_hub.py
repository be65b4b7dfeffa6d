"""Checkpoints of the Hugging Face hub, from a cache laid out as huggingface_hub does."""

import hashlib
import os
from pathlib import Path

import huggingface_hub
import pytest
import torch
from torch import Tensor

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.weights import load_checkpoint
from tests.model.checkpoints import SMALL, TINY, assert_same

pytestmark = pytest.mark.usefixtures("one_thread")


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
    ],
)
def test_hub_refuses(repo: str, words: str, hub: Path) -> None:
    with pytest.raises(WeightsError, match=words) as raised:
        load_checkpoint(SMALL, f"hf-hub:{repo}")
    assert f"hf-hub:{repo}" in str(raised.value)
    assert "\n" not in str(raised.value)
