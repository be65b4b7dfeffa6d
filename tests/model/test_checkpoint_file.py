"""Files of weights in every wrapper, and files that hold none."""

import contextlib
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mnv4_mobile.errors import WeightsError
from mnv4_mobile.model.checkpoint_file import read_tensors
from mnv4_mobile.model.checkpoint_index import read_index
from mnv4_mobile.model.weights import load_checkpoint
from tests.model.checkpoints import TINY, assert_same, save

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".bin"])
def test_wrappers_and_suffixes(
    wrapper: str | None, suffix: str, tiny: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / f"weights{suffix}"
    torch.save({wrapper: tiny, "epoch": 1} if wrapper else tiny, path)
    assert_same(load_checkpoint(TINY, str(path)).state, tiny)


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
        "text.pth": ("not a whole PyTorch checkpoint", b"hello, this is no checkpoint"),
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
        "code.ckpt": (r"a call of (posix|nt)\.system", pickle.dumps(Code(), protocol=2)),
        "module.pt": ("found no tensor at all", nn.Linear(1, 1)),
        "list.pth": ("found a list, must be a state dict", [torch.ones(1)]),
        "tensor.pth": ("found a Tensor, must be a state dict", torch.ones(1)),
        "epoch.pth": ("found no tensor at all", {"epoch": 1, "optimizer": {}}),
        "index.pth": ("found no tensor at all", {0: torch.ones(1)}),
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
    with pytest.raises(WeightsError, match=r"found nothing; a folder of weights must hold model\."):
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


@settings(max_examples=120)
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
        index = read_index(path)
        tensors = read_tensors(path, path.read_bytes(), index.shapes)
        assert all(tuple(t.shape) == index.shapes[key] for key, t in tensors.items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_values_of_every_type_in_any_order(dtype: torch.dtype, tmp_path: Path) -> None:
    base = torch.arange(24).to(dtype)
    state = {
        "plain": base.reshape(2, 3, 4),
        "transposed": base.reshape(4, 6).t(),
        "part": base[5:9],
        "parameter": nn.Parameter(base.clone()),
        "number": torch.tensor(1.5, dtype=dtype),
        "nothing": torch.empty(0, dtype=dtype),
    }
    path = tmp_path / "x.pth"
    torch.save(state, path)
    index = read_index(path)
    found = read_tensors(path, path.read_bytes(), index.shapes)
    for name, tensor in state.items():
        assert found[(name,)].dtype == dtype
        assert index.shapes[(name,)] == tuple(tensor.shape)
        assert torch.equal(found[(name,)], tensor.detach())
