"""Both back ends, held against each other and against a plain reading of the expressions."""

from collections.abc import Sequence

import duckdb
import ibis
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eligibility.rules.check import check
from eligibility.rules.columns import Question, answered, high_name, low_name
from eligibility.rules.pairs import TYPES
from eligibility.rules.rows import Case, Range, answer
from eligibility.rules.terms import Kind, Term
from tests.eligibility.rosters import (
    HOUSEHOLD,
    MEMBER,
    ON,
    PARAMETERS,
    SCOPE,
    NobodyError,
    Said,
    completed,
    households,
    members,
    numbers,
    truths,
)

ARROW = {
    Kind.INT: pa.int64(),
    Kind.TEXT: pa.string(),
    Kind.BOOL: pa.bool_(),
    Kind.DATE: pa.date32(),
}
SAID = st.one_of(truths(2, inside=False), numbers(2, inside=False))
SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def term_of(said: Said) -> Term:
    term, troubles = check(said.text, SCOPE)
    assert term is not None, (said.text, troubles)
    return term


def in_rows(term: Term, household: dict, people: Sequence[dict]) -> Range:
    return answer(term, Case(household, people, PARAMETERS, ON))


def in_columns(
    connection: duckdb.DuckDBPyConnection, terms: Sequence[Term], cases: Sequence[tuple]
) -> list[list[Range]]:
    """The same terms through the engine, one list of answers for each household."""
    kinds = {"household_id": Kind.TEXT, **HOUSEHOLD, "has_roster": Kind.BOOL}
    rows = [{"household_id": str(at), **household} for at, (household, _) in enumerate(cases)]
    people = [
        {"household_id": str(at), **person} for at, (_, ms) in enumerate(cases) for person in ms
    ]
    member_kinds = {"household_id": Kind.TEXT, **MEMBER}
    tables = []
    for name, content, columns in (("h", rows, kinds), ("m", people, member_kinds)):
        schema = pa.schema([(column, ARROW[kind]) for column, kind in columns.items()])
        connection.register(name, pa.Table.from_pylist(content, schema))
        tables.append(ibis.table({c: TYPES[k] for c, k in columns.items()}, name=name))
    questions = [Question(f"q{at}", term) for at, term in enumerate(terms)]
    table = answered(tables[0], tables[1], questions, PARAMETERS, ON)
    sql = ibis.to_sql(table, dialect="duckdb")
    found = {row["household_id"]: row for row in connection.sql(sql).to_arrow_table().to_pylist()}
    return [
        [(found[str(at)][low_name(q.name)], found[str(at)][high_name(q.name)]) for q in questions]
        for at in range(len(cases))
    ]


@SLOW
@given(
    st.lists(SAID, min_size=1, max_size=5),
    st.lists(st.tuples(households(), members()), min_size=1, max_size=8),
)
def test_rows_and_columns_agree_on_any_rule_and_any_roster(
    said: list[Said], cases: list[tuple[dict, list[dict]]]
) -> None:
    terms = [term_of(one) for one in said]
    with duckdb.connect() as connection:
        columns = in_columns(connection, terms, cases)
    assert columns == [
        [in_rows(term, household, people) for term in terms] for household, people in cases
    ]


@given(SAID, households(known=True), members(known=True))
def test_what_is_known_has_one_answer_and_it_is_the_plain_one(
    said: Said, household: dict, people: list[dict]
) -> None:
    low, high = in_rows(term_of(said), household, people)
    try:
        plain = said.meaning(household, people, {})
    except NobodyError:
        return
    assert (low, high) == (plain, plain) or _of_nobody(said, low, high)


def _of_nobody(said: Said, low: object, high: object) -> bool:
    """The plain reading stops at the first side that decides; ours has no least of nobody."""
    return low != high and (".min()" in said.text or ".max()" in said.text)


@settings(max_examples=200)
@given(st.data(), SAID, households(), members())
def test_an_answer_holds_in_every_world_that_the_open_facts_allow(
    data: st.DataObject, said: Said, household: dict, people: list[dict]
) -> None:
    term = term_of(said)
    low, high = in_rows(term, household, people)
    world = data.draw(completed(household, people))
    world_low, world_high = in_rows(term, *world)
    if term.kind is Kind.BOOL:
        assert not low or world_low
        assert high or not world_high
    else:
        assert low is None or (world_low is not None and low <= world_low)
        assert high is None or (world_high is not None and world_high <= high)
