"""Our own assistance as a list for other agencies: the shape in which theirs is imported.

One row for each member of each household that a plan pays, has paid or failed to pay; a stopped
line promises nothing and is not in it. A record keeps its reference over every attempt, so that a
later list replaces what an earlier one said. Needs that the policy keeps confidential never leave.
Names and numbers leave in clear: the file is closed to others on this machine, and that somebody
wrote it is recorded.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path

from psycopg import Connection
from psycopg.rows import dict_row

from adapters.assistance import write_list
from cva import acts, staff
from cva.identifiers import new_id
from cva.registry import policies
from cva.vault import Vault
from ledgers.money import format_amount

BATCH = 2000
_LINES = """
    WITH latest AS (
      SELECT DISTINCT ON (cycle_id, household_id, kind) * FROM payments.line_state
      WHERE stopped IS NULL ORDER BY cycle_id, household_id, kind, attempt DESC)
    SELECT l.cycle_id || ':' || l.household_id || ':' || l.kind AS record_ref,
           l.household_id, l.amount_minor, l.people, l.state, v.revision, v.sealed, k.wrapped,
           v.province, v.district, p.currency::text AS currency, g.code AS programme,
           g.document->>'need' AS need, g.document->>'modality' AS modality,
           coalesce(g.document->>'cycles' = 'one_off', false) AS one_off,
           lower(y.period) AS first_day, upper(y.period) - 1 AS last_day, s.at AS committed_at,
           (SELECT o.verdict FROM duplicates.overlap_now o
            WHERE (o.cycle_id, o.household_id, o.kind) = (l.cycle_id, l.household_id, l.kind)
              AND o.record_key LIKE 'oa:%%'
            ORDER BY o.overlap_id DESC LIMIT 1) AS verdict,
           m.people AS members
    FROM latest l JOIN payments.plan p USING (plan_id)
    JOIN programme.cycle y ON y.cycle_id = l.cycle_id
    JOIN programme.programme g USING (programme_id)
    JOIN registry.version v USING (version_id)
    JOIN registry.household_key k ON k.household_id = l.household_id
    LEFT JOIN LATERAL (SELECT max(at) AS at FROM payments.signature
                       WHERE plan_id = l.plan_id AND act = 'approved') s ON true
    CROSS JOIN LATERAL (
      SELECT jsonb_agg(jsonb_build_array(member_no, relationship, sex, birth_date,
               birth_date_precision) ORDER BY member_no) AS people
      FROM registry.member WHERE version_id = l.version_id) m
    WHERE g.document ? 'need' AND NOT (g.document->>'need' = ANY (%s))
      AND upper(y.period) > %s
    ORDER BY l.cycle_id, l.household_id, l.kind
"""
_STATUS = {
    "loaded": "paid", "pending": "committed", "unknown": "committed", "voided": "failed",
    "returned": "failed", "cancelled": "cancelled",
}  # fmt: skip


def export_list(
    conn: Connection, vault: Vault, path: Path, since: date, *, person_id: str, at: datetime
) -> int:
    """Write our assistance of cycles that end on `since` or later; return how many rows.

    `path` must not exist. Raises `role_missing`.
    """
    staff.require(conn, person_id, staff.Role.PROGRAMME)
    confidential = list(policies.in_force(conn).confidential_needs)
    rows = write_list(path, _rows(conn, vault, confidential, since))
    acts.record(
        conn, key=f"export:{new_id('act', at)}", verb="export_list", object_id=path.name,
        body={"since": since.isoformat()}, person_id=person_id, at=at, answer={"rows": rows},
    )  # fmt: skip
    return rows


def _rows(
    conn: Connection, vault: Vault, confidential: list[str], since: date
) -> Iterator[Mapping[str, str]]:
    with conn.cursor(name="lines", row_factory=dict_row) as cursor:
        cursor.itersize = BATCH
        cursor.execute(_LINES, (confidential, since))
        for line in cursor:
            yield from _members(vault, line)


def _members(vault: Vault, line: Mapping[str, object]) -> Iterator[Mapping[str, str]]:
    household_id = str(line["household_id"])
    personal = vault.open_household(
        household_id, str(line["revision"]), _bytes(line["wrapped"]), _bytes(line["sealed"])
    )
    record = _record(line)
    people = line["members"]
    listed = people if isinstance(people, list) else []
    for (number, relationship, sex, born, precision), member in zip(
        listed, personal.members, strict=True
    ):
        told = {
            **record, "household_ref": household_id, "person_ref": f"{household_id}/{number}",
            "is_head": "yes" if relationship == "head" else "no", "sex": sex, "birth_date": born,
            "birth_date_precision": precision, "phone": personal.fields.get("phone"),
            "given_name": member.get("given_name") or member.get("full_name"),
            **{name: member.get(name) for name in ("family_name", "id_type", "id_number")},
        }  # fmt: skip
        yield {name: str(value) for name, value in told.items() if value not in (None, "")}


def _record(line: Mapping[str, object]) -> dict[str, object]:
    committed_at, status = line["committed_at"], _STATUS.get(str(line["state"]), "planned")
    if status == "planned" and committed_at is not None:
        status = "committed"
    amount_minor, currency = line["amount_minor"], str(line["currency"])
    return {
        **{name: line[name] for name in ("record_ref", "programme", "need", "modality", "currency",
                                          "people", "first_day", "last_day", "province",
                                          "district", "verdict")},
        "unit": "household", "one_off": "yes" if line["one_off"] else "no", "status": status,
        "committed_at": committed_at.isoformat() if isinstance(committed_at, datetime) else None,
        "amount": format_amount(amount_minor, currency) if isinstance(amount_minor, int) else None,
    }  # fmt: skip


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""
