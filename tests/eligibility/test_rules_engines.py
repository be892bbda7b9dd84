"""One rule, one meaning: rows, DuckDB, PostgreSQL and a CEL runtime on random packs and rosters.

`CVA_RULE_PAIRS` is how many pairs of a household and a criterion are judged; `make proof` judges
200,000.
"""

import os
import random

import psycopg
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from eligibility.rules.check import check
from eligibility.rules.terms import Kind
from tests.eligibility.engines import Asked, CelRuntime, in_duckdb, in_postgres, in_rows
from tests.eligibility.rosters import (
    HOUSEHOLD,
    MEMBER,
    ON,
    PARAMETERS,
    SCOPE,
    Said,
    counts,
    random_case,
    truths,
)  # fmt: skip

PAIRS = int(os.environ.get("CVA_RULE_PAIRS", "12000"))
CRITERIA = 10
HOUSEHOLDS = 400
PACKS = max(1, PAIRS // (CRITERIA * HOUSEHOLDS))
ALL = {**HOUSEHOLD, "has_roster": Kind.BOOL}
PACK = st.lists(
    st.one_of(truths(3, inside=False), truths(2, inside=False), counts(2)),
    min_size=CRITERIA,
    max_size=CRITERIA,
)


@seed(20261122)
@settings(
    max_examples=PACKS, deadline=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(said=PACK, draw=st.integers(0, 2**32))
def test_every_engine_and_a_cel_runtime_say_the_same(
    app: psycopg.Connection, said: list[Said], draw: int
) -> None:
    made = random.Random(draw)  # noqa: S311 - chance that can be repeated
    cases = [random_case(made, known=at % 2 == 0) for at in range(HOUSEHOLDS)]
    terms = []
    for one in said:
        term, troubles = check(one.text, SCOPE)
        assert term is not None, (one.text, troubles)
        terms.append(term)
    asked = Asked(terms, cases, ALL, MEMBER, PARAMETERS, ON)
    rows = in_rows(asked)
    assert in_duckdb(asked) == rows
    assert in_postgres(asked, app) == rows
    runtime = CelRuntime([one.text for one in said], PARAMETERS, ON)
    silent = 0
    for (facts, people), readings in list(zip(cases, rows, strict=True))[::2]:
        for one, reading, found in zip(said, readings, runtime.answers(facts, people), strict=True):
            silent += found is None
            assert found is None or reading == (found, found), one.text
    assert silent < CRITERIA * HOUSEHOLDS // 4, "the runtime answered too little to be a witness"
