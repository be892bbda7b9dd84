"""The evidence of a sample in one folder, for auditors who check it without this program.

    sample.csv         the drawn lines, in the order of the log, each with its evidence
    strata.csv         the population and what was drawn, by stratum
    bundles/           for each drawn payment one bundle, see `ledgers.transparency.bundle`
    checkpoint.txt     the signed state of the log that the sample was drawn from
    verify_bundle.py   what checks a bundle; needs Python and `cryptography` only
    README.md          what was drawn from what, how to draw it again, how to check it offline

The sample is drawn from what a checkpoint signs, no more. A payment of which something was recorded
after that has no bundle under it: its line says so. No personal data: references, amounts, dates
and places only.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from psycopg import Connection

from cva import transparency
from ledgers.drawing import Drawing, Method
from ledgers.money import format_amount, grouped
from ledgers.problems import Problem, Refusal
from ledgers.sampling import Line, Sample, Scope, sample
from ledgers.transparency import verify_bundle
from ledgers.transparency.checkpoint import Checkpoint
from ledgers.transparency.proofs import LEAF_UNKNOWN

PACK_FOLDER_TAKEN = Problem(
    "pack_folder_taken",
    "The folder {folder} has something in it already.",
    "Name a new folder: evidence of two samples must not be mixed.",
)

NO_PAYMENT = "none: not a payment"
NO_PLAN = "none: no plan has it"
LATER = "none: it went on after the checkpoint"
_NO_BUNDLE: Mapping[str, str] = {
    transparency.LINE_UNKNOWN.code: NO_PLAN, LEAF_UNKNOWN.code: LATER,
}  # fmt: skip
_COLUMNS = (
    "number", "position", "leg", "stratum", "hits", "entry", "event", "effective_on", "phase",
    "debit", "credit", "amount", "currency", "grant", "programme", "cycle", "provider", "province",
    "instruction", "evidence",
)  # fmt: skip

_README = Template("""\
# A sample of the books, with its evidence

$method sample of $size by the seed `$seed`, drawn from the lines below.

$figures

`sample.csv` lists the $lines lines that were drawn, `strata.csv` the population by stratum.
$bundles of the lines are payments with a bundle. A line without one says why in the column
`evidence`: funding, fees and other entries without an instruction are proven by
`cva audit proof ENTRY`; ask for the paper behind them.

## How it was drawn

$how

The same command on the same books draws the same lines:

    $command

## Check the evidence, offline

