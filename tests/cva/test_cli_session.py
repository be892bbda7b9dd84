"""The work folder: closed, held while a command uses it, and emptied of what a killed one left."""

from pathlib import Path

import pytest

from cva.cli.session import Session, open_session


@pytest.fixture
def opened(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Session:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return open_session()


def leave(folder: Path) -> None:
    """What a killed command leaves: a folder with a file of instructions, and a file."""
    (folder / "tmp4yx1q0oa").mkdir()
    (folder / "tmp4yx1q0oa" / "inquiry.txt").write_text("Q|", encoding="utf-8")
    (folder / "snapshot.part").write_text("", encoding="utf-8")


def test_what_a_killed_command_left_is_gone_with_the_next(opened: Session) -> None:
    folder = opened.settings.home / "work"
    folder.mkdir(mode=0o700, parents=True)
    leave(folder)
    open_session()
    assert list(folder.iterdir()) == []


def test_what_a_command_is_using_is_left_alone(opened: Session) -> None:
    folder = opened.work
    assert folder.stat().st_mode & 0o777 == 0o700
    leave(folder)
    assert open_session().work == folder
    assert {path.name for path in folder.iterdir()} == {"tmp4yx1q0oa", "snapshot.part"}
