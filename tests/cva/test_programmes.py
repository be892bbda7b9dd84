"""Programme files: the three that are shipped, what is wrong with others, and cases by example."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from textwrap import indent

import pyarrow.parquet as pq
import pytest

from cva.programmes.loading import SHIPPED, check, load
from cva.programmes.model import NamedPack, Programme
from eligibility.assessment import assess
from eligibility.entitlements import Entitlement
from eligibility.packs import shipped_packs
from eligibility.rules.checked import load_pack, rules_of
from eligibility.rules.document import read_document
from eligibility.rules.explain import explain
from eligibility.rules.pack import RulePack
from ledgers.contracts import Breakage, Contract, Ownership, Recognition
from ledgers.money import format_amount
from ledgers.problems import Refusal
from tests.eligibility.snapshots import write_snapshot

FILES = sorted(SHIPPED.glob("*.yaml"))
SCENARIOS = sorted((Path(__file__).parent.parent / "scenarios").glob("*.yaml"))
NAMING = (SHIPPED / "market-card.yaml").read_text(encoding="utf-8")
_PACK = shipped_packs()["market-card"].read_text(encoding="utf-8")
# The market card with the rules of its pack written out.
MARKET = NAMING.replace(
    "  pack: market-card\n",
    indent(_PACK[_PACK.index("inputs:") : _PACK.index("selection:")], "  ")
    + indent(_PACK[_PACK.index("entitlement:") : _PACK.index("words:")], "  "),
)
NAME_BLOCK = MARKET[MARKET.index("name:") : MARKET.index("agency:")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shipped_programme_has_no_problem_and_its_money_is_enough(path: Path) -> None:
    assert check(path) == ()
    programme = load(path)
    assert programme.code == path.stem
    most = programme.rules.selection.places * max(rules_of(programme.rules).tariff)
    months = 12 if programme.cycles == "monthly" else 1
    assert most * months <= programme.grant.budget_minor


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_published_document_is_the_same_programme_again(path: Path) -> None:
    programme = load(path)
    again = Programme.from_document(programme.document())
    assert again == programme
    assert (again.sha256(), again.rules.pack_hash) == (
        programme.sha256(),
        programme.rules.pack_hash,
    )


def test_the_facts_of_a_stored_document_may_come_back_in_any_order() -> None:
    programme = load(SHIPPED / "bank-transfer.yaml")
    document = programme.document()
    turned = dict(reversed(document.items()))
    turned["rules"] = dict(reversed(document["rules"].items()))
    assert Programme.from_document(turned).sha256() == programme.sha256()


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    text = MARKET
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "programme.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def line_of(path: Path, needle: str) -> int:
    return path.read_text(encoding="utf-8").split(needle)[0].count("\n") + 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("destination: voucher_card_ref", "destination: iban"), "programme_mechanism"),
        (("kind: card_processor", "kind: bank"), "programme_mechanism"),
        (("restriction: restricted", "restriction: unrestricted"), "programme_restriction"),
        (("  currency: TRY\n", "  currency: EUR\n"), "programme_currency"),
        (("to: 2026-12-31", "to: 2025-12-31"), "programme_grant_days"),
        (("budget: 32000000.00", "budget: 12293999.99"), "programme_budget_short"),
        (("- {above: 100000000.00, approvers: 3}", "- {above: 1.00, approvers: 2}"),
         "programme_thresholds"),
        (("budget: 32000000.00", "budget: 32000000.005"), "amount_too_precise"),
        (("expr: rcsi >= p.rcsi_least", "expr: rcsi >= p.least"), "rule_name_unknown"),
        (("need: food", "need: cars"), "field_wrong"),
        (("sector: Food security", "sector: Food\nsektor: Food"), "field_unknown"),
        (("name:\n", "code: again\nname:\n"), "yaml_key_twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_programme_is_shown_in_its_line(
    tmp_path: Path, change: tuple[str, str], code: str
) -> None:
    path = written(tmp_path, change)
    (found,) = check(path)
    first, last = line_of(path, change[1]), line_of(path, change[1]) + change[1].count("\n")
    assert (found.problem.code, found.place.file) == (code, path.name)
    assert first <= found.place.row <= last
    assert found.remedy
    with pytest.raises(Refusal, match=r"^programme_refused: .* 1 problem ") as refused:
        load(path)
    assert refused.value.findings == (found,)


KIND = "  kind: card_processor\n"
AGENCY_OWNED = (
    KIND,
    f"""{KIND}  contract:
    ownership: agency
    recognition: redemption
    expires_after_days: 90
    breakage: issuer
