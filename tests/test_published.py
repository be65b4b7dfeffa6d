"""What others published: checkpoints, latencies and accuracies, with their sources."""

import json
from collections import Counter

import pytest

from mnv4_mobile.configs import shipped
from mnv4_mobile.errors import ConfigError
from mnv4_mobile.model.timm_names import shipped_name
from mnv4_mobile.published import Figures, accuracies_of, checkpoints, figures
from mnv4_mobile.records import decode, encode, plain


def publication(name):
    (found,) = (one for one in figures().publications if one.name == name)
    return found


def ms(publication_, **wanted):
    return [
        latency.ms
        for latency in publication_.latencies
        if all(getattr(latency, name) == value for name, value in wanted.items())
    ]


def test_every_source_is_named_with_its_date_and_licence():
    found = {one.name: (one.date, one.licence) for one in figures().publications}
    assert found == {
        "The paper": ("2024-04", None),
        "Qualcomm AI Hub": (
            "2026-10-21",
            "BSD-3-Clause, Copyright 2025 Qualcomm Technologies, Inc. and/or its subsidiaries",
        ),
        "MLPerf Mobile 5.0": ("2025-03-21", "Apache-2.0"),
        "MLPerf Mobile 4.0": ("2024-05-16", "Apache-2.0"),
        "MLPerf Mobile reference": ("2024-02-07", "Apache-2.0"),
        "timm": ("2025-10-30", "Apache-2.0"),
    }
    for one in figures().publications:
        assert one.url.startswith("https://")
        assert bool(one.latencies) == bool(one.latency), one.name
    assert "0.65.0" in publication("Qualcomm AI Hub").title


def test_figures_are_those_of_their_sources():
    """Figures that were read in the sources by hand."""
    hub = publication("Qualcomm AI Hub")
    phones = ("Galaxy S26", "Galaxy S25", "Galaxy S24", "Galaxy S22 5G")
    for phone, both in zip(
        phones, [[0.517, 0.219], [0.624, 0.241], [0.802, 0.297], [2.137, 0.578]], strict=True
    ):
        assert ms(hub, device=phone, runtime="LiteRT") == both
    assert ms(hub, device="Galaxy S24", runtime="ONNX Runtime", precision="int8") == [0.426]
    assert {(one.model, one.size, one.unit) for one in hub.latencies} == {
        ("conv-medium", 224, "npu")
    }
    assert ms(publication("The paper"), device="Pixel 4") == [2.4, 7.3, 20.8]
    assert ms(publication("MLPerf Mobile 4.0"), device="iQOO 12") == [0.867]


def test_accuracies_belong_to_what_was_timed():
    hub, paper = publication("Qualcomm AI Hub"), publication("The paper")
    found = {(one.precision, one.runtime): hub.accuracy(one).top1 for one in hub.latencies}
    assert found["float", "LiteRT"] == 78.1
    assert found["int8", "LiteRT"] == 77.7
    assert found["int8", "ONNX Runtime"] == 76.9
    assert {hub.accuracies[0].images, paper.accuracies[0].images} == {1000, 50_000}
    assert {paper.accuracy(one).top1 for one in paper.latencies if one.model == "conv-small"} == {
        73.8
    }
    mlperf = publication("MLPerf Mobile 4.0")
    found = {one.runtime: mlperf.accuracy(one).top1 for one in mlperf.latencies}
    assert found == {"SNPE": 82.14, "ENN": 81.56}


def test_no_figure_stands_twice():
    for one in figures().publications:
        for rows in (one.latencies, one.accuracies):
            keys = [encode({**plain(row), "ms": 0, "top1": 0}) for row in rows]
            assert max(Counter(keys).values(), default=1) == 1, one.name
    networks = {row.model for one in figures().publications for row in one.latencies}
    assert networks <= set(shipped("models"))


def test_a_figure_of_an_unknown_device_is_refused():
    document = plain(figures())
    document["publications"][0]["latencies"][0]["device"] = "Pixel 66"
    with pytest.raises(ConfigError) as error:
        decode(json.dumps(document), Figures, "published.json")
    assert str(error.value) == (
        "published.json: publications: The paper: found the device 'Pixel 66', which is not in "
        "devices"
    )


def test_every_checkpoint_is_supported():
    assert all(shipped_name(one.name) for one in checkpoints().checkpoints)


def test_checkpoints_have_their_published_accuracy():
    known = checkpoints()
    _, top1 = accuracies_of(known)
    assert top1["mobilenetv4_conv_small.e2400_r224_in1k"] == {224: 73.756, 256: 74.644}
    for one in known.checkpoints:
        sizes = {one.trained.size, *([one.test.size] if one.test else [])}
        # ImageNet-12k has other classes, so that there is no accuracy on ImageNet-1k.
        assert set(top1[one.name]) == (sizes if one.classes == 1000 else set()), one.name
