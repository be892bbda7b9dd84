"""A survey made to stand for a population: whole weights that meet margins from a file.

The sample is households and members in the columns of a registry snapshot (Parquet or CSV), with a
column `weight` where the survey had weights. The margins are a YAML file:

    margins:
      - name: households by province
        counts: households
        rows:
          - {province: TR-27, number: 12000}
          - {province: TR-63, number: 48000}
      - name: people by sex and age
        counts: people
        rows:
          - {sex: female, age: 0-17, number: 90000}
          - {sex: male, age: 18+, number: 80000}

Any text or whole-number column may say the sort; `age` is a range of whole years on a day. A margin
counts everybody unless it says `is_whole: false`. What comes out is the same sample with whole
weights: a snapshot on which rules can be run. Every problem of the file is told at its place.
"""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, model_validator

from eligibility.rules.checked import read_text, refused
from eligibility.rules.document import Document, found, read_document, read_model
from ledgers.problems import Finding, Problem, Refusal
from simulations.raking import (
    MARGINS_REFUSED,
    SEED_WEIGHTS_WRONG,
    Design,
    Margin,
    Unit,
    design_of,
    raked,
)
from simulations.randomness import Bools, Floats, Ints
from simulations.whole_numbers import whole_weights

MARGIN_COLUMN_UNKNOWN = Problem(
    "margin_column_unknown",
    "The {counts} of the survey have no column {column}.",
    "Use a column of the file, or age for members with birth dates.",
)
SURVEY_UNREADABLE = Problem(
    "survey_unreadable",
    "The file {file} of the survey cannot be used: {why}.",
    "Write it as Parquet or CSV (UTF-8, comma, ISO dates) with the column household_id.",
)

WEIGHT, AGE, NUMBER, SEED = "weight", "age", "number", "seed"
AGES = re.compile(r"(?P<first>[0-9]{1,3})(-(?P<last>[0-9]{1,3})|\+)")
OLDEST = 200
STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class MarginRows(BaseModel):
    """One margin of the file."""

    model_config = STRICT

    name: Annotated[str, Field(min_length=1, max_length=200)]
    counts: Literal["households", "people"]
    rows: Annotated[tuple[dict[str, str | int | Decimal | bool], ...], Field(min_length=1)]
    is_whole: bool = True

    @model_validator(mode="after")
    def _alike(self) -> "MarginRows":
        columns = {tuple(sorted(row)) for row in self.rows}
        if len(columns) > 1 or NUMBER not in self.rows[0]:
            message = "every row has a number and the same columns"
            raise ValueError(message)
        if any(isinstance(row[NUMBER], str | bool) for row in self.rows):
            message = "number is a number"
            raise ValueError(message)
        sorts = [
            tuple(sorted((k, str(v)) for k, v in row.items() if k != NUMBER)) for row in self.rows
        ]
        if len(set(sorts)) < len(sorts):
            message = "a sort is given twice"
            raise ValueError(message)
        if any(AGE in row and not AGES.fullmatch(str(row[AGE])) for row in self.rows):
            message = "an age is written as 0-17 or 18+"
            raise ValueError(message)
        return self


class MarginFile(BaseModel):
    """The margins of one population."""

    model_config = STRICT

    margins: Annotated[tuple[MarginRows, ...], Field(min_length=1, max_length=100)]


@dataclass(frozen=True, slots=True)
class Weighed:
    """A survey that stands for a population: the two files, and what it comes to."""

    households: Path
    members: Path
    sample: int
    represents: int
    people: int
    people_off: int  # the most that a person margin is missed by, in people


def weigh(households: Path, members: Path, margins: Path, on: date, out: Path) -> Weighed:
    """Write the survey with whole weights to the folder `out`.

    Arguments: `on` is the day ages are at. Raises `survey_unreadable`, `seed_weights_wrong`,
    `whole_numbers_impossible`, and `margins_refused` with every problem at its place.
    """
    document, wanted = _margins(margins)
    tables = _table(households), _table(members)
    frames = tables[0].to_pandas(), tables[1].to_pandas()
    _check_columns(document, wanted, frames)
    frames[1][SEED] = _seeds(frames[0], frames[1], members)
    first = _first_weights(frames[0])
    try:
        design = design_of(frames[0], _aged(frames[1], wanted, on), _as_margins(wanted, first))
        whole = whole_weights(raked(first, design), design)
    except Refusal as refusal:
        raise _placed(refusal, document, wanted) from None
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    paths = out / "households.parquet", out / "members.parquet"
    names = [name for name in tables[0].column_names if name != WEIGHT]
    weighed = tables[0].select(names).append_column(WEIGHT, pa.array(whole))
    kept = whole > 0
    ids = pa.array(frames[0]["household_id"][kept].astype(str))
    pq.write_table(weighed.filter(pa.array(kept)), paths[0], compression="zstd")
    of_kept = pc.is_in(tables[1].column("household_id"), value_set=ids)
    pq.write_table(tables[1].filter(of_kept), paths[1], compression="zstd")
    people = np.bincount(frames[1][SEED], minlength=len(whole))
    return Weighed(
        *paths,
        len(whole),
        int(whole.sum()),
        int((whole * people).sum()),
        _people_off(design, whole),
    )


def _people_off(design: Design, whole: Ints) -> int:
    off = np.abs(np.einsum("se,s->e", design.counts, whole) - design.targets)
    return int(np.ceil(off[design.of_people].max(initial=0)))