You need Python 3.11 with the package `cryptography`, and the public key of the log, which you get
from the agency on paper or by telephone, never with this folder. `checkpoint.txt` is the state of
the log that was signed; its second line is $log_size, the number of leaves.

    for each in bundles/*.json; do
      python verify_bundle.py "$$each" --log-key KEY | head -1
    done

Each must say TRUE. With `--witness-key KEY` (one for each witness) it checks also that other
agencies saw the same log. Without `head -1` it says what was on hold, paid and returned: compare
with the amount in `sample.csv`, and the SHA-256 of the provider's document with the file that you
ask the provider for.
""")
_HOW: Mapping[Method, str] = {
    Method.RANDOM: """\
Lines are ordered by the SHA-256 of `seed/position/leg` (of `sample.csv`) in UTF-8; the first ones
are taken. A larger sample by the same seed contains this one.""",
    Method.STRATIFIED: """\
Every stratum gets one line, the rest is shared out in proportion to $share (Sainte-Laguë). Within a
stratum, lines are ordered by the SHA-256 of `seed/position/leg` (of `sample.csv`) in UTF-8, and the
first ones are taken. A larger sample by the same seed contains this one.""",
    Method.MONEY_UNIT: """\
The interval is the money divided by the size, rounded down. Counting the money through the lines in
the order of the log, the units start, start + interval, and so on are hits: a line that ends at the
sum S has INT((S - start) / interval) + 1 hits up to it, in minor units. Lines of the interval and
above are always taken: what is wrong with one of them counts as it is, what is wrong with a smaller
one is projected on the interval.""",
}


@dataclass(frozen=True, slots=True)
class Pack:
    """What was written: the sample, and how many payments have a bundle."""

    sample: Sample
    bundles: int


def write_pack(
    conn: Connection,
    scope: Scope,
    drawing: Drawing,
    folder: Path,
    *,
    command: str,
    log_size: int | None = None,
) -> Pack:
    """Draw a sample of what a checkpoint signs (the newest) and write it with its evidence.

    `command` is what draws it again. Raises `checkpoint_unknown`, `pack_folder_taken`, and as
    `ledgers.sampling.sample` does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PACK_FOLDER_TAKEN.refusal(folder=folder.name)
    checkpoint = transparency.kept_checkpoint(conn, log_size)
    found = sample(conn, scope, drawing, log_size=checkpoint.size)
    (folder / "bundles").mkdir(parents=True, exist_ok=True)
    evidence = dict(_bundles(conn, found, checkpoint, folder / "bundles"))
    _write_lines(found, evidence, folder / "sample.csv")
    _write_strata(found, folder / "strata.csv")
    (folder / "checkpoint.txt").write_text(checkpoint.note, encoding="utf-8")
    script = Path(verify_bundle.__file__).read_text(encoding="utf-8")
    (folder / "verify_bundle.py").write_text(script, encoding="utf-8")
    bundles = sum(said.startswith("bundles/") for said in evidence.values())
    text = _readme(found, bundles, command)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return Pack(found, bundles)


def figures_of(found: Sample) -> list[tuple[str, str]]:
    """Return what the sample was drawn from, in words and figures."""
    draw, currency = found.draw, found.currency
    rows = [
        ("log", f"{found.log_size:,} leaves, root {found.root.hex()[:16]}…"),
        ("population", f"{draw.count:,} lines, {grouped(draw.sum_minor, currency)} {currency}"),
        ("debits", f"{grouped(found.debits_minor, currency)} {currency}"),
        ("credits", f"{grouped(found.credits_minor, currency)} {currency}"),
    ]
    if draw.interval_minor is not None and draw.start_minor is not None:
        rows += [
            ("interval", f"{grouped(draw.interval_minor, currency)} {currency}"),
            ("start", f"{grouped(draw.start_minor, currency)} {currency}"),
            ("hits", f"{sum(line.hits for line in draw.lines):,}"),
        ]
    return rows


def _bundles(
    conn: Connection, found: Sample, checkpoint: Checkpoint, folder: Path
) -> Iterator[tuple[str, str]]:
    """Write a bundle for each drawn payment; yield each with its file, or why it has none."""
    for instruction in sorted(
        {line.instruction_ref for line in found.lines if line.instruction_ref}
    ):
        try:
            text = transparency.bundle_of(conn, instruction, checkpoint.size)
        except Refusal as refusal:
            if refusal.problem.code not in _NO_BUNDLE:
                raise
            yield instruction, _NO_BUNDLE[refusal.problem.code]
        else:
            (folder / f"{instruction}.json").write_text(text, encoding="utf-8")
            yield instruction, f"bundles/{instruction}.json"


def _write_lines(found: Sample, evidence: Mapping[str, str], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(_COLUMNS)
        for number, line in enumerate(found.lines, start=1):
            table.writerow((number, *_cells(line), evidence.get(line.instruction_ref or "",
                                                                NO_PAYMENT)))  # fmt: skip


def _cells(line: Line) -> tuple[object, ...]:
    return (
        line.position, line.leg_no or "", line.stratum, line.hits, line.entry_ref, line.event,
        line.effective_on, line.phase, line.debit_account, line.credit_account,
        format_amount(line.amount_minor, line.currency), line.currency, line.grant_code,
        line.programme_id, line.cycle_id, line.provider, line.location, line.instruction_ref,
    )  # fmt: skip


def _write_strata(found: Sample, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(("stratum", "lines", "amount", "drawn", "drawn_amount", "currency"))
        for part in found.draw.strata:
            amounts = (format_amount(minor, found.currency)
                       for minor in (part.sum_minor, part.drawn_minor))  # fmt: skip
            amount, drawn_amount = amounts
            table.writerow(
                (part.name, part.count, amount, part.drawn, drawn_amount, found.currency)
            )


def _readme(found: Sample, bundles: int, command: str) -> str:
    drawing = found.drawing
    how = Template(_HOW[drawing.method]).substitute(share=f"the {drawing.share} of each")
    return _README.substitute(
        method=drawing.method.capitalize(), size=drawing.size, seed=drawing.seed,
        figures="\n".join(f"* {name}: {said}" for name, said in figures_of(found)),
        lines=len(found.lines), bundles=bundles, how=how, command=command,
        log_size=found.log_size,
    )  # fmt: skip
