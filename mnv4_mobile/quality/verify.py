"""Compares a bundle's artifact, from its bytes, with the float PyTorch model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.reference import arranged, checked, eager, golden_pixels, load_net
from mnv4_mobile.bundle.folder import AnyBundle, Bundle, open_bundle
from mnv4_mobile.bundle.parity import Parity, parities
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.layers import OWN_HEAD
from mnv4_mobile.model.grammar import read_model
from mnv4_mobile.target import check_units, first_unit, load_target, require
from mnv4_mobile.tensors import CLASSES, sizes_text
from mnv4_mobile.units import Unit

if TYPE_CHECKING:
    from mnv4_mobile.model.weights import Checkpoint


def verify(
    bundle: AnyBundle,
    weights: str | None = None,
    *,
    model: str | None = None,
    threads: int = 1,
    units: Sequence[Unit] = (),
) -> dict[Unit, dict[str, Parity]]:
    """Runs a bundle's artifact and compares it with the float PyTorch model.

        for unit, outputs in verify("out/conv-small-224x224-int8-tflite").items():
            print(unit, outputs["logits"].sqnr_db, outputs["logits"].gate_db)

    Args:
        bundle: A bundle, its folder, or the artifact in it.
        weights: A checkpoint to run on images that the bundle does not hold. None compares with
            the golden pairs in the bundle.
        model: The configuration for `weights`. Default: the shipped one of the bundle's model name.
        threads: Number of runtime threads.
        units: Units to run on. Default: the target's first unit on this machine.

    Returns:
        The parity of every output by its name, for each unit. An output passes if its `sqnr_db`
        is at least its `gate_db`. At the further sizes of an artifact that takes several, the name
        is that of the output followed by the size: `logits at 256x256`.

    Raises:
        BundleError: The bundle is damaged.
        WeightsError: The outputs of `weights` are not finite.
        ConfigError: The target does not have one of `units` on this machine.
    """
    bundle = open_bundle(bundle)
    target = load_target(bundle.manifest.target)
    require(target)
    check_units(target, units)
    sized = [bundle.at(size) for size in bundle.manifest.sizes]
    pairs = [_pairs(one) if weights is None else _afresh(one, weights, model) for one in sized]
    parity: dict[Unit, dict[str, Parity]] = {}
    for unit in units or (first_unit(target),):
        parity[unit] = {}
        with Worker(target.name, bundle.artifact, threads=threads, unit=unit) as worker:
            for one, (images, expected) in zip(sized, pairs, strict=True):
                found = run_pixels(worker, one.input, one.outputs, images, one.preprocess)
                gate = max(one.gates().values())
                size = one.preprocess.size
                at = f" at {sizes_text([size])}" if size != bundle.preprocess.size else ""
                for name, value in parities(one.outputs, expected, found, gate).items():
                    parity[unit][f"{name}{at}"] = value
    return parity


def _pairs(bundle: Bundle) -> tuple[npt.NDArray[np.uint8], dict[str, npt.NDArray[Any]]]:
    """Returns the golden images, and the PyTorch model's outputs for them."""
    return bundle.golden("input")["pixels"], bundle.golden("eager")


def _afresh(
    bundle: Bundle, weights: str, model: str | None
) -> tuple[npt.NDArray[np.uint8], dict[str, npt.NDArray[Any]]]:
    """Returns images that the bundle does not hold, and a checkpoint's outputs for them."""
    checkpoint, spec = read_checkpoint(bundle, weights, model)
    images = golden_pixels(spec, None, seed=1)
    reference = checked(eager(load_net(checkpoint, spec), images, spec), images, weights)
    return images, {o.name: arranged(reference[o.kind], o) for o in bundle.outputs}


def read_checkpoint(
    bundle: Bundle, weights: str, model: str | None
) -> tuple[Checkpoint, BuildSpec]:
    """Returns a checkpoint, and what is built of it so that it can be compared with a bundle.

    Args:
        bundle: The bundle.
        weights: The checkpoint.
        model: The configuration. Default: the shipped one of the bundle's model name.

    Raises:
        ConfigError: The bundle has a head of the caller's own.
        WeightsError: The checkpoint does not fit the model.
    """
    from mnv4_mobile.model.weights import load_checkpoint

    if any(layer.name.startswith(OWN_HEAD) for layer in bundle.manifest.layers):
        raise ConfigError(
            f"--weights: {bundle.path}: has a head of your own, which the backbone's weights "
            "lack; leave it out, and the golden pairs are compared"
        )
    classes = [o.shape[1] for o in bundle.outputs if o.kind in CLASSES]
    checkpoint = load_checkpoint(
        read_model(model or bundle.manifest.model.name).spec,
        weights,
        num_classes=classes[0] if classes else None,
    )
    spec = BuildSpec(
        model=checkpoint.spec,
        preprocess=bundle.preprocess,
        batch=bundle.input.shape[0],
        outputs=tuple(output.kind for output in bundle.outputs),
    )
    return checkpoint, spec