""",
)


def test_a_programme_states_the_contract_with_its_provider(tmp_path: Path) -> None:
    stated = load(written(tmp_path, AGENCY_OWNED))
    assert stated.contract == Contract(
        "MARKET-CARDS", "TRY", Ownership.AGENCY, Recognition.REDEMPTION, 90, Breakage.ISSUER
    )
    assert Programme.from_document(stated.document()) == stated


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_without_a_word_what_is_loaded_is_the_recipients_and_spent(path: Path) -> None:
    programme = load(path)
    assert "contract" not in programme.document()["provider"]
    assert programme.contract == Contract(
        programme.provider.code, programme.currency, Ownership.RECIPIENT, Recognition.LOAD
    )


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ([("ownership: agency", "ownership: recipient")],
         [("contract_recognises_late", "recognition"),
          ("contract_expiry_unfit", "expires_after_days")]),
        ([("expires_after_days: 90", "expires_after_days: 0")],
         [("contract_term_unfit", "expires_after_days")]),
        ([("    breakage: issuer\n", "")], [("contract_breakage_unfit", "breakage")]),
        ([("recognition: redemption", "recognition: never")], [("field_wrong", "recognition")]),
        ([("    recognition: redemption\n", "")], [("field_missing", "recognition")]),
        ([("kind: card_processor", "kind: bank")],
         [("programme_mechanism", "kind"), ("programme_contract_of_bank", "contract")]),
    ],
)  # fmt: skip
def test_a_contract_that_does_not_fit_is_shown_in_its_line(
    tmp_path: Path, changes: list[tuple[str, str]], codes: list[tuple[str, str]]
) -> None:
    findings = check(written(tmp_path, AGENCY_OWNED, *changes))
    assert [
        (found.problem.code, found.place.field.split(",")[0].split(".")[-1]) for found in findings
    ] == codes


def test_cash_names_no_shops_and_a_voucher_does(tmp_path: Path) -> None:
    no_shops = ("restricted_to: [food shops, hygiene shops]\n", "")
    cash = ("modality: voucher", "modality: cash")
    free = ("restriction: restricted", "restriction: unrestricted")
    codes = [
        [found.problem.code for found in check(written(tmp_path, *changes))]
        for changes in ([no_shops], [cash], [cash, free], [cash, free, no_shops])
    ]
    assert codes == [["programme_restriction"]] * 3 + [[]]


def test_a_field_that_is_missing_is_shown_where_its_block_starts(tmp_path: Path) -> None:
    (found,) = check(written(tmp_path, ("  donor: Example Donor\n", "")))
    assert (found.problem.code, found.facts["field"]) == ("field_missing", "grant.donor")
    assert found.place.row == MARKET.split("  code: GR-2026")[0].count("\n") + 1


def test_all_problems_of_a_programme_are_shown_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        ("need: food", "need: cars"),
        ("from: 2026-01-01", "from: soon"),
        ("{1: 6000.00", "{1: about 6000"),
    )
    assert [(found.problem.code, found.place.row) for found in check(path)] == [
        ("field_wrong", line_of(path, "from: soon")),
        ("field_wrong", line_of(path, "need: cars")),
        ("field_wrong", line_of(path, "{1: about")),
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((NAME_BLOCK, "name: Market card\n"),
         "name cannot be taken: write a block of named fields, indented below it: tr, en, ar."),
        (("code: GR-2026-MARKET", "code: gr_1"),
         ("grant.code cannot be taken: write it with capital letters A to Z, digits and hyphens"
          " only, 2 to 31 characters, the first one a letter.")),
        (("\ncurrency: TRY", "\ncurrency: Try"),
         "currency cannot be taken: write it with capital letters A to Z only, 3 characters."),
        (("- id: coping", "- id: Coping ways"),
         ("rules.any_of.0.id cannot be taken: write it with small letters a to z, digits and"
          " underscores between them only, the first one a letter.")),
        (("from: 2026-01-01", "from: soon"),
         "grant.from cannot be taken: write a day, such as 2026-01-31."),
        (("reference_date: cycle_start", "reference_date: soon"),
         "reference_date cannot be taken: write cycle_start, or write a day, such as 2026-01-31."),
        (("modality: voucher", "modality: paper"),
         "modality cannot be taken: write one of cash or voucher."),
        (("prepaid_card", "paper"),
         ("delivery_mechanism cannot be taken: write one of prepaid_card, debit_card or"
          " bank_transfer.")),
        (("[food shops, hygiene shops]", "food"),
         "restricted_to cannot be taken: write a list, such as [first, second]."),
        (("agency: Example Agency", "agency: 12"),
         ("agency cannot be taken: write text, in quotes where it looks like a number, a day, true"
          " or false.")),
        (("agency: Example Agency", "agency: ''"),
         "agency cannot be taken: write something here: it is empty."),
        (("approvers: 2", "approvers: two"),
         ("approvals.approvers cannot be taken: write a whole number, such as 2, without a point"
          " and without quotes.")),
        (("approvers: 2", "approvers: 9"), "approvals.approvers cannot be taken: write 5 or less."),
        (("values: {2026-01-01: 19}", "values: {}"),
         "rules.parameters.rcsi_least.values cannot be taken: give at least 1 of them."),
    ],
)  # fmt: skip
def test_a_wrong_value_is_answered_with_what_to_write(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    found = check(written(tmp_path, change))
    assert f"The field {said}" in [finding.sentence for finding in found]
    assert "Input" not in str(found)


def test_a_budget_is_enough_to_the_smallest_coin(tmp_path: Path) -> None:
    least = 2049 * 6000
    assert check(written(tmp_path, ("32000000.00", f"{least}.00"))) == ()
    (found,) = check(written(tmp_path, ("32000000.00", f"{least - 1}.99")))
    assert found.facts["least"] == f"{least}.00"


def test_ages_are_computed_when_the_cycle_starts_or_on_a_stated_day(tmp_path: Path) -> None:
    start = date(2026, 3, 1)
    assert load(SHIPPED / "market-card.yaml").reference_date_of(start) == start
    stated = written(tmp_path, ("reference_date: cycle_start", "reference_date: 2026-02-15"))
    programme = load(stated)
    assert programme.reference_date_of(start) == date(2026, 2, 15)
    assert Programme.from_document(programme.document()) == programme


def test_larger_plans_need_more_approvers() -> None:
    programme = load(SHIPPED / "market-card.yaml")
    limit = 10_000_000_000
    assert programme.thresholds == ((limit, 3),)


# --- packs by name ---------------------------------------------------------------------------


def naming(folder: Path, *changes: tuple[str, str]) -> Path:
    text = NAMING
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "programme.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_programme_takes_over_the_rules_of_the_pack_it_names() -> None:
    programme = load(SHIPPED / "market-card.yaml")
    pack = load_pack(shipped_packs()["market-card"])
    assert programme.rules.criteria == pack.criteria
    assert programme.pack == NamedPack(code="market-card", sha256=pack.pack_hash)


def test_its_places_and_amounts_are_its_own(tmp_path: Path) -> None:
    own = ("TR-34: 762", "TR-34: 20")
    amounts = ("  pack: market-card\n", "  pack: market-card\n  entitlement: {flat: 10.00}\n")
    rules = load(naming(tmp_path, own, amounts)).rules
    assert rules.selection.quota.households["TR-34"] == 20
    assert rules.entitlement == Entitlement(flat=Decimal(10))


def test_a_file_beside_it_and_a_published_version_are_packs_too(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(_PACK.replace("rcsi: 19", "rcsi: 20"), encoding="utf-8")
    assert load(naming(tmp_path, ("pack: market-card", "pack: own.yaml"))).pack.version is None
    pack = load_pack(shipped_packs()["market-card"])
    published = naming(tmp_path, ("pack: market-card", "pack: market-card@3"))
    programme = load(published, lambda code, version: pack)  # noqa: ARG005 - whatever is asked for
    assert programme.pack == NamedPack(code="market-card", version=3, sha256=pack.pack_hash)


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        (("pack: market-card", "pack: market-cart"), ["pack_unknown"]),
        (("pack: market-card", "pack: market-card@1"), ["pack_unknown"]),
        (("pack: market-card", "pack: market-card\n  score: rcsi"), ["programme_pack_changed"]),
        (("order: highest_score_first", "order: by_lot"), ["field_wrong"]),
    ],
)
def test_what_is_wrong_beside_a_pack_is_shown_in_its_line(
    tmp_path: Path, change: tuple[str, str], codes: list[str]
) -> None:
    path = naming(tmp_path, change)
    findings = check(path)
    assert [finding.problem.code for finding in findings] == codes
    first = path.read_text(encoding="utf-8").split("  pack: ")[0].count("\n") + 1
    assert all(finding.place.row >= first for finding in findings)


# --- cases by example -----------------------------------------------------------------------


def read_scenario(path: Path) -> dict:
    document, findings = read_document(path.read_text(encoding="utf-8"), path.name)
    assert (document is None, findings) == (False, ())
    return document.values


def pack_of(scenario: dict) -> RulePack:
    pack = load(SHIPPED / f"{scenario['programme']}.yaml").rules
    if "places" not in scenario:
        return pack
    quota = pack.selection.quota.model_copy(update={"households": scenario["places"]})
    selection = pack.selection.model_copy(update={"quota": quota})
    return pack.model_copy(update={"selection": selection})


def people_of(case: dict) -> list[dict]:
    return [
        {"birth_date_precision": "exact" if person.get("birth_date") else None, **person}
        for person in case.get("members", ())
    ]


CASES = [
    pytest.param(read_scenario(path), case, id=f"{path.stem}: {case['name']}")
    for path in SCENARIOS
    for case in read_scenario(path)["cases"]
]


def expected(case: dict, currency: str) -> tuple:
    expect = case["expect"]
    amount = expect.get("amount")
    assert amount is None or isinstance(amount, Decimal)
    return (
        expect["status"],
        list(expect.get("because", ())),
        f"{amount} {currency}" if amount is not None else None,
    )


def said(status: str, reason: str, amount_minor: int | None, currency: str) -> tuple:
    kind, _, ids = reason.partition(":")
    amount = None if amount_minor is None else f"{format_amount(amount_minor, currency)} {currency}"
    return status, ids.split(",") if kind in ("not_eligible", "review") else [], amount


@pytest.mark.parametrize(("scenario", "case"), CASES)
def test_a_case_is_explained_as_expected(scenario: dict, case: dict) -> None:
    household = {"has_roster": True, **case["household"]}
    why = explain(household, people_of(case), pack_of(scenario), scenario["on"])
    assert said(why.status, why.because, why.amount_minor, why.currency) == expected(
        case, why.currency
    )
    assert case["expect"].get("people", why.people) == why.people


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_the_cases_of_a_file_are_assessed_together_as_expected(path: Path, tmp_path: Path) -> None:
    scenario = read_scenario(path)
    cases = {f"hh_{at:02}": case for at, case in enumerate(scenario["cases"])}
    households = [
        {"household_id": name, "has_roster": True, **case["household"]}
        for name, case in cases.items()
    ]
    members = {name: people_of(case) for name, case in cases.items()}
    files = write_snapshot(tmp_path, households, members)
    out = tmp_path / "decisions.parquet"
    assess(*files, pack_of(scenario), scenario["on"], out, seed=path.stem, spill=tmp_path)
    for row in pq.read_table(out).to_pylist():
        case = cases[row["household_id"]]
        found = said(row["status"], row["reason"], row["amount_minor"], row["currency"])
        assert found == expected(case, row["currency"]), case["name"]
        served = case["expect"].get("served", row["selected"])
        waiting = case["expect"].get("waiting", row["waitlist_position"])
        assert (served, waiting) == (row["selected"], row["waitlist_position"]), case["name"]
