"""Is this person registered already? One person against the registry, while they stand there.

Opening every name of a country takes minutes, so only those are opened that can be the person:
households that hold the same number or phone, heads of the same name, people born on the same day
(or in the same year and of the same sex, where only the year is known), at most `OPENED_MAX`
households: those with the number, the phone or the name first, and what is left out is said. They
are compared with the model of the last run; a sample of other registrations beside them tells how
rare a name is here. That somebody looked is recorded, not for whom.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from psycopg import Connection

from cva import acts, staff
from cva.registry import linking, persons
from cva.registry.places import folded
from cva.vault import Vault
from eligibility.duplicates.blocking import block, block_like
from eligibility.duplicates.engine import engine as opened
from eligibility.duplicates.fields import registry_fields
from eligibility.duplicates.identifiers import judge
from eligibility.duplicates.linkage import Register
from eligibility.duplicates.model import shipped
from eligibility.duplicates.preparing import prepare
from ledgers.problems import Answer, Finding, Place, Problem

NOBODY_TO_CHECK = Problem(
    "check_without_person",
    "There is neither a name nor a number to look for.",
    "Give at least the given name and the birth date, or a number.",
    Answer.USAGE,
)

CHECK_INCOMPLETE = Problem(
    "check_incomplete",
    "More than {opened} households may hold this person; {opened} were compared.",
    "Give the exact birth date, a number or a phone, and look again.",
)

OPENED_MAX = 2000
SAMPLE = 1000
_CANDIDATES = """
    WITH likely AS (
      SELECT household_id, 1 AS place FROM registry.identifier JOIN registry.version
        USING (version_id) WHERE token = ANY (%(tokens)s)
      UNION ALL
      SELECT v.household_id, 2 FROM registry.member m JOIN registry.version v USING (version_id)
      WHERE m.birth_date = %(born)s AND NOT %(coarse)s
         OR %(coarse)s AND m.birth_date BETWEEN %(first)s AND %(last)s
            AND m.sex IS NOT DISTINCT FROM coalesce(%(sex)s, m.sex))
    SELECT household_id FROM likely GROUP BY household_id
    ORDER BY min(place), household_id LIMIT %(most)s
"""
_SAMPLE = """
    SELECT household_id FROM registry.version TABLESAMPLE SYSTEM ((
      SELECT least(100, %(sample)s * 100.0 / greatest(1, max(version_id))) FROM registry.version))
      REPEATABLE (1)
    LIMIT %(sample)s
"""


@dataclass(frozen=True, slots=True)
class Match:
    """Somebody registered who may be the person: `key` is household and member."""

    key: str
    band: str
    score_millibits: int
    shared_id: str | None
    contradiction: str | None


@dataclass(frozen=True, slots=True)
class Checked:
    """Who may be the person, the likeliest first; a finding where not everybody was compared."""

    matches: Sequence[Match]
    findings: Sequence[Finding]


def check(
    conn: Connection,
    vault: Vault,
    person: Mapping[str, str | None],
    *,
    person_id: str,
    at: datetime,
) -> Checked:
    """Return who of the registry may be this person.

    `person` has columns of `shapes.PERSON`. Raises `check_without_person`, `role_missing`.
    """
    staff.require(conn, person_id, staff.Role.PROGRAMME)
    if not any(person.get(name) for name in ("given_name", "id_number", "phone")):
        raise NOBODY_TO_CHECK.refusal()
    model = linking.last_model(conn)
    found = _candidates(conn, vault, person)
    wanted = found[:OPENED_MAX]
    findings: list[Finding] = []
    if len(found) > OPENED_MAX:
        findings.append(CHECK_INCOMPLETE.finding(Place("registry"), opened=OPENED_MAX))
    acts.record(
        conn, key=f"check:{secrets.token_hex(16)}", verb="check", object_id="registry",
        body={"opened": len(wanted)}, person_id=person_id, at=at, answer={"opened": len(wanted)},
    )  # fmt: skip
    if not wanted:
        return Checked([], findings)
    sample = [row[0] for row in conn.execute(_SAMPLE, {"sample": SAMPLE})]
    held = persons.registered_in(conn, vault, list({*wanted, *sample}))
    asked = persons.table_of([{**person, "record_id": "asked", "household_id": "asked"}])
    fields = registry_fields()
    with opened(linking.MEMORY_MB, linking.THREADS) as connection:
        known = block(connection, prepare(connection, "held", held, fields))
        model = model or shipped(fields, known.prepared.facts, known.prepared.people)
        arriving = block_like(connection, prepare(connection, "asked", asked, fields), known)
        links = Register(connection, known, model).with_new(arriving)
        pairs = links.pairs(connection).to_pylist()
    matches = [
        Match(
            pair["id_l"], pair["band"], round(pair["score"] * linking.THOUSAND), pair["shared_id"],
            pair["contradiction"],
        )
        for pair in pairs
    ]  # fmt: skip
    return Checked(matches, findings)


def _candidates(conn: Connection, vault: Vault, person: Mapping[str, str | None]) -> Sequence[str]:
    born = date.fromisoformat(person.get("birth_date") or "0001-01-01")
    coarse = person.get("birth_date_precision") == "year" or (born.month, born.day) == (1, 1)
    values = {
        "tokens": _tokens(vault, person), "born": born, "sex": person.get("sex"),
        "coarse": coarse and bool(person.get("birth_date")), "first": born.replace(month=1, day=1),
        "last": born.replace(month=12, day=31), "most": OPENED_MAX + 1,
    }  # fmt: skip
    return [row[0] for row in conn.execute(_CANDIDATES, values)]


def _tokens(vault: Vault, person: Mapping[str, str | None]) -> list[bytes]:
    """Return the tokens under which a registration of the same person may stand."""
    found = []
    for column, kind in (("id_number", person.get("id_type") or "other_id"), ("phone", "phone")):
        judged = judge(kind, person.get(column) or "")
        if judged.normalised:
            stored = "phone" if column == "phone" else judged.kind.value
            found.append(vault.token(stored, judged.normalised))
    names = [person.get(name) or "" for name in ("given_name", "family_name")]
    if name := folded(" ".join(names)):
        found.append(vault.token("name", name))
    return found
