"""What overlaps, said again record by record in plain Python: the second opinion on the sets.

Shares nothing with `eligibility.duplicates.overlap.sets` but the policy and the shapes. It looks at
every two records, so it is for a few.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import combinations

from eligibility.duplicates.overlap import (
    Assistance,
    Basis,
    HouseholdLink,
    HouseholdPair,
    Overlap,
    PersonLink,
    Reason,
    Relation,
    RosterLine,
    Status,
    Strength,
    Unit,
    Verdict,
)
from eligibility.duplicates.overlap.policy import Policy, in_force

LAST = date(9999, 12, 31)
NO_TIME = datetime(9999, 12, 31, tzinfo=UTC)
DAY = timedelta(days=1)
CERTAIN = {Strength.CONFIRMED: 2, Strength.POSSIBLE: 1}
STOPS = {Reason.SAME_NEED, Reason.PROGRAMMES_EXCLUSIVE, Reason.CEILING_FULL}
REPORTS = {Reason.BOTH_PAID, Reason.TIE}
CLEARS = {Reason.BELOW_CEILING, Reason.REISSUED, Reason.REFERRED, Reason.COMPLEMENT_AGREED}


@dataclass(frozen=True)
class World:
    """Everything that is judged together."""

    records: tuple[Assistance, ...]
    roster: tuple[RosterLine, ...] = ()
    people: tuple[PersonLink, ...] = ()
    households: tuple[HouseholdPair, ...] = ()

    def apart(self, prefix: str) -> "World":
        """Return the same world under names of its own, so that it can stand beside others."""
        return World(
            tuple(
                replace(
                    record, record_id=prefix + record.record_id,
                    recipient_id=prefix + record.recipient_id,
                    replaces=record.replaces and prefix + record.replaces,
                )
                for record in self.records
            ),
            tuple(
                replace(
                    line, household_id=prefix + line.household_id, person_id=prefix + line.person_id
                )
                for line in self.roster
            ),
            tuple(
                replace(link, left_id=prefix + link.left_id, right_id=prefix + link.right_id)
                for link in self.people
            ),
            tuple(
                replace(pair, left_id=prefix + pair.left_id, right_id=prefix + pair.right_id)
                for pair in self.households
            ),
        )  # fmt: skip

    @classmethod
    def beside(cls, worlds: Iterable["World"]) -> "World":
        """Return several worlds as one."""
        parts = list(worlds)
        return cls(
            tuple(record for part in parts for record in part.records),
            tuple(line for part in parts for line in part.roster),
            tuple(link for part in parts for link in part.people),
            tuple(pair for part in parts for pair in part.households),
        )

    def on_roster(self, record: Assistance, day: date) -> dict[str, bool]:
        """Return who the record is for on a day, and whether they are the head."""
        if record.unit is Unit.PERSON:
            return {record.recipient_id: False}
        found: dict[str, bool] = {}
        for line in self.roster:
            listed = (line.first_day or date.min) <= day <= (line.last_day or LAST)
            if line.household_id == record.recipient_id and listed:
                found[line.person_id] = found.get(line.person_id, False) or line.is_head
        return found

    def likeness(self, left: str, right: str) -> int:
        """Return 2 for the same person, 1 for possibly the same, 0 for different ones."""
        if left == right:
            return 2
        links = (p for p in self.people if {p.left_id, p.right_id} == {left, right})
        return max((CERTAIN[link.strength] for link in links), default=0)

    def household_links(self, left: str, right: str) -> set[HouseholdLink]:
        """Return what is known of two households besides their people."""
        return {h.link for h in self.households if {h.left_id, h.right_id} == {left, right}}


@dataclass(frozen=True)
class Met:
    """Two records that overlap, before any verdict."""

    first: Assistance
    second: Assistance
    relation: Relation
    basis: Basis
    strength: Strength
    shared: int
    size: int
    first_day: date
    end: date
    tie: bool
    excuse: Reason | None
    first_size: int

    @property
    def topped_up(self) -> bool:
        """Whether the second may be a top-up of the first, as far as the pair tells."""
        return (
            self.excuse is None
            and self.relation in {Relation.SAME, Relation.PARTIAL}
            and not (self.first.one_off or self.second.one_off)
            and self.basis not in {Basis.SHARED_MEMBER, Basis.INSTRUMENT}
        )


def ends(policy: Policy, record: Assistance) -> date:
    """Return the first day after the record's days."""
    if record.one_off:
        return record.first_day + policy.window_days(record.need) * DAY
    if record.last_day is None:
        return LAST
    return max(record.last_day + DAY, record.first_day + DAY)


