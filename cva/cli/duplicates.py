"""`cva duplicates`: who may be registered twice, what people decide, and what became of it.

`find` takes no key: it only looks. What it found before on the same evidence is not recorded again.
"""

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cva.cli.output import Cell, Money, Part, Shape, say, show, show_parts, warn
from cva.cli.session import open_session
from cva.registry import duplicates, questions
from cva.registry.duplicates import Ruling, Undone, Verdict

if TYPE_CHECKING:
    from cva.registry.linking import Scope

app = typer.Typer(help="Duplicates: find, review, decide, merge and unmerge.", no_args_is_help=True)
BITS_OF = 1000
KEY = typer.Option("", help="Idempotency key; without it the same again changes nothing either.")
ASKED = {
    "given_name": "Given name, in any script", "family_name": "Family name",
    "birth_date": "Birth date (1987-04-23, or a year alone)", "sex": "Sex (female or male)",
    "id_type": "Kind of number (tr_foreigner_id, tr_national_id, passport ...)",
    "id_number": "Number", "phone": "Phone", "district": "District",
}  # fmt: skip
_BORN = ("birth_date_precision",)
REASON = typer.Option(..., help="What it rests on, in a sentence; without names or numbers.")


@app.command()
def find(
    new: bool = typer.Option(False, "--new", help="Only registrations since the last run."),
    records: Path | None = typer.Option(None, help="People in a file, without a database."),
    against: Path | None = typer.Option(None, help="Link --records with the people of this file."),
    fields: Path | None = typer.Option(None, help="What the columns of the files mean (YAML)."),
    out: Path | None = typer.Option(None, help="Where the pairs go (Parquet)."),
    model: Path | None = typer.Option(None, help="A file of pairs: link by its model."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Link the people of the registry; what was found before asks nothing anew.

    With --records, --fields and --out: link the people of plain files instead.
    """
    if records or against or fields or out or model:
        if not (records and fields and out) or new:
            message = "--records, --fields and --out go together, and without --new"
            raise typer.BadParameter(message)
        show_found(records, against, fields, out, model, shape)
        return
    from cva.registry.linking import Scope

    show_run(Scope.NEW if new else Scope.WHOLE, shape)


@app.command()
def review(
    numbers: bool = typer.Option(False, "--numbers", help="List numbers that too many hold."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """List the pairs that wait for a decision, those with the most money at stake first.

    exact: both hold the same valid identity number. A pair decided to be the same waits for a
    second person. Numbers that too many hold make nobody a duplicate.
    """
    session = open_session()
    with session.reading() as conn:
        crowds = list(questions.crowds(conn))
        if numbers:
            show(
                ["kind", "people", "households", "among them"],
                [(c.kind, c.people, c.households, c.household_id) for c in crowds], shape,
            )  # fmt: skip
            return
        rows = [
            (q.left_key, q.right_key, q.found, q.shared,
             Money(q.stake_minor, q.currency) if q.currency else None, q.state, q.since, q.due_at)
            for q in questions.queue(conn)
        ]  # fmt: skip
    show(
        ["left", "right", "found", "shared", "at stake", "state", "since", "deadline"], rows, shape,
        below=("since", "deadline", "shared", "at stake", "state", "found"),
    )  # fmt: skip
    finding = questions.crowds_found(crowds)
    if finding is not None:
        warn(f"{finding.sentence} {finding.problem.remedy}")


@app.command()
def decide(
    left: str,
    right: str,
    same: bool = typer.Option(False, "--same", help="One household, or one person."),
    different: bool = typer.Option(False, "--different", help="Two."),
    ask: bool = typer.Option(False, "--ask", help="Nobody can say yet; it goes on waiting."),
    keep: str = typer.Option("", help="For --same: the one that stays."),
    reason: str = REASON,
    key: str = KEY,
) -> None:
    """Decide about a pair: the same (one stays once another person merges them), or different."""
    chosen = [
        verdict for verdict, given in zip(Verdict, (same, different, ask), strict=True) if given
    ]
    if len(chosen) != 1:
        message = "say one of --same, --different and --ask"
        raise typer.BadParameter(message)
    session = open_session()
    with session.transaction() as conn:
        duplicates.decide(
            conn, left, right, Ruling(chosen[0], keep or None, reason),
            person_id=session.person_id, at=session.clock.now(), key=key,
        )  # fmt: skip
    told = {
        Verdict.SAME: "Decided; another person merges them now: `cva duplicates merge`.",
        Verdict.DIFFERENT: "Decided; a follow-up takes up the lines that were stopped for it.",
        Verdict.ASK: "Noted; the pair goes on waiting.",
    }
    say(told[chosen[0]])


@app.command()
def merge(left: str, right: str, key: str = KEY) -> None:
    """Merge two that another person decided to be the same."""
    session = open_session()
    with session.transaction() as conn:
        kept = duplicates.merge(
            conn, left, right, person_id=session.person_id, at=session.clock.now(), key=key
        )
    say(f"Merged; {kept} stands for both.")


@app.command()
def unmerge(left: str, right: str, reason: str = REASON, key: str = KEY) -> None:
    """Undo a merge: one person asks, the same command by another one does it."""
    session = open_session()
    with session.transaction() as conn:
        done = duplicates.unmerge(
            conn, left, right, reason, person_id=session.person_id, at=session.clock.now(),
            key=key,
        )  # fmt: skip
    if done is Undone.ASKED:
        say("Asked for; it is undone when another person gives the same command.")
    else:
        say("Undone: both stand again as they were, and are asked about anew.")


@app.command()
def explain(
    left: str,
    right: str,
    pairs_file: Path | None = typer.Option(None, "--pairs", help="A file that `find` wrote."),
    chart: Path | None = typer.Option(None, help="Draw it as well, into this HTML file."),
    shape: Shape = typer.Option(Shape.TABLE, "--format"),
) -> None:
    """Show why two may be one, piece by piece; the pieces and the cap add up to the score."""
    if pairs_file is not None:
        from cva import linking_files

        found = [linking_files.explained(pairs_file, left, right)]
    else:
        session = open_session()
        with session.reading() as conn:
            found = list(questions.why(conn, left, right))
    pairs = [
        (w.left_key, w.right_key, w.likeness or "person", w.band, _bits(w.score_millibits),
         w.model[:16])
        for w in found
    ]  # fmt: skip
    parts = [Part("pairs", ["left", "right", "likeness", "band", "bits", "model"], pairs,
                  ("model", "likeness"))]  # fmt: skip
    for one in found:
        if one.unit == "person":
            rows: list[tuple[Cell, ...]] = [
                (fact, level, group, _bits(millibits))
                for fact, group, level, millibits in one.pieces
            ]
            rows.append(("score", "", "", _bits(one.score_millibits)))
            name = f"{one.left_key} {one.right_key}"
            parts.append(Part(name, ["fact", "agreement", "evidence", "bits"], rows))
    show_parts(parts, shape)
    if chart is not None:
        from cva.reports.explaining import draw

        draw(found, chart)
        say(f"Drawn: {chart}")


@app.command()
def history(key: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List what became of a household or a person, and of what was merged into it."""
    session = open_session()
    with session.reading() as conn:
        rows = [(e.at, e.event, e.key, e.detail, e.login) for e in questions.history(conn, key)]
    show(["at", "event", "of", "detail", "by"], rows, shape, below=("of", "detail"))


@app.command()
def check(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Look whether one person is registered already, while they stand before you.

    Asks for what is known of them. Names and numbers are no arguments, which other users of the
    machine could see: a program writes lines like `given_name: Layla` to the standard input.
    """
    from cva.registry.checking import check as look

    told = _asked()
    told |= _born(told.get("birth_date", ""))
    session = open_session()
    with session.transaction() as conn:
        found = look(
            conn, session.vault, {name: told.get(name) or None for name in (*ASKED, *_BORN)},
            person_id=session.person_id, at=session.clock.now(),
        )  # fmt: skip
    show(
        ["person", "band", "bits", "same number", "against"],
        [(m.key, m.band, _bits(m.score_millibits), m.shared_id, m.contradiction)
         for m in found.matches],
        shape,
    )  # fmt: skip
    for finding in found.findings:
        warn(f"{finding.sentence} {finding.problem.remedy}")


def show_found(
    records: Path, against: Path | None, fields: Path, out: Path, model: Path | None, shape: Shape
) -> None:
    """Link the people of plain files and print how many pairs were written."""
    from cva import linking_files

    used = linking_files.model_in(model) if model else None
    done = linking_files.find(records, against, fields, out, used)
    parts = [
        Part("found", ["people", "automatic", "review", "model"],
             [(done.people, done.automatic, done.review, done.model[:16])]),
        Part("findings", ["finding", "what"],
             [(f.problem.code, f.sentence) for f in done.findings]),
    ]  # fmt: skip
    show_parts(parts, shape)
    say(f"Written: {out}")


def show_run(scope: "Scope", shape: Shape) -> None:
    """Do a linkage run as a job and print what it found."""
    from cva.registry import linking

    session = open_session()
    with session.working("link", scope.value, "people") as progress:
        done = linking.run(
            session.engine, session.vault, session.clock, session.person_id, scope, progress
        )
    parts = [
        Part("run", ["run", "people", "pairs", "new", "automatic"],
             [(done.run_id, done.people, done.pairs, done.fresh, done.automatic)]),
        Part("findings", ["finding", "what"],
             [(f.problem.code, f.sentence) for f in done.findings]),
    ]  # fmt: skip
    show_parts(parts, shape)


def _asked() -> dict[str, str]:
    """Return what is known of a person: asked for at a terminal, else read from lines."""
    if sys.stdin.isatty():
        return {
            name: typer.prompt(label, default="", show_default=False)
            for name, label in ASKED.items()
        }
    told = {}
    for line in sys.stdin:
        name, colon, text = line.partition(":")
        if not line.strip():
            continue
        if not colon or name.strip() not in ASKED:
            message = f"a line is none of {', '.join(ASKED)} with a colon and what is known"
            raise typer.BadParameter(message)
        told[name.strip()] = text.strip()
    return told


def _born(text: str) -> dict[str, str]:
    """Return a birth date with its precision; refuses what is none."""
    if not text:
        return {}
    whole = f"{text}-01-01" if text.isdecimal() else text
    try:
        born = date.fromisoformat(whole)
    except ValueError:
        message = f"{text} is no date: write 1987-04-23, or a year alone"
        raise typer.BadParameter(message) from None
    return {
        "birth_date": born.isoformat(),
        "birth_date_precision": "year" if text.isdecimal() else "exact",
    }


def _bits(millibits: int | None) -> str:
    return "" if millibits is None else f"{millibits / BITS_OF:+.3f}"
