"""Who may do what to a plan, also for somebody who types SQL as the application."""

from datetime import date

import psycopg
import pytest
from psycopg.errors import (
    ForeignKeyViolation,
    InsufficientPrivilege,
    LockNotAvailable,
    UniqueViolation,
)

from adapters.simulators.card_processor import CardProcessor
from cva.database.cluster import Role
from cva.identifiers import new_id
from cva.jobs import Work, running
from cva.payments.planning import Plan
from ledgers.problems import Refusal
from tests.cva.payments.agency import GRANT, Agency
from tests.cva.payments.test_card_plans import CORRECTED, paid_and_asked

SCHEMAS = [
    "ops", "staff", "registry", "duplicates", "programme", "assessment", "payments", "books",
]  # fmt: skip
SIGN = (
    "INSERT INTO payments.signature (plan_id, person_id, act, digest, signature, reason, at)"
    " SELECT plan_id, %(person)s, %(act)s, digest, decode(repeat('00', 64), 'hex'), 'seen', now()"
    " FROM payments.plan WHERE plan_id = %(plan)s"
)
COPY_LINE = """
    INSERT INTO payments.line
    SELECT (jsonb_populate_record(l, %(changes)s)).* FROM payments.line l
    WHERE plan_id = %(plan)s AND line_no = 1
"""
# The plan as it is with something changed, and signed for with the digest of what it then says.
COPY_PLAN = """
    WITH changed AS (SELECT jsonb_populate_record(p, %(changes)s) AS plan FROM payments.plan p
                     WHERE plan_id = %(plan)s),
         digested AS (SELECT jsonb_populate_record(plan, jsonb_build_object('digest',
                        payments.digest((plan).plan_id, payments.head(plan)))
                        || %(digest)s) AS plan FROM changed)
    INSERT INTO payments.plan SELECT (plan).* FROM digested
"""
OUTCOME = (
    "INSERT INTO payments.outcome (plan_id, line_no, step, kind, amount_minor, delivered_on, at)"
    " VALUES (%(plan)s, %(line)s, %(step)s, %(kind)s, %(minor)s, %(on)s, now())"
)
FILE = (
    "INSERT INTO payments.file (file_id, plan_id, part, generation, message_id, created_at,"
    " first_line, last_line, control_count, control_sum_minor)"
    " VALUES (%(file)s, %(plan)s, 9, 9, 'M9', now(), 1, 6, %(count)s, %(sum)s)"
)


def json(**changes: object) -> psycopg.types.json.Jsonb:
    return psycopg.types.json.Jsonb(changes)


def sign(agency: Agency, plan: Plan, by: str, act: str = "approved") -> None:
    agency.raw(SIGN, plan=plan.plan_id, person=agency.id_of(by), act=act)


# --- three hands ------------------------------------------------------------------------------


def test_whoever_prepared_a_plan_signs_nothing_of_it(cards: Agency) -> None:
    cards.grant("deniz", "programme")
    plan = cards.prepare(by="deniz")
    with pytest.raises(Refusal, match=r"preparer_may_not_sign: .* may not have it approved"):
        cards.approve(plan, "deniz")
    with pytest.raises(Refusal, match="preparer_may_not_sign"):
        sign(cards, plan, "deniz")
    sign(cards, plan, "omar")
    sign(cards, plan, "selin")
    with pytest.raises(Refusal, match=r"preparer_may_not_sign: .* may not have it released"):
        sign(cards, plan, "deniz", "released")


def test_nobody_signs_twice(cards: Agency) -> None:
    plan = cards.prepare()
    sign(cards, plan, "deniz")
    for act in ("approved", "released"):
        with pytest.raises(Refusal, match="signed_already"):
            sign(cards, plan, "deniz", act)
    cards.approve(plan, "omar")
    with pytest.raises(Refusal, match="signed_already"):
        cards.release(plan, "omar")


