"""`cva ledger import|match|unmatch|write-off|write-offs|exceptions|assign|answer`: what is open."""

from pathlib import Path

import typer
from psycopg import Connection

from cva.cli.output import Money, Shape, say, show, warn
from cva.cli.session import Session, open_session
from cva.payments import matching
from cva.payments.matching import Against
from ledgers.matching import exceptions, matches
from ledgers.matching.matches import Applied, Match
from ledgers.matching.running import Act, Found
from ledgers.matching.sources import Side
from ledgers.money import parse_amount
from ledgers.problems import Answer, Problem

MATCH_UNREADABLE = Problem(
    "match_unreadable",
    "{value} does not name a match.",
    "Write run-number, such as 3-17, as `cva ledger exceptions --line` shows it.",
    Answer.USAGE,
)
NOTHING_TO_DO = Problem(
    "write_off_of_what",
    "Neither a line to propose nor a write-off to approve was named.",
    "Give the number of a line, or --approve with the number of a write-off, --amount and --grant.",
    Answer.USAGE,
)
SHOWN_MAX = 100
SHAPE = typer.Option(Shape.TABLE, "--format")
REASON = typer.Option(..., help="Why; it is kept with the match.")


def add_to(app: typer.Typer) -> None:
    """Add these commands to `cva ledger`."""
    for name, command in (
        ("import", bring_in), ("match", match), ("unmatch", unmatch), ("write-off", write_off),
        ("write-offs", list_write_offs), ("exceptions", list_exceptions), ("assign", assign),
        ("answer", answer),
    ):  # fmt: skip
        app.command(name)(command)


def bring_in(
    comparison: str = typer.Argument(help="A provider's code; with --file any name."),
    file: Path | None = typer.Option(None, help="A CSV of lines instead of what was collected."),
    side: Side = typer.Option(Side.THEIRS, help="Whose lines the file has."),
    against: Against = typer.Option(Against.STATEMENTS, help="What to hold the books against."),
    shape: Shape = SHAPE,
) -> None:
    """Take lines in to be matched; the same again changes nothing."""
    session = open_session()
    with session.transaction() as conn:
        who, today = session.person_id, session.today
        if file is None:
            brought = matching.bring_in(conn, comparison, against, person_id=who, on=today)
        else:
            brought = matching.bring_in_file(conn, comparison, side, file, person_id=who, on=today)
    taken = [("ours", brought.ours), ("theirs", brought.theirs)]
    show(
        ["side", "lines", "new", "changed"],
        [(name, found.given, found.added, found.changed) for name, found in taken if found],
        shape,
    )
    for finding in brought.findings:
        warn(str(finding))


def match(
    comparison: str = typer.Argument("", help="The comparison to match by the rules."),
    line: list[str] = typer.Option([], help="A line by hand: its number, or number=amount."),
    suggestion: int | None = typer.Option(None, help="The number of a suggestion to accept."),
    reason: str = typer.Option("", help="Why, for a match by hand."),
    shape: Shape = SHAPE,
) -> None:
    """Match by the rules; or lines by hand; or accept a suggestion. No money moves."""
    session = open_session()
    with session.transaction() as conn:
        at = session.clock.now()
        if suggestion is not None:
            act = _act(session, reason)
            say(f"Matched: {matching.accept(conn, suggestion, act, at=at)}.")
        elif line:
            items = [_applied(conn, one) for one in line]
            made = matching.match_by_hand(conn, items, _act(session, reason), at=at)
            say(f"Matched: {made}.")
        else:
            found = matching.match_by_rules(
                conn, comparison, person_id=session.person_id, at=at, on=session.today
            )
            _show_found(found, shape)


def unmatch(
    number: str = typer.Argument(help="The match, as run-number."), reason: str = REASON
) -> None:
    """Take a match back by a new record; its lines are open again."""
    run, _, match_no = number.partition("-")
    if not (run.isdecimal() and match_no.isdecimal()):
        raise MATCH_UNREADABLE.refusal(value=number)
    session = open_session()
    with session.transaction() as conn:
        undone = Match(int(run), int(match_no))
        matching.unmatch(conn, undone, _act(session, reason), at=session.clock.now())
    say(f"The match {number} is taken back.")


def write_off(
    line: int | None = typer.Argument(None, help="The line whose open amount is proposed."),
    approve: int | None = typer.Option(None, help="The number of a write-off to approve."),
    amount: str = typer.Option("", help="What is approved, as `cva ledger write-offs` shows it."),
    grant: str = typer.Option("", help="The code of the grant that bears it."),
    reason: str = REASON,
) -> None:
    """Propose to write off what is open of a line; a second person approves and books it."""
    session = open_session()
    with session.transaction() as conn:
        act, at = _act(session, reason), session.clock.now()
        if approve is not None and grant and amount:
            currency = matches.write_off(conn, approve).currency
            seen = parse_amount(amount, currency, negative=True)
            done = matching.approve_write_off(conn, approve, seen, grant, act, at=at)
            said = f"{Money(seen, currency)} is approved and booked: {done}."
            say(f"The write-off {approve} of {said}")
        elif line is not None and approve is None:
            proposed = matching.propose_write_off(conn, line, act, at=at)
            open_amount = Money(proposed.amount_minor, proposed.currency)
            say(
                f"The write-off {proposed.write_off_id} of {open_amount} waits for a second person."
            )
        else:
            raise NOTHING_TO_DO.refusal()


