"""The programs that `mnv4 diff` compares: artifacts on their units, and what PyTorch computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.bundle.folder import Bundle
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.verify import read_checkpoint
from mnv4_mobile.recipe import Recipe, Rule, load_recipe
from mnv4_mobile.records import replace
from mnv4_mobile.target import check_units, completed, first_unit, load_target, require
from mnv4_mobile.tensors import Tensors, feed
from mnv4_mobile.units import Unit
from mnv4_mobile.watch import check_watchable

if TYPE_CHECKING:
    from torch import Tensor, fx, nn
    from torch.export import ExportedProgram

    from mnv4_mobile.model.net import MobileNetV4
    from mnv4_mobile.quantize.calibration import Calibration
    from mnv4_mobile.quantize.simulate import Simulation

Preparation = tuple[object, ...]
"""What decides the scales of channels: recipe and calibration images; empty if nothing does."""


class Side(Protocol):
    """One of the programs."""

    name: str
    executor: str
    """What runs it; empty if the name says so."""
    preparation: Preparation
    batch: int
    """The number of images must be a multiple of it."""
    reruns: bool
    """Whether layers can compute from given values."""

    def values(self, images: npt.NDArray[np.uint8], given: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Returns the value of each layer (N, C, H, W), float32, in the order in which they run.

        Args:
            images: (N, H, W, 3) RGB pixels after resizing.
            given: Values by layer, which the layers' readers read instead (see `Watch`).
        """


def preparation_of(bundle: Bundle) -> Preparation:
    """Returns what decided the scales of channels in a bundle."""
    calibration = bundle.manifest.calibration
    if calibration is None:
        return ()
    return bundle.manifest.recipe, calibration.dataset_sha256, calibration.seed


class ArtifactSide:
    """A bundle's artifact on a unit, in a process of its own."""

    reruns = True

    def __init__(self, bundle: Bundle, unit: Unit, worker: Worker, name: str) -> None:
        self.name = name
        self.executor = load_target(bundle.manifest.target).units[unit].name
        self.preparation = preparation_of(bundle)
        self.batch = bundle.input.shape[0]
        self._bundle, self._worker = bundle, worker

    def load(self) -> None:
        """Loads the artifact; refuses one that does not show the values of its layers."""
        self._worker.load_watch(self._bundle.convolutions)

    def values(self, images: npt.NDArray[np.uint8], given: Tensors) -> dict[str, npt.NDArray[Any]]:
        """See `Side.values`."""
        bundle, parts = self._bundle, []
        for start in range(0, len(images), self.batch):
            some = slice(start, start + self.batch)
            inputs = feed(bundle.input, images[some], bundle.preprocess)
            part = {layer: value[some] for layer, value in given.items()}
            parts.append(self._worker.watch(inputs, part))
        return {layer: np.concatenate([part[layer] for part in parts]) for layer in parts[0]}


@contextmanager
def artifact_sides(
    bundles: Sequence[Bundle], units: tuple[Unit, ...], threads: int
) -> Iterator[list[Side]]:
    """Loads every bundle on every unit, in processes of their own, and ends them all.

    Args:
        bundles: The bundles.
        units: The units to run each of them on; none runs each on the first one of its target.
        threads: Number of threads of each runtime.

    Raises:
        ConfigError: A target does not have one of the units.
        LoweringError: A target or an artifact does not show the values of layers.
        DeviceError: A runtime failed or died.
        ToolchainError: This machine lacks a target's toolchain, or what a unit needs.
    """
    for bundle in bundles:
        target = load_target(bundle.manifest.target)
        check_watchable(target)
        require(target)
        check_units(target, units)
    names = [bundle.manifest.id for bundle in bundles]
    with ExitStack() as stack:
        sides: list[ArtifactSide] = []
        for bundle in bundles:
            own = units or (first_unit(load_target(bundle.manifest.target)),)
            # Two folders may hold bundles of one name, such as a build of today and of last week.
            twice = names.count(bundle.manifest.id) > 1
            name = str(bundle.path) if twice else bundle.manifest.id
            for unit in own:
                worker = Worker(bundle.manifest.target, bundle.artifact, threads=threads, unit=unit)
                stack.enter_context(worker)
                on = f"{name} on {unit}" if len(own) > 1 else name
                sides.append(ArtifactSide(bundle, unit, worker, on))
        for side in sides:
            side.load()
        yield [*sides]


