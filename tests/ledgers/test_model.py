"""Any interleaving of commands from several connections: the books and the model agree.

Three connections record, hold, settle, reverse, close and repeat themselves, and commit or roll
back when they like. After each command the answer and everything its connection sees is what the
model says; a command that needs what another transaction has touched waits. At the end, the log is
played on a fresh model in the order of recording: each entry is accepted and the sums are the same.

`CVA_LEDGER_SEQUENCES` says how many sequences are tried.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import count

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from psycopg import errors, sql
from psycopg.pq import TransactionStatus

from cva.database.cluster import Cluster
from ledgers import chart, entries, items, periods, transfers
from ledgers.entries import EntryHead, Leg
from ledgers.expiry import expire
from ledgers.problems import Refusal
from ledgers.refusals import refusals
from ledgers.transfers import Moved, Settled
from ledgers.verification import verify
from tests.databases import Database, fresh_database
from tests.ledgers.conftest import TRANSFER, values
from tests.ledgers.model import (
    CREDIT,
    DEBIT,
    Account,
    CloseAccount,
    Command,
    Effect,
    Expire,
    Items,
    Line,
    Model,
    Move,
    Record,
    Reverse,
    Settle,
    Shut,
)

SEQUENCES = int(os.environ.get("CVA_LEDGER_SEQUENCES", "2000"))
CONNECTIONS = 3
SPAN_DAYS = 6  # a sequence has these days to itself
FIRST_DAY = date(1000, 1, 1)
GRANT = "IOM"
KINDS = [
    # chart code, currency, grant
    ("1110", "TRY", None), ("1210", "TRY", None), ("5010", "TRY", None), ("1010", "TRY", None),
    ("2010", "TRY", GRANT), ("1010", "USD", None), ("9010", "TRY", GRANT), ("9030", "TRY", GRANT),
]  # fmt: skip
FLOAT, CARDS, CASH, BANK, FUND, DOLLARS, BUDGET, AUTHORITY = range(8)
PAIRS = [
    # debit, credit, wallet of the debit, of the credit, layer
    (FLOAT, BANK, None, None, "A"), (CASH, BANK, None, None, "A"), (CASH, FLOAT, None, None, "A"),
    (FLOAT, CASH, None, None, "A"), (BANK, FUND, None, None, "A"), (CARDS, FLOAT, 0, None, "A"),
    (CASH, CARDS, None, 0, "A"), (CARDS, CARDS, 1, 0, "A"), (CARDS, FLOAT, 1, None, "A"),
    (BUDGET, AUTHORITY, None, None, "M"), (AUTHORITY, BUDGET, None, None, "M"),
    (BANK, DOLLARS, None, None, "A"), (CARDS, BANK, None, None, "A"), (BANK, FLOAT, None, 1, "A"),
    (BANK, FUND, None, None, "M"), (CASH, CARDS, None, 1, "A"),
]  # fmt: skip
SEEN = """
    SELECT 'sums', a.code, NULL::bigint, NULL::date, b.posted_debit, b.posted_credit,
           b.pending_debit, b.pending_credit
    FROM books.account_balance b JOIN books.account a USING (account_id)
    WHERE account_id = ANY (%(accounts)s)
    UNION ALL
    SELECT 'wallet', a.code, w.wallet_id, NULL, posted_debit, posted_credit, pending_debit,
           pending_credit
    FROM books.wallet_balance w JOIN books.account a USING (account_id)
    WHERE account_id = ANY (%(accounts)s)
    UNION ALL
    SELECT 'day', a.code, NULL, effective_on, sum(posted_debit)::bigint,
           sum(posted_credit)::bigint, 0, 0
    FROM books.day_total JOIN books.account a USING (account_id)
    WHERE account_id = ANY (%(accounts)s) GROUP BY a.code, effective_on
    UNION ALL
    SELECT coalesce(r.phase, 'held'), p.instruction_ref, NULL, NULL, p.amount_minor, 0, 0, 0
    FROM books.transfer p LEFT JOIN books.transfer r ON r.pending_id = p.transfer_id
    WHERE p.phase = 'pending' AND p.instruction_ref = ANY (%(refs)s)
    UNION ALL
    SELECT 'item', item_key, NULL, NULL, amount_minor, 0, 0, 0 FROM books.transfer
    WHERE item_key = ANY (%(keys)s)
    UNION ALL
    SELECT code, batch_key || ' ' || item_key, NULL, NULL, item_no, 0, 0, 0
    FROM books.item_refusal WHERE item_key = ANY (%(keys)s)
