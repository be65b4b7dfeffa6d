"""The SoCs that LiteRT compiles for ahead of time, and the versions of Qualcomm's AI runtime."""

from __future__ import annotations

MANUFACTURER = "Qualcomm"
SOCS = {
    "SM8350": "v68",
    "SM8450": "v69",
    "SM8475": "v69",
    "SM8550": "v73",
    "SM8650": "v75",
    "SM8750": "v79",
    "SM8845": "v81",
    "SM8850": "v81",
}
"""The phones' SoCs of `ai_edge_litert.aot.vendors.qualcomm.target`, and the architecture of the NPU
of each, as Qualcomm's compiler reports it."""
LITERT_QAIRT = "2.50.0"
"""The version of Qualcomm's AI runtime that LiteRT 2.3 brings to phones (QAIRT_URL in setup.py of
ai-edge-litert-sdk-qualcomm 2.3.0)."""


def release(qairt: str) -> tuple[int, ...]:
    """Returns the part of a version that decides who can read a program: (2, 50)."""
    return tuple(int(part) for part in qairt.split(".")[:2])
