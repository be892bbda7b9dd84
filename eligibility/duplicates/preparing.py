"""Persons made comparable: one table in the engine, with keys instead of spellings.

Decides what a value is worth before anything is compared: fillers and what is shared by many
strangers (a phone of forty households, a number of twenty people) is no evidence; a date on
1 January is a year; a number that fails its check digits still finds its owner and cannot
contradict. Nobody is left out: a record without a usable name or date stays, compared by the rest.

Each distinct value is read once, in Python; the rest are joins. Rows are numbered (`n`) in the
order of their record ids: linkage works on numbers, and pairs come out in one order.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from eligibility.duplicates.dates import birth_of
from eligibility.duplicates.fields import Fields, Role
from eligibility.duplicates.identifiers import Kind, Verdict, compact, judge
from eligibility.duplicates.names import cleaned
from eligibility.duplicates.sources import NAMES, Source, load, one, quoted
from eligibility.duplicates.spelling import keys_of
from ledgers.problems import Finding, Place, Problem, Weight

NUMBER_SHARED = Problem(
    "link_number_shared",
    "{count:identifier|identifiers} held by more than {limit} people each: not relied on.",
    "Look for a number that was typed to get past the form, and ask for the real ones.",
)
CONTACT_SHARED = Problem(
    "link_contact_shared",
    "{count:value|values} shared by more than {limit} households each: not relied on.",
    "Nothing, for the phone of a camp or an office; correct it where one was typed for many.",
)
NUMBERS_DOUBTFUL = Problem(
    "link_numbers_doubtful",
    "{count} identifiers are fillers or fail their check; they cannot contradict.",
    "Correct them from the documents; nobody is left out meanwhile.",
    weight=Weight.NOTE,
)

HOLDERS_MAX = 8  # people with one strong number: a family that shares one, not a filler
SHARERS_MAX = 12  # households with one phone or account
_NAME_KEYS: dict[str, pa.DataType] = {
    "raw": pa.string(), "written": pa.string(), "script": pa.string(), "skeleton": pa.string(),
    "second": pa.string(), "first": pa.string(), "last": pa.string(), "known": pa.string(),
    "has": pa.int64(), "keeps": pa.int64(), "says": pa.int64(), "allows": pa.int64(),
}  # fmt: skip
_KEPT = {  # of each name: what its comparison and its blocks read
    "given": ("written", "script", "skeleton", "second", "first", "known", "has", "keeps", "says",
              "allows"),
    "family": ("written", "script", "skeleton", "second", "last", "known"),
    "father": ("written", "script", "skeleton", "first"),
    "mother": ("written", "script", "skeleton", "first"),
}  # fmt: skip
_DATE_KEYS: dict[str, pa.DataType] = {
    "raw": pa.string(), "digits": pa.string(), "year": pa.int32(), "coarse": pa.bool_(),
}  # fmt: skip
_NUMBER_KEYS: dict[str, pa.DataType] = {
    "asked": pa.string(), "raw": pa.string(), "kind": pa.string(), "number": pa.string(),
    "valid": pa.bool_(),
}  # fmt: skip
_TEXT_KEYS: dict[str, pa.DataType] = {"raw": pa.string(), "text": pa.string()}
# One byte for each letter: DuckDB compares bytes, Spark letters, and of two letters of the Arabic
# alphabet the first byte is nearly always the same.
_ARABIC = [*range(0x621, 0x63B), *range(0x641, 0x64B), *map(ord, "پچژگکیۀەٱھہ")]
_ONE_BYTE = {letter: chr(ord("!") + place) for place, letter in enumerate(_ARABIC)}
BATCH = 50_000
ROWS_AT_ONCE = 250_000

Row = tuple[str | int | bool | None, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Persons ready to be compared: `table` in the engine, the `facts` known of anybody.

    `facts` are the names of the comparisons that can be made (`given_name`, `place_1`);
    `numbers` is the table of all identifiers (n, kind, number, valid).
    """

    table: str
    numbers: str
    fields: Fields
    people: int
    facts: tuple[str, ...]
    findings: tuple[Finding, ...]


