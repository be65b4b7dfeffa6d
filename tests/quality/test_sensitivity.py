"""What blocks cost in integers, on trained weights."""

from pathlib import Path

import pytest
from PIL import Image

from mnv4_mobile.builder.cell import Options
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.model.grammar import read_model
from mnv4_mobile.progress import Progress
from mnv4_mobile.quality.figure import check_figure
from mnv4_mobile.quality.sensitivity import Judge, plot, sensitivity
from mnv4_mobile.recipe import Keep, load_recipe
from mnv4_mobile.records import replace
from tools.reference.sheet import read_sheet

DATA = Path(__file__).parents[1] / "data"
INT8 = replace(load_recipe("int8"), prepare=())


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for index, picture in enumerate(read_sheet(DATA / "reference_calibration.npz")[0][:80]):
        Image.fromarray(picture).save(folder / f"{index}.png")
    return Judge(
        read_model(str(DATA / "hybrid-narrow.yaml")).spec,
        str(DATA / "hybrid-narrow.safetensors"),
        INT8,
        Options(calibrate=str(folder)),
        images=16,
        progress=Progress(),
    )


@pytest.fixture(scope="module")
def found(judge):
    return sensitivity(judge, INT8, Progress())


def test_every_block_alone_costs_less_than_all(judge, found):
    assert {cost.block for cost in found.blocks} == {row.name for row in judge.spec.model.table()}
    assert found.images == 16
    assert 25 < found.total.sqnr_db < 36
    assert found.total.sqnr_db_p10 < found.total.sqnr_db - 2
    assert all(cost.alone.sqnr_db_p10 > found.total.sqnr_db_p10 for cost in found.blocks)
    assert sum(cost.noise_share for cost in found.blocks) == pytest.approx(1)


def test_the_blocks_that_cost_the_tail_most_come_first(found):
    tails = [cost.alone.sqnr_db_p10 for cost in found.blocks]
    assert tails == sorted(tails)
    assert found.blocks[0].block == "stages.1.0"
    assert [cost.alone.sqnr_db for cost in found.blocks] != sorted(
        cost.alone.sqnr_db for cost in found.blocks
    )


def test_what_is_kept_costs_nothing(judge):
    kept = replace(INT8, keep=Keep(modules=("stages.*", "head")))
    blocks = {cost.block for cost in sensitivity(judge, kept, Progress()).blocks}
    assert blocks == {"stem", "final"}


@pytest.mark.parametrize(("suffix", "start"), [(".html", b"<!doctype"), (".png", b"\x89PNG")])
def test_plots(found, tmp_path, suffix, start):
    path = tmp_path / f"plot{suffix}"
    check_figure(path)
    plot(found, path, "title")
    assert path.read_bytes().startswith(start)
    assert suffix != ".html" or b"stages.1.0" in path.read_bytes()


def test_plots_that_cannot_be_written(tmp_path):
    with pytest.raises(ConfigError, match=r"found 'plot\.gif', allowed: \.png"):
        check_figure(tmp_path / "plot.gif")
    with pytest.raises(ConfigError, match="no such folder"):
        check_figure(tmp_path / "nowhere" / "plot.png")


def test_recipes_that_are_not_simulated():
    with pytest.raises(ConfigError, match="must have static activations"):
        Judge(
            read_model("conv-small").spec,
            "random:0",
            load_recipe("int8-dynamic"),
            Options(calibrate="random"),
            progress=Progress(),
        )
