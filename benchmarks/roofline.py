"""Measures XNNPACK's peak on this machine, and how close artifacts come to it.

    python -m benchmarks.roofline [--threads 1,2] [BUNDLE...]

The peak is that of the fastest of several matrix products, which XNNPACK's fully-connected operator
runs in an ExecuTorch program. 1 x 1 convolutions, most of the network, run as the same operator.
numpy's BLAS stays 10 % below this peak.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.bundle.worker import Worker
from mnv4_mobile.layers import is_convolution
from mnv4_mobile.measuring.profile import profile_bundle

ROWS = 256  # pixels of a 16 x 16 map
WIDTHS = (256, 160, 640, 256, 512, 512, 96, 384)  # (rows, k) x (k, n) for all pairs of neighbours
RUNS = 100


def peak_gflops(threads: int = 1, *, int8: bool = False) -> float:
    """Returns the GOPS of the fastest matrix product, measured in a process of its own.

    Args:
        threads: Number of runtime threads.
        int8: Whether to use 8-bit activations and weights rather than float32.

    Raises:
        DeviceError: The runtime failed.
    """
    names = [f"product {i}" for i in range(len(WIDTHS) - 1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.pte")
        path.write_bytes(_program(int8))
        with Worker("executorch", path, threads=threads) as worker:
            x = np.ones((ROWS, WIDTHS[0]), np.float32)
            operators = worker.profile({"x": x}, names, RUNS)
    products = [operator.ms for operator in operators if is_convolution(operator.kind)]
    return max(
        2 * ROWS * k * n / ms / 1e6 for ms, (k, n) in zip(products, pairwise(WIDTHS), strict=True)
    )


@cache
def _program(int8: bool) -> bytes:
    """Returns the products as an ExecuTorch program."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    net = torch.nn.Sequential(*(torch.nn.Linear(k, n) for k, n in pairwise(WIDTHS))).eval()
    example = (torch.randn(ROWS, WIDTHS[0]),)
    with torch.no_grad():
        program = torch.export.export(net, example)
        if int8:
            program = torch.export.export(_quantized(program.module(), example), example)
        return bytes(
            to_edge_transform_and_lower(
                program,
                partitioner=[XnnpackPartitioner()],
                constant_methods={"get_input_names": ["x"], "get_output_names": ["y"]},
            )
            .to_executorch()
            .buffer
        )


def _quantized(graph: Any, example: tuple[Any]) -> Any:
    """Quantizes the products: static 8-bit activations, one weight scale per channel."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    config = get_symmetric_quantization_config(is_per_channel=True)
    prepared = prepare_pt2e(graph, XNNPACKQuantizer().set_global(config))
    prepared(*example)
    return convert_pt2e(prepared)


def main() -> None:
    """Prints the peaks, and which share of them float32 bundles reach."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bundles", nargs="*", type=Path, metavar="BUNDLE")
    parser.add_argument("--threads", default=f"1,{os.cpu_count()}")
    arguments = parser.parse_args()
    counts = sorted({int(count) for count in arguments.threads.split(",")})
    bundles = [open_bundle(path) for path in arguments.bundles]
    print("| threads | float32 GFLOP/s | int8 GOP/s |\n| --- | --- | --- |")
    peaks = {count: peak_gflops(count) for count in counts}
    for count in counts:
        print(f"| {count} | {peaks[count]:.0f} | {peak_gflops(count, int8=True):.0f} |", flush=True)
    if bundles:
        print("\n| bundle | threads | ms | GFLOP/s | of the peak |\n|" + " --- |" * 5)
    for bundle in bundles:
        for count in counts:
            found = profile_bundle(bundle, threads=count)
            assert found.total.macs is not None, f"{bundle.path}: not a shipped configuration"
            reached = 2 * found.total.macs / found.fastest_ms / 1e6
            print(
                f"| {bundle.manifest.id} | {count} | {found.fastest_ms:.2f} | {reached:.1f} | "
                f"{reached / peaks[count]:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
