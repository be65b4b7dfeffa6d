"""JSON Schemas and the page of the bundle format are those of the records."""

import re

import pytest

from tools import schemas

FILES = {path.name: (path, text) for path, text in schemas.files().items()}


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_up_to_date(name):
    path, text = FILES[name]
    assert path.read_text("utf-8") == text, "python -m tools.schemas"


def test_every_key_stands_in_the_page_and_in_the_schema():
    rows = re.findall(r"^\| `([\w.\[\]*]+)` \| (.*?) \| (.*?) \|", schemas.PAGE.read_text(), re.M)
    keys = {key for key, _, _ in rows}
    assert len(keys) == len(rows) > 70
    assert all(kind and meaning.endswith(".") for _, kind, meaning in rows)
    found = schemas.schema("manifest")
    assert keys == set(_keys(found, found, ""))
    folder = schemas.ROOT / "mnv4_mobile/schema"
    assert {path.name for path in folder.iterdir()} == {f"{n}.schema.json" for n in schemas.SCHEMAS}


def _keys(part, top, prefix):
    """The keys of a schema in the notation of the page."""
    if "$ref" in part:
        part = top["$defs"][part["$ref"].rpartition("/")[2]]
    for choice in part.get("anyOf", ()):
        yield from _keys(choice, top, prefix)
    for name, inner in part.get("properties", {}).items():
        yield f"{prefix}{name}"
        yield from _keys(inner, top, f"{prefix}{name}.")
    if isinstance(part.get("items"), dict):
        yield from _keys(part["items"], top, f"{prefix.removesuffix('.')}[].")
    if isinstance(part.get("additionalProperties"), dict):
        yield from _keys(part["additionalProperties"], top, f"{prefix}*.")
