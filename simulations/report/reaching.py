"""Whom the rules reach and whom they miss: every course against the same spending.

Errors by design are of those who qualify against need, errors by list of those who are paid against
those who qualify (`simulations.targeting`). Those who are paid are those whom the ledger pays on
the base path: who take it up, have a place, for whom there is money in that month, and whose
payment arrives. The first month and the last are told, since money may end between them. Spending
and the line are in prices of the first month, and so is the transfer.
"""

from collections.abc import Iterator

import numpy as np

from ledgers.money import parse_amount
from simulations.months import named
from simulations.projection.running import Projection
from simulations.projection.served import Served, real_values
from simulations.projection.spending import spending_of
from simulations.randomness import Ints
from simulations.rates import MILLION
from simulations.report.model import Column, Kind, Sentence, amount, month, share, table
from simulations.report.parts import MONTH, Part, days_of, part, saying
from simulations.targeting import Measures, Targeted, adequacy, measured

HOME = "TRY"
PARTS = 1000  # of a household: shares of it are paid
SHARES = (
    "exclusion_design", "inclusion_design", "exclusion_list", "inclusion_list",
    "exclusion_overall", "inclusion_overall", "coverage_people", "differential",
    "leakage", "undercoverage", "gap_closed", "fgt0_before", "fgt0_after", "fgt1_before",
    "fgt1_after", "fgt2_before", "fgt2_after", "gini_before", "gini_after", "adequacy",
)  # fmt: skip


def targeting_parts(projection: Projection) -> Iterator[Part]:
    """Yield the measures of every course."""
    targeting = projection.scenario.targeting
    if targeting is None:
        message = "a scenario without targeting asks for it"
        raise ValueError(message)
    line = parse_amount(str(targeting.line), HOME)
    spending = spending_of(projection, targeting.expenditure)
    lists = {
        at: {code: targeted_of(projection, code, at, spending) for code in projection.outcomes}
        for at in sorted({0, projection.scenario.months - 1})
    }
    found = {
        at: {code: measured(one, line) for code, one in courses.items()}
        for at, courses in lists.items()
    }
    yield _errors_part(projection, found[0], line)
    yield _measures_part(projection, found, lists)


def targeted_of(projection: Projection, course: str, at: int, spending: Ints) -> Targeted:
    """Return every household with its need and what the course gives it in a month.

    `spending` is what each person spends, in the order of households; the transfer is in prices of
    the first month.
    """
    served, ledger = Served(projection, course), projection.outcomes[course].base
    roll = served.roll(at)
    households = np.rint(roll.households * PARTS).astype(np.int64)
    paid = np.rint(households * served.shares(ledger, at)).astype(np.int64)
    amounts = roll.amounts(real_values(projection, course)[at])
    return Targeted(households, roll.people, spending, roll.qualifies, paid, amounts)


def _errors_part(projection: Projection, found: dict[str, Measures], line: int) -> Part:
    kinds = ("by_design", "by_list", "overall")
    rows = [
        (code, kind, getattr(measures.people, kind))
        for code, measures in found.items()
        for kind in kinds
    ]
    content = {
        "course": [_named(code) for code, _, _ in rows],
        "error_kind": [kind for _, kind, _ in rows],
        "exclusion": [errors.exclusion for _, _, errors in rows],
        "inclusion": [errors.inclusion for _, _, errors in rows],
        "coverage": [errors.coverage for _, _, errors in rows],
    }
    columns = [
        Column("course", Kind.NAME), Column("error_kind", Kind.WORD),
        Column("exclusion", Kind.SHARE), Column("inclusion", Kind.SHARE),
        Column("coverage", Kind.SHARE),
    ]  # fmt: skip
    made = part(
        "errors", table("errors", columns, content), "paired", group="course", name="error_kind",
        values="exclusion inclusion", unit="share",
    )  # fmt: skip
    base = found["base"]
    targeting = projection.scenario.targeting
    surveyed = targeting is not None and targeting.expenditure.column is not None
    facts = {
        "line": amount(line, HOME),
        "source": Sentence("spending_surveyed" if surveyed else "spending_stated"),
        "poor": share(int(np.rint(base.before.fgt0 * MILLION))),
        "month": month(named(projection.scenario.start)),
    }  # fmt: skip
    return saying(made, Sentence("errors_says", facts))


def _measures_part(
    projection: Projection,
    found: dict[int, dict[str, Measures]],
    lists: dict[int, dict[str, Targeted]],
) -> Part:
    """Return every measure of the first month, then of the last."""
    basket, days = projection.scenario.prices.basket, days_of(projection)
    each = parse_amount(str(basket.per_person), HOME) if basket else 0
    names = (*SHARES, "tctr")
    content: dict[str, list[object]] = {
        "month": [days[at] for at in found for _ in names],
        "measure": [name for _ in found for name in names],
        **{_named(code): [] for code in projection.outcomes},
    }
    for at, courses in found.items():
        for code, measures in courses.items():
            own = _measures(measures, adequacy(lists[at][code], each) if each else None)
            own["tctr"] = _cost_ratio(projection, code, at)
            content[_named(code)] += [own[name] for name in names]
    columns = [MONTH, Column("measure", Kind.WORD)]
    columns += [Column(_named(code), Kind.SHARE) for code in projection.outcomes]
    facts = {"first": month(days[0][:7]), "last": month(days[-1][:7])}
    made = part("measures", table("measures", columns, content))
    return saying(made, Sentence("measures_says", facts))


def _named(course: str) -> str:
    """Return the name under which a course is shown."""
    return "base_rules" if course == "base" else course


def _cost_ratio(projection: Projection, course: str, at: int) -> float | None:
    ledger = projection.outcomes[course].base
    transfers = int(ledger.transfers[0, at])
    return int(ledger.spent[0, at]) / transfers if transfers else None


def _measures(measures: Measures, adequate: float | None) -> dict[str, float | None]:
    people = measures.people
    return {
        "exclusion_design": people.by_design.exclusion,
        "inclusion_design": people.by_design.inclusion,
        "exclusion_list": people.by_list.exclusion,
        "inclusion_list": people.by_list.inclusion,
        "exclusion_overall": people.overall.exclusion,
        "inclusion_overall": people.overall.inclusion,
        "coverage_people": people.overall.coverage,
        "differential": people.overall.differential,
        "leakage": measures.value.leakage,
        "undercoverage": measures.value.undercoverage,
        "gap_closed": measures.value.gap_closed,
        "fgt0_before": measures.before.fgt0,
        "fgt0_after": measures.after.fgt0,
        "fgt1_before": measures.before.fgt1,
        "fgt1_after": measures.after.fgt1,
        "fgt2_before": measures.before.fgt2,
        "fgt2_after": measures.after.fgt2,
        "gini_before": measures.before.gini,
        "gini_after": measures.after.gini,
        "adequacy": adequate,
    }