def prepare(conn: duckdb.DuckDBPyConnection, name: str, source: Source, fields: Fields) -> Prepared:
    """Read `source` into the tables `name` and `name_numbers` of `conn`, made comparable.

    `name` is a plain word of ours; a file is CSV or Parquet by its ending. Raises
    `link_record_missing`, `link_record_twice`, `link_nothing_to_compare`.
    """
    file = source.name if isinstance(source, Path) else name
    findings = list(load(conn, name, source, fields, file))
    people = int(one(conn, f"SELECT count(*) FROM {name}_raw"))
    _keys(conn, name, fields)
    findings += _numbers(conn, name, fields, file)
    facts = _joined(conn, name, fields)
    findings += _without_crowds(conn, name, fields, file)
    for rest in ("raw", "names", "dates", "texts"):
        conn.execute(f"DROP TABLE IF EXISTS {name}_{rest}")
    return Prepared(name, f"{name}_numbers", fields, people, facts, tuple(findings))


def _keys(conn: duckdb.DuckDBPyConnection, name: str, fields: Fields) -> None:
    """Make the tables of keys of each distinct name, date and text."""
    names = [fields.one(role) for role in NAMES.values()] + list(fields.of(Role.PLACE))
    _mapped(conn, f"{name}_names", _distinct(name, names), _NAME_KEYS, _name_row)
    precision = fields.one(Role.BIRTH_DATE_PRECISION)
    told = f"coalesce({quoted(precision)}, '')" if precision else "''"
    birth = fields.one(Role.BIRTH_DATE)
    dates = "SELECT '' AS raw WHERE false"
    if birth:
        dates = f"SELECT DISTINCT {quoted(birth)} || '|' || {told} AS raw FROM {name}_raw"
    _mapped(conn, f"{name}_dates", dates, _DATE_KEYS, _date_row)
    texts = [*fields.of(Role.PLACE), *fields.of(Role.DETAIL)]
    _mapped(conn, f"{name}_texts", _distinct(name, texts), _TEXT_KEYS, _text_row)


def _distinct(name: str, columns: Iterable[str | None]) -> str:
    selects = [
        f"SELECT DISTINCT {quoted(column)} AS raw FROM {name}_raw" for column in columns if column
    ]
    return " UNION ".join(selects) or "SELECT '' AS raw WHERE false"


def _name_row(raw: str) -> Row:
    keys = keys_of(raw)
    if keys is None:
        return (raw, *[None] * (len(_NAME_KEYS) - 1))
    vowels = keys.vowels
    return (
        raw, keys.written.translate(_ONE_BYTE), keys.script.value, keys.skeleton, keys.second,
        keys.first, keys.last, keys.known, vowels.has, vowels.keeps, vowels.says, vowels.allows,
    )  # fmt: skip


def _date_row(raw: str) -> Row:
    text, _, precision = raw.rpartition("|")
    birth = birth_of(text, precision)
    return (raw, birth.digits, birth.year, birth.coarse) if birth else (raw, None, None, None)


def _text_row(raw: str) -> Row:
    return raw, cleaned(raw, digits=True) or None


def _mapped(
    conn: duckdb.DuckDBPyConnection,
    table: str,
    distinct: str,
    columns: dict[str, pa.DataType],
    row: Callable[[str], Row],
) -> None:
    """Make `table` with the keys that `row` gives for each value of the query `distinct`."""
    schema = pa.schema(columns)
    empty = pa.Table.from_pylist([], schema=schema)
    conn.register("keyed", empty)
    conn.execute(f"CREATE TABLE {table} AS SELECT * FROM keyed")
    conn.unregister("keyed")
    values = conn.sql(f"SELECT raw FROM ({distinct}) WHERE raw IS NOT NULL").to_arrow_table()
    for batch in values.to_batches(BATCH) if values else ():
        rows = [row(str(value)) for value in batch.column(0).to_pylist()]
        if not rows:
            continue
        arrays = [
            pa.array(list(column), type=kind)
            for column, kind in zip(zip(*rows, strict=True), columns.values(), strict=True)
        ]
        conn.register("keyed", pa.Table.from_arrays(arrays, schema=schema))
        conn.execute(f"INSERT INTO {table} SELECT * FROM keyed")
        conn.unregister("keyed")


