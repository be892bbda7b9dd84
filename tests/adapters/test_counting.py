"""How many registrations a file seems to hold, without reading them."""

from datetime import date
from pathlib import Path

import pytest

from adapters.kobo import counting
from ledgers.problems import Refusal
from simulations.population import ExportFormat, write_population


@pytest.mark.parametrize("export", ExportFormat)
def test_a_file_is_counted_as_it_is_read(tmp_path: Path, export: ExportFormat) -> None:
    truth = write_population(tmp_path, 40, 7, date(2026, 3, 1), export)
    (path,) = tmp_path.glob("registrations.*")
    assert counting.count(path) == truth.submissions


def test_a_mark_across_two_chunks_is_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "two.json"
    path.write_text('[{"_id":1,"_uuid":"a"},{"_id":2,"_uuid":"b"}]', encoding="utf-8")
    for size in range(1, 20):
        monkeypatch.setattr(counting, "_CHUNK_BYTES", size)
        assert counting.count(path) == 2


@pytest.mark.parametrize(
    ("name", "content"), [("none.json", b"[]"), ("head.csv", b"name,phone\n"), ("no.csv", b"name")]
)
def test_nothing_to_count_is_told_as_such(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert counting.count(path) is None


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="export_not_found"):
        counting.count(tmp_path / "absent.json")
