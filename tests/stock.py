"""Lowering with speedups and without, for a test of each target."""

from mnv4_mobile.bundle.parity import sqnr_db
from mnv4_mobile.bundle.worker import Worker, run_pixels
from mnv4_mobile.images import random_images
from mnv4_mobile.program.export import export
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import completed


def lowered_both_ways(target, small, name, folder):
    """The artifacts of the small network, with speedups and without, and how they agree in dB."""
    recipe, paths, outputs = load_recipe(name), [], []
    for stock in (False, True):
        spec = completed(small.spec, target, recipe, io="float32", options={"stock": stock})
        images = random_images(spec.preprocess, 4, seed=0)
        program = export(small.net, spec, target.form(spec, recipe))
        out = folder / f"{stock}{target.suffix}"
        lowered = target.lower(program, spec, recipe, images, out)
        assert lowered.notes == ()
        with Worker(target.name, out) as worker:
            found = run_pixels(worker, lowered.input, lowered.outputs, images, spec.preprocess)
        paths.append(out)
        outputs.append(found["logits"])
    return paths, sqnr_db(*outputs).min()