@pytest.mark.parametrize("stranger", ["amal", "ines", "sam", "kerem"])
def test_only_finance_moves_money(cards: Agency, stranger: str) -> None:
    plan = cards.approved(cards.prepare())
    for verb in (
        lambda: cards.approve(plan, stranger),
        lambda: cards.release(plan, stranger),
    ):
        with pytest.raises(Refusal, match=r"role_missing|preparer_may_not_sign"):
            verb()
    for verb in (
        lambda: cards.send(plan, stranger),
        lambda: cards.not_taken("fil_1", stranger),
        lambda: cards.collect(stranger),
        lambda: cards.inquire(plan, stranger),
        lambda: cards.settle(plan, stranger),
        lambda: cards.fund("float_credited", key="x", by=stranger),
        lambda: cards.book_fees(stranger),
        lambda: cards.reconcile(stranger),
    ):
        with pytest.raises(Refusal, match="role_missing: This needs the role finance"):
            verb()


@pytest.mark.parametrize("stranger", ["deniz", "ines", "sam", "kerem"])
def test_only_the_programme_prepares(cards: Agency, stranger: str) -> None:
    plan = cards.prepare()
    for verb in (
        lambda: cards.prepare(by=stranger, key="x"),
        lambda: cards.follow_up(plan, by=stranger),
        lambda: cards.raw(
            COPY_PLAN, plan=plan.plan_id, digest=json(),
            changes=json(plan_id="plan_" + "0" * 26, prepared_by=cards.id_of(stranger)),
        ),
    ):  # fmt: skip
        with pytest.raises(Refusal, match="role_missing: This needs the role programme"):
            verb()
    if stranger != "deniz":
        with pytest.raises(Refusal, match="role_missing"):
            cards.cancel(plan, stranger)


def test_a_signature_under_something_else_is_refused(cards: Agency) -> None:
    plan = cards.prepare()
    statement = SIGN.replace(" digest, decode", " sha256('another plan'), decode")
    with pytest.raises(Refusal, match="digest_differs"):
        cards.raw(statement, plan=plan.plan_id, person=cards.id_of("omar"), act="approved")
    with pytest.raises(Refusal, match="passphrase_wrong"):
        cards.approve(plan, "omar", words="not the words of Omar")


def test_a_plan_is_released_on_all_its_approvals_and_only_once(cards: Agency) -> None:
    plan = cards.prepare()
    with pytest.raises(Refusal, match="approvals_missing: The plan has 0 of 2"):
        cards.release(plan)
    cards.approve(plan, "deniz")
    with pytest.raises(Refusal, match="approvals_missing: The plan has 1 of 2"):
        sign(cards, plan, "selin", "released")
    cards.approve(plan, "omar")
    with pytest.raises(Refusal, match="approvals_complete"):
        cards.approve(plan, "selin")
    cards.release(plan)
    cards.grant("sam", "finance")
    for act in ("approved", "released"):
        with pytest.raises(Refusal, match="plan_already_released"):
            sign(cards, plan, "sam", act)


def test_nothing_is_signed_after_a_cancellation(cards: Agency) -> None:
    plan = cards.prepare()
    cards.cancel(plan)
    for act in ("approved", "released"):
        with pytest.raises(Refusal, match="plan_cancelled"):
            sign(cards, plan, "omar", act)


# --- locked plans -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "digest"),
    [
        ({"lines": 7}, {}), ({"stopped_lines": 0}, {}), ({"total_minor": 4_500_001}, {}),
        ({"people": 21}, {}), ({}, {"digest": "\\x" + "00" * 32}),
    ],
)  # fmt: skip
def test_a_plan_that_differs_from_its_lines_is_refused_at_commit(
    cards: Agency, changes: dict[str, object], digest: dict[str, str]
) -> None:
    plan = cards.prepare()
    cards.cancel(plan)
    made = new_id("plan", cards.clock.now())
    lines = COPY_LINE.replace("AND line_no = 1", "").replace(
        "(jsonb_populate_record(l, %(changes)s))",
        "(jsonb_populate_record(l, jsonb_build_object('plan_id', %(made)s::text, 'attempt', 2,"
        " 'instruction_ref', 'R' || line_no)))",
    )
    say = {"plan": plan.plan_id, "made": made, "digest": json(**digest)}
    with pytest.raises(Refusal, match="plan_differs_from_lines"):
        cards.raw(lines, COPY_PLAN, changes=json(plan_id=made, **changes), **say)
    say["digest"] = json()
    cards.raw(lines, COPY_PLAN, changes=json(plan_id=made), **say)  # without a change it stands


