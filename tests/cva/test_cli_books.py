"""`cva ledger reverse|close-period|statement|opening|rate` as finance types them."""

import re
from pathlib import Path

import pytest

from tests.cva.typed import Typed

MONEY = ("--grant", "GR-1", "--amount", "1250.50", "--bank", "HOUSE", "--reason", "advice 7")


@pytest.fixture
def typed(environment: dict[str, str]) -> Typed:
    cli = Typed({**environment, "CVA_NOW": "2026-04-10T09:00:00+03:00"})
    cli("init", "--login", "kerem", "--name", "Kerem", by="kerem")
    cli("user", "add", "deniz", "--name", "Deniz", "--role", "finance", by="kerem")
    cli("user", "add", "amal", "--name", "Amal", "--role", "programme", by="kerem")
    return cli


def entry_in(said: str) -> str:
    found = re.search(r"je_[0-9a-z]{26}", said)
    assert found is not None, said
    return found[0]


def test_the_books_are_corrected_stated_and_closed(typed: Typed, tmp_path: Path) -> None:
    made = entry_in(
        typed("ledger", "entry", "grant_received", *MONEY, "--on", "2026-03-02", "--key", "G1")
    )
    said = typed("ledger", "reverse", made, "--reason", "booked twice", "--on", "2026-03-05")
    assert "is reversed by" in said
    again = typed("ledger", "reverse", made, "--reason", "booked twice", "--on", "2026-03-05")
    assert "was reversed before by" in again

    march = ("--from", "2026-03-01", "--to", "2026-03-31")
    (bank,) = [
        row["account"]
        for row in typed.rows("ledger", "trial-balance")
        if row["account"].startswith("1010")
    ]
    stated = typed("ledger", "statement", "account", bank, *march)
    assert max(map(len, stated.splitlines())) <= 80
    assert stated.count("1250.50") + stated.count("1,250.50") >= 2
    file = tmp_path / "march.csv"
    typed("ledger", "statement", "account", bank, *march, "--csv", "--out", str(file))
    before = file.read_bytes()
    size = re.search(r"Log of (\d+) leaves", stated)
    assert size is not None
    typed("ledger", "entry", "grant_received", *MONEY, "--on", "2026-03-09", "--key", "G2")
    typed("ledger", "statement", "account", bank, *march, "--csv", "--out", str(file),
          "--log-size", size[1])  # fmt: skip
    assert file.read_bytes() == before

    why = ("--reason", "the month is agreed")
    typed("ledger", "close-period", "2026-03-31", "--adjusting", *why)
    refused = typed(
        "ledger", "entry", "grant_received", *MONEY, "--on", "2026-03-10", "--key", "G3", ends=1
    )
    assert "period_adjusting" in refused
    assert "0 closing entries" in typed("ledger", "close-year", "2026-03-31", *why)
    typed("ledger", "close-period", "2026-03-31", *why)
    assert "were already closed" in typed("ledger", "close-period", "2026-03-31", *why)
    assert "period_out_of_order" in typed("ledger", "close-period", "2026-02-28", *why, ends=1)
    assert typed.rows("ledger", "periods") == [
        {"from": None, "to": "2026-03-31", "state": "closed"},
        {"from": "2026-04-01", "to": None, "state": "open"},
    ]
    refused = typed(
        "ledger", "entry", "grant_received", *MONEY, "--on", "2026-03-10", "--key", "G3", ends=1
    )
    assert "period_closed" in refused
    assert "role_missing" in typed(
        "ledger", "close-period", "2026-04-30", *why, by="amal", ends=3
    )  # fmt: skip


def test_after_a_close_books_are_adjusted_and_corrected(typed: Typed) -> None:
    made = entry_in(
        typed("ledger", "entry", "grant_received", *MONEY, "--on", "2026-03-02", "--key", "G1")
    )
    why = ("--reason", "the month is agreed")
    typed("ledger", "close-period", "2026-03-31", "--adjusting", *why)
    late = ("ledger", "entry", "grant_received", *MONEY, "--on", "2026-03-31", "--key", "G2")
    assert "--adjustment" in typed(*late, ends=1)
    adjusted = entry_in(typed(*late, "--adjustment"))
    assert "was recorded before" in typed(*late, "--adjustment")
    back = ("ledger", "reverse", adjusted, "--on", "2026-03-31", "--reason", "booked twice")
    assert "period_adjusting" in typed(*back, ends=1)
    assert "is reversed by" in typed(*back, "--adjustment")
    typed("ledger", "close-period", "2026-03-31", *why)
    again = ("ledger", "entry", "grant_received", *MONEY, "--key", "G3")
    refused = typed(*again, "--on", "2026-03-31", "--adjustment", ends=1)
    assert "period_closed" in refused
    assert "--corrects" in refused
    assert "entry_unknown" in typed(*again, "--corrects", "je_" + "0" * 26, ends=4)
    corrected = entry_in(typed(*again, "--corrects", made))
    assert "was recorded before" in typed(*again, "--corrects", made)
    assert "key_used_differently" in typed(*again, ends=1)
    assert made in typed("ledger", "show", corrected)