class _Kept:
    """Collects the values of layers, image by image, and gives others in their place."""

    def __init__(self, given: Tensors) -> None:
        self.found: dict[str, list[npt.NDArray[Any]]] = {}
        self._given = given

    def see(self, layer: str, value: Tensor) -> Tensor | None:
        """Keeps the value of a layer for one image, and returns what is given instead."""
        import torch

        kept = self.found.setdefault(layer, [])
        kept.append(value.numpy().copy())
        if layer not in self._given:
            return None
        return torch.from_numpy(np.ascontiguousarray(self._given[layer][len(kept) - 1][None]))

    def values(self) -> dict[str, npt.NDArray[Any]]:
        """Returns the values of all images."""
        return {layer: np.concatenate(values) for layer, values in self.found.items()}


class FoldedSide:
    """The deploy form, which artifacts are lowered from, in PyTorch."""

    name, executor = "PyTorch, folded", ""
    batch = 1
    reruns = True

    def __init__(self, program: ExportedProgram, spec: BuildSpec, preparation: Preparation) -> None:
        from mnv4_mobile.program.operations import layer_nodes

        self.preparation = preparation
        self.program, self.spec = program, spec
        self._layers = layer_nodes(program.graph)

    def values(self, images: npt.NDArray[np.uint8], given: Tensors) -> dict[str, npt.NDArray[Any]]:
        """See `Side.values`."""
        from mnv4_mobile.program.observe import observe

        kept = _Kept(given)

        def see(node: fx.Node, value: Tensor, _: tuple[Any, ...]) -> Tensor | None:
            return kept.see(self._layers[node], value)

        observe(self.program, self._layers, self.spec, images, see)
        return kept.values()


class SimulatedSide:
    """What a recipe's integers do to the deploy form, simulated in PyTorch."""

    name, executor = "simulation", ""
    batch = 1
    reruns = True

    def __init__(self, simulation: Simulation, preparation: Preparation) -> None:
        self.preparation = preparation
        self._simulation = simulation

    def values(self, images: npt.NDArray[np.uint8], given: Tensors) -> dict[str, npt.NDArray[Any]]:
        """See `Side.values`."""
        kept = _Kept(given)
        for image in images:
            self._simulation.watch(image[None], kept.see)
        return kept.values()


class EagerSide:
    """The trained network in PyTorch, before anything is folded.

    Queries, keys and values are left out, because the deploy form folds the norm before them and
    their scale into them. So is the pooling, which is not a module.
    """

    name, executor = "PyTorch, eager", ""
    batch = 1
    reruns = False
    preparation: Preparation = ()

    def __init__(self, net: MobileNetV4, spec: BuildSpec) -> None:
        self._net, self._spec = net, spec

    def values(self, images: npt.NDArray[np.uint8], given: Tensors) -> dict[str, npt.NDArray[Any]]:
        """See `Side.values`; `given` must be empty."""
        from mnv4_mobile.builder.reference import eager

        assert not given
        kept = _Kept(given)

        def keep(layer: str) -> Any:
            def hook(_: nn.Module, __: tuple[Tensor, ...], value: Tensor) -> None:
                kept.see(layer, value)

            return hook

        layers = _eager_layers(self._net)
        handles = [module.register_forward_hook(keep(layer)) for layer, module in layers]
        try:
            for image in images:
                eager(self._net, image[None], self._spec)
        finally:
            for handle in handles:
                handle.remove()
        return kept.values()


