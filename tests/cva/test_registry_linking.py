"""Linking the registry: who may be the same, found once, decided by people, undone by people."""

import secrets
from collections.abc import Sequence
from datetime import timedelta
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pyarrow.parquet as pq
import pytest

from adapters.port import Record
from cva.clock import FixedClock
from cva.registry import checking, duplicates, linking, questions
from cva.registry.checking import check
from cva.registry.duplicates import Ruling, Verdict
from cva.registry.importing import Origin, find_import, take
from cva.registry.linking import Run, Scope
from cva.registry.questions import Question
from cva.registry.snapshot import write_snapshot
from ledgers.problems import Refusal
from tests.cva.registration import (
    AT,
    FIELDS,
    LAYLA,
    TYPES,
    VAULT,
    YUSUF,
    Office,
    open_office,
    record,
)
from tests.databases import Database

NO_ID = {"id_type": "none", "id_number": ""}
LATIN = {**LAYLA, **NO_ID}
ARABIC = {**LATIN, "given_name": "ليلى", "family_name": "حداد"}
CHILD = {**YUSUF, "birth_date": "2019-07-14", "birth_date_precision": "exact"}
ARABIC_CHILD = {**CHILD, "given_name": "يوسف", "family_name": "حداد"}
OTHER_PHONE = {**FIELDS, "phone": "0542 765 43 21", "iban": "", "voucher_card_ref": "VC-00007777"}
GIVEN = ("Amina", "Rana", "Hiba", "Dalal", "Samar", "Nour", "Maryam", "Zahra")
FAMILIES = ("Haddad", "Qasim", "Barakat", "Jundi", "Zaytun")


@pytest.fixture
def office(app: psycopg.Connection) -> Office:
    return open_office(app)


class Desk:
    """Amal links what she registered; every run is a minute later."""

    def __init__(self, database: Database, office: Office) -> None:
        self.engine = database.engine()
        self.office = office
        self.at = AT

    def take(self, *records: Record) -> None:
        self.office.take(*records)
        self.office.conn.commit()

    def take_later(self, *records: Record) -> None:
        """Import records an hour after what was done last."""
        self.at += timedelta(hours=1)
        origin = Origin("cva_registration", "later.json", secrets.token_bytes(32), TYPES)
        assert find_import(self.office.conn, origin) is None
        take(self.office.conn, VAULT, origin, records, (self.office.amal, self.at))
        self.office.conn.commit()

    def link(self, scope: Scope = Scope.WHOLE, by: str = "") -> Run:
        self.at += timedelta(minutes=1)
        who = by or self.office.amal
        return linking.run(self.engine, VAULT, FixedClock(self.at), who, scope)

    def queue(self) -> list[Question]:
        self.office.conn.commit()
        return list(questions.queue(self.office.conn))

    def decide(
        self, left: str, right: str, verdict: Verdict, kept: str | None = None, key: str = ""
    ) -> None:
        duplicates.decide(
            self.office.conn, left, right, Ruling(verdict, kept, "seen"),
            person_id=self.office.amal, at=self.at, key=key,
        )  # fmt: skip
        self.office.conn.commit()

    def merge(self, left: str, right: str, kept: str) -> None:
        self.decide(left, right, Verdict.SAME, kept)
        duplicates.merge(self.office.conn, left, right, person_id=self.office.second(), at=self.at)
        self.office.conn.commit()

    def unmerge(self, left: str, right: str) -> None:
        for person_id in (self.office.amal, self.office.second()):
            duplicates.unmerge(
                self.office.conn, left, right, "both came", person_id=person_id, at=self.at
            )
        self.office.conn.commit()

    def rows(self, query: str) -> Sequence[tuple]:
        return self.office.conn.execute(query).fetchall()


@pytest.fixture
def desk(database: Database, office: Office) -> Desk:
    return Desk(database, office)


@pytest.fixture
def twice(desk: Desk) -> Desk:
    """Layla and Yusuf, registered in Latin and in Arabic letters, without any number."""
    desk.take(
        record("1", members=[LATIN, CHILD]),
        record("2", fields=OTHER_PHONE, members=[ARABIC, ARABIC_CHILD]),
        record("3", fields=OTHER_PHONE, members=[{**LATIN, "given_name": "Amina",
                                                  "birth_date": "1955-01-30"}]),
    )  # fmt: skip
    desk.link()
    return desk


def test_two_spellings_of_a_household_are_one_question(twice: Desk) -> None:
    (question,) = twice.queue()
    assert (question.found, question.shared, question.state) == ("same", 2, "open")
    assert question.due_at is None  # it stops nobody yet


