import pytest
import yaml
from PIL import Image

from mnv4_mobile import Options, build, load
from mnv4_mobile.errors import ConfigError, ParityError, WeightsError
from mnv4_mobile.images import random_images
from mnv4_mobile.model.grammar import read_model
from mnv4_mobile.quality.verify import verify
from tests.notes import Notes

pytestmark = pytest.mark.toolchain("tflite")

TINY = {
    "input_size": [64, 96],
    "model": {
        "task": "classification",
        "architecture": {
            "backbone": {
                "name": "mobilenetv4",
                "params": {
                    "stem_out_channel": 8,
                    "stem_kernel_size": 3,
                    "stem_stride": 2,
                    "final_conv_out_channel": 24,
                    "final_conv_kernel_size": 1,
                    "final_conv_stride": 1,
                    "norm_type": "batch_norm",
                    "act_type": "relu",
                    "return_stage_idx": [0, 1],
                    "layer_scale": None,
                },
                "stage_params": [
                    [["conv", 8, 3, 2]],
                    [["uir", 16, 32, True, 3, True, 3, 2], ["mmqa", 16, 32, 4, None, False, None]],
                ],
            }
        },
    },
}
TINY["model"]["architecture"]["backbone"]["stage_params"][1][1] += [None, 1]


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return str(path)


def test_every_output_of_a_batch_of_pixels(tiny, tmp_path):
    options = Options(
        outputs=("features", "embedding"),
        input="pixels",
        batch=2,
    )
    progress = Notes()
    (bundle,) = build(
        tiny,
        weights="random:1",
        out=tmp_path / "out",
        targets=["tflite", "tflite"],
        recipes=["fp16"],
        options=options,
        progress=progress,
    )
    assert bundle.path.name == "tiny-64x96-fp16-pixels-features-embedding-b2-tflite"
    assert "tiny.yaml: ignored keys: model.task" in progress.notes
    assert {o.name: (o.shape, o.layout) for o in bundle.outputs} == {
        "stage_0": ((2, 16, 24, 8), "nhwc"),
        "stage_1": ((2, 8, 12, 24), "nhwc"),
        "embedding": ((2, 24), None),
    }
    manifest = bundle.manifest
    assert manifest.preprocess.inside
    assert manifest.inputs[0].shape == (2, 64, 96, 3)
    assert set(manifest.parity["cpu"]) == {"stage_0", "stage_1", "embedding"}
    assert {layer.precision for layer in manifest.layers} == {"float16"}
    assert {layer.block for layer in manifest.layers} >= {"stem", "stages.1.1", "final"}
    again = verify(bundle, "random:1", model=tiny)["cpu"]
    assert min(parity.sqnr_db for parity in again.values()) > 40
    with load(bundle.path) as model:
        picture = random_images(bundle.preprocess, 1, seed=5)[0]
        found = model.run([picture, picture, picture])  # one more than a batch
        assert found["embedding"].shape == (3, 24)
        with pytest.raises(ConfigError, match=r"has no class output.*found: stage_0, stage_1, emb"):
            model.classify([picture])


def test_a_failed_gate_leaves_no_bundle_and_keeps_the_old_one(tiny, tmp_path):
    out = tmp_path / "out"
    arguments = {"weights": "random:0", "out": out, "targets": ["tflite"]}
    (old,) = build(tiny, **arguments, options=Options(verify=False))
    assert old.manifest.parity == {}
    assert {entry.source for entry in old.manifest.golden} == {"input", "eager"}
    strict = tmp_path / "fp32.yaml"
    strict.write_text(
        "description: more than float32 has\nprecision: float32\ngate: {sqnr_db: 200}"
    )
    with pytest.raises(ParityError, match=r"tiny-64x96-fp32-tflite: does not compute what"):
        build(tiny, **arguments, recipes=[str(strict)], force=True)
    assert [path.name for path in out.iterdir()] == [old.path.name]
    assert verify(old)["cpu"]["logits"].sqnr_db > 80


def test_weights_whose_own_outputs_are_not_finite_are_blamed(tiny, tmp_path):
    import torch
    from safetensors.torch import save_file

    from mnv4_mobile.model.random_weights import random_state

    state = random_state(read_model(tiny).spec, 0)
    state["final.norm.weight"] = torch.full_like(state["final.norm.weight"], 3e38)
    state["final.norm.running_var"] = torch.full_like(state["final.norm.running_var"], 1e-30)
    save_file(state, tmp_path / "wide.safetensors")
    weights = str(tmp_path / "wide.safetensors")
    with pytest.raises(WeightsError, match=f"^{weights}: the PyTorch model's output logits has"):
        build(tiny, weights=weights, out=tmp_path / "out", targets=["tflite"])
    assert not (tmp_path / "out").exists()


def test_too_few_pictures_for_the_golden_pairs(tiny, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    options = Options(images=folder)
    with pytest.raises(ConfigError, match=r"--images: .*: found 1 images, needs 4"):
        build(
            tiny,
            weights="random:0",
            out=tmp_path / "out",
            targets=["tflite"],
            options=options,
        )
    assert not (tmp_path / "out").exists()