def test_no_line_joins_a_locked_plan(cards: Agency) -> None:
    plan = cards.prepare()
    changes = json(line_no=7, attempt=2, instruction_ref="R7")
    with pytest.raises(Refusal, match="plan_is_locked"):
        cards.raw(COPY_LINE, plan=plan.plan_id, changes=changes)
    orphan = json(plan_id="plan_x", attempt=2, instruction_ref="R7")
    cards.cancel(plan)
    with pytest.raises(ForeignKeyViolation):
        cards.raw(COPY_LINE, plan=plan.plan_id, changes=orphan)


def test_writers_of_lines_of_one_cycle_wait_for_each_other(cards: Agency) -> None:
    plan = cards.prepare()
    cards.cancel(plan)
    with psycopg.connect(cards.database.address(Role.APP)) as other:
        ahead = json(plan_id="plan_x", attempt=2, instruction_ref="R7")
        other.execute(COPY_LINE, {"plan": plan.plan_id, "changes": ahead})
        late = json(plan_id="plan_y", line_no=2, attempt=2, instruction_ref="R8")
        with pytest.raises(LockNotAvailable):
            cards.raw("SET LOCAL lock_timeout = 50", COPY_LINE, plan=plan.plan_id, changes=late)
        other.rollback()


def test_a_household_has_one_unfailed_payment_in_a_cycle(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.released(cards.prepare())
    again = {"plan_id": "plan_x", "instruction_ref": "R7"}
    with pytest.raises(UniqueViolation, match="once_per_cycle"):
        cards.raw(COPY_LINE, plan=plan.plan_id, changes=json(**again))
    second = json(**again, attempt=2)
    with pytest.raises(Refusal, match="already_paid_or_pending"):  # pending
        cards.raw(COPY_LINE, plan=plan.plan_id, changes=second)
    cards.send(plan)
    processor.run_once()
    cards.collect()
    cards.settle(plan)
    with pytest.raises(Refusal, match="already_paid_or_pending"):  # loaded
        cards.raw(COPY_LINE, plan=plan.plan_id, changes=second)
    for line_no, minor in ((1, 1), (4, 525_001)):  # loaded in full; 525,000 are open
        shortfall = json(**again, kind="shortfall", amount_minor=minor)
        with pytest.raises(Refusal, match="shortfall_without_short_load"):
            cards.raw(
                COPY_LINE.replace("line_no = 1", f"line_no = {line_no}"),
                plan=plan.plan_id, changes=shortfall,
            )  # fmt: skip


def test_a_line_pays_by_a_registration_of_its_own_household(cards: Agency) -> None:
    plan = cards.prepare()
    cards.cancel(plan)
    foreign = json(plan_id="plan_x", attempt=2, instruction_ref="R7", version_id=2)
    with pytest.raises(Refusal, match="line_without_registration"):
        cards.raw(COPY_LINE, plan=plan.plan_id, changes=foreign)


def test_a_plan_rests_on_its_own_cycle(cards: Agency) -> None:
    plan = cards.prepare()
    cards.raw(
        "INSERT INTO programme.cycle SELECT 'cyc_' || repeat('0', 26), programme_id,"
        " programme_number, 'april', '[2026-04-01,2026-05-01)', person_id, at FROM programme.cycle"
    )
    made = json(plan_id="plan_" + "0" * 26, cycle_id="cyc_" + "0" * 26)
    with pytest.raises(Refusal, match="plan_of_another_cycle"):
        cards.raw(COPY_PLAN, plan=plan.plan_id, changes=made, digest=json())


# --- files, outcomes, closes ------------------------------------------------------------------


def test_lines_are_in_one_file_at_a_time(cards: Agency) -> None:
    plan = cards.approved(cards.prepare())
    file = {"file": "fil_" + "0" * 26, "plan": plan.plan_id, "count": 5, "sum": 4_500_000}
    with pytest.raises(Refusal, match="plan_not_released"):
        cards.raw(FILE, **file)
    cards.release(plan)
    with pytest.raises(Refusal, match="file_may_have_been_taken"):
        cards.raw(FILE, **file)
    ((file_id, *_),) = cards.files()
    cards.not_taken(file_id)
    with pytest.raises(Refusal, match="file_differs_from_lines"):
        cards.raw(FILE, **(file | {"sum": 4_500_001}))
    cards.raw(FILE, **file)


def test_a_file_is_handed_over_only_while_it_is_open(cards: Agency) -> None:
    plan = cards.released(cards.prepare())
    cards.send(plan)
    again = (
        "INSERT INTO payments.handover SELECT file_id, 2, recipient, control_count,"
        " control_sum_minor, person_id, now() FROM payments.handover"
    )
    with pytest.raises(Refusal, match="file_not_open"):
        cards.raw(again)
    with pytest.raises(Refusal, match="file_was_taken"):
        cards.not_taken(cards.files()[0][0])


def test_an_outcome_says_what_the_books_say(cards: Agency, processor: CardProcessor) -> None:
    plan = cards.released(cards.prepare())
    said = {"plan": plan.plan_id, "line": 1, "step": 1, "minor": 600_000, "on": date(2026, 3, 3)}
    nothing = {"minor": 0, "on": None}
    with pytest.raises(Refusal, match="outcome_differs_from_books"):
        cards.raw(OUTCOME, **said, kind="loaded")
    for kind in ("voided", "cancelled"):
        with pytest.raises(Refusal, match="outcome_differs_from_books"):
            cards.raw(OUTCOME, **(said | nothing), kind=kind)
    for line, minor in ((99, 600_000), (1, 600_001)):
        with pytest.raises(Refusal, match="outcome_without_line"):
            cards.raw(OUTCOME, **(said | {"line": line, "minor": minor}), kind="loaded")
    with pytest.raises(Refusal, match="outcome_without_line"):
        cards.raw(OUTCOME, **(said | nothing), kind="stopped")
    back = said | {"step": 2, "on": None}
    with pytest.raises(Refusal, match="return_without_load"):
        cards.raw(OUTCOME, **back, kind="returned")
    cards.send(plan)
    processor.run_once()
    cards.collect()
    cards.settle(plan)
    with pytest.raises(Refusal, match="outcome_differs_from_books"):
        cards.raw(OUTCOME, **back, kind="returned")


def test_a_cycle_closes_on_a_reconciliation_of_its_own_without_a_difference(
    cards: Agency, processor: CardProcessor
) -> None:
    paid_and_asked(cards, processor)
    processor.settle(date(2026, 3, 3))
    cards.collect()
    found = cards.reconcile()
    close = (
        "INSERT INTO programme.cycle_close VALUES (%(cycle)s, %(reconciliation)s, %(person)s,"
        " decode(repeat('00', 64), 'hex'), now())"
    )
    say = {
        "cycle": cards.cycle_id, "reconciliation": found.reconciliation_id,
        "person": cards.id_of("deniz"),
    }  # fmt: skip
    with pytest.raises(Refusal, match=r"cycle_not_reconciled: .* 450 minor units unexplained"):
        cards.raw(close, **say)
    cards.raw(
        "INSERT INTO payments.reconciliation SELECT 'rec_' || repeat('0', 26), cycle_id,"
        " planned_minor, ledger_minor, reported_minor, booked_minor, 0, 0, last_transfer_id,"
        " documents, person_id, now() FROM payments.reconciliation",
        "INSERT INTO payments.difference SELECT 'rec_' || repeat('0', 26), difference_no, name,"
        " instruction_ref, line_id, amount_minor, explained, owner FROM payments.difference",
    )
    with pytest.raises(Refusal, match="cycle_not_reconciled"):
        cards.raw(close, **(say | {"reconciliation": "rec_" + "0" * 26}))
    cards.book_fees()
    sound = cards.reconcile().reconciliation_id
    for stranger in ("amal", "ines", "sam"):
        with pytest.raises(Refusal, match="role_missing"):
            cards.close(stranger)
    cards.raw(close, **(say | {"reconciliation": sound}))


# --- nothing recorded changes -----------------------------------------------------------------


@pytest.fixture
def lived(cards: Agency, processor: CardProcessor) -> Agency:
    """An agency with rows in nearly every table."""
    plan = paid_and_asked(cards, processor)
    cards.register(CORRECTED, revision="2")
    cards.cancel(cards.follow_up(plan))
    refused = cards.released(cards.follow_up(plan, key="once more"))
    cards.not_taken(cards.files()[-1][0])
    cards.cancel(refused, "omar")
    processor.settle(date(2026, 3, 3))
    cards.collect()
    cards.book_fees()
    cards.reconcile()
    cards.close()
    return cards


def tables(agency: Agency) -> list[str]:
    rows = agency.rows(
        "SELECT format('%%I.%%I', n.nspname, c.relname) FROM pg_catalog.pg_class c"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY (%s) ORDER BY 1",
        SCHEMAS,
    )
    return [name for (name,) in rows]


def column_of(agency: Agency, table: str) -> str:
    return str(
        agency.one(
            "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = %s::regclass"
            " AND attnum > 0 AND attidentity = '' AND attgenerated = '' ORDER BY attnum LIMIT 1",
            table,
        )
    )


def changes(agency: Agency, table: str) -> list[str]:
    column = column_of(agency, table)
    return [
        f"UPDATE {table} SET {column} = {column}",
        f"DELETE FROM {table}",
        f"TRUNCATE {table} CASCADE",
    ]


def test_the_application_changes_no_row_of_any_table(lived: Agency) -> None:
    listed = tables(lived)
    assert len(listed) > 35
    with psycopg.connect(lived.database.address(Role.APP), autocommit=True) as app:
        for table in listed:
            for statement in changes(lived, table):
                with pytest.raises(InsufficientPrivilege):
                    app.execute(statement)


def test_not_even_the_owner_changes_a_row_in_passing(lived: Agency) -> None:
    # Move with every entry, and are recomputed from the log; the queue of what is not sealed yet;
    # how far a job has come, which is no record.
    kept = {"books.balance", "books.day_total", "books.wallet_balance", "books.unsealed",
            "ops.job_progress"}  # fmt: skip
    with running(lived.engine, Work("settle", "plan", "lines", "cva", "deniz"), lived.clock):
        lived.raw("INSERT INTO ops.job_cancel SELECT job_id, person_id, now() FROM ops.job")
    empty = set()
    with psycopg.connect(lived.database.address(Role.OWNER), autocommit=True) as owner:
        for table in sorted(set(tables(lived)) - kept):
            update, delete, truncate = changes(lived, table)
            filled = owner.execute(f"SELECT FROM {table} LIMIT 1").rowcount
            if not filled:
                empty.add(table)
            for statement in [update, delete, truncate] if filled else [truncate]:
                with pytest.raises(psycopg.Error, match="append_only"):
                    owner.execute(statement.replace("TRUNCATE", "TRUNCATE ONLY"))
    assert empty <= {
        "assessment.attendance",
        "assessment.award",
        "assessment.coverage",
        "assessment.discretionary",
        "assessment.discretionary_end",
        "assessment.leaving",
        "assessment.promotion",
        "assessment.run_terms",
        "assessment.snapshot_part",
        "books.account_closing",
        "books.checkpoint",
        "books.cosignature",
        "books.period_state",
        "books.item_batch",
        "books.item_refusal",
        "books.rate",
        "books.tree_node",
        "books.wallet",
        "ops.signing_key",
        "ops.witnessed",
        "payments.document_finding",
        "payments.statement_balance",
        "programme.pack",
        "programme.pack_proposal",
        "payments.stop_end",
        "payments.stop_owner",
        "payments.written_answer",
        "registry.finding",
        *(table for table in tables(lived) if table.startswith("duplicates.")),
    }


def test_an_auditor_reads_and_writes_nothing(lived: Agency) -> None:
    with psycopg.connect(lived.database.address(Role.AUDITOR), autocommit=True) as ines:
        for table in tables(lived):
            if table not in ("registry.household_key", "duplicates.list"):
                ines.execute(f"SELECT FROM {table} LIMIT 1")
            for statement in [f"INSERT INTO {table} DEFAULT VALUES", *changes(lived, table)]:
                with pytest.raises(InsufficientPrivilege):
                    ines.execute(statement)
        for statement in (
            "SELECT wrapped FROM registry.household_key",
            "SELECT wrapped FROM duplicates.list",
            "CREATE TABLE payments.own (n integer)",
            "CREATE TEMPORARY TABLE own (n integer)",
            "SELECT nextval('registry.version_version_id_seq')",
        ):
            with pytest.raises(InsufficientPrivilege):
                ines.execute(statement)
    assert GRANT in str(lived.trial_balance())
