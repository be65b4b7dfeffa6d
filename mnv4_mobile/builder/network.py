"""Everything that the bundles of one network are made of and compared with, each made once."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mnv4_mobile.builder.cell import Cell, shown
from mnv4_mobile.builder.reference import checked, eager, golden_pixels, load_net
from mnv4_mobile.bundle.manifest import ModelEntry
from mnv4_mobile.files import Reader
from mnv4_mobile.images import Size
from mnv4_mobile.layers import OWN_HEAD
from mnv4_mobile.model.form import Form
from mnv4_mobile.program.export import export, rebuilt
from mnv4_mobile.program.head import load_head, with_head
from mnv4_mobile.program.operations import NAMELESS
from mnv4_mobile.progress import Progress
from mnv4_mobile.quantize.calibration import Calibration, choose_images
from mnv4_mobile.recipe import Gate, Keep, Recipe, Weights
from mnv4_mobile.records import replace

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from mnv4_mobile.model.net import MobileNetV4

Judged = tuple[npt.NDArray[np.uint8], dict[str, npt.NDArray[np.float32]]]
"""Images (N, H, W, 3) and the outputs for them by name."""


class Network:
    """A network with its weights, its reference outputs, exports and calibration images.

    Args:
        cell: Any of the cells that share the network; only model, weights and options matter.
        progress: Receives steps and notes.

    Raises:
        MobileError: The weights or options cannot be used.
    """

    def __init__(self, cell: Cell, progress: Progress) -> None:
        progress.step(f"{cell.model.name}: load the weights")
        from mnv4_mobile.model.weights import load_checkpoint

        self._progress = progress
        self.weights = cell.weights
        self._options = options = cell.options
        self.reader = Reader()
        """Reads all files that the bundles are made of."""
        checkpoint = load_checkpoint(
            cell.model, cell.weights, num_classes=options.num_classes, reader=self.reader
        )
        self.spec = spec = dataclasses.replace(
            options.build_spec(checkpoint.spec, checkpoint.preprocess, checkpoint.labels),
            licence=checkpoint.licence,
        )
        self.entry = ModelEntry(
            name=spec.model.name,
            config_sha256=spec.model.sha256(),
            weights=shown(cell.weights),
            weights_sha256=checkpoint.sha256,
            licence=checkpoint.licence,
        )
        alike = [
            name
            for name, tensor in checkpoint.state.items()
            if tensor.ndim == 4 and tensor.numel() > 1 and tensor.min() == tensor.max()
        ]
        if alike:
            progress.note(
                f"{self.entry.weights}: {len(alike)} tensors hold one value only, which training "
                f"does not give; the first is {alike[0]}"
            )
        self.net = load_net(checkpoint, spec)
        self._head = load_head(cell.head) if cell.head else None
        self._whole = with_head(self.net, self._head, spec.batch) if self._head else self.net
        self._prepared: dict[tuple[Recipe, Calibration], MobileNetV4] = {}
        self._programs: dict[tuple[Form, MobileNetV4, Size | None], ExportedProgram] = {}
        self._rounded: dict[
            tuple[ExportedProgram, Weights | None, Keep, Calibration], ExportedProgram
        ] = {}
        self._margins: dict[tuple[ExportedProgram, Calibration], dict[str, float]] = {}
        self._calibrations: dict[tuple[Size, int, int, int], Calibration] = {}
        self._resolved: dict[Recipe, Recipe] = {}
        self._judged: dict[Calibration, Judged] = {}

    @property
    def images(self) -> npt.NDArray[np.uint8]:
        """(N, H, W, 3) RGB pixels of the golden pairs, at the first input size."""
        return self.golden[self.spec.preprocess.size][0]

    @cached_property
    def golden(self) -> dict[Size, Judged]:
        """The golden images, and the PyTorch model's outputs for them, by input size."""
        self._progress.step(f"{self.entry.name}: run the PyTorch model")
        found = {}
        for size in self.spec.sizes:
            spec = self.spec.at(size)
            images = golden_pixels(spec, self._options.images, read=self.reader.read)
            found[size] = images, checked(eager(self._whole, images, spec), images, self.weights)
        return found

    def resolved(self, recipe: Recipe) -> Recipe:
        """Returns a recipe with `range: auto` replaced by the best rule for this network."""
        if recipe.activations is None or recipe.activations.range != "auto":
            return recipe
        if recipe not in self._resolved:
            from mnv4_mobile.builder.range_rule import DEFAULT, judge_rules, with_rule

            calibration = self.calibration(recipe)
            assert calibration is not None
            # Only distillation depends on the rule, and the default is nearly always kept.
            prepared = self.prepared(with_rule(recipe, DEFAULT), calibration)
            self._progress.step(f"{self.entry.name}: choose the rule of ranges")
            found = judge_rules(self.net, prepared, self.spec, recipe, calibration)
            self._progress.note(f"{recipe.name}: range: {found.text}")
            self._resolved[recipe] = with_rule(recipe, found.best)
        return self._resolved[recipe]

    def judged(self, calibration: Calibration) -> Judged:
        """Returns the held-out images, and the PyTorch model's outputs for them."""
        if calibration not in self._judged:
            pictures = calibration.held_out()
            expected = checked(eager(self._whole, pictures, self.spec), pictures, self.weights)
            self._judged[calibration] = pictures, expected
        return self._judged[calibration]

    @cached_property
    def layers(self) -> list[str]:
        """The names that recipes' patterns may match, as far as known before the export."""
        modules = [name for name, _ in self.net.named_modules()]
        if self._head:
            modules += [f"{OWN_HEAD}{name}" for name, _ in self._head.named_modules()]
        return [f"{module}{end}".lstrip(".") for module in modules for end in ("", *NAMELESS)]

    def prepared(self, recipe: Recipe, calibration: Calibration | None) -> MobileNetV4:
        """Returns the network as a recipe prepares it, before its weights are rounded."""
        preparation = _preparation(recipe)
        if not preparation.prepare or calibration is None:
            return self.net
        key = preparation, calibration
        if key not in self._prepared:
            from mnv4_mobile.quantize.prepare import prepared

            self._progress.step(f"{self.entry.name}: prepare the weights")
            self._prepared[key] = prepared(self.net, self.spec, recipe, calibration, self._progress)
        return self._prepared[key]

    def program(
        self,
        form: Form,
        recipe: Recipe,
        calibration: Calibration | None,
        size: Size | None = None,
    ) -> ExportedProgram:
        """Returns the deploy form, exported once for all targets and recipes that share it.

        Args:
            form: The form.
            recipe: The recipe that prepares the weights.
            calibration: Its images, of the first input size.
            size: One of several input sizes, to have a program for that size alone. Its weights are
                the same as those of the others.
        """
        net = self.prepared(recipe, calibration)
        key = form, net, size
        if key not in self._programs:
            self._progress.step(f"{self.entry.name}: export the deploy form")
            spec = self.spec if size is None else self.spec.at(size)
            self._programs[key] = export(net, spec, form, self._head)
        program = self._programs[key]
        if "gptq" not in recipe.prepare or calibration is None:
            return program
        if size is None:
            return self._with_rounded_weights(program, recipe, calibration)
        given = self.program(form, recipe, calibration).state_dict
        before = self._programs[form, net, None].state_dict
        changed = {name: value for name, value in given.items() if value is not before[name]}
        return rebuilt(program, state={**program.state_dict, **changed})

    def _with_rounded_weights(
        self, program: ExportedProgram, recipe: Recipe, calibration: Calibration
    ) -> ExportedProgram:
        """Returns a program with its weights rounded as a recipe says."""
        key = program, recipe.weights, recipe.keep, calibration
        if key not in self._rounded:
            from mnv4_mobile.quantize.rounding import rounded

            self._progress.step(f"{self.entry.name}: round the weights")
            self._rounded[key] = rounded(program, self.spec, recipe, calibration)
        return self._rounded[key]

    def margins(
        self, program: ExportedProgram, recipe: Recipe, calibration: Calibration | None
    ) -> dict[str, float]:
        """Returns the margin to float16's limit of each operation; none without `guard`."""
        if "guard" not in recipe.prepare or calibration is None:
            return {}
        key = program, calibration
        if key not in self._margins:
            from mnv4_mobile.quantize.guard import IMAGES, largest_sums, margins

            self._progress.step(f"{self.entry.name}: check the range of float16")
            sums = largest_sums(program, self.spec, islice(calibration, IMAGES))
            self._margins[key] = margins(sums)
        return self._margins[key]

    def calibration(self, recipe: Recipe, size: Size | None = None) -> Calibration | None:
        """Returns the calibration images of a recipe; None if it uses none or none were given.

        Args:
            recipe: The recipe.
            size: The input size; None for the first.

        Raises:
            MobileError: The images cannot be found or used.
        """
        if recipe.calibration is None or self._options.calibrate is None:
            return None
        spec = self.spec.at(size or self.spec.preprocess.size)
        numbers = recipe.calibration.images, recipe.calibration.seed, recipe.held_out
        chosen = spec.preprocess.size, *numbers
        if chosen not in self._calibrations:
            self._progress.step(f"{self.entry.name}: choose the calibration images")
            self._calibrations[chosen] = choose_images(
                self._options.calibrate,
                spec.preprocess,
                images=numbers[0],
                seed=numbers[1],
                held_out=numbers[2],
                progress=self._progress,
                reader=self.reader,
            )
        return self._calibrations[chosen]


def _preparation(recipe: Recipe) -> Recipe:
    """Returns the part of a recipe that affects preparation, so that recipes can share a result."""
    steps = tuple(step for step in recipe.prepare if step != "gptq")
    found = replace(recipe, name="", description="", prepare=steps, gate=Gate(sqnr_db=0))
    if "distill" not in steps:
        found = replace(found, activations=None, weights=None, keep=Keep())
    return found
