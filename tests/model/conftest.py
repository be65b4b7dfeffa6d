"""What the tests of weights share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mnv4_mobile.model.random_weights import random_state
from tests.model.checkpoints import TINY


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tiny() -> dict[str, Tensor]:
    return random_state(TINY, 0)


@pytest.fixture(scope="module")
def timm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What timm itself writes for the hub."""
    import timm
    from timm.models._hub import save_for_hf

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