def list_write_offs(
    comparison: str | None = typer.Argument(None, help="One comparison; default all."),
    shape: Shape = SHAPE,
) -> None:
    """List the write-offs that wait for a second person: what, how much, who proposed it, why."""
    session = open_session()
    with session.reading() as conn:
        waiting = matching.waiting_write_offs(conn, comparison)
    show(
        ["write-off", "comparison", "side", "line", "amount", "since", "proposed by", "statement",
         "reason"],
        [(w.write_off_id, w.comparison, w.side.value, w.line_no,
          Money(w.amount_minor, w.currency), w.value_on, w.proposed_by,
          f"{w.statement_id}/{w.line_id}", w.reason) for w in waiting],
        shape, below=("reason", "statement", "proposed by", "since", "side"),
    )  # fmt: skip


def assign(
    exception: int = typer.Argument(help="Its number, as `cva ledger exceptions` shows it."),
    owner: str = typer.Option(..., "--to", help="A role, or somebody's login."),
    reason: str = REASON,
) -> None:
    """Give an open difference to another owner."""
    session = open_session()
    with session.transaction() as conn:
        matching.assign(conn, exception, owner, _act(session, reason), at=session.clock.now())
    say(f"The exception {exception} is with {owner}.")


def answer(
    exception: int = typer.Argument(help="Its number, as `cva ledger exceptions` shows it."),
    reason: str = REASON,
) -> None:
    """Answer a line that came again with other content; the content taken first stands."""
    session = open_session()
    with session.transaction() as conn:
        done = matching.answer(conn, exception, _act(session, reason), at=session.clock.now())
    say(f"The exception {exception} {'is' if done else 'was already'} answered.")


def list_exceptions(
    comparison: str | None = typer.Argument(None, help="One comparison; default all."),
    suggestions: bool = typer.Option(False, help="List what could be accepted instead."),
    line: int | None = typer.Option(None, help="Show what happened to one line instead."),
    limit: int = typer.Option(SHOWN_MAX, help="At most so many, the oldest."),
    shape: Shape = SHAPE,
) -> None:
    """List open differences: name, amount, owner, age, and who is told by now."""
    session = open_session()
    with session.reading() as conn:
        if line is not None:
            _show_history(matches.history(conn, line), shape)
        elif suggestions and comparison:
            rows = [
                (s.suggestion_id, s.rule.value, " ".join(map(str, s.line_nos)))
                for s in exceptions.open_suggestions(conn, comparison)[:limit]
            ]
            show(["suggestion", "rule", "lines"], rows, shape)
        else:
            found = exceptions.open_exceptions(conn, session.today, comparison, limit=limit)
            _show_exceptions(found, shape)


def _show_found(found: Found, shape: Shape) -> None:
    rows = [("matched", str(rule), count) for rule, count in found.matched.items()]
    rows += [("suggested", str(rule), count) for rule, count in found.suggested.items()]
    rows += [("exception", str(name), count) for name, count in found.raised.items()]
    if found.late:
        rows.append(("matched late", "", found.late))
    show(["what", "by", "count"], rows, shape)


def _show_exceptions(found: list[exceptions.OpenException], shape: Shape) -> None:
    show(
        ["line", "exception", "side", "difference", "amount", "since", "age", "owner", "told"],
        [(e.line_no, e.exception_id, e.side.value, e.name.value,
          Money(e.amount_minor, e.currency), e.value_on, e.bucket, e.owner,
          matching.TOLD[e.level]) for e in found],
        shape, below=("told", "owner", "age"),
    )  # fmt: skip


def _show_history(steps: list[matches.Step], shape: Shape) -> None:
    show(
        ["match", "rule", "on", "by", "reason"],
        [(str(s.match), s.rule.value, s.on, s.by, s.reason) for s in steps],
        shape, below=("reason", "by"),
    )  # fmt: skip


def _act(session: Session, reason: str) -> Act:
    return Act(session.today, session.person_id, reason)


def _applied(conn: Connection, text: str) -> Applied:
    number, _, amount = text.partition("=")
    if not number.isdecimal():
        raise matches.LINE_UNKNOWN.refusal(line=number)
    if not amount:
        return Applied(int(number))
    currency = matches.currency_of(conn, int(number))
    return Applied(int(number), parse_amount(amount, currency, negative=True))
