"""Two agencies' lists of one city: who is on both, what both give, and what the policy makes of it.

The people are those of the generated registry: who was registered twice was mostly registered by
both agencies, by clerks with other habits. Each household has assistance of its agency for some
needs and months, so that of the people on both lists only some overlap in need and period.

*Expected* is what the policy says where it is known who is who; *found* what it says of the links.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.random import Generator

from eligibility.duplicates import blocking, linkage, training
from eligibility.duplicates.engine import engine
from eligibility.duplicates.fields import registry_fields
from eligibility.duplicates.overlap import (
    ACTS,
    ASSISTANCE,
    HOUSEHOLD_LINKS,
    PERSON_LINKS,
    ROSTER,
    Lists,
    Overlap,
    overlaps_of,
)
from eligibility.duplicates.overlap.policy import DEFAULT, load
from eligibility.duplicates.overlap.sets import judged
from eligibility.duplicates.preparing import prepare
from eligibility.duplicates.shapes import Band
from tests.benchmarks.duplicates.accuracy import MEMORY_MB, THREADS, rows_of
from tests.benchmarks.duplicates.numbers import Truths, Whole
from tests.benchmarks.duplicates.registry import Registry, generate

AGENCIES = ("Mercy Hands", "Aid Bridge")
# What each agency gives: need, months of 2026 from and until, one-off.
GIVEN = {
    "Mercy Hands": (("shelter", 1, 3, False), ("education", 1, 6, False),
                    ("livelihood", 1, 1, True)),
    "Aid Bridge": (("shelter", 3, 4, False), ("education", 7, 9, False), ("livelihood", 2, 2, True),
                   ("health", 1, 6, False)),
}  # fmt: skip


@dataclass(frozen=True)
class Agencies:
    """The registry cut into two lists, and the assistance of both."""

    registry: Registry
    theirs: Truths
    assistance: pa.Table
    roster: pa.Table

    def people(self, *, theirs: bool) -> pa.Table:
        """Return the people on one of the two lists."""
        return self.registry.people.filter(pa.array(self.theirs == theirs))

    def lists(self, links: pa.Table) -> Lists:
        """Return what is judged, with these links of people."""
        return Lists(
            self.assistance, self.roster, links, HOUSEHOLD_LINKS.empty_table(), ACTS.empty_table()
        )

    def true_links(self) -> pa.Table:
        """Return the links between the two lists of somebody who knows who is who."""
        left, right = self.registry.true_pairs()
        across = self.theirs[left] != self.theirs[right]
        return self._links(left[across], right[across], np.full(int(across.sum()), "confirmed"))

    def found_links(self) -> pa.Table:
        """Return the links that are found: certain where nobody has to look, else possible."""
        pairs = between(self.people(theirs=False), self.people(theirs=True))
        left, right = rows_of(pairs)
        automatic = np.array(pairs["band"].to_pylist()) == Band.AUTOMATIC
        return self._links(left, right, np.where(automatic, "confirmed", "possible"))

    def _links(self, left: Whole, right: Whole, strength: np.ndarray) -> pa.Table:
        names = self.registry.people["record_id"]
        columns = [names.take(pa.array(left)), names.take(pa.array(right)), pa.array(strength)]
        return pa.Table.from_arrays(
            [c.combine_chunks() if isinstance(c, pa.ChunkedArray) else c for c in columns],
            names=PERSON_LINKS.names,
        ).cast(PERSON_LINKS)


def between(held: pa.Table, new: pa.Table) -> pa.Table:
    """Return the pairs of a person held and a new one; the shares are learned from those held."""
    with engine(MEMORY_MB, THREADS) as conn:
        blocked = blocking.block(conn, prepare(conn, "held", held, registry_fields()))
        model = training.train(conn, blocked)
        fresh = blocking.block_like(conn, prepare(conn, "new", new, registry_fields()), blocked)
        return linkage.link_new(conn, blocked, fresh, model).pairs(conn)


def two_agencies(people: int) -> Agencies:
    """Return two lists of about as many `people` each."""
    registry = generate(2 * people)
    generator = np.random.default_rng(7)
    home = np.array(registry.people["household_id"].to_pylist())
    homes, of = np.unique(home, return_inverse=True)
    only_second = np.ones(len(homes), dtype=bool)
    np.logical_and.at(only_second, of, registry.second)
    twice = np.zeros(len(homes), dtype=bool)
    twice[of[np.isin(registry.person, registry.person[registry.second])]] = True
    theirs_of_home = np.where(twice, only_second, generator.random(len(homes)) < 0.5)
    return Agencies(
        registry, theirs_of_home[of], _assistance(generator, homes, theirs_of_home),
        _roster(registry),
    )  # fmt: skip


def _assistance(generator: Generator, homes: np.ndarray, theirs: Truths) -> pa.Table:
    """Return one or two records for each household."""
    rows = [
        _record(name, AGENCIES[is_theirs], *choice, day)
        for name, is_theirs, draws, day in zip(
            homes.tolist(), theirs.astype(int).tolist(), generator.random((len(homes), 2)).tolist(),
            generator.permutation(len(homes)).tolist(), strict=True,
        )
        for choice in _chosen(AGENCIES[is_theirs], draws)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=ASSISTANCE)


def _chosen(agency: str, draws: list[float]) -> Iterator[tuple[str, int, int, bool]]:
    kinds = GIVEN[agency]
    first = int(draws[0] * len(kinds))
    yield kinds[first]
    second = int(draws[1] * 2 * len(kinds))
    if second < len(kinds) and second != first:
        yield kinds[second]


def _record(
    home: str, agency: str, need: str, first: int, last: int, one_off: bool, order: int  # noqa: FBT001 - a column
) -> dict[str, object]:  # fmt: skip
    return {
        "record_id": f"{agency}/{home}/{need}", "agency": agency, "programme": f"any-{need}",
        "recipient_id": home, "unit": "household", "need": need, "modality": "cash",
        "first_day": date(2026, first, 1), "last_day": date(2026, last, 28), "one_off": one_off,
        "status": "committed",
        "committed_at": datetime.fromtimestamp(1_760_000_000 + order, tz=UTC),
    }  # fmt: skip


def _roster(registry: Registry) -> pa.Table:
    people = registry.people
    nothing = pa.nulls(people.num_rows, pa.date32())
    return pa.Table.from_arrays(
        [
            people["household_id"], people["record_id"],
            pc.equal(people["relationship"], "head"), nothing, nothing,
        ],
        schema=ROSTER,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Compared:
    """What is expected and what is found, by the two records."""

    records: int
    expected: dict[tuple[str, str], Overlap]
    found: dict[tuple[str, str], Overlap]

    @property
    def recall(self) -> float:
        """The share of the expected overlaps that are found, with whatever verdict."""
        return len(self.expected.keys() & self.found.keys()) / len(self.expected)

    @property
    def stopped_wrongly(self) -> list[Overlap]:
        """Overlaps found for certain of people who are not the same."""
        return [
            overlap for key, overlap in self.found.items()
            if key not in self.expected and overlap.verdict == "stop"
        ]  # fmt: skip

    @property
    def held_wrongly(self) -> list[Overlap]:
        """Overlaps found as possible of people who are not the same."""
        return [
            overlap for key, overlap in self.found.items()
            if key not in self.expected and overlap.verdict == "hold"
        ]  # fmt: skip


def compared(agencies: Agencies) -> Compared:
    """Judge both lists twice: as somebody who knows who is who, and by the links found."""
    policy = load(DEFAULT)

    def keyed(links: pa.Table) -> dict[tuple[str, str], Overlap]:
        with duckdb.connect() as connection:
            overlaps = overlaps_of(judged(connection, agencies.lists(links), policy))
        return {(overlap.first_id, overlap.second_id): overlap for overlap in overlaps}

    records = agencies.assistance.num_rows
    return Compared(records, keyed(agencies.true_links()), keyed(agencies.found_links()))
