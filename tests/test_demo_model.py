"""The model that ships with the package does what its metadata says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps
from safetensors import safe_open

import mnv4_mobile
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4

DEMO = Path(mnv4_mobile.__file__).parent / "demo"
CHECKPOINT = DEMO / "conv-small-035.safetensors"
PICTURES = sorted((DEMO / "pictures").glob("*.jpg"))
WORDS = "zero one two three four five six seven eight nine".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def metadata() -> dict[str, str]:
    with safe_open(CHECKPOINT, "pt") as file:
        return dict(file.metadata())


@pytest.fixture(scope="module")
def model(metadata: dict[str, str]) -> MobileNetV4:
    spec = load_model(metadata["model"]).with_head(int(metadata["num_classes"]))
    with safe_open(CHECKPOINT, "pt") as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    network = MobileNetV4(spec).eval()
    network.load_state_dict(weights)
    return network


@torch.inference_mode()
def classify(model: MobileNetV4, metadata: dict[str, str], images: np.ndarray) -> torch.Tensor:
    """(N, 96, 96, 3) uint8 -> (N, 10) probabilities."""
    preprocess = json.loads(metadata["preprocess"])
    mean, std = (torch.tensor(preprocess[key]) for key in ("mean", "std"))
    x = (torch.tensor(images) / 255 - mean) / std
    return torch.cat([model(part)["logits"] for part in x.permute(0, 3, 1, 2).split(100)]).softmax(
        1
    )


def test_metadata_is_complete(metadata: dict[str, str]) -> None:
    labels = json.loads(metadata["labels"])
    assert metadata["format"] == "mnv4-mobile"
    assert metadata["model"] == "conv-small-035"
    assert labels == (DEMO / "labels.txt").read_text().split()
    assert len(labels) == int(metadata["num_classes"])
    assert json.loads(metadata["preprocess"]) == {
        "size": [96, 96],
        "crop": 1.0,
        "interpolation": "bilinear",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    assert metadata["licence"] == "Apache-2.0"
    assert metadata.keys() >= {"top1_heldout", "n_heldout", "seed", "steps"}


def test_checkpoint_is_small_and_half_precision() -> None:
    assert CHECKPOINT.stat().st_size <= 5_000_000
    with safe_open(CHECKPOINT, "pt") as file:
        kinds = {file.get_slice(key).get_dtype() for key in file.keys()}  # noqa: SIM118
    assert kinds == {"F16", "I64"}  # the integers count the batch norms' batches


def test_held_out_accuracy_is_what_the_metadata_says(
    model: MobileNetV4, metadata: dict[str, str], heldout: tuple[np.ndarray, np.ndarray]
) -> None:
    tiles, labels = heldout
    found = classify(model, metadata, tiles).argmax(1).numpy()

    top1 = float((found == labels).mean())
    assert len(labels) == int(metadata["n_heldout"])
    assert top1 >= 0.97
    # One image either way: decoders of JPEG and kernels of convolutions differ in the last bit.
    assert top1 == pytest.approx(float(metadata["top1_heldout"]), abs=1.01 / len(labels))


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_picture_is_classified_as_its_name_says(
    path: Path, model: MobileNetV4, metadata: dict[str, str]
) -> None:
    with Image.open(path) as file:
        picture = ImageOps.exif_transpose(file).convert("RGB")
    scale = 96 / min(picture.size)
    picture = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR
    )
    left, top = (picture.width - 96) // 2, (picture.height - 96) // 2
    square = np.asarray(picture.crop((left, top, left + 96, top + 96)))
    probabilities = classify(model, metadata, square[None])[0]
    assert int(probabilities.argmax()) == WORDS.index(path.stem)
    assert float(probabilities.max()) > 0.8


def test_pictures_are_light_and_one_lies_on_its_side() -> None:
    assert 6 <= len(PICTURES) <= 10
    assert all(path.stat().st_size <= 60_000 for path in PICTURES)
    turned = []
    for path in PICTURES:
        with Image.open(path) as picture:
            turned.append(picture.getexif().get(ExifTags.Base.Orientation) == 6)
    assert sum(turned) == 1
