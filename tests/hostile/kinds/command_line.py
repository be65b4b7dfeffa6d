"""Arguments of the command."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from random import Random
from typing import Any

from tests.hostile.kinds.images import pictures
from tests.hostile.kinds.kind import Kind, click_app, command
from tests.hostile.kinds.measurements import good_lines
from tests.hostile.kinds.texts import hostile_yaml
from tests.hostile.mutations import (
    TEXTS,
)
from tests.hostile.promise import Fifo, Files

_UNREAD = ("doctor", "devices")
"""Commands that look at this machine, and hardly at their arguments."""
_NUMBERS = (
    *("9" * 5000, "-" + "9" * 400, "1e999", "nan", "inf", "-inf", "-1", "0", "1.5", "", "0x10"),
    *("1_0", "\u0661", "1e-400", "2147483648", " 1 ", "true", "1" + "0" * 30),
)
_VALUES = (
    *(text for text in TEXTS if "\0" not in text),
    *(
        "\udcff",
        "a\udcffb",
        "IN/hostile.yaml",
        "IN/folder",
        "IN/folder/x",
        "IN/fifo",
        "IN/nothing/x",
    ),
    *("/dev/null", "/dev/full", "x" * 300, "IN/records.jsonl", "IN/good.png", "IN", "OUT/é", "OUT"),
)


@functools.cache
def _commands() -> tuple[tuple[tuple[str, ...], Any], ...]:
    """Returns the words and the parameters of every command that reads its arguments first."""
    found: list[Any] = []

    def add(words: tuple[str, ...], group: Any) -> None:
        for name, one in group.commands.items():
            if hasattr(one, "commands"):
                add((*words, name), one)
            elif name not in _UNREAD:
                found.append(((*words, name), one.params))

    add((), click_app())
    return tuple(found)


def _arguments(random: Random) -> Files:
    """Returns the words of a command as JSON, and files that they may name."""
    words, params = random.choice(_commands())
    found = list(words)
    for param in params:
        if param.param_type_name == "argument":
            found += [random.choice(_VALUES) for _ in range(random.choice((1, 1, 2)))]
        elif random.randrange(4) == 0 and param.opts[-1] != "--help":
            found.append(random.choice(param.opts))
            if not param.is_flag:
                found.append(random.choice(random.choice((_VALUES, _NUMBERS))))
    if random.randrange(8) == 0:
        found.insert(random.randrange(1, len(found) + 1), random.choice(_VALUES))
    return {
        "words.json": json.dumps(found).encode(),
        "hostile.yaml": hostile_yaml(random.choice(("models", "recipes", "sweeps")), random)[
            "hostile.yaml"
        ],
        "records.jsonl": good_lines()["hostile.jsonl"],
        "good.png": pictures()[0],
        "folder/x.txt": b"x",
        "fifo": Fifo(),
    }


def _good_arguments() -> Files:
    return {"words.json": b'["targets", "--json"]'}


def _run(given: Path, out: Path) -> None:
    words = json.loads((given / "words.json").read_bytes())
    places = {"IN": str(given), "OUT": str(out)}
    found = ["/".join(places.get(part, part) for part in word.split("/")) for word in words]
    os.environ["HF_HUB_OFFLINE"] = "1"
    command(*found)


KINDS = {
    "arguments": Kind(_good_arguments, _arguments, _run),
}
