"""The far side of the demo: a bank and card processors that answer over their own wire formats.

The data chooses the fault: cards and accounts whose number ends in an agreed tail are rejected,
loaded short, left without an answer, or sent back (`simulations.population`).
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Self

import yaml

from adapters.simulators.bank import MAILBOX_PATH, PAYMENTS_PATH, SimulatedBank
from adapters.simulators.card_processor import CardProcessor
from cva.programmes.model import Programme

AGENCY_ACCOUNT = "agency"
AGENCY_IBAN = "TR330006100519786457841326"
CLOSED_TAIL = "9901"
RETURNED_TAIL = "9903"


@dataclass
class FarSide:
    """The providers of the demo's programmes; use it as a context manager."""

    folder: Path
    opens_at: datetime
    bank: SimulatedBank = field(init=False)
    processors: dict[str, CardProcessor] = field(init=False, default_factory=dict)
    _closing: ExitStack = field(init=False, default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.bank = self._closing.enter_context(SimulatedBank(self.opens_at))
        return self

    def __exit__(self, *raised: object) -> None:
        self._closing.close()

    def open(self, programmes: Iterable[Programme], providers_file: Path) -> None:
        """Open the accounts and floats of the programmes and describe them to the installation."""
        entries: list[dict[str, str]] = []
        for programme in programmes:
            provider = programme.provider
            if provider.kind == "bank":
                entries.append(self._open_bank(provider.code, programme.grant.budget_minor))
            else:
                entries.append(self._open_processor(provider.code, programme))
        providers_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        content = yaml.safe_dump({"providers": entries}, allow_unicode=True)
        providers_file.write_text(content, encoding="utf-8")

    def know(self, ibans: Iterable[str]) -> list[str]:
        """Close the accounts that are to be found closed; return those whose money comes back."""
        returned = []
        for number, iban in enumerate(ibans):
            if iban.endswith(CLOSED_TAIL):
                self.bank.open_account(f"payee-{number}", iban, closed=True)
            elif iban.endswith(RETURNED_TAIL):
                returned.append(iban)
        return returned

    def work(self) -> None:
        """Let the card processors answer what lies in their folders."""
        for processor in self.processors.values():
            processor.run_once()

    def _open_bank(self, code: str, budget_minor: int) -> dict[str, str]:
        self.bank.open_account(
            AGENCY_ACCOUNT, AGENCY_IBAN, name="Demo Agency", balance_minor=budget_minor
        )
        password = self.folder / "bank-password"
        password.touch(mode=0o600)
        password.write_text(self.bank.password, encoding="utf-8")
        return {
            "kind": "bank", "code": code, "debtor_name": "Demo Agency", "url": self.bank.url,
            "user": self.bank.user, "password_file": str(password), "account": AGENCY_IBAN,
            "payments_path": PAYMENTS_PATH, "mailbox_path": MAILBOX_PATH,
            "remittance": "Cash assistance",
        }  # fmt: skip

    def _open_processor(self, code: str, programme: Programme) -> dict[str, str]:
        inbox, outbox = self.folder / code / "in", self.folder / code / "out"
        self.processors[code] = self._closing.enter_context(
            CardProcessor(
                inbox, outbox, self.folder / code / "state.sqlite", programme.grant.budget_minor
            )
        )
        return {
            "kind": "card_processor", "code": code, "debtor_name": "Demo Agency",
            "programme": programme.code.upper(), "currency": programme.currency,
            "outgoing": str(inbox), "incoming": str(outbox),
        }  # fmt: skip
