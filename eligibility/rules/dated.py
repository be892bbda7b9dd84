"""Values that are of the right type and still cannot be meant where the entitlement names them.

A parameter has a value for each stretch of time, and every one of them is checked when the pack is:
on the day that a value comes into force it is too late.
"""

from collections.abc import Iterator
from decimal import Decimal

from eligibility.rules.document import YamlPath
from eligibility.rules.fields import parameter_in
from eligibility.rules.pack import RulePack
from ledgers.problems import Problem

PACK_INSTALMENT_UNKNOWN = Problem(
    "pack_instalment_unknown",
    "There is no instalment {value}; there are {known}.",
    "Name one of them, or give it a share under entitlement, instalments.",
)
PACK_ROUNDED_TO_NOTHING = Problem(
    "pack_rounded_to_nothing",
    "Amounts cannot be rounded to a unit of 0.",
    "Name a unit above zero, such as 50.00, or leave round_to out.",
)

Misfit = tuple[Problem, YamlPath, dict[str, object]]


def misfits(pack: RulePack) -> Iterator[Misfit]:
    """Yield every value that cannot be meant: the problem, where it stands, and its facts.

    Names that are not declared, and values of another type, are found where they are named.
    """
    yield from _instalments(pack)
    yield from _units(pack)


def _instalments(pack: RulePack) -> Iterator[Misfit]:
    block = pack.entitlement.instalments
    if block is None:
        return
    for path, value in _dated(pack, block.due, "text"):
        if value not in block.shares:
            facts: dict[str, object] = {"value": value, "known": ", ".join(block.shares)}
            yield PACK_INSTALMENT_UNKNOWN, path, facts


def _units(pack: RulePack) -> Iterator[Misfit]:
    unit = pack.entitlement.round_to
    if isinstance(unit, Decimal) and not unit:
        yield PACK_ROUNDED_TO_NOTHING, ("entitlement", "round_to"), {}
    for path, value in _dated(pack, unit, "money"):
        if not value:
            yield PACK_ROUNDED_TO_NOTHING, path, {}


def _dated(pack: RulePack, named: object, kind: str) -> Iterator[tuple[YamlPath, object]]:
    """Yield the values of the parameter that is named, where there is one of type `kind`."""
    name = parameter_in(named) if isinstance(named, str) else None
    parameter = pack.parameters.get(name or "")
    if name is None or parameter is None or parameter.type != kind:
        return
    for start, value in parameter.values.items():
        yield ("parameters", name, "values", start.isoformat()), value
