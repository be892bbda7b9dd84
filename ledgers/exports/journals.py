"""Plain text journals: beancount, hledger, ledger-cli.

Memo accounts (budget) go under a root of their own below equity; they balance among themselves and
touch no money. Every journal declares its currencies and accounts, gives the recorded rates as
prices, and ends with the balance of each account, as the database keeps it, so that the tool that
reads the journal checks our balances by itself. Metadata name the entry, the instruction, the
wallet and the dimensions.

Sources: beancount language syntax, "Balance Assertions", "Prices" and "Metadata"; hledger manual,
"Balance assertions", "P directive" and "Tags"; Ledger 3 manual, "Balance assertions", "Commodity
Pricing" and "Metadata".
"""

from collections.abc import Iterable
from datetime import date
from typing import TextIO

from psycopg import Connection

from ledgers.balances import AccountBalance
from ledgers.exports.postings import (
    Price,
    account_path,
    prices,
    span,
    transactions,
    with_movement,
)
from ledgers.money import exponent, format_amount


def write_beancount(conn: Connection, out: TextIO) -> int:
    """Write the books as a beancount ledger to `out`; returns the number of transactions."""
    balances = with_movement(conn)
    first, after = span(conn)
    known = prices(conn)
    out.write('option "title" "Books"\n')
    out.writelines(
        f'option "operating_currency" "{currency}"\n'
        for currency in sorted({row.currency for row in balances})
    )
    out.writelines(f"{first} commodity {currency}\n" for currency in _currencies(balances, known))
    out.writelines(f"{first} open {_path(row)} {row.currency}\n" for row in balances)
    out.writelines(
        f'{price.valid_on} price {price.base} {price.amount}\n  source: "{_quoted(price.source)}"\n'
        for price in known
    )
    count = 0
    for postings in transactions(conn):
        head = postings[0]
        out.write(f'\n{head.effective_on} * "{_quoted(head.event)}"\n  entry: "{head.entry_ref}"\n')
        if head.instruction_ref:
            out.write(f'  instruction: "{_quoted(head.instruction_ref)}"\n')
        for posting in postings:
            out.write(f"  {posting.account}  {posting.amount}\n")
            out.writelines(
                f'    {name}: "{_quoted(value)}"\n' for name, value in posting.dimensions.items()
            )
        count += 1
    out.write("\n")
    for row in balances:
        amount, none = _asserted(row)
        out.write(f"{after} balance {_path(row)}  {amount} ~ {none} {row.currency}\n")
    return count


def write_hledger(conn: Connection, out: TextIO) -> int:
    """Write the books as an hledger journal to `out`; returns the number of transactions."""
    balances = with_movement(conn)
    known = prices(conn)
    out.writelines(f"commodity {_sample(currency)}\n" for currency in _currencies(balances, known))
    out.writelines(f"account {_path(row)}\n" for row in balances)
    out.writelines(
        f"P {price.valid_on} {price.base} {price.amount}  ; source:{_tagged(price.source)}\n"
        for price in known
    )
    count = 0
    for postings in transactions(conn):
        head = postings[0]
        tags = {"entry": head.entry_ref, "instruction": head.instruction_ref or ""}
        out.write(f"\n{head.effective_on} * {_tagged(head.event)}{_tags(tags)}\n")
        out.writelines(
            f"    {posting.account}  {posting.amount}{_tags(posting.dimensions)}\n"
            for posting in postings
        )
        count += 1
    _write_assertions(out, balances, span(conn)[1])
    return count


def write_ledger_cli(conn: Connection, out: TextIO) -> int:
    """Write the books as a journal of Ledger 3 to `out`; returns the number of transactions."""
    balances = with_movement(conn)
    known = prices(conn)
    out.writelines(
        f"commodity {currency}\n    format {_sample(currency)}\n"
        for currency in _currencies(balances, known)
    )
    out.writelines(f"account {_path(row)}\n" for row in balances)
    out.writelines(f"P {price.valid_on} {price.base} {price.amount}\n" for price in known)
    count = 0
    for postings in transactions(conn):
        head = postings[0]
        out.write(f"\n{head.effective_on} * {_tagged(head.event)}\n    ; entry: {head.entry_ref}\n")
        if head.instruction_ref:
            out.write(f"    ; instruction: {_tagged(head.instruction_ref)}\n")
        for posting in postings:
            out.write(f"    {posting.account}  {posting.amount}\n")
            out.writelines(
                f"    ; {name}: {_tagged(value)}\n" for name, value in posting.dimensions.items()
            )
        count += 1
    _write_assertions(out, balances, span(conn)[1])
    return count


def _write_assertions(out: TextIO, balances: Iterable[AccountBalance], on: date) -> None:
    for number, row in enumerate(balances):
        if not number:
            out.write(f"\n{on} * balances kept\n")
        amount, none = _asserted(row)
        out.write(f"    {_path(row)}  {none} {row.currency} = {amount} {row.currency}\n")


def _currencies(balances: Iterable[AccountBalance], known: Iterable[Price]) -> list[str]:
    priced = {currency for price in known for currency in (price.base, price.quote)}
    return sorted({row.currency for row in balances} | priced)


def _sample(currency: str) -> str:
    return f"1000.{'0' * exponent(currency)} {currency}"


def _path(row: AccountBalance) -> str:
    return account_path(row.account_class, row.code)


def _asserted(row: AccountBalance) -> tuple[str, str]:
    minor = row.posted_debit_minor - row.posted_credit_minor
    return format_amount(minor, row.currency), format_amount(0, row.currency)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def _tagged(text: str) -> str:
    """Return `text` without what would begin or end a tag."""
    return "".join(" " if character in ",;:\n" else character for character in text)


def _tags(values: dict[str, str]) -> str:
    tags = ", ".join(f"{name}:{_tagged(value)}" for name, value in values.items() if value)
    return f"  ; {tags}" if tags else ""