def judged(world: World, policy: Policy) -> list[Overlap]:
    """Return every overlap of the world, without evidence, sorted by its ids."""
    met = list(_met(world, policy))
    found = [_overlap(world, policy, pair, met) for pair in met]
    return sorted(found, key=lambda overlap: (overlap.first_id, overlap.second_id))


def without_evidence(overlaps: list[Overlap]) -> list[Overlap]:
    """Return the overlaps as the oracle gives them."""
    return [replace(overlap, evidence="") for overlap in overlaps]


def _met(world: World, policy: Policy) -> Iterator[Met]:
    live = [record for record in world.records if record.status is not Status.CANCELLED]
    for left, right in combinations(live, 2):
        relation = _relation(policy, left, right)
        start = max(left.first_day, right.first_day)
        end = min(ends(policy, left), ends(policy, right))
        private = {left.need, right.need} & set(policy.confidential_needs)
        if relation is Relation.COMPLEMENTARY or start >= end:
            continue
        if private and left.agency != right.agency:
            continue
        ranks = {r.record_id: _rank(policy, r) for r in (left, right)}
        first, second = sorted((left, right), key=lambda r: (ranks[r.record_id], r.record_id))
        days = [record.first_day if record.one_off else start for record in (first, second)]
        based = _basis(world, policy, first, second, days)
        if based is not None:
            tie = ranks[left.record_id] == ranks[right.record_id]
            excuse = _excuse(policy, first, second, relation, start)
            first_size = len(world.on_roster(first, days[0])) if first.unit is Unit.HOUSEHOLD else 1
            yield Met(first, second, relation, *based, start, end, tie, excuse, first_size)


def _relation(policy: Policy, left: Assistance, right: Assistance) -> Relation:
    programmes = {left.programme, right.programme}
    if len(programmes) > 1 and any(programmes <= set(e.programmes) for e in policy.exclusive):
        return Relation.EXCLUSIVE
    return policy.relation(left.need, right.need)


def _rank(policy: Policy, record: Assistance) -> tuple[bool, int, bool, datetime]:
    named = record.agency in policy.precedence
    place = policy.precedence.index(record.agency) if named else 1_000
    planned = record.status is Status.PLANNED
    return (record.status is not Status.PAID, place, planned, record.committed_at or NO_TIME)


def _basis(
    world: World, policy: Policy, first: Assistance, second: Assistance, days: list[date]
) -> tuple[Basis, Strength, int, int] | None:
    if (first.unit, first.recipient_id) == (second.unit, second.recipient_id):
        size = max(len(world.on_roster(second, days[1])), 1)
        on_first = max(len(world.on_roster(first, days[0])), 1)
        basis = Basis.SAME_PERSON if first.unit is Unit.PERSON else Basis.SAME_HOUSEHOLD
        return basis, Strength.CONFIRMED, min(size, on_first), min(size, on_first)
    left, right = world.on_roster(first, days[0]), world.on_roster(second, days[1])
    shared = {
        least: min(
            sum(any(world.likeness(a, b) >= least for b in right) for a in left),
            sum(any(world.likeness(a, b) >= least for a in left) for b in right),
        )
        for least in (1, 2)
    }
    if Unit.PERSON in {first.unit, second.unit}:
        if not shared[1]:
            return None
        both = first.unit is second.unit
        strength = Strength.CONFIRMED if shared[2] else Strength.POSSIBLE
        return Basis.SAME_PERSON if both else Basis.MEMBER_OF_HOUSEHOLD, strength, 1, 1
    return _of_households(world, policy, (first, second), (left, right), shared)


