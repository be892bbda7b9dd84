"""`cva payments`: plans from preparation to settlement."""

from collections.abc import Sequence
from datetime import datetime

import typer
from psycopg import Connection

from adapters.port import Outcome
from cva.cli import instructions, stops
from cva.cli.cycles import DATE, LINES
from cva.cli.output import Cell, Money, Part, Shape, say, show, show_parts, warn
from cva.cli.session import Session, open_session
from cva.payments import approving, linkage, observing, planning, releasing, sending, settling
from cva.payments.planning import Plan, Terms
from cva.programmes.publishing import load_cycle, programme_of
from ledgers.problems import Problem, counted

FILES_NOT_ACCEPTED = Problem(
    "files_not_accepted",
    "Of {files:file|files} of the plan {plan}, {count:has|have} no accepted answer: {answers}.",
    "See to what the answer says, then send again: what may have been taken goes under the same"
    " message id, what was not taken in a new file; nothing is paid twice.",
)

app = typer.Typer(help="Payment plans: prepare, approve, release, send, settle.",
                  no_args_is_help=True)  # fmt: skip
instructions.add_to(app)
stops.add_to(app)
PLAN_COLUMNS = ("plan", "follows", "provider", "lines", "stopped", "total", "people", "digest")
REASON = typer.Option("looked at lines, stops and control totals", help="Why you sign.")


