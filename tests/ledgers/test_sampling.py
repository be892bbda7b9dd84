"""Samples of the books: what is in the population, and that a sample stays what it was."""

from datetime import date

import pytest

from ledgers import balances
from ledgers.chart import open_account
from ledgers.drawing import By, Drawing, Method
from ledgers.entries import record
from ledgers.problems import Refusal
from ledgers.sampling import Sample, Scope, sample
from tests.ledgers.conftest import BANK, CASH, FLOAT, FUND, GRANT, MARCH, Books, leg

APRIL = date(2026, 4, 1)
EVERYTHING = Drawing(Method.RANDOM, 1_000, "seed")


def sealed(books: Books) -> int:
    books.conn.commit()
    while books.one("SELECT books.seal()"):
        books.conn.commit()
    return int(str(books.one("SELECT max(tree_size) FROM books.tree")))


@pytest.fixture
def march(books: Books) -> Books:
    """A float of 10,000.00; three loads, one of them in part, one void and one still on hold."""
    books.hold({"A1": 30_000, "A2": 20_000, "A3": 10_000, "A4": 5_000, "A5": 4_000})
    books.settle({"A1": 30_000, "A2": 15_000, "A3": 10_000, "A4": 0})
    sealed(books)
    return books


def told(found: Sample) -> list[tuple]:
    return [
        (line.event, line.phase, line.debit_account, line.credit_account, line.amount_minor,
         line.instruction_ref)
        for line in found.lines
    ]  # fmt: skip


def test_each_movement_stands_in_the_population_once(march: Books) -> None:
    found = sample(march.conn, Scope(), EVERYTHING)

    assert told(found) == [
        ("load_settled", "posted", CASH, FLOAT, 30_000, "A1"),
        ("load_settled", "posted", CASH, FLOAT, 15_000, "A2"),
        ("load_settled", "posted", CASH, FLOAT, 10_000, "A3"),
        ("float_credited", "leg", FLOAT, None, 1_000_000, None),  # batches seal themselves first
    ]
    assert (found.currency, found.draw.count, found.draw.sum_minor) == ("TRY", 4, 1_055_000)
    posted = sum(row.posted_debit_minor for row in balances.trial_balance(march.conn))
    assert (found.debits_minor, found.credits_minor) == (posted, 0)


def test_lines_of_an_account_add_up_to_its_register(march: Books) -> None:
    found = sample(march.conn, Scope(account=FLOAT), EVERYTHING)

    of_float = balances.balance(march.conn, FLOAT)
    assert (found.debits_minor, found.credits_minor) == (
        of_float.posted_debit_minor, of_float.posted_credit_minor,
    )  # fmt: skip
    assert found.draw.count == sum(line.lines for line in balances.register(march.conn, FLOAT))
    assert [line.leg_no for line in found.lines] == [0, 0, 0, 1]
    of_bank = sample(march.conn, Scope(account=BANK), EVERYTHING)
    assert told(of_bank) == [("float_credited", "leg", None, BANK, 1_000_000, None)]


def test_sample_of_a_size_of_the_log_stays_what_it_was(march: Books) -> None:
    drawing = Drawing(Method.MONEY_UNIT, 3, "picked on 5 March")
    first = sample(march.conn, Scope(), drawing)
    march.give_back({"A1": 500})
    assert sample(march.conn, Scope(), drawing) == first  # what is not sealed is not there
    march.give_back({"A2": 700, "A3": 800})
    size = sealed(march)

    assert sample(march.conn, Scope(), drawing, log_size=first.log_size) == first
    newest = sample(march.conn, Scope(), drawing)
    assert (newest.log_size, newest.draw.count) == (size, 7)
    assert newest.draw.interval_minor == (1_055_000 + 500 + 700 + 800) // 3


def test_lines_keep_their_places_in_a_larger_sample(march: Books) -> None:
    few, more = (
        sample(march.conn, Scope(), Drawing(Method.RANDOM, size, "seed")) for size in (2, 3)
    )
    assert set(few.lines) < set(more.lines)


