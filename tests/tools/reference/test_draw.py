"""The reference pictures are the same every time, and no split shows what another does."""

import numpy as np
import pytest
import torch
from PIL import Image

from tools.reference import draw, surfaces
from tools.reference.canvas import Draw
from tools.reference.figures import LABELS, TEXTURES, figures, textures


@pytest.mark.slow
def test_blocks_and_splits_show_different_pictures(monkeypatch):
    monkeypatch.setattr(draw, "BLOCK", 16)
    blocks = [("calibration", 0), ("calibration", 1), ("evaluation", 0)]
    drawn, labels = zip(*(draw.render(*block) for block in blocks), strict=True)
    assert drawn[0].shape == (draw.BLOCK, 3, draw.SIDE, draw.SIDE)
    assert drawn[0].dtype == torch.uint8
    assert labels[1].tolist() == [(draw.BLOCK + i) % len(LABELS) for i in range(draw.BLOCK)]
    pictures = torch.cat(drawn)
    assert len({picture.numpy().tobytes() for picture in pictures}) == len(pictures)
    # Not only other scenes: other figures too.
    own, others = (figures(2, draw.SPLITS[split]) for split in ("calibration", "evaluation"))
    assert all(not torch.equal(a, b) for a, b in zip(own, others, strict=True))


def test_a_class_is_told_by_its_figure():
    fields = figures(3, 0).view(len(LABELS), 3, 2, -1)
    disc, crescent = (fields[LABELS.index(name)][:, 0] < 0 for name in ("disc", "crescent"))
    assert disc.float().mean() == pytest.approx(torch.pi * 0.85**2 / 4, rel=0.1)
    assert crescent.float().mean() < 0.7 * disc.float().mean()
    at = torch.linspace(-2, 2, 64)
    u, v = torch.meshgrid(at, at, indexing="xy")
    patterns = textures(u[None, None], v[None, None]).view(len(TEXTURES), -1)
    alike = torch.corrcoef(patterns) - torch.eye(len(TEXTURES))
    assert alike.abs().max() < 0.9  # a grid and bricks are the most alike


def test_a_surface_is_told_by_its_pattern():
    at = torch.linspace(-2, 2, 64)
    u, v = (w[None, None] for w in torch.meshgrid(at, at, indexing="xy"))
    patterns = torch.cat([textures(u, v), surfaces._more_textures(Draw(1, 0), u, v)], 1)
    alike = torch.corrcoef(patterns.view(len(surfaces.SURFACES), -1))
    assert (alike - torch.eye(len(alike))).abs().max() < 0.9


@pytest.mark.parametrize("task", ["textures", "pairs"])
def test_an_image_of_a_task_depends_on_its_class_its_seed_and_its_split_alone(task):
    chosen = draw.TASKS[task]
    labels = torch.arange(8) * (len(chosen.labels) // 8)

    def drawn(split="training", labels=labels, seed=1, busy=1.0):
        return chosen.compose(split, labels, seed, 32, busy)

    images = drawn()
    assert images.shape == (8, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert torch.equal(images, drawn())
    others = {
        "class": drawn(labels=(labels + 1) % len(chosen.labels)),
        "seed": drawn(seed=2),
        "difficulty": drawn(busy=0.0),
    }
    if task == "pairs":  # a texture has no sources: only its seed tells splits apart
        others["split"] = drawn("evaluation")
    for name, other in others.items():
        assert not any(torch.equal(a, b) for a, b in zip(images, other, strict=True)), name


@pytest.mark.slow
def test_the_command_writes_a_folder_of_classes_that_is_the_same_every_time(tmp_path, monkeypatch):
    command = ["draw", "--split", "calibration", "--count", "70", "-o", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    draw.main()
    assert {folder.name for folder in tmp_path.iterdir()} == set(LABELS)
    assert len(list(tmp_path.rglob("*.png"))) == 70
    with Image.open(tmp_path / LABELS[0] / "00000.png") as picture:
        drawn = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert torch.equal(drawn, draw.render("calibration", 0)[0][0])
