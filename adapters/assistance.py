"""Lists of assistance that agencies give each other: one CSV, and a mapping file for any other.

One row for each person and piece of assistance; a household's assistance has one row for each of
its members, with the same `record_ref`. The columns are those of `COLUMNS`; platforms of a response
(Türkiye's inter-agency deduplication of cash, Ukraine's shared check) publish their rules and not
their files, so their exports are read by a mapping:

    agency: KIZILAY                      # whose assistance it is
    csv: {delimiters: [";"], encodings: [utf-8-sig, cp1254]}
    columns: {KisiNo: person_ref, Ad: given_name}    # theirs: ours
    values: {status: {Odendi: paid}, need: {MPCA: basic-needs}}
    constants: {modality: cash}

A record without an end says `open` as its `last_day`: an empty one is not known, which is not the
same. What is read here is text: the registry judges it. A list without a column that is needed to
say who, what and when is refused as a whole, so that nothing of it is half claimed.

Sources: Ukraine CWG Task Team 3, standard operating procedure on deduplication (October 2024), the
data standards it asks for; UNHCR RAIS (Jordan): who, which sector, when last.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from adapters.mapping import CsvLayout, Location, read_mapping
from adapters.tabular import ENCODING_UNREADABLE, ROW_RAGGED, ROW_UNREADABLE
from ledgers.problems import Finding, Place, Problem, Weight

LIST_COLUMNS_MISSING = Problem(
    "list_columns_missing",
    "The list {file} does not say who gets what and when: it has no {columns}.",
    "Ask the agency for these columns, or name theirs in a mapping file; nothing was taken.",
)
LIST_COLUMN_ABSENT = Problem(
    "list_column_absent",
    "The list has no column {column}; the comparison goes without it.",
    "Ask the agency for it if it has it.",
    weight=Weight.NOTE,
)
LIST_COLUMN_STRANGE = Problem(
    "list_column_strange",
    "The column {column} was not read.",
    "Nothing, or name it in the mapping file.",
    weight=Weight.NOTE,
)

RECORD_COLUMNS = (
    "record_ref", "programme", "need", "modality", "unit", "first_day", "last_day", "one_off",
    "status", "committed_at", "currency", "amount", "people", "replaces", "referred_by",
    "referred_on", "verdict",
)  # fmt: skip
PERSON_COLUMNS = (
    "household_ref", "person_ref", "is_head", "given_name", "family_name", "father_name",
    "mother_name", "sex", "birth_date", "birth_date_precision", "id_type", "id_number",
    "registration_number", "phone", "province", "district",
)  # fmt: skip
COLUMNS = (*RECORD_COLUMNS, *PERSON_COLUMNS)
NEEDED = ("record_ref", "need", "first_day", "status")
WHO = ("given_name", "id_number", "registration_number")  # at least one of them
# What a list may leave out without weakening who is found, and without saying less of when.
OPTIONAL = frozenset({
    "programme", "modality", "unit", "one_off", "currency", "amount", "people", "replaces",
    "referred_by", "referred_on", "verdict", "is_head", "registration_number",
    "birth_date_precision",
})  # fmt: skip
AGENCY = r"^[A-Z0-9][A-Z0-9-]{1,29}$"


class ListMapping(BaseModel):
    """A checked mapping of another agency's list; see the module's text for the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    agency: str = Field(pattern=AGENCY)
    csv: CsvLayout = CsvLayout()
    columns: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    constants: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Given:
    """One row of a list: canonical columns to text; what is empty is unknown."""

    place: Place
    values: Mapping[str, str] = field(repr=False)


def load_list_mapping(path: Path) -> ListMapping:
    """Return the checked mapping at `path`. Raises `mapping_unreadable`, `mapping_invalid`."""
    return read_mapping(path, ListMapping, _contradictions)


def read_list(path: Path, mapping: ListMapping) -> Iterator[Given | Finding]:
    """Yield the rows of the list at `path`, and what is to be said about it.

    Raises `encoding_unreadable`, `list_columns_missing`.
    """
    encoding = _encoding(path, mapping)
    with path.open(encoding=encoding, newline="") as text:
        line = text.readline()
        delimiter = max(mapping.csv.delimiters, key=line.count)
        header = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
        columns = [_target(name, mapping) for name in header]
        yield from _judged_header(path, header, columns, mapping)
        reader = csv.reader(text, delimiter=delimiter)
        while True:
            place = Place(path.name, row=reader.line_num + 2)
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield ROW_UNREADABLE.finding(place, reason=str(error))
                continue
            if any(cells):
                if len(cells) != len(columns):
                    yield ROW_RAGGED.finding(place, cells=len(cells), columns=len(columns))
                yield Given(place, _values(cells, columns, mapping))


def write_list(path: Path, rows: Iterable[Mapping[str, str]]) -> int:
    """Write rows of `COLUMNS` to a new file at `path`; return how many there were."""
    count = 0
    with path.open("x", encoding="utf-8", newline="") as text:
        path.chmod(0o600)
        writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow(row)
            count += 1
    return count


def _encoding(path: Path, mapping: ListMapping) -> str:
    for encoding in mapping.csv.encodings:
        try:
            with path.open(encoding=encoding) as text:
                for _ in text:
                    pass
        except UnicodeError:
            continue
        return encoding
    tried = ", ".join(mapping.csv.encodings)
    raise ENCODING_UNREADABLE.refusal(file=path.name, encodings=tried)


def _target(name: str, mapping: ListMapping) -> str | None:
    found = mapping.columns.get(name, name)
    return found if found in COLUMNS else None


def _judged_header(
    path: Path, header: list[str], columns: list[str | None], mapping: ListMapping
) -> Iterator[Finding]:
    here = {name for name in columns if name} | set(mapping.constants)
    missing = [name for name in NEEDED if name not in here]
    if not here & set(WHO):
        missing.append(" or ".join(WHO))
    if missing:
        raise LIST_COLUMNS_MISSING.refusal(file=path.name, columns=", ".join(missing))
    for name in COLUMNS:
        if name not in here and name not in OPTIONAL:
            yield LIST_COLUMN_ABSENT.finding(Place(path.name, field=name), column=name)
    for name, target in zip(header, columns, strict=True):
        if name and target is None:
            yield LIST_COLUMN_STRANGE.finding(Place(path.name, field=name), column=name)


def _values(cells: list[str], columns: list[str | None], mapping: ListMapping) -> dict[str, str]:
    values = dict(mapping.constants)
    for column, cell in zip(columns, cells, strict=False):
        if column and cell.strip():
            text = cell.strip()
            values[column] = mapping.values.get(column, {}).get(text, text)
    return values


def _contradictions(mapping: ListMapping) -> Iterator[tuple[Location, str]]:
    for theirs, ours in mapping.columns.items():
        if ours not in COLUMNS:
            yield ("columns", theirs), f"`{ours}` is no column of a list"
    for part in ("values", "constants"):
        for name in getattr(mapping, part):
            if name not in COLUMNS:
                yield (part, name), f"`{name}` is no column of a list"
            elif name in PERSON_COLUMNS and name not in ("sex", "province", "id_type"):
                yield (part, name), f"`{name}` is personal: it has no codes"
