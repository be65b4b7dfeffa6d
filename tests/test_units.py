"""Units, on a target that has two of them here, and whose distribution is somebody else's."""

import json

import numpy as np
import pytest
from PIL import Image

from mnv4_mobile import Options, build
from mnv4_mobile.builder.cell import key as key_of
from mnv4_mobile.builder.matrix import cells
from mnv4_mobile.bundle.folder import open_bundle
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.progress import SILENT
from mnv4_mobile.quality.verify import verify
from mnv4_mobile.testing import check_target

pytestmark = pytest.mark.toolchain("coreml")


def test_a_third_party_target_keeps_the_contract(chip, tmp_path, monkeypatch):
    monkeypatch.setattr(chip, "schemes", {"fp32"})
    folder = tmp_path / "contract"
    folder.mkdir()
    check_target(chip, folder)


@pytest.fixture
def bundle(chip, tmp_path):
    options = Options(units=("npu", "cpu"), options={"chip": {"soc": "b2", "stock": True}})
    (found,) = build(
        "conv-small-035", weights="demo", out=tmp_path / "out", targets=["chip"], options=options
    )
    return found


def test_units_in_build_verify_and_evaluate(bundle, mnv4, tmp_path):
    assert bundle.path.name == "conv-small-035-96x96-fp32-stock-b2-chip"
    assert bundle.artifact.name == "conv-small-035-96x96-fp32-stock-b2.chip"
    manifest = bundle.manifest
    assert manifest.options == {
        **{"min_ios": 16, "compute_unit": "cpu_and_ne"},
        **{"soc": "b2", "stock": True, "note": "none"},
    }
    assert manifest.requires == {"chip.soc": "b2"}
    assert manifest.versions["chip"] == "1.0"
    assert "executorch" not in manifest.versions
    parity = {unit: outputs["logits"].sqnr_db for unit, outputs in manifest.parity.items()}
    assert list(parity) == ["npu", "cpu"]
    assert parity["npu"] > parity["cpu"]
    assert 93 < parity["cpu"] < 95
    # The artifact inside stands for its bundle, and the first unit is what verification takes.
    again = verify(open_bundle(bundle.artifact))
    assert {unit: outputs["logits"].sqnr_db for unit, outputs in again.items()} == {
        "npu": parity["npu"]
    }
    code, out, _ = mnv4("verify", bundle.artifact, "--unit", "cpu", "--json")
    assert code == 0
    (found,) = json.loads(out)["bundles"]
    assert found["parity"]["cpu"]["logits"]["sqnr_db"] == parity["cpu"]
    code, out, err = mnv4("verify", bundle.path, "--unit", "cpu,gpu")
    assert (code, out) == (2, "")
    assert "unit: found 'gpu', which chip does not have on this machine; it has: npu, cpu" in err
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(3):
        values = np.random.default_rng(i).integers(0, 255, (96, 96, 3), np.uint8)
        Image.fromarray(values).save(pictures / f"{i}.png")
    code, out, _ = mnv4(
        *("evaluate", bundle.path, pictures, "--parent", bundle.artifact, "--unit", "npu,cpu"),
        *("--json", "--store", tmp_path / "x.sqlite"),
    )
    assert code == 0
    found = {one["unit"]: one["sqnr_db"] for one in json.loads(out)["evaluations"]}
    assert list(found) == ["npu", "cpu"]


def test_the_units_that_a_build_verifies_are_part_of_its_key(chip):
    def key(**options):
        chosen = [Options(**options)]
        found = cells(["conv-small-035"], "demo", ["chip"], ["fp32"], chosen, progress=SILENT)
        return key_of(found[0].ingredients())

    keys = [key(units=units) for units in ((), ("npu",), ("cpu",), ("npu", "cpu"))]
    assert keys[0] == keys[1]
    assert len({*keys, key(verify=False)}) == 4


@pytest.mark.usefixtures("chip")
def test_a_unit_that_a_target_lacks_is_refused_before_any_work():
    for targets in (["tflite"], ["chip", "tflite"]):
        with pytest.raises(ConfigError, match="unit: found 'npu', which tflite does not have on"):
            cells(
                *(["conv-small-035"], "demo", targets, ["fp32"], [Options(units=("npu",))]),
                progress=SILENT,
            )