def test_pieces_of_a_score_add_up_and_hold_no_names(twice: Desk) -> None:
    (question,) = twice.queue()
    found = questions.why(twice.office.conn, question.right_key, question.left_key)
    assert [one.unit for one in found] == ["household", "person", "person"]
    for one in found[1:]:
        assert one.score_millibits == sum(millibits for *_, millibits in one.pieces)
        facts = {fact: group for fact, group, _, _ in one.pieces}
        assert facts["prior"] == "prior"
        assert facts["cap"] == "cap"
        assert facts["given_name"] == "person"
    told = str(twice.rows("SELECT * FROM duplicates.pair"))
    assert not [name for name in ("Layla", "Haddad", "ليلى", "1987") if name in told]
    with pytest.raises(Refusal, match="pair_not_found"):
        questions.why(twice.office.conn, question.left_key, "hh_nobody")


def test_reading_names_is_recorded(twice: Desk) -> None:
    assert twice.rows(
        "SELECT verb, person_id, answer FROM ops.act WHERE verb IN ('read_people', 'link')"
        " ORDER BY act_id"
    ) == [
        ("read_people", twice.office.amal, {"people": 5}),
        ("link", twice.office.amal, {"pairs": 4, "fresh": 4}),
    ]
    with pytest.raises(Refusal, match="role_missing"):
        twice.link(by=twice.office.rana)


def test_a_run_again_decides_nothing_anew_and_loses_no_decision(twice: Desk) -> None:
    (question,) = twice.queue()
    twice.decide(question.left_key, question.right_key, Verdict.DIFFERENT)
    before = twice.rows("SELECT * FROM duplicates.pair ORDER BY pair_id")
    assert twice.queue() == []

    again = twice.link()

    assert (again.pairs, again.fresh) == (4, 0)
    assert twice.queue() == []
    assert twice.rows("SELECT * FROM duplicates.pair ORDER BY pair_id") == before
    assert twice.rows("SELECT verdict FROM duplicates.decision") == [("different",)]


def test_a_request_that_is_sent_again_undoes_no_later_decision(twice: Desk) -> None:
    (question,) = twice.queue()
    left, right = question.left_key, question.right_key
    twice.decide(left, right, Verdict.ASK, key="monday")
    twice.decide(left, right, Verdict.DIFFERENT)
    twice.decide(left, right, Verdict.ASK, key="monday")  # lost on its way, and sent again
    assert twice.queue() == []
    with pytest.raises(Refusal, match="act_key_used_differently"):
        twice.decide(left, right, Verdict.SAME, left, key="monday")


def test_evidence_that_changed_is_asked_about_again(twice: Desk) -> None:
    (question,) = twice.queue()
    twice.decide(question.left_key, question.right_key, Verdict.DIFFERENT)
    twice.take(record("2", "r2", fields=OTHER_PHONE, members=[ARABIC, ARABIC_CHILD],
                      answers={"rcsi": "3"}))  # fmt: skip
    twice.link()
    assert twice.queue() == []  # what is compared is the same
    twice.take(record("2", "r3", members=[ARABIC, ARABIC_CHILD]))  # now with the same phone
    twice.link()
    (again,) = twice.queue()
    assert (again.left_key, again.right_key) == (question.left_key, question.right_key)
    assert twice.rows("SELECT verdict FROM duplicates.decision") == [("different",)]


def test_new_registrations_are_linked_without_all_the_others(twice: Desk) -> None:
    (question,) = twice.queue()
    twice.take(record("4", members=[LATIN, CHILD]))
    run = twice.link(Scope.NEW)
    assert run.people == 7
    new = {(q.left_key, q.right_key) for q in twice.queue()} - {
        (question.left_key, question.right_key)
    }
    assert len(new) == 2  # with both registrations that were there
    assert twice.link(Scope.NEW).pairs == 0
    assert len(twice.queue()) == 3


def test_the_first_run_is_a_whole_one(desk: Desk) -> None:
    with pytest.raises(Refusal, match="not_linked_yet"):
        desk.link(Scope.NEW)


def test_unmerging_restores_both_people_and_their_history(twice: Desk) -> None:
    (question,) = twice.queue()
    left, right = question.left_key, question.right_key
    live = "SELECT * FROM registry.live ORDER BY version_id"
    before, told = twice.rows(live), _told(twice, left)

    twice.merge(left, right, kept=left)
    merged = _told(twice, left)
    assert ("registered", right) in merged  # what became of the other is its history now
    assert len(twice.rows(live)) == len(before) - 1
    twice.unmerge(left, right)

    assert twice.rows(live) == before
    after = _told(twice, left)
    assert [event for event in after if event[0] == "registered"] == told
    assert [event for event, _ in after] == ["registered", "decided", "merged", "unmerged"]
    assert [event for event, _ in _told(twice, right)] == [event for event, _ in after]
    (again,) = twice.queue()
    assert (again.left_key, again.right_key, again.state) == (left, right, "open")


