"""What the bundles of one network are made of and compared with, each part made once."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnv4_mobile.bundle import ModelEntry
from mnv4_mobile.calibration import Calibration, choose
from mnv4_mobile.cell import Cell, shown
from mnv4_mobile.labels import check_labels
from mnv4_mobile.progress import Progress
from mnv4_mobile.recipe import Recipe
from mnv4_mobile.reference import eager, export, golden_pixels, load_net
from mnv4_mobile.target import Layout

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class Source:
    """A network with its weights, its reference outputs, exports and calibration images.

    Args:
        cell: One of the cells that share it: model, weights and options count.
        progress: Is told what is made.

    Raises:
        MobileError: Weights or options that cannot be used.
    """

    def __init__(self, cell: Cell, progress: Progress) -> None:
        progress.step(f"{cell.model.name}: load the weights")
        from mnv4_mobile.model.weights import load_checkpoint

        self._progress = progress
        self._options = options = cell.options
        checkpoint = load_checkpoint(cell.model, cell.weights, num_classes=options.num_classes)
        for note in checkpoint.notes:
            progress.note(note)
        self.spec = spec = options.build_spec(
            checkpoint.spec, checkpoint.preprocess, checkpoint.labels
        )
        if spec.labels and spec.model.head:
            check_labels(spec.labels, spec.model.head.num_classes)
        self.entry = ModelEntry(
            name=spec.model.name,
            config_sha256=spec.model.sha256(),
            weights=shown(cell.weights),
            weights_sha256=checkpoint.sha256,
            licence=checkpoint.licence,
        )
        self.net = load_net(checkpoint, spec)
        self._programs: dict[tuple[Layout, object], ExportedProgram] = {}
        self._calibrations: dict[tuple[int, int], Calibration] = {}

    @cached_property
    def images(self) -> npt.NDArray[np.uint8]:
        """(N, H, W, 3) RGB pixels of the golden pairs."""
        return golden_pixels(self.spec, self._options.images)

    @cached_property
    def reference(self) -> dict[str, npt.NDArray[np.float32]]:
        """What the PyTorch model gives for them."""
        self._progress.step(f"{self.entry['name']}: run the PyTorch model")
        return eager(self.net, self.images, self.spec)

    def program(self, attention: Layout, recipe: Recipe) -> ExportedProgram:
        """The deploy form, exported once for all targets and recipes that share it."""
        calibration = self.calibration(recipe) if recipe.prepare else None
        key = attention, (recipe.prepare, calibration) if calibration else None
        if key not in self._programs:
            net = self.net
            if calibration:
                from mnv4_mobile.prepare import prepared

                self._progress.step(f"{self.entry['name']}: prepare for quantization")
                net = prepared(net, recipe, calibration)
            self._progress.step(f"{self.entry['name']}: export the deploy form")
            self._programs[key] = export(net, self.spec, attention)
        return self._programs[key]

    def calibration(self, recipe: Recipe) -> Calibration | None:
        """The images that a recipe asks for, if it asks for any.

        Raises:
            MobileError: There are none.
        """
        if not recipe.calibration_images or self._options.calibrate is None:
            return None
        chosen = recipe.calibration_images, recipe.calibration_seed
        if chosen not in self._calibrations:
            self._progress.step(f"{self.entry['name']}: choose the calibration images")
            self._calibrations[chosen] = choose(
                self._options.calibrate,
                self.spec.preprocess,
                images=chosen[0],
                seed=chosen[1],
                progress=self._progress,
            )
        return self._calibrations[chosen]
