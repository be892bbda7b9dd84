"""Rule packs on plain files: checked, and run on two CSV lists, without any database or settings.

So that others can check us: whoever has the pack, the lists, the day and the seed gets the same
decisions. A *pack file* holds one pack; a *programme file* holds one under `rules`.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from adapters.forms import registration_mapping
from adapters.mapping import FormMapping
from cva.programmes import loading
from cva.programmes.asked import not_asked
from cva.programmes.naming import pack_named
from eligibility.assessment import assess
from eligibility.decisions import AssessmentTotals
from eligibility.plain_files import snapshot_of
from eligibility.rules.checked import load_pack, read_pack, read_text, rules_of
from eligibility.rules.document import Document, YamlPath, read_document
from eligibility.rules.pack import RulePack
from eligibility.snapshot import engine
from ledgers.problems import Finding, Place, Problem, Refusal

RULES_REFUSED = Problem(
    "rules_refused",
    "{wrong} of {files:file|files} cannot be used: {problems:problem|problems} in all.",
    "Correct the places listed and check again.",
)
RULES_NO_FILES = Problem(
    "rules_no_files",
    "There are no rule packs in {folder}.",
    "Name files that end in .yaml or .yml, or a folder with such files.",
)

RULES_OUT = Problem(
    "rules_out",
    "The decisions cannot be written to {out}: {why}.",
    "Name a file in a folder that is there.",
)

SUFFIXES = (".yaml", ".yml")
ANSWER_COLUMNS: dict[str, pa.DataType] = {
    "household_id": pa.string(), "status": pa.string(), "pass_bits": pa.int64(),
    "unknown_bits": pa.int64(), "score": pa.int64(), "rank": pa.int32(), "selected": pa.bool_(),
    "waitlist_position": pa.int32(), "amount_minor": pa.int64(), "currency": pa.string(),
    "reason": pa.string(),
}  # fmt: skip
ANSWER = pa.schema(list(ANSWER_COLUMNS.items()))
ANSWER_ROWS = 65_536
THREADS = 2
MEMORY_MB = 256  # for comparing the two lists; what does not fit is spilled


@dataclass(frozen=True, slots=True)
class Checked:
    """One file, and everything that is wrong with it."""

    file: Path
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a run on plain files came to, the columns that no rule read, and the packs before it."""

    totals: AssessmentTotals
    left_out: tuple[str, ...]
    after: tuple[str, ...]  # packs that the rules are decided after, and were not here


# --- checking --------------------------------------------------------------------------------


def check_paths(paths: Sequence[Path], mapping: FormMapping | None = None) -> tuple[Checked, ...]:
    """Return every problem of every file; a folder stands for the YAML files in it.

    `mapping` is of the form whose registrations the rules will judge; a programme file is held
    against our own registration form where none is named, a pack file against none. Raises
    `rules_no_files`.
    """
    return tuple(Checked(file, _findings(file, mapping)) for file in _files(paths))


def refusal_of(checked: Sequence[Checked]) -> Refusal | None:
    """Return the refusal that lists everything wrong, or None where nothing is."""
    findings = [finding for one in checked for finding in one.findings]
    if not findings:
        return None
    wrong = sum(bool(one.findings) for one in checked)
    refusal = RULES_REFUSED.refusal(wrong=wrong, files=len(checked), problems=len(findings))
    return refusal.with_findings(findings)


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        found = sorted(item for item in path.iterdir() if item.suffix in SUFFIXES)
        if not found:
            raise RULES_NO_FILES.refusal(folder=path.name)
        yield from found


def _findings(file: Path, mapping: FormMapping | None) -> tuple[Finding, ...]:
    try:
        document, findings = read_document(read_text(file), file.name)
    except Refusal as refusal:
        return (Finding(refusal.problem, Place(file.name), "", refusal.facts),)
    if document is None:
        return findings
    path = rules_path(document)
    if path:
        findings = loading.check(file)
        mapping = mapping or registration_mapping()
    else:
        findings += read_pack(document, document.values)[1]
    return findings + (tuple(not_asked(document, path, mapping)) if mapping is not None else ())


def rules_path(document: Document) -> YamlPath:
    """Return where the pack stands in a file: at its top, or under `rules` of a programme."""
    values = document.values
    return ("rules",) if isinstance(values, dict) and "rules" in values else ()


def pack_of(file: Path) -> RulePack:
    """Return the pack in a pack file or a programme file.

    Raises `pack_refused`, `programme_refused`, `pack_unreadable`.
    """
    document, _ = read_document(read_text(file), file.name)
    if document is not None and rules_path(document):
        return loading.load(file).rules
    return load_pack(file)


# --- running ---------------------------------------------------------------------------------


def run_on_files(
    file: Path,
    households: Path,
    members: Path,
    on: date,
    out: Path,
    *,
    seed: str | None = None,
    grant_minor: int | None = None,
) -> Ran:
    """Decide the households of two CSV files by the pack in `file` and write the decisions.

    Arguments: `file` may also be the name of a pack that comes with the program; `on` is the
    reference date; `seed` breaks ties (by default the code of the pack); `grant_minor` is what can
    be spent where the pack selects within a grant. `out` is Parquet, one row for each household in
    the order of household_id, columns as in `ANSWER`. Nothing stands at `out` unless the run was
    completed.

    Raises `pack_unknown`, `pack_refused`, `programme_refused`, `rules_out`, `plain_files_refused`
    and what `assess` raises.
    """
    pack = pack_named(str(file), read=pack_of)
    rules = rules_of(pack)
    check_out(out)
    with tempfile.TemporaryDirectory(prefix=".cva-rules-", dir=out.parent) as made:
        folder = Path(made)
        with engine(folder, MEMORY_MB, THREADS) as connection:
            snapshot = snapshot_of(connection, households, members, rules, folder)
        decisions = folder / "whole.parquet"
        totals = assess(
            snapshot.households, snapshot.members, pack, on, decisions,
            seed=pack.code if seed is None else seed, spill=folder, grant_minor=grant_minor,
            threads=THREADS,
        )  # fmt: skip
        answer = folder / "answer.parquet"
        _write_answer(decisions, answer)
        answer.replace(out)
    return Ran(totals, snapshot.left_out, pack.after or ())


def check_out(out: Path) -> None:
    """Refuse a file that could not be written when everything is computed. Raises `rules_out`."""
    if out.is_dir():
        raise RULES_OUT.refusal(out=out, why="it is a folder")
    if not out.parent.is_dir():
        raise RULES_OUT.refusal(out=out, why=f"there is no folder {out.parent}")
    if not os.access(out.parent, os.W_OK):
        raise RULES_OUT.refusal(out=out, why=f"nobody may write into {out.parent}")


def _write_answer(decisions: Path, out: Path) -> None:
    with pq.ParquetWriter(out, ANSWER, compression="zstd") as writer:
        for batch in pq.ParquetFile(decisions).iter_batches(ANSWER_ROWS, columns=ANSWER.names):
            writer.write_table(pa.Table.from_batches([batch]).select(ANSWER.names).cast(ANSWER))