def test_registration_that_comes_back_after_a_run_is_compared_by_the_next_one(twice: Desk) -> None:
    (question,) = twice.queue()
    left, right = question.left_key, question.right_key
    twice.merge(left, right, kept=left)
    assert twice.link().pairs == 0  # of everybody: the other stands for nothing
    twice.unmerge(left, right)
    assert twice.queue() == []

    assert twice.link(Scope.NEW).people == 5

    (again,) = twice.queue()
    assert (again.left_key, again.right_key) == (left, right)
    twice.link(Scope.NEW)
    assert len(twice.queue()) == 1


def test_pair_that_a_correction_unmakes_is_asked_about_no_more(twice: Desk) -> None:
    assert len(twice.queue()) == 1
    stranger = {**LATIN, "given_name": "Samar", "family_name": "Qasim", "birth_date": "1951-02-03"}
    twice.take(record("2", "r2", fields=OTHER_PHONE, members=[stranger]))
    assert len(twice.queue()) == 1  # nobody has compared the correction yet
    twice.link(Scope.NEW)
    assert twice.queue() == []


def test_merged_people_do_not_free_two_registrations_of_one_household(twice: Desk) -> None:
    (question,) = twice.queue()
    layla, child = twice.rows(
        "SELECT left_key, right_key FROM duplicates.pair WHERE unit = 'person' ORDER BY 1"
    )
    for left, right in (layla, child):
        twice.decide(left, right, Verdict.SAME, left)
        twice.merge(left, right, kept=left)
    assert [q.left_key for q in twice.queue()] == [question.left_key]  # both would be paid
    assert len(twice.rows("SELECT FROM registry.live")) == 3
    assert twice.rows("SELECT gone_key, kept_key FROM duplicates.gone ORDER BY 1") == sorted(
        [(layla[1], layla[0]), (child[1], child[0])]
    )
    twice.decide(question.left_key, question.right_key, Verdict.DIFFERENT)
    assert twice.queue() == []


def test_all_people_decided_to_be_different_free_their_households(twice: Desk) -> None:
    (question,) = twice.queue()
    layla, child = twice.rows(
        "SELECT left_key, right_key FROM duplicates.pair WHERE unit = 'person' ORDER BY 1"
    )
    twice.decide(*layla, Verdict.DIFFERENT)
    assert [q.left_key for q in twice.queue()] == [question.left_key]
    twice.decide(*child, Verdict.DIFFERENT)
    assert twice.queue() == []


def test_one_person_of_two_large_households_is_merged_without_the_households(desk: Desk) -> None:
    """Yusuf lives with his mother and is still on his uncle's roster."""
    others = [
        {**LATIN, "given_name": given, "birth_date": born, "family_name": family}
        for given, born, family in (
            ("Amina", "1955-01-30", "Jundi"), ("Rana", "1972-05-11", "Qasim"),
            ("Hiba", "1990-12-02", "Barakat"),
        )
    ]  # fmt: skip
    desk.take(
        record("1", members=[LATIN, {**others[1], "relationship": "sibling"}, CHILD]),
        record("2", fields=OTHER_PHONE, members=[others[0], {**others[2], "sex": "male"}, CHILD]),
    )
    desk.link()
    (question,) = desk.queue()
    assert question.found == "shared_member"
    (child,) = desk.rows("SELECT left_key, right_key FROM duplicates.pair WHERE unit = 'person'")
    desk.decide(*child, Verdict.SAME, child[0])
    assert len(desk.queue()) == 1  # the second person is needed
    desk.merge(*child, kept=child[0])
    assert desk.queue() == []
    assert members_of(desk, child[1]) == (2, 2)
    assert members_of(desk, child[0]) == (3, 3)
    desk.unmerge(*child)
    assert [q.left_key for q in desk.queue()] == [question.left_key]
    assert members_of(desk, child[1]) == (3, 3)