def _of_households(
    world: World,
    policy: Policy,
    records: tuple[Assistance, Assistance],
    rosters: tuple[dict[str, bool], dict[str, bool]],
    shared: dict[int, int],
) -> tuple[Basis, Strength, int, int] | None:
    left, right = rosters
    fewer = max(min(len(left), len(right)), 1)
    links = world.household_links(records[0].recipient_id, records[1].recipient_id)

    def one(least: int) -> bool:
        heads = any(
            world.likeness(a, b) >= least and left[a] and right[b] for a in left for b in right
        )
        enough = shared[least] * 100 >= policy.households.shared_percent_min * fewer
        alone = shared[least] == 1 and len(left) == len(right) == 1
        return alone or (shared[least] >= policy.households.shared_people_min and (heads or enough))

    if HouseholdLink.CONFIRMED in links:
        return Basis.SAME_HOUSEHOLD, Strength.CONFIRMED, max(shared[2], 1), fewer
    if one(2):
        return Basis.SAME_HOUSEHOLD, Strength.CONFIRMED, shared[2], fewer
    if one(1) or HouseholdLink.POSSIBLE in links:
        return Basis.SAME_HOUSEHOLD, Strength.POSSIBLE, shared[1], fewer
    if shared[1]:
        return Basis.SHARED_MEMBER, Strength.POSSIBLE, shared[1], fewer
    if links:
        return Basis.INSTRUMENT, Strength.POSSIBLE, 0, fewer
    return None


def _excuse(
    policy: Policy, first: Assistance, second: Assistance, relation: Relation, start: date
) -> Reason | None:
    for new, old in ((second, first), (first, second)):
        if new.replaces == old.record_id and old.status is Status.FAILED:
            return Reason.REISSUED
    if relation is Relation.EXCLUSIVE:
        return None
    needs, programmes = {first.need, second.need}, {first.programme, second.programme}
    for agreed in policy.complements:
        both = len(programmes) > 1 and programmes <= set(agreed.programmes)
        of_needs = not agreed.needs or needs <= set(agreed.needs)
        if both and of_needs and agreed.first_day <= start <= (agreed.last_day or LAST):
            return Reason.COMPLEMENT_AGREED
    for sent, by in ((second, first), (first, second)):
        if sent.referred_by == by.agency and sent.referred_on is not None:
            age = (sent.first_day - sent.referred_on).days
            if 0 <= age < policy.referral.days:
                return Reason.REFERRED
    return None


def _overlap(world: World, policy: Policy, pair: Met, met: list[Met]) -> Overlap:
    reason, payable = _reason(world, policy, pair, met)
    verdict = Verdict.HOLD
    if reason in STOPS:
        verdict = Verdict.STOP
    elif reason in REPORTS:
        verdict = Verdict.REPORT
    elif reason in CLEARS:
        verdict = Verdict.CLEAR
    elif reason is Reason.CEILING_NEARLY_FULL:
        verdict = Verdict.CAP
    elif reason is Reason.INSTRUMENT_SHARED:
        verdict = Verdict.FLAG
    return Overlap(
        pair.first.record_id, pair.second.record_id, pair.basis, pair.strength, pair.shared,
        pair.size, pair.relation, pair.first_day, None if pair.end == LAST else pair.end - DAY,
        verdict, reason, payable if verdict is Verdict.CAP else None,
        verdict is Verdict.HOLD and pair.strength is Strength.POSSIBLE, "",
    )  # fmt: skip


