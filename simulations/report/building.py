"""From a projection to its report: what the question asks for first, then what all have in common.

The manifest says everything that the figures follow from: the scenario and its packs as documents,
their hashes and that of the population's files, the seed, the lots, the record of exchange rates,
whether the base path was posted to books.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import file_digest, sha256
from pathlib import Path

from eligibility.rules.pack import Label, canonical
from simulations.population.margins import rows
from simulations.projection.courses import People
from simulations.projection.running import Projection
from simulations.rates import ecb_record
from simulations.report.answers import answer_parts, common_parts
from simulations.report.assumed import assumptions_part
from simulations.report.covering import covered
from simulations.report.model import Report
from simulations.report.parts import Part, figures, together
from simulations.report.short import short_answer
from simulations.scenario.reading import Loaded


def manifest_of(
    loaded: Loaded, people: People, source: str, lots: str, program: str, *, books: bool
) -> dict[str, object]:
    """Return what the figures follow from; `source` is `synthetic`, `registry` or `survey`."""
    scenario = loaded.scenario
    packs = [canonical(pack).decode() for pack in loaded.packs]
    return {
        "program": program,
        "scenario": scenario.document(),
        "packs": packs,
        "seed": scenario.seed,
        "lots": lots,
        "books": books,
        "record": ecb_record().months[-1],
        "population": _population(people, source),
        "sha256": {
            "scenario": scenario.sha256(),
            "rules": sha256("\n".join(packs).encode()).hexdigest(),
            "population": population_sha256(people.households, people.members),
        },
    }


def _population(people: People, source: str) -> dict[str, object]:
    facts: dict[str, object] = {"source": source, "rows": people.rows}
    return facts if source == "registry" else {**facts, "represents": people.total}


def population_sha256(households: Path, members: Path) -> str:
    """Return the SHA-256 over the digests of the two files, as a snapshot is hashed."""
    digests = []
    for path in (households, members):
        with path.open("rb") as file:
            digests.append(file_digest(file, "sha256").digest())
    return sha256(b"".join(digests)).hexdigest()


def report_of(
    projection: Projection, manifest: Mapping[str, object], extra: Sequence[Part] = ()
) -> Report:
    """Return the report; `extra` are parts that the projection does not know of: books, say."""
    scenario = projection.scenario
    parts = [*answer_parts(projection), *common_parts(projection), *extra]
    parts.append(assumptions_part(projection))
    sections, tables = together([covered(projection, one) for one in _once(parts)])
    return Report(
        scenario.title, scenario.about, scenario.question, tuple(figures(projection)), sections,
        tables, names_of(projection.loaded), manifest, short_answer(projection, sections, tables),
    )  # fmt: skip


def _once(parts: Sequence[Part]) -> list[Part]:
    """Return the parts without a second one of the same table: the question's comes first."""
    kept = {one.table.key: one for one in reversed(parts)}
    return [one for one in parts if kept[one.table.key] is one]


def names_of(loaded: Loaded) -> dict[str, Label]:
    """Return the names of provinces, variants, stress paths and criteria by their codes."""
    return dict(_names(loaded))


def _names(loaded: Loaded) -> Iterator[tuple[str, Label]]:
    scenario = loaded.scenario
    for code, name in province_names().items():
        yield code, Label(tr=name, en=name, ar=name)
    for variant in scenario.variants:
        yield variant.code, variant.name
    for stress in scenario.prices.stress:
        yield stress.code, stress.name
    for course in loaded.courses:
        for criterion in course.pack.criteria:
            yield f"criterion:{criterion.id}", criterion.label


def province_names() -> Mapping[str, str]:
    """Return the names of the provinces by their codes."""
    return {row["province"]: row["name"] for row in rows("provinces")}
