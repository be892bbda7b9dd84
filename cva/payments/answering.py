"""Answering: a provider's letter decides a line that its files leave unknown for ever.

A provider that has gone silent about an instruction, or whose documents contradict each other, is
asked in writing. Its letter is kept sealed like every document, and two people of finance say, each
by themselves, what it says of the line: the same amount and day from the same bytes makes it an
observation that ranks above all others; different readings decide nothing, and either person may
read again. Settling then books it like anything a provider said.

A letter says nothing of a file that may still be on its way: `sending` is for that.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from psycopg import Connection

from adapters.port import Document, Evidence, Outcome
from cva import acts, staff
from cva.payments import observing
from cva.payments.sending import require_not_sending
from cva.vault import Vault
from ledgers.problems import Answer, Problem

LINE_NOT_FOUND = Problem(
    "line_not_found",
    "No plan has a line with the reference {ref}.",
    "List the lines of the plan and name one of them.",
    Answer.NOT_FOUND,
)
LINE_HAS_ENDED = Problem(
    "line_has_ended",
    "The line {line} is {state}: a letter decides nothing about it.",
    "Only what is pending or unknown is decided by a letter; what it says of others is a difference"
    " to reconcile.",
)
HAND_OVER_UNANSWERED = Problem(
    "hand_over_unanswered",
    "No file with the line {line} was taken for certain; one may be on its way.",
    "Send the plan again, which is safe, or record that the provider never took the file.",
)
WRITTEN_AMOUNT_UNFIT = Problem(
    "written_amount_unfit",
    "More than its amount was read about the line {line}.",
    "Read again; a line is paid at most once, with its amount.",
)
LETTER_READ_BY_ONE = Problem(
    "letter_read_by_one",
    "Two people have not read the same in one letter about the line {line}.",
    "A second person of finance reads the same document and records what it says.",
)

_LINE = """
    SELECT plan_id, line_no, p.provider, p.currency::text
    FROM payments.line JOIN payments.plan p USING (plan_id) WHERE instruction_ref = %s
"""
_OTHERS = """
    SELECT DISTINCT ON (a.person_id) w.login, a.document_id, a.amount_minor, a.observed_on
    FROM payments.written_answer a JOIN staff.person w USING (person_id)
    WHERE (a.plan_id, a.line_no) = (%s, %s) AND a.person_id <> %s
    ORDER BY a.person_id, a.answer_id DESC
"""
_OBSERVED = """
    INSERT INTO payments.observation (document_id, plan_id, line_no, ref, message_id, outcome,
      evidence, amount_minor, currency, reason_code, provider_ref, observed_on, recorded_at)
    VALUES (%s, %s, %s, %s, '', %s, %s, %s, %s, 'WRITTEN', '', %s, %s)
"""


class Standing(StrEnum):
    """What a reading brought about."""

    WAITS = "waits"  # nobody else has read the letter yet
    DIFFERS = "differs"  # somebody else read something else: nothing is decided
    DECIDES = "decides"  # two people read the same: the next settlement books it


@dataclass(frozen=True, slots=True)
class Reading:
    """What a letter says of a line: minor units paid (0: nothing, ever) and the day."""

    instruction_ref: str
    paid_minor: int
    on: date


@dataclass(frozen=True, slots=True)
class Read:
    """Where the line stands after a reading, and who else has read a letter about it."""

    standing: Standing
    others: tuple[str, ...]


def currency_of(conn: Connection, instruction_ref: str) -> str:
    """Return the currency that a line is paid in, or raise `line_not_found`."""
    return _line(conn, instruction_ref)[3]


def answer(
    conn: Connection,
    vault: Vault,
    reading: Reading,
    letter: Document,
    *,
    person_id: str,
    at: datetime,
    key: str = "",
) -> Read:
    """Record what one person of finance read in a letter; the second one's same reading decides.

    Raises `line_not_found`, `line_has_ended`, `hand_over_unanswered`, `written_amount_unfit`,
    `send_in_progress`, `role_missing`.
    """
    staff.require(conn, person_id, "finance")
    plan_id, line_no, provider, currency = _line(conn, reading.instruction_ref)
    require_not_sending(conn, plan_id)
    document_id, sha256, _ = observing.keep_bytes(
        conn, vault, provider, letter, person_id=person_id, at=at
    )
    body = {
        "line": reading.instruction_ref, "paid": reading.paid_minor, "on": str(reading.on),
        "sha256": sha256.hex(), "by": person_id,
    }  # fmt: skip
    key = key or f"written_answer:{acts.body_hash(body).hex()}"
    earlier = acts.already(conn, key, body)
    if earlier is not None:
        return Read(Standing(str(earlier["standing"])), _logins(str(earlier["others"])))
    # Two people at once: the second sees the first one's reading.
    conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 2))", (plan_id,))
    conn.execute(
        "INSERT INTO payments.written_answer (plan_id, line_no, document_id, amount_minor,"
        " observed_on, person_id, at) VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (plan_id, line_no, document_id, reading.paid_minor, reading.on, person_id, at),
    )
    others = conn.execute(_OTHERS, (plan_id, line_no, person_id)).fetchall()
    same = (document_id, reading.paid_minor, reading.on)
    standing = Standing.DIFFERS if others else Standing.WAITS
    if any(tuple(read) == same for _, *read in others):
        standing = Standing.DECIDES
        outcome = Outcome.EXECUTED if reading.paid_minor else Outcome.REJECTED
        conn.execute(
            _OBSERVED,
            (document_id, plan_id, line_no, reading.instruction_ref, outcome, Evidence.WRITTEN,
             reading.paid_minor, currency, reading.on, at),
        )  # fmt: skip
    logins = ",".join(sorted(login for login, *_ in others))
    acts.record(
        conn, key=key, verb="written_answer", object_id=plan_id, body=body, person_id=person_id,
        at=at, answer={"standing": standing.value, "others": logins},
    )  # fmt: skip
    return Read(standing, _logins(logins))


def _line(conn: Connection, instruction_ref: str) -> tuple[str, int, str, str]:
    row = conn.execute(_LINE, (instruction_ref,)).fetchone()
    if row is None:
        raise LINE_NOT_FOUND.refusal(ref=instruction_ref)
    plan_id, line_no, provider, currency = row
    return plan_id, line_no, provider, currency


def _logins(joined: str) -> tuple[str, ...]:
    return tuple(filter(None, joined.split(",")))
