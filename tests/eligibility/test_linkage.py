"""Who may be one person: what counts, what is capped, what contradicts, and where names may be."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from stdnum.tr import tckimlik

from eligibility.duplicates import linkage
from eligibility.duplicates.blocking import Blocked, block, block_like
from eligibility.duplicates.clusters import Guard, Record, clustered
from eligibility.duplicates.engine import engine
from eligibility.duplicates.explanation import explain
from eligibility.duplicates.fields import Role, read_fields, registry_fields
from eligibility.duplicates.frequencies import count_shares
from eligibility.duplicates.households import household_pairs
from eligibility.duplicates.linkage import Links, Register, link, link_new
from eligibility.duplicates.model import NO_CAP_BITS, Model, shipped
from eligibility.duplicates.preparing import prepare
from eligibility.duplicates.shapes import PAIR, PERSON, Band, Group, Likeness
from eligibility.duplicates.training import train
from ledgers.problems import Refusal

Row = dict[str, str | None]
AMAL: Row = {
    "given_name": "أمل", "family_name": "الحسن", "father_name": "خالد", "mother_name": "فاطمة",
    "sex": "female", "birth_date": "1990-02-17", "phone": "05321234567", "district": "Fatih",
}  # fmt: skip
AMAL_AGAIN: Row = AMAL | {"given_name": "Amal", "family_name": "Al-Hassan", "father_name": "Halit",
                          "mother_name": "Fatma"}  # fmt: skip


def number(stem: int) -> str:
    return f"99{stem:07}{tckimlik.calc_check_digits(f'99{stem:07}')}"


def people(*rows: Row) -> pa.Table:
    """Rows of persons; each is of a roster of its own unless it says which."""
    full = [
        dict.fromkeys(PERSON.names) | {"record_id": f"p{i}", "household_id": f"h{i}"} | row
        for i, row in enumerate(rows)
    ]
    return pa.Table.from_pylist(full, schema=PERSON)


@pytest.fixture
def conn() -> Iterator[duckdb.DuckDBPyConnection]:
    with engine(400, 2) as connection:
        yield connection


def linked(conn: duckdb.DuckDBPyConnection, *rows: Row) -> tuple[Links, list[dict[str, object]]]:
    """Pairs by the shipped model, as in a registry of twenty thousand."""
    blocked = block(conn, prepare(conn, "person", people(*rows), registry_fields()))
    links = link(conn, blocked, shipped(registry_fields(), blocked.prepared.facts, 20_000))
    return links, links.pairs(conn).to_pylist()


def test_one_person_in_two_scripts_is_reviewed_and_with_a_number_automatic(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    ids = {"id_type": "tr_foreigner_id", "id_number": number(1)}
    links, pairs = linked(
        conn, AMAL, AMAL_AGAIN, AMAL | ids | {"given_name": "هند", "birth_date": "1977-10-03"},
        AMAL_AGAIN | ids | {"given_name": "Hind", "birth_date": "1977-10-03"},
    )  # fmt: skip
    found = {(p["id_l"], p["id_r"]): (p["band"], p["shared_id"]) for p in pairs}
    assert found == {
        ("p0", "p1"): (Band.REVIEW, None),
        ("p2", "p3"): (Band.AUTOMATIC, "tr_foreigner_id"),
    }
    assert links.clusters.to_pylist() == [
        {"cluster_id": "p2", "record_id": "p2"},
        {"cluster_id": "p2", "record_id": "p3"},
    ]


@pytest.mark.parametrize(
    "sibling",
    [
        {"given_name": "هند", "birth_date": "1992-05-04"},
        {"given_name": "Samir", "sex": "male", "birth_date": "1988-11-30"},
        {"given_name": "هند"},  # twins
    ],
)
def test_brothers_sisters_and_twins_are_other_people(
    conn: duckdb.DuckDBPyConnection, sibling: Row
) -> None:
    assert linked(conn, AMAL, AMAL | sibling)[1] == []


def test_a_relatives_number_is_never_automatic(conn: duckdb.DuckDBPyConnection) -> None:
    ids: Row = {"id_type": "tr_foreigner_id", "id_number": number(2)}
    sister: Row = {"given_name": "هند", "birth_date": "1992-05-04"}
    _, (pair,) = linked(conn, AMAL | ids, AMAL | ids | sister)
    assert (pair["band"], pair["shared_id"], pair["contradiction"]) == (
        Band.REVIEW, "tr_foreigner_id", "given_name",
    )  # fmt: skip


def test_household_facts_count_up_to_the_cap_and_pieces_add_up(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    links, (pair,) = linked(conn, AMAL, AMAL_AGAIN)
    told = explain(pair, links.model)
    assert sum(piece.bits for piece in told.pieces) == pytest.approx(told.score, abs=1e-9)
    household = sum(p.bits for p in told.pieces if p.group in {Group.HOUSEHOLD, Group.CAP})
    assert household == pytest.approx(links.model.cap)
    (cap,) = [piece for piece in told.pieces if piece.group is Group.CAP]
    assert cap.bits < -1
    assert {piece.fact: piece.level for piece in told.pieces}["given_name"] == (
        "same name, spelled otherwise"
    )
    assert told.model == links.model.digest
    assert "أمل" not in repr(told)


def test_two_valid_numbers_of_a_kind_are_two_people_and_a_mistyped_one_is_not(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    foreign: Row = {"id_type": "tr_foreigner_id"}
    mistyped = f"{number(3)[:-1]}{(int(number(3)[-1]) + 1) % 10}"
    valid = AMAL | foreign | {"id_number": number(3)}
    assert linked(conn, valid, AMAL_AGAIN | foreign | {"id_number": number(4)})[1] == []
    conn.execute("DROP TABLE person; DROP TABLE person_numbers")
    _, (pair,) = linked(conn, valid, AMAL_AGAIN | foreign | {"id_number": mistyped})
    assert (pair["band"], pair["veto"]) == (Band.REVIEW, None)
    assert pair["level_identifier"] == "almost the same doubtful number"


def test_two_of_one_roster_are_two_and_one_has_one_double_in_another(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    twin: Row = {"given_name": "أمال"}
    _, pairs = linked(
        conn,
        AMAL | {"household_id": "h1"}, AMAL | twin | {"household_id": "h1"},
        AMAL | {"household_id": "h2"}, AMAL | twin | {"household_id": "h2"},
    )  # fmt: skip
    assert {(p["id_l"], p["id_r"]) for p in pairs} == {("p0", "p2"), ("p1", "p3")}


def test_a_day_of_the_first_of_january_is_a_year(conn: duckdb.DuckDBPyConnection) -> None:
    unknown: Row = {"birth_date": "1990-01-01"}
    _, (pair,) = linked(conn, AMAL | unknown, AMAL_AGAIN | unknown)
    assert pair["level_birth_date"] == "same year, the day not known"


def test_new_records_are_held_against_those_held_and_no_others(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    held = block(conn, prepare(conn, "held", people(AMAL, AMAL), registry_fields()))
    rows = [AMAL_AGAIN | {"household_id": household} for household in ("n0", "n1")]
    new = prepare(conn, "arriving", people(*rows), registry_fields())
    arriving = block_like(conn, new, held)
    model = shipped(registry_fields(), held.prepared.facts, 20_000)
    pairs = link_new(conn, held, arriving, model).pairs(conn)
    assert sorted(zip(pairs["id_l"].to_pylist(), pairs["id_r"].to_pylist(), strict=True)) == [
        ("p0", "p0"), ("p0", "p1"), ("p1", "p0"), ("p1", "p1"),
    ]  # fmt: skip
    assert pairs.schema.names[: len(PAIR.names)] == PAIR.names


def test_households_are_what_their_people_make_them(conn: duckdb.DuckDBPyConnection) -> None:
    def listed(household: str, *given: str, head: bool = True) -> list[Row]:
        return [
            AMAL | {"given_name": name, "household_id": household, "phone": None,
                    "birth_date": f"19{60 + len(name) * 3 + place:02}-03-1{place}",
                    "relationship": "head" if head and place == 0 else "child"}
            for place, name in enumerate(given)
        ]  # fmt: skip

    def one(household: str, given: str, birth: str, **more: str) -> Row:
        return AMAL | {"given_name": given, "household_id": household, "birth_date": birth,
                       "phone": None} | more  # fmt: skip

    rows = [
        *listed("a1", "Hind", "Ridwan", "Shukriya"), *listed("a2", "Hind", "Ridwan", "Shukriya"),
        one("b1", "Jalal", "1955-07-21"), one("b1", "Nadia", "1958-09-09"),
        one("b2", "Jalal", "1955-07-21"), one("b2", "Ghassan", "1999-12-24"),
        one("c1", "Wissam", "1971-06-05", relationship="alternate"),
        one("c1", "Lubna", "2001-05-05"),
        one("c2", "Wissam", "1971-06-05", relationship="alternate"),
        one("c2", "Farouk", "2003-08-17"),
        one("d1", "Zahid", "1966-04-04", phone="05359998877"),
        one("d2", "Tamara", "1984-10-10", phone="0535 999 88 77"),
    ]  # fmt: skip
    links, _ = linked(conn, *rows)
    found = household_pairs(conn, links).to_pylist()
    kinds = {(p["household_l"], p["household_r"]): (p["likeness"], p["shared"]) for p in found}
    assert kinds == {
        ("a1", "a2"): (Likeness.SAME, 3),
        ("b1", "b2"): (Likeness.SHARED_MEMBER, 1),
        ("c1", "c2"): (Likeness.COLLECTOR_TWICE, 1),
        ("d1", "d2"): (Likeness.INSTRUMENT, 0),
    }


def test_a_phone_of_forty_households_and_a_filler_say_nothing(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    crowd = [
        {"given_name": f"{a}{b}ma{c}n", "family_name": f"{b}{c}ri",
         "birth_date": f"19{50 + i}-05-06",
         "phone": "0532 000 11 22", "id_type": "passport", "id_number": "A1234567",
         "district": "Camp 4"}
        for i, (a, b, c) in enumerate(
            (a, b, c) for a in ("Sa", "Ru", "Ka", "Bi") for b in "lndt" for c in "bfk"
        )
        if i < 40
    ]  # fmt: skip
    filler = {"given_name": "Omar", "id_type": "tr_national_id", "id_number": "11111111111"}
    blocked = block(conn, prepare(conn, "person", people(*crowd, filler), registry_fields()))
    codes = [finding.problem.code for finding in blocked.prepared.findings]
    assert codes == ["link_numbers_doubtful", "link_number_shared", "link_contact_shared"]
    model = shipped(registry_fields(), blocked.prepared.facts, 20_000)
    assert link(conn, blocked, model).pairs(conn).num_rows == 0


def test_a_list_with_half_its_columns_missing_is_compared_by_the_rest(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    some = people(AMAL, AMAL_AGAIN).select(["record_id", "given_name", "family_name", "birth_date"])
    prepared = prepare(conn, "person", some, registry_fields())
    assert {f.problem.code for f in prepared.findings} == {"link_column_missing"}
    assert len(prepared.findings) == len(registry_fields().read) - 4
    assert prepared.people == 2


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        (pa.table({"name": ["x"]}), "link_record_missing"),
        (pa.table({"record_id": ["1"], "phone": ["2"]}), "link_nothing_to_compare"),
        (pa.table({"record_id": ["1", "1"], "given_name": ["a", "b"]}), "link_record_twice"),
    ],
)
def test_a_file_that_cannot_be_compared_is_refused(
    conn: duckdb.DuckDBPyConnection, table: pa.Table, problem: str
) -> None:
    with pytest.raises(Refusal) as refused:
        prepare(conn, "person", table, registry_fields())
    assert refused.value.problem.code == problem


def test_a_row_without_an_id_is_said_and_the_others_are_compared(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    table = pa.table({"record_id": ["1", None, " "], "given_name": ["a", "b", "c"]})
    prepared = prepare(conn, "person", table, registry_fields())
    assert "link_record_empty" in {finding.problem.code for finding in prepared.findings}
    assert prepared.people == 1


def test_a_fields_file_says_all_that_is_wrong_with_it() -> None:
    columns = "  a: colour\n  b: {role: identifier}\n  c: {role: sex, strong: true}\n"
    text = f"fields: 1\nrecord: id\ncolumns:\n{columns}"
    fields, findings = read_fields(text, "fields.yaml")
    assert fields is None
    assert sorted(finding.place.row or 0 for finding in findings) == [4, 5, 6]
    assert registry_fields().of(Role.ACCOUNT) == ["iban", "card_ref"]


def test_a_model_comes_back_from_its_json_and_no_other_does() -> None:
    model = shipped(registry_fields(), ("given_name", "birth_date", "identifier"), 500)
    assert Model.from_json(model.to_json()) == model
    assert replace(model, cap=9.0).digest != model.digest
    older = model.to_json().replace('"normaliser":"1"', '"normaliser":"0"')
    for text in ("", "{}", older):
        with pytest.raises(Refusal) as refused:
            Model.from_json(text)
        assert refused.value.problem.code == "link_model_unreadable"


def test_few_people_teach_nothing_and_the_shipped_model_stays(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    blocked = block(conn, prepare(conn, "person", people(AMAL, AMAL_AGAIN), registry_fields()))
    assert train(conn, blocked).trained == "shipped"


def test_the_weights_are_those_of_splinks_own_prediction(conn: duckdb.DuckDBPyConnection) -> None:
    from splink import DuckDBAPI, Linker, SettingsCreator

    sister: Row = {"given_name": "هند", "birth_date": "1992-05-04", "phone": "0532 123 45 76"}
    rows = [AMAL, AMAL_AGAIN, AMAL | sister, AMAL_AGAIN | {"birth_date": "1990-01-01"}] * 3
    blocked = block(conn, prepare(conn, "person", people(*rows), registry_fields()))
    model = replace(
        shipped(registry_fields(), blocked.prepared.facts, 20_000), review=-99.0, doubt=0.0
    )
    count_shares(conn, blocked.prepared, model, "shares", compared=2)
    conn.execute(
        f"CREATE TABLE whole AS SELECT * FROM person JOIN {blocked.keyed} USING (n)"
        " JOIN shares USING (n)"
    )
    ours = Register(conn, blocked, replace(model, cap=NO_CAP_BITS)).within().table
    settings = SettingsCreator.from_path_or_dict(model.settings(blocked.rules))
    linker = Linker(DuckDBAPI(conn).register("whole"), settings)
    theirs = linker.inference.predict(threshold_match_weight=-99).physical_name
    compared = conn.execute(
        f"SELECT o.score + 0, t.match_weight FROM {theirs} t JOIN {ours} o"
        " ON o.n_l = t.n_l AND o.n_r = t.n_r"
    ).fetchall()
    assert len(compared) > 20
    assert [score for score, _ in compared] == pytest.approx([weight for _, weight in compared])


def test_many_are_compared_in_parts_with_the_same_pairs(
    conn: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [AMAL, AMAL_AGAIN, AMAL | {"given_name": "هند"}, AMAL_AGAIN | {"given_name": "Hind"}] * 3
    blocked = block(conn, prepare(conn, "person", people(*rows), registry_fields()))
    model = shipped(registry_fields(), blocked.prepared.facts, 20_000)
    at_once = link(conn, blocked, model).pairs(conn)
    monkeypatch.setattr(linkage, "PEOPLE_AT_ONCE", 5)
    assert link(conn, blocked, model).pairs(conn).equals(at_once)
    assert at_once.num_rows > len(rows)


def test_what_every_stranger_shares_says_nothing_among_few_or_many(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    def shares(table: str, *rows: Row) -> dict[str, float]:
        prepared = prepare(conn, table, people(*rows), registry_fields())
        model = shipped(registry_fields(), prepared.facts, prepared.people)
        count_shares(conn, prepared, model, f"{table}_shares", compared=2)
        names = "tf_given_skeleton", "tf_place_1"
        query = f"SELECT {', '.join(names)} FROM {table}_shares ORDER BY n LIMIT 1"
        return dict(zip(names, conn.execute(query).fetchall()[0], strict=True))

    names = ("Amal", "Hind", "Dalal", "Rana", "Bushra", "Ghada", "Lubna", "Nadia")
    few = [AMAL | {"given_name": name} for name in names]
    assert shares("few", *few)["tf_given_skeleton"] < 0.0041  # no more than the shipped guess
    camp = [AMAL | {"given_name": names[i % 8], "district": "Camp 4"} for i in range(400)]
    found = shares("camp", *camp)
    assert found["tf_place_1"] > 0.85
    assert found["tf_given_skeleton"] == pytest.approx(1 / 8, rel=0.2)
    one_home = [row | {"household_id": "h", "district": "Camp 4"} for row in few]
    assert shares("home", *one_home)["tf_place_1"] < 0.011  # a household's own place


def test_two_estimated_years_that_differ_by_a_sign_are_no_slip_of_the_pen(
    conn: duckdb.DuckDBPyConnection,
) -> None:
    old = AMAL | {"birth_date": "1950-01-01", "phone": None}
    assert linked(conn, old, old | {"birth_date": "1990-01-01"})[1] == []


def test_the_settings_are_said_in_the_words_of_spark() -> None:
    from splink import SettingsCreator

    blocked_facts = ("given_name", "family_name", "father_name", "birth_date", "sex", "identifier",
                     "phone", "place_1", "detail_1")  # fmt: skip
    model = shipped(registry_fields(), blocked_facts, 1_000_000)
    for dialect in ("duckdb", "spark"):
        settings = model.settings(["l.key_given_day = r.key_given_day"], dialect)
        made = SettingsCreator.from_path_or_dict(settings).get_settings(dialect)
        assert [c.output_column_name for c in made.comparisons] == list(blocked_facts)
    text = str(model.settings([], "spark"))
    assert "jaro_winkler(" in text
    assert "jaro_winkler_similarity" not in text


def test_a_cluster_takes_the_strongest_links_and_breaks_no_guard() -> None:
    def record(name: str, roster: str = "", *numbers: str) -> Record:
        return Record(
            name, roster or name, {"tr_foreigner_id": frozenset(numbers)} if numbers else {}
        )

    records = [record("a", "h1"), record("b", "h2", "1"), record("c", "h3", "2"), record("d", "h1")]
    found, refused = clustered([("a", "b"), ("a", "c"), ("b", "d")], records)
    assert found["record_id"].to_pylist() == ["a", "b"]
    assert [(r.id_l, r.id_r, r.guard) for r in refused] == [
        ("a", "c", Guard.VETO), ("b", "d", Guard.ROSTER),
    ]  # fmt: skip
    chain = [record(str(i)) for i in range(8)]
    found, refused = clustered([(str(i), str(i + 1)) for i in range(7)], chain)
    assert found.num_rows == 6 + 2
    assert [r.guard for r in refused] == [Guard.SIZE]


def test_names_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with engine(100, 2) as conn:
        rows = [AMAL | {"given_name": f"Wonderful {i}"} for i in range(3_000)]
        prepare(conn, "person", people(*rows), registry_fields())
        with pytest.raises(duckdb.OutOfMemoryException):
            conn.execute(
                "CREATE TABLE more AS SELECT given_written || i AS name, random() AS r"
                " FROM person, range(2000) t(i)"
            )
    assert list(tmp_path.rglob("*")) == []


def test_a_folder_for_what_does_not_fit_is_closed_and_encrypted_or_refused(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    kept: list[bytes] = []
    problem = None
    try:
        with engine(100, 2, spill) as conn:
            conn.execute(
                "CREATE TABLE t AS SELECT 'Wonderful Person ' || i AS name, random() AS r"
                " FROM range(4000000) t(i)"
            )
            kept = [path.read_bytes() for path in spill.iterdir()]
    except Refusal as refused:
        problem = refused.problem.code
    assert problem == "spill_unsafe" or kept
    assert not any(b"Wonderful" in content for content in kept)
    assert list(spill.iterdir()) == []
    assert spill.stat().st_mode & 0o777 == 0o700


def test_hot_blocks_are_counted_before_they_are_made(conn: duckdb.DuckDBPyConnection) -> None:
    rows: list[Row] = [
        AMAL | {"phone": None, "birth_date": "1990-01-01", "mother_name": f"M{i}ra"}
        for i in range(1_300)
    ]
    blocked: Blocked = block(conn, prepare(conn, "person", people(*rows), registry_fields()))
    left = {finding.facts["key"] for finding in blocked.findings}
    assert "one_other_father_year" in left
    assert blocked.findings[0].problem.code == "link_blocks_left"
    counted = conn.execute(
        f"SELECT count(*) FROM {blocked.keyed} WHERE key_one_other_father_year IS NOT NULL"
    ).fetchall()
    assert counted == [(0,)]
