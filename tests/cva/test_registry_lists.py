"""Lists of other agencies: what is taken, what is refused and said, and what nobody can read."""

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from adapters.assistance import ListMapping, load_list_mapping
from cva.clock import FixedClock
from cva.registry.lists import ListSummary, import_list
from ledgers.problems import Refusal
from tests.cva.registration import AT, VAULT, Office, open_office
from tests.databases import Database

HEADER = (
    "record_ref,household_ref,person_ref,given_name,family_name,father_name,mother_name,sex,"
    "birth_date,id_type,id_number,phone,province,district,need,first_day,last_day,status,committed_at"
)
ROW = {
    "record_ref": "R1", "household_ref": "H1", "person_ref": "P1", "given_name": "Layla",
    "family_name": "Haddad", "father_name": "Omar", "mother_name": "Amina", "sex": "female",
    "birth_date": "1987-04-23", "id_type": "tr_foreigner_id", "id_number": "99123456740",
    "phone": "0532 123 45 67", "province": "Hatay", "district": "Antakya", "need": "food",
    "first_day": "2026-03-01", "last_day": "2026-03-31", "status": "paid",
}  # fmt: skip


@pytest.fixture
def office(app: psycopg.Connection) -> Office:
    return open_office(app)


@pytest.fixture
def desk(database: Database, office: Office, tmp_path: Path) -> "Desk":
    return Desk(database, office, tmp_path)


class Desk:
    """Amal's desk, with a folder for lists."""

    def __init__(self, database: Database, office: Office, folder: Path) -> None:
        self.engine = database.engine()
        self.office = office
        self.folder = folder

    def write(self, *rows: Mapping[str, str], header: str = HEADER) -> Path:
        path = self.folder / "list.csv"
        cells = [",".join(row.get(name, "") for name in header.split(",")) for row in rows]
        path.write_text("\n".join([header, *cells]) + "\n", encoding="utf-8")
        return path

    def take(self, *rows: Mapping[str, str], header: str = HEADER) -> ListSummary:
        return self.read(self.write(*rows, header=header), ListMapping(agency="KIZILAY"))

    def read(self, path: Path, mapping: ListMapping) -> ListSummary:
        return import_list(self.engine, VAULT, FixedClock(AT), self.office.amal, path, mapping)

    def said(self) -> list[tuple]:
        return self.office.conn.execute(
            "SELECT row_no, field, code, weight, shown FROM duplicates.list_finding"
            " ORDER BY finding_no"
        ).fetchall()


def test_a_household_is_one_record_of_several_people(desk: Desk) -> None:
    child = {**ROW, "person_ref": "P2", "given_name": "Yusuf", "id_type": "none", "id_number": ""}
    taken = desk.take(ROW, child)
    assert (taken.records, taken.people, taken.refused) == (1, 2, 0)
    assert dict(taken.findings) == {}
    assert desk.office.conn.execute(
        "SELECT unit, need, modality, first_day::text, last_day::text, status, amount_minor,"
        " position('/' IN recipient_key) FROM duplicates.assistance"
    ).fetchall() == [("household", "food", "cash", "2026-03-01", "2026-03-31", "paid", None, 0)]


def test_the_same_list_again_changes_nothing(desk: Desk) -> None:
    first = desk.take(ROW)
    again = desk.take(ROW)
    assert (again.repeated, again.list_id, again.records) == (True, first.list_id, 1)
    assert desk.office.one("SELECT count(*) FROM duplicates.list") == (1,)


def test_a_list_without_half_its_columns_is_not_half_claimed(desk: Desk) -> None:
    with pytest.raises(Refusal) as refused:
        desk.take(ROW, header="record_ref,family_name,province,first_day,phone")
    assert refused.value.problem.code == "list_columns_missing"
    assert "need, status, given_name or id_number or registration_number" in refused.value.sentence
    assert desk.office.one("SELECT count(*) FROM duplicates.list") == (0,)


