"""Bank orders of a small agency, for the tests of the bank's formats and channel."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from adapters.port import Instruction, Operation, Order

AGENCY_IBAN = "TR330006100519786457841326"


def iban(number: int) -> str:
    bban = f"00061{number:017d}"
    check = 98 - int(f"{bban}292700") % 97
    return f"TR{check:02d}{bban}"


def instruction(number: int, **changes: Any) -> Instruction:
    made = Instruction(
        ref=f"01KJN9Y5V0PLAN0000000000AA{number:07d}",
        amount_minor=100_000 + number,
        destination=iban(number),
        payee_name="Ayşe Öztürk-Şahin",
        remittance="Nakdi destek 2026/03",
    )
    return replace(made, **changes)


def instructions(count: int) -> list[Instruction]:
    return [instruction(number) for number in range(1, count + 1)]


def order(lines: Iterable[Instruction], **changes: Any) -> Order:
    listed = list(lines)
    made = Order(
        message_id="01KJN9Y5V0FILE00000000001",
        operation=Operation.CREDIT_TRANSFER,
        created_at=datetime(2026, 3, 2, 6, 30, 15, 123456, tzinfo=UTC),
        execute_on=date(2026, 3, 2),
        currency="TRY",
        exponent=2,
        control_count=len(listed),
        control_sum_minor=sum(line.amount_minor for line in listed),
        debtor_name="Umut Yardım Derneği",
        debtor_account=AGENCY_IBAN,
    )
    return replace(made, **changes)
