"""The interpreter on compressed weights, against coremltools' own decompression."""

import pytest
import torch

from mnv4_coreml.mil import Program
from tests.coreml.packages import Layers, convert, sqnr

pytestmark = pytest.mark.toolchain("coreml")


@pytest.fixture(scope="session")
def layers(ct, tmp_path_factory):
    """The image, and the MLModel for each deployment target."""
    torch.manual_seed(0)
    module, image = Layers(), torch.randn(1, 16, 6, 6)
    folder = tmp_path_factory.mktemp("layers")
    return image.numpy(), {
        target: convert(ct, folder, module, image, target, "FLOAT32")[1]
        for target in ("iOS16", "iOS18")
    }


def quantize(co, model, joint=False, **options):
    config = co.OptimizationConfig(co.OpLinearQuantizerConfig(weight_threshold=64, **options))
    return co.linear_quantize_weights(model, config, joint_compression=joint)


def palettize(co, model, joint=False, **options):
    config = co.OptimizationConfig(co.OpPalettizerConfig(weight_threshold=64, **options))
    return co.palettize_weights(model, config, joint_compression=joint)


def prune(co, model):
    config = co.OpMagnitudePrunerConfig(weight_threshold=64, target_sparsity=0.5)
    return co.prune_weights(model, co.OptimizationConfig(config))


COMPRESSIONS = {
    "affine_int8": ("iOS16", lambda co, m: quantize(co, m)),
    "affine_uint8": ("iOS16", lambda co, m: quantize(co, m, mode="linear", dtype="uint8")),
    "lut_6": ("iOS16", lambda co, m: palettize(co, m, mode="uniform", nbits=6)),
    "sparse": ("iOS16", prune),
    "int8_18": ("iOS18", lambda co, m: quantize(co, m, mode="linear")),
    "int4_block": (
        "iOS18",
        lambda co, m: quantize(co, m, dtype="int4", granularity="per_block", block_size=8),
    ),
    "lut_3": ("iOS18", lambda co, m: palettize(co, m, mode="uniform", nbits=3)),
    "lut_4_grouped": (
        "iOS18",
        lambda co, m: palettize(
            co, m, mode="uniform", nbits=4, granularity="per_grouped_channel", group_size=8
        ),
    ),
    "lut_vector": ("iOS18", lambda co, m: palettize(co, m, nbits=4, cluster_dim=2)),
    "sparse_18": ("iOS18", prune),
    "sparse_int8": ("iOS18", lambda co, m: quantize(co, prune(co, m), joint=True)),
    "sparse_lut": (
        "iOS18",
        lambda co, m: palettize(co, prune(co, m), joint=True, mode="uniform", nbits=4),
    ),
}


@pytest.mark.parametrize("name", COMPRESSIONS)
def test_compressed_weights_agree_with_coremltools(ct, layers, tmp_path, name):
    """The reference is the same package after coremltools' own decompression."""
    import coremltools.optimize.coreml as co

    image, models = layers
    target, compress = COMPRESSIONS[name]
    compressed = compress(co, models[target])
    compressed.save(str(tmp_path / "small.mlpackage"))
    co.decompress_weights(compressed).save(str(tmp_path / "dense.mlpackage"))
    small, dense = (Program(tmp_path / f"{kind}.mlpackage") for kind in ("small", "dense"))
    assert any(key.startswith("constexpr_") for key in small.operators())
    assert not any(key.startswith("constexpr_") for key in dense.operators())
    (found,), (expected,) = (p({"image": image}).values() for p in (small, dense))
    assert sqnr(expected, found) > 120