def test_a_list_without_names_of_parents_and_phones_says_so_once(desk: Desk) -> None:
    taken = desk.take(ROW, header="record_ref,person_ref,id_number,id_type,need,first_day,status,x")
    assert taken.records == taken.people == 1
    assert taken.findings == {
        "list_column_absent": 12, "list_column_strange": 1, "list_end_unknown": 1,
    }  # fmt: skip
    assert {field for _, field, code, *_ in desk.said() if code == "list_column_absent"} >= {
        "last_day", "committed_at",
    }  # fmt: skip


ENDS = [
    ({"last_day": "2026-04-15"}, "2026-04-15", set()),
    ({"last_day": "open"}, None, set()),
    ({"last_day": ""}, "2026-03-31", {"list_end_unknown"}),
    ({"last_day": "in autumn"}, "2026-03-31", {"date_unreadable", "list_end_unknown"}),
    ({"last_day": "2024-03-31"}, "2026-03-10", {"list_days_turned"}),
    ({"last_day": "", "one_off": "yes"}, None, set()),
]


@pytest.mark.parametrize(("told", "last_day", "codes"), ENDS)
def test_record_that_does_not_say_its_end_stops_nobody_for_ever(
    desk: Desk, told: dict[str, str], last_day: str | None, codes: set[str]
) -> None:
    header = f"{HEADER},one_off"
    taken = desk.take(ROW | {"first_day": "2026-03-10"} | told, header=header)
    assert desk.office.one("SELECT last_day::text FROM duplicates.assistance") == (last_day,)
    assert set(taken.findings) == codes


DOUBTS = [
    ({"need": "haircuts"}, "list_need_unknown", False),
    ({"need": "protection"}, "list_need_confidential", False),
    ({"status": ""}, "list_row_incomplete", False),
    ({"first_day": "in spring"}, "list_row_incomplete", False),
    ({"record_ref": ""}, "list_row_incomplete", False),
    ({"id_number": "11111111111"}, "id_placeholder", True),
    ({"id_number": "99123456741"}, "id_checksum", True),
    ({"birth_date": "1987-02-30"}, "birth_date_impossible", True),
    ({"given_name": "", "id_number": "yok"}, "list_person_unknown", True),
    ({"given_name": "4111 1111 1111 1111", "id_number": ""}, "card_number_refused", True),
]


def test_rows_that_cannot_be_relied_on_are_said_and_the_others_taken(desk: Desk) -> None:
    refs = [f"R{number}" for number in range(2, 2 + len(DOUBTS))]
    rows = [
        ROW | {"record_ref": ref, "person_ref": ref, "household_ref": ref} | told
        for ref, (told, _, _) in zip(refs, DOUBTS, strict=True)
    ]
    summary = desk.take(ROW, *rows)
    taken = [code for _, code, is_taken in DOUBTS if is_taken]
    assert (summary.records, summary.refused) == (1 + len(taken), len(DOUBTS) - len(taken))
    said = desk.said()
    by_row = {row: code for row, _, code, _, _ in said if code != "date_unreadable"}
    assert [by_row[place] for place in range(3, 3 + len(DOUBTS) - 2)] == [
        code for _, code, _ in DOUBTS[:-2]
    ]
    assert {"list_person_unknown", "card_number_refused"} <= set(summary.findings)
    assert "99123456741" not in str(said)


def test_column_that_slipped_leaves_no_names_in_clear(desk: Desk) -> None:
    slipped = dict.fromkeys(("programme", "referred_by", "verdict"), "Layla Haddad")
    header = f"{HEADER},programme,referred_by,verdict"
    taken = desk.take(ROW | slipped, ROW | {"record_ref": "R2", "need": "Layla"}, header=header)
    assert taken.findings == {"list_need_unknown": 1, "list_text_unknown": 3}
    assert desk.office.one("SELECT programme, referred_by, verdict FROM duplicates.assistance") == (
        "",
        None,
        "",
    )
    for table in ("assistance", "list_finding"):
        told = str(desk.office.conn.execute(f"SELECT * FROM duplicates.{table}").fetchall())
        assert not [word for word in ("Layla", "layla", "Haddad") if word in told]


