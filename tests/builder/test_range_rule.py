"""The rule of `range: auto`: judged on what is built, changed for a clear win alone."""

from pathlib import Path

import numpy as np
import pytest

from mnv4_mobile.build_spec import BuildSpec
from mnv4_mobile.builder.range_rule import DEFAULT, MARGIN, RULES, Judgement, judge_rules, with_rule
from mnv4_mobile.builder.reference import load_net
from mnv4_mobile.model.grammar import read_model
from mnv4_mobile.model.weights import load_checkpoint
from mnv4_mobile.quantize.prepare import prepared
from mnv4_mobile.recipe import load_recipe
from tools.reference.sheet import read_sheet

DATA = Path(__file__).parents[1] / "data"
INT8 = load_recipe("int8")
AUTO = with_rule(INT8, "auto")


def judgement(gain, *, spread=5.0, images=100):
    """Images of all qualities, and `minmax` better on them by `gain` in the mean."""
    random = np.random.default_rng(0)
    default = random.normal(35, 8, images)
    differences = random.normal(0, 1, images)
    differences = gain + spread * (differences - differences.mean()) / differences.std()
    ratios = {rule: default - 1 for rule in RULES}
    return Judgement(ratios=ratios | {DEFAULT: default, "minmax": default + differences})


@pytest.mark.parametrize(
    ("gain", "spread", "images", "best"),
    [
        (2.0, 5.0, 100, "minmax"),
        (1.4, 5.0, 100, DEFAULT),  # within three standard errors, 0.5 dB each
        (1.4, 5.0, 200, "minmax"),
        (MARGIN - 0.1, 0.1, 1000, DEFAULT),  # certain, and too little
        (-2.0, 5.0, 100, DEFAULT),
    ],
)
def test_only_a_clear_win_changes_the_rule(gain, spread, images, best):
    assert judgement(gain, spread=spread, images=images).best == best


def test_one_image_decides_nothing():
    ratios = {rule: np.array([30.0]) for rule in RULES} | {"minmax": np.array([90.0])}
    assert Judgement(ratios=ratios).best == DEFAULT


def test_the_judgement_in_words():
    assert judgement(2.0).text.startswith("minmax (image-percentile 35.")
    assert " dB on 100 images, minmax +2.0 ± 0.5, mse -1.0 ± 0.0" in judgement(2.0).text


class Pictures(list):
    """Decoded calibration images, and the held-out ones."""

    seed = 0

    def __init__(self, pictures, held, preprocess):
        super().__init__(pictures)
        self.held, self.preprocess = held, preprocess

    def others(self):
        return iter(self.held)


def chosen_and_unseen(net, spec, seen, others, held):
    """The rule chosen on the first held-out images, and what all reach on the rest."""
    calibration = Pictures(seen, others, spec.preprocess)
    found = judge_rules(net, prepared(net, spec, INT8, calibration), spec, AUTO, calibration)
    parts = (
        Judgement(ratios={rule: ratios[part] for rule, ratios in found.ratios.items()})
        for part in (slice(None, held), slice(held, None))
    )
    chosen, unseen = parts
    return chosen.best, unseen


@pytest.mark.slow
def test_the_default_stays_on_a_trained_hybrid(trained_hybrid):
    seen = read_sheet(DATA / "reference_calibration.npz")[0]
    others = read_sheet(DATA / "reference_evaluation.npz")[0]
    best, unseen = chosen_and_unseen(*trained_hybrid, seen, others[:112], 48)
    assert best == DEFAULT
    # All others are worse on images that no choice has seen.
    assert max(unseen.gain(rule)[0] for rule in RULES if rule != DEFAULT) < 0.3


@pytest.mark.slow
def test_another_rule_is_chosen_where_it_is_better(heldout):
    checkpoint = load_checkpoint(read_model("conv-small-035").spec, "demo")
    spec = BuildSpec(model=checkpoint.spec, preprocess=checkpoint.preprocess.completed((96, 96)))
    images = heldout[0][np.random.default_rng(0).permutation(400)]
    # A percentile leaves out two of 40 images, and what they show is not rare.
    net = load_net(checkpoint, spec)
    best, unseen = chosen_and_unseen(net, spec, images[:40], images[40:300], 160)
    assert best == "minmax"
    assert unseen.gain(best)[0] > 1.5
