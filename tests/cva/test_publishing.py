"""Publishing programmes and opening cycles: versions never change, cycles never overlap."""

from datetime import UTC, date, datetime

import psycopg
import pytest
from psycopg import errors

from cva import staff
from cva.programmes import publishing
from cva.programmes.loading import SHIPPED, load
from cva.programmes.publishing import Cycle
from ledgers.problems import Refusal

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
PASSPHRASE = "four words that differ"
MARKET = load(SHIPPED / "market-card.yaml")


@pytest.fixture
def amal(app: psycopg.Connection) -> str:
    kerem = staff.add_first_administrator(app, "kerem", "Kerem", PASSPHRASE, AT).person_id
    amal = staff.add_person(app, kerem, "amal", "Amal", PASSPHRASE, AT).person_id
    staff.grant_role(app, kerem, PASSPHRASE, amal, staff.Role.PROGRAMME, AT)
    return amal


def opened(app: psycopg.Connection, amal: str, name: str, first: date, last: date) -> Cycle:
    return publishing.open_cycle(
        app, "market-card", name, first, last, person_id=amal, at=AT
    )  # fmt: skip


def test_the_same_programme_again_is_the_same_version(app: psycopg.Connection, amal: str) -> None:
    first = publishing.publish(app, MARKET, person_id=amal, at=AT)
    again = publishing.publish(app, MARKET, person_id=amal, at=AT)
    changed = MARKET.model_copy(update={"agency": "Another Agency"})
    second = publishing.publish(app, changed, person_id=amal, at=AT)

    assert again == first
    assert (first.version, second.version) == (1, 2)
    assert publishing.programme_of(app, first.programme_id) == MARKET


def test_a_programme_nobody_published_has_no_cycle(app: psycopg.Connection, amal: str) -> None:
    with pytest.raises(Refusal, match="programme_not_found"):
        opened(app, amal, "2026-03", date(2026, 3, 1), date(2026, 3, 31))
    with pytest.raises(Refusal, match="programme_not_found"):
        publishing.programme_of(app, "pgm_none")
    with pytest.raises(Refusal, match="cycle_not_found"):
        publishing.load_cycle(app, "cyc_none")


def test_cycles_of_a_programme_follow_each_other(app: psycopg.Connection, amal: str) -> None:
    publishing.publish(app, MARKET, person_id=amal, at=AT)
    march = opened(app, amal, "2026-03", date(2026, 3, 1), date(2026, 3, 31))
    april = opened(app, amal, "2026-04", date(2026, 4, 1), date(2026, 4, 30))

    assert list(publishing.cycles_of(app, "market-card")) == [march, april]
    assert opened(app, amal, "2026-03", date(2026, 3, 1), date(2026, 3, 31)) == march
    with pytest.raises(Refusal, match="cycle_name_taken"):
        opened(app, amal, "2026-03", date(2026, 5, 1), date(2026, 5, 31))
    with pytest.raises(Refusal, match="cycle_overlaps"):
        opened(app, amal, "spring", date(2026, 4, 30), date(2026, 5, 31))


def test_overlapping_cycles_are_refused_by_the_database(app: psycopg.Connection, amal: str) -> None:
    publishing.publish(app, MARKET, person_id=amal, at=AT)
    march = opened(app, amal, "2026-03", date(2026, 3, 1), date(2026, 3, 31))

    with pytest.raises(errors.ExclusionViolation):
        app.execute(
            "INSERT INTO programme.cycle SELECT 'cyc_' || repeat('0', 26), programme_id,"
            " programme_number, 'other', period, person_id, at FROM programme.cycle"
            " WHERE cycle_id = %s",
            (march.cycle_id,),
        )