def test_nobody_is_left_out_of_both_households(desk: Desk) -> None:
    """What a number meant is what was merged: a roster in another order is asked about again."""
    aunt = {**LATIN, "given_name": "Amina", "birth_date": "1955-01-30", "family_name": "Jundi"}
    uncle = {**aunt, "given_name": "Omar", "birth_date": "1951-06-02", "sex": "male"}
    desk.take(
        record("1", members=[LATIN, CHILD]),
        record("2", fields=OTHER_PHONE, members=[aunt, uncle, CHILD]),
    )
    desk.link()
    (child,) = desk.rows("SELECT left_key, right_key FROM duplicates.pair WHERE unit = 'person'")
    aunts = max(child, key=lambda key: key.endswith("/3"))
    (mothers,) = {*child} - {aunts}
    desk.merge(*child, kept=mothers)
    assert members_of(desk, aunts) == (2, 2)

    desk.take_later(record("1", "r2", members=[LATIN]))  # the child is not with his mother
    assert members_of(desk, aunts) == (3, 3)
    desk.take_later(record("1", "r3", members=[LATIN, CHILD]))
    assert members_of(desk, aunts) == (2, 2)
    desk.take_later(record("2", "r2", fields=OTHER_PHONE, members=[aunt, CHILD, uncle]))
    assert members_of(desk, aunts) == (3, 3)  # the third is somebody else now


def members_of(desk: Desk, key: str) -> tuple[int, int]:
    """The people and the size of a household, as the rules read them."""
    household_id = key.partition("/")[0]
    with TemporaryDirectory() as folder:
        made = write_snapshot(desk.office.conn, Path(folder), {"roster_size": "int"})
        desk.office.conn.commit()
        members = pq.read_table(made.members).to_pylist()
        (size,) = (
            row["roster_size"]
            for row in pq.read_table(made.households).to_pylist()
            if row["household_id"] == household_id
        )
    return sum(row["household_id"] == household_id for row in members), size


def test_what_many_strangers_share_makes_nobody_a_duplicate(desk: Desk) -> None:
    """Forty households: one phone, one camp, fillers for numbers, all born on 1 January."""
    camp = {**FIELDS, "address": "Boynuyoğun GBM", "iban": "", "voucher_card_ref": ""}
    records = []
    for number, (given, family) in enumerate(product(GIVEN, FAMILIES)):
        head = {
            **LAYLA, "given_name": given, "family_name": family,
            "birth_date": f"{1950 + number}", "birth_date_precision": "year",
            "id_number": ("11111111111", "0000", "yok", "12345678901")[number % 4],
        }  # fmt: skip
        records.append(record(str(number), fields=camp, members=[head]))
    desk.take(*records)

    run = desk.link()

    assert run.pairs == 0
    assert desk.queue() == []
    assert "link_contact_shared" in {finding.problem.code for finding in run.findings}


def test_invisible_signs_and_two_scripts_hide_nobody(desk: Desk) -> None:
    odd = {**ARABIC, "given_name": "لي\u200bلى Layla", "family_name": "\u202bحداد\u202c"}
    desk.take(
        record("1", members=[LATIN, CHILD]),
        record("2", fields=OTHER_PHONE, members=[odd, CHILD]),
    )
    desk.link()
    (question,) = desk.queue()
    assert question.shared == 2


def test_one_person_is_looked_up_while_they_stand_there(twice: Desk) -> None:
    asked = {
        "given_name": "Leyla", "family_name": "Hadad", "birth_date": "1987-04-23",
        "birth_date_precision": "exact", "sex": "female",
    }  # fmt: skip
    conn, amal = twice.office.conn, twice.office.amal
    checked = check(conn, VAULT, asked, person_id=amal, at=twice.at)
    found = checked.matches
    assert checked.findings == []
    assert {match.key.partition("/")[2] for match in found} == {"1"}
    assert len(found) == 2
    assert {match.band for match in found} == {"review"}
    other = {**asked, "birth_date": "1961-04-30", "given_name": "Omar"}
    assert check(conn, VAULT, other, person_id=amal, at=twice.at).matches == []
    with pytest.raises(Refusal, match="check_without_person"):
        check(conn, VAULT, {"sex": "female"}, person_id=amal, at=twice.at)
    assert twice.rows("SELECT count(*) FROM ops.act WHERE verb = 'check'") == [(2,)]


def test_a_look_that_could_not_compare_everybody_says_so(
    twice: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "OPENED_MAX", 1)
    year = {
        "given_name": "Leyla", "birth_date": "1987-01-01", "birth_date_precision": "year",
        "sex": "female",
    }  # fmt: skip
    found = check(twice.office.conn, VAULT, year, person_id=twice.office.amal, at=twice.at).findings
    assert [finding.problem.code for finding in found] == ["check_incomplete"]


def _told(desk: Desk, key: str) -> list[tuple[str, str]]:
    return [(event.event, event.key) for event in questions.history(desk.office.conn, key)]
