"""Two agencies of one city: what both give the same people is found before it is paid.

Small here; `make proof` takes lists of 50,000 people each (CVA_AGENCY_PEOPLE).
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from adapters.port import Record
from cva.database.connect import transaction
from cva.identifiers import new_id
from cva.registry.importing import Origin, find_import, take
from ledgers.problems import Place
from tests.benchmarks.duplicates.agencies import Agencies, two_agencies
from tests.cva.payments.agency import BEGINS, FIRST_DAY, VAULT, Agency
from tests.databases import Database

PEOPLE = int(os.environ.get("CVA_AGENCY_PEOPLE", "600"))
RECALL_MIN = 0.9
_SELECTED = """
    INSERT INTO assessment.decision (run_id, household_id, version_id, status, pass_bits,
      unknown_bits, tie_key, rank, selected, amount_minor, currency, people, people_from, reason)
    SELECT %(run)s, household_id, version_id, 'eligible', 1, 0, household_id,
           row_number() OVER (ORDER BY household_id), true, 3000, 'TRY', roster_size, 'roster',
           'served'
    FROM registry.live
"""
_RUN = """
    INSERT INTO assessment.run (run_id, cycle_id, snapshot_sha256, decisions_sha256, pack_hash,
      reference_date, seed, registered, eligible, review, selected, person_id, at)
    SELECT %(run)s, %(cycle)s, sha256('a'), sha256('b'), sha256('c'), %(on)s, 'seed', count(*),
           count(*), 0, count(*), %(amal)s, %(at)s FROM registry.live
"""


def by_household(city: Agencies, *, theirs: bool) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in city.people(theirs=theirs).to_pylist():
        found[row["household_id"]].append({k: v for k, v in row.items() if v is not None})
    return found


def registrations(city: Agencies) -> Iterator[Record]:
    for number, (home, people) in enumerate(by_household(city, theirs=False).items(), start=1):
        fields = {
            "consent_given": "yes", "province": people[0].get("province", ""),
            "district": people[0].get("district", ""), "phone": people[0].get("phone", ""),
            "voucher_card_ref": f"VC-{number:08d}",
        }  # fmt: skip
        place = Place("city.json", row=number)
        yield Record(place, home, "1", BEGINS, fields, people, {})


def their_list(city: Agencies) -> Iterator[Mapping[str, str]]:
    given = defaultdict(list)
    for record in city.assistance.to_pylist():
        given[record["recipient_id"]].append(record)
    for home, people in by_household(city, theirs=True).items():
        for record in given[home]:
            for person in people:
                told = {
                    **person, "record_ref": record["record_id"], "household_ref": home,
                    "person_ref": person["record_id"], "need": record["need"],
                    "first_day": record["first_day"].isoformat(),
                    "last_day": record["last_day"].isoformat(), "status": "committed",
                    "one_off": "yes" if record["one_off"] else "no",
                    "committed_at": record["committed_at"].isoformat(),
                }  # fmt: skip
                yield {k: v for k, v in told.items() if k in COLUMNS}


COLUMNS = frozenset({
    "record_ref", "household_ref", "person_ref", "need", "first_day", "last_day", "status",
    "one_off", "committed_at", "given_name", "family_name", "father_name", "mother_name", "sex",
    "birth_date", "birth_date_precision", "id_type", "id_number", "registration_number", "phone",
    "province", "district",
})  # fmt: skip


def overlapping(city: Agencies) -> set[str]:
    """Our households of which somebody truly has the rent of March from the others."""
    rent = {
        record["recipient_id"]
        for record in city.assistance.to_pylist()
        if record["need"] == "shelter" and record["last_day"] >= FIRST_DAY
    }
    home = dict(city.registry.people.select(["record_id", "household_id"]).to_pandas().to_numpy())
    ours = {row["household_id"] for row in city.people(theirs=False).to_pylist()}
    links = city.true_links().to_pylist()
    sides = [(home[link["left_id"]], home[link["right_id"]]) for link in links]
    turned = [(right, left) for left, right in sides]
    return {left for left, right in [*sides, *turned] if left in ours and right in rent - ours}


def found(agency: Agency, query: str) -> set[str]:
    rows = agency.rows(query)
    return {agency.names[household_id] for (household_id,) in rows}


def test_what_two_agencies_give_twice_is_found_before_release_and_nothing_else_is_stopped(
    database: Database, tmp_path: Path
) -> None:
    city = two_agencies(PEOPLE)
    agency = Agency(database, tmp_path, "card_processor", need="shelter")
    agency.found()
    with transaction(agency.engine) as conn:
        origin = Origin("city", "city.json", bytes(32), {})
        assert find_import(conn, origin) is None
        by = (agency.id_of("amal"), agency.clock.now())
        take(conn, VAULT, origin, registrations(city), by)
        for household_id, key in conn.execute(
            "SELECT household_id, record_key FROM registry.household"
        ):
            agency.names[household_id] = key
        homes = {
            VAULT.record_token("city", home): home for home in by_household(city, theirs=False)
        }
        agency.names = {one: homes[key] for one, key in agency.names.items()}
        values = {
            "run": new_id("run", agency.clock.now()), "cycle": agency.cycle_id, "on": FIRST_DAY,
            "amal": agency.id_of("amal"), "at": agency.clock.now(),
        }  # fmt: skip
        conn.execute(_RUN, values)
        conn.execute(_SELECTED, values)
    taken = agency.take_list(their_list(city), "BRIDGE")
    assert taken.refused == 0

    plan = agency.prepare()

    stopped = "SELECT household_id FROM payments.line WHERE stopped"
    certain = found(agency, f"{stopped} = 'other_agency'")
    possible = found(agency, f"{stopped} = 'possible_overlap'")
    exact = found(agency, f"{stopped} = 'duplicate'")
    truth = overlapping(city)
    assert len(truth) >= 3
    assert certain <= truth  # nobody is stopped for certain who is not helped twice
    assert len((certain | possible | exact) & truth) >= RECALL_MIN * len(truth)
    wrong = agency.rows(
        "SELECT a.need FROM duplicates.overlap_now o JOIN duplicates.assisted a USING (record_key)"
        " WHERE o.verdict IN ('stop', 'hold', 'cap')"
        " AND (a.need <> 'shelter' OR a.last_day < %s)", FIRST_DAY,
    )  # fmt: skip
    assert wrong == []
    others = agency.rows(
        "SELECT DISTINCT stopped FROM payments.line WHERE stopped NOT IN"
        " ('other_agency', 'possible_overlap', 'duplicate', 'no_destination',"
        "  'doubtful_destination')"
    )
    assert others == []
    agency.released(plan)
