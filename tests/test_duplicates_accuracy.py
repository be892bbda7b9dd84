"""The links of a generated registry hold the floors of accuracy; two lists are told apart.

Small here; `CVA_DUPLICATES_RECORDS` and `CVA_AGENCY_PEOPLE` set the sizes of `make proof`.
"""

import os
from datetime import date

import pyarrow as pa
import pytest

from tests.benchmarks.duplicates.accuracy import (
    F1_MIN,
    PRECISION_MIN,
    RECALL_MIN,
    Accuracy,
    Rates,
    linked,
    measured,
)
from tests.benchmarks.duplicates.agencies import AGENCIES, Compared, compared, two_agencies
from tests.benchmarks.duplicates.registry import Registry, generate
from tests.benchmarks.duplicates.report import Floor, Race, accuracy_floors, page
from tests.benchmarks.duplicates.speed import Piece, Took

RECORDS = int(os.environ.get("CVA_DUPLICATES_RECORDS", "10000"))
AGENCY_PEOPLE = int(os.environ.get("CVA_AGENCY_PEOPLE", "2000"))
HELD_WRONGLY_MAX = 0.01  # of all records; they lapse into payment


@pytest.fixture(scope="module")
def registry() -> Registry:
    return generate(RECORDS)


@pytest.fixture(scope="module")
def found(registry: Registry) -> Accuracy:
    return measured(registry, linked(registry.people))


@pytest.fixture(scope="module")
def both() -> Compared:
    return compared(two_agencies(AGENCY_PEOPLE))


def test_automatic_links_are_true(found: Accuracy) -> None:
    assert found.automatic.links > len(found.bands)
    assert found.automatic.precision >= PRECISION_MIN


def test_people_registered_twice_are_found(found: Accuracy) -> None:
    assert found.found.recall >= RECALL_MIN
    assert found.found.f1 >= F1_MIN


def test_nobody_of_a_close_family_is_linked_without_a_look(found: Accuracy) -> None:
    close = next(stops for stops in found.stops if stops.group == "of a close family")
    assert close.records > RECORDS // 10
    assert found.close_automatic == 0


def test_every_group_is_told_beside_everybody(found: Accuracy) -> None:
    groups = {stops.group: stops for stops in found.stops}
    everybody = groups["everybody"]
    of_people = [stops.records for name, stops in groups.items() if "letters" in name]
    assert sum(of_people) == everybody.records
    assert {"syrian, Arabic letters", "host, Latin letters", "born on 1 January"} <= set(groups)


def test_page_has_floors_groups_and_parameters(found: Accuracy) -> None:
    ours = Piece({"learn": Took(9.0, 9.0), "link": Took(1.1, 1.0)}, 900, 5)
    race = Race("link", ours, Piece({"link": Took(1.0, 1.0)}, 800, 5), 1.2, ("link",))
    text = page(found, [race], date(2026, 3, 2))
    assert text.startswith(f"# Duplicates: {found.records:,} records, 2026-03-02\n")
    assert all(str(floor) in text for floor in accuracy_floors(found))
    assert all(f"| {stops.group} |" in text for stops in found.stops)
    assert "| link: times plain, clock | 1.1 | ≤ 1.2 | within |" in text
    assert "people: 0.08" in text


def test_a_link_to_a_stranger_costs_precision_and_stops_two(registry: Registry) -> None:
    strangers = [row for row in range(40) if not registry.second[row]][:2]
    names = registry.people["record_id"].to_pylist()
    wrong = pa.table({
        "id_l": [names[strangers[0]]], "id_r": [names[strangers[1]]], "band": ["automatic"],
    })  # fmt: skip
    judged = measured(registry, wrong)
    pairs = len(registry.true_pairs()[0])
    assert judged.automatic == Rates(1, 0, pairs)
    assert judged.automatic.precision == 0
    assert judged.stops[-1].automatic > 0


@pytest.mark.parametrize(
    ("floor", "verdict"),
    [
        (Floor("share", 0.95, 0.95, least=True), "within"),
        (Floor("share", 0.949, 0.95, least=True), "MISSED"),
        (Floor("links", 1, 0), "MISSED"),
        (Floor("times", 1.3, 1.2, timed=True), "note"),
        (Floor("times", 1.9, 1.2, timed=True), "MISSED"),
    ],
)
def test_a_missed_share_is_missed_and_slow_seconds_are_a_note(floor: Floor, verdict: str) -> None:
    assert floor.verdict == verdict


def test_what_two_agencies_both_give_is_found(both: Compared) -> None:
    assert len(both.expected) > AGENCY_PEOPLE // 100
    assert both.recall >= RECALL_MIN
    assert {overlap.verdict for overlap in both.expected.values()} == {"stop", "hold"}


def test_nobody_else_is_stopped(both: Compared) -> None:
    assert both.stopped_wrongly == []
    assert len(both.held_wrongly) <= HELD_WRONGLY_MAX * both.records
    assert all(overlap.lapses for overlap in both.held_wrongly)
    found = both.found.values()
    assert all(
        {o.first_id.split("/")[0], o.second_id.split("/")[0]} == set(AGENCIES) for o in found
    )
    assert all(overlap.relation == "same" for overlap in found)
