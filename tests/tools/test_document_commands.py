"""The runner of the documents' commands: what it runs, what it leaves, and what it refuses."""

import pytest

from tools import document_commands as commands


@pytest.fixture
def ran(tmp_path):
    """Writes a document, runs it and returns the report and the folder."""

    def run(text):
        document = tmp_path / "page.md"
        document.write_text(text)
        folder = tmp_path / "folder"
        folder.mkdir()
        return commands.run(document, folder, tmp_path / "cache"), folder

    return run


def test_blocks_run_in_order_and_share_a_folder(ran):
    report, folder = ran(
        "<!-- file: a.txt -->\n```text\none\n```\n\n```sh\n# a comment\ncat a.txt > b.txt\n"
        "echo two \\\n  >> b.txt\n```\n\n"
        "```python\nopen('c.txt', 'w').write(open('b.txt').read() + 'three')\n```\n"
    )
    assert not report.problems
    assert (folder / "c.txt").read_text() == "one\ntwo\nthree"
    assert (report.run, report.marked) == (3, 0)


def test_a_marked_block_is_not_run_but_its_options_must_exist(ran):
    report, folder = ran(
        "<!-- needs: a phone -->\n```sh\ntouch made\nmnv4 measure X --colour red\n```\n"
    )
    assert not (folder / "made").exists()
    assert (report.run, report.marked) == (0, 2)
    (problem,) = report.problems
    assert "no such option: --colour" in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```sh\nexit 3\n```\n", "1: exit code 3, expected 0"),
        ("<!-- exit: 3 -->\n```sh\ntrue\n```\n", "2: exit code 0, expected 3"),
        ("```sh\nfalse | true\n```\n", "1: exit code 1, expected 0"),
        ("text\n\n    mnv4 models\n", "3: an indented block"),
        ("```\nmnv4 models\n```\n", "1: a block without a language"),
        ("<!-- need: a phone -->\n```sh\ntrue\n```\n", "found comment 'need'"),
        ("Try `mnv4 frobnicate`.\n", "no such command: frobnicate"),
    ],
)
def test_what_fails(ran, text, problem):
    report, _ = ran(text)
    assert any(problem in found for found in report.problems), report.problems


def test_an_expected_exit_code_passes(ran):
    report, _ = ran("<!-- exit: 3 -->\n```sh\nexit 3\n```\n")
    assert not report.problems


def test_nothing_runs_after_a_failure(ran):
    report, folder = ran("```sh\nfalse\n```\n\n```sh\ntouch made\n```\n")
    assert report.problems
    assert not (folder / "made").exists()


def test_a_checkout_has_the_repository_and_leaves_nothing_in_it(ran):
    report, folder = ran(
        "<!-- in: a checkout -->\n```sh\ntest -f pyproject.toml\ntouch made\n```\n"
    )
    assert not report.problems
    assert (folder / "checkout" / "made").exists()
    assert not (commands.ROOT / "made").exists()


def test_the_fixture_has_what_documents_presume(tmp_path):
    commands.fixture(tmp_path / "fixture")
    found = {path.name for path in (tmp_path / "fixture").iterdir()}
    files = {"my_checkpoint.safetensors", "last.ckpt", "labels.txt", "photo.jpg"}
    assert found == files | {"pictures", "dataset"}
    assert len(list((tmp_path / "fixture" / "pictures").iterdir())) == 128
    assert len(list((tmp_path / "fixture" / "dataset").glob("*/*.png"))) == 100
