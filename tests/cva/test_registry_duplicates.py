"""Pairs of registrations: what counts as one, and what people decide of it."""

import psycopg
import pytest

from cva.registry.duplicates import (
    Pair,
    Ruling,
    Undone,
    Verdict,
    decide,
    merge,
    open_pairs,
    unmerge,
)
from cva.registry.questions import crowds, crowds_found
from eligibility.duplicates.preparing import HOLDERS_MAX
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
        office.conn, pair.left_id, pair.right_id,
        Ruling(verdict, kept, reason or "both cards seen"), person_id=office.amal, at=AT,
    )  # fmt: skip
    if verdict is Verdict.SAME:
        merge(office.conn, pair.left_id, pair.right_id, person_id=office.second(), at=AT)


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
        "SELECT verdict, kept_key, reason, person_id FROM duplicates.decision"
    ).fetchall() == [("same", pair.right_id, "both cards seen", office.amal)]


@pytest.mark.parametrize("second", [Verdict.SAME, Verdict.DIFFERENT, Verdict.ASK])
def test_what_two_people_merged_is_not_decided_otherwise(
    office: Office, pair: Pair, second: Verdict
) -> None:
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
            office.conn, pair.left_id, pair.right_id, Ruling(Verdict.DIFFERENT, None, "seen"),
            person_id=office.rana, at=AT,
        )  # fmt: skip
    assert list(open_pairs(office.conn)) == [pair]


def refused(code: str) -> pytest.RaisesExc[psycopg.Error]:
    """What the database itself refuses."""
    return pytest.raises(psycopg.Error, match=code)


def facts_of(office: Office) -> list[tuple]:
    """Everything that is live, with its members and identifiers."""
    return office.conn.execute(
        "SELECT v.*, m.*, i.kind, i.token, i.valid FROM registry.live v"
        " JOIN registry.member m USING (version_id)"
        " LEFT JOIN registry.identifier i USING (version_id, member_no)"
        " ORDER BY v.version_id, m.member_no, i.kind"
    ).fetchall()


def test_one_person_withdraws_nobody(office: Office, pair: Pair) -> None:
    decide(
        office.conn, pair.left_id, pair.right_id, Ruling(Verdict.SAME, pair.left_id, "seen"),
        person_id=office.amal, at=AT,
    )  # fmt: skip
    assert live(office) >= {pair.left_id, pair.right_id}
    assert list(open_pairs(office.conn)) == [pair]  # its lines go on waiting
    with refused("second_person_needed"), office.conn.transaction():
        merge(office.conn, pair.left_id, pair.right_id, person_id=office.amal, at=AT)
    assert live(office) >= {pair.left_id, pair.right_id}
    with refused("role_missing"), office.conn.transaction():
        merge(office.conn, pair.left_id, pair.right_id, person_id=office.rana, at=AT)

    kept = merge(office.conn, pair.right_id, pair.left_id, person_id=office.second(), at=AT)

    assert kept == pair.left_id
    assert pair.right_id not in live(office)


def test_nothing_is_merged_that_nobody_decided(office: Office, pair: Pair) -> None:
    with pytest.raises(Refusal, match="merge_not_decided"):
        merge(office.conn, pair.left_id, pair.right_id, person_id=office.second(), at=AT)
    ruled(office, pair, Verdict.DIFFERENT, None)
    with pytest.raises(Refusal, match="merge_not_decided"):
        merge(office.conn, pair.left_id, pair.right_id, person_id=office.second(), at=AT)
    with refused("merge_not_decided"), office.conn.transaction():
        office.conn.execute(
            "INSERT INTO duplicates.merge (decision_id, kept_key, gone_key, person_id, at)"
            " SELECT decision_id, left_key, right_key, %s, at FROM duplicates.decision",
            (office.second(),),
        )