@app.command()
def prepare(
    cycle: str,
    on: datetime | None = typer.Option(None, formats=DATE, help="Execution date; default today."),
    key: str = typer.Option("", help="Idempotency key; default made of the cycle and the day."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Lock a plan of every selected household that has no line in the cycle yet."""
    session = open_session()
    with session.working("prepare", cycle, LINES) as progress, session.transaction() as conn:
        terms = terms_of(conn, session, cycle, on)
        plan = planning.prepare(
            conn, cycle, terms, person_id=session.person_id, at=session.clock.now(),
            key=key or f"prepare:{cycle}:{session.today}", progress=progress,
        )  # fmt: skip
        unseen = linkage.not_linked(conn, plan.plan_id)
    _warn_of_unseen(unseen)
    show_plans([plan], shape)


@app.command("follow-up")
def follow_up(
    plan: str,
    on: datetime | None = typer.Option(None, formats=DATE, help="Execution date; default today."),
    key: str = typer.Option("", help="Idempotency key; default made of the plan and the day."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Lock a plan of the failed lines of another plan's cycle that can be paid now."""
    session = open_session()
    with session.working("follow-up", plan, LINES) as progress, session.transaction() as conn:
        parent = planning.load(conn, plan)
        terms = terms_of(conn, session, parent.cycle_id, on)
        made = planning.prepare_follow_up(
            conn, parent, terms, person_id=session.person_id, at=session.clock.now(),
            key=key or f"follow-up:{plan}:{session.today}", progress=progress,
        )  # fmt: skip
        unseen = linkage.not_linked(conn, made.plan_id)
    _warn_of_unseen(unseen)
    show_plans([made], shape)


@app.command("list")
def list_plans(cycle: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List the plans of a cycle."""
    session = open_session()
    with session.reading() as conn:
        plans = planning.plans_of(conn, cycle)
    show_plans(plans, shape)


@app.command("show")
def show_plan(plan: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Show a plan: control totals, signatures, states of its lines, stops, files, linkage."""
    session = open_session()
    with session.reading() as conn:
        found = planning.load(conn, plan)
        unseen = linkage.not_linked(conn, plan)
        states = conn.execute(
            "SELECT state, coalesce(stopped, ''), count(*), sum(amount_minor)::bigint,"
            " sum(people)::bigint FROM payments.line_state WHERE plan_id = %s"
            " GROUP BY 1, 2 ORDER BY 1, 2",
            (plan,),
        ).fetchall()
        signed = conn.execute(
            "SELECT s.act, p.login, s.reason, s.at FROM payments.signature s"
            " JOIN staff.person p USING (person_id) WHERE plan_id = %s ORDER BY s.at",
            (plan,),
        ).fetchall()
        files = conn.execute(
            "SELECT f.file_id, f.message_id, f.control_count, f.control_sum_minor,"
            " encode(r.sha256, 'hex'), coalesce(max(a.outcome), '-') FROM payments.file f"
            " LEFT JOIN payments.rendering r USING (file_id)"
            " LEFT JOIN payments.handover_answer a USING (file_id) WHERE plan_id = %s"
            " GROUP BY 1, 2, 3, 4, 5 ORDER BY 2",
            (plan,),
        ).fetchall()
    currency = found.currency
    parts = [
        Part("plan", PLAN_COLUMNS, plan_rows([found])),
        Part("lines", ["state", "stopped", "lines", "amount", "people"],
             [(state, why, count, Money(minor, currency), people)
              for state, why, count, minor, people in states]),
        Part("signatures", ["act", "by", "reason", "at"], signed),
        Part("files", ["file", "message", "lines", "amount", "sha256", "answer"],
             [(file, message, count, Money(minor, currency), (sha or "")[:16], answer)
              for file, message, count, minor, sha, answer in files]),
        Part("linkage", ["not compared"], [(unseen,)]),
    ]  # fmt: skip
    show_parts(parts, shape)


@app.command()
def approve(plan: str, reason: str = REASON) -> None:
    """Approve a plan: sign its digest. The last approval needed reserves the grant's money."""
    session = open_session()
    _show_control_totals(session, plan)
    passphrase = session.passphrase()
    with session.transaction() as conn:
        done = approving.approve(
            conn, plan, person_id=session.person_id, passphrase=passphrase, reason=reason,
            at=session.clock.now(),
        )  # fmt: skip
    say(f"Approval {done.given} of {done.needed} stands.")


@app.command()
def release(plan: str, reason: str = REASON) -> None:
    """Release an approved plan: hold the money of every line and fill the outbox."""
    session = open_session()
    _show_control_totals(session, plan)
    passphrase = session.passphrase()
    with session.working("release", plan, LINES) as progress, session.transaction() as conn:
        done = releasing.release(
            conn, plan, person_id=session.person_id, passphrase=passphrase, reason=reason,
            at=session.clock.now(), progress=progress,
        )  # fmt: skip
    held = counted(done.lines, "line is", "lines are")
    say(f"{held} on hold in {counted(done.files, 'file', 'files')}; now send the plan.")


@app.command()
def send(plan: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Hand over every file of a released plan that has no accepted answer."""
    session = open_session()
    with session.reading() as conn:
        found = planning.load(conn, plan)
        destination = destination_of(conn, found)
    provider = session.provider(found.provider, destination)
    # A file that is on its way is never cut off from its answer.
    with session.working("send", plan, "lines", may_be_cut=False) as progress:
        sent = sending.send(
            session.engine, session.vault, provider, plan, person_id=session.person_id,
            clock=session.clock, spool=session.work, progress=progress,
        )  # fmt: skip
    show(
        ["message", "lines", "amount", "outcome", "detail"],
        [(s.message_id, s.control_count, Money(s.control_sum_minor, found.currency), s.outcome,
          s.detail) for s in sent],
        shape,
    )  # fmt: skip
    others = [s for s in sent if s.outcome is not Outcome.ACCEPTED]
    if others:
        answers = "; ".join(sorted({f"{s.outcome.value} ({s.detail})" for s in others}))
        raise FILES_NOT_ACCEPTED.refusal(
            count=len(others), files=len(sent), plan=plan, answers=answers
        )


@app.command()
def inquire(plan: str) -> None:
    """Ask the provider about every line of the plan whose outcome is unknown."""
    session = open_session()
    with session.reading() as conn:
        found = planning.load(conn, plan)
        provider = session.provider(found.provider, destination_of(conn, found))
    asked = observing.inquire(
        session.engine, provider, found, person_id=session.person_id, clock=session.clock,
        spool=session.work,
    )  # fmt: skip
    say(f"Asked about {counted(asked, 'line', 'lines')}; collect the answers.")


@app.command()
def settle(plan: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Turn what is known of the plan's pending lines into posted, voided and returned money."""
    session = open_session()
    with session.working("settle", plan, LINES) as progress, session.transaction() as conn:
        currency = planning.load(conn, plan).currency
        done = settling.settle(
            conn, plan, person_id=session.person_id, at=session.clock.now(), progress=progress
        )
    show(
        ["loaded", "amount", "short", "voided", "released", "returned", "pending", "unknown"],
        [(done.loaded, Money(done.loaded_minor, currency), done.short, done.voided,
          Money(done.released_minor, currency), done.returned, done.pending, done.unknown)],
        shape,
    )  # fmt: skip


@app.command()
def cancel(plan: str, reason: str = typer.Option(..., help="Why it is cancelled.")) -> None:
    """Cancel a plan that nobody can have taken anything of; its reserved money is free again."""
    session = open_session()
    with session.transaction() as conn:
        lines = approving.cancel(
            conn, plan, person_id=session.person_id, reason=reason, at=session.clock.now()
        )
    say(f"The plan {plan} is cancelled ({counted(lines, 'line', 'lines')}).")


def terms_of(
    conn: Connection, session: Session, cycle_id: str, on: datetime | None = None
) -> Terms:
    """Return what the cycle's programme says about paying, with the approvers for any total."""
    cycle = load_cycle(conn, cycle_id)
    programme = programme_of(conn, cycle.programme_id)
    return Terms(
        provider=programme.provider.code,
        destination=programme.destination,
        currency=programme.currency,
        approvers_needed=programme.approvals.approvers,
        thresholds=programme.thresholds,
        execute_on=on.date() if on else session.today,
        emergency=bool(programme.emergency),
    )


def destination_of(conn: Connection, plan: Plan) -> str:
    """Return the kind of identifier that the plan's money goes to."""
    cycle = load_cycle(conn, plan.cycle_id)
    return str(programme_of(conn, cycle.programme_id).destination)


def show_plans(plans: Sequence[Plan], shape: Shape) -> None:
    """Print plans with their control totals."""
    show(PLAN_COLUMNS, plan_rows(plans), shape)


def plan_rows(plans: Sequence[Plan]) -> list[tuple[Cell, ...]]:
    """Return plans as rows under `PLAN_COLUMNS`."""
    return [
        (p.plan_id, p.parent_plan_id or "", p.provider, p.lines, p.stopped_lines,
         Money(p.total_minor, p.currency), p.people, p.digest.hex()[:16])
        for p in plans
    ]  # fmt: skip


def _show_control_totals(session: Session, plan_id: str) -> None:
    with session.reading() as conn:
        plan = planning.load(conn, plan_id)
        unseen = linkage.not_linked(conn, plan_id)
    _warn_of_unseen(unseen)
    warn(
        f"{counted(plan.lines - plan.stopped_lines, 'line', 'lines')} to pay,"
        f" {plan.stopped_lines:,} stopped, {Money(plan.total_minor, plan.currency)},"
        f" {counted(plan.people, 'person', 'people')},"
        f" digest {plan.digest.hex()[:16]}"
    )


def _warn_of_unseen(households: int) -> None:
    if households:
        warn(
            f"{counted(households, 'household of the plan was', 'households of the plan were')}"
            " compared by equal numbers only. `cva duplicates find` looks for the same people in"
            " other spellings."
        )