def _numbers(
    conn: duckdb.DuckDBPyConnection, name: str, fields: Fields, file: str
) -> Iterator[Finding]:
    """Make `name_numbers`: every identifier, phone and account a person has, judged."""
    selects = []
    for column, use in fields.columns.items():
        asked = {
            Role.IDENTIFIER: f"'{use.type}'" if use.type else quoted(use.type_from or ""),
            Role.PHONE: "'phone'",
            Role.ACCOUNT: f"'account:{column}'",
        }.get(use.role)
        if asked:
            selects.append(
                f"SELECT n, coalesce({asked}, '') AS asked, {quoted(column)} AS raw"
                f" FROM {name}_raw WHERE {quoted(column)} IS NOT NULL"
            )
    given = " UNION ALL ".join(selects) or (
        "SELECT CAST(0 AS INTEGER) AS n, '' AS asked, '' AS raw WHERE false"
    )
    conn.execute(f"CREATE TABLE {name}_given AS {given}")
    distinct = f"SELECT DISTINCT asked || '|' || raw AS raw FROM {name}_given"
    _mapped(conn, f"{name}_judged", distinct, _NUMBER_KEYS, _number_row)
    conn.execute(
        f"CREATE TABLE {name}_numbers AS SELECT DISTINCT g.n, j.kind, j.number, j.valid"
        f" FROM {name}_given g JOIN {name}_judged j ON j.asked = g.asked AND j.raw = g.raw"
        " WHERE j.number IS NOT NULL"
    )
    doubtful = one(
        conn,
        f"SELECT count(*) FROM {name}_given g JOIN {name}_judged j ON j.asked = g.asked"
        " AND j.raw = g.raw WHERE j.valid IS false",
    )
    conn.execute(f"DROP TABLE {name}_given; DROP TABLE {name}_judged")
    if doubtful:
        yield NUMBERS_DOUBTFUL.finding(Place(file), count=doubtful)


_OWN = frozenset(kind.value for kind in Kind) | {"none", ""}


def _number_row(value: str) -> Row:
    asked, _, raw = value.partition("|")
    if asked.startswith("account:"):
        return asked, raw, *_account(asked, raw)
    if asked in _OWN:
        judged = judge(asked, raw)
        valid = judged.verdict is Verdict.VALID
        absent = judged.verdict is Verdict.ABSENT
        return asked, raw, judged.kind.value, judged.normalised or None, None if absent else valid
    text = judge(Kind.OTHER_ID, raw).normalised or None
    return asked, raw, asked, text, text is not None


def _account(asked: str, raw: str) -> tuple[str, str | None, bool]:
    """Return the account in `raw`: an IBAN where it is one, else the signs as they are."""
    iban = judge(Kind.IBAN, raw)
    if iban.verdict is Verdict.VALID:
        return asked, iban.normalised, True
    return asked, compact(raw) or None, True


def _joined(conn: duckdb.DuckDBPyConnection, name: str, fields: Fields) -> tuple[str, ...]:
    """Make the table `name` and return the facts it can be compared by."""
    columns = ["r.n", f"r.{quoted(fields.record)} AS record_id"]
    joins: list[str] = []
    facts: list[str] = []
    roster, relationship = fields.one(Role.ROSTER), fields.one(Role.RELATIONSHIP)
    columns.append(f"r.{quoted(roster)} AS roster" if roster else "CAST(NULL AS VARCHAR) AS roster")
    columns.append(
        f"lower(r.{quoted(relationship)}) AS relationship"
        if relationship
        else "CAST(NULL AS VARCHAR) AS relationship"
    )
    for part in (_name_columns, _birth_columns, _text_columns, _number_columns):
        more, joined, found = part(name, fields)
        columns += more
        joins += joined
        facts += found
    sex = fields.one(Role.SEX)
    if sex:
        columns.append(f"lower(left(r.{quoted(sex)}, 1)) AS sex")
        facts.append("sex")
    whole = f"SELECT {', '.join(columns)} FROM {name}_raw r {' '.join(joins)}"
    conn.execute(f"CREATE TABLE {name} AS {whole} LIMIT 0")
    last = one(conn, f"SELECT coalesce(max(n), 0) FROM {name}_raw")
    for first in range(1, last + 1, ROWS_AT_ONCE):  # memory holds the table and one part more
        span = f"r.n BETWEEN {first} AND {first + ROWS_AT_ONCE - 1}"
        conn.execute(f"INSERT INTO {name} {whole} WHERE {span} ORDER BY r.n")
    return tuple(facts)


Parts = tuple[list[str], list[str], list[str]]  # columns, joins, facts


def _name_columns(name: str, fields: Fields) -> Parts:
    columns, joins, facts = [], [], []
    for prefix, role in NAMES.items():
        column = fields.one(role)
        if column:
            columns += [f"{prefix}.{key} AS {prefix}_{key}" for key in _KEPT[prefix]]
            joins.append(f"LEFT JOIN {name}_names {prefix} ON {prefix}.raw = r.{quoted(column)}")
            facts.append(role.value)
    return columns, joins, facts


