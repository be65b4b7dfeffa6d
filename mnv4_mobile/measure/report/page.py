"""The report as one HTML file that needs nothing else.

`web/` has the sources of its script; `npm ci && npm run build` there writes `page.js`, which is
committed, so that nobody who installs this needs npm. Its charts are Apache ECharts: of the kept
libraries that draw all of these (630 kB with the parts used here; Vega-Lite 813 kB, Plotly's basic
bundle 1206 kB), the one that also draws ten thousand points on a canvas at once; Observable Plot
(302 kB) makes an SVG element of each, and uPlot (53 kB) draws lines only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.metadata import version
from importlib.resources import files
from string import Template
from typing import Any

# In a script's element only "</script" and "<!--" mean anything to the parser, and both begin so.
_ESCAPED = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"}


def html(data: dict[str, Any]) -> str:
    """The page of what `page_data` gives; all that it may load is its own script and style."""
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
    """JSON that cannot end the element it is in, whatever names files have."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(_ESCAPED)


def _part(name: str) -> str:
    return (files("mnv4_mobile") / "measure/report" / name).read_text("utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
