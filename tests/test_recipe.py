"""Recipes are read strictly, and what contradicts itself is named."""

import pytest

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.recipe import Keep, load_recipe

DISTILLED = """
description: x
precision: float32
weights: {{bits: 8}}
activations: {{{0}}}
prepare: [distill]
distill: {1}
calibration: {{images: 100}}
gate: {{sqnr_db: 1}}
"""

ROUNDED = """
description: x
precision: float16
weights: {{{0}}}
prepare: [gptq]
calibration: {{images: 100}}
gate: {{sqnr_db: 1}}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ROUNDED.format("bits: 4, per: block, size: 32"), "prepare: gptq: only with integer weig"),
        (
            ROUNDED.format("form: palette, bits: 4, per: tensor, clustering: kmeans"),
            "prepare: gptq: only with",
        ),
        ("description: x\nprecision: int8\ngate: {sqnr_db: 1}\n", "precision: found 'int8', allo"),
        (
            "description: x\nprecision: float16\ngate: {sqnr: 1}\n",
            "gate.sqnr: unknown key, did you mean sqnr_db\\? allowed: sqn",
        ),
        ("description: x\nprecision: float16\n", r"gate: missing; .* gate: \{sqnr_db: 15\}"),
        (
            "description: x\nprecision: float16\ngate: {sqnr_db: 1}\nwhy: 1\n",
            "why: unknown key, allowed: name, ",
        ),
        (DISTILLED.format("mode: dynamic", "{}"), "prepare: distill: only with static activations"),
        (DISTILLED.format("mode: static", "{steps: 0}"), "distill.steps: found 0, must be a whole"),
        (
            DISTILLED.format("mode: static", "{rate: 2.0}"),
            "distill.rate: found 2.0, must be a numb",
        ),
        (DISTILLED.format("mode: static", "{pace: 2}"), "distill.pace: unknown key, allowed: st"),
    ],
)
def test_a_bad_recipe_is_named(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        load_recipe(str(path))
    assert str(error.value).startswith(str(path))


QUANTIZED = """
description: x
precision: float32
gate: {{sqnr_db: 1}}
{0}
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("keep: {depthwise: true}", "weights: missing: nothing is quantized without it"),
        ("weights: {bits: 6}", "weights.bits: found 6, allowed for integer: 8, 4"),
        ("weights: {bits: 5}", "weights.bits: found 5, allowed: 8, 6, 4"),
        (
            "weights: {bits: 8, per: group}",
            "weights.per with form integer: found 'group', allowed: tenso",
        ),
        ("weights: {bits: 4, per: block}", "weights.size: found ~, needed with per block or group"),
        ("weights: {bits: 4, size: 32}", "weights.size: found 32, needed with per block or group"),
        ("weights: {bits: 4, form: palette, per: tensor}", "weights.clustering: found ~, needed"),
        ("weights: {bits: 4}\nactivations: {mode: dynamic}", "activations: only with integer weig"),
        ("weights: {bits: 8}\nactivations: {mode: static}", "calibration: missing"),
        ("weights: {bits: 8}\ncalibration: {images: 9}", "calibration: only with static activati"),
        ("weights: {bits: 8}\ndistill: {steps: 9}", "distill: only with distill in prepare"),
        (
            "weights: {bits: 8}\nactivations: {mode: dynamic, symmetric: true}",
            "activations: bits, range, percentile and symmetric are only for mode static",
        ),
        (
            "weights: {bits: 8}\nactivations: {mode: static, bits: 16}",
            "activations.range: found 'image-percentile', must be minmax with 16 bits, which have",
        ),
        (
            "weights: {bits: 8}\nactivations: {mode: static, bits: 4}",
            "activations.bits: found 4, allowed: 8, 16",
        ),
        (
            "weights: {bits: 8}\nkeep: {npu: {int16: [stem]}}",
            "keep.int16: only with static activations of 8 bits",
        ),
        (
            "weights: {bits: 8}\nkeep: {tpu: {}}",
            "keep.tpu: unknown key, allowed: residual_additions",
        ),
        (
            "weights: {bits: 8}\nkeep: {npu: {npu: {}}}",
            "keep.npu.npu: unknown key, allowed: residu",
        ),
        ("name: other", "name: unknown key; the file's name is the recipe's"),
    ],
)
def test_what_does_not_fit_together_is_named(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(QUANTIZED.format(text))
    with pytest.raises(ConfigError) as error:
        load_recipe(str(path))
    assert str(error.value).startswith(f"{path}: {message}")


def test_what_is_kept_may_differ_by_unit(tmp_path):
    path = tmp_path / "mine.yaml"
    keep = "{after_pooling: true, modules: [stem], npu: {after_pooling: false, depthwise: true}}"
    path.write_text(QUANTIZED.format(f"weights: {{bits: 8}}\nkeep: {keep}"))
    recipe = load_recipe(str(path))
    assert recipe.on("cpu").keep == Keep(after_pooling=True, modules=("stem",))
    assert recipe.on("npu").keep == Keep(depthwise=True, modules=("stem",))
    with pytest.raises(ConfigError, match=r"keep\.modules: 'stem' matches no module"):
        recipe.check_keep(["head"])
