"""Verification: everything the books promise, recomputed from the log alone.

The triggers of `schema.sql` keep these promises while rows are written; somebody with the rights of
the owner can switch triggers off. So nothing here trusts them, or the balances kept: each check
reads the log as it stands and counts what it looked at. A check without a row to look at is said to
have checked 0.
"""

from dataclasses import dataclass

from psycopg import Connection

from ledgers.transparency.verifying import verify_log

_FOLD = """
    fold AS (
        SELECT account_id,
               coalesce(sum(debit_minor) FILTER (WHERE stage = 'posted'), 0) AS posted_debit,
               coalesce(sum(credit_minor) FILTER (WHERE stage = 'posted'), 0) AS posted_credit,
               coalesce(sum(debit_minor) FILTER (WHERE stage = 'pending'), 0) AS pending_debit,
               coalesce(sum(credit_minor) FILTER (WHERE stage = 'pending'), 0) AS pending_credit
        FROM books.posting GROUP BY account_id
    )
"""

# Name → a select of how many were checked, how many are wrong, and one wrong one.
_CHECKS = {
    "legs balance per entry, layer, currency and grant": """
        SELECT count(*), count(*) FILTER (WHERE difference <> 0),
               min(entry_id::text) FILTER (WHERE difference <> 0)
        FROM (SELECT entry_id, sum(amount_minor) AS difference FROM books.leg
              GROUP BY entry_id, layer, currency, grant_code) s
    """,
    "every entry has two legs or a transfer": """
        SELECT count(*), count(*) FILTER (WHERE bare), min(entry_ref) FILTER (WHERE bare)
        FROM (SELECT entry_ref, coalesce(legs, 0) < 2 AND transfers IS NULL AS bare
              FROM books.entry
              LEFT JOIN (SELECT entry_id, count(*) AS legs FROM books.leg GROUP BY 1) l
                  USING (entry_id)
              LEFT JOIN (SELECT entry_id, count(*) AS transfers FROM books.transfer GROUP BY 1) t
                  USING (entry_id)) s
    """,
    "every line stands on an entry and on accounts that fit": """
        SELECT count(*), count(*) FILTER (WHERE unfit), min(entry_id::text) FILTER (WHERE unfit)
        FROM (SELECT p.entry_id, e.entry_id IS NULL OR a.account_id IS NULL
                  OR a.currency <> p.currency OR (a.class = 'memo') <> (p.layer = 'M')
                  OR coalesce(a.grant_code <> p.grant_code, false) AS unfit
              FROM books.posting p LEFT JOIN books.entry e USING (entry_id)
              LEFT JOIN books.account a USING (account_id)) s
    """,
    "every hold is resolved at most once and never above its amount": """
        SELECT count(*), count(*) FILTER (WHERE resolutions > 1 OR above),
               min(instruction_ref) FILTER (WHERE resolutions > 1 OR above)
        FROM (SELECT p.instruction_ref, count(r.transfer_id) AS resolutions,
                     coalesce(sum(r.amount_minor), 0) > p.amount_minor AS above
              FROM books.transfer p LEFT JOIN books.transfer r ON r.pending_id = p.transfer_id
              WHERE p.phase = 'pending' GROUP BY p.transfer_id) s
    """,
    "every resolution repeats its hold": """
        SELECT count(*), count(*) FILTER (WHERE changed),
               min(instruction_ref) FILTER (WHERE changed)
        FROM (SELECT r.instruction_ref, p.transfer_id IS NULL OR p.phase <> 'pending'
                  OR r.held_minor <> p.amount_minor
                  OR (r.phase <> 'posted' AND r.amount_minor <> p.amount_minor)
                  OR (r.debit_account_id, r.credit_account_id, r.currency, r.grant_code,
                      r.instruction_ref, r.programme_id, r.cycle_id, r.provider, r.location,
                      r.wallet_id)
                     IS DISTINCT FROM
                     (p.debit_account_id, p.credit_account_id, p.currency, p.grant_code,
                      p.instruction_ref, p.programme_id, p.cycle_id, p.provider, p.location,
                      p.wallet_id)
                  AS changed
              FROM books.transfer r LEFT JOIN books.transfer p ON p.transfer_id = r.pending_id
              WHERE r.phase IN ('posted', 'voided', 'expired')) s
    """,
    "no instruction is on hold twice": """
        SELECT count(*), count(*) FILTER (WHERE holds > 1),
               min(instruction_ref) FILTER (WHERE holds > 1)
        FROM (SELECT instruction_ref, count(*) AS holds FROM books.transfer
              WHERE phase = 'pending' GROUP BY instruction_ref) s
    """,
    "every reversal is the mirror of its entry": """
        SELECT count(*), count(*) FILTER (WHERE off), min(entry_ref) FILTER (WHERE off)
        FROM (SELECT r.entry_ref, r.effective_on < o.effective_on
                  OR EXISTS (SELECT 1 FROM books.transfer t WHERE t.entry_id = r.entry_id)
                  OR EXISTS (
                      SELECT 1
                      FROM (SELECT * FROM books.leg WHERE entry_id = o.entry_id) a
                      FULL JOIN (SELECT * FROM books.leg WHERE entry_id = r.entry_id) b
                          USING (leg_no)
                      WHERE (a.layer, a.account_id, -a.amount_minor, a.currency, a.grant_code,
                             a.programme_id, a.cycle_id, a.provider, a.location, a.wallet_id)
                          IS DISTINCT FROM
                            (b.layer, b.account_id, b.amount_minor, b.currency, b.grant_code,
                             b.programme_id, b.cycle_id, b.provider, b.location,
                             b.wallet_id)) AS off
              FROM books.entry r JOIN books.entry o ON o.entry_id = r.reverses) s
    """,
    "debits equal credits over all accounts per currency": f"""
        WITH {_FOLD}
        SELECT count(*), count(*) FILTER (WHERE off), min(currency) FILTER (WHERE off)
        FROM (SELECT a.currency, sum(posted_debit) <> sum(posted_credit)
                  OR sum(pending_debit) <> sum(pending_credit) AS off
              FROM fold JOIN books.account a USING (account_id) GROUP BY a.currency) s
    """,
    "the balances kept are the fold of the log": f"""
        WITH {_FOLD}
        SELECT count(*), count(*) FILTER (WHERE off), min(account_id::text) FILTER (WHERE off)
        FROM (SELECT account_id,
                  (b.posted_debit, b.posted_credit, b.pending_debit, b.pending_credit)
                  IS DISTINCT FROM
                  (coalesce(f.posted_debit, 0), coalesce(f.posted_credit, 0),
                   coalesce(f.pending_debit, 0), coalesce(f.pending_credit, 0)) AS off
              FROM fold f FULL JOIN books.account_balance b USING (account_id)) s
    """,
    "no limited account is below zero, holds included": f"""
        WITH {_FOLD}
        SELECT count(*), count(*) FILTER (WHERE available < 0),
               min(code) FILTER (WHERE available < 0)
        FROM (SELECT a.code, CASE a.normal_side
                  WHEN 'debit' THEN posted_debit - posted_credit - pending_credit
                  ELSE posted_credit - posted_debit - pending_debit END AS available
              FROM fold JOIN books.account a USING (account_id) WHERE a.never_below_zero) s
    """,
    "the days' totals are the fold of the log": """
        SELECT count(*), count(*) FILTER (WHERE off), min(account_id::text) FILTER (WHERE off)
        FROM (SELECT account_id, (f.debit, f.credit) IS DISTINCT FROM (k.debit, k.credit) AS off
              FROM (SELECT p.account_id, e.effective_on, sum(p.debit_minor) AS debit,
                           sum(p.credit_minor) AS credit
                    FROM books.posting p JOIN books.entry e USING (entry_id)
                    WHERE p.stage = 'posted' GROUP BY 1, 2) f
              FULL JOIN (SELECT account_id, effective_on, sum(posted_debit) AS debit,
                                sum(posted_credit) AS credit
                         FROM books.day_total GROUP BY 1, 2) k
                  USING (account_id, effective_on)) s
    """,
    "the wallets' balances are the fold of the log": """
        SELECT count(*), count(*) FILTER (WHERE off), min(wallet_id::text) FILTER (WHERE off)
        FROM (SELECT wallet_id, (f.debit, f.credit, f.held_debit, f.held_credit) IS DISTINCT FROM
                  (b.posted_debit, b.posted_credit, b.pending_debit, b.pending_credit) AS off
              FROM (SELECT account_id, wallet_id,
                        coalesce(sum(debit_minor) FILTER (WHERE stage = 'posted'), 0) AS debit,
                        coalesce(sum(credit_minor) FILTER (WHERE stage = 'posted'), 0) AS credit,
                        coalesce(sum(debit_minor) FILTER (WHERE stage = 'pending'), 0)
                            AS held_debit,
                        coalesce(sum(credit_minor) FILTER (WHERE stage = 'pending'), 0)
                            AS held_credit
                    FROM books.posting WHERE wallet_id IS NOT NULL GROUP BY 1, 2) f
              FULL JOIN books.wallet_balance b USING (account_id, wallet_id)) s
    """,
    "every control account is the sum of its wallets, none of them below zero": """
        SELECT count(*), count(*) FILTER (WHERE off), min(code) FILTER (WHERE off)
        FROM (SELECT a.code, (b.posted_debit, b.posted_credit, b.pending_debit, b.pending_credit)
                  IS DISTINCT FROM (coalesce(w.debit, 0), coalesce(w.credit, 0),
                      coalesce(w.held_debit, 0), coalesce(w.held_credit, 0))
                  OR a.never_below_zero AND w.least < 0 AS off
              FROM books.account a JOIN books.account_balance b USING (account_id)
              LEFT JOIN (SELECT wb.account_id, sum(posted_debit) AS debit,
                            sum(posted_credit) AS credit, sum(pending_debit) AS held_debit,
                            sum(pending_credit) AS held_credit,
                            min(books.available(normal_side, posted_debit, posted_credit,
                                pending_debit, pending_credit)) AS least
                         FROM books.wallet_balance wb JOIN books.account USING (account_id)
                         GROUP BY wb.account_id) w USING (account_id)
              WHERE a.is_control) s
    """,
    "what the stripes of an account lend each other sums to nothing": """
        SELECT count(*), count(*) FILTER (WHERE off), min(account_id::text) FILTER (WHERE off)
        FROM (SELECT account_id, sum(lent) <> 0 OR count(*) <> max(stripes)
                  OR bool_or(never_below_zero AND lent + books.available(normal_side, posted_debit,
                      posted_credit, pending_debit, pending_credit) < 0) AS off
              FROM books.balance JOIN books.account USING (account_id) GROUP BY account_id) s
    """,
    "the transfers of every entry are numbered without a gap": """
        SELECT count(*), count(*) FILTER (WHERE off), min(entry_id::text) FILTER (WHERE off)
        FROM (SELECT entry_id, min(line_no) <> 1 OR max(line_no) <> count(*)
                  OR count(DISTINCT line_no) <> count(*) AS off
              FROM books.transfer GROUP BY entry_id) s
    """,
    "no entry is dated after its recording or in a period closed by then": """
        SELECT count(*), count(*) FILTER (WHERE off), min(entry_ref) FILTER (WHERE off)
        FROM (SELECT entry_ref, effective_on > recorded_on OR EXISTS (
                  SELECT FROM books.period_state p
                  WHERE e.effective_on <= p.ends_on AND p.recorded_at < e.recorded_at
                    AND (p.state = 'closed' OR NOT e.adjustment)) AS off
              FROM books.entry e) s
    """,
    "every grant's authority is available, committed or spent": """
        SELECT count(*), count(*) FILTER (WHERE off), min(grant_code) FILTER (WHERE off)
        FROM (SELECT l.grant_code, coalesce(sum(l.amount_minor)
                      FILTER (WHERE a.chart_code IN ('9010', '9020', '9030', '9040')), 0) <> 0
                  OR bool_or(a.chart_code NOT IN
                      ('9010', '9020', '9030', '9040', '9110', '9120')) AS off
              FROM books.leg l JOIN books.account a USING (account_id)
              WHERE l.layer = 'M' GROUP BY l.grant_code, l.currency) s
    """,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: how many things were looked at, how many break it, one that does."""

    name: str
    checked: int
    wrong: int
    example: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The checks in their order."""

    checks: tuple[Check, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not any(check.wrong for check in self.checks)


def verify(conn: Connection) -> Verification:
    """Check every promise against the log; reads only, so an auditor can run it."""
    rows = [_check(conn, name, query) for name, query in _CHECKS.items()]
    log = [Check(t.name, t.checked, t.wrong, t.example) for t in verify_log(conn)]
    return Verification((*rows, *log))


def _check(conn: Connection, name: str, query: str) -> Check:
    checked, wrong, example = conn.execute(query).fetchone() or (0, 0, None)
    return Check(name, checked, wrong, example or "")