def _birth_columns(name: str, fields: Fields) -> Parts:
    column, precision = fields.one(Role.BIRTH_DATE), fields.one(Role.BIRTH_DATE_PRECISION)
    if not column:
        return [], [], []
    told = f"coalesce(r.{quoted(precision)}, '')" if precision else "''"
    return (
        ["birth.digits AS birth", "birth.year AS birth_year", "birth.coarse AS birth_coarse"],
        [f"LEFT JOIN {name}_dates birth ON birth.raw = r.{quoted(column)} || '|' || {told}"],
        ["birth_date"],
    )


def _text_columns(name: str, fields: Fields) -> Parts:
    columns, joins, facts = [], [], []
    for role in (Role.PLACE, Role.DETAIL):
        for number, column in enumerate(fields.of(role), start=1):
            fact = f"{role.value}_{number}"
            columns.append(f"t_{fact}.text AS {fact}")
            joins.append(f"LEFT JOIN {name}_texts t_{fact} ON t_{fact}.raw = r.{quoted(column)}")
            if role is Role.PLACE:
                columns.append(f"s_{fact}.skeleton AS {fact}_skeleton")
                joins.append(
                    f"LEFT JOIN {name}_names s_{fact} ON s_{fact}.raw = r.{quoted(column)}"
                )
            facts.append(fact)
    return columns, joins, facts


def _number_columns(name: str, fields: Fields) -> Parts:
    """Each kind's number in a column of its own, the valid one where there are several."""
    columns, joins, facts = [], [], []
    kinds = {f"id_{kind}": kind for kind in fields.kinds()}
    if fields.of(Role.PHONE):
        kinds["phone"] = "phone"
        facts.append("phone")
    for number, column in enumerate(fields.of(Role.ACCOUNT), start=1):
        kinds[f"account_{number}"] = f"account:{column}"
        facts.append(f"account_{number}")
    for alias, kind in kinds.items():
        joins.append(
            f"LEFT JOIN (SELECT n, min_by(number, (NOT valid, number)) AS number,"
            f" bool_or(valid) AS valid FROM {name}_numbers WHERE kind = '{kind}' GROUP BY n)"
            f" {alias} ON {alias}.n = r.n"
        )
        columns.append(f"{alias}.number AS {alias}")
        if alias.startswith("id_"):
            columns.append(f"coalesce({alias}.valid, false) AS {alias}_valid")
    if fields.kinds():
        facts.append("identifier")
    return columns, joins, facts


def _without_crowds(
    conn: duckdb.DuckDBPyConnection, name: str, fields: Fields, file: str
) -> Iterator[Finding]:
    """Take out what is shared by too many to say anything of one."""
    strong = {f"id_{kind}": kind for kind in fields.kinds()}
    contacts = [*(["phone"] if fields.of(Role.PHONE) else [])]
    contacts += [f"account_{i}" for i, _ in enumerate(fields.of(Role.ACCOUNT), start=1)]
    for column, kind in strong.items():
        crowd = (
            f"SELECT number FROM {name}_numbers WHERE kind = '{kind}' GROUP BY number"
            f" HAVING count(DISTINCT n) > {HOLDERS_MAX}"
        )
        count = one(conn, f"SELECT count(*) FROM ({crowd})")
        if count:
            conn.execute(
                f"UPDATE {name} SET {column} = NULL, {column}_valid = false"
                f" WHERE {column} IN ({crowd})"
            )
            conn.execute(
                f"DELETE FROM {name}_numbers WHERE kind = '{kind}' AND number IN ({crowd})"
            )
            place = Place(file, field=kind)
            yield NUMBER_SHARED.finding(place, count=count, limit=HOLDERS_MAX)
    for column in contacts:
        crowd = (
            f"SELECT {column} FROM {name} WHERE {column} IS NOT NULL GROUP BY {column}"
            f" HAVING count(DISTINCT coalesce(roster, record_id)) > {SHARERS_MAX}"
        )
        count = one(conn, f"SELECT count(*) FROM ({crowd})")
        if count:
            conn.execute(f"UPDATE {name} SET {column} = NULL WHERE {column} IN ({crowd})")
            place = Place(file, field=column)
            yield CONTACT_SHARED.finding(place, count=count, limit=SHARERS_MAX)
