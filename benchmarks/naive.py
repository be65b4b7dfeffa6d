"""Exports timm's network as it is through the same toolchains, as people do today.

    python -m benchmarks.naive conv-small,hybrid-medium executorch,tflite fp32,int8 -o out/naive

The weights are those of our `random:0`, under timm's names. int8 is each toolchain's own default:
XNNPACKQuantizer with its histogram observers, ai-edge-quantizer with its own calibrator, and for
Core ML coremltools' int8 weights in float16. Core AI's int8 and 4-bit palettes are those of
coreai-opt, which is no dependency of this project: install it beside.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mnv4_mobile.images import Preprocess, normalise, random_images
from mnv4_mobile.model.grammar import load_model
from mnv4_mobile.model.key_maps import KEY_MAPS
from mnv4_mobile.model.weights import load_checkpoint

TARGETS = {"executorch": ".pte", "tflite": ".tflite", "coreml": ".mlpackage", "coreai": ".aimodel"}
IMAGES = 8
"""The number of images that calibrate int8; the latency does not depend on it."""


def network(name: str, weights: str = "random:0") -> nn.Module:
    """Returns timm's network of a shipped configuration, with the weights of our checkpoint.

    timm's convolutional variants have no layer scale: their last batch norms are scaled instead,
    which computes the same.
    """
    import timm

    checkpoint = load_checkpoint(load_model(name), weights)
    assert checkpoint.spec.head is not None
    model: nn.Module = timm.create_model(
        f"mobilenetv4_{name.replace('-', '_')}", num_classes=checkpoint.spec.head.num_classes
    ).eval()
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    spec, state = checkpoint.spec, dict(checkpoint.state)
    if not any(key.endswith("layer_scale.gamma") for key in shapes):
        spec = replace(spec, layer_scale=None)
        for key in [key for key in state if key.endswith("layer_scale.gamma")]:
            gamma, block = state.pop(key), key.removesuffix("layer_scale.gamma")
            for leaf in ("weight", "bias"):
                state[f"{block}project.norm.{leaf}"] = state[f"{block}project.norm.{leaf}"] * gamma
    (timm,) = (one for one in KEY_MAPS if one.source == "timm")
    modules = timm.modules(spec)
    renamed = {}
    for ours, tensor in state.items():
        module, _, leaf = ours.rpartition(".")
        theirs = f"{modules[module]}.{leaf}"
        renamed[theirs] = tensor.reshape(shapes[theirs])
    model.load_state_dict(renamed)
    return model.requires_grad_(False)


def inputs(name: str, count: int) -> Iterator[Tensor]:
    """Yields random images (1, 3, H, W), normalised."""
    preprocess = Preprocess(size=load_model(name).input_size)
    for seed in range(count):
        yield torch.from_numpy(normalise(random_images(preprocess, 1, seed), preprocess))


def lower(name: str, target: str, recipe: str, out: Path, images: int = IMAGES) -> None:
    """Writes an artifact as the toolchain's own documentation makes it.

    Args:
        name: A shipped configuration that timm has.
        target: One of `TARGETS`.
        recipe: `fp32`, `fp16` or `int8`; float16 is requested in each toolchain's own way.
        out: The path of the artifact.
        images: The number of images that calibrate int8.
    """
    convert(
        network(name), list(inputs(name, images if recipe == "int8" else 1)), target, recipe, out
    )


def convert(model: nn.Module, images: list[Tensor], target: str, recipe: str, out: Path) -> None:
    """Writes an artifact of any module with one input and one output.

    Args:
        model: The module, in inference mode.
        images: Normalised images (1, 3, H, W): those that calibrate int8, otherwise one.
        target: One of `TARGETS`.
        recipe: `fp32`, `fp16` or `int8`; for Core AI also `palettize-4`.
        out: The path of the artifact.
    """
    paths = {"executorch": _executorch, "tflite": _tflite, "coreml": _coreml, "coreai": _coreai}
    with torch.no_grad():
        paths[target](model, images, recipe, out)


def _executorch(model: nn.Module, images: list[Tensor], recipe: str, out: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    example = (images[0],)
    if recipe == "fp16":
        model, example = model.half(), (images[0].half(),)
    program = torch.export.export(model, example)
    if recipe == "int8":
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        quantizer = XNNPACKQuantizer()
        quantizer.set_global(get_symmetric_quantization_config(is_per_channel=True))
        graph: Any = prepare_pt2e(program.module(), quantizer)
        for image in images:
            graph(image)
        program = torch.export.export(convert_pt2e(graph), example)
    edge = to_edge_transform_and_lower(
        program,
        partitioner=[XnnpackPartitioner()],
        # Only so that our session can open it; they cost no time in `forward`.
        constant_methods={"get_input_names": ["image"], "get_output_names": ["logits"]},
    )
    out.write_bytes(edge.to_executorch().buffer)


def _tflite(model: nn.Module, images: list[Tensor], recipe: str, out: Path) -> None:
    import litert_torch

    litert_torch.convert(model, (images[0],)).export(str(out))
    if recipe == "fp32":
        return
    from ai_edge_quantizer import quantizer
    from ai_edge_quantizer import recipe as recipes

    if recipe == "fp16":
        quantize = quantizer.Quantizer(str(out), _FLOAT16)
        result = quantize.quantize()
    else:
        quantize = quantizer.Quantizer(str(out), recipes.static_wi8_ai8())
        data = [{"args_0": image.numpy()} for image in images]
        result = quantize.quantize(quantize.calibrate({"serving_default": data}))
    result.export_model(str(out), overwrite=True)


# ai-edge-quantizer's own way to float16 weights.
_FLOAT16 = [
    {
        "regex": ".*",
        "operation": "*",
        "algorithm_key": "float_casting",
        "op_config": {
            "weight_tensor_config": {"num_bits": 16, "dtype": "FLOAT"},
            "compute_precision": "FLOAT",
            "explicit_dequantize": True,
        },
    }
]


def _coreml(model: nn.Module, images: list[Tensor], recipe: str, out: Path) -> None:
    import coremltools as ct

    program = torch.export.export(model, (images[0],)).run_decompositions({})
    precision = ct.precision.FLOAT32 if recipe == "fp32" else ct.precision.FLOAT16
    package = ct.convert(program, compute_precision=precision, skip_model_load=True)
    if recipe == "int8":
        # Only weights: to quantize activations takes predictions, and so macOS.
        weights = ct.optimize.coreml.OpLinearQuantizerConfig(mode="linear_symmetric")
        config = ct.optimize.coreml.OptimizationConfig(global_config=weights)
        package = ct.optimize.coreml.linear_quantize_weights(package, config=config)
    package.save(str(out))


def _coreai(model: nn.Module, images: list[Tensor], recipe: str, out: Path) -> None:
    from coreai_torch import TorchConverter, get_decomp_table

    example = (images[0],)
    if recipe == "fp16":
        model, example = model.half(), (images[0].half(),)
    elif recipe == "int8":
        from coreai_opt.quantization import Quantizer

        quantizer = Quantizer(model)
        graph = quantizer.prepare(example)
        with quantizer.calibration_mode():
            for image in images:
                graph(image)
        model = quantizer.finalize()
    elif recipe == "palettize-4":
        from coreai_opt.palettization import KMeansPalettizer, KMeansPalettizerConfig

        palettizer = KMeansPalettizer(model, KMeansPalettizerConfig.presets.w4())
        palettizer.prepare(example)
        model = palettizer.finalize()
    program = torch.export.export(model, example).run_decompositions(get_decomp_table())
    converter = TorchConverter()
    converter.add_exported_program(program, input_names=["image"], output_names=["logits"])
    converter.to_coreai().save_asset(out)


def main() -> None:
    """Makes artifacts one after the other, as a script would."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models")
    parser.add_argument("targets")
    parser.add_argument("recipes")
    parser.add_argument("-o", "--out", type=Path, required=True, help="A folder.")
    parser.add_argument(
        "--images", type=int, default=IMAGES, help="Number of images that calibrate int8."
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for model in arguments.models.split(","):
        for target in arguments.targets.split(","):
            for recipe in arguments.recipes.split(","):
                path = artifact(arguments.out, model, target, recipe)
                lower(model, target, recipe, path, arguments.images)


def artifact(folder: Path, model: str, target: str, recipe: str) -> Path:
    """Returns the path of an artifact."""
    return folder / f"{model}-{recipe}-naive{TARGETS[target]}"


if __name__ == "__main__":
    main()
