"""Why one household is decided as it is: every criterion, what it saw, and what it came to.

The answer is a tree of plain values; `telling` says it in Turkish, English and Arabic. Beside what
every criterion came to, it holds the *nearest thresholds*: for a household that does not qualify,
the fewest and smallest changes that would make it qualify; for one that does, the margin by which
it does; for one that people look at, the tests that are open. Whether the household is served now
depends on all the others and is not said here: that is `rank` in the decisions of a run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from eligibility.rules.amount_rows import people_of
from eligibility.rules.checked import (
    AMOUNT_REVIEW,
    SCORE_REVIEW,
    SIZE_REVIEW,
    STRATUM_REVIEW,
    Rule,
    Rules,
    parameters_on,
    rules_of,
)
from eligibility.rules.pack import Label, RulePack
from eligibility.rules.reasons import (
    Counted,
    Outcome,
    Reading,
    Test,
    count_of,
    counted_in,
    failing,
    holding,
    read,
    total_gap,
    unknown,
)  # fmt: skip
from eligibility.rules.rows import (
    Case,
    Parameter,
    Range,
    Truth,
    Value,
    answer,
    numbers,
    truth,
)  # fmt: skip
from eligibility.rules.terms import Count, Fact, Gather, Input, Instalment, Param, Term, parts
from eligibility.selection import stratum_of

__all__ = [
    "Explanation", "InForce", "Nearest", "Observed", "Outcome", "Part", "Reason", "Status",
    "explain", "people_of",
]  # fmt: skip


class Status(StrEnum):
    """What the criteria come to together."""

    ELIGIBLE = "eligible"
    INELIGIBLE = "ineligible"
    REVIEW = "review"  # not known well enough; people look


@dataclass(frozen=True, slots=True)
class Observed:
    """A value the decision was made from; `low` and `high` differ where it is not known exactly.

    None is an open end: nothing is known on that side. Amounts are in minor units.
    """

    name: str
    low: Value | None
    high: Value | None

    @property
    def known(self) -> bool:
        """Whether there is exactly one value."""
        return self.low is not None and self.low == self.high

    def __str__(self) -> str:
        if self.known:
            return str(self.low)
        if (self.low is None and self.high is None) or isinstance(self.low, bool):
            return "unknown"
        if self.high is None:
            return f"{self.low} or more"
        return f"at most {self.high}" if self.low is None else f"{self.low} to {self.high}"


@dataclass(frozen=True, slots=True)
class Reason:
    """One criterion: its name, its text, what it saw and what it says."""

    id: str
    gate: bool
    label: Label
    expr: str
    on_unknown: str
    outcome: Outcome
    observed: tuple[Observed, ...]
    reading: Reading


@dataclass(frozen=True, slots=True)
class InForce:
    """A parameter on the day of the decision: its value, from when, and who says so.

    Amounts are in minor units, ratios in thousandths.
    """

    name: str
    type: str
    value: Parameter
    since: date
    source: str


@dataclass(frozen=True, slots=True)
class Nearest:
    """What would have to come out otherwise in one criterion for the household to be decided so.

    Of a household that is eligible, `tests` are the narrowest that hold it there; of one that is
    not, what it lacks; of one under review, what is not known.
    """

    id: str
    tests: tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The instalment that is due: its id, its share of `of`, and the whole amount that it is of."""

    instalment: str
    share: int
    of: int
    whole: Observed


@dataclass(frozen=True, slots=True)
class Explanation:
    """One household decided: `because` is the reason code of a run, empty where it is eligible."""

    status: Status
    because: str
    reasons: tuple[Reason, ...]
    facts: tuple[Observed, ...]
    score: Observed
    people: int
    people_from: str
    amount_minor: int | None
    components: tuple[Observed, ...]  # of the amount, before it is rounded and bounded
    currency: str
    pass_bits: int
    unknown_bits: int
    on: date
    parameters: tuple[InForce, ...]
    counted: Mapping[str, Counted]  # facts that count members, by name
    nearest: tuple[Nearest, ...]
    part: Part | None = None  # where the amount is paid in instalments


def explain(
    household: Mapping[str, Value | None],
    members: Sequence[Mapping[str, Value | None]],
    pack: RulePack,
    on: date,
) -> Explanation:
    """Decide one household and say why.

    Arguments: `household` and `members` hold canonical facts by column name, None or absent for
    unknown; `on` is the reference date. Raises `pack_refused`, `parameter_not_in_force`,
    `rule_overflow`.
    """
    rules = rules_of(pack)
    facts = dict(rules.facts)
    case = Case(household, members, parameters_on(pack, on), on)
    for name, term in rules.facts:
        case.facts[name] = answer(term, case)
    truths = [truth(rule.term, case) for rule in rules.criteria]
    score = Observed(SCORE_REVIEW, *numbers(rules.score, case))
    people, people_from, size_known = people_of(case)
    due = Observed(AMOUNT_REVIEW, *numbers(rules.amount.due, case))
    missing = _missing(rules, case, score, due, size_known=size_known)
    status, because = _decided(rules, truths, missing)
    eligible = status is Status.ELIGIBLE
    reasons = tuple(
        _reason(pack, at, rule, truths[at], case, facts) for at, rule in enumerate(rules.criteria)
    )
    return Explanation(
        status=status,
        because=because,
        reasons=reasons,
        facts=tuple(Observed(name, *case.facts[name]) for name, _ in rules.facts),
        score=score,
        people=people,
        people_from=people_from,
        amount_minor=numbers(rules.amount.due, case)[0] if eligible else None,
        components=tuple(
            Observed(name, *numbers(term, case)) for name, term in rules.amount.components
        ),
        currency=pack.currency,
        pass_bits=_bits(certain for certain, _ in truths),
        unknown_bits=_bits(possible and not certain for certain, possible in truths),
        on=on,
        parameters=tuple(_in_force(pack, name, case) for name in pack.parameters),
        counted=_counted(facts, case),
        nearest=_nearest(status, because, reasons),
        part=_part(rules, case),
    )


