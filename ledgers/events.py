"""The events of the journal, as `journal.yaml` writes them.

`journal` applies them to facts; here they are only read: which accounts an event debits and
credits, under which contract, on which facts, in which layer, and which general ledger accounts of
IOM it touches. A choice is a fact that picks one of a few accounts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TypedDict, cast

import yaml

from ledgers.chart import chart


class How(StrEnum):
    """How a part is recorded."""

    ENTRY = "entry"  # legs
    TRANSFER = "transfer"  # at once, a transfer for each line
    HOLD = "hold"  # on hold, for each line
    POST = "post"  # the hold of each line is posted
    VOID = "void"  # the hold of each line is given free


class _Posting(TypedDict, total=False):
    """A posting as `journal.yaml` writes it."""

    number: str
    layer: str
    debit: str
    credit: str
    amount: str
    optional: bool
    each: bool
    when: dict[str, object]
    currency: str
    grant: str
    debit_wallet: str


@dataclass(frozen=True, slots=True)
class PostingRule:
    """One posting of an event: two accounts (chart codes or a choice's name) and an amount's name.

    `each` says that it is made once for each line of the event; `when` are the contract's terms and
    the facts under which it is made.
    """

    number: str
    how: How
    layer: str
    debit: str
    credit: str
    amount: str
    optional: bool
    each: bool
    when: Mapping[str, object]
    currency: str
    grant: str
    debit_wallet: str


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of thing that happens to money.

    `key` names the facts that make a repetition the same event; `only` the terms of contract it is
    possible under; `options` the values that a fact may have.
    """

    code: str
    number: str
    says: str
    key: tuple[str, ...]
    only: Mapping[str, object]
    options: Mapping[str, tuple[object, ...]]
    postings: tuple[PostingRule, ...]

    @property
    def numbers(self) -> frozenset[str]:
        """The numbers it has in the accounting manual."""
        return frozenset({self.number, *(posting.number for posting in self.postings)})

    @property
    def iom_gl(self) -> tuple[str, ...]:
        """The general ledger accounts of IOM that it may touch."""
        codes = {
            code
            for posting in self.postings
            for side in (posting.debit, posting.credit)
            for code in choices().get(side, (side,))
        }
        return tuple(sorted({chart()[code].iom_gl for code in codes} - {""}))


@cache
def choices() -> Mapping[str, tuple[str, ...]]:
    """Return the accounts that a fact may choose from, by the name of the fact."""
    return MappingProxyType({name: tuple(codes) for name, codes in _file()["choices"].items()})


@cache
def events() -> Mapping[str, Event]:
    """Return the events of the journal by code."""
    return MappingProxyType({code: _event(code, row) for code, row in _file()["events"].items()})


@cache
def qualified() -> Mapping[str, frozenset[str]]:
    """Return which chart codes an account's code names a grant, a provider or a bank with."""
    return MappingProxyType(
        {name: frozenset(codes) for name, codes in _file()["qualified"].items()}
    )


@cache
def _file() -> dict[str, dict[str, dict[str, object]]]:
    text = resources.files("ledgers").joinpath("journal.yaml").read_text(encoding="utf-8")
    return cast("dict[str, dict[str, dict[str, object]]]", yaml.safe_load(text))


def _event(code: str, row: dict[str, object]) -> Event:
    number = cast("str", row["number"])
    return Event(
        code=code,
        number=number,
        says=cast("str", row["says"]),
        key=tuple(cast("list[str]", row["key"])),
        only=MappingProxyType(cast("dict[str, object]", row.get("only", {}))),
        options=MappingProxyType(
            {
                name: tuple(values)
                for name, values in cast("dict[str, list[object]]", row.get("options", {})).items()
            }
        ),
        postings=tuple(_rule(number, rule) for rule in cast("list[_Posting]", row["records"])),
    )


def _rule(number: str, row: _Posting) -> PostingRule:
    how = How(cast("dict[str, str]", row).get("as", "entry"))
    return PostingRule(
        number=row.get("number", number),
        how=how,
        layer=row.get("layer", "A"),
        debit=row["debit"],
        credit=row["credit"],
        amount=row["amount"],
        optional=row.get("optional", False),
        each=row.get("each", how is not How.ENTRY),
        when=MappingProxyType(row.get("when", {})),
        currency=row.get("currency", "currency"),
        grant=row.get("grant", "grant"),
        debit_wallet=row.get("debit_wallet", "wallet"),
    )
