"""A provider's list of what has expired of its loads, as CSV: `instruction`, `amount`.

A cell that cannot be read could be a family's money: the list is taken as a whole or not at all,
and every problem of it is told with its row. Whether an instruction is one of ours, and how much of
it can have expired, the books say when the list is booked.
"""

import csv
from collections.abc import Iterable, Mapping

from ledgers.money import parse_amount
from ledgers.problems import Finding, Place, Problem, Refusal, Weight

EXPIRED_COLUMN_MISSING = Problem(
    "expired_column_missing",
    "The list has no column {column}.",
    "Name the columns in its first row: instruction, amount.",
    weight=Weight.REFUSED,
)
EXPIRED_ROW_UNFIT = Problem(
    "expired_row_unfit",
    "The row cannot be taken: {why}.",
    "Give each instruction once, with the amount that expired, such as 1250.50.",
    weight=Weight.REFUSED,
)
EXPIRED_EMPTY = Problem(
    "expired_empty", "The list holds no instruction.", "Give a row for each load that expired."
)

_MARK = "\ufeff"  # spreadsheets begin a file of UTF-8 with it


def read_expired(lines: Iterable[str], file: str, currency: str) -> dict[str, int]:
    """Return the minor units of `currency` that expired, by instruction.

    `file` names the list in findings. Raises `expired_column_missing`, `expired_row_unfit` or
    `expired_empty`, with every problem as a finding.
    """
    rows = csv.DictReader(line.removeprefix(_MARK) for line in lines)
    columns = rows.fieldnames or ()
    findings = [
        EXPIRED_COLUMN_MISSING.finding(Place(file=file, row=1), column=column)
        for column in ("instruction", "amount")
        if column not in columns
    ]
    stated: dict[str, int] = {}
    if not findings:
        for row in rows:
            findings += _taken(row, stated, Place(file=file, row=rows.line_num), currency)
    if findings:
        first = findings[0]
        raise first.problem.refusal(**first.facts).with_findings(findings)
    if not stated:
        raise EXPIRED_EMPTY.refusal()
    return stated


def _taken(
    row: Mapping[str, str | None], stated: dict[str, int], place: Place, currency: str
) -> list[Finding]:
    instruction = (row["instruction"] or "").strip()
    if not instruction:
        return [EXPIRED_ROW_UNFIT.finding(place, why="it names no instruction")]
    if instruction in stated:
        return [EXPIRED_ROW_UNFIT.finding(place, why=f"{instruction} stands in the list before")]
    try:
        minor = parse_amount((row["amount"] or "").strip(), currency)
    except Refusal as refusal:
        return [EXPIRED_ROW_UNFIT.finding(place, why=refusal.sentence)]
    if minor <= 0:
        return [EXPIRED_ROW_UNFIT.finding(place, why="its amount is not above zero")]
    stated[instruction] = minor
    return []
