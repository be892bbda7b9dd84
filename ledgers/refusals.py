"""What a refusal of the database means: the designed problem it names, with its facts.

Triggers and constraints that refuse on purpose raise SQLSTATE CV001 with the code of the problem as
message and a JSON object of facts as detail. Here such an error becomes the `Refusal` that Python
code would have raised; every other error stays what it is.

Source: PostgreSQL 18 manual, 43.9 "Errors and Messages" (RAISE ... USING).
"""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import psycopg

from ledgers.money import with_amounts
from ledgers.problems import PROBLEMS, Refusal

SQLSTATE = "CV001"
# Where the problems are defined that the books' own triggers name: whoever writes to the books may
# meet any of them, whatever it has imported.
_DEFINED_IN = (
    "ledgers.chart", "ledgers.entries", "ledgers.expiry", "ledgers.periods", "ledgers.transfers",
    "ledgers.transparency.proofs", "ledgers.transparency.sealing", "ledgers.wallets",
    "ledgers.matching.matches",
)  # fmt: skip


def refusal_of(error: BaseException) -> Refusal | None:
    """Return the designed refusal that `error` stands for, or None when it is something else.

    Facts keep their types; numbers with a fraction become Decimal, and every amount in minor units
    has one for people beside it (`money.with_amounts`). A code that no module has defined is a bug,
    not a refusal: None.
    """
    if not isinstance(error, psycopg.Error) or error.sqlstate != SQLSTATE:
        return None
    code = error.diag.message_primary or ""
    if code not in PROBLEMS:
        for module in _DEFINED_IN:
            importlib.import_module(module)
    problem = PROBLEMS.get(code)
    if problem is None:
        return None
    facts = json.loads(error.diag.message_detail or "{}", parse_float=Decimal)
    return problem.refusal(**with_amounts(facts))


@contextmanager
def refusals() -> Iterator[None]:
    """Turn refusals of the database, raised inside, into the designed refusals.

    The database's own text does not go along: it may name rows.
    """
    try:
        yield
    except psycopg.Error as error:
        refusal = refusal_of(error)
        if refusal is None:
            raise
        raise refusal from None
