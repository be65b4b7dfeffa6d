"""The nearest published figure, and what does not fit it."""

import pytest
from records import ARTIFACT, DEVICE, PLAN, measurement

from mnv4_mobile.configs import shipped
from mnv4_mobile.measuring.results.doubts import MEANINGS, doubts_of_group
from mnv4_mobile.measuring.results.nearest import FIT, PRECISIONS, judge, nearest, of_device
from mnv4_mobile.recipe import load_recipe
from mnv4_mobile.records import replace

MEDIUM = replace(ARTIFACT, model="conv-medium")
S24 = replace(DEVICE, model="samsung SM-S921U1", soc="QTI SM8650")
S25 = replace(DEVICE, model="samsung Galaxy S25", soc="")
S23 = replace(DEVICE, model="SM-S911B", soc="")
PIXEL_6 = replace(DEVICE, model="Google Pixel 6", soc="Google Tensor")
LARGE = replace(ARTIFACT, model="conv-large", size=(384, 384))


def measured(device, artifact=MEDIUM, unit=None, **fields):
    return measurement(device=device, artifact=artifact, plan=replace(PLAN, unit=unit), **fields)


def found(device, artifact=MEDIUM, unit=None):
    near = nearest(measured(device, artifact, unit))
    return near and (near.latency.device, near.unit, near.match, near.latency.ms)


@pytest.mark.parametrize(
    ("device", "artifact", "unit", "expected"),
    [
        # By the chip: samsung SM-S921U1 is a Galaxy S24 with a Snapdragon, others have an Exynos.
        (S24, MEDIUM, "npu", ("Galaxy S24", "NPU", "chip", 0.297)),
        (S24, replace(MEDIUM, recipe="fp16"), "npu", ("Galaxy S24", "NPU", "chip", 0.802)),
        (S24, LARGE, "npu", ("iQOO 12", "NPU", "chip", 0.867)),
        # By the name, with the maker in front or not.
        (S25, MEDIUM, "npu", ("Galaxy S25", "NPU", "device", 0.241)),
        (PIXEL_6, ARTIFACT, None, ("Pixel 6", "CPU", "device", 2.4)),
        (
            replace(DEVICE, model="pixel 6", soc=""),
            ARTIFACT,
            None,
            ("Pixel 6", "CPU", "device", 2.4),
        ),
        # Its publisher gives the same figures for a device that was not measured.
        (
            replace(DEVICE, model="Xiaomi 12", soc=""),
            MEDIUM,
            "npu",
            ("Galaxy S22 5G", "NPU", "chip", 0.578),
        ),
        (
            replace(DEVICE, model="SM-S911B", soc=""),
            ARTIFACT,
            "gpu",
            ("Galaxy S23", "CPU", "device", 1.8),
        ),
        # By the class, the nearest generation.
        (
            replace(DEVICE, model="samsung SM-S711B", soc="QTI SM8475"),
            MEDIUM,
            "npu",
            ("Galaxy S22 5G", "NPU", "class", 0.578),
        ),
        (
            replace(DEVICE, model="iPhone 15 Pro", soc=""),
            replace(ARTIFACT, recipe="fp16"),
            None,
            ("iPhone 13", "Core ML", "class", 0.6),
        ),
        # A figure of another unit, where there is none of the same.
        (S24, MEDIUM, None, ("Galaxy S24", "NPU", "chip", 0.297)),
        # Nothing is near: another size, precision, network or kind of device.
        (S24, replace(MEDIUM, size=(192, 192)), "npu", None),
        (S24, replace(MEDIUM, size=(224, 256)), "npu", None),
        (S24, replace(MEDIUM, recipe="int8-dynamic"), "npu", None),
        (S24, replace(MEDIUM, recipe=None, model=None, size=None), "npu", None),
        (replace(DEVICE, model="Ryzen 7", soc="x86_64"), MEDIUM, None, None),
    ],
)
def test_the_nearest_figure(device, artifact, unit, expected):
    assert found(device, artifact, unit) == expected


def test_the_runtime_of_the_measurement_is_nearer():
    samples = replace(measured(S24).samples, versions={"runtime": "onnx runtime 1.32"})
    near = nearest(measured(S24, unit="npu", samples=samples))
    assert (near.latency.runtime, near.latency.ms) == ("ONNX Runtime", 0.426)


def test_a_figure_is_shown_with_its_source():
    near = nearest(measured(S24, unit="npu"))
    assert str(near) == (
        "conv-medium 224 px, int8, NPU, LiteRT, Galaxy S24 (the same chip): "
        "Qualcomm AI Hub Models 0.65.0, models/mobilenet_v4, 2026-10-21"
    )
    assert near.facts["top1"] == 77.7
    assert near.facts["images"] == 1000
    assert {one.latency.device for one in of_device(S24)} == {"Galaxy S24", "iQOO 12"}


def test_classes_of_recipes_are_those_of_what_they_compute():
    for name in shipped("recipes"):
        recipe = load_recipe(name)
        # Nobody publishes latencies with activations of 16 bits.
        kind = {"fp32": "float", "fp16": "float", "int8": "int8"}.get(recipe.scheme)
        assert PRECISIONS.get(name) == kind, name


@pytest.mark.parametrize(
    ("device", "artifact", "unit", "ms", "expected"),
    [
        (
            S25,
            MEDIUM,
            "npu",
            0.964,
            "4.0 times slower than the published NPU figure of this device: it probably ran on "
            "the CPU",
        ),
        (
            S24,
            MEDIUM,
            "npu",
            2.97,
            "10.0 times slower than the published NPU figure of the same chip: it probably ran on "
            "the CPU",
        ),
        (
            replace(DEVICE, model="iPhone14,5", soc=""),
            replace(ARTIFACT, recipe="fp16"),
            None,
            2.4,
            "4.0 times slower than the published Core ML figure of this device: it probably ran "
            "on the CPU",
        ),
        (
            PIXEL_6,
            ARTIFACT,
            None,
            24.0,
            "10.0 times slower than the published CPU figure of this device: it probably ran on "
            "slower cores, or without its delegate",
        ),
        (
            S25,
            MEDIUM,
            "npu",
            0.0482,
            "5.0 times faster than the published NPU figure of this device: check the network and "
            "the timer",
        ),
        (S25, MEDIUM, "npu", 0.241 * FIT * 0.99, None),
        (S25, MEDIUM, "npu", None, None),
        # The CPU is slower than an NPU, and several threads are faster than one.
        (S25, MEDIUM, "cpu", 5.0, None),
        (S25, MEDIUM, None, 5.0, None),
        (PIXEL_6, ARTIFACT, None, 0.6, None),
        # Another generation, or a browser, says nothing about this device.
        (replace(S24, soc="QTI SM8475"), MEDIUM, "npu", 50.0, None),
        (replace(PIXEL_6, id="browser:1234"), ARTIFACT, None, 24.0, None),
    ],
)
def test_what_does_not_fit(device, artifact, unit, ms, expected):
    assert judge(measured(device, artifact, unit), ms) == expected


def test_what_does_not_fit_is_a_doubt():
    slow = measured(S25, unit="npu", latencies=(0.964,) * 50)
    (doubt,) = doubts_of_group([slow])
    assert str(doubt) == f"published {judge(slow, 0.964)}"
    assert doubt.sentence == f"{MEANINGS['published']} ({judge(slow, 0.964)})"
    assert not doubts_of_group([measured(S25, unit="npu", latencies=(0.3,) * 50)])
