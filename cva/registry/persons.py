"""The people of the registry, and of other agencies' lists, as linkage takes them: in memory only.

Names are opened for the moment of one run, from the sealed text of each registration, in batches;
they go into an Arrow table in this process' memory and from there into an in-memory DuckDB. That
somebody read them is recorded by whoever calls.

The *evidence* of a person is a keyed token of what is compared of them, so that a change of any of
it is seen and nothing of it can be guessed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby

import pyarrow as pa
from psycopg import Connection

from cva.vault import Personal, Vault
from eligibility.duplicates.shapes import PERSON

BATCH = 2000
_REGISTERED = """
    SELECT v.household_id, v.revision, k.wrapped, v.sealed, v.province, v.district, m.people
    FROM registry.live v JOIN registry.household_key k USING (household_id)
    CROSS JOIN LATERAL (
      SELECT jsonb_agg(jsonb_build_array(member_no, relationship, sex, birth_date,
               birth_date_precision) ORDER BY member_no) AS people
      FROM registry.member WHERE version_id = v.version_id) m
    WHERE {}
"""
_ALL = "true"
# A run sees the latest version of what is live; a merge that is reversed later makes it live again.
_SEEN = """v.version_id <= %s AND v.household_id NOT IN (
      SELECT household_id FROM duplicates.restored WHERE at >= %s)"""
_SOME = "v.household_id = ANY (%s)"
# The newest that each agency says of a person.
_LISTED = """
    SELECT o.list_id, l.wrapped, o.person_key, o.sealed, o.is_head
    FROM (SELECT DISTINCT ON (p.person_key) p.* FROM duplicates.other_person p
          JOIN duplicates.list USING (list_id)
          ORDER BY p.person_key, list.at DESC, p.list_id DESC) o
    JOIN duplicates.list l USING (list_id)
    ORDER BY o.list_id
"""
_FIELDS = tuple(PERSON.names)
_COMPARED = tuple(name for name in _FIELDS if name not in ("record_id", "household_id"))


def registered(conn: Connection, vault: Vault) -> pa.Table:
    """Return the people of all live registrations."""
    return table_of(_registered(conn, vault, _REGISTERED.format(_ALL), ()))


def seen(conn: Connection, vault: Vault, last_version_id: int, at: datetime) -> pa.Table:
    """Return the people that a run saw which read the registry at `at`, up to that version."""
    return table_of(_registered(conn, vault, _REGISTERED.format(_SEEN), (last_version_id, at)))


def unseen(conn: Connection, vault: Vault, last_version_id: int, at: datetime) -> pa.Table:
    """Return the people of the live registrations that such a run did not see."""
    query = _REGISTERED.format(f"NOT ({_SEEN})")
    return table_of(_registered(conn, vault, query, (last_version_id, at)))


def registered_in(conn: Connection, vault: Vault, households: Sequence[str]) -> pa.Table:
    """Return the people of these households, as far as they are live."""
    return table_of(_registered(conn, vault, _REGISTERED.format(_SOME), (list(households),)))


def listed(conn: Connection, vault: Vault) -> pa.Table:
    """Return the people of other agencies' lists, each as the newest list has them."""
    return table_of(_listed(conn, vault))


def evidence(vault: Vault, rows: Sequence[Mapping[str, str | None]]) -> bytes:
    """Return the token of all that is compared of these people, whatever their order."""
    told = sorted("\x1f".join(row[name] or "" for name in _COMPARED) for row in rows)
    return vault.token("evidence", "\x1e".join(told))


def _registered(
    conn: Connection, vault: Vault, query: str, values: Sequence[object]
) -> Iterator[dict[str, str | None]]:
    with conn.cursor(name="people") as cursor:
        cursor.itersize = BATCH
        cursor.execute(query, values)
        for household_id, revision, wrapped, sealed, province, district, people in cursor:
            personal = vault.open_household(household_id, revision, wrapped, sealed)
            shared = {
                "household_id": household_id, "province": province, "district": district,
                **_household(personal),
            }  # fmt: skip
            for (number, relationship, sex, born, precision), member in zip(
                people, personal.members, strict=True
            ):
                yield {
                    **shared, **_named(member), "record_id": f"{household_id}/{number}",
                    "relationship": relationship, "sex": sex, "birth_date": born,
                    "birth_date_precision": precision,
                }  # fmt: skip


def _listed(conn: Connection, vault: Vault) -> Iterator[dict[str, str | None]]:
    with conn.cursor(name="listed") as cursor:
        cursor.itersize = BATCH
        cursor.execute(_LISTED)
        for _, rows in groupby(cursor, key=lambda row: row[0]):
            for list_id, wrapped, person_key, sealed, is_head in rows:
                (member,) = vault.open_household(list_id, person_key, wrapped, sealed).members
                yield {
                    **member, "record_id": person_key,
                    "household_id": person_key.partition("/")[0],
                    "relationship": "head" if is_head else None,
                }  # fmt: skip


def _household(personal: Personal) -> dict[str, str | None]:
    fields = personal.fields
    card = fields.get("voucher_card_ref") or fields.get("debit_card_ref")
    told = {name: fields.get(name) for name in ("phone", "iban", "address")}
    return {**told, "card_ref": card}


def _named(member: Mapping[str, str]) -> dict[str, str | None]:
    """Return a member's names and number; a name in one piece is cut before its last word."""
    given, family = member.get("given_name"), member.get("family_name")
    if not given and not family and (words := member.get("full_name", "").split()):
        given = " ".join(words[:-1]) or words[0]
        family = words[-1] if len(words) > 1 else None
    return {
        "given_name": given, "family_name": family, "id_type": member.get("id_type"),
        "id_number": member.get("id_number"),
    }  # fmt: skip


def table_of(rows: Iterable[Mapping[str, str | None]]) -> pa.Table:
    """Return people as a table of `shapes.PERSON`; columns that are absent are unknown."""
    batches = []
    waiting: list[Mapping[str, str | None]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == BATCH:
            batches.append(pa.RecordBatch.from_pylist(waiting, schema=PERSON))
            waiting = []
    batches.append(pa.RecordBatch.from_pylist(waiting, schema=PERSON))
    return pa.Table.from_batches(batches, schema=PERSON)