def test_codes_of_a_list_are_kept(desk: Desk) -> None:
    desk.take(ROW)
    codes = {"programme": "Rent-2026", "referred_by": "KIZILAY", "verdict": "stop"}
    header = f"{HEADER},programme,referred_by,verdict"
    taken = desk.take(ROW | {"record_ref": "R2"} | codes, header=header)
    assert taken.findings == {}
    assert desk.office.one(
        "SELECT programme, referred_by, verdict FROM duplicates.assistance WHERE programme <> ''"
    ) == ("rent-2026", "KIZILAY", "stop")


def test_a_record_that_says_two_things_says_so(desk: Desk) -> None:
    taken = desk.take(ROW, {**ROW, "person_ref": "P2", "need": "winter"})
    assert taken.findings == {"list_record_differs": 1}
    assert desk.office.one("SELECT need FROM duplicates.assistance") == ("food",)


def test_names_are_sealed_and_references_are_tokens(desk: Desk) -> None:
    desk.take(ROW)
    for table in ("list", "other_person", "assistance", "list_finding"):
        told = str(desk.office.conn.execute(f"SELECT * FROM duplicates.{table}").fetchall())
        assert not [word for word in ("Layla", "Haddad", "99123456740", "H1") if word in told]


def test_another_shape_is_read_by_its_mapping(desk: Desk) -> None:
    mapping = desk.folder / "kizilay.yaml"
    mapping.write_text(
        "agency: KIZILAY\n"
        "csv: {delimiters: [';'], encodings: [utf-8-sig, cp1254]}\n"
        "columns: {DosyaNo: record_ref, KisiNo: person_ref, Ad: given_name, Soyad: family_name,\n"
        "  Kimlik: id_number, Tarih: first_day, Durum: status, Destek: need}\n"
        "values: {status: {Ödendi: paid}, need: {MPCA: basic-needs}}\n"
        "constants: {id_type: tr_foreigner_id, unit: person}\n",
        encoding="utf-8",
    )
    path = desk.folder / "liste.csv"
    path.write_bytes(
        "DosyaNo;KisiNo;Ad;Soyad;Kimlik;Tarih;Durum;Destek\n"
        "7;9;Gülşen;Işık;99123456740;2026-03-01;Ödendi;MPCA\n".encode("cp1254")
    )
    taken = desk.read(path, load_list_mapping(mapping))
    assert (taken.agency, taken.records, taken.people) == ("KIZILAY", 1, 1)
    assert desk.office.conn.execute(
        "SELECT unit, need, status, position('/' IN recipient_key) > 0 FROM duplicates.assistance"
    ).fetchall() == [("person", "basic-needs", "paid", True)]


def test_a_mapping_says_all_its_problems_at_once(desk: Desk) -> None:
    mapping = desk.folder / "wrong.yaml"
    mapping.write_text(
        "agency: KIZILAY\ncolumns: {Ad: first_name}\nvalues: {given_name: {A: B}, mood: {a: b}}\n",
        encoding="utf-8",
    )
    with pytest.raises(Refusal, match="mapping_invalid") as refused:
        load_list_mapping(mapping)
    assert [finding.place.field for finding in refused.value.findings] == [
        "columns.Ad", "values.given_name", "values.mood",
    ]  # fmt: skip


def test_who_may_not_import_does_not(desk: Desk) -> None:
    with pytest.raises(Refusal, match="role_missing"):
        import_list(
            desk.engine, VAULT, FixedClock(AT), desk.office.rana, desk.write(ROW),
            ListMapping(agency="KIZILAY"),
        )  # fmt: skip