def test_other_books_are_taken_over_and_rates_kept(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "balances.csv"
    file.write_text(
        "account,debit,credit,currency,grant\n"
        "1010.HOUSE.TRY,100.00,,TRY,GR-1\n2010.GR-1.TRY,,90.00,TRY,GR-1\n",
        encoding="utf-8",
    )
    ask = ("ledger", "opening", str(file), "--reason", "taken over", "--on", "2026-03-02")
    assert "entry_unbalanced" in typed(*ask, ends=1)
    file.write_text(file.read_text(encoding="utf-8").replace("90.00", "100.00"), encoding="utf-8")
    taken = entry_in(typed(*ask))
    assert "was recorded before" in typed(*ask)
    assert "key_used_differently" in typed(*ask[:-1], "2026-03-03", ends=1)
    typed("ledger", "entry", "grant_received", *MONEY, "--on", "2026-03-02", "--key", "G1")
    balances = {row["account"]: row["balance"] for row in typed.rows("ledger", "trial-balance")}
    assert balances == {"1010.HOUSE.TRY": "1350.50", "2010.GR-1.TRY": "1350.50"}
    file.write_text(file.read_text(encoding="utf-8").replace("100.00", "110.00"), encoding="utf-8")
    assert "opening_taken" in typed(*ask, ends=1)
    typed("ledger", "reverse", taken, "--reason", "10.00 too little", "--on", "2026-03-02")
    assert "is recorded" in typed(*ask)
    file.write_bytes("açılış".encode("iso8859-9"))
    assert "opening_file_unreadable" in typed(*ask, ends=2)

    ask = ("ledger", "rate", "USD", "41.2345", "--source", "TCMB", "--on", "2026-03-02")
    assert "revision 1" in typed(*ask)
    assert "was recorded before" in typed(*ask)
    other = tuple(word.replace("41.2345", "41.5") for word in ask)
    assert "rate_differs" in typed(*other, ends=1)
    assert "revision 2" in typed(*other, "--revises")
    unreadable = tuple(word.replace("41.2345", "many") for word in ask)
    assert "rate_unreadable" in typed(*unreadable, ends=2)
    assert "wallet_unknown" in typed("ledger", "wallet", "nobody", ends=4)
    for kind in ("ledger", "audit-data", "parquet"):
        typed("ledger", "export", kind, str(tmp_path / f"books.{kind}"))
        assert (tmp_path / f"books.{kind}").stat().st_size > 100


def test_what_rates_gained_is_computed_from_the_rates_kept(typed: Typed) -> None:
    dollars = ("--grant", "GR-9", "--currency", "USD", "--bank", "HOUSE", "--reason", "advice 9")
    kept = ("--source", "TCMB", "--reason", "month end")
    ask = ("ledger", "revalue", "--grant", "GR-9", *kept, "--on", "2026-03-31")
    assert "grant_not_in_books" in typed(*ask, ends=4)
    typed("ledger", "entry", "grant_received", *dollars, "--amount", "1000.00", "--key", "U1",
          "--on", "2026-03-02")  # fmt: skip
    assert "rate_unknown" in typed(*ask, ends=4)
    for on, value in (("2026-03-02", "41.5"), ("2026-03-31", "43")):
        typed("ledger", "rate", "USD", value, "--source", "TCMB", "--on", on)
    assert "valuing_day_ahead" in typed(*ask[:-1], "2026-04-30", ends=1)
    assert "role_missing" in typed(*ask, by="amal", ends=3)
    said = typed(*ask)
    shown = r"1010\.HOUSE\.USD +1,000\.00 USD .* 43,000\.00 TRY +1,500\.00 TRY"
    assert re.search(shown, said), said
    assert "is recorded: revalued." in said
    assert "Nothing was gained or lost that is not booked." in typed(*ask)
    typed("ledger", "entry", "bank_charged", *dollars, "--amount", "400.00", "--key", "U2",
          "--on", "2026-03-31")  # fmt: skip
    assert "for the currency has left" in typed(*ask)
    balances = {row["account"]: row["balance"] for row in typed.rows("ledger", "trial-balance")}
    gains = [balances[f"{code}.TRY"] for code in ("4040", "4041", "6010")]
    assert gains == ["600.00", "900.00", "-1500.00"]


def test_any_event_of_the_journal_is_recorded_with_its_facts(typed: Typed) -> None:
    listed = {row["event"]: row["facts"] for row in typed.rows("ledger", "events")}
    assert listed["provider_funded"] == "bank_reference, bank_account, amount, fee"
    assert "load_settled" not in listed

    sold = ("ledger", "entry", "currency_exchanged", "--grant", "GR-1", "--bank", "HOUSE",
            "--reason", "advice 8", "--key", "X1", "--on", "2026-03-02")  # fmt: skip
    said = typed(*sold, ends=1)
    assert "journal_fact_missing" in said
    facts = ("sold_currency=USD", "sold=100.00", "bought_currency=TRY", "bought=4120.00")
    given = [word for fact in facts for word in ("--fact", fact)]
    assert "is recorded" in typed(*sold, *given)
    assert "was recorded before" in typed(*sold, *given)
    balances = {row["account"]: row["balance"] for row in typed.rows("ledger", "trial-balance")}
    assert (balances["1010.HOUSE.TRY"], balances["1010.HOUSE.USD"]) == ("4120.00", "-100.00")
    assert "fact_unreadable" in typed(*sold, "--fact", "fee", ends=2)


def test_nothing_expires_where_no_programme_has_a_term(typed: Typed, tmp_path: Path) -> None:
    file = tmp_path / "expired.csv"
    file.write_text("instruction,amount\nA1,10.00\n", encoding="utf-8")
    for words in (("expire", "CARDS"), ("expire", "CARDS", str(file))):
        assert "nothing_expires" in typed("provider", *words, ends=1)