def _margins(path: Path) -> tuple[Document, MarginFile]:
    document, findings = read_document(read_text(path), path.name)
    wanted = None
    if document is not None:
        wanted, wrong = read_model(document, document.values, MarginFile)
        findings += wrong
    if document is None or wanted is None or findings:
        raise refused(MARGINS_REFUSED, findings)
    return document, wanted


def _table(path: Path) -> pa.Table:
    try:
        table = pa.csv.read_csv(path) if path.suffix == ".csv" else pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        why = "it is not there" if isinstance(error, FileNotFoundError) else "it is not readable"
        raise SURVEY_UNREADABLE.refusal(file=path.name, why=why) from error
    if "household_id" not in table.column_names or not table.num_rows:
        why = "it has no households" if table.num_rows == 0 else "it has no household_id"
        raise SURVEY_UNREADABLE.refusal(file=path.name, why=why)
    return table


def _seeds(households: pd.DataFrame, members: pd.DataFrame, path: Path) -> "pd.Series[int]":
    """Return the row of each member's household. Raises `survey_unreadable`."""
    places = pd.Series(np.arange(len(households)), index=households["household_id"])
    if not places.index.is_unique:
        raise SURVEY_UNREADABLE.refusal(file=path.name, why="a household stands in it twice")
    seeds = members["household_id"].map(places)
    if seeds.isna().any():
        why = f"{int(seeds.isna().sum())} members belong to no household of the survey"
        raise SURVEY_UNREADABLE.refusal(file=path.name, why=why)
    return seeds.astype(np.int64)


def _first_weights(households: pd.DataFrame) -> Floats:
    if WEIGHT not in households:
        return np.ones(len(households))
    weights = pd.to_numeric(households[WEIGHT], errors="coerce").to_numpy(np.float64)
    wrong = len(weights) - int(np.count_nonzero(weights > 0))
    if wrong:
        raise SEED_WEIGHTS_WRONG.refusal(households=wrong)
    return weights


def _check_columns(
    document: Document,
    wanted: MarginFile,
    frames: tuple[pd.DataFrame, pd.DataFrame],
) -> None:
    findings: list[Finding] = []
    for at, margin in enumerate(wanted.margins):
        frame = frames[margin.counts == "people"]
        there = {*frame.columns, *([AGE] if "birth_date" in frame.columns else [])}
        place = document.place(("margins", at))
        findings += [
            found(MARGIN_COLUMN_UNKNOWN, place, {"counts": margin.counts, "column": column})
            for column in margin.rows[0]
            if column not in there | {NUMBER}
        ]
    if findings:
        raise refused(MARGINS_REFUSED, tuple(findings))


def _aged(members: pd.DataFrame, wanted: MarginFile, on: date) -> pd.DataFrame:
    """Return the members with a column of age ranges for each margin that has ages."""
    columns = {}
    for at, margin in enumerate(wanted.margins):
        ranges = dict.fromkeys(str(row[AGE]) for row in margin.rows if AGE in row)
        if ranges:
            ages = _ages(members, on)
            columns[f"{AGE} {at}"] = np.select(
                [_within(ages, text) for text in ranges], list(ranges), default=""
            )
    return members.assign(**columns)


def _ages(members: pd.DataFrame, on: date) -> "pd.Series[float]":
    """Return whole years on a day; who has no birth date has no age."""
    born = pd.to_datetime(members["birth_date"])
    before = (born.dt.month > on.month) | ((born.dt.month == on.month) & (born.dt.day > on.day))
    ages: pd.Series[float] = (on.year - born.dt.year - before.astype(int)).astype(float)
    return ages


def _within(ages: "pd.Series[float]", text: str) -> Bools:
    cut = AGES.fullmatch(text)
    if cut is None:
        message = f"the range {text} passed its check and is none"
        raise TypeError(message)
    last = int(cut["last"]) if cut["last"] else OLDEST
    return ((ages >= int(cut["first"])) & (ages <= last)).to_numpy(np.bool_)


def _as_margins(wanted: MarginFile, first: Floats) -> list[Margin]:
    """Return the margins of the file; without one of households they are as many as the sample."""
    margins = [_as_margin(margin, at) for at, margin in enumerate(wanted.margins)]
    if not any(one.unit is Unit.HOUSEHOLDS and one.is_whole for one in margins):
        total = np.rint(first.sum()).item()
        margins.append(Margin("households", Unit.HOUSEHOLDS, (), {(): total}))
    return margins


def _as_margin(margin: MarginRows, at: int) -> Margin:
    names = [name for name in margin.rows[0] if name != NUMBER]
    totals: Mapping[tuple[Hashable, ...], float] = {
        tuple(row[name] for name in names): np.float64(str(row[NUMBER])).item()
        for row in margin.rows
    }
    columns = tuple(f"{AGE} {at}" if name == AGE else name for name in names)
    unit = Unit.PEOPLE if margin.counts == "people" else Unit.HOUSEHOLDS
    return Margin(margin.name, unit, columns, totals, margin.is_whole)


def _placed(refusal: Refusal, document: Document, wanted: MarginFile) -> Refusal:
    """Return the refusal with each finding at the place of its margin in the file."""
    places = {
        margin.name: document.place(("margins", at)) for at, margin in enumerate(wanted.margins)
    }
    findings = []
    for finding in refusal.findings:
        names = [name for name in places if finding.place.field.startswith(name)]
        named = max(names, key=len, default=None)
        findings.append(replace(finding, place=places[named]) if named else finding)
    return refusal.with_findings(findings)
