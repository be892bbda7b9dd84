"""`cva provider`: banks and card processors, and what they say."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import typer

from adapters.port import Document
from cva import providers
from cva.cli import expiry
from cva.cli.output import Money, Part, Shape, say, show, show_parts, warn
from cva.cli.session import open_session
from cva.payments import observing, redemptions, sending
from ledgers.problems import PROBLEMS

FINDINGS_TOLD_MAX = 20
_FINDINGS_OF_FILE = """
    SELECT f.place, f.code, f.sentence FROM payments.document_finding f
    JOIN payments.document d USING (document_id)
    WHERE (d.provider, d.sha256) = (%s, %s) ORDER BY f.finding_no
"""

app = typer.Typer(help="Banks and card processors: list, collect, read.", no_args_is_help=True)
expiry.add_to(app)


@app.command("list")
def list_providers(shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List the providers of this installation."""
    session = open_session()
    entries = providers.read(session.providers_file)
    show(
        ["code", "kind", "pays as"],
        [(e.code, e.kind, e.debtor_name) for e in entries.values()],
        shape,
    )


@app.command()
def collect(code: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """Fetch and keep everything the provider has for us."""
    session = open_session()
    provider = session.provider(code)
    # What was fetched is kept before anything stops: the provider may not give it twice.
    with session.working("collect", code, "documents", may_be_cut=False) as progress:
        done = observing.collect(
            session.engine, session.vault, provider, person_id=session.person_id,
            clock=session.clock, progress=progress,
        )  # fmt: skip
    show(
        ["documents", "known before", "observations", "statement lines", "findings", "unknown"],
        [(done.documents, done.known_before, done.observations, done.statement_lines,
          done.findings, done.unknown_lines)],
        shape,
    )  # fmt: skip


@app.command("read")
def read_file(code: str, file: Path) -> None:
    """Keep one file that the provider sent by another way, and say what cannot be believed."""
    session = open_session()
    document = Document(file.name, file.read_bytes())
    with session.transaction() as conn:
        kept = observing.keep(
            conn, session.vault, session.provider(code), document, person_id=session.person_id,
            at=session.clock.now(),
        )  # fmt: skip
        observing.mark_silent_lines(conn, code, session.clock.now())
        found = conn.execute(
            _FINDINGS_OF_FILE, (code, hashlib.sha256(document.content).digest())
        ).fetchall()
    counts = {"observations": 0, **kept}
    say(_counted(counts) if kept else "This file was read before; nothing changed.")
    _tell(found, code)


@app.command("redemptions")
def book_redemptions(
    code: str, file: Path, shape: Shape = typer.Option(Shape.TABLE, "--format")
) -> None:
    """Book what recipients used, from the provider's redemption report, item by item."""
    session = open_session()
    provider = session.provider(code)
    document = Document(file.name, file.read_bytes())
    with session.transaction() as conn:
        done = redemptions.book(
            conn, session.vault, provider, document, person_id=session.person_id,
            at=session.clock.now(),
        )  # fmt: skip
        currency = redemptions.kept_on_wallets(conn, code)[0].currency
    show_parts(
        [
            Part("report", ["items", "recorded", "used", "refunded", "refused", "before"],
                 [(done.items, done.recorded, Money(done.used_minor, currency),
                   Money(done.refunded_minor, currency), len(done.answers),
                   "yes" if done.already else "no")]),
            Part("refused", ["line", "transaction", "answer", "about"],
                 [(answer.item_no, answer.item_key, answer.code, answer.fact)
                  for answer in done.answers]),
        ],
        shape,
    )  # fmt: skip
    _tell([(str(f.place), f.problem.code, f.sentence) for f in done.findings], code)


@app.command()
def findings(code: str, shape: Shape = typer.Option(Shape.TABLE, "--format")) -> None:
    """List what could not be believed in the provider's documents."""
    session = open_session()
    with session.reading() as conn:
        rows = conn.execute(
            "SELECT d.name, f.place, f.code, f.sentence FROM payments.document_finding f"
            " JOIN payments.document d USING (document_id) WHERE d.provider = %s"
            " ORDER BY d.received_at, d.document_id, f.finding_no",
            (code,),
        ).fetchall()
    show(["document", "place", "finding", "says"], rows, shape)


@app.command("not-taken")
def not_taken(
    file: str,
    evidence: str = typer.Option(..., help="The provider's written word, and where it is kept."),
) -> None:
    """Record that a file was not taken, so that a new one may be sent."""
    session = open_session()
    with session.transaction() as conn:
        sending.record_not_taken(
            conn, file, evidence=evidence, person_id=session.person_id, at=session.clock.now()
        )
    say(f"Recorded. The next send makes a new file in place of {file}.")


def _counted(counts: Mapping[str, int]) -> str:
    """Return the counts as a person says them: 0 observations, 1 finding."""
    named = ((count, name.replace("_", " ")) for name, count in counts.items())
    return ", ".join(
        f"{count:,} {name.removesuffix('s') if count == 1 else name}" for count, name in named
    )


def _tell(found: Sequence[tuple[str, str, str]], code: str) -> None:
    """Say the first findings (place, code, sentence) with what to do, and where all of them are."""
    for place, problem, sentence in found[:FINDINGS_TOLD_MAX]:
        warn(f"{place}: {sentence}\n  What to do: {_remedy(problem)}\n  ({problem})")
    if found:
        warn(f"All findings of this provider: cva provider findings {code}")


def _remedy(problem: str) -> str:
    # Facts of a finding are not kept: a remedy that needs them is found under its code.
    known = PROBLEMS.get(problem)
    plain = known is not None and "{" not in known.remedy
    return known.remedy if known is not None and plain else f"cva help {problem}"
