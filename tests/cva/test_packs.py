"""Published packs take two people and never change; runs are explained and made again."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg
import pytest

from cva import explaining, replaying, staff
from cva.assessing import Run, assess_cycle
from cva.clock import Clock, FixedClock
from cva.database.connect import Role
from cva.programmes import packs, publishing
from cva.programmes.loading import SHIPPED, load
from cva.programmes.naming import pack_named
from cva.programmes.packs import PublishedPack
from eligibility.packs import shipped_packs
from eligibility.rules.checked import load_pack
from eligibility.rules.pack import RulePack
from eligibility.rules.phrases import Language
from ledgers.problems import Refusal
from tests.cva.registration import AT, FIELDS, LAYLA, OWN, WORDS, Office, open_office, record
from tests.databases import Database

ESSN = load_pack(shipped_packs()["essn-2023"])
MARKET = load(SHIPPED / "market-card.yaml")


@dataclass
class Team:
    """Amal and Selin run programmes, Deniz is in finance, Ines audits."""

    office: Office
    selin: str
    deniz: str
    ines: str

    @property
    def conn(self) -> psycopg.Connection:
        return self.office.conn

    def publish(self, pack: RulePack, person_id: str) -> PublishedPack:
        done = packs.publish(self.conn, pack, person_id=person_id, passphrase=WORDS, at=AT)
        self.conn.commit()
        return done


@pytest.fixture
def team(app: psycopg.Connection) -> Team:
    office = open_office(app)
    people = []
    roles = {
        "selin": staff.Role.PROGRAMME, "deniz": staff.Role.FINANCE, "ines": staff.Role.AUDITOR,
    }  # fmt: skip
    for login, role in roles.items():
        person = staff.add_person(app, office.rana, login, login.title(), WORDS, AT).person_id
        staff.grant_role(app, office.rana, OWN, person, role, AT)
        people.append(person)
    app.commit()
    return Team(office, *people)


# --- two people -------------------------------------------------------------------------------


def test_a_pack_is_proposed_by_one_and_published_by_another(team: Team, tmp_path: Path) -> None:
    proposed = team.publish(ESSN, team.office.amal)
    with pytest.raises(Refusal, match="pack_same_person"):
        team.publish(ESSN, team.office.amal)
    published = team.publish(ESSN, team.deniz)

    assert proposed == PublishedPack("essn-2023", None, ESSN.pack_hash, "amal", None)
    assert published == PublishedPack("essn-2023", 1, ESSN.pack_hash, "amal", "deniz")
    assert packs.listed(team.conn) == [published]
    assert packs.published_pack(team.conn, "essn-2023", 1).document() == ESSN.document()
    assert team.publish(ESSN, team.office.amal) == published
    signed = team.conn.execute(
        "SELECT s.public_key, x.signature FROM (SELECT person_id, signature FROM"
        " programme.pack_proposal UNION ALL SELECT person_id, signature FROM programme.pack) x"
        " JOIN staff.person s USING (person_id)"
    ).fetchall()
    digest = bytes.fromhex(ESSN.pack_hash)
    assert [staff.verify(key, digest, signature) for key, signature in signed] == [True, True]
    named_by_code_version_or_file(team, tmp_path)


def named_by_code_version_or_file(team: Team, folder: Path) -> None:
    file = folder / "own.yaml"
    file.write_text(shipped_packs()["pmt"].read_text(encoding="utf-8"), encoding="utf-8")

    def published(code: str, version: int) -> RulePack:
        return packs.published_pack(team.conn, code, version)

    named = [pack_named(name, published).code for name in ("essn-2023@1", "c-essn", str(file))]
    assert named == ["essn-2023", "c-essn", "pmt"]
    for name in ("nowhere", "nowhere.yaml"):
        with pytest.raises(Refusal, match="pack_unknown"):
            pack_named(name, published)
    with pytest.raises(Refusal, match="pack_unknown"):
        pack_named("essn-2023@1")
    with pytest.raises(Refusal, match="pack_not_published"):
        packs.published_pack(team.conn, "essn-2023", 3)


INSERT = "INSERT INTO programme.pack (code, version, hash, signature, person_id, at)"
VALUES = " SELECT %s, %s, %s, decode(repeat('00', 64), 'hex'), %s, %s"
CHANGES = (
    "UPDATE programme.pack SET version = 2",
    "DELETE FROM programme.pack",
    "UPDATE programme.pack_proposal SET document = '{}'",
    "DELETE FROM programme.pack_proposal",
    "DELETE FROM assessment.snapshot_part",
)


def test_the_database_holds_two_people_and_permanence_against_raw_sql(team: Team) -> None:
    amal, selin, digest = team.office.amal, team.selin, bytes.fromhex(ESSN.pack_hash)

    def refused(statement: str, *values: object) -> str:
        with pytest.raises(psycopg.DatabaseError) as error:
            team.conn.execute(statement, values)
        team.conn.rollback()
        return error.value.diag.message_primary or ""

    assert refused(INSERT + VALUES, "essn-2023", 1, digest, selin, AT) == "pack_not_proposed"
    with pytest.raises(Refusal, match="role_missing"):
        team.publish(ESSN, team.ines)
    team.publish(ESSN, amal)
    assert refused(INSERT + VALUES, "essn-2023", 1, digest, amal, AT) == "pack_same_person"
    assert refused(INSERT + VALUES, "essn-2023", 7, digest, selin, AT) == "pack_version_taken"
    assert refused(INSERT + VALUES, "essn-2023", 1, digest, team.ines, AT) == "role_missing"
    team.publish(ESSN, selin)
    assert [bool(refused(change)) for change in CHANGES] == [True] * len(CHANGES)

    changed = ESSN.model_copy(update={"score": "dependants + 1"})
    assert team.publish(changed, selin).version is None
    assert team.publish(changed, amal).version == 2
    assert [item.version for item in packs.listed(team.conn)] == [2, 1]


# --- explained and made again -----------------------------------------------------------------


@pytest.fixture
def clock() -> Clock:
    return FixedClock(AT)


@dataclass
class Assessed:
    """A cycle of the market card over a few households, assessed once."""

    office: Office
    database: Database
    cycle_id: str
    run: Run
    work: Path
    clock: Clock

    @property
    def households(self) -> list[str]:
        rows = self.office.conn.execute(
            "SELECT household_id FROM assessment.decision WHERE run_id = %s ORDER BY household_id",
            (self.run.run_id,),
        ).fetchall()
        return [row[0] for row in rows]

    def again(self) -> replaying.Replay:
        folder = self.work / "replay"
        folder.mkdir(exist_ok=True)
        return replaying.replay(self.office.conn, self.run.run_id, folder)


@pytest.fixture
def assessed(database: Database, tmp_path: Path, clock: Clock) -> Iterator[Assessed]:
    conn = database.connect()
    office = open_office(conn)
    for at, (province, rcsi) in enumerate(
        [("TR-01", "40"), ("TR-01", "18"), ("TR-63", "19"), ("TR-06", "50"), ("TR-34", "")]
    ):
        answers = {"rcsi": rcsi} if rcsi else {}
        fields = {**FIELDS, "province": province, "voucher_card_ref": f"VC-0000{at:04}"}
        office.take(
            record(str(1000 + at), fields=fields, answers=answers, members=(LAYLA,)),
            file=f"{at}.json",
        )
    published = publishing.publish(conn, MARKET, person_id=office.amal, at=AT)
    assert published.version == 1
    cycle = publishing.open_cycle(
        conn, "market-card", "2026-03", date(2026, 3, 1), date(2026, 3, 31),
        person_id=office.amal, at=AT,
    )  # fmt: skip
    conn.commit()
    run = assess_cycle(
        database.engine(), cycle.cycle_id, person_id=office.amal, clock=clock,
        work=tmp_path / "work",
    )  # fmt: skip
    yield Assessed(office, database, cycle.cycle_id, run, tmp_path, clock)
    conn.rollback()


def test_a_run_comes_out_the_same_bytes_and_rows_again(assessed: Assessed) -> None:
    before = assessed.again()
    stored = assessed.office.one(
        "SELECT encode(snapshot_sha256, 'hex'), encode(pack_hash, 'hex'),"
        " encode(decisions_sha256, 'hex'), registered FROM assessment.run"
    )
    hashes = (before.snapshot_sha256, before.pack_hash, before.decisions_sha256)
    assert (*hashes, before.households) == stored

    # The registry goes on, and the run still comes out the same.
    assessed.office.take(
        record("1000", "r2", answers={"rcsi": "1"}, members=(LAYLA,)), file="later.json"
    )
    assessed.office.conn.commit()
    assert assessed.again() == before
    with pytest.raises(Refusal, match="run_unknown"):
        replaying.replay(assessed.office.conn, "run_none", assessed.work)


def test_every_household_of_a_run_is_explained_in_three_languages(assessed: Assessed) -> None:
    conn, work = assessed.office.conn, assessed.work / "why"
    for language in Language:
        told = [
            explaining.explain_stored(conn, household, "", work, language)
            for household in assessed.households
        ]
        # One is served and four are not, each for a reason of its own.
        assert len({lines[0].text for lines in told}) == 2
        assert len({tuple(line.text for line in lines[2:]) for lines in told}) == 5
        for lines in told:
            text = "\n".join(line.text for line in lines)
            assert assessed.run.run_id in text
            assert MARKET.rules.pack_hash[:16] in text
            labels = [str(getattr(rule.label, language)) for rule in MARKET.rules.criteria]
            assert [label for label in labels if label not in text] == []
    with pytest.raises(Refusal, match="household_not_decided"):
        explaining.explain_stored(conn, "hh_none", "", work, Language.EN)


def test_what_was_changed_behind_our_back_is_found(assessed: Assessed) -> None:
    owner = assessed.database.connect(Role.OWNER)
    owner.execute("ALTER TABLE assessment.decision DISABLE TRIGGER append_only_rows")
    owner.execute("ALTER TABLE assessment.snapshot_part DISABLE TRIGGER append_only_rows")
    owner.execute("ALTER TABLE programme.programme DISABLE TRIGGER append_only_rows")
    score = "UPDATE programme.programme SET document = jsonb_set(document, '{rules,score}', %s)"
    owner.execute(score, ('"rcsi + 1"',))
    owner.commit()
    with pytest.raises(Refusal, match="replay_other_rules"):
        assessed.again()
    assessed.office.conn.rollback()
    owner.execute(score, ('"rcsi"',))
    owner.execute("UPDATE assessment.decision SET pass_bits = pass_bits + 1024 WHERE selected")
    owner.commit()
    with pytest.raises(Refusal, match=r"replay_differs: .* 2 stored rows differ.* is the same"):
        assessed.again()
    conn = assessed.office.conn
    conn.rollback()
    (served,) = assessed.office.one("SELECT household_id FROM assessment.decision WHERE selected")
    with pytest.raises(Refusal, match="explain_differs"):
        explaining.explain_stored(conn, str(served), "", assessed.work, Language.EN)
    conn.rollback()
    owner.execute(
        "UPDATE assessment.snapshot_part SET content = content || 'x' WHERE file = 'members'"
    )
    owner.commit()
    with pytest.raises(Refusal, match="snapshot_changed"):
        assessed.again()
    conn.rollback()
    owner.execute("DELETE FROM assessment.snapshot_part")
    owner.commit()
    with pytest.raises(Refusal, match="snapshot_not_kept"):
        assessed.again()