"""
EACH = """
    SELECT item_no, item_key, debit, credit,
           (SELECT wallet_ref FROM books.wallet w WHERE w.wallet_id = v.wallet), amount, currency,
           grant_code, 'pgm', cycle, 'P', 'TR-63', NULL
    FROM ({rows}) AS v (item_no, item_key, debit, credit, wallet, amount, currency, grant_code,
        cycle)
"""


@dataclass
class Bench:
    """The database all sequences share, and what is new for each."""

    database: Database
    conns: list[psycopg.Connection]
    numbers: Iterator[int]
    answers: Counter[str]


@pytest.fixture(scope="module")
def bench(cluster: Cluster, template: str) -> Iterator[Bench]:
    for database in fresh_database(cluster, template):
        conns = [database.connect() for _ in range(CONNECTIONS)]
        for conn in conns:
            conn.execute("SET lock_timeout = '4ms'")
            conn.execute("SET enable_seqscan = off")
            conn.commit()
        yield Bench(database, conns, count(1), Counter())


class Sequence(RuleBasedStateMachine):
    """One sequence: accounts, wallets and days of its own, and a model for each connection."""

    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        for left_over in self.bench.conns:
            left_over.rollback()
        self.number = next(self.bench.numbers)
        self.keys = count(1)
        self.base = FIRST_DAY + timedelta(days=self.number * (SPAN_DAYS + 2))
        self.today = self.base + timedelta(days=SPAN_DAYS)
        self.refs = [f"R{self.number}-{n}" for n in range(5)]
        self.items = [f"I{self.number}-{n}" for n in range(4)]
        self.sent: list[Command] = []
        conn = self.bench.conns[0]
        self.wallets = [
            row[0]
            for row in conn.execute(
                "INSERT INTO books.wallet (wallet_ref, provider, opened_on)"
                " SELECT 'w' || %s || '-' || n, 'P', %s FROM generate_series(0, 1) n"
                " RETURNING wallet_id",
                [self.number, self.base],
            )
        ]
        self.codes = self._open(conn)
        conn.commit()
        self.accounts = {account.code: account for account in self.codes}
        self.committed = Model(self.accounts)
        self.views = [self.committed.copy() for _ in self.bench.conns]
        self.done: list[list[Effect]] = [[] for _ in self.bench.conns]
        self.touched: list[set[tuple[str, ...]]] = [set() for _ in self.bench.conns]
        self.act_of(0, Record(self.head(1), self.legs(0, 0, 100)))
        self.act_of(0, Record(self.head(1), self.legs(5, 0, 40)))
        held = (self.line(2, 0, 12, 0, 2), self.line(6, 0, 9, 1, 99))
        self.act_of(0, Move(self.head(1), held, is_hold=True))
        self.commit(0)

    def _open(self, conn: psycopg.Connection) -> list[Account]:
        rows = []
        for chart_code, currency, grant in KINDS:
            kind = chart.chart()[chart_code]
            code = chart.code_of(chart_code, currency, grant=grant, provider=f"S{self.number}")
            rows.append(
                (code, chart_code, kind.name, kind.account_class, kind.side, currency,
                 kind.never_below_zero, kind.is_control,
                 chart.STRIPES_OF_HOT if kind.is_hot else 1, list(kind.lines), grant, self.base)
            )  # fmt: skip
        places = ", ".join("(" + ", ".join(["%s"] * len(row)) + ")" for row in rows)
        numbers = conn.execute(
            "INSERT INTO books.account (code, chart_code, name, class, normal_side, currency,"
            " never_below_zero, is_control, stripes, needs, grant_code, opened_on)"
            f" VALUES {places} RETURNING account_id",
            [value for row in rows for value in row],
        ).fetchall()
        return [
            Account(
                number, row[0], row[5], DEBIT if row[4] is chart.Side.DEBIT else CREDIT, row[6],
                row[7], row[1].startswith("9"), row[8] > 1, frozenset(row[9]), row[10],
            )
            for (number,), row in zip(numbers, rows, strict=True)
        ]  # fmt: skip

    # --- commands ---------------------------------------------------------------------------

    def head(self, day: int, **other: object) -> EntryHead:
        number = next(self.keys)
        plain = EntryHead(
            f"je_{self.number:018d}{number:08d}", f"{self.number}/{number}", "event",
            self.base + timedelta(days=day), "Deniz", "said", recorded_on=self.today,
        )  # fmt: skip
        return replace(plain, **other)

    def legs(self, pair: int, flaw: int, amount: int) -> tuple[Leg, ...]:
        debit, credit, *wallets, layer = PAIRS[pair]
        named = {
            "grant_code": GRANT if flaw != 1 else "ECHO",
            "programme_id": "pgm", "cycle_id": "cyc" if flaw != 2 else None,
            "provider": "P", "location": "TR-63",
        }  # fmt: skip
        legs = [
            Leg(
                self.codes[account].code, sign * amount, layer,
                wallet_id=None if wallet is None else self.wallets[wallet], **named,
            )
            for account, wallet, sign in zip((debit, credit), wallets, (1, -1), strict=True)
        ]  # fmt: skip
        if flaw == 3:
            legs[1] = replace(legs[1], amount_minor=1 - amount)
        if flaw == 4:
            legs[1] = replace(legs[1], account="1010.NOBODY.TRY")
        return tuple(legs[:1] if flaw == 5 else legs)

    def line(self, pair: int, flaw: int, amount: int, ref: int, until: int) -> Line:
        debit, credit, *wallets, _ = PAIRS[pair]
        wallet = next((number for number in wallets if number is not None), None)
        return Line(
            self.codes[debit].code,
            self.codes[credit if credit != debit else FLOAT].code,
            amount,
            "USD" if flaw == 3 else "TRY",
            "ECHO" if flaw == 1 else GRANT,
            self.refs[ref],
            None if wallet is None else self.wallets[wallet],
            None if until > SPAN_DAYS else self.base + timedelta(days=until),
            ("cycle",) if flaw == 2 else (),
        )

    CONN = st.integers(0, CONNECTIONS - 1)
    DAY = st.integers(0, SPAN_DAYS - 1)
    PAIR = st.integers(0, len(PAIRS) - 1)
    FLAW = st.sampled_from([0] * 8 + [1, 2, 3, 4, 5, 6, 7, 8])
    AMOUNT = st.integers(0, 45)
    REF = st.integers(0, 4)

    def flawed(self, head: EntryHead, flaw: int, view: Model) -> EntryHead:
        if flaw == 6:
            return replace(head, adjustment=True)
        if flaw == 7:
            return replace(head, reason=" ", effective_on=head.effective_on)
        if flaw == 8:
            return replace(head, corrects=min(view.entries, default="je_none"))
        return head

    @rule(conn=CONN, day=DAY, pair=PAIR, flaw=FLAW, amount=AMOUNT)
    def record(self, conn: int, day: int, pair: int, flaw: int, amount: int) -> None:
        head = self.flawed(self.head(day), flaw, self.views[conn])
        self.act_of(conn, Record(head, self.legs(pair, flaw, amount)))

    @rule(
        conn=CONN, day=DAY, flaw=FLAW, is_hold=st.sampled_from([True, True, False]),
        lines=st.lists(
            st.tuples(PAIR, AMOUNT.map(lambda n: n // 2), REF, st.integers(0, 3 * SPAN_DAYS)),
            max_size=3,
        ),
    )  # fmt: skip
    def move(
        self, conn: int, day: int, flaw: int, lines: list[tuple[int, ...]], *, is_hold: bool
    ) -> None:
        head = self.flawed(self.head(day), flaw, self.views[conn])
        made = [
            self.line(pair, flaw if place == 0 else 0, amount, ref, until if is_hold else 99)
            for place, (pair, amount, ref, until) in enumerate(lines)
        ]
        self.act_of(conn, Move(head, tuple(made), is_hold))

    @rule(
        conn=CONN, day=DAY, flaw=FLAW,
        amounts=st.lists(st.tuples(REF, st.integers(-1, 22)), max_size=3),
    )  # fmt: skip
    def settle(self, conn: int, day: int, flaw: int, amounts: list[tuple[int, int]]) -> None:
        view = self.views[conn]
        head = self.flawed(self.head(day), flaw, view)
        held = [(self.refs[ref], amount) for ref, amount in amounts]
        if not flaw:
            held = [
                (ref, min(max(amount, 0), view.holds[ref].amount))
                for ref, amount in dict(held).items()
                if ref in view.holds and ref not in view.resolved
            ]
        self.act_of(conn, Settle(head, tuple(held)))

    @rule(
        conn=CONN, day=DAY, flaw=FLAW,
        items=st.lists(
            st.tuples(st.integers(0, 3), PAIR, AMOUNT, st.sampled_from([0, 0, 0, 1, 2, 3])),
            max_size=4,
        ),
    )  # fmt: skip
    def each(self, conn: int, day: int, flaw: int, items: list[tuple[int, ...]]) -> None:
        head = self.flawed(self.head(day), flaw, self.views[conn])
        made = [
            (self.items[key], self.item(pair, amount, wrong)) for key, pair, amount, wrong in items
        ]
        self.act_of(conn, Items(head, tuple(made)))

    def item(self, pair: int, amount: int, wrong: int) -> Line:
        line = replace(self.line(pair, wrong, amount, 0, 99), ref="")
        return replace(line, credit="1010.NOBODY.TRY") if pair == 0 and wrong == 2 else line

    @rule(conn=CONN, day=DAY)
    def expire(self, conn: int, day: int) -> None:
        self.act_of(conn, Expire(self.head(day)))

    @rule(conn=CONN, day=DAY, flaw=FLAW, which=st.integers(0, 2))
    def reverse(self, conn: int, day: int, flaw: int, which: int) -> None:
        known = sorted(self.views[conn].entries)
        ref = known[-1 - which % len(known)] if flaw != 4 else "je_none"
        head = self.flawed(self.head(day), flaw, self.views[conn])
        self.act_of(conn, Reverse(head, ref))

    @rule(
        conn=CONN,
        day=DAY,
        state=st.sampled_from(["adjusting", "closed"]),
        over=st.sampled_from([True, True, False]),
    )
    def shut(self, conn: int, day: int, state: str, *, over: bool) -> None:
        ends_on = self.base + timedelta(days=day)
        self.act_of(conn, Shut(ends_on, state, self.today if over else ends_on))

    @rule(conn=CONN, account=st.integers(0, len(KINDS)))
    def close_account(self, conn: int, account: int) -> None:
        code = self.codes[account].code if account < len(KINDS) else "1010.NOBODY.TRY"
        self.act_of(conn, CloseAccount(code))

    @rule(
        conn=CONN, which=st.integers(0, 9), change=st.sampled_from(["", "", "day", "event", "kind"])
    )
    def repeat(self, conn: int, which: int, change: str) -> None:
        """Send a command again under a new reference, perhaps with another day, event or kind."""
        again = [command for command in self.sent if not isinstance(command, Shut | CloseAccount)]
        if not again:
            return
        command = again[-1 - which % len(again)]
        head = replace(command.head, entry_ref=self.head(0).entry_ref)
        if change == "day":
            head = replace(head, effective_on=self.base)
        if change == "event":
            head = replace(head, event="another")
        if change == "kind" and isinstance(command, Move):
            command = replace(command, is_hold=not command.is_hold)
        self.act_of(conn, replace(command, head=head))

    @rule(conn=CONN)
    def commit(self, conn: int) -> None:
        self.bench.conns[conn].commit()
        for effect in self.done[conn]:
            for other, view in enumerate(self.views):
                if other != conn:
                    view.do(effect)
            self.committed.do(effect)
        self.done[conn], self.touched[conn] = [], set()

    @rule(conn=CONN)
    def rollback(self, conn: int) -> None:
        self.bench.conns[conn].rollback()
        self.views[conn] = self.committed.copy()
        self.done[conn], self.touched[conn] = [], set()

    # --- one command, on the books and on the model -------------------------------------------

    def act_of(self, conn: int, command: Command) -> None:
        view = self.views[conn]
        answer, effect = view.decide(command)
        needs = effect.touches(view) | _needs(command, answer)
        others = set().union(*(held for n, held in enumerate(self.touched) if n != conn))
        said = _said(self.bench.conns[conn], self.accounts, command)
        self.bench.answers[said] += 1
        if said == "waits":
            assert others, f"{command} waits for nobody"
        else:
            assert said == answer, command
            is_certain = answer == "done" and waits_for(needs, others)
            assert not is_certain, f"{command} did not wait"
            self.touched[conn] |= needs if answer in {"done", "already", "nothing"} else set()
            if answer == "done":
                view.do(effect)
                self.done[conn].append(effect)
                self.sent.append(command)
                self.bench.answers.update(f"item {code}" for _, _, code in effect.judged)
        self.compare(conn)

    def compare(self, conn: int) -> None:
        known = seen(self.bench.conns[conn], self.accounts, self.refs, self.items)
        assert known == model_seen(self.views[conn])

    def teardown(self) -> None:
        for conn in range(CONNECTIONS):
            self.commit(conn)
        self.act_of(0, Settle(self.head(SPAN_DAYS), self._unresolved()))
        self.commit(0)
        self.replay()

    def _unresolved(self) -> tuple[tuple[str, int], ...]:
        view = self.views[0]
        return tuple((ref, 0) for ref in view.holds if ref not in view.resolved)

    def replay(self) -> None:
        """Play the committed log on a fresh model, in the order of recording."""
        model = Model(self.accounts)
        for command in logged(self.bench.conns[0], self):
            answer, effect = model.decide(command)
            assert answer == "done", command
            model.do(effect)
        # The log holds what was recorded; refusals of items stand beside it.
        model.refusals |= self.committed.refusals
        assert model_seen(model) == model_seen(self.committed)
        self.bench.conns[0].rollback()


def _needs(command: Command, answer: str) -> set[tuple[str, ...]]:
    """What the command looks at alone, though it may do nothing in the end."""
    if isinstance(command, Shut):
        return {("period", "alone")} if answer != "nothing" else set()
    if isinstance(command, CloseAccount):
        return {("account", command.code)}
    return {("period", "shared"), ("key", command.head.key)}


def waits_for(needs: set[tuple[str, ...]], others: set[tuple[str, ...]]) -> bool:
    """Whether a command that needs this certainly waits for those who have touched that."""
    exclusive = {kind for kind in needs & others if kind[0] not in {"stripes", "period"}}
    periods_met = {kind for kind in needs | others if kind[0] == "period"}
    whole = {code for kind, code, *_ in needs if kind == "account"}
    striped = {code for kind, code, *_ in needs if kind == "stripes"}
    return bool(
        exclusive
        or (("period", "alone") in periods_met and _period(needs) and _period(others))
        or whole & {code for kind, code, *_ in others if kind == "stripes"}
        or striped & {code for kind, code, *_ in others if kind == "account"}
    )


def _period(touched: set[tuple[str, ...]]) -> bool:
    return any(kind[0] == "period" for kind in touched)


def _said(conn: psycopg.Connection, accounts: dict[str, Account], command: Command) -> str:
    if conn.info.transaction_status is TransactionStatus.IDLE:
        conn.execute("SELECT")  # otherwise what follows is a transaction, not a savepoint
    try:
        with refusals(), conn.transaction():
            return _result(conn, accounts, command)
    except Refusal as refusal:
        return refusal.problem.code
    except errors.LockNotAvailable:
        return "waits"


def _result(  # noqa: PLR0911 - one per command
    conn: psycopg.Connection, accounts: dict[str, Account], command: Command
) -> str:
    match command:
        case Record():
            return _once(entries.record(conn, command.head, command.legs))
        case Reverse():
            return _once(entries.reverse(conn, command.entry_ref, command.head))
        case Move():
            act = transfers.hold if command.is_hold else transfers.transfer
            return _many(act(conn, command.head, _source(accounts, command.lines)))
        case Settle():
            source = values(command.amounts, "text bigint")
            return _many(transfers.settle(conn, command.head, source))
        case Expire():
            return _many(expire(conn, command.head))
        case Items():
            batch = items.record_each(conn, command.head, _each(command))
            return "already" if batch.already else "done"
        case Shut():
            changed = periods.change(
                conn, command.ends_on, periods.PeriodState(command.state),
                recorded_on=command.today, recorded_by="Omar", reason="said",
            )  # fmt: skip
            return "done" if changed else "nothing"
        case CloseAccount():
            chart.close_account(conn, command.code, FIRST_DAY, recorded_by="Omar", reason="said")
            return "done"


def _source(accounts: dict[str, Account], lines: tuple[Line, ...]) -> sql.Composable:
    rows = [
        (accounts[line.debit].number, accounts[line.credit].number, line.amount, line.currency,
         line.grant,
         "pgm", None if "cycle" in line.missing else "cyc", "P", "TR-63", line.ref, line.wallet,
         line.until)
        for line in lines
    ]  # fmt: skip
    return values(rows, TRANSFER)


def _each(command: Items) -> sql.Composable:
    rows = [
        (number, key, line.debit, line.credit, line.wallet, line.amount, line.currency, line.grant,
         None if "cycle" in line.missing else "cyc")
        for number, (key, line) in enumerate(command.items, start=1)
    ]  # fmt: skip
    types = "int text text text bigint bigint text text text"
    return sql.SQL(EACH).format(rows=values(rows, types))


def _once(recorded: entries.Recorded) -> str:
    return "already" if recorded.already else "done"


def _many(moved: Moved | Settled) -> str:
    count_of = moved.count if isinstance(moved, Moved) else moved.posted_count + moved.voided_count
    if not count_of:
        return "nothing"
    return "already" if moved.already else "done"


def seen(
    conn: psycopg.Connection, accounts: dict[str, Account], refs: list[str], keys: list[str]
) -> set[tuple]:
    numbers = [account.number for account in accounts.values()]
    rows = conn.execute(SEEN, {"accounts": numbers, "refs": refs, "keys": keys})
    return {row for row in rows if row[0] not in {"sums", "wallet", "day"} or any(row[4:])}


def model_seen(model: Model) -> set[tuple]:
    days = {(code, day) for code, day, _ in model.days}
    return {
        *(("sums", code, None, None, *sums) for code, sums in model.sums.items() if any(sums)),
        *(
            ("wallet", code, wallet, None, *sums)
            for (code, wallet), sums in model.wallets.items()
            if any(sums)
        ),
        *(
            ("day", code, None, day, model.days[code, day, DEBIT], model.days[code, day, CREDIT],
             0, 0)
            for code, day in days
        ),
        *(
            (model.resolved.get(ref, "held"), ref, None, None, line.amount, 0, 0, 0)
            for ref, line in model.holds.items()
        ),
        *(("item", key, None, None, line.amount, 0, 0, 0) for key, line in model.items.items()),
        *(
            (str(code), f"{batch} {key}", None, None, number, 0, 0, 0)
            for batch, number, key, code in model.refusals
        ),
    }  # fmt: skip


HEADS = """
    SELECT e.recorded_at, e.entry_id, e.entry_ref, e.key, e.event, e.effective_on, e.recorded_on,
           e.reason, e.adjustment, c.entry_ref, r.entry_ref
    FROM books.entry e LEFT JOIN books.entry c ON c.entry_id = e.corrects
    LEFT JOIN books.entry r ON r.entry_id = e.reverses
    WHERE e.entry_ref BETWEEN %s AND %s ORDER BY e.entry_id
