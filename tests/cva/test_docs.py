"""The documents are true: pages are played, links lead somewhere, named commands are there."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from cva import errors_page
from cva.cli.main import command_line
from cva.cli.setup import HOW_TO
from tests.documents import ROOT, blocks_of, clone, played

DOCS = ROOT / "cva" / "docs"
# In this order they are one story, from the first start to an auditor's question.
PAGES = [
    HOW_TO / name
    for name in (
        "administrator.md",
        "programme.md",
        "simulating.md",
        "mapping.md",
        "finance.md",
        "duplicates.md",
        "auditor.md",
    )
]
NOTES = sorted((DOCS / "decisions").glob("*.md"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
PARTS = ["Context", "Decision", "Consequences", "Not to be proposed again"]
NOTE_LINES_MAX = 45
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`cva ([^`]+)`")


def test_pages_run_as_they_are_written(environment: dict[str, str], tmp_path: Path) -> None:
    clone(tmp_path)
    blocks = [block for page in PAGES for block in blocks_of(page, "sh")]

    session = played(blocks, tmp_path, environment)

    assert session.returncode == 0, session.stdout
    said = " ".join(session.stdout.split())
    # The wrong programme file, the award above its limit, the wrong scenario, the hand of the
    # preparer, the letter about a line that has ended, the file that was taken, the open fee, the
    # auditor who would write, and the evidence that was changed.
    assert re.findall(r"refused with (\d)", said) == ["1"] * 7 + ["3", "1"]
    assert re.search(r"reach says (\d+\.\d\d), lines say \1 ", said)
    assert re.search(r"reach says (\d+\.\d\d), the books say \1 ", said)
    assert re.search(r" \d+ TRUE == | \d+ TRUE TRUE ", said)


def test_every_page_is_played_and_shown_by_help() -> None:
    assert sorted(PAGES) == sorted(HOW_TO.glob("*.md"))


def test_page_of_errors_is_the_list_of_problems() -> None:
    shown = (DOCS / "errors.md").read_text(encoding="utf-8")
    # A process of its own: other tests define problems of theirs.
    page = subprocess.run(
        [sys.executable, "-c", "from cva.errors_page import page; print(page(), end='')"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip

    assert shown == page
    codes = re.findall(r"^## (\w+)$", shown, re.MULTILINE)
    assert codes == sorted(codes)
    assert len(codes) > 300


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    content = document.read_text(encoding="utf-8")
    targets = [target.partition("#")[0] for target in LINK.findall(content)]

    missing = [target for target in targets if not (document.parent / target).exists()]

    assert missing == []


def commands_named(document: Path) -> Iterator[list[str]]:
    for words in INLINE.findall(document.read_text(encoding="utf-8")):
        yield shlex.split(words)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_are_named_are_there(document: Path) -> None:
    unknown = []
    for words in commands_named(document):
        command = get_command(command_line())
        for word in words:
            group = getattr(command, "commands", None)
            if group is None:
                break
            if word not in group:
                unknown.append(" ".join(words))
                break
            command = group[word]

    assert unknown == []


def test_errors_name_only_commands_that_are_there() -> None:
    known = get_command(command_line()).commands
    unknown = [
        (problem.code, name)
        for problem in errors_page.all_problems()
        for name in re.findall(r"`cva (\w[\w-]*)", f"{problem.sentence} {problem.remedy}")
        if name not in known
    ]
    assert unknown == []


@pytest.mark.parametrize("note", NOTES, ids=lambda path: path.stem)
def test_decision_note_has_its_parts_on_one_page(note: Path) -> None:
    lines = note.read_text(encoding="utf-8").splitlines()

    assert re.fullmatch(rf"# {int(note.name[:4])}\. .+", lines[0])
    assert lines[2].startswith("**Status:** ")
    assert [line.removeprefix("## ") for line in lines if line.startswith("## ")] == PARTS
    assert len(lines) <= NOTE_LINES_MAX


def test_decision_notes_are_numbered_without_a_gap() -> None:
    assert [int(note.name[:4]) for note in NOTES] == list(range(1, len(NOTES) + 1))
