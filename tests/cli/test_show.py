"""What all verbs print with."""

import pytest

from mnv4_mobile.cli.show import print_table
from mnv4_mobile.cli.steps import steps


@pytest.mark.parametrize("name", ["host:computer: x", "[bold]", "[/x]", "two  spaces"])
def test_names_are_printed_as_they_are(name, capfd):
    with steps(verbose=True) as progress:
        progress.step(name)
        progress.note(name)
        progress.update(f"{name}, once more")
    print_table(["name", ">number"], [[name, "1"]])
    out, err = capfd.readouterr()
    assert err.startswith(f"note: {name}\n{name}, once more 0.")
    assert name in out
