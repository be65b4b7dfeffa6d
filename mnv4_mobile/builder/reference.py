"""The float PyTorch model, which every artifact is made from and compared with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.errors import ConfigError, WeightsError
from mnv4_mobile.files import Read
from mnv4_mobile.images import list_images, normalise, pixels, random_images, read_image
from mnv4_mobile.tensors import TensorSpec

if TYPE_CHECKING:
    from torch import nn

    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.model.weights import Checkpoint

GOLDEN_IMAGES = 4
_BATCH = 32  # larger batches take more memory and are no faster


def load_net(checkpoint: Checkpoint, spec: BuildSpec) -> MobileNetV4:
    """Returns the network with its weights, in inference mode."""
    import torch

    from mnv4_mobile.model.net import MobileNetV4

    with torch.device("meta"):
        net = MobileNetV4(spec.model, spec.outputs)
    net.load_state_dict(checkpoint.state, assign=True)
    return net.eval().requires_grad_(False)


def golden_paths(images: Path, batch: int) -> list[Path]:
    """Returns the images of the golden pairs from a folder or a file; a multiple of the batch.

    Raises:
        ConfigError: There are too few images.
        ImageError: There is no such folder, or no image in it.
    """
    count = _golden_count(batch)
    paths = list_images(images) if images.is_dir() else [images]
    if len(paths) < count:
        raise ConfigError(f"--images: {images}: found {len(paths)} images, needs {count}")
    # Spread evenly, because a folder with one folder per class is sorted by class.
    return [paths[i * len(paths) // count] for i in range(count)]


def _golden_count(batch: int) -> int:
    return -(-GOLDEN_IMAGES // batch) * batch


def golden_pixels(
    spec: BuildSpec, images: Path | None, seed: int = 0, read: Read = Path.read_bytes
) -> npt.NDArray[np.uint8]:
    """Returns the golden images (N, H, W, 3), RGB after resizing; N is a multiple of the batch."""
    if images is None:
        return random_images(spec.preprocess, _golden_count(spec.batch), seed)
    paths = golden_paths(images, spec.batch)
    return np.stack([pixels(read_image(path, read), spec.preprocess) for path in paths])


def eager(
    net: nn.Module, images: npt.NDArray[np.uint8], spec: BuildSpec
) -> dict[str, npt.NDArray[np.float32]]:
    """Returns the float PyTorch model's outputs by name for (N, H, W, 3) RGB pixels."""
    import torch

    parts: dict[str, list[npt.NDArray[np.float32]]] = {}
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            some = normalise(images[start : start + _BATCH], spec.preprocess)
            for name, value in net(torch.from_numpy(some)).items():
                parts.setdefault(name, []).append(value.numpy())
    return {name: np.concatenate(values) for name, values in parts.items()}


def checked(
    reference: dict[str, npt.NDArray[np.float32]], images: npt.NDArray[np.uint8], weights: str
) -> dict[str, npt.NDArray[np.float32]]:
    """Returns the outputs of `eager`, with which artifacts are compared.

    Args:
        reference: The outputs.
        images: The images (N, H, W, 3) that they are for.
        weights: The weights, as messages name them.

    Raises:
        WeightsError: An output has values that are not finite, or is the same for all images
            although they differ. Nothing can be compared with it.
    """
    differ = any((image != images[0]).any() for image in images)
    for name, values in reference.items():
        if not np.isfinite(values).all():
            raise WeightsError(
                f"{weights}: the PyTorch model's output {name} has values that are not finite"
            )
        if differ and (values == values[0]).all():
            raise WeightsError(
                f"{weights}: the PyTorch model's output {name} is the same for {len(images)} "
                "different images; are its weights all zero?"
            )
    return reference


def arranged(reference: npt.NDArray[np.float32], output: TensorSpec) -> npt.NDArray[np.float32]:
    """Returns an output of `eager` in the layout of an artifact's output."""
    if output.layout == "nhwc":
        return np.ascontiguousarray(np.moveaxis(reference, 1, -1))
    return reference
