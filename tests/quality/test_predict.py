"""Predictions for many images, and for files with strange names."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.images import random_images
from mnv4_mobile.quality.predict import load

pytestmark = pytest.mark.toolchain("tflite")


class Counted(list):
    """A list that keeps how many items were asked for at a time."""

    def __init__(self, *items):
        super().__init__(*items)
        self.asked = []

    def __getitem__(self, index):
        found = super().__getitem__(index)
        self.asked.append(len(found))
        return found


def test_images_are_read_a_few_at_a_time(demo_bundle):
    bundle = demo_bundle("tflite")
    pictures = Counted(random_images(bundle.preprocess, 37, 0))
    with load(bundle) as model:
        found = model.run(pictures)
        assert pictures.asked == [16, 16, 5]
        assert len(found["logits"]) == 37
        np.testing.assert_array_equal(found["logits"][17:18], model.run(pictures[17:18])["logits"])
        best = model.classify(pictures, top=1)
        assert [p.index for (p,) in best] == found["logits"].argmax(1).tolist()
        with pytest.raises(ConfigError, match="no image given"):
            model.run([])


def test_names_that_are_not_text(demo_bundle, tmp_path, mnv4):
    bundle = demo_bundle("tflite")
    folder = tmp_path / os.fsdecode(b"d\xff")
    folder.mkdir()
    for index in range(3):
        picture = random_images(bundle.preprocess, 1, index)[0]
        Image.fromarray(picture).save(folder / os.fsdecode(b"\xfe%d.png" % index))
    image = folder / os.fsdecode(b"\xfe0.png")
    code, out, err = mnv4("predict", bundle.path, image)
    assert (code, r"\udcfe0.png" in out) == (0, True), err
    code, out, err = mnv4("predict", bundle.path, image, "--json")
    assert json.loads(out)["images"][0]["image"] == str(image)
    code, out, err = mnv4("predict", bundle.path, folder / os.fsdecode(b"no\xff.png"))
    assert (code, r"no\udcff.png: not readable as an image: No such file" in err) == (2, True)
    code, out, err = mnv4("evaluate", bundle.path, folder, "--store", tmp_path / "s.sqlite")
    assert code == 0, err
