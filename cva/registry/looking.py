"""Looking at one registration with its personal fields: an act of a person, and recorded.

What was looked at is opened for this moment only. The log says who looked at whom and when, never
what they saw. Needed where people decide: of duplicates, of a finding, of a complaint.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import Connection
from psycopg.rows import dict_row

from cva import acts, staff
from cva.identifiers import new_id
from cva.vault import Personal, Vault
from ledgers.problems import Answer, Problem

HOUSEHOLD_NOT_FOUND = Problem(
    "household_not_found",
    "There is no household {household}.",
    "Copy the id from a list of duplicates, findings or lines.",
    Answer.NOT_FOUND,
)

_LATEST = """
    SELECT v.version_id, v.revision, v.sealed, k.wrapped, i.file_name, v.submitted_at,
           v.consent_given, v.province, v.district, v.population_group, v.declared_size,
           v.roster_size, v.answers,
           (SELECT w.kept_id FROM registry.withdrawn w WHERE w.household_id = v.household_id)
             AS kept_id
    FROM registry.version v
    JOIN registry.household_key k USING (household_id) JOIN registry.import i USING (import_id)
    WHERE v.household_id = %s ORDER BY v.version_id DESC LIMIT 1
"""

_MEMBERS = """
    SELECT member_no, relationship, sex, birth_date, birth_date_precision, nationality,
           disability_percent
    FROM registry.member WHERE version_id = %s ORDER BY member_no
"""

_CLEAR = (
    "file_name", "submitted_at", "consent_given", "province", "district", "population_group",
    "declared_size", "roster_size", "kept_id",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Registration:
    """The latest version of a registration; `members` in their order, as `personal.members`.

    `facts` has the clear fields and the answers; `kept_id` is set for a confirmed duplicate.
    """

    household_id: str
    facts: Mapping[str, object]
    members: Sequence[Mapping[str, object]]
    personal: Personal = field(repr=False)


def look(
    conn: Connection, vault: Vault, household_id: str, *, person_id: str, at: datetime
) -> Registration:
    """Open a registration for a person with the role programme, and record that they looked.

    Raises `role_missing`, `household_not_found`, `sealed_damaged`.
    """
    staff.require(conn, person_id, staff.Role.PROGRAMME)
    with conn.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_LATEST, (household_id,)).fetchone()
        if row is None:
            raise HOUSEHOLD_NOT_FOUND.refusal(household=household_id)
        members = cursor.execute(_MEMBERS, (row["version_id"],)).fetchall()
    personal = vault.open_household(household_id, row["revision"], row["wrapped"], row["sealed"])
    acts.record(
        conn, key=f"look:{new_id('act', at)}", verb="look", object_id=household_id,
        body={"household": household_id}, person_id=person_id, at=at, answer={},
    )  # fmt: skip
    facts = {**{name: row[name] for name in _CLEAR}, **row["answers"]}
    return Registration(household_id, facts, members, personal)
