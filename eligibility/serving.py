"""Serving those who qualify: who stands in the order, what the money reaches, who waits.

The second of the two results of a run. What is decided about each household stands in one table;
here the list is walked once, and rank, place and reason come of it. See `selection` for the rules.
"""

from collections.abc import Mapping

import duckdb
import ibis

from eligibility.decisions import ROW_GROUP
from eligibility.ranking import order_of, served
from eligibility.rules.checked import Rules
from eligibility.rules.fields import parameter_in
from eligibility.rules.rows import Parameter
from eligibility.selection import (
    ALL,
    DISCRETIONARY,
    GRANT,
    Filled,
    Ordered,
    fill,
    stratum_of,
)
from ledgers.money import parse_amount
from ledgers.problems import Problem

SELECTION_BUDGET_UNSTATED = Problem(
    "selection_budget_unstated",
    "The pack selects within the grant's budget, and nobody said how much that is.",
    "Say how much the grant has left, or state the budget in the pack.",
)
SELECTION_BUDGET_SHORT = Problem(
    "selection_budget_short",
    "The households on the discretionary list alone come to more than the budget.",
    "Raise the budget, or end listings on the discretionary list.",
)

DUE = "due"
FALSE = ibis.literal(value=False)


def with_place(decided: ibis.Table, rules: Rules) -> ibis.Table:
    """Add whether a household stands in the order, and whether it is served beside it."""
    due = ibis.coalesce(decided.due > 0, FALSE)
    listed = FALSE
    if rules.pack.selection.discretionary is not None:
        aside = decided.reason.re_search("^(excluded|taken|open):")
        listed = ibis.coalesce(decided[DISCRETIONARY], FALSE) & due & ~aside
    return decided.mutate(is_listed=listed, stands=(decided.status == "eligible") & due & ~listed)


def budget_of(
    rules: Rules, parameters: Mapping[str, Parameter], grant_minor: int | None
) -> int | None:
    """Return the budget in minor units, or None where the pack selects without one."""
    selection = rules.pack.selection
    if selection.budget == GRANT and grant_minor is None:
        raise SELECTION_BUDGET_UNSTATED.refusal()
    if selection.budget == GRANT or selection.budget is None:
        return grant_minor if selection.budget else None
    named = parameter_in(selection.budget)
    if named is None:
        return parse_amount(str(selection.budget), rules.pack.currency)
    value = parameters[named]
    return value if isinstance(value, int) else None


def filled_in(
    connection: duckdb.DuckDBPyConnection,
    decided: ibis.Table,
    rules: Rules,
    budget_minor: int | None,
) -> Filled | None:
    """Return what the walk down the list comes to, where the selection is walked."""
    selection = rules.pack.selection
    if not selection.is_walked:
        return None
    left = budget_minor
    if left is not None:
        query = "SELECT coalesce(sum(due), 0)::BIGINT FROM decided WHERE is_listed"
        [(listed_minor,)] = connection.execute(query).fetchall()
        left -= listed_minor
        if left < 0:
            raise SELECTION_BUDGET_SHORT.refusal()
    stratum = stratum_of(selection)
    standing = decided.filter(decided.stands)
    listed = standing.order_by(order_of(standing, selection)).select(
        stratum=ibis.literal(ALL) if stratum is None else standing[stratum], amount=standing.due
    )
    sql = ibis.to_sql(listed, dialect="duckdb")

    def ordered() -> Ordered:
        for batch in connection.sql(sql).to_arrow_reader(ROW_GROUP):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    return fill(ordered, selection, left)


def served_now(decided: ibis.Table, rules: Rules, filled: Filled | None) -> ibis.Table:
    """Return the decisions with rank, place and amount, in the order of the file."""
    table = served(decided, rules.pack.selection, filled, decided.stands)
    eligible, listed = table.status == "eligible", table.is_listed
    lacked = ibis.ifelse(
        eligible, "", ibis.literal(":") + table.reason.substr(table.reason.find(":") + 1)
    )
    table = table.mutate(
        reason=ibis.cases(
            (listed, ibis.literal(DISCRETIONARY) + lacked),
            (~eligible, table.reason),
            (table.selected, "selected"),
            (~table.stands, "nothing_due"),
            else_="waiting",
        ),
        selected=table.selected | listed,
        amount_minor=ibis.ifelse(eligible | listed, table.due, ibis.null("int64")),
        currency=ibis.literal(rules.pack.currency),
    )
    return table.order_by("household_id")
