"""Writes the report as one HTML file that needs nothing else.

`web/` has the sources of its script; `npm ci && npm run build` there writes `page.js`, which is
committed, so that nobody who installs this needs npm. Apache ECharts draws the charts (630 kB with
the parts used here). Vega-Lite (813 kB) and Plotly's basic bundle (1206 kB) are larger, Observable
Plot (302 kB) makes an SVG element for each of ten thousand points, and uPlot (53 kB) draws lines
only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.metadata import version
from importlib.resources import files
from string import Template
from typing import Any

# In a script element the parser reacts to "</script" and "<!--" only; both begin with one of these.
_ESCAPED = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def html(data: dict[str, Any]) -> str:
    """Returns the page for `page_data`. It may load nothing but its own script and style."""
    parts = {name: _part(f"page.{name}") for name in ("html", "css", "js")}
    policy = (
        f"default-src 'none'; script-src {_hash(parts['js'])}; style-src {_hash(parts['css'])}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return Template(parts["html"]).substitute(
        policy=policy,
        version=version("mnv4-mobile"),
        style=parts["css"],
        script=parts["js"],
        data=embedded(data),
    )


def embedded(data: object) -> str:
    """Returns JSON that cannot end the element that it is in, whatever names files have."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPED)


def _part(name: str) -> str:
    return (files("mnv4_mobile") / "measuring/report" / name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