"""
LEGS = """
    SELECT entry_id, code, amount_minor, layer, l.grant_code, programme_id, cycle_id, l.provider,
           location, wallet_id
    FROM books.leg l JOIN books.account USING (account_id) WHERE entry_id = ANY (%s)
    ORDER BY entry_id, leg_no
"""
LINES = """
    SELECT entry_id, phase, d.code, k.code, amount_minor, t.currency, t.grant_code,
           instruction_ref, wallet_id, expires_on, item_key
    FROM books.transfer t JOIN books.account d ON d.account_id = debit_account_id
    JOIN books.account k ON k.account_id = credit_account_id
    WHERE entry_id = ANY (%s) ORDER BY entry_id, line_no
"""
SHUT = """
    SELECT recorded_at, ends_on, state, recorded_on FROM books.period_state
    WHERE ends_on BETWEEN %s AND %s
"""
CLOSED = """
    SELECT recorded_at, code FROM books.account_closing JOIN books.account USING (account_id)
    WHERE account_id = ANY (%s)
"""


def logged(conn: psycopg.Connection, sequence: Sequence) -> list[Command]:
    """The commands that the committed log of a sequence stands for, in the order of recording."""
    own = [f"je_{sequence.number:018d}{end:08d}" for end in (0, 99_999_999)]
    heads = conn.execute(HEADS, own).fetchall()
    numbers = [row[1] for row in heads]
    legs = {number: [] for number in numbers}
    lines = {number: [] for number in numbers}
    for number, code, amount, layer, grant, programme, cycle, provider, location, wallet in (
        conn.execute(LEGS, [numbers])
    ):  # fmt: skip
        legs[number].append(
            Leg(code, amount, layer, grant_code=grant, programme_id=programme, cycle_id=cycle,
                provider=provider, location=location, wallet_id=wallet)
        )  # fmt: skip
    for number, *line in conn.execute(LINES, [numbers]):
        lines[number].append(line)
    found: list[tuple[object, Command]] = []
    for moment, number, ref, key, event, on, today, reason, adjustment, corrects, reverses in heads:
        head = EntryHead(
            ref, key, event, on, "Deniz", reason, recorded_on=today, adjustment=adjustment,
            corrects=corrects,
        )  # fmt: skip
        found.append((moment, _command(head, legs[number], lines[number], reverses)))
    for moment, ends_on, state, today in conn.execute(SHUT, [sequence.base, sequence.today]):
        found.append((moment, Shut(ends_on, state, today)))
    accounts = [account.number for account in sequence.codes]
    for moment, code in conn.execute(CLOSED, [accounts]):
        found.append((moment, CloseAccount(code)))
    return [command for _, command in sorted(found, key=lambda pair: pair[0])]


def _command(head: EntryHead, legs: list[Leg], lines: list[list], reverses: str | None) -> Command:
    if reverses:
        return Reverse(head, reverses)
    if legs:
        return Record(head, tuple(legs))
    if lines[0][9]:
        return Items(head, tuple((line[9], Line(*line[1:6], "", line[7])) for line in lines))
    phases = {line[0] for line in lines}
    if phases == {"expired"}:
        return Expire(head, frozenset(line[6] for line in lines))
    if phases <= {"posted", "voided"}:
        amounts = [(line[6], 0 if line[0] == "voided" else line[3]) for line in lines]
        return Settle(head, tuple(amounts))
    return Move(head, tuple(Line(*line[1:9]) for line in lines), phases == {"pending"})


def test_any_interleaving_gives_what_the_model_says(bench: Bench) -> None:
    machine = type("Sequence", (Sequence,), {"bench": bench})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=SEQUENCES, stateful_step_count=8, deadline=None, database=None,
            report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    assert verify(bench.conns[0]).sound
    assert SEQUENCES < 2000 or COMMON - set(bench.answers) == set()


COMMON = {
    "done", "already", "nothing", "waits", "account_limit", "account_unfit", "entry_unbalanced",
    "key_used_differently", "instruction_held_twice", "hold_unknown", "period_not_over",
    "batch_empty", "item recorded", "item account_limit", "item item_repeated", "item exists",
    "item already_refused", "item account_unfit",
}  # fmt: skip
