"""Pairs of registrations: what counts as one, and what people decide of it."""

import psycopg
import pytest

from cva.registry.duplicates import Pair, Verdict, decide, open_pairs
from ledgers.problems import Refusal
from tests.cva.registration import AT, LAYLA, YUSUF, Office, open_office, record


@pytest.fixture
def office(app: psycopg.Connection) -> Office:
    return open_office(app)


@pytest.fixture
def pair(office: Office) -> Pair:
    """Layla, registered twice; Yusuf once."""
    office.take(record("1"), record("2"), record("3", members=[YUSUF]))
    (found,) = open_pairs(office.conn)
    return found


def ruled(office: Office, pair: Pair, verdict: Verdict, kept: str | None, reason: str = "") -> None:
    decide(
        office.conn, pair.left_id, pair.right_id, verdict, kept, reason or "both cards seen",
        person_id=office.amal, at=AT,
    )  # fmt: skip


def live(office: Office) -> set[str]:
    return {row[0] for row in office.conn.execute("SELECT household_id FROM registry.live")}


def test_pair_shares_a_valid_strong_identifier(office: Office, pair: Pair) -> None:
    both = office.conn.execute(
        "SELECT household_id FROM registry.identifier JOIN registry.version USING (version_id)"
        " WHERE kind = 'tr_foreigner_id' ORDER BY 1"
    ).fetchall()
    assert [(pair.left_id,), (pair.right_id,)] == both


def test_doubtful_identifier_makes_no_pair(office: Office) -> None:
    wrong = {**LAYLA, "id_number": "99123456741"}
    office.take(record("1", members=[wrong]), record("2", members=[wrong]))
    assert list(open_pairs(office.conn)) == []


def test_same_household_withdraws_the_other_registration(office: Office, pair: Pair) -> None:
    ruled(office, pair, Verdict.SAME, pair.right_id)
    assert list(open_pairs(office.conn)) == []
    assert pair.right_id in live(office)
    assert pair.left_id not in live(office)
    assert len(live(office)) == 2


def test_different_households_both_stay(office: Office, pair: Pair) -> None:
    ruled(office, pair, Verdict.DIFFERENT, None)
    assert list(open_pairs(office.conn)) == []
    assert live(office) >= {pair.left_id, pair.right_id}
    assert len(live(office)) == 3


def test_same_decision_again_changes_nothing(office: Office, pair: Pair) -> None:
    ruled(office, pair, Verdict.SAME, pair.right_id)
    turned = Pair(pair.right_id, pair.left_id)
    ruled(office, turned, Verdict.SAME, pair.right_id, "asked again")
    assert office.conn.execute(
        "SELECT verdict, kept_id, reason, person_id FROM registry.duplicate_decision"
    ).fetchall() == [("same", pair.right_id, "both cards seen", office.amal)]


@pytest.mark.parametrize("second", [Verdict.SAME, Verdict.DIFFERENT])
def test_decision_stands(office: Office, pair: Pair, second: Verdict) -> None:
    ruled(office, pair, Verdict.SAME, pair.right_id)
    kept = pair.left_id if second is Verdict.SAME else None
    with pytest.raises(Refusal, match="pair_decided"):
        ruled(office, pair, second, kept)


def test_households_that_are_no_pair_are_not_decided(office: Office, pair: Pair) -> None:
    (yusuf,) = live(office) - {pair.left_id, pair.right_id}
    for other in (yusuf, pair.left_id, "hh_01kjykkbm00000000000000000"):
        with pytest.raises(Refusal, match="pair_unknown"):
            ruled(office, Pair(pair.left_id, other), Verdict.DIFFERENT, None)


def test_third_registration_is_compared_with_the_one_that_was_kept(
    office: Office, pair: Pair
) -> None:
    ruled(office, pair, Verdict.SAME, pair.left_id)
    office.take(record("4"))
    (again,) = open_pairs(office.conn)
    assert pair.left_id in (again.left_id, again.right_id)
    (third,) = {again.left_id, again.right_id} - {pair.left_id}
    with pytest.raises(Refusal, match="pair_unknown"):
        ruled(office, Pair(pair.right_id, third), Verdict.DIFFERENT, None)


def test_unclear_decisions_are_refused(office: Office, pair: Pair) -> None:
    unclear = [
        (Verdict.SAME, None),
        (Verdict.SAME, "hh_01kjykkbm00000000000000000"),
        (Verdict.DIFFERENT, pair.left_id),
    ]
    for verdict, kept in unclear:
        with pytest.raises(Refusal, match="pair_kept_unclear"):
            ruled(office, pair, verdict, kept)
    with pytest.raises(Refusal, match="pair_reason_missing"):
        ruled(office, pair, Verdict.DIFFERENT, None, " ")
    with pytest.raises(Refusal, match="role_missing"):
        decide(
            office.conn, pair.left_id, pair.right_id, Verdict.DIFFERENT, None, "seen",
            person_id=office.rana, at=AT,
        )  # fmt: skip
    assert list(open_pairs(office.conn)) == [pair]
