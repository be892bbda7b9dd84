"""`cva audit`: what was done, by whom, when; and the log that proves it to others.

Reading needs the read-only role only. What signs (`checkpoint`, `witness`) works as the application
and needs the master key.
"""

from pathlib import Path
from typing import NoReturn

import typer

from cva import transparency
from cva.cli import sampling
from cva.cli.output import Shape, say, show
from cva.cli.session import open_session
from cva.database.connect import Role
from ledgers.problems import Answer, Problem, counted
from ledgers.transparency import bundle as bundles
from ledgers.transparency import proofs, sealing, verify_bundle
from ledgers.transparency.checkpoint import parse_growth

BUNDLE_UNTRUE = Problem(
    "bundle_untrue",
    "The bundle does not prove what it says: {why}.",
    "Trust nothing of it; ask for the original, and compare the public keys with their owners.",
)
PROOF_OF_WHAT = Problem(
    "proof_of_what",
    "{what} is neither an entry nor an instruction.",
    "Give an entry (je_…), or an instruction's reference of capital letters and digits.",
    Answer.USAGE,
)

app = typer.Typer(help="What was done, by whom, when; and the proof of it.", no_args_is_help=True)
sampling.add_to(app)
SHAPE = typer.Option(Shape.TABLE, "--format")
OUT = typer.Option(None, help="The file to write; default: the screen.")
LOG_KEY = typer.Option(..., "--log-key", help="The log's public key, from its agency.")
WITNESS_KEY = typer.Option([], "--witness-key", help="A witness's public key; repeat for several.")


@app.callback()
def audit() -> None:
    """Read as the database's read-only role."""


@app.command()
def log(
    last: int = typer.Option(50, min=1, max=100_000, help="How many acts, the newest last."),
    shape: Shape = SHAPE,
) -> None:
    """List the acts recorded."""
    session = open_session(Role.AUDITOR)
    with session.reading() as conn:
        rows = conn.execute(
            "SELECT act_id, at, login, verb, object_id FROM (SELECT a.act_id, a.at, p.login,"
            " a.verb, a.object_id FROM ops.act a LEFT JOIN staff.person p USING (person_id)"
            " ORDER BY a.act_id DESC LIMIT %s) newest ORDER BY act_id",
            (last,),
        ).fetchall()
    show(["act", "at", "who", "verb", "object"], rows, shape)


@app.command()
def checkpoint(
    name: str | None = typer.Option(None, help="The log's name; needed the first time only."),
    since: int | None = typer.Option(
        None, min=0, help="Write a witness's request instead: the size it saw last, or 0."
    ),
    cosignature: Path | None = typer.Option(None, help="Keep what a witness sent back."),
    witness_key: list[str] = WITNESS_KEY,
    out: Path | None = OUT,
) -> None:
    """Seal what waits and sign the log as it is now; with --cosignature, add a witness's word."""
    session = open_session()
    with session.transaction() as conn:
        now = session.clock.now()
        if cosignature is None:
            made = transparency.make_checkpoint(conn, session.vault, name, now)
        for key in witness_key if cosignature is not None else []:
            text = cosignature.read_text(encoding="utf-8") if cosignature else ""
            made = transparency.add_cosignature(conn, text, key, now)
        if cosignature is not None and not witness_key:
            raise typer.BadParameter("name the witness with --witness-key")
        text = made.note if since is None else transparency.request(conn, since).body
    _give(text, out)


@app.command()
def key(witness: bool = typer.Option(False, "--witness", help="The key that witnesses.")) -> None:
    """Show the public key to hand to other agencies and auditors."""
    session = open_session(Role.AUDITOR)
    with session.reading() as conn:
        say(transparency.vkey_of(conn, "witness" if witness else "log"))


@app.command()
def witness(
    request: Path = typer.Argument(help="What the other agency sent: checkpoint and proof."),
    log_key: str = LOG_KEY,
    name: str | None = typer.Option(None, help="Our name as a witness; the first time only."),
    out: Path | None = OUT,
) -> None:
    """Cosign another agency's checkpoint, if its log only grew since the one seen last."""
    session = open_session()
    growth = parse_growth(request.read_text(encoding="utf-8"))
    with session.transaction() as conn:
        line = transparency.witness(
            conn, session.vault, growth, log_key, name=name, at=session.clock.now()
        )
    _give(line, out)


@app.command()
def state(shape: Shape = SHAPE) -> None:
    """Show how far the log goes, how many entries wait, and the checkpoints kept."""
    session = open_session(Role.AUDITOR)
    with session.reading() as conn:
        now = sealing.state(conn)
        rows = conn.execute(
            "SELECT tree_size, signed_at, (SELECT count(*) FROM books.cosignature o"
            " WHERE o.tree_size = c.tree_size) FROM books.checkpoint c ORDER BY tree_size"
        ).fetchall()
    if shape is Shape.TABLE:
        waiting = counted(now.waiting, "entry waits", "entries wait")
        say(f"{counted(now.size, 'leaf', 'leaves')}, {waiting} to be sealed.")
    show(["size", "signed at", "witnesses"], rows, shape)


@app.command()
def proof(
    what: str = typer.Argument(help="An entry (je_…) or an instruction's reference."),
    shape: Shape = SHAPE,
) -> None:
    """Show where an entry or a payment stands in the log, proven under the newest checkpoint."""
    session = open_session(Role.AUDITOR)
    with session.reading() as conn:
        size = transparency.kept_checkpoint(conn).size
        if what.startswith("je_"):
            places = list(proofs.positions_of_entry(conn, what))[:1]
        elif what.isupper() or what.isdigit():
            places = proofs.positions_of_instruction(conn, what)
        else:
            raise PROOF_OF_WHAT.refusal(what=what[:40])
        found = [proofs.inclusion(conn, place, size) for place in places]
        rows = [
            (f.leaf.position, str(fields["entry_ref"]), str(fields.get("phase", "entry")),
             len(f.proof), f.root.hex()[:16])
            for f in found
            for fields in [bundles.fields_of(f.leaf.encoding)]
        ]  # fmt: skip
    show(["place", "entry", "what", "hashes", "root"], rows, shape)


@app.command()
def bundle(
    instruction: str = typer.Argument(help="The instruction's reference."),
    size: int | None = typer.Option(None, min=1, help="An older checkpoint; default the newest."),
    out: Path | None = OUT,
) -> None:
    """Write the evidence of one payment: a file that anybody with our public key can check."""
    session = open_session(Role.AUDITOR)
    with session.reading() as conn:
        text = transparency.bundle_of(conn, instruction, size)
    _give(text, out)


@app.command()
def verify(
    file: Path = typer.Argument(help="The bundle."),
    log_key: str = LOG_KEY,
    witness_key: list[str] = WITNESS_KEY,
) -> None:
    """Check a bundle offline, as verify_bundle.py does on a machine without this program."""
    try:
        text = file.read_text(encoding="utf-8")
        lines = verify_bundle.verify(text, log_key, witness_key)
    except UnicodeDecodeError:
        _refuse("it is no text")
    except verify_bundle.Untrue as untrue:
        _refuse(str(untrue))
    say("\n".join(lines))


def _refuse(why: str) -> NoReturn:
    raise BUNDLE_UNTRUE.refusal(why=why) from None


def _give(text: str, out: Path | None) -> None:
    if out is None:
        say(text.removesuffix("\n"))
        return
    out.write_text(text, encoding="utf-8")
    say(f"Written to {out}.")
