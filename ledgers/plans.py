"""The shapes in which the journal says what is to be recorded: accounts by name, lines, entries.

Nothing here is a number of the database: accounts are named by what their code is made of, wallets
and instructions by their references. `recording` turns them into rows.
"""

from dataclasses import dataclass
from datetime import date

from ledgers.chart import code_of
from ledgers.events import How


@dataclass(frozen=True, slots=True)
class AccountName:
    """An account by what its code is made of."""

    chart_code: str
    currency: str
    grant: str | None = None
    provider: str | None = None

    @property
    def code(self) -> str:
        """The code it has in the books."""
        return code_of(self.chart_code, self.currency, grant=self.grant, provider=self.provider)


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """A debit and a credit of one amount, its dimensions, its wallets by their reference."""

    debit: AccountName
    credit: AccountName
    amount_minor: int
    layer: str
    grant: str
    programme: str | None = None
    cycle: str | None = None
    provider: str | None = None
    location: str | None = None
    instruction: str | None = None
    debit_wallet: str | None = None
    credit_wallet: str | None = None
    expires_on: date | None = None


@dataclass(frozen=True, slots=True)
class PlannedEntry:
    """One entry to record: `key` makes it safe to repeat; `lines` become legs or transfers."""

    event: str
    key: str
    how: How
    lines: tuple[PlannedLine, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """One posting of an event without its amount, for lines that come out of a select.

    `key` is the key of its entry, `amount` the name of the amount in the journal.
    """

    key: str
    how: How
    layer: str
    debit: AccountName
    credit: AccountName
    amount: str