@pytest.mark.parametrize(
    ("scope", "amounts"),
    [
        (Scope(starts_on=APRIL), [900]),
        (Scope(ends_on=MARCH, programmes=("pgm_1",)), [30_000, 15_000, 10_000]),
        (Scope(programmes=("pgm_1", "pgm_2")), [30_000, 15_000, 10_000, 900]),
        (Scope(province="TR-63", account=FLOAT), [30_000, 15_000, 10_000]),
        (Scope(province="TR-63", account=CASH), [30_000, 15_000, 10_000, 900]),
        (Scope(grant=GRANT, starts_on=APRIL, currency="TRY"), [900]),
    ],
)
def test_scope_restricts_the_population(march: Books, scope: Scope, amounts: list[int]) -> None:
    head = march.head("returned", on=APRIL)
    record(march.conn, head, [leg(CASH, 900), leg(BANK, -900)])
    sealed(march)
    found = sample(march.conn, scope, EVERYTHING)
    assert [line.amount_minor for line in found.lines] == amounts


@pytest.mark.parametrize(
    ("by", "bands", "strata"),
    [
        ((By.ACCOUNT,), (), {FLOAT: 1, CASH: 3}),
        ((By.PROVINCE,), (), {"-": 1, "TR-63": 3}),
        ((By.PROGRAMME,), (), {"-": 1, "pgm_1": 3}),
        ((By.CYCLE, By.PROVIDER), (), {"- / HALK": 1, "cyc_1 / HALK": 3}),
        ((By.GRANT,), (), {GRANT: 4}),
        ((By.EVENT,), (), {"float_credited": 1, "load_settled": 3}),
        (
            (By.BAND,),
            (30_000, 12_000),
            {"below 120.00": 1, "120.00 to below 300.00": 1, "300.00 and above": 2},
        ),
    ],
)
def test_strata_are_made_of_what_lines_say(
    march: Books, by: tuple[By, ...], bands: tuple[int, ...], strata: dict[str, int]
) -> None:
    drawing = Drawing(Method.STRATIFIED, 100, "seed", by=by, bands=bands)
    found = sample(march.conn, Scope(), drawing)
    assert {stratum.name: stratum.count for stratum in found.draw.strata} == strata


def test_memo_legs_are_drawn_by_their_account_only(march: Books) -> None:
    open_account(march.conn, "9010", "TRY", MARCH, grant=GRANT)
    open_account(march.conn, "9030", "TRY", MARCH, grant=GRANT)
    budget = f"9010.{GRANT}.TRY"
    legs = [leg(budget, 70, "M"), leg(f"9030.{GRANT}.TRY", -70, "M")]
    record(march.conn, march.head("budget_allotted"), legs)
    sealed(march)
    assert sample(march.conn, Scope(), EVERYTHING).draw.count == 4
    assert sample(march.conn, Scope(account=budget), EVERYTHING).draw.sum_minor == 70


@pytest.mark.parametrize(
    ("scope", "drawing", "size", "code"),
    [
        (Scope(grant="NOBODY"), EVERYTHING, None, "sample_of_nothing"),
        (Scope(account="1110.GARAN.TRY"), EVERYTHING, None, "account_unknown"),
        (Scope(), EVERYTHING, 999, "log_size_unknown"),
        (Scope(), Drawing(Method.STRATIFIED, 9, "s"), None, "sample_strata_unfit"),
        (Scope(), Drawing(Method.RANDOM, 9, "s", by=(By.EVENT,)), None, "sample_strata_unfit"),
        (
            Scope(), Drawing(Method.STRATIFIED, 9, "s", by=(By.BAND,)), None, "sample_strata_unfit",
        ),
    ],
)  # fmt: skip
def test_sample_that_cannot_be_drawn_is_refused(
    march: Books, scope: Scope, drawing: Drawing, size: int | None, code: str
) -> None:
    with pytest.raises(Refusal, match=code):
        sample(march.conn, scope, drawing, log_size=size)


def test_two_currencies_are_two_samples(march: Books) -> None:
    for code, grant in (("1010", None), ("2010", GRANT)):
        open_account(march.conn, code, "USD", MARCH, grant=grant)
    legs = [leg("1010.USD", 500), leg(f"2010.{GRANT}.USD", -500)]
    record(march.conn, march.head("grant_received"), legs)
    sealed(march)
    with pytest.raises(Refusal, match="sample_currencies"):
        sample(march.conn, Scope(), EVERYTHING)
    found = sample(march.conn, Scope(currency="USD"), EVERYTHING)
    assert (found.currency, found.draw.sum_minor) == ("USD", 500)
    assert sample(march.conn, Scope(currency="TRY"), EVERYTHING).draw.count == 4
    assert FUND not in {line.credit_account for line in found.lines}
