"""Looking at a registration: opened for a person with the role, and kept that they looked."""

import psycopg
import pytest

from cva.registry.looking import look
from ledgers.problems import Refusal
from tests.cva.registration import AT, FIELDS, VAULT, Office, open_office, record


@pytest.fixture
def office(app: psycopg.Connection) -> Office:
    return open_office(app)


def test_latest_version_is_opened_whole_and_the_look_is_recorded(office: Office) -> None:
    office.take(record("1", "r1"))
    office.take(record("1", "r2", fields={**FIELDS, "phone": "0532 765 43 21"}), file="b.json")
    (household_id,) = office.one("SELECT household_id FROM registry.household")

    seen = look(office.conn, VAULT, str(household_id), person_id=office.amal, at=AT)

    assert seen.facts["file_name"] == "b.json"
    assert seen.facts["province"] == "TR-31"
    assert seen.facts["rcsi"] == 17
    assert seen.personal.fields["phone"] == "+905327654321"
    assert [member["relationship"] for member in seen.members] == ["head", "child"]
    assert [member["given_name"] for member in seen.personal.members] == ["Layla", "Yusuf"]
    assert "Layla" not in repr(seen)
    recorded = office.one("SELECT person_id, object_id, answer FROM ops.act WHERE verb = 'look'")
    assert recorded == (office.amal, household_id, {})


def test_only_programme_people_look(office: Office) -> None:
    office.take(record("1"))
    (household_id,) = office.one("SELECT household_id FROM registry.household")

    with pytest.raises(Refusal, match="role_missing"):
        look(office.conn, VAULT, str(household_id), person_id=office.rana, at=AT)

    assert office.one("SELECT count(*) FROM ops.act WHERE verb = 'look'") == (0,)


def test_household_that_is_not_there_is_said(office: Office) -> None:
    with pytest.raises(Refusal, match="household_not_found"):
        look(office.conn, VAULT, "hh_nobody", person_id=office.amal, at=AT)
