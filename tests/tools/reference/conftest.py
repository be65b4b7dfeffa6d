"""What the tests of the reference images share."""

import pytest

from tools.reference import draw


@pytest.fixture(scope="module", autouse=True)
def _few():
    """Fewer figures and less clutter, by the same code: all of them take seconds for each split."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "_SOURCES", 4)
        patch.setattr(draw, "_CLUTTER", 2)
        yield
    for made in (draw._figures, draw._backgrounds):
        made.cache_clear()
