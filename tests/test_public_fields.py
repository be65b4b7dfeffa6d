"""Every field that the public names lead to is documented."""

import dataclasses
import inspect
import sys
from typing import get_args, get_type_hints

import msgspec
import pytest

import mnv4_mobile
from mnv4_mobile import records
from tools.field_tables import texts


def described(found):
    """The dataclasses and records that a function's or a class's annotations lead to."""
    known = {}

    def follow(kind):
        for part in get_args(kind):
            follow(part)
        if not inspect.isclass(kind) or not kind.__module__.startswith("mnv4_") or kind in known:
            return
        known[kind] = dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct)
        # Methods lead on as fields do.
        members = [f for n, f in vars(kind).items() if inspect.isfunction(f) and n[0] != "_"]
        for member in [kind, *members]:
            for hint in hints(member):
                follow(hint)

    for one in [found] if inspect.isclass(found) else hints(found):
        follow(one)
    return {kind for kind, has_fields in known.items() if has_fields}


def hints(found):
    module = sys.modules[found.__module__]
    try:
        return get_type_hints(found, vars(module), include_extras=True).values()
    except NameError:  # a name for type checkers only
        return ()


KINDS = sorted(
    {kind for name in mnv4_mobile.__all__ for kind in described(getattr(mnv4_mobile, name))}
    - {records.Record, records.Row},
    key=lambda kind: kind.__name__,
)


def test_the_public_names_lead_to_the_records():
    names = {kind.__name__ for kind in KINDS}
    assert {"Options", "Manifest", "TensorSpec", "Plan", "Samples", "Evaluation"} <= names


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_is_documented(kind):
    fields = dataclasses.fields if dataclasses.is_dataclass(kind) else msgspec.structs.fields
    assert {field.name for field in fields(kind)} <= set(texts(kind))
