"""From weights to whole households: nobody is 0.3 of a family.

Households of one *profile* (alike in everything that household margins count) are interchangeable
for these margins. So first every profile gets a whole number near its weight, such that all
household margins hold exactly (a small integer programme); then each profile's number is spread
over its seeds; and what the person margins then miss is repaired, by *moves* (one household less of
one seed and one more of another of the same profile that differs in a single member; a chain of
moves takes a surplus of one sort of people to where it is missing) and, where no chain is left, by
the *exchange* of two households of a profile that brings people nearest to the margins.

Sources of the problem: Lovelace and Ballas, "Truncate, replicate, sample", 2013; the repair here is
exact where they sample.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from ledgers.problems import Problem
from simulations.raking import Design
from simulations.randomness import Floats, Ints

WHOLE_NUMBERS_IMPOSSIBLE = Problem(
    "whole_numbers_impossible",
    "No whole numbers of households near the weights meet the household margins.",
    "Give household margins that are whole numbers and add up to the same total.",
)

EXCHANGED_FROM = 100
REACH = 3  # by how much a profile may be away from its weight


def whole_weights(weights: Floats, design: Design) -> Ints:
    """Return whole numbers near `weights` (seeds).

    Every equation of `design` that counts households, and every sum over households, holds
    exactly (its target is rounded to a whole number first); equations that count people are met as
    nearly as moves allow, exactly where the sample is rich enough.
    Raises `whole_numbers_impossible`.
    """
    people, exact = np.flatnonzero(design.of_people), np.flatnonzero(~design.of_people)
    profiles, profile = np.unique(design.counts[:, exact], axis=0, return_inverse=True)
    profile = profile.ravel()
    numbers = _profile_numbers(weights, profiles, profile, np.rint(design.targets[exact]))
    whole = np.zeros(len(weights), dtype=np.int64)
    for at, number in enumerate(numbers.tolist()):
        seeds = np.flatnonzero(profile == at)
        whole[seeds] = _spread_out(weights[seeds], number)
    if len(people):
        counts = np.rint(design.counts[:, people]).astype(np.int64)
        gap = counts.T @ whole - _whole_targets(design.targets[people], counts, whole)
        moves = _moves(counts, profile)
        _move(whole, counts, moves, gap)
        while gap.any() and _exchange(whole, counts, profile, gap):
            _move(whole, counts, moves, gap)
    return whole


def shared_out(weights: Floats, number: int) -> Ints:
    """Return `number` shared in proportion to weights, by the largest remainder."""
    exact = weights * (number / weights.sum())
    whole: Ints = np.floor(exact).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: number - int(whole.sum())]] += 1
    return whole


def _spread_out(weights: Floats, number: int) -> Ints:
    """Return `number` shared so that every stretch of seeds has its share.

    Where there are fewer households than seeds the largest remainder would take the heaviest seeds
    only; this takes every so many-th, as a systematic sample does.
    """
    upto = np.floor(np.cumsum(weights) * (number / weights.sum()) + 0.5)
    upto[-1] = number
    whole: Ints = np.diff(upto, prepend=0).astype(np.int64)
    return whole


def _profile_numbers(weights: Floats, profiles: Floats, profile: Ints, targets: Floats) -> Ints:
    """Return a whole number for each profile such that profiles.T @ numbers = targets."""
    exact = np.bincount(profile, weights=weights, minlength=len(profiles))
    base = np.floor(exact)
    rest = targets - np.einsum("pe,p->e", profiles, base)
    low = np.maximum(-REACH, -base)
    # Rounding up costs less where more is left over.
    cost = np.concatenate([0.5 - (exact - base), np.full(len(base), 1.0)])
    size = len(base)
    beyond = np.hstack([np.eye(size), -np.eye(size)])  # y - z <= 1: z is how far beyond one
    below = np.hstack([np.eye(size), np.eye(size)])  # y + z >= 0
    found = milp(
        cost,
        constraints=[
            LinearConstraint(np.hstack([profiles.T, np.zeros_like(profiles.T)]), rest, rest),
            LinearConstraint(beyond, -np.inf, 1),
            LinearConstraint(below, 0, np.inf),
        ],
        integrality=np.concatenate([np.ones(size), np.zeros(size)]),
        bounds=Bounds(np.concatenate([low, np.zeros(size)]), np.full(2 * size, np.float64(REACH))),
        options={"mip_rel_gap": 0.01},
    )
    if found.x is None:
        raise WHOLE_NUMBERS_IMPOSSIBLE.refusal()
    numbers: Ints = (base + np.rint(found.x[:size])).astype(np.int64)
    return numbers


def _whole_targets(targets: Floats, counts: Ints, whole: Ints) -> Ints:
    """Return the targets of people as whole numbers that add up to the people there are."""
    people = int((counts * whole[:, None]).sum())
    scaled = targets * (people / targets.sum())
    whole_targets: Ints = np.floor(scaled).astype(np.int64)
    order = np.argsort(whole_targets - scaled, kind="stable")
    whole_targets[order[: people - int(whole_targets.sum())]] += 1
    return whole_targets


# --- repair ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Moves:
    """Seeds that differ in one person: `pairs[a][b]` are (seed with an a, seed with a b)."""

    pairs: Mapping[int, Mapping[int, list[tuple[int, int]]]]


def _moves(counts: Ints, profile: Ints) -> _Moves:
    without: dict[tuple[int, bytes], dict[int, int]] = defaultdict(dict)
    for seed, row in enumerate(counts):
        for sort in np.flatnonzero(row).tolist():
            rest = row.copy()
            rest[sort] -= 1
            without[int(profile[seed]), rest.tobytes()].setdefault(sort, seed)
    pairs: dict[int, dict[int, list[tuple[int, int]]]] = defaultdict(lambda: defaultdict(list))
    for seeds in without.values():
        for one, with_one in seeds.items():
            for other, with_other in seeds.items():
                if one != other:
                    pairs[one][other].append((with_one, with_other))
    return _Moves(pairs)


def _move(whole: Ints, counts: Ints, moves: _Moves, gap: Ints) -> None:
    """Move households in place until nothing is surplus or no chain is left."""
    stuck: set[int] = set()
    while True:
        surplus = [sort for sort in np.flatnonzero(gap > 0).tolist() if sort not in stuck]
        if not surplus:
            return
        start = surplus[0]
        chain = _chain(moves, whole, gap, start)
        if chain is None or not _there(chain, whole):
            stuck.add(start)
            continue
        for less, more in chain:
            whole[less] -= 1
            whole[more] += 1
            gap += counts[more] - counts[less]


def _exchange(whole: Ints, counts: Ints, profile: Ints, gap: Ints) -> bool:
    """Make the best exchange in each profile in place; return whether any was good."""
    any_good = False
    for at in range(int(profile.max()) + 1):
        seeds = np.flatnonzero(profile == at)
        given = seeds[whole[seeds] > 0]
        # A hundred of those there are enough to choose from; all of them may be taken instead.
        given = given[:: max(1, len(given) // EXCHANGED_FROM)]
        missed = np.abs(gap + counts[seeds][None] - counts[given][:, None]).sum(axis=2)
        if missed.size and missed.min() < np.abs(gap).sum():
            less, more = np.unravel_index(int(missed.argmin()), missed.shape)
            whole[given[less]] -= 1
            whole[seeds[more]] += 1
            gap += counts[seeds[more]] - counts[given[less]]
            any_good = True
    return any_good


def _chain(moves: _Moves, whole: Ints, gap: Ints, start: int) -> list[tuple[int, int]] | None:
    """Return the shortest chain of moves from a surplus to any sort of people that is missing."""
    came: dict[int, tuple[int, tuple[int, int]]] = {}
    queue = deque([start])
    while queue:
        sort = queue.popleft()
        if gap[sort] < 0:
            return _walked(came, start, sort)
        for other, pairs in moves.pairs.get(sort, {}).items():
            move = next((pair for pair in pairs if whole[pair[0]] > 0), None)
            if move is not None and other != start and other not in came:
                came[other] = (sort, move)
                queue.append(other)
    return None


def _there(chain: list[tuple[int, int]], whole: Ints) -> bool:
    """Return whether every seed has as many households as the chain takes of it."""
    taken = Counter(less for less, _ in chain)
    return all(whole[seed] >= number for seed, number in taken.items())


def _walked(
    came: Mapping[int, tuple[int, tuple[int, int]]], start: int, end: int
) -> list[tuple[int, int]]:
    chain: list[tuple[int, int]] = []
    while end != start:
        end, move = came[end]
        chain.append(move)
    return chain[::-1]
