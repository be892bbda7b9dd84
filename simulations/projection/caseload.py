"""Households paid, month by month: flows of those who qualify, within the places there are.

Strata that are alike for money (the same quota, the same grants, the same amount) are one *group*
in the draws; the base path keeps all strata and whole households. Where more qualify than there are
places, the places are full, and who holds them is as the rules select on their latest day. Where
money ends before the list does, the first of the order are reached (`reached`): by a budget that
the pack states here, by what grants have left in `ledger`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eligibility.selection import DISCRETIONARY
from simulations.dynamics import (
    Flows,
    Rates,
    caseload,
    caseload_by_stratum,
    checked_months,
    whole_households,
)
from simulations.projection.counting import Caseloads, Places
from simulations.randomness import Floats, Ints
from simulations.scenario.model import Caseload

TINY = 1e-9  # what adding fractions may miss of a whole household
HALVINGS = 24  # of the order: a place in it to a millionth of a part


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """Groups of strata: quota stratum, area of grants, amount in minor units, mean people.

    `member` is strata × groups, 1 where the stratum belongs to the group; `upto` months × parts + 1
    × groups, the share of the group that stands in the first parts of the order; `since` the month
    in whose prices the amount is written.
    """

    quota: tuple[str, ...]
    area: Ints
    amounts: Ints
    people: Floats
    member: Floats
    upto: Floats
    since: Ints


def groups_of(loads: Caseloads, area_of: Mapping[str, int], *, each: bool = False) -> Groups:
    """Return the groups of a course's strata; with `each`, every stratum is one.

    `area_of` gives the number of the area of each province.
    """
    strata = loads.strata
    areas = [area_of[province] for province in strata.province]
    amounts, since = strata.amounts.tolist(), strata.since.tolist()
    whole = list(zip(strata.quota, areas, amounts, since, strict=True))
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
    quota, area, amounts, since = zip(*(key for _, key in known), strict=True)
    upto = _upto(np.einsum("mps,sg->mpg", loads.order, member))
    return Groups(
        quota, np.array(area), np.array(amounts, dtype=np.int64), people, member, upto,
        np.array(since),
    )  # fmt: skip


def _upto(parts: Floats) -> Floats:
    """Return months × parts + 1 × groups: the share of each group up to the end of each part.

    A group of which nobody stood in the order on the day of the rules goes with the others.
    """
    months, _, groups = parts.shape
    upto = np.concatenate([np.zeros((months, 1, groups)), np.cumsum(parts, axis=1)], axis=1)
    total = upto[:, -1:]
    everybody = upto.sum(axis=2, keepdims=True)
    steps = np.broadcast_to(np.linspace(0, 1, upto.shape[1])[None, :, None], everybody.shape)
    whole = np.broadcast_to(everybody[:, -1:], everybody.shape)
    among_all = np.divide(everybody, whole, out=steps.copy(), where=whole > 0)
    filled = np.broadcast_to(total, upto.shape)
    shares: Floats = np.divide(
        upto, filled, out=np.broadcast_to(among_all, upto.shape).copy(), where=filled > 0
    )
    return shares


def reached(upto: Floats, counts: Floats | Ints, values: Ints, money: Floats | Ints) -> Floats:
    """Return how many households of each group `money` reaches in the order of the rules.

    Arguments: `upto` is parts + 1 × groups, `counts` draws × groups, `values` what a household of
    each gets (draws or 1 × groups), `money` what there is (draws). All of one part of the order are
    reached by the same share, so groups of one score share as the lot would have it.
    """
    cost = np.einsum("dg,dg,pg->dp", counts, np.broadcast_to(values, counts.shape), upto)
    part = np.clip((cost <= money[:, None]).sum(axis=1) - 1, 0, len(upto) - 2)
    draws = np.arange(len(cost))
    low, high = cost[draws, part], cost[draws, part + 1]
    within = np.divide(money - low, high - low, out=np.ones(len(cost)), where=high > low)
    share = np.clip(within, 0.0, 1.0)[:, None]
    found: Floats = counts * (upto[part] + share * (upto[part + 1] - upto[part]))
    return found


def reached_beyond(upto: Floats, counts: Ints, done: Floats, values: Floats, money: Ints) -> Floats:
    """Return how many more of each group `money` reaches in the order, beyond those `done`.

    Those done are the first of their group: money goes down the order and passes them by. `done`
    and `values` are draws × groups, the rest is as in `reached`.
    """

    def beyond(level: Floats) -> Floats:
        part = np.minimum(level.astype(np.int64), len(upto) - 2)
        above = (level - part)[:, None]
        share = (1 - above) * upto[part] + above * upto[part + 1]
        more: Floats = np.maximum(counts * share - done, 0.0)
        return more

    low, high = np.zeros(len(counts)), np.full(len(counts), len(upto) - 1.0)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fits = (beyond(middle) * values).sum(axis=1) <= money
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    first, last = beyond(low), beyond(high)
    cost, most = ((one * values).sum(axis=1) for one in (first, last))
    within = np.divide(money - cost, most - cost, out=np.ones(len(cost)), where=most > cost)
    found: Floats = first + np.clip(within, 0.0, 1.0)[:, None] * (last - first)
    return found


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
    there = registered(rates, len(flows.ageing_in))
    return Flows(
        flows.start, flows.arrivals, flows.ageing_in * there[:, None], flows.ageing_out,
        flows.shifts,
    )  # fmt: skip


def registered(rates: Rates, months: int) -> Floats:
    """Return how many are registered in each month on the base path, as a share of the first."""
    exits = np.broadcast_to(rates.exits[0], months)
    arrivals = np.broadcast_to(rates.arrivals[0], months)
    there = np.ones(months)
    for month in range(1, months):
        there[month] = there[month - 1] * (1 - exits[month]) + arrivals[month]
    return there


def due(loads: Caseloads, flows: Flows, groups: Groups, rates: Rates, values: Ints) -> Floats:
    """Return the households within places and budget: draws × months × groups, expected numbers.

    `values` is what a household of each group gets in minor units: draws × months × groups, or 1 of
    the first two.
    """
    entitled = caseload(flows, rates, groups.member)
    return _limited(entitled, loads, groups, values)


def due_whole(loads: Caseloads, flows: Flows, groups: Groups, rates: Rates, values: Ints) -> Ints:
    """Return the households due on the path of `rates` (one draw): months × strata, whole.

    `groups` is every stratum by itself. What they cost stays within the budget, to the last kuruş.
    """
    entitled = caseload_by_stratum(flows, rates, 0)[None]
    whole = np.stack(
        [whole_households(month) for month in _limited(entitled, loads, groups, values)[0]]
    )
    if loads.places.budgets is not None:
        for month, budget in enumerate(loads.places.budgets.tolist()):
            own = values[0, month if values.shape[1] > 1 else 0]
            while int((whole[month] * own).sum()) > budget:
                whole[month, np.argmax(whole[month])] -= 1
    return whole


def _limited(entitled: Floats, loads: Caseloads, groups: Groups, values: Ints) -> Floats:
    selected = np.einsum("ms,sg->mg", loads.selected, groups.member)
    within = within_places(entitled, groups.quota, loads.places, selected)
    return within_budget(within, groups, values, selected, loads.places.budgets)


def within_places(
    entitled: Floats, quota: tuple[str, ...], places: Places, selected: Floats
) -> Floats:
    """Return draws × months × groups with no quota stratum above its places.

    `selected` is months × groups: who is within the places by the rules. A stratum of the quota
    that has no places has none. Places that a stratum leaves unused go to those who wait in the
    others, where the pack says so.
    """
    names = sorted(set(quota))
    own = [np.array([one == name for one in quota], dtype=np.bool_) for name in names]
    total = np.stack([entitled[:, :, mine].sum(axis=2) for mine in own], axis=2)
    most = np.array([places.by_stratum.get(name, 0) for name in names], dtype=np.float64)
    caps = np.broadcast_to(most, total.shape)
    if places.moves:
        chosen = np.stack([selected[:, mine].sum(axis=1) for mine in own], axis=1)
        caps = most + _moved(total, most, chosen, (names, places))
    within = entitled.copy()
    for at, mine in enumerate(own):
        full = total[:, :, at] > caps[:, :, at]
        if not full.any():
            continue
        sums = selected[:, mine].sum(axis=1, keepdims=True)
        mix = np.divide(
            selected[:, mine], sums, out=np.zeros_like(selected[:, mine]), where=sums > 0
        )
        held = caps[:, :, at, None] * mix[None]
        within[:, :, mine] = np.where(full[:, :, None], held, entitled[:, :, mine])
    return within


def _moved(total: Floats, most: Floats, chosen: Floats, quota: tuple[list[str], Places]) -> Floats:
    """Return the places that go to each stratum beyond its own: draws × months × strata.

    First to those to whom the rules moved some on their latest day (`chosen`, months × strata),
    then to everybody who waits, in proportion.
    """
    names, places = quota
    taking_part = np.array([name in places.by_stratum and name != DISCRETIONARY for name in names])
    absent = places.by_stratum.keys() - {*names, DISCRETIONARY}
    nobody_there = sum(places.by_stratum[name] for name in absent)
    spare = (np.maximum(most - total, 0) * taking_part).sum(axis=2, keepdims=True) + nobody_there
    waiting = np.maximum(total - most, 0) * taking_part
    extra = np.maximum(chosen - most, 0) * taking_part
    given = np.minimum(waiting, spare * _part_of(extra)[None])
    rest, still = spare - given.sum(axis=2, keepdims=True), waiting - given
    moved: Floats = given + np.minimum(still, rest * _part_of(still))
    return moved


def _part_of(amounts: Floats) -> Floats:
    """Return each as a share of the sum over the last axis; zeros of nothing."""
    sums = np.broadcast_to(amounts.sum(axis=-1, keepdims=True), amounts.shape)
    shares: Floats = np.divide(amounts, sums, out=np.zeros_like(amounts), where=sums > 0)
    return shares


def within_budget(
    households: Floats, groups: Groups, values: Ints, selected: Floats, budgets: Ints | None
) -> Floats:
    """Return draws × months × groups that no month's budget is too small for.

    `selected` (months × groups) are those whom the rules reach with it on their latest day; they
    stay first, and what they leave of the budget reaches whole households of those who wait.
    `budgets` are minor units by month, None where the pack states none.
    """
    if budgets is None:
        return households
    within = households.copy()
    for month, budget in enumerate(budgets.tolist()):
        every = values[:, month if values.shape[1] > 1 else 0]
        counts = households[:, month]
        short = (counts * every).sum(axis=1) > budget
        if not short.any():
            continue
        paying, there, upto = every[short] if len(every) > 1 else every, counts[short], groups.upto
        first = np.minimum(there, selected[month])
        left = budget - (first * paying).sum(axis=1)
        fewer = reached(upto[month], first, paying, np.full(len(there), budget))
        more = np.floor(reached(upto[month], there - first, paying, np.maximum(left, 0)) + TINY)
        within[short, month] = np.where(left[:, None] < 0, fewer, first + more)
    return within
