"""The names of the forms in which a network is exported; `deploy.py` has one function for each."""

from typing import Literal

Form = Literal["nchw", "nhwc"]
"""How attention orders its tensors: `nhwc` for runtimes that keep channels last (XNNPACK, LiteRT),
`nchw` for Core ML and Core AI. The wrong one costs a transpose around every product."""
