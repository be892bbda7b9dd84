"""People: who may do what, who may change that, and signatures that are a person's own."""

from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from cva import staff
from cva.staff import Person, Role
from ledgers.problems import Refusal
from ledgers.refusals import refusal_of

AT = datetime(2026, 3, 5, 9, tzinfo=UTC)
OWN = "Root passphrase of the office"
WORDS = "four words that differ"


@pytest.fixture
def root(app: psycopg.Connection) -> Person:
    return staff.add_first_administrator(app, "root", "Rana Administrator", OWN, AT)


@pytest.fixture
def deniz(app: psycopg.Connection, root: Person) -> Person:
    return staff.add_person(app, root.person_id, "deniz", "Deniz Finance", WORDS, AT)


def test_first_administrator_holds_that_role_and_comes_once(
    app: psycopg.Connection, root: Person
) -> None:
    assert staff.roles_of(app, root.person_id) == {Role.ADMINISTRATOR}
    assert staff.person_of(app, "root") == root == staff.person(app, root.person_id)
    with pytest.raises(Refusal, match="first_administrator_exists"):
        staff.add_first_administrator(app, "sam", "Sam Nobody", WORDS, AT)


def test_person_starts_without_a_role(app: psycopg.Connection, deniz: Person) -> None:
    assert staff.roles_of(app, deniz.person_id) == frozenset()
    with pytest.raises(Refusal, match="role_missing"):
        staff.require(app, deniz.person_id, "finance")


def test_only_an_administrator_adds_people(app: psycopg.Connection, deniz: Person) -> None:
    with pytest.raises(Refusal, match="role_missing"):
        staff.add_person(app, deniz.person_id, "sam", "Sam Nobody", WORDS, AT)


@pytest.mark.parametrize(
    ("login", "passphrase", "code"),
    [
        ("deniz", WORDS, "login_taken"),
        ("Sam Nobody", WORDS, "login_unusable"),
        ("s", WORDS, "login_unusable"),
        ("sam", "eleven char", "passphrase_short"),
        ("sam", "short" + " " * 20, "passphrase_short"),
    ],
)
def test_person_with_unusable_login_or_passphrase_is_refused(
    app: psycopg.Connection, root: Person, deniz: Person, login: str, passphrase: str, code: str
) -> None:
    with pytest.raises(Refusal, match=code):
        staff.add_person(app, root.person_id, login, "Sam Nobody", passphrase, AT)
    assert staff.person_of(app, "deniz") == deniz


def test_unknown_people_are_not_found(app: psycopg.Connection, root: Person) -> None:
    nobody = "per_01kjykkbm00000000000000000"
    for asked in (
        lambda: staff.person_of(app, "sam"),
        lambda: staff.person(app, nobody),
        lambda: staff.sign(app, nobody, WORDS, b""),
        lambda: staff.grant_role(app, root.person_id, OWN, nobody, Role.FINANCE, AT),
    ):
        with pytest.raises(Refusal, match="person_unknown"):
            asked()


def test_roles_are_given_and_taken_and_the_events_stay(
    app: psycopg.Connection, root: Person, deniz: Person
) -> None:
    for change in (staff.grant_role, staff.grant_role, staff.revoke_role, staff.grant_role):
        change(app, root.person_id, OWN, deniz.person_id, Role.FINANCE, AT)
    assert staff.roles_of(app, deniz.person_id) == {Role.FINANCE}
    staff.require(app, deniz.person_id, "finance")
    events = app.execute(
        "SELECT role, granted FROM staff.role_event WHERE person_id = %s ORDER BY event_id",
        (deniz.person_id,),
    ).fetchall()
    assert events == [("finance", True), ("finance", False), ("finance", True)]


def test_role_change_needs_the_administrators_passphrase(
    app: psycopg.Connection, root: Person, deniz: Person
) -> None:
    with pytest.raises(Refusal, match="passphrase_wrong"):
        staff.grant_role(app, root.person_id, WORDS, deniz.person_id, Role.FINANCE, AT)
    assert staff.roles_of(app, deniz.person_id) == frozenset()


def test_nobody_changes_their_own_role(app: psycopg.Connection, root: Person) -> None:
    for change in (staff.grant_role, staff.revoke_role):
        with pytest.raises(Refusal, match="own_role"):
            change(app, root.person_id, OWN, root.person_id, Role.FINANCE, AT)


def test_only_an_administrator_changes_roles(
    app: psycopg.Connection, root: Person, deniz: Person
) -> None:
    with pytest.raises(Refusal, match="role_missing"):
        staff.grant_role(app, deniz.person_id, WORDS, root.person_id, Role.FINANCE, AT)


