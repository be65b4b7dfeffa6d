"""Lowering with speedups and without, for a test of each target."""

from mnv4_mobile.images import random_images
from mnv4_mobile.program.export import export
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.target import completed


def lowered_both_ways(target, small, name, folder):
    """What becomes of the small network, with speedups and without."""
    recipe, found = load_recipe(name), []
    for stock in (False, True):
        spec = completed(small.spec, target, recipe, io="float32", options={"stock": stock})
        images = random_images(spec.preprocess, 4, seed=0)
        program = export(small.net, spec, target.form(spec, recipe))
        out = folder / f"{stock}{target.suffix}"
        found.append(target.lower(program, spec, recipe, images, out))
        assert found[-1].notes == ()
    return found
