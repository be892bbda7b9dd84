"""The caseload of the bench: a population of any size in one shape, and programmes made for it.

Three quarters of the households are in need of the market card and a little more than half of the
bank transfer; nine tenths of those who qualify are served. Two in a hundred are registered twice,
a few rows are spoilt, a few cards fail at the processor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from cva.programmes.loading import SHIPPED, load
from cva.programmes.model import Programme
from eligibility.selection import Quota, Selection
from simulations.population import ExportFormat, Shape, checked, draft, write_population
from simulations.population.identifiers import FOREIGNERS

SEED = 20260302
XLSX_HOUSEHOLDS_MAX = (
    19_600  # 20,000 registrations with those who come twice, all that one export takes
)
MEMBERS_PER_TEN = 47  # the fictional identity numbers last for a million households of this size
BUDGET_PER_HOUSEHOLD = 20_000  # TRY, more than any amount

# name, province, in need of the market card, of the bank transfer, households per thousand
STRATA = (
    ("adana_both", "TR-01", "priority", True, 150),
    ("istanbul_both", "TR-34", "priority", True, 150),
    ("urfa_both", "TR-63", "priority", True, 150),
    ("adana_market", "TR-01", "priority", False, 80),
    ("istanbul_market", "TR-34", "priority", False, 90),
    ("urfa_market", "TR-63", "priority", False, 80),
    ("istanbul_waiting", "TR-34", "eligible", False, 50),
    ("gaziantep_bank", "TR-27", "not", True, 80),
    ("others", "TR-35", "not", False, 170),
)
FAULTY = {"voucher_rejected": 2, "voucher_silent": 2, "voucher_short": 1}  # per thousand
SPOILT = {"unknown_province": 5, "february_31": 5, "no_members": 5, "doubtful_id": 10,
          "doubtful_phone": 20, "shared_phone": 20}  # fmt: skip
TWICE = 20  # per thousand
SERVED_PERCENT = 90


@dataclass(frozen=True, slots=True)
class Caseload:
    """Files of registrations, and what is paid."""

    registrations: Path
    xlsx: Path
    xlsx_households: int
    market: Programme
    bank: Programme


def shape_of(households: int) -> Shape:
    """The population of so many distinct households."""
    counts = [households * part // 1000 for *_, part in STRATA]
    counts[-1] += households - sum(counts)
    return checked(
        {
            "strata": [
                _stratum(name, province, count, market=market, bank=bank)
                for (name, province, market, bank, _), count in zip(STRATA, counts, strict=True)
            ]
        }
    )


def _stratum(
    name: str, province: str, count: int, *, market: str, bank: bool
) -> Mapping[str, object]:
    plain = market == "not" and not bank
    return {
        "name": name, "province": province, "nationality": "SY", "households": count,
        "people": count * MEMBERS_PER_TEN // 10, "market": market, "bank": bank,
        "twice": count * TWICE // 1000,
        "faults": _each(FAULTY, count) if market == "priority" and not bank else {},
        "planted": _each(SPOILT, count) if plain else {},
    }  # fmt: skip


def _each(parts: Mapping[str, int], count: int) -> dict[str, int]:
    return {name: count * part // 1000 for name, part in parts.items()}


def programmes(shape: Shape) -> tuple[Programme, Programme]:
    """Market card and bank transfer with places and budget for this population."""
    in_need = {
        province: sum(
            s.households for s in shape.strata if s.province == province and s.market != "not"
        )
        for province in ("TR-01", "TR-34", "TR-63")
    }
    places = {province: count * SERVED_PERCENT // 100 for province, count in in_need.items()}
    with_account = sum(s.households for s in shape.strata if s.bank)
    return (
        _scaled("market-card", shape, quota=Quota(by="province", households=places)),
        _scaled("bank-transfer", shape, households=with_account * SERVED_PERCENT // 100),
    )


def _scaled(
    name: str, shape: Shape, *, quota: Quota | None = None, households: int | None = None
) -> Programme:
    programme = load(SHIPPED / f"{name}.yaml")
    order = programme.rules.selection.order
    selection = Selection(order=order, quota=quota, households=households)
    budget = Decimal(shape.households * BUDGET_PER_HOUSEHOLD)
    return programme.model_copy(
        update={
            "rules": programme.rules.model_copy(update={"selection": selection}),
            "grant": programme.grant.model_copy(update={"budget": budget}),
        }
    )


def write(folder: Path, households: int, on: date) -> Caseload:
    """Write the registrations into `folder`."""
    shape = shape_of(households)
    people = sum(stratum.people for stratum in shape.strata)
    if people > FOREIGNERS:
        message = f"{people} people are more than there are fictional identity numbers"
        raise ValueError(message)
    # The population refuses by the largest households there could be; here their sizes are known.
    draft.HOUSEHOLDS_MAX = max(draft.HOUSEHOLDS_MAX, households)
    write_population(folder / "people", shape, SEED, on)
    few = min(households, XLSX_HOUSEHOLDS_MAX)
    write_population(folder / "few", shape_of(few), SEED, on, ExportFormat.XLSX)
    market, bank = programmes(shape)
    return Caseload(
        folder / "people" / "registrations.jsonl", folder / "few" / "registrations.xlsx", few,
        market, bank,
    )  # fmt: skip
