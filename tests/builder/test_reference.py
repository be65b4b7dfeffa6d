"""Outputs of the PyTorch model that nothing can be compared with."""

import numpy as np
import pytest
import torch

from mnv4_mobile.builder.cell import Cell, Options
from mnv4_mobile.builder.network import Network
from mnv4_mobile.builder.reference import checked
from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.random_weights import random_state
from mnv4_mobile.recipe import load_recipe
from tests.model.checkpoints import TINY, save
from tests.notes import Notes

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 2, 2, 3)


def test_outputs_that_are_the_same_for_all_images_are_refused():
    varied = {"logits": np.array([[1, 2], [3, 4]], np.float32)}
    constant = varied | {"embedding": np.ones((2, 5), np.float32)}
    assert checked(varied, IMAGES, "x.pth") is varied
    with pytest.raises(
        WeightsError, match=r"x\.pth: .*embedding is the same for 2 different images"
    ):
        checked(constant, IMAGES, "x.pth")
    assert checked(constant, IMAGES[[0, 0]], "x.pth") is constant
    with pytest.raises(WeightsError, match=r"x\.pth: .*logits has values that are not finite"):
        checked({"logits": np.array([[1, np.nan]], np.float32)}, IMAGES[:1], "x.pth")


@pytest.mark.parametrize("value", [0, 0.1])
def test_weights_of_one_value_are_noted_and_blamed(value, tmp_path):
    state = {
        name: torch.full_like(tensor, value) if tensor.ndim == 4 else tensor
        for name, tensor in random_state(TINY, 0).items()
    }
    path = save(state, tmp_path / "x.safetensors")
    notes = Notes()
    cell = Cell(model=TINY, weights=path, target="", recipe=load_recipe("fp32"), options=Options())
    network = Network(cell, notes)
    assert any(
        f"x.safetensors: {sum(t.ndim == 4 for t in state.values())} tensors hold one value" in note
        for note in notes.notes
    )
    if value == 0:
        with pytest.raises(WeightsError, match=r"x\.safetensors: .*logits is the same for 4"):
            _ = network.golden