def _eager_layers(net: MobileNetV4) -> Iterator[tuple[str, nn.Module]]:
    """Yields the module of the trained network that returns what a layer of the deploy form does.

    Modules come in any order.
    """
    from torch import nn

    from mnv4_mobile.model.blocks import MMQA, UIR, ConvNorm, KeyValue

    inner = {
        part
        for block in net.modules()
        if isinstance(block, MMQA)
        for part in (block.query, *block.key.modules(), *block.value.modules())
    }
    scaled: dict[nn.Module, nn.Module] = {}
    for name, module in net.named_modules():
        if isinstance(module, UIR):
            if module.layer_scale is not None:
                scaled[module.project] = module.layer_scale
            if module.residual:
                yield f"{name}.add", module
        elif isinstance(module, MMQA):
            if module.layer_scale is not None:
                scaled[module.output] = module.layer_scale
            yield f"{name}.add", module
        elif isinstance(module, ConvNorm) and module not in inner:
            clamped = isinstance(module.act, nn.ReLU | nn.ReLU6)
            last = module.act if clamped else module.norm
            assert last is not None
            yield f"{name}.conv", scaled.get(module, last)
        elif isinstance(module, nn.Conv2d) and not name.endswith(".conv") and module not in inner:
            yield name, scaled.get(module, module)
        assert not isinstance(module, KeyValue) or module in inner


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What PyTorch computes with, as given on the command line."""

    weights: str
    model: str | None = None
    """The configuration. Default: the shipped one of the bundle's model name."""
    recipe: str | None = None
    """The recipe, if it has steps of preparation. Default: the shipped one of the bundle's name."""
    calibrate: str | None = None
    """The images that the bundle was calibrated with. None prepares and simulates nothing."""


def torch_sides(bundle: Bundle, origin: Origin, progress: Progress) -> list[Side]:
    """Returns what PyTorch computes that a bundle can be compared with; the deploy form first.

    Args:
        bundle: The bundle.
        origin: The weights, and how to prepare them.
        progress: Receives steps and notes.

    Raises:
        ConfigError: The recipe does not calibrate, or the images are not the bundle's.
        WeightsError: The checkpoint does not fit the model.
    """
    from mnv4_mobile.builder.reference import load_net
    from mnv4_mobile.program.export import export
    from mnv4_mobile.quantize.prepare import prepared
    from mnv4_mobile.quantize.simulate import Simulation

    progress.step("load the weights")
    loaded, spec = read_checkpoint(bundle, origin.weights, origin.model)
    target = load_target(bundle.manifest.target)
    recipe = load_recipe(origin.recipe or bundle.manifest.recipe)
    spec = completed(spec, target, recipe, options=bundle.manifest.options)
    recipe = recipe.on(target.made_for(spec))
    # Images are fed to all sides alike, whatever an artifact takes.
    spec = replace(spec, batch=1, input="float", io="float32")
    net = load_net(loaded, spec)
    trained, form, preparation = net, target.form(spec, recipe), EagerSide.preparation
    simulated: list[Side] = []
    if origin.calibrate is not None:
        recipe, calibration = _calibration(bundle, recipe, origin.calibrate, progress)
        preparation = preparation_of(bundle)
        progress.step("prepare the weights")
        net = prepared(net, spec, recipe, calibration, progress)
        if recipe.static:
            progress.step("simulate the recipe")
            simulation = Simulation(net, spec, recipe, batch=1)
            simulation.adopt(simulation.observe(calibration))
            simulated.append(SimulatedSide(simulation, preparation))
    progress.step("export the deploy form")
    folded = FoldedSide(export(net, spec, form), spec, preparation)
    return [folded, EagerSide(trained, spec), *simulated]


def _calibration(
    bundle: Bundle, recipe: Recipe, folder: str, progress: Progress
) -> tuple[Recipe, Calibration]:
    """Returns the images that a bundle was calibrated with, and its recipe with its range rule."""
    known = bundle.manifest.calibration
    if known is None or recipe.calibration is None:
        raise ConfigError(
            f"--calibrate: {bundle.path}: was built without calibration images; leave it out"
        )
    from mnv4_mobile.quantize.calibration import choose_images

    progress.step("choose the calibration images")
    calibration = choose_images(
        folder,
        bundle.preprocess,
        images=recipe.calibration.images,
        seed=recipe.calibration.seed,
        held_out=recipe.held_out,
        progress=progress,
    )
    if calibration.sha256() != known.dataset_sha256:
        raise ConfigError(
            f"--calibrate: {folder}: are not the images that {bundle.path} was calibrated with"
        )
    if recipe.activations is not None and known.range is not None:
        activations = replace(recipe.activations, range=cast(Rule, known.range))
        recipe = replace(recipe, activations=activations)
    return recipe, calibration
