"""Ranks: the order, the places and the waiting list as columns of a table of households.

What `selection` says in words is computed here for all households at once, in one query that any
engine of ibis can run. The two are apart because a pack is read far more often than a list is made.
"""

from collections.abc import Mapping

import ibis

from eligibility.selection import ALL, Filled, Selection, places_in, stratum_of


def served(
    decided: ibis.Table,
    selection: Selection,
    filled: Filled | None = None,
    among: ibis.Value | None = None,
) -> ibis.Table:
    """Add `rank`, `selected` and `waitlist_position` to a table of households.

    Needs the columns household_id, status, score, tie_key and the stratum's. `filled` is what the
    walk came to, where the selection is walked; `among` says who stands in the order, by default
    everybody whose status is `eligible`. `rank` counts from 1 within the stratum and is null for
    others; `waitlist_position` counts from 1 after the last who is served.
    """
    stands = decided.status == "eligible" if among is None else among
    ranked = _ranked(decided, selection, stands)
    places = _taken(ranked, selection, places_in(selection) if filled is None else filled.served)
    selected = ibis.coalesce(ranked.rank <= places, ibis.literal(value=False))
    waiting = ranked.rank.notnull() & ~selected
    position = ibis.ifelse(waiting, (ranked.rank - places).cast("int32"), ibis.null("int32"))
    return ranked.mutate(selected=selected, waitlist_position=position)


def _ranked(decided: ibis.Table, selection: Selection, stands: ibis.Value) -> ibis.Table:
    """Add `rank`: only those who stand in the order are put in order, which is the costly part."""
    standing = decided.filter(stands)
    stratum = stratum_of(selection)
    group = [] if stratum is None else [standing[stratum]]
    number = ibis.row_number().over(group_by=group, order_by=order_of(standing, selection)) + 1
    ranks = standing.select(standing.household_id, rank=number.cast("int32"))
    return decided.left_join(ranks, "household_id").drop("household_id_right")


def order_of(decided: ibis.Table, selection: Selection) -> list[ibis.Value]:
    """Return the columns that a table of households is ordered by, the first to be served first."""
    highest = selection.order == "highest_score_first"
    score = decided.score.desc() if highest else decided.score.asc()
    return [score, decided.tie_key, decided.household_id]


def _taken(table: ibis.Table, selection: Selection, places: Mapping[str, int | None]) -> ibis.Value:
    if selection.quota is None:
        return ibis.literal(places[ALL] or 0, "int64")
    column = table[selection.quota.by]
    branches = [
        (column == stratum, ibis.literal(count or 0, "int64"))
        for stratum, count in sorted(places.items())
    ]
    return ibis.cases(*branches, else_=ibis.literal(0, "int64"))
