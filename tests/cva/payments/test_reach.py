"""Who was reached: a person on two rosters, confirmed to be one, counts once."""

from dataclasses import replace
from datetime import date
from pathlib import Path

from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.registry import duplicates
from cva.reports.reach import reach
from tests.cva.payments.agency import Agency, House, agency_with
from tests.databases import Database

ONE, OTHER, THIRD = "Layla Haddad", "Leyla Hadad", "Yusuf Saleh"


def found_to_be_one(agency: Agency, *pairs: tuple[str, str]) -> None:
    """Record a run that found these people to be possibly one."""
    values = {
        "run": new_id("lnk", agency.clock.now()), "amal": agency.id_of("amal"),
        "at": agency.clock.now(), "model": bytes(32),
    }  # fmt: skip
    agency.raw(
        "INSERT INTO duplicates.model VALUES (%(model)s, '{}', %(amal)s, %(at)s)",
        "INSERT INTO duplicates.run VALUES (%(run)s, 'whole', %(model)s, 99, NULL, 3, 1, 1,"
        " %(amal)s, %(at)s)",
        **values,
    )
    for number, (left, right) in enumerate(pairs):
        agency.raw(
            "INSERT INTO duplicates.pair (run_id, unit, left_key, right_key, band, shared,"
            " score_millibits, pieces, evidence) VALUES (%(run)s, 'person', %(left)s, %(right)s,"
            " 'review', 1, 9000, '[]', %(token)s)",
            "INSERT INTO duplicates.seen SELECT %(run)s, pair_id FROM duplicates.pair"
            " WHERE evidence = %(token)s",
            **values, left=left, right=right, token=number.to_bytes(16),
        )  # fmt: skip


def reached(agency: Agency) -> tuple[int, int]:
    with transaction(agency.engine) as conn:
        totals = reach(conn, date(2026, 1, 1), date(2026, 12, 31)).totals
    return totals.people, totals.unique_people


def test_a_person_on_several_rosters_is_reached_once(database: Database, tmp_path: Path) -> None:
    houses = [House(name, card=f"VC-{n}0001000") for n, name in enumerate((ONE, OTHER, THIRD))]
    agency = agency_with(database, tmp_path, "card_processor", houses)
    by_name = {name: f"{household_id}/1" for household_id, name in agency.names.items()}
    one, other, third = sorted(by_name.values())
    found_to_be_one(agency, (one, other), (other, third))
    with agency.processor() as processor:
        plan = agency.released(agency.prepare())
        agency.send(plan)
        processor.run_once()
        agency.collect()
        agency.settle(plan)
    assert reached(agency) == (3 * 4, 3 * 4)

    agency.merge(one, other, kept=one)
    assert reached(agency) == (12, 11)
    with transaction(agency.engine) as conn:
        for login in ("amal", "deniz"):
            duplicates.unmerge(
                conn, one, other, "both came", person_id=agency.id_of(login),
                at=agency.clock.now(),
            )  # fmt: skip
    assert reached(agency) == (12, 12)

    agency.merge(one, other, kept=other)
    agency.merge(other, third, kept=third)
    assert reached(agency) == (12, 10)  # three registrations, one person


def test_who_counts_in_one_household_already_is_not_taken_off_again(
    database: Database, tmp_path: Path
) -> None:
    """Merged before the assessment: three people are left in the household of who is gone."""
    houses = [House(name, card=f"VC-{n}0001000") for n, name in enumerate((ONE, OTHER))]
    agency = agency_with(database, tmp_path, "card_processor", houses)
    one, other = sorted(f"{household_id}/1" for household_id in agency.names)
    found_to_be_one(agency, (one, other))
    agency.merge(one, other, kept=one)
    gone = agency.names[other.removesuffix("/1")]
    agency.assess([replace(house, people=3 if house.name == gone else 4) for house in houses])
    with agency.processor() as processor:
        plan = agency.released(agency.prepare())
        agency.send(plan)
        processor.run_once()
        agency.collect()
        agency.settle(plan)
    assert reached(agency) == (7, 7)
