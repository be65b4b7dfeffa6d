"""The cases that all languages follow are what the norm in Python gives."""

import pytest

from tools import golden


@pytest.mark.parametrize("name", golden.files())
def test_the_files_are_up_to_date(name):
    found = (golden.FOLDER / name).read_text("utf-8")
    assert found == golden.text(golden.files()[name]), "python -m tools.golden"
