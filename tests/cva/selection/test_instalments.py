"""An amount in instalments, from two cycles of one programme to their plans."""

from datetime import date
from pathlib import Path

from cva.database.connect import transaction
from cva.programmes import publishing
from tests.cva.payments.agency import many
from tests.cva.selection.office import LABEL, office_with
from tests.databases import Database

SHELTER = f"""\
  inputs: {{household: {{has_voucher_card: bool}}}}
  parameters:
    instalment:
      type: text
      source: Circular 11
      values: {{2026-03-01: first, 2026-04-01: second}}
  gates: [{{id: card, label: {LABEL}, expr: has_voucher_card}}]
  selection: {{order: highest_score_first, households: 10}}
  entitlement:
    flat: 10000.00
    round_to: 50.00
    instalments: {{shares: {{first: 2, second: 1}}, due: p.instalment}}
"""


def test_two_cycles_pay_their_parts_and_together_the_whole(
    database: Database, tmp_path: Path
) -> None:
    office = office_with(database, tmp_path, many(2))
    office.fund(10_000_000)
    march = office.publish(SHELTER, "shelter")
    with transaction(office.agency.engine) as conn:
        april = publishing.open_cycle(
            conn, "shelter", "second", date(2026, 4, 1), date(2026, 4, 30),
            person_id=office.amal, at=office.now,
        ).cycle_id  # fmt: skip
    paid = []
    for cycle in (march, april):
        office.assess(cycle)
        paid.append(office.paid(office.approved(cycle)))
    names = {house.name for house in many(2)}
    # Two thirds of 10,000 are 6,666.67: 133 notes of 50, and the larger remainder takes the next.
    assert paid == [dict.fromkeys(names, 665_000), dict.fromkeys(names, 335_000)]
