"""How good the links of the generated registry are: by band, by script, and who is stopped wrongly.

*Precision* is the share of the links that are true, *recall* the share of the true pairs that are
links, *F1* their harmonic mean. A *wrong stop* is a record of somebody registered once that is in
a link all the same: their payment waits for a person to look.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from eligibility.duplicates import blocking, linkage, training
from eligibility.duplicates.engine import engine
from eligibility.duplicates.fields import registry_fields
from eligibility.duplicates.preparing import prepare
from eligibility.duplicates.shapes import Band
from tests.benchmarks.duplicates.numbers import Truths, Whole
from tests.benchmarks.duplicates.records import ORIGINS
from tests.benchmarks.duplicates.registry import Registry

MEMORY_MB = 3_000
THREADS = 2
SCRIPTS = ("both in Arabic letters", "one in Arabic letters", "both in Latin letters")
PRECISION_MIN = 0.998  # of the automatic band
RECALL_MIN = 0.95  # of automatic and review
F1_MIN = 0.97  # of automatic and review
PER = 10_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Links made, links that are true, and true pairs there were to be found."""

    links: int
    true: int
    pairs: int

    @property
    def precision(self) -> float:
        """The share of the links that are true; 1 where there is none."""
        return self.true / self.links if self.links else 1.0

    @property
    def recall(self) -> float:
        """The share of the true pairs that are links; 1 where there is none."""
        return self.true / self.pairs if self.pairs else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of both."""
        total = self.links + self.pairs
        return 2 * self.true / total if total else 1.0


@dataclass(frozen=True, slots=True)
class Stops:
    """Records of people registered once, and how many of them are stopped, by band."""

    group: str
    records: int
    review: int
    automatic: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What the links of a registry are worth."""

    records: int
    bands: Mapping[str, Rates]
    scripts: Mapping[str, Rates]
    stops: tuple[Stops, ...]
    close_automatic: int
    close_review: int

    @property
    def automatic(self) -> Rates:
        """Links that nobody looks at."""
        return self.bands[Band.AUTOMATIC]

    @property
    def found(self) -> Rates:
        """Links of both bands."""
        return self.bands["automatic and review"]


def linked(people: pa.Table) -> pa.Table:
    """Return the pairs of the people, trained on them without labels."""
    with engine(MEMORY_MB, THREADS) as conn:
        blocked = blocking.block(conn, prepare(conn, "person", people, registry_fields()))
        model = training.train(conn, blocked)
        return linkage.link(conn, blocked, model).pairs(conn)


def rows_of(pairs: pa.Table) -> tuple[Whole, Whole]:
    """Return the rows of both records of each pair: the number in their ids."""
    left, right = (
        np.array([int(name[1:]) for name in pairs[column].to_pylist()], dtype=np.int64)
        for column in ("id_l", "id_r")
    )
    return np.minimum(left, right), np.maximum(left, right)


def measured(registry: Registry, pairs: pa.Table) -> Accuracy:
    """Return what the `pairs` found in a registry are worth."""
    left, right = rows_of(pairs)
    band = np.array(pairs["band"].to_pylist())
    automatic = band == Band.AUTOMATIC
    true = registry.person[left] == registry.person[right]
    first, second = registry.true_pairs()
    bands = {
        Band.AUTOMATIC.value: Rates(
            int(automatic.sum()), int((automatic & true).sum()), len(first)
        ),
        Band.REVIEW.value: Rates(
            int((~automatic).sum()), int((~automatic & true).sum()), len(first)
        ),
        "automatic and review": Rates(len(left), int(true.sum()), len(first)),
    }
    found, there = _scripts(registry, left, right), _scripts(registry, first, second)
    scripts = {
        name: Rates(
            int((found == at).sum()), int(((found == at) & true).sum()), int((there == at).sum())
        )
        for at, name in enumerate(SCRIPTS)
    }
    close = registry.close[left] | registry.close[right]
    return Accuracy(
        len(registry.person), bands, scripts,
        tuple(_stops(registry, left[~true], right[~true], automatic[~true])),
        int((close & automatic).sum()), int((close & ~automatic).sum()),
    )  # fmt: skip


def _scripts(registry: Registry, left: Whole, right: Whole) -> Whole:
    return 2 - registry.native[left].astype(int) - registry.native[right]


def _stops(registry: Registry, left: Whole, right: Whole, automatic: Truths) -> Iterator[Stops]:
    count = np.bincount(registry.person)
    once = count[registry.person] == 1
    stopped = {
        name: np.isin(np.arange(len(once)), np.concatenate([left[of], right[of]]))
        for name, of in (("review", ~automatic), ("automatic", automatic))
    }
    days = registry.people["birth_date"].to_pylist()
    new_year = np.array([day.endswith("-01-01") for day in days])
    groups = {
        f"{origin}, {script}": (registry.origin == at) & (registry.native == native)
        for at, origin in enumerate(ORIGINS)
        for script, native in (("Arabic letters", True), ("Latin letters", False))
    }
    groups["born on 1 January"] = new_year
    groups["of a close family"] = registry.close
    groups["everybody"] = np.ones(len(once), dtype=bool)
    for name, chosen in groups.items():
        members = once & chosen
        if members.any():
            yield Stops(
                name, int(members.sum()), int((stopped["review"] & members).sum()),
                int((stopped["automatic"] & members).sum()),
            )  # fmt: skip
