"""Writes the plots of commands to files."""

from __future__ import annotations

import io
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mnv4_mobile.errors import ConfigError, ToolchainError, unknown
from mnv4_mobile.files import check_file, write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf", ".html")
"""Suffixes of the files that `write_figure` writes."""
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.1rem .8rem;text-align:right}"
    "td:first-child,th:first-child{text-align:left}svg{max-width:100%;height:auto}"
)


def check_figure(path: Path) -> None:
    """Refuses a file that `write_figure` cannot write, before any work.

    Raises:
        MobileError: The suffix is another one, or the file cannot be written.
        ToolchainError: matplotlib is not installed.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(unknown("--out", path.name, SUFFIXES))
    if find_spec("matplotlib") is None:
        raise ToolchainError("--out needs matplotlib: pip install matplotlib")
    check_file(path)


def write_figure(figure: Figure, path: Path, title: str, body: str = "") -> None:
    """Writes a figure to a file that `check_figure` accepts.

    Args:
        figure: The figure.
        path: The file.
        title: The title of an HTML page.
        body: HTML to show below the figure, on a page only.
    """
    suffix = path.suffix.lower()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg" if suffix == ".html" else suffix[1:], dpi=150)
    data = buffer.getvalue()
    if suffix == ".html":
        head = (
            '<!doctype html><meta charset="utf-8">'
            f"<title>{escape(title)}</title><style>{_STYLE}</style>"
        )
        data = head.encode() + data[data.index(b"<svg") :] + body.encode()
    write_bytes(path, data)
