"""Why one household is decided as it is: every criterion, what it saw, and what it came to.

The answer is a tree of plain values that a screen or a letter can show in any of the languages.
Whether the household is served now depends on all the others and is not said here: that is `rank`
in the decisions of a run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from eligibility.entitlements import amount_minor
from eligibility.rules.checked import (
    SCORE_REVIEW,
    SIZE_REVIEW,
    STRATUM_REVIEW,
    Rule,
    Rules,
    parameters_on,
    rules_of,
)
from eligibility.rules.pack import Label, RulePack
from eligibility.rules.rows import Case, Range, Truth, Value, answer, numbers, truth
from eligibility.rules.terms import Count, Fact, Gather, Input, Param, Term, parts
from eligibility.selection import stratum_of


class Outcome(StrEnum):
    """What one criterion says of one household."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    UNKNOWN = "unknown"  # the facts leave it open


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
    currency: str
    pass_bits: int
    unknown_bits: int


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
    case = Case(household, members, parameters_on(pack, on), on)
    for name, term in rules.facts:
        case.facts[name] = answer(term, case)
    truths = [truth(rule.term, case) for rule in rules.criteria]
    score = Observed(SCORE_REVIEW, *numbers(rules.score, case))
    people, people_from, size_known = people_of(case)
    missing = _missing(rules, case, score, size_known=size_known)
    status, because = _decided(rules, truths, missing)
    eligible = status is Status.ELIGIBLE
    return Explanation(
        status=status,
        because=because,
        reasons=tuple(
            _reason(pack, at, rule, truths[at], case) for at, rule in enumerate(rules.criteria)
        ),
        facts=tuple(Observed(name, *case.facts[name]) for name, _ in rules.facts),
        score=score,
        people=people,
        people_from=people_from,
        amount_minor=amount_minor(rules.tariff, people) if eligible else None,
        currency=pack.currency,
        pass_bits=sum(1 << at for at, (certain, _) in enumerate(truths) if certain),
        unknown_bits=sum(
            1 << at for at, (certain, possible) in enumerate(truths) if possible and not certain
        ),
    )


def people_of(case: Case) -> tuple[int, str, bool]:
    """Return how many people count, whether `roster` or `declared` says so, and if it is known."""
    declared = case.household.get("declared_size")
    if not case.complete and isinstance(declared, int) and declared > 0:
        return declared, "declared", True
    return len(case.members), "roster", case.complete


def _missing(rules: Rules, case: Case, score: Observed, *, size_known: bool) -> list[str]:
    stratum = stratum_of(rules.pack.selection)
    missing = [] if score.known else [SCORE_REVIEW]
    missing += [] if size_known else [SIZE_REVIEW]
    placed = stratum is None or case.household.get(stratum) is not None
    return missing + ([] if placed else [STRATUM_REVIEW])


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


def _reason(pack: RulePack, at: int, rule: Rule, found: Truth, case: Case) -> Reason:
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
        plain = ", ".join(value) if isinstance(value, tuple) else value
        return Observed(f"p.{term.name}", plain, plain)
    found: Range = answer(term, case)
    return Observed(term.text if isinstance(term, Count | Gather) else term.name, *found)
