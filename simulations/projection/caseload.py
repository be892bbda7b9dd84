"""Households paid, month by month: flows of those who qualify, within the places there are.

Strata that are alike for money (the same quota, the same grants, the same amount) are one *group*
in the draws; the base path keeps all strata and whole households. Where more qualify than there are
places, the places are full, and who holds them is as the rules select on their latest day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simulations.dynamics import (
    Flows,
    Rates,
    caseload,
    caseload_by_stratum,
    checked_months,
    whole_households,
)
from simulations.projection.courses import Caseloads
from simulations.randomness import Floats, Ints
from simulations.scenario.model import Caseload


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Groups of strata: quota stratum, area of grants, amount in minor units, mean people.

    `member` is strata × groups, 1 where the stratum belongs to the group.
    """

    quota: tuple[str, ...]
    area: Ints
    amounts: Ints
    people: Floats
    member: Floats


def groups_of(loads: Caseloads, area_of: Mapping[str, int], *, each: bool = False) -> Groups:
    """Return the groups of a course's strata; with `each`, every stratum is one.

    `area_of` gives the number of the area of each province.
    """
    strata = loads.strata
    areas = [area_of[province] for province in strata.province]
    whole = list(zip(strata.quota, areas, strata.amounts.tolist(), strict=True))
    keys = list(enumerate(whole)) if each else [(0, key) for key in whole]
    known = sorted(set(keys))
    place = {key: at for at, key in enumerate(known)}
    member = np.zeros((len(keys), len(known)))
    member[np.arange(len(keys)), [place[key] for key in keys]] = 1.0
    # Mean people of a group: of its strata, by how many qualify at some time.
    weight = loads.flows.start + loads.flows.ageing_in.sum(axis=0)
    people = np.array(
        [
            np.average(strata.people, weights=row * weight if (row * weight).any() else row)
            for row in member.T
        ]
    )
    quota, area, amounts = zip(*(key for _, key in known), strict=True)
    return Groups(quota, np.array(area), np.array(amounts, dtype=np.int64), people, member)


def rates_of(terms: Caseload, values: Mapping[str, Floats], months: int) -> Rates:
    """Return the uncertain rates of the dynamics; `values` holds one value a draw by name."""
    return Rates(
        arrivals=values["arrivals"][:, None],
        exits=values["exits"][:, None],
        take_up=values["take_up"],
        loss=values["recertification_loss"][:, None],
        checked=checked_months(terms.recertification_months, months),
    )


def moving(flows: Flows, rates: Rates) -> Flows:
    """Return flows in which those who age into the rules are as many as are still registered.

    Of the registered, some have left and others have come by then; `rates` are the base path's.
    """
    months = len(flows.ageing_in)
    exits = np.broadcast_to(rates.exits[0], months)
    arrivals = np.broadcast_to(rates.arrivals[0], months)
    there = np.ones(months)
    for month in range(1, months):
        there[month] = there[month - 1] * (1 - exits[month]) + arrivals[month]
    return Flows(flows.start, flows.arrivals, flows.ageing_in * there[:, None], flows.ageing_out)


def paid(loads: Caseloads, flows: Flows, groups: Groups, rates: Rates) -> Floats:
    """Return the households paid: draws × months × groups, expected numbers."""
    entitled = caseload(flows, rates, groups.member)
    return within_places(entitled, groups.quota, loads.places, loads.selected @ groups.member)


def paid_whole(loads: Caseloads, flows: Flows, groups: Groups, rates: Rates) -> Ints:
    """Return the households paid on the path of `rates` (one draw): months × strata, whole."""
    entitled = caseload_by_stratum(flows, rates, 0)[None]
    within = within_places(entitled, groups.quota, loads.places, loads.selected)[0]
    return np.stack([whole_households(month) for month in within])


def within_places(
    entitled: Floats, quota: Sequence[str], places: Mapping[str, int], selected: Floats
) -> Floats:
    """Return draws × months × groups with no quota stratum above its places.

    `selected` is months × groups: who is within the places by the rules. A stratum of the quota
    that has no places has none.
    """
    within = entitled.copy()
    names = np.array(quota)
    for name in sorted(set(quota)):
        own = names == name
        most = places.get(name, 0)
        total = entitled[:, :, own].sum(axis=2)
        full = total > most
        if not full.any():
            continue
        chosen = selected[:, own]
        sums = chosen.sum(axis=1, keepdims=True)
        mix = np.divide(chosen, sums, out=np.zeros_like(chosen), where=sums > 0)
        within[:, :, own] = np.where(full[:, :, None], most * mix[None], entitled[:, :, own])
    return within