def _reason(  # noqa: C901, PLR0911 - the policy, line by line
    world: World, policy: Policy, pair: Met, met: list[Met]
) -> tuple[Reason, int | None]:
    first, second = pair.first, pair.second
    ceiling = policy.ceiling_of(first.need, second.need) if pair.topped_up else None
    sure = pair.strength is Strength.CONFIRMED
    people, left = _room(world, policy, second, ceiling, met, sure=sure)
    if pair.excuse is not None:
        return pair.excuse, None
    if pair.basis is Basis.INSTRUMENT:
        return Reason.INSTRUMENT_SHARED, None
    if ceiling is not None and left is not None and left == second.amount_minor:
        return Reason.BELOW_CEILING, None
    if first.status is second.status is Status.PAID:
        return Reason.BOTH_PAID, None
    if pair.tie:
        return Reason.TIE, None
    if pair.basis is Basis.SHARED_MEMBER:
        return Reason.MEMBER_SHARED, None
    if not sure:
        return Reason.MAY_BE_THE_SAME, None
    if Status.FAILED in {first.status, second.status}:
        return Reason.FAILED_MAY_BE_REPAID, None
    if pair.relation is Relation.EXCLUSIVE:
        return Reason.PROGRAMMES_EXCLUSIVE, None
    if ceiling is None:
        same = pair.relation is Relation.SAME
        return Reason.SAME_NEED if same else Reason.NEED_CONTAINED, None
    if people is None:
        return Reason.SIZE_UNKNOWN, None
    if left is None:
        return Reason.AMOUNT_UNKNOWN, None
    return (Reason.CEILING_NEARLY_FULL, left) if left else (Reason.CEILING_FULL, None)


def _room(
    world: World,
    policy: Policy,
    second: Assistance,
    at: int | None,
    met: list[Met],
    *,
    sure: bool,
) -> tuple[int | None, int | None]:
    """Return the people the ceiling is for and what of the second record fits below it."""
    if at is None:
        return None, None
    pairs = [
        pair for pair in met
        if pair.second is second and pair.topped_up
        and policy.ceiling_of(pair.first.need, second.need) == at
    ]  # fmt: skip
    if second.unit is Unit.HOUSEHOLD:
        people = len(world.on_roster(second, second.first_day)) or second.people
    else:
        people = max(pair.first_size for pair in pairs) or None
    before = [p.first for p in pairs if p.strength is Strength.CONFIRMED or not sure]
    shares = [_shares(policy, at, record) for record in before]
    own = _shares(policy, at, second)
    if people is None or own is None or None in shares:
        return people, None
    ceiling, left = policy.ceilings[at], 0
    for month, share in own.items():
        home, each = in_force(ceiling.per_household, month), in_force(ceiling.per_person, month)
        if home is None or each is None:
            return people, None
        most = int((home + each * min(people, ceiling.people_max)) * 100)
        given = sum(one.get(month, 0) for one in shares if one is not None)
        left += max(0, min(share, most - given))
    total = sum(own.values())
    return people, (second.amount_minor or 0) * left // total if total else 0


def _shares(policy: Policy, at: int, record: Assistance) -> dict[date, int] | None:
    """Return the part of the record's amount in each month, None where it is not known."""
    first, last, amount = record.first_day, record.last_day, record.amount_minor
    if last is None or last < first or amount is None:
        return None
    currency = policy.ceilings[at].currency
    if record.currency != currency:
        rates = policy.rates.get(currency, {}).get(record.currency or "", {})
        rate = in_force(rates, first)
        if rate is None:
            return None
        amount = int((amount * rate).quantize(Decimal(1), ROUND_HALF_UP))
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    months = [
        date(first.year + (first.month - 1 + n) // 12, (first.month - 1 + n) % 12 + 1, 1)
        for n in range(count)
    ]
    ends_at = [amount * n // count for n in range(count + 1)]
    return {month: ends_at[n + 1] - ends_at[n] for n, month in enumerate(months)}
