"""The snapshot: the facts of all live households, frozen in two Parquet files and hashed.

Decisions are made from a snapshot and name its hash, so that they can be made again from the same
facts and come out the same. The files hold no personal field: what is sealed stays in the database.
The same registry gives the same bytes: rows in the order of household and member, row groups of a
fixed size, no metadata of the writer's environment.

The facts of a run that was stored can be frozen again: every version that it read is still there,
and gives the same bytes.

A person on two rosters whom two people merged is a member of one household: where the registration
kept has them. Sizes say the same; a household whose whole roster counts elsewhere has nobody left
to be decided about.

Columns: `households.parquet` has household_id, version_id, province, district, population_group,
declared_size and the household inputs asked for; `members.parquet` has household_id, member_no,
relationship, sex, birth_date, birth_date_precision, nationality, disability_percent and the member
inputs asked for. An input that was never answered, or not with a value of its kind, is null:
unknown. Amounts are kuruş.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from psycopg import Connection, sql

from eligibility.rules.terms import Kind

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ROW_GROUP_ROWS = 65_536
BLOCK_BYTES = 4 << 20

# Fixed columns: how PostgreSQL says them, and what they are in the file.
HOUSEHOLD_COLUMNS: Mapping[str, pa.DataType] = {
    "household_id": pa.string(),
    "version_id": pa.int64(),
    "province": pa.string(),
    "district": pa.string(),
    "population_group": pa.string(),
    "declared_size": pa.int32(),
    "has_roster": pa.bool_(),
}
MEMBER_COLUMNS: Mapping[str, pa.DataType] = {
    "household_id": pa.string(),
    "member_no": pa.int32(),
    "relationship": pa.string(),
    "sex": pa.string(),
    "birth_date": pa.date32(),
    "birth_date_precision": pa.string(),
    "nationality": pa.string(),
    "disability_percent": pa.int32(),
}
Recorded = tuple[Mapping[str, sql.Composable], Mapping[str, sql.Composable]]
NOTHING_RECORDED: Recorded = (MappingProxyType({}), MappingProxyType({}))
# Inputs that are columns of a version rather than answers.
VERSION_INPUTS = frozenset({"roster_size", "consent_given"})
# Kinds of answers: their type in the file, and the SQL that takes them out of the JSON, else null.
_NUMBER = "CASE WHEN jsonb_typeof({json}) = 'number' THEN ({text})::int8 END"
_TRUTH = "CASE WHEN jsonb_typeof({json}) = 'boolean' THEN ({text})::bool END"
_STRING = "CASE WHEN jsonb_typeof({json}) = 'string' THEN {text} END"
_DAY = (
    "CASE WHEN {text} ~ '^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$' AND pg_input_is_valid({text}, 'date')"
    " THEN ({text})::date END"
)
KINDS: Mapping[str, tuple[pa.DataType, str]] = {
    Kind.INT: (pa.int64(), _NUMBER),
    Kind.MONEY: (pa.int64(), _NUMBER),
    Kind.BOOL: (pa.bool_(), _TRUTH),
    Kind.TEXT: (pa.string(), _STRING),
    Kind.DATE: (pa.date32(), _DAY),
}


LIVE = sql.SQL("registry.live v")
NOW = sql.SQL("'infinity'::timestamptz")
# People who count in another household, and how many of each registration they are.
_ELSEWHERE = sql.SQL("""
    WITH elsewhere AS MATERIALIZED (SELECT * FROM registry.counted_elsewhere({known_at})),
    fewer AS MATERIALIZED (
      SELECT m.version_id, count(*)::integer AS people
      FROM elsewhere e JOIN registry.version w USING (household_id)
      JOIN registry.member m ON (m.version_id, m.member_no) = (w.version_id, e.member_no)
        AND (m.sex, m.birth_date) IS NOT DISTINCT FROM (e.sex, e.birth_date)
      GROUP BY m.version_id)
""")
_SIZES = frozenset({"declared_size", "roster_size"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Two files, the SHA-256 (hexadecimal) over their own digests, and how many rows each holds."""

    households: Path
    members: Path
    sha256: str
    household_rows: int
    member_rows: int


