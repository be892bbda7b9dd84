"""A report on disk: pages in three languages, a workbook, tables for analysts, the manifest.

In a folder: `report.en.html`, `report.tr.html`, `report.ar.html`, `report.xlsx`, `report.json` and
`tables/*.parquet` (the report as data, from which pages in any language are written again), and
`manifest.json`: everything that the figures were computed from, and the SHA-256 of every table, so
that they can be computed again and compared.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path

from ledgers.problems import Answer, Problem
from simulations.report import model
from simulations.report.model import REPORT, TABLES, Report
from simulations.report.page import write_page
from simulations.report.wording import Language
from simulations.report.workbook import write_workbook

REPORT_FOLDER_TAKEN = Problem(
    "report_folder_taken",
    "The folder {folder} holds something that is not a scenario's report.",
    "Name another folder with --out.",
    Answer.USAGE,
)
REPORT_MISSING = Problem(
    "report_missing",
    "There is no scenario's report in {folder}.",
    "Name the folder that `cva simulate run` wrote.",
    Answer.NOT_FOUND,
)
REPORT_DIFFERS = Problem(
    "report_differs",
    "Run again, {tables} of the tables have other figures than the manifest says: {first}.",
    "Check that the population is the same, and the version of the program ({version}).",
)

MANIFEST = "manifest.json"
WORKBOOK = "report.xlsx"
HOUSEHOLDS = "households"  # those that a variant treats otherwise


def page_name(language: Language) -> str:
    """Return the name of the page in a language."""
    return f"report.{language.value}.html"


def check(folder: Path) -> None:
    """Refuse a folder that holds something else; what an earlier report left may be written over.

    Nothing is made or removed yet: a run that is cancelled leaves what was there. Raises
    `report_folder_taken`.
    """
    taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if taken and not (folder / REPORT).is_file():
        raise REPORT_FOLDER_TAKEN.refusal(folder=folder)


@contextmanager
def placed(folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder` to write into; what is in it goes there when all is written.

    Of an earlier report nothing stays. Where writing fails or is cancelled, nothing has changed.
    """
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as name:
        fresh = Path(name)
        yield fresh
        target.mkdir(exist_ok=True)
        for old in (TABLES, HOUSEHOLDS):
            shutil.rmtree(target / old, ignore_errors=True)
        for path in sorted(fresh.iterdir(), key=lambda path: path.name == MANIFEST):
            path.replace(target / path.name)


def write(report: Report, folder: Path, workbook_in: Language = Language.EN) -> None:
    """Write the report in every shape into the folder, the manifest last."""
    model.save(report, folder)
    for language in Language:
        write_page(report, folder / page_name(language), language)
    write_workbook(report, folder / WORKBOOK, workbook_in)
    content = {**report.manifest, "tables": digests(folder)}
    text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every table by its name."""
    return dict(_digests(folder))


def _digests(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted((folder / TABLES).glob("*.parquet")):
        with path.open("rb") as file:
            yield path.stem, file_digest(file, "sha256").hexdigest()


def require_same(manifest: Mapping[str, object], folder: Path) -> None:
    """Compare the tables in the folder with those of a manifest. Raises `report_differs`."""
    said = manifest["tables"]
    before = dict(said) if isinstance(said, Mapping) else {}
    after = digests(folder)
    other = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
    )
    if other:
        raise REPORT_DIFFERS.refusal(
            tables=len(other), first=other[0], version=manifest.get("program", "")
        )


def read(folder: Path) -> Report:
    """Return the report in a folder. Raises `report_missing`."""
    if not (folder / REPORT).is_file():
        raise REPORT_MISSING.refusal(folder=folder)
    return model.load(folder)
