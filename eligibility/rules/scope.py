"""What an expression may name, and what can be wrong with its meaning."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from eligibility.rules.terms import Kind, Zero
from ledgers.problems import Problem

RULE_NAME_UNKNOWN = Problem(
    "rule_name_unknown",
    "The name {name} is not declared.",
    "Use one of: {known}; or declare it under inputs, parameters or facts.",
)
RULE_CALL_UNKNOWN = Problem(
    "rule_call_unknown",
    "There is no call {name} with these arguments.",
    "The calls are: {known}.",
)
RULE_TYPE = Problem(
    "rule_type",
    "{what} is {found} where {expected} is needed.",
    "Compare like with like; an amount or a date is compared with a parameter of its type.",
)
RULE_MEMBERS_INSIDE = Problem(
    "rule_members_inside",
    "{name} is named inside a condition on one member.",
    "Inside members.filter, exists, all and map name only the member's own inputs and parameters.",
)
RULE_RATIO_ALONE = Problem(
    "rule_ratio_alone",
    "ratio(a, b) stands alone.",
    "Compare it with a parameter of type ratio, as in ratio(a, b) >= p.limit.",
)
RULE_RATIO_ZERO = Problem(
    "rule_ratio_zero",
    "The expression has a ratio and does not say what it answers where the second number is 0.",
    "Add zero_denominator: pass, fail or stop to a gate or criterion; facts and scores have none.",
)
RULE_DATE = Problem(
    "rule_date", "There is no day {found}.", 'Write a date as date("2026-01-31"): year-month-day.'
)

CALLS = (
    "members.filter(m, condition)",
    "members.exists(m, condition)",
    "members.all(m, condition)",
    "members.size()",
    "members.map(m, value).sum()",
    ".min()",
    ".max()",
    "ratio(a, b)",
    "age_at(born, on)",
    'date("2026-01-31")',
)
MEMBERS = "members"
RESERVED = frozenset(
    {MEMBERS, "p", "in", "true", "false", "null", "date", "ratio", "age_at", "reference_date"}
)
NUMBERS = frozenset({Kind.INT, Kind.MONEY})
ORDERED = frozenset({Kind.INT, Kind.MONEY, Kind.DATE})
VALUES = ORDERED | {Kind.TEXT, Kind.BOOL}
SETS = {Kind.TEXTS: Kind.TEXT, Kind.INTS: Kind.INT}
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
ANY = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression may name, with types; `zero` is the stated answer of its ratios.

    `doubtful` are names (`fact`, `p.name`, `m.name`) whose own declaration is wrong: that is said
    where they are declared, and nothing is said of them where they are used.
    """

    household: Mapping[str, Kind] = field(default_factory=dict)
    member: Mapping[str, Kind] = field(default_factory=dict)
    parameters: Mapping[str, Kind] = field(default_factory=dict)
    facts: Mapping[str, Kind] = field(default_factory=dict)
    zero: Zero | None = None
    doubtful: set[str] = field(default_factory=set)


def kind_of(value: int | str | bool) -> Kind:  # noqa: FBT001 - a literal's value
    """Return the type of a value written in an expression."""
    if isinstance(value, bool):
        return Kind.BOOL
    return Kind.INT if isinstance(value, int) else Kind.TEXT
