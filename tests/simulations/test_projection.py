"""The ledger of a scenario, on caseloads small enough to work out by hand."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledgers.problems import Refusal
from simulations.projection.courses import People
from simulations.projection.grants import Cause
from simulations.projection.ledger import drawdowns
from simulations.projection.running import Projection, adequacy_by_month, project
from simulations.projection.spending import spending_of
from simulations.rates import ecb_record
from simulations.report.model import share
from simulations.report.parts import caseload_part
from simulations.report.sensitivity import sensitivity_part
from simulations.scenario.model import Expenditure, Grant, Indexation
from simulations.scenario.reading import Loaded
from tests.eligibility.snapshots import ADULT, write_snapshot
from tests.simulations.scenario_files import PACK, changed, scenario_of

# 20 households of two people in Gaziantep, 10 of three in Mersin: 70 people, 70,000 TRY a month.
SIZES = [("TR-27", 2)] * 20 + [("TR-33", 3)] * 10
MONTH = 7_000_000
STILL = changed(("caseload:\n  exits: 0.01\n", ""))


def village(folder: Path, *, rcsi: int = 20, in_mersin: int | None = None) -> People:
    needs = {"TR-27": rcsi, "TR-33": in_mersin or rcsi}
    households = [
        {"household_id": f"hh_{at:02d}", "province": province, "has_roster": True,
         "rcsi": needs[province]}
        for at, (province, _) in enumerate(SIZES)
    ]  # fmt: skip
    members = {f"hh_{at:02d}": [ADULT] * people for at, (_, people) in enumerate(SIZES)}
    return People.of(*write_snapshot(folder, households, members))


def ran(folder: Path, text: str = STILL, **changes: object) -> Projection:
    loaded = scenario_of(folder, text)
    scenario = loaded.scenario.model_copy(update=changes)
    return project(Loaded(scenario, loaded.courses, loaded.packs), village(folder), "lots", folder)


def grant(code: str = "GR-ONE", **terms: object) -> Grant:
    facts = {"code": code, "donor": "Donor", "currency": "TRY", "amount": "1000000.00",
             "from": "2025-01-01", "to": "2027-12-31", **terms}  # fmt: skip
    return Grant.model_validate(facts, strict=False)


def test_the_money_runs_dry_in_the_month_it_does(tmp_path: Path) -> None:
    # 1,400 USD a month at 50: 5,000 USD last three months; the fourth has 800 USD, 40,000 TRY.
    base = ran(tmp_path, grants=(grant(currency="USD", amount="5000.00"),)).base.base

    assert base.need[0].tolist() == [MONTH] * 6
    assert base.paid[0].tolist() == [30, 30, 30, 16, 0, 0]
    # Of the fourth month 40,000 of 70,000 TRY: 11 of 20 households of two, 5 of 10 of three.
    assert base.transfers[0].tolist() == [MONTH] * 3 + [3_700_000, 0, 0]
    assert base.drawn[0, :, 0].tolist() == [140_000] * 3 + [74_000, 0, 0]
    assert base.remaining[0, -1, 0] == 6_000
    assert (base.unfunded[0].sum(), base.dry.tolist()) == (3_300_000 + 2 * MONTH, [3])


def test_without_grants_all_of_it_counts_as_funded(tmp_path: Path) -> None:
    base = ran(tmp_path, grants=()).base.base

    assert base.paid[0].tolist() == [30] * 6
    assert (base.spent[0].tolist(), base.unfunded.sum()) == ([MONTH] * 6, 0)


def test_money_is_exchanged_at_the_rate_of_its_lead(tmp_path: Path) -> None:
    path = "{kind: given, path: {USD: [40.00, 50.00, 80.00, 80.00, 80.00, 80.00]}}"
    text = STILL.replace("{kind: fixed, rates: {USD: 50.00, EUR: 60.00}}", path)
    before = ran(tmp_path, text, grants=(grant(currency="USD", lead_months=1),)).base.base
    now = ran(tmp_path, text, grants=(grant(currency="USD"),)).base.base

    # 70,000 TRY at 40, 50, 80 …; with a lead at what was known before (39.42), then 40, 50, 80.
    assert now.drawn[0, :3, 0].tolist() == [175_000, 140_000, 87_500]
    assert before.drawn[0, 1:4, 0].tolist() == [175_000, 140_000, 87_500]


def test_money_is_drawn_its_lead_before_it_is_paid_with(tmp_path: Path) -> None:
    grants = (grant(currency="USD", lead_months=3), grant("GR-TWO", provinces=["TR-33"]))
    projection = ran(tmp_path, grants=grants)

    found = drawdowns(projection.draws.terms, projection.base.base)

    # 40,000 TRY a month for Gaziantep: at the record's rates of October to December, then at 50.
    record = [millionths for millionths, _ in ecb_record().until("2025-12").rates[-3:].tolist()]
    dollars = [(4_000_000 * 1_000_000 + rate // 2) // rate for rate in record]
    assert [day.isoformat() for day in found.months[:4]] == [
        "2025-10-01", "2025-11-01", "2025-12-01", "2026-01-01",
    ]  # fmt: skip
    assert len(set(dollars)) == 3
    assert found.drawn[0, :, 1].tolist() == [*dollars, 80_000, 80_000, 80_000, 0, 0, 0]
    assert found.drawn[0, :, 0].tolist() == [0, 0, 0, *[3_000_000] * 6]
    assert found.remaining[0, 2, 1] == 100_000_000 - sum(dollars)


def test_a_grant_of_the_twentieth_pays_nothing_on_the_first(tmp_path: Path) -> None:
    def paid(**terms: object) -> list[int]:
        return ran(tmp_path, grants=(grant(**terms),)).base.base.paid[0].tolist()

    assert paid(**{"from": "2026-01-20"}) == [0, *[30] * 5]
    assert paid(**{"from": "2026-01-20"}, lead_months=2) == [0, 0, 0, *[30] * 3]
    assert paid(**{"from": "2026-01-01", "to": "2026-03-01"}) == [30, 30, 30, 0, 0, 0]


def test_earmarked_money_goes_first_and_only_where_it_may(tmp_path: Path) -> None:
    grants = (
        grant("GR-FREE"),
        grant("GR-MERSIN", amount="100000.00", provinces=["TR-33"]),
    )
    projection = ran(tmp_path, grants=grants)
    codes = [fund.code for fund in projection.draws.terms.funds]

    # Mersin costs 30,000 TRY a month: 100,000 last three months and a third.
    assert codes == ["GR-MERSIN", "GR-FREE"]
    assert projection.base.base.drawn[0].tolist() == [
        [3_000_000, 4_000_000], [3_000_000, 4_000_000], [3_000_000, 4_000_000],
        [1_000_000, 6_000_000], [0, 7_000_000], [0, 7_000_000],
    ]  # fmt: skip


def funded_in(projection: Projection, province: str) -> list[int]:
    own = np.array(projection.base.loads.strata.province) == province
    return projection.base.base.funded_by_group[0][:, own].sum(axis=1).tolist()


def test_free_money_goes_to_the_first_of_the_order_wherever_they_live(tmp_path: Path) -> None:
    # Mersin needs it more: its ten households are the first of the order.
    grants = (
        grant("GR-FREE", ceiling_month="30000.00"),
        grant("GR-GAZIANTEP", ceiling_month="10000.00", provinces=["TR-27"]),
    )
    loaded = scenario_of(tmp_path, STILL)
    scenario = loaded.scenario.model_copy(update={"grants": grants})

    projection = project(
        Loaded(scenario, loaded.courses, loaded.packs), village(tmp_path, in_mersin=40), "lots",
        tmp_path,
    )  # fmt: skip

    assert funded_in(projection, "TR-33") == [10] * 6
    assert funded_in(projection, "TR-27") == [5] * 6
    assert projection.base.base.drawn[0].tolist() == [[1_000_000, 3_000_000]] * 6
    draws = projection.base.draws
    assert (draws.paid == 15).all()


def test_an_earmark_reaches_further_down_the_order_than_what_is_free(tmp_path: Path) -> None:
    grants = (
        grant("GR-FREE", ceiling_month="12000.00"),
        grant("GR-MERSIN", ceiling_month="18000.00", provinces=["TR-33"]),
    )

    projection = ran(tmp_path, grants=grants)

    # All have one score. The earmark reaches the first six of Mersin's ten; what is free begins at
    # the top of the order and reaches three tenths of Gaziantep, where Mersin's are served.
    assert funded_in(projection, "TR-33") == [6] * 6
    assert funded_in(projection, "TR-27") == [6] * 6


def test_fixed_costs_are_no_cost_of_a_grant_for_some_provinces(tmp_path: Path) -> None:
    text = STILL.replace("grants:\n", "costs: {fixed_month: 5000.00}\ngrants:\n")
    grants = (
        grant("GR-FREE", amount="20000.00"),
        grant("GR-GAZIANTEP", provinces=["TR-27"]),
    )

    projection = ran(tmp_path, text, grants=grants)
    base = projection.base.base

    # What is free pays the 5,000 and five households of Mersin, and is gone.
    assert base.fixed[0].tolist() == [500_000, 0, 0, 0, 0, 0]
    assert base.drawn[0, :, 0].tolist() == [4_000_000] * 6
    assert funded_in(projection, "TR-33") == [5, 0, 0, 0, 0, 0]
    assert base.unfunded[0].tolist() == [1_500_000] + [3_500_000] * 5


def test_money_that_comes_back_is_the_grants_that_had_paid_it(tmp_path: Path) -> None:
    text = STILL.replace("grants:\n", "costs: {returned: 0.50}\ngrants:\n")

    projection = ran(tmp_path, text, grants=(grant(provinces=["TR-27"]),))
    base = projection.base.base

    # Half of Gaziantep's 40,000 is back in the next month; nobody in Mersin is paid with it.
    assert base.returned_to[0, :, 0].tolist() == [0, *[2_000_000] * 5]
    assert base.drawn[0, :, 0].tolist() == [4_000_000, *[2_000_000] * 5]
    assert funded_in(projection, "TR-33") == [0] * 6


def test_a_ceiling_and_a_window_hold_every_month(tmp_path: Path) -> None:
    grants = (grant(ceiling_month="35000.00", **{"from": "2026-02-01", "to": "2026-03-31"}),)

    base = ran(tmp_path, grants=grants).base.base

    # Half the money pays half of each: ten households of two, five of three.
    assert base.drawn[0, :, 0].tolist() == [0, 3_500_000, 3_500_000, 0, 0, 0]
    assert base.paid[0].tolist() == [0, 15, 15, 0, 0, 0]
    # Money is short from the first month on, and gone only when the grant has ended.
    assert [Cause(cause).name for cause in base.cause[0].tolist()] == [
        "CLOSED", "CEILING", "CEILING", "SPENT", "SPENT", "SPENT",
    ]  # fmt: skip
    assert (base.shortfall.tolist(), base.dry.tolist()) == ([0], [3])


def test_money_for_other_provinces_has_not_run_dry(tmp_path: Path) -> None:
    base = ran(tmp_path, grants=(grant(provinces=["TR-27"]),)).base.base

    assert base.unfunded[0].tolist() == [3_000_000] * 6
    assert set(base.cause[0].tolist()) == {Cause.EARMARK}
    assert (base.shortfall.tolist(), base.dry.tolist()) == ([0], [6])


def test_shares_of_the_spread_are_told_with_their_errors(tmp_path: Path) -> None:
    text = changed(
        ("exits: 0.01", "exits: {kind: beta, mean: 0.02, cases: 100}"),
        ("caseload:\n", "caseload:\n  take_up: {kind: uniform, low: 0.5, high: 0.9}\n"),
    )

    found = sensitivity_part(ran(tmp_path, text))

    assert found is not None
    told = found.table.frame.set_index("assumption")
    assert list(told.index) == ["take_up", "exits"]
    assert (told["total_order"] - told["first_order"]).abs().max() < 0.1
    errors = told.loc["take_up", ["first_error", "total_error"]]
    assert errors.between(0.001, 0.1).all()


def test_a_constant_hazard_leaves_what_it_leaves(tmp_path: Path) -> None:
    text = changed(("exits: 0.01", "exits: 0.10"))

    base = ran(tmp_path, text, grants=(grant(),)).base.base

    expected = [int(np.rint(30 * 0.9**month)) for month in range(6)]
    assert base.due[0].tolist() == expected == [30, 27, 24, 22, 20, 18]


def test_fees_failures_and_returns_are_counted_to_the_kurus(tmp_path: Path) -> None:
    costs = {
        "fee_share": 0.01, "fee_each": 2, "fixed_month": 500, "failed": 0.1, "returned": 0.5,
    }  # fmt: skip
    text = STILL.replace("grants:\n", "costs: {" + ", ".join(
        f"{name}: {value:.2f}" for name, value in costs.items()) + "}\ngrants:\n")  # fmt: skip
    projection = ran(tmp_path, text, grants=(grant(),))
    base = projection.base.base

    # 2 of 20 and 1 of 10 fail: 18 * 2,000 + 9 * 3,000 = 63,000 TRY are delivered.
    assert (base.paid[0, 0], base.failed[0, 0]) == (27, 3)
    assert base.transfers[0].tolist() == [6_300_000] * 6
    assert base.fees[0].tolist() == [63_000 + 30 * 200] * 6
    assert base.returned[0].tolist() == [0, *[3_150_000] * 5]
    drawn, spent = base.drawn_try[0].sum(axis=1), base.spent[0]
    assert drawn.tolist() == (spent - base.returned[0]).tolist()


def test_nothing_is_drawn_that_is_not_spent_or_in_hand(tmp_path: Path) -> None:
    text = STILL.replace("grants:\n", "costs: {failed: {kind: uniform, low: 0, high: 0.2},"
                         " fee_share: {kind: uniform, low: 0, high: 0.05},"
                         " returned: {kind: uniform, low: 0, high: 0.3}}\ngrants:\n")  # fmt: skip
    draws = ran(tmp_path, text, grants=(grant(currency="EUR", amount="4000.00"),)).base.draws

    left = draws.drawn_try.sum(axis=(1, 2)) + draws.returned.sum(axis=1) - draws.spent.sum(axis=1)
    assert (left >= 0).all()
    assert (draws.drawn.sum(axis=1) + draws.remaining[:, -1] == 400_000).all()
    assert (draws.need.sum(axis=1) == (draws.spent + draws.unfunded).sum(axis=1)).all()


def test_the_value_follows_prices_by_whole_banknotes(tmp_path: Path) -> None:
    text = STILL.replace("{annual: 0}", "{monthly: [0.05, 0.05, 0.05, 0.05, 0.05, 0.05]}")
    indexation = Indexation.model_validate(
        {"follows": "prices", "every_months": 3, "trigger_percent": 10, "round_to": 50},
        strict=False,
    )

    base = ran(tmp_path, text, indexation=indexation, grants=(grant(),)).base.base

    # After three months prices stand at 1.05^4 = 1.2155: 2,000 → 2,450 (2,431), 3,000 → 3,650.
    assert base.transfers[0].tolist() == [MONTH] * 3 + [20 * 245_000 + 10 * 365_000] * 3


def test_prices_eat_what_a_transfer_is_of_the_basket(tmp_path: Path) -> None:
    monthly = "{monthly: [0.05, 0.25, 0, 0.60, 0, 0]}\n  basket: {per_person: 4000.00, source: Me}"
    text = STILL.replace("{annual: 0}", monthly)
    projection = ran(tmp_path, text, grants=(grant(to="2026-05-31"),))

    adequate = adequacy_by_month(projection)
    section, table = caseload_part(projection)

    # 1,000 of 4,000 TRY; after the first month the basket costs 5,000, then 8,000.
    assert adequate.round(9).tolist()[:5] == [0.25, 0.2, 0.2, 0.125, 0.125]
    assert np.isnan(adequate[5])  # the grant has ended, and nobody is paid
    assert [column.name for column in table.columns][4:6] == ["people", "adequacy"]
    assert [sentence.key for sentence in section.sentences] == ["caseload_says"]
    lasting = caseload_part(ran(tmp_path, text, grants=(grant(),))).section.sentences[-1]
    assert (lasting.key, lasting.facts) == (
        "adequacy_says", {"first": share(250_000), "last": share(125_000)}
    )  # fmt: skip
    assert adequacy_by_month(ran(tmp_path, grants=(grant(),))) is None


DATED = PACK.replace("per_person: 1000.00", "per_person: p.per_capita").replace(
    "parameters:\n",
    "parameters:\n  per_capita: {type: money, source: Circular 3, values: {2020-01-01: 1000.00}}\n",
)
RAISED = (
    STILL.replace("{annual: 0}", "{monthly: [0.05, 0.05, 0.05, 0.05, 0.05, 0.05]}").replace(
        "  every_months: 6\n",
        "  every_months: 6\n"
        "  overlay: [{parameter: per_capita, from: 2026-04-01, value: 2000.00, source: Order 4}]\n",
    )
    + "indexation: {follows: prices, every_months: 2, trigger_percent: 10, round_to: 50.00}\n"
)


def test_a_value_of_a_later_day_follows_prices_from_that_day(tmp_path: Path) -> None:
    loaded = scenario_of(tmp_path, RAISED, DATED)
    scenario = loaded.scenario.model_copy(update={"grants": ()})

    projection = project(
        Loaded(scenario, loaded.courses, loaded.packs), village(tmp_path), "lots", tmp_path
    )

    # Reviewed in March: 2,000 at 1.05^3 → 2,300 and 3,000 → 3,450. In April 2,000 a person is what
    # the order says, in prices of April; in May prices have risen by 1.05^2: 4,000 → 4,400.
    april = 2 * MONTH
    assert projection.base.base.transfers[0].tolist() == [
        MONTH, MONTH, 20 * 230_000 + 10 * 345_000, april, april * 11 // 10, april * 11 // 10,
    ]  # fmt: skip
    assert (np.abs(projection.base.draws.transfers - projection.base.base.transfers) == 0).all()
    assert projection.base.base.due[0].tolist() == [30] * 6


def test_amounts_that_only_in_part_are_of_a_later_day_are_not_indexed(tmp_path: Path) -> None:
    bounded = DATED.replace("people_max: 10}", "people_max: 10, at_least: 900.00}")
    loaded = scenario_of(tmp_path, RAISED, bounded)

    with pytest.raises(Refusal, match=r"^amounts_apart: In month 2026-04 .* base .*at_least stay"):
        project(loaded, village(tmp_path), "lots", tmp_path)
    still = loaded.scenario.model_copy(update={"indexation": None, "grants": ()})
    paid = project(Loaded(still, loaded.courses, loaded.packs), village(tmp_path), "lots", tmp_path)
    assert paid.base.base.transfers[0].tolist() == [MONTH] * 3 + [2 * MONTH] * 3


def test_places_are_filled_by_weight_where_rows_stand_for_many(tmp_path: Path) -> None:
    text = STILL.replace(
        "  every_months: 6\n",
        "  every_months: 6\n  selection: {order: highest_score_first, households: 95}\n",
    )
    loaded = scenario_of(tmp_path, text)
    people = village(tmp_path)
    for_ten = People.of(people.households, people.members, represents=300)

    projection = project(loaded, for_ten, "lots", tmp_path)

    assert (for_ten.total, for_ten.is_exact) == (300, False)
    # Ten households a row: nine rows fit wholly into 95 places.
    decisions = pq.read_table(projection.base.loads.runs[0].decisions)
    assert decisions.column("selected").to_pylist().count(True) == 9
    assert projection.base.base.due[0, 0] == 95


@pytest.mark.parametrize("weight", [0.0, -1.0, 1e-7, 2e8, float("inf"), float("nan"), None])
def test_weights_that_nobody_stands_for_are_refused(tmp_path: Path, weight: float | None) -> None:
    people = village(tmp_path)
    table = pq.read_table(people.households)
    weights = pa.array([weight, *[2.0] * 29])
    pq.write_table(table.append_column("weight", weights), people.households)

    with pytest.raises(Refusal, match=r"^population_weights: 1 household") as refused:
        People.of(people.households, people.members)
    [finding] = refused.value.findings
    assert finding.problem.code == "population_weight"
    assert str(finding.place) == "households.parquet, row 1, weight"


def test_a_population_that_nobody_of_qualifies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=r"^population_nobody: Nobody .* of base"):
        project(scenario_of(tmp_path, STILL), village(tmp_path, rcsi=3), "lots", tmp_path)


def test_spending_is_a_column_or_the_stated_distribution(tmp_path: Path) -> None:
    projection = ran(tmp_path, grants=(grant(),))
    stated = Expenditure.model_validate(
        {"median": "5000.00", "sigma": "0.5", "source": "stated"}, strict=False
    )
    missing = Expenditure(column="spends_minor", source="survey")

    drawn = spending_of(projection, stated)

    # The median of 30 draws lies within three of its errors, 1.25 * sigma / sqrt(30).
    assert abs(np.log(np.median(drawn) / 500_000)) < 3 * 1.25 * 0.5 / np.sqrt(30)
    assert drawn.tolist() == spending_of(projection, stated).tolist()
    with pytest.raises(Refusal, match=r"^spending_column_missing"):
        spending_of(projection, missing)
    table = pq.read_table(projection.people.households)
    surveyed = table.append_column("spends_minor", pa.array(range(30), pa.int64()))
    pq.write_table(surveyed, projection.people.households)
    assert spending_of(projection, missing).tolist() == list(range(30))