def _bits(holds: Iterable[bool]) -> int:
    return sum(1 << at for at, bit in enumerate(holds) if bit)


def _counted(facts: Mapping[str, Term], case: Case) -> dict[str, Counted]:
    """Return who was counted in each fact that counts members."""
    counts = {name: count_of(term, facts) for name, term in facts.items()}
    return {name: counted_in(count, case) for name, count in counts.items() if count is not None}


def _part(rules: Rules, case: Case) -> Part | None:
    due = rules.amount.due
    if not isinstance(due, Instalment):
        return None
    weights = dict(due.weights)
    line = str(case.parameters[due.due.name])
    whole = Observed(AMOUNT_REVIEW, *numbers(rules.amount.whole, case))
    return Part(line, weights[line], sum(weights.values()), whole)


def _missing(
    rules: Rules, case: Case, score: Observed, due: Observed, *, size_known: bool
) -> list[str]:
    stratum = stratum_of(rules.pack.selection)
    missing = [] if score.known else [SCORE_REVIEW]
    missing += [] if size_known else [SIZE_REVIEW]
    placed = stratum is None or case.household.get(stratum) is not None
    missing += [] if placed else [STRATUM_REVIEW]
    return missing + ([] if due.known or not size_known else [AMOUNT_REVIEW])


def _settled(rule: Rule, found: Truth) -> Truth:
    """Return what the criterion comes to: an unknown stops, passes or fails as the pack says."""
    certain, possible = found
    if rule.on_unknown == "pass":
        return possible, possible
    return (certain, certain) if rule.on_unknown == "fail" else found


def _decided(rules: Rules, truths: Sequence[Truth], missing: list[str]) -> tuple[Status, str]:
    settled = [
        (rule, *_settled(rule, found)) for rule, found in zip(rules.criteria, truths, strict=True)
    ]
    choices = [item for item in settled if not item[0].gate]
    some = not choices or any(certain for _, certain, _ in choices)
    some_possible = not choices or any(possible for _, _, possible in choices)
    failed = [
        rule.id
        for rule, _, possible in settled
        if (not possible if rule.gate else not some_possible)
    ]
    if failed:
        return Status.INELIGIBLE, "not_eligible:" + ",".join(failed)
    unsettled = [
        rule.id
        for rule, certain, possible in settled
        if possible and not certain and (rule.gate or not some)
    ]
    if unsettled or missing:
        return Status.REVIEW, "review:" + ",".join(unsettled + missing)
    return Status.ELIGIBLE, ""


def _in_force(pack: RulePack, name: str, case: Case) -> InForce:
    parameter = pack.parameters[name]
    since = max(start for start in parameter.values if start <= case.on)
    return InForce(name, parameter.kind, case.parameters[name], since, parameter.source)


def _nearest(status: Status, because: str, reasons: Sequence[Reason]) -> tuple[Nearest, ...]:
    """Return what would have to come out otherwise, criterion by criterion."""
    ids = because.partition(":")[2].split(",")
    if status is Status.REVIEW:
        open_ = [Nearest(why.id, unknown(why.reading)) for why in reasons if why.id in ids]
        return tuple(item for item in open_ if item.tests)
    gates = [reason for reason in reasons if reason.gate]
    choices = [reason for reason in reasons if not reason.gate]
    if status is Status.INELIGIBLE:
        lacks = [Nearest(why.id, failing(why.reading)) for why in gates if why.id in ids]
        some = [Nearest(why.id, failing(why.reading)) for why in choices if why.id in ids]
        best = [min(some, key=_far)] if some else []
        return tuple(item for item in lacks + best if item.tests)
    holds = [Nearest(why.id, holding(why.reading)) for why in gates]
    some = [Nearest(why.id, holding(why.reading)) for why in choices]
    if some := [item for item in some if item.tests]:
        holds.append(max(some, key=_far))
    return tuple(sorted((item for item in holds if item.tests), key=_far)[:1])


def _far(item: Nearest) -> tuple[int, int]:
    return len(item.tests), total_gap(item.tests)


def _reason(
    pack: RulePack, at: int, rule: Rule, found: Truth, case: Case, facts: Mapping[str, Term]
) -> Reason:
    criterion = pack.criteria[at]
    certain, possible = found
    outcome = Outcome.PASS if certain else Outcome.UNKNOWN if possible else Outcome.FAIL
    seen: dict[str, Observed] = {}
    for term in _leaves(rule.term):
        observed = _observed(term, case)
        seen.setdefault(observed.name, observed)
    return Reason(
        id=rule.id,
        gate=rule.gate,
        label=criterion.label,
        expr=criterion.expr,
        on_unknown=rule.on_unknown,
        outcome=outcome,
        observed=tuple(seen.values()),
        reading=read(rule.term, case, facts),
    )


Leaf = Input | Fact | Param | Count | Gather


def _leaves(term: Term) -> tuple[Leaf, ...]:
    """Return what a criterion reads, in its order; a count is one thing, not its members."""
    if isinstance(term, Input | Fact | Param | Count | Gather):
        return (term,)
    return tuple(leaf for part in parts(term) for leaf in _leaves(part))


def _observed(term: Leaf, case: Case) -> Observed:
    if isinstance(term, Param):
        value = case.parameters[term.name]
        plain = ", ".join(map(str, value)) if isinstance(value, tuple) else value
        return Observed(f"p.{term.name}", plain, plain)
    found: Range = answer(term, case)
    return Observed(term.text if isinstance(term, Count | Gather) else term.name, *found)
