"""Where two scenarios differ beyond what a comparison takes from the second: its rules and values.

Two scenarios are compared under the first one's chances, months, prices and money, so that what
differs is how things are done. Whatever else the second one assumes would be lost without a word;
it is named instead, and the comparison refused.
"""

from collections.abc import Iterator, Mapping

from ledgers.problems import Problem
from simulations.scenario.model import Scenario

SCENARIOS_APART = Problem(
    "scenarios_apart",
    "The two scenarios differ in more than rules and transfer values: {fields}.",
    "Make these the same in both files. What they change is seen by running each of the two.",
)

# What a scenario is called and asked, the chances it is drawn by, and how things are done in it.
OWN = frozenset({
    "code", "title", "about", "question", "seed", "draws", "variants", "frontier", "targeting",
    "rules", "indexation",
})  # fmt: skip


def require_comparable(first: Scenario, second: Scenario, *, people_given: bool) -> None:
    """Refuse two scenarios that differ in more than rules and values.

    With `people_given` neither population is used. Raises `scenarios_apart` with every field.
    """
    fields = list(_apart(first.document(), second.document(), people_given=people_given))
    if first.rules.every_months != second.rules.every_months:
        fields.append("rules.every_months")
    if fields:
        raise SCENARIOS_APART.refusal(fields=", ".join(fields))


def _apart(
    first: Mapping[str, object], second: Mapping[str, object], *, people_given: bool
) -> Iterator[str]:
    own = OWN | {"population"} if people_given else OWN
    for name in sorted((first.keys() | second.keys()) - own):
        one, other = first.get(name), second.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            keys = sorted(one.keys() | other.keys())
            yield from (f"{name}.{key}" for key in keys if one.get(key) != other.get(key))
        elif one != other:
            yield name
