"""People of plain files, linked and explained without a database."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from cva import linking_files
from cva.cli.main import command_line
from ledgers.problems import Refusal

FIELDS = """fields: 1
record: nr
columns:
  ad: given_name
  soyad: family_name
  dogum: birth_date
  ilce: place
  aile: roster
"""
OURS = """nr,ad,soyad,dogum,ilce,aile
a1,أمل,الحسن,1990-02-17,Fatih,k1
a2,Omar,Demir,1984-05-30,Fatih,k2
a3,Deniz,Kaya,1979-11-02,Eyüp,k3
"""
THEIRS = """nr,ad,soyad,dogum,ilce,aile
b1,Amal,Al-Hassan,17.02.1990,FATİH,m1
b2,Selin,Ak,1999-01-08,Eyüp,m2
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name, text in (("f.yaml", FIELDS), ("ours.csv", OURS), ("theirs.csv", THEIRS)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def cva(*args: object) -> str:
    done = CliRunner().invoke(command_line(str(args[0])), [str(arg) for arg in args])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_files_are_linked_and_a_pair_is_explained_and_drawn(files: Path) -> None:
    out, page = files / "pairs.parquet", files / "why.html"
    cva(
        "duplicates", "find", "--records", files / "theirs.csv", "--against", files / "ours.csv",
        "--fields", files / "f.yaml", "--out", out,
    )  # fmt: skip
    table = pq.read_table(out)
    assert table.schema.names[:4] == ["id_l", "id_r", "score", "band"]
    (row,) = table.to_pylist()
    assert (row["id_l"], row["id_r"], row["band"]) == ("a1", "b1", "review")
    told = cva("duplicates", "explain", "b1", "a1", "--pairs", out, "--chart", page,
               "--format", "json")  # fmt: skip
    pieces = json.loads(told.partition("Drawn")[0])["a1 b1"]
    assert [piece["fact"] for piece in pieces] == [
        "prior", "given_name", "family_name", "birth_date", "place_1", "cap", "score",
    ]  # fmt: skip
    *addends, score = [round(float(piece["bits"]) * 1000) for piece in pieces]
    assert sum(addends) == score
    assert score == pytest.approx(row["score"] * 1000, abs=len(addends))
    drawn = page.read_text(encoding="utf-8")
    assert "<svg" in drawn
    assert "same name, spelled otherwise" in drawn
    assert "Amal" not in drawn + told


def test_a_model_is_used_again(files: Path) -> None:
    first, second = files / "1.parquet", files / "2.parquet"
    fields = files / "f.yaml"
    made = linking_files.find(files / "theirs.csv", files / "ours.csv", fields, first)
    model = linking_files.model_in(first)
    again = linking_files.find(files / "theirs.csv", files / "ours.csv", fields, second, model)
    assert again.model == made.model == model.digest
    assert pq.read_table(first).equals(pq.read_table(second))


def test_what_cannot_be_read_is_said(files: Path) -> None:
    out = files / "o.parquet"
    (files / "bad.yaml").write_text("fields: 1\nrecord: nr\ncolumns:\n  ad: colour\n")
    (files / "x.parquet").write_bytes(b"nothing")
    cases = [
        (lambda: linking_files.find(files / "ours.csv", None, files / "bad.yaml", out),
         "link_fields_refused"),
        (lambda: linking_files.find(files / "x.parquet", None, files / "f.yaml", out),
         "link_file_unreadable"),
        (lambda: linking_files.find(files / "ours.csv", None, files / "none.yaml", out),
         "link_file_unreadable"),
        (lambda: linking_files.explained(files / "x.parquet", "a", "b"), "link_file_unreadable"),
    ]  # fmt: skip
    for call, problem in cases:
        with pytest.raises(Refusal) as refused:
            call()
        assert refused.value.problem.code == problem
    linking_files.find(files / "ours.csv", None, files / "f.yaml", out)
    with pytest.raises(Refusal) as refused:
        linking_files.explained(out, "a1", "a2")
    assert refused.value.problem.code == "link_pair_missing"
    pq.write_table(pq.read_table(files / "o.parquet").replace_schema_metadata({}), out)
    with pytest.raises(Refusal) as refused:
        linking_files.model_in(out)
    assert refused.value.problem.code == "link_model_unreadable"
