"""The tool that writes what others published from the installed timm and from files."""

import json
import zipfile

import pytest

from mnv4_mobile.published import figures
from tools import published

PERF = """
precisions:
  w8a8:
    components:
      MobileNet-v4:
        performance_metrics:
          Samsung Galaxy S99: &figures
            onnx: {inference_time_milliseconds: 0.5, layer_counts: {npu: 3, total: 3}}
            tflite: {inference_time_milliseconds: 0.25, layer_counts: {npu: 2, total: 2}}
          Copied Board: *figures
supported_devices: [Samsung Galaxy S99, Samsung Galaxy S99 Ultra, Copied Board]
"""
NUMERICS = """
metrics:
- metric_name: Top-1 Accuracy
  num_partial_samples: 1000
  device_metric: {Samsung Galaxy S99: {w8a8: {tflite: {partial_metric: 77.0}}}}
"""
CHIPS = """
chipsets:
  a: {aliases: [qualcomm-a, sm9999-ac], soc_model: 7}
  b: {aliases: [qualcomm-qcs9999], soc_model: 7}
devices:
  Samsung Galaxy S99: {chipset: a}
  Samsung Galaxy S99 Ultra: {chipset: a}
  Copied Board: {chipset: b, reference_chipset: a}
"""


@pytest.mark.slow
@pytest.mark.package("timm")
def test_the_checkpoints_are_those_of_the_installed_timm():
    made = published.text(published.timm_checkpoints())
    assert made == published.CHECKPOINTS.read_text("utf-8"), "run: python -m tools.published"


def test_the_figures_have_the_tools_form():
    assert published.text(figures()) == published.FIGURES.read_text("utf-8")


def test_figures_come_out_of_ai_hubs_wheel(tmp_path):
    wheel = tmp_path / "qai_hub_models-9.8.7-py3-none-any.whl"
    folder = "qai_hub_models/models/mobilenet_v4"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{folder}/perf.yaml", PERF)
        archive.writestr(f"{folder}/numerics.yaml", NUMERICS)
        manifest = json.dumps({"technical_details": {"Input resolution": "224x224"}})
        archive.writestr(f"{folder}/manifest.yaml", manifest)
        archive.writestr("qai_hub_models/devices_and_chipsets.yaml", CHIPS)
    found = published.ai_hub(figures(), wheel)
    (hub,) = (one for one in found.publications if one.name == "Qualcomm AI Hub")
    assert hub.title == "Qualcomm AI Hub Models 9.8.7, models/mobilenet_v4"
    # Copies of another device's figures are left out; the runtime that is shown first comes first.
    assert [(one.device, one.runtime, one.precision, one.ms) for one in hub.latencies] == [
        ("Galaxy S99", "LiteRT", "int8", 0.25),
        ("Galaxy S99", "ONNX Runtime", "int8", 0.5),
    ]
    assert [(one.runtime, one.top1) for one in hub.accuracies] == [("LiteRT", 77.0)]
    device = found.devices["Galaxy S99"]
    assert device.names == ("Galaxy S99",)
    assert device.socs == ("SM9999", "QCS9999")
    assert device.like == ("Galaxy S99 Ultra", "Copied Board")


def test_accuracies_come_out_of_timms_table(tmp_path):
    table = tmp_path / "results-imagenet.csv"
    table.write_text(
        "model,img_size,top1,top5\n"
        "mobilenetv4_conv_small.x,256,71.5,90\n"
        "mobilenetv4_conv_small.x,224,70.25,90\n"
        "resnet50,224,80,95\n"
    )
    found = published.timm_accuracies(figures(), table)
    (timm,) = (one for one in found.publications if one.name == "timm")
    assert [(one.model, one.size, one.top1) for one in timm.accuracies] == [
        ("mobilenetv4_conv_small.x", 224, 70.25),
        ("mobilenetv4_conv_small.x", 256, 71.5),
    ]