def test_unmerging_restores_both_and_what_is_known_of_them(office: Office, pair: Pair) -> None:
    before = facts_of(office)
    ruled(office, pair, Verdict.SAME, pair.right_id)
    assert facts_of(office) != before

    asked = unmerge(
        office.conn, pair.left_id, pair.right_id, "both came", person_id=office.amal, at=AT
    )
    again = unmerge(office.conn, pair.left_id, pair.right_id, "y", person_id=office.amal, at=AT)
    assert again is Undone.ASKED
    with refused("second_person_needed"), office.conn.transaction():
        office.conn.execute(
            "INSERT INTO duplicates.unmerge SELECT merge_id, person_id, at"
            " FROM duplicates.unmerge_request"
        )
    assert facts_of(office) != before  # one person undoes nothing
    done = unmerge(
        office.conn, pair.left_id, pair.right_id, "both came", person_id=office.second(), at=AT
    )

    assert (asked, done) == (Undone.ASKED, Undone.UNDONE)
    assert facts_of(office) == before
    assert list(open_pairs(office.conn)) == [pair]  # asked again
    with pytest.raises(Refusal, match="not_merged"):
        unmerge(office.conn, pair.left_id, pair.right_id, "again", person_id=office.amal, at=AT)
    with pytest.raises(Refusal, match="pair_reason_missing"):
        unmerge(office.conn, pair.left_id, pair.right_id, " ", person_id=office.amal, at=AT)
    ruled(office, pair, Verdict.SAME, pair.left_id)  # and decided otherwise
    assert pair.right_id not in live(office)


def test_what_stands_for_nothing_is_not_merged_into(office: Office, pair: Pair) -> None:
    office.take(record("4"))
    ids = {one for p in open_pairs(office.conn) for one in (p.left_id, p.right_id)}
    (third,) = ids - {pair.left_id, pair.right_id}
    chain = [(pair.left_id, pair.right_id, pair.left_id), (pair.right_id, third, pair.right_id)]
    for left, right, kept in chain:
        ruling = Ruling(Verdict.SAME, kept, "seen")
        decide(office.conn, left, right, ruling, person_id=office.amal, at=AT)
    merge(office.conn, pair.left_id, pair.right_id, person_id=office.second(), at=AT)
    with refused("merged_already"), office.conn.transaction():
        merge(office.conn, pair.right_id, third, person_id=office.second(), at=AT)
    assert third in live(office)


def test_same_evidence_is_not_asked_about_again_other_evidence_is(
    office: Office, pair: Pair
) -> None:
    ruled(office, pair, Verdict.DIFFERENT, None)
    both = record("2", "r2", members=[LAYLA, YUSUF], answers={"rcsi": "3"})
    office.take(both)  # another answer: the identifiers that the two share are the same
    assert list(open_pairs(office.conn)) == []

    omar = {**YUSUF, "id_type": "passport", "id_number": "N0123456"}
    office.take(record("1", "r3", members=[LAYLA, omar]), record("2", "r3", members=[LAYLA, omar]))

    assert list(open_pairs(office.conn)) == [pair]


def test_asking_keeps_the_pair_open(office: Office, pair: Pair) -> None:
    ruled(office, pair, Verdict.ASK, None)
    assert list(open_pairs(office.conn)) == [pair]
    ruled(office, pair, Verdict.DIFFERENT, None)
    assert list(open_pairs(office.conn)) == []


def test_number_of_too_many_makes_nobody_a_duplicate_and_is_shown(office: Office) -> None:
    """An enumerator wrote a number of their own for everybody without papers."""
    members = [{**LAYLA, "birth_date": f"{1950 + number}-04-23"} for number in range(9)]
    office.take(*(record(str(n), members=[one]) for n, one in enumerate(members[:8])))
    assert len(list(open_pairs(office.conn))) == 8 * 7 // 2
    assert list(crowds(office.conn)) == []

    office.take(record("8", members=[members[8]]))

    assert list(open_pairs(office.conn)) == []
    (crowd,) = crowds(office.conn)
    assert (crowd.kind, crowd.people, crowd.households) == ("tr_foreigner_id", 9, 9)
    assert crowd.household_id == min(live(office))
    finding = crowds_found([crowd])
    assert finding is not None
    assert finding.problem.code == "numbers_of_many"
    assert finding.sentence.startswith("1 number is held")


def test_registry_and_linkage_leave_out_the_same_numbers(office: Office) -> None:
    assert office.one("SELECT registry.holders_max()") == (HOLDERS_MAX,)


@pytest.mark.parametrize(
    ("one", "other", "pairs"), [("SY", "SY", 1), ("SY", "", 1), ("SY", "IQ", 0)]
)
def test_one_passport_number_of_two_states_is_two_passports(
    office: Office, one: str, other: str, pairs: int
) -> None:
    layla = {**LAYLA, "id_type": "passport", "id_number": "N0123456", "nationality": one}
    office.take(record("1", members=[layla]))
    office.take(record("2", members=[{**layla, "nationality": other}]))
    assert len(list(open_pairs(office.conn))) == pairs
