"""The golden files that all languages follow are what the Python reference gives."""

import json

import pytest

from tools import golden

FILES = golden.files()
KINDS = ("manifest", "plan", "job", "result")


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_up_to_date(name):
    found = (golden.FOLDER / name).read_text("utf-8")
    assert found == FILES[name], "python -m tools.golden"


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_enough_documents_and_none_twice(kind):
    documents = json.loads((golden.FOLDER / f"documents/{kind}.json").read_text("utf-8"))
    accepted, refused = documents["accept"], documents["refuse"]
    assert len(accepted) >= 6
    assert len(refused) >= 20
    for key in ("name", "text"):
        found = [document[key] for document in accepted + refused]
        assert len(set(found)) == len(found)
