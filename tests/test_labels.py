"""Reading of class names."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnv4_mobile.errors import ConfigError
from mnv4_mobile.labels import check_labels, read_labels


def test_imagenet() -> None:
    labels = read_labels("imagenet-1k")
    assert len(labels) == 1000
    assert [labels[i] for i in (0, 207, 285, 999)] == [
        "tench",
        "golden retriever",
        "Egyptian cat",
        "toilet tissue",
    ]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("plain.txt", b"crane\ncaf\xc3\xa9 noir\ncrane\n"),
        ("windows.txt", b"\xef\xbb\xbfcrane\r\ncaf\xc3\xa9 noir \r\ncrane\r\n\r\n \r\n"),
        ("list.json", '["crane", "café noir", "crane"]'.encode()),
        ("map.JSON", b'{"2": "crane", "1": "caf\\u00e9 noir", "0": "crane"}'),
    ],
)
def test_files(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert read_labels(str(path)) == ("crane", "café noir", "crane")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("gap.txt", b"cat\n\ndog\n", "gap.txt: line 2: found ''"),
        ("first.txt", b"\ncat\n", "first.txt: line 1"),
        ("empty.txt", b"\n\n", "empty.txt: no labels"),
        ("latin.txt", b"caf\xe9\n", "latin.txt: labels must be UTF-8"),
        ("broken.json", b'["cat"', "broken.json: not JSON"),
        ("deep.json", b"[" * 100_000, "deep.json: not JSON"),
        ("number.json", b"3", "number.json: found int"),
        ("empty.json", b"[]", "empty.json: no labels"),
        ("item.json", b'["cat", 3]', "item.json: 1: found 3"),
        ("blank.json", b'{"0": " "}', "blank.json: 0: found ' '"),
        ("keys.json", b'{"1": "cat", "2": "dog"}', "found key '2', keys must be 0 to 1"),
        ("zeros.json", b'{"00": "cat"}', "found key '00'"),
        (
            "feed.json",
            b'["cat", "a\\nb"]',
            r"feed.json: 1: found 'a\\nb', must be one line",
        ),
        ("tab.txt", b"cat\na\tb\n", r"tab.txt: line 2: found 'a\\tb', must be one line of text"),
        ("next.txt", "a\x85b\n".encode(), r"next.txt: line 1: found 'a\\x85b', must be one"),
        ("separator.txt", "a\u2028b\n".encode(), r"separator.txt: line 1: found 'a\\u2028b'"),
        ("escape.json", b'["\\u001b[31m"]', r"escape.json: 0: found '\\x1b\[31m', must be one"),
        ("half.json", b'["\\ud800"]', "half.json: not JSON"),
        ("index.json", b'{"0": ["n01", "cat"]}', "index.json: 0: found"),
    ],
)
def test_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_labels(str(path))


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"imagenet-21k: .*must be `imagenet-1k` or a file"):
        read_labels(str(tmp_path / "imagenet-21k"))
    with pytest.raises(ConfigError, match="cannot read the labels"):
        read_labels(str(tmp_path))


def test_count() -> None:
    check_labels(("cat", "dog"), 2)
    with pytest.raises(ConfigError, match="found 2, the model has 3 classes"):
        check_labels(("cat", "dog"), 3)
    with pytest.raises(ConfigError, match=r"labels: \[1\]: found 'dog\\n', must be one line"):
        check_labels(("cat", "dog\n"), 2)
