import pytest

from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.images import random_images
from mnv4_tflite import target
from tests.stock import lowered_both_ways

pytestmark = pytest.mark.toolchain("tflite")


def test_speedups_change_no_operator(small, tmp_path):
    both = lowered_both_ways(target, small, "int8", tmp_path)
    fast, stock = (one.path for one in both)
    assert target.operators(fast) == target.operators(stock)
    assert fast.stat().st_size == stock.stat().st_size
    preprocess, outputs = small.spec.preprocess, []
    for one in both:
        with Worker("tflite", one.path) as worker:
            images = random_images(preprocess, 4, seed=0)
            found = run_pixels(worker, one.input, one.outputs, images, preprocess)
        outputs.append(found["logits"])
    assert sqnr_db(*outputs).min() > 100