def write_snapshot(
    conn: Connection,
    folder: Path,
    household_inputs: Mapping[str, str],
    member_inputs: Mapping[str, str] = MappingProxyType({}),
    recorded: Recorded = NOTHING_RECORDED,
    versions: sql.Composable = LIVE,
    known_at: sql.Composable = NOW,
) -> Snapshot:
    """Write `households.parquet` and `members.parquet` of all live households into `folder`.

    The inputs are what a programme declares beside the fixed columns: names with their kinds (int,
    money, text, bool, date). `recorded` are those that people record in a cycle rather than answer
    in the form, as expressions on `registry.live v` and `registry.member m`. `versions` are those
    of other households than the live ones: `read_by` gives those of a stored run; `known_at` is the
    moment by which people were merged, `decided_at` that of a run. The transaction should see one
    state of the database throughout (REPEATABLE READ). Memory holds one row group.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    households, members = folder / "households.parquet", folder / "members.parquet"
    seen = _Seen(versions, _ELSEWHERE.format(known_at=known_at))
    household_rows = _write(conn, households, *_households(household_inputs, recorded[0], seen))
    member_rows = _write(conn, members, *_members(member_inputs, recorded[1], seen))
    digests = b"".join(_sha256(path) for path in (households, members))
    sha256 = hashlib.sha256(digests).hexdigest()
    return Snapshot(households, members, sha256, household_rows, member_rows)


def read_by(run_id: str, household_id: str | None = None) -> sql.Composed:
    """Return the versions that a stored run read, of one household or of all."""
    of_one: sql.Composable = sql.SQL("")
    if household_id is not None:
        of_one = sql.SQL(" AND d.household_id = {}").format(sql.Literal(household_id))
    return sql.SQL(
        "(SELECT v.* FROM assessment.decision d JOIN registry.version v USING (version_id)"
        " WHERE d.run_id = {}{}) v"
    ).format(sql.Literal(run_id), of_one)


def decided_at(run_id: str) -> sql.Composed:
    """Return the moment of a stored run, for `write_snapshot`."""
    return sql.SQL("(SELECT at FROM assessment.run WHERE run_id = {})").format(sql.Literal(run_id))


@dataclass(frozen=True, slots=True)
class _Seen:
    """The versions of a snapshot, and the tables `elsewhere` and `fewer` beside them."""

    versions: sql.Composable
    merged: sql.Composable


def _households(
    inputs: Mapping[str, str], recorded: Mapping[str, sql.Composable], seen: _Seen
) -> tuple[sql.Composed, pa.Schema]:
    types = dict(HOUSEHOLD_COLUMNS)
    parts: list[sql.Composable] = [_of_version(name) for name in types]
    for name, kind in inputs.items():
        if name in types:
            continue
        types[name] = KINDS[kind][0]
        if name in recorded:
            parts.append(recorded[name])
        elif name in VERSION_INPUTS:
            parts.append(_of_version(name))
        else:
            parts.append(_answer(name, kind))
    query = sql.SQL(
        "COPY ({} SELECT {} FROM {} LEFT JOIN fewer f ON f.version_id = v.version_id"
        " WHERE NOT v.has_roster OR coalesce(f.people, 0) < v.roster_size"
        ' ORDER BY v.household_id COLLATE "C") TO STDOUT (FORMAT csv)'
    ).format(seen.merged, sql.SQL(", ").join(parts), seen.versions)
    return query, pa.schema(list(types.items()))


def _of_version(name: str) -> sql.Composable:
    """Return a column of the version; sizes without the people who count elsewhere."""
    column = sql.SQL("v.") + sql.Identifier(name)
    if name not in _SIZES:
        return column
    return sql.SQL("{0} - least(coalesce(f.people, 0), {0} - 1)").format(column)


def _members(
    inputs: Mapping[str, str], recorded: Mapping[str, sql.Composable], seen: _Seen
) -> tuple[sql.Composed, pa.Schema]:
    """Return the query and the schema of members; an input nobody was asked is null throughout."""
    types = dict(MEMBER_COLUMNS)
    parts: list[sql.Composable] = [sql.Identifier(name) for name in types]
    for name, kind in inputs.items():
        if name not in types:
            types[name] = KINDS[kind][0]
            parts.append(recorded.get(name, sql.NULL))
    query = sql.SQL(
        "COPY ({} SELECT {} FROM {} JOIN registry.member m USING (version_id)"
        " WHERE NOT EXISTS (SELECT FROM elsewhere e"
        " WHERE (e.household_id, e.member_no) = (v.household_id, m.member_no)"
        " AND (e.sex, e.birth_date) IS NOT DISTINCT FROM (m.sex, m.birth_date))"
        ' ORDER BY v.household_id COLLATE "C", m.member_no) TO STDOUT (FORMAT csv)'
    ).format(seen.merged, sql.SQL(", ").join(parts), seen.versions)
    return query, pa.schema(list(types.items()))


def _answer(name: str, kind: str) -> sql.Composed:
    key = sql.Literal(name)
    return sql.SQL(KINDS[kind][1]).format(
        json=sql.SQL("v.answers -> {}").format(key), text=sql.SQL("v.answers ->> {}").format(key)
    )


def _write(conn: Connection, path: Path, query: sql.Composed, schema: pa.Schema) -> int:
    """Write the rows of `query` to `path`, whole or not at all; return how many there are."""
    fresh = path.with_name(path.name + ".part")
    rows = 0
    with (
        conn.cursor() as cursor,
        cursor.copy(query) as copy,
        pq.ParquetWriter(fresh, schema, compression="zstd", store_schema=False) as writer,
    ):
        for group in _row_groups(
            _tables(io.BufferedReader(_Text(iter(copy)), BLOCK_BYTES), schema), schema
        ):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
            rows += group.num_rows
    fresh.replace(path)
    return rows


def _tables(text: io.BufferedReader, schema: pa.Schema) -> Iterator[pa.Table]:
    if not text.peek(1):
        return
    reader = pa_csv.open_csv(
        text,
        read_options=pa_csv.ReadOptions(
            use_threads=False, block_size=BLOCK_BYTES, column_names=schema.names
        ),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types=schema, null_values=[""], true_values=["t"], false_values=["f"],
            strings_can_be_null=True, quoted_strings_can_be_null=False,
        ),
    )  # fmt: skip
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _row_groups(tables: Iterator[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows of `tables` again in groups of one size, however they were cut before."""
    waiting = schema.empty_table()
    for table in tables:
        waiting = pa.concat_tables([waiting, table])
        while waiting.num_rows >= ROW_GROUP_ROWS:
            yield waiting.slice(0, ROW_GROUP_ROWS)
            waiting = waiting.slice(ROW_GROUP_ROWS)
    if waiting.num_rows:
        yield waiting


class _Text(io.RawIOBase):
    """What COPY sends, as a file to read from."""

    def __init__(self, blocks: Iterator[bytes | bytearray | memoryview]) -> None:
        super().__init__()
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Fill `buffer` as far as one block goes; 0 at the end."""
        target = memoryview(buffer)
        if not self._left:
            self._left = memoryview(next(self._blocks, b""))
        size = min(len(target), len(self._left))
        target[:size] = self._left[:size]
        self._left = self._left[size:]
        return size


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
