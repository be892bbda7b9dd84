"""The same rules on every engine: rows, DuckDB, PostgreSQL, Spark, and a CEL runtime beside them.

Every engine is given the same questions and the same households and answers with a list of readings
(certainly and possibly, or lowest and highest) for each household. The CEL runtime knows no
unknowns: it is asked about households of which everything is known, and says None where what it
was asked has no answer (the least age of nobody, a ratio over nobody).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import cel
import duckdb
import ibis
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from eligibility.rules.checked import Rules, parameters_on
from eligibility.rules.columns import Question, answered, fact_name, high_name, low_name
from eligibility.rules.pairs import TYPES
from eligibility.rules.rows import Case, Parameter, Range, answer
from eligibility.rules.terms import Kind, Term
from eligibility.snapshot import columns_of
from tests.eligibility.rosters import age

ARROW = {
    Kind.INT: pa.int64(),
    Kind.MONEY: pa.int64(),
    Kind.TEXT: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.DATE: pa.date32(),
}
POSTGRES = {
    Kind.INT: "bigint",
    Kind.MONEY: "bigint",
    Kind.TEXT: "text",
    Kind.BOOL: "boolean",
    Kind.DATE: "date",
}
FACT = fact_name("")
Fact = Mapping[str, Any]
Household = tuple[Fact, Sequence[Fact]]
Answers = list[list[Range]]


class Asked:
    """Questions about households: what every engine is given."""

    def __init__(
        self,
        terms: Sequence[Term],
        cases: Sequence[Household],
        household: Mapping[str, Kind],
        member: Mapping[str, Kind],
        parameters: Mapping[str, Parameter],
        on: date,
    ) -> None:
        self.cases, self.parameters, self.on = cases, parameters, on
        self.columns = {
            "h": {"household_id": Kind.TEXT, **household},
            "m": {"household_id": Kind.TEXT, **member},
        }
        self.questions = [Question(f"q{at}", term) for at, term in enumerate(terms)]

    @classmethod
    def of_rules(cls, rules: Rules, cases: Sequence[Household], on: date) -> "Asked":
        """Everything that a pack asks: its facts, criteria, score and amounts."""
        household, member = columns_of(rules)
        del household["household_id"], member["household_id"]
        parameters = parameters_on(rules.pack, on)
        asked = cls([], cases, household, member, parameters, on)
        asked.questions = [Question(fact_name(name), term) for name, term in rules.facts]
        terms = [rule.term for rule in rules.criteria] + [rules.score, rules.amount.due]
        terms += [term for _, term in rules.amount.components]
        asked.questions += [Question(f"q{at}", term) for at, term in enumerate(terms)]
        return asked

    def rows(self, table: str) -> Iterator[Fact]:
        """The rows of `h` or `m`, unknown as None."""
        for at, (facts, people) in enumerate(self.cases):
            for row in [facts] if table == "h" else people:
                yield {"household_id": str(at), **row}

    def arrow(self, table: str) -> pa.Table:
        """The rows of `h` or `m` as a table."""
        schema = pa.schema([(name, ARROW[kind]) for name, kind in self.columns[table].items()])
        return pa.Table.from_pylist(list(self.rows(table)), schema)

    def sql(self, dialect: str) -> str:
        """The questions as one statement about the tables `h` and `m`."""
        tables = [
            ibis.table({name: TYPES[kind] for name, kind in columns.items()}, name=table)
            for table, columns in self.columns.items()
        ]
        return ibis.to_sql(
            answered(tables[0], tables[1], self.questions, self.parameters, self.on),
            dialect=dialect,
        )

    def answers(self, rows: Sequence[Fact]) -> Answers:
        """What an engine answered, in the order of the households."""
        found = {row["household_id"]: row for row in rows}
        assert len(rows) == len(found) == len(self.cases)
        return [
            [(found[str(at)][low_name(q.name)], found[str(at)][high_name(q.name)])
             for q in self.questions]
            for at in range(len(self.cases))
        ]  # fmt: skip


def in_rows(asked: Asked) -> Answers:
    """One household after the other."""
    return [_in_rows(asked, Case(facts, people, asked.parameters, asked.on))
            for facts, people in asked.cases]  # fmt: skip


def _in_rows(asked: Asked, case: Case) -> list[Range]:
    found = []
    for question in asked.questions:
        found.append(answer(question.term, case))
        if question.name.startswith(FACT):
            case.facts[question.name.removeprefix(FACT)] = found[-1]
    return found


def in_duckdb(asked: Asked) -> Answers:
    """All households at once, in DuckDB."""
    with duckdb.connect() as connection:
        for table in asked.columns:
            connection.register(table, asked.arrow(table))
        found = connection.sql(asked.sql("duckdb")).to_arrow_table().to_pylist()
    return asked.answers(found)


def in_postgres(asked: Asked, connection: psycopg.Connection) -> Answers:
    """All households at once, in PostgreSQL."""
    try:
        for table, columns in asked.columns.items():
            typed = ", ".join(f'"{name}" {POSTGRES[kind]}' for name, kind in columns.items())
            connection.execute(f"CREATE TEMPORARY TABLE {table} ({typed})")
            with connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
                for row in asked.rows(table):
                    copy.write_row([row.get(name) for name in columns])
        cursor = connection.execute(asked.sql("postgres"))
        names = [column.name for column in cursor.description or ()]
        return asked.answers([dict(zip(names, row, strict=True)) for row in cursor])
    finally:
        connection.rollback()


def in_spark(asked: Asked, session: Any, folder: Path) -> Answers:
    """All households at once, in Spark."""
    for table in asked.columns:
        path = folder / f"{table}.parquet"
        pq.write_table(asked.arrow(table), path)
        session.read.parquet(str(path)).createOrReplaceTempView(table)
    return asked.answers([row.asDict() for row in session.sql(asked.sql("pyspark")).collect()])


class CelRuntime:
    """The Rust runtime, with the five functions that the language has beside CEL's own."""

    def __init__(self, texts: Sequence[str], parameters: Mapping[str, Parameter], on: date) -> None:
        self.programs = [cel.compile(text) for text in texts]
        self.on = on
        self.without_answer = False
        self.context = cel.Context()
        self.context.add_variable("reference_date", _moment(on))
        self.context.add_variable(
            "p",
            {name: value / 1000 if name == "limit" else _value(value)
             for name, value in parameters.items()},
        )  # fmt: skip
        for name, function in (
            ("sum", sum), ("min", self.least), ("max", self.greatest), ("ratio", self.ratio),
            ("age_at", lambda born, at: age(born.date(), at.date())),
            ("date", lambda text: _moment(date.fromisoformat(text))),
        ):  # fmt: skip
            self.context.add_function(name, function)

    def least(self, values: Sequence[Any]) -> Any:
        return self.of_somebody(values) and min(values)

    def greatest(self, values: Sequence[Any]) -> Any:
        return self.of_somebody(values) and max(values)

    def of_somebody(self, values: Sequence[Any]) -> bool:
        if not values:
            self.without_answer = True
            raise ValueError
        return True

    def ratio(self, above: int, below: int) -> float:
        if below <= 0:
            self.without_answer = True
            raise ValueError
        return above / below

    def answers(self, facts: Fact, people: Sequence[Fact]) -> list[Any]:
        """What each text says of a household, None where it has no answer."""
        for name, value in facts.items():
            self.context.add_variable(name, _value(value))
        self.context.add_variable(
            "members",
            [{name: _value(value) for name, value in person.items()}
             | {"age": age(person["birth_date"], self.on)} for person in people],
        )  # fmt: skip
        return [self.answer(program) for program in self.programs]

    def answer(self, program: cel.Program) -> Any:
        self.without_answer = False
        try:
            found = program.execute(self.context)
        except Exception:
            if not self.without_answer:
                raise
            return None
        return None if self.without_answer else found


def _moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _value(value: Any) -> Any:
    if isinstance(value, date):
        return _moment(value)
    return list(value) if isinstance(value, tuple) else value
