"""Training goes on where it was stopped, and what is stored does what it says."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch.utils.data import Dataset

from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.net import MobileNetV4
from mnv4_mobile.model.weights import load_checkpoint
from mnv4_mobile.testing import tiny_model
from tools.reference import train, training
from tools.reference.draw import PREPROCESS
from tools.reference.sheet import read_sheet, write_sheet
from tools.reference.surfaces import SURFACES

DATA = Path(__file__).parents[2] / "data"


class Stripes(Dataset):
    """Across or along: learned in a few steps."""

    def __getitem__(self, step):
        generator = torch.Generator().manual_seed(step)
        labels = torch.randint(2, (8,), generator=generator)
        across = (torch.arange(64) % 8 < 4).byte().expand(3, 64, 64) * 200
        return torch.stack([across.mT if label else across for label in labels]), labels


def fitted(steps, state=None):
    torch.manual_seed(0)
    model = MobileNetV4(tiny_model())
    *_, (step, average) = training.fit(model, Stripes(), steps, 3e-3, state=state)
    assert step == steps
    return model, average


@pytest.mark.slow
def test_a_few_steps_learn_what_is_easy():
    _, average = fitted(40)
    images, labels = Stripes()[1000]
    assert training.accuracy(average, images, labels) == 1


def test_stopped_training_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "EVERY", 2)
    torch.manual_seed(0)
    state = tmp_path / "some.state"
    begun = training.fit(MobileNetV4(tiny_model()), Stripes(), 4, 3e-3, state=state)
    assert next(begun)[0] == 2
    begun.close()
    straight, average = fitted(4)
    resumed, average_of_resumed = fitted(4, state)
    for one, other in ((straight, resumed), (average, average_of_resumed)):
        for name, tensor in one.state_dict().items():
            torch.testing.assert_close(tensor, other.state_dict()[name], msg=name)


@pytest.mark.slow
def test_the_command_writes_a_checkpoint_that_loads(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "EVALUATED", 24)
    out = tmp_path / "narrow.safetensors"
    command = ["train", str(DATA / "hybrid-narrow.yaml"), "-o", str(out), "--steps", "4"]
    command += ["--task", "textures"]
    monkeypatch.setattr("sys.argv", command)
    train.main()
    found = load_checkpoint(load_model(str(DATA / "hybrid-narrow.yaml")), str(out))
    assert found.labels == SURFACES
    assert found.preprocess.completed((1, 1)) == PREPROCESS
    assert found.licence == "Apache-2.0"


def test_a_sheet_gives_back_its_pictures(tmp_path):
    at = np.linspace(0, 200, 16, dtype=np.uint8)
    images = np.stack([np.broadcast_to((at + i)[:, None, None], (16, 16, 3)) for i in range(6)])
    labels = np.arange(6, dtype=np.uint8)
    write_sheet(tmp_path / "sheet.npz", images, labels, 2, 95)
    found, found_labels = read_sheet(tmp_path / "sheet.npz")
    assert np.abs(found.astype(int) - images).max() <= 4
    assert found_labels.tolist() == labels.tolist()


def test_the_stored_hybrid_is_as_accurate_as_it_says():
    path = DATA / "hybrid-narrow.safetensors"
    checkpoint = load_checkpoint(load_model(str(path.with_suffix(".yaml"))), str(path))
    net = MobileNetV4(checkpoint.spec).eval()
    net.load_state_dict(checkpoint.state)
    images, labels = read_sheet(DATA / "reference_evaluation.npz")
    images, labels = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(labels)
    right = training.accuracy(net, images, labels) * len(labels)
    # One or two either way: decoders of JPEG and kernels of convolutions differ in the last bit.
    assert right == pytest.approx(139, abs=2.01)
    with safe_open(path, "pt") as file:
        stated = float(file.metadata()["top1_heldout"])  # of the first 960, before a JPEG's loss
    assert right / len(labels) == pytest.approx(stated, abs=0.03)
    assert path.stat().st_size <= 1_000_000