def test_auditor_holds_no_other_role(app: psycopg.Connection, root: Person, deniz: Person) -> None:
    staff.grant_role(app, root.person_id, OWN, deniz.person_id, Role.AUDITOR, AT)
    with pytest.raises(Refusal, match="auditor_writes_nothing"):
        staff.grant_role(app, root.person_id, OWN, deniz.person_id, Role.FINANCE, AT)
    staff.revoke_role(app, root.person_id, OWN, deniz.person_id, Role.AUDITOR, AT)
    staff.grant_role(app, root.person_id, OWN, deniz.person_id, Role.FINANCE, AT)
    with pytest.raises(Refusal, match="auditor_writes_nothing"):
        staff.grant_role(app, root.person_id, OWN, deniz.person_id, Role.AUDITOR, AT)


@pytest.fixture
def event(app: psycopg.Connection, root: Person, deniz: Person) -> Iterator[str]:
    staff.grant_role(app, root.person_id, OWN, deniz.person_id, Role.AUDITOR, AT)
    app.commit()
    yield (
        "INSERT INTO staff.role_event (person_id, role, granted, by_person, at)"
        " VALUES (%s, %s, true, %s, now())"
    )
    app.rollback()


def test_database_holds_the_rules_against_raw_sql(
    app: psycopg.Connection, root: Person, deniz: Person, event: str
) -> None:
    raw = {
        "own_role": (event, (root.person_id, "finance", root.person_id)),
        "role_missing": (event, (root.person_id, "finance", deniz.person_id)),
        "auditor_writes_nothing": (event, (deniz.person_id, "finance", root.person_id)),
        "append_only": ("UPDATE staff.person SET name = 'Sam'", ()),
    }
    for code, (statement, values) in raw.items():
        with pytest.raises(psycopg.Error) as error:
            app.execute(statement, values)
        app.rollback()
        refusal = refusal_of(error.value)
        if code != "append_only":  # the application may not even try to change a row
            assert refusal is not None
            assert refusal.problem.code == code
        else:
            assert isinstance(error.value, psycopg.errors.InsufficientPrivilege)


def test_database_refuses_changes_to_the_owner_too(
    app: psycopg.Connection, owner: psycopg.Connection, root: Person
) -> None:
    app.commit()
    for statement in (
        "UPDATE staff.person SET name = 'Sam'",
        "DELETE FROM staff.role_event",
        "TRUNCATE registry.finding",
    ):
        with pytest.raises(psycopg.Error) as error:
            owner.execute(statement)
        owner.rollback()
        refusal = refusal_of(error.value)
        assert refusal is not None
        assert refusal.problem.code == "append_only"
        assert statement.split(maxsplit=1)[0] in refusal.sentence
    assert staff.person_of(app, "root") == root


def test_signature_is_checked_with_the_public_key(
    app: psycopg.Connection, root: Person, deniz: Person
) -> None:
    signature = staff.sign(app, deniz.person_id, WORDS, b"plan 1")
    assert len(signature) == 64
    assert staff.verify(deniz.public_key, b"plan 1", signature)
    assert not staff.verify(deniz.public_key, b"plan 2", signature)
    assert not staff.verify(root.public_key, b"plan 1", signature)


def test_signature_needs_the_persons_own_passphrase(app: psycopg.Connection, deniz: Person) -> None:
    with pytest.raises(Refusal, match="passphrase_wrong"):
        staff.sign(app, deniz.person_id, OWN, b"plan 1")


def test_passphrase_may_be_typed_on_another_keyboard(app: psycopg.Connection, root: Person) -> None:
    composed, apart = "dört kelimelik gözde söz", "do\u0308rt kelimelik go\u0308zde so\u0308z"
    selin = staff.add_person(app, root.person_id, "selin", "Selin Releaser", composed, AT)
    staff.check_passphrase(app, selin.person_id, apart)


@pytest.mark.usefixtures("deniz")
def test_sealed_key_does_not_open_under_another_person(app: psycopg.Connection) -> None:
    app.execute(
        "INSERT INTO staff.person"
        " SELECT 'per_01kjykkbm00000000000000000', 'omar', 'Omar Second Finance Officer',"
        " public_key, sealed_key, added_by, added_at FROM staff.person WHERE login = 'deniz'"
    )
    with pytest.raises(Refusal, match="passphrase_wrong"):
        staff.sign(app, staff.person_of(app, "omar").person_id, WORDS, b"plan 1")


def test_person_shows_no_name(deniz: Person) -> None:
    assert "Finance" not in repr(deniz)
