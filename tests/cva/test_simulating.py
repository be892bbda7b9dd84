"""Scenarios from file to report: the same bytes, the same people as the real cycle, real books."""

import json
import os
import shutil
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest

from cva import scenario_sources
from cva.assessing import assess_cycle
from cva.programmes import publishing
from cva.programmes.loading import SHIPPED, load
from cva.registry.importing import import_file
from cva.scenario_sources import programme_pack
from cva.simulated_books import books_part
from cva.simulating import (
    Asked,
    export_snapshot,
    simulate,
    simulate_both,
    simulate_frontier,
    write_again,
)
from eligibility.rules.checked import load_pack
from eligibility.selection import Quota, Selection
from ledgers.problems import Refusal
from simulations import posting
from simulations.population import ExportFormat, write_population
from simulations.projection import courses
from simulations.projection.courses import People
from simulations.projection.running import Projection, project
from simulations.report import folder as report_folder
from simulations.report.building import manifest_of, report_of
from simulations.report.page import page_of
from simulations.report.wording import Language, words
from simulations.report.workbook import SHEET_NAME_MAX
from simulations.scenario.reading import Loaded, fitted, load_scenario
from simulations.snapshots import write_synthetic
from tests.cva.registration import AT, VAULT, Office, open_office
from tests.databases import Database
from tests.simulations.scenario_files import PACK, SCENARIO, changed, scenario_of

MARCH = date(2026, 3, 1)
STRICTER = """\
variants:
  - code: stricter
    name: {tr: Sıkı, en: Stricter, ar: أشد}
    overlay:
      - {parameter: rcsi_least, from: 2026-03-01, value: 30, source: Test}
  - code: later
    name: {tr: Geç, en: Later, ar: لاحقًا}
    overlay:
      - {parameter: rcsi_least, from: 2026-05-01, value: 25, source: Test}
"""
UNCERTAIN = changed(
    ("exits: 0.01", "exits: {kind: beta, mean: 0.02, cases: 100}"),
    ("{kind: fixed, rates: {USD: 50.00, EUR: 60.00}}", "{kind: bootstrap}"),
    ("question: cost", "question: comparison"),
    ("caseload:\n", STRICTER + "caseload:\n"),
)


@dataclass(frozen=True)
class StillClock:
    """A clock that does not move."""

    def now(self):  # noqa: ANN201
        return AT

    def today(self) -> date:
        return MARCH


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def written(folder: Path, text: str = UNCERTAIN) -> str:
    (folder / "pack.yaml").write_text(PACK, encoding="utf-8")
    (folder / "scenario.yaml").write_text(text, encoding="utf-8")
    return str(folder / "scenario.yaml")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- the same again ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the small scenario, in a folder of its own."""
    folder = tmp_path_factory.mktemp("first")
    (folder / "work").mkdir()
    simulate(Asked(written(folder), folder / "out", books=False), folder / "work")
    assert list((folder / "work").iterdir()) == []
    return folder / "out"


def test_a_manifest_run_again_is_the_same_bytes_with_another_number_of_threads(
    first: Path, tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courses, "THREADS", 1)

    simulate(Asked(str(first / "manifest.json"), tmp_path / "again"), work)

    one, two = contents(first), contents(tmp_path / "again")
    assert one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []
    assert {"manifest.json", "report.xlsx", "report.ar.html", "report.json"} < one.keys()
    assert "households/stricter-households_that_differ.parquet" in one


def test_the_manifest_of_a_frontier_runs_again_as_its_page_says(tmp_path: Path, work: Path) -> None:
    scenario = written(tmp_path, SCENARIO)
    simulate_frontier(Asked(scenario, tmp_path / "out", books=False), "500,1000", work)

    again = simulate(Asked(str(tmp_path / "out" / "manifest.json"), tmp_path / "again"), work)

    assert again.manifest["books"] is False
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_a_manifest_with_books_posts_them_again_whatever_is_asked(
    first: Path, tmp_path: Path, work: Path
) -> None:
    manifest = json.loads((first / "manifest.json").read_bytes())
    manifest["books"] = True  # the report was made without them, so this is another figure
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest), encoding="utf-8")

    with pytest.raises(Refusal, match=r"^report_differs: Run again, 1 of the tables .*: books"):
        simulate(Asked(str(path), tmp_path / "again", books=False), work)


def test_every_variant_is_told_in_short_and_at_length(first: Path) -> None:
    report = report_folder.read(first)

    assert len(report.answer) == 2
    for variant in ("stricter", "later"):
        assert {f"who_by_province_{variant}", f"difference_usd_{variant}"} <= report.tables.keys()
    page = (first / "report.en.html").read_text(encoding="utf-8")
    assert page.count('<section id="who_by_province_') == 2


def test_a_manifest_that_says_other_figures_is_refused(first: Path) -> None:
    manifest = json.loads((first / "manifest.json").read_bytes())

    report_folder.require_same(manifest, first)
    manifest["tables"]["caseload"] = "0" * 64

    with pytest.raises(Refusal, match=r"^report_differs: Run again, 1 of .*: caseload"):
        report_folder.require_same(manifest, first)


@pytest.mark.parametrize("source", ["registry", "survey"])
def test_a_manifest_of_files_asks_for_these_files(
    first: Path, tmp_path: Path, work: Path, source: str
) -> None:
    manifest = json.loads((first / "manifest.json").read_bytes())
    manifest["population"]["source"] = source
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    others = write_synthetic(tmp_path / "others", 400, 8, MARCH)

    for snapshot in (None, others):
        with pytest.raises(Refusal, match=r"^manifest_population"):
            simulate(Asked(str(path), tmp_path / "two", snapshot, books=False), work)


# --- two scenarios -----------------------------------------------------------------------------


def two(folder: Path, *changes: tuple[str, str]) -> tuple[str, str]:
    """The small scenario with a value that follows prices, and another with some changes."""
    indexed = changed(
        ("inflation: {annual: 0}", "inflation: {annual: 0.50}"),
        ("prices:\n", "indexation: {follows: prices, every_months: 1}\nprices:\n"),
    )
    other = indexed.replace("code: small", "code: other")
    for old, new in changes:
        assert old in other
        other = other.replace(old, new)
    first = written(folder, indexed)
    (folder / "other.yaml").write_text(other, encoding="utf-8")
    return first, str(folder / "other.yaml")


def test_a_value_that_follows_prices_is_compared_with_one_that_stays(
    tmp_path: Path, work: Path
) -> None:
    stays = ("indexation: {follows: prices, every_months: 1}\n", "")
    first, other = two(tmp_path, stays, ("seed: 7", "seed: 8"))

    report = simulate_both(Asked(first, tmp_path / "out", books=False), other, work)

    difference = report.tables["difference_try_other"].frame["difference_minor"].tolist()
    need = report.tables["cost_try"].frame["need_minor"].tolist()
    assert difference[0] == 0
    # Prices rise by half a year: what stays costs less from month to month.
    assert all(later < before for before, later in pairwise(difference))
    assert need[5] + difference[5] <= need[0]  # nobody comes, some leave, the value is the old one
    page = json.loads((tmp_path / "out" / "manifest.json").read_bytes())
    assert page["scenario"]["variants"][0]["is_indexed"] is False


def test_scenarios_that_differ_in_more_than_rules_are_not_compared(
    tmp_path: Path, work: Path
) -> None:
    first, other = two(
        tmp_path,
        ("months: 6\nseed", "months: 5\nseed"),
        ("exits: 0.01", "exits: 0.02\n  take_up: 0.5"),
        ("annual: 0.50", "annual: 0.40"),
        ("amount: 100000.00", "amount: 90000.00"),
        ("grants:\n", "costs: {fee_each: 2.00}\ngrants:\n"),
        ("every_months: 6", "every_months: 3"),
        ("{households: 400}", "{households: 500}"),
    )
    fields = ("caseload.exits, caseload.take_up, costs.fee_each, grants, months,"
              " population.synthetic, prices.inflation, rules.every_months")  # fmt: skip

    with pytest.raises(Refusal, match=rf"^scenarios_apart: .*: {fields}\."):
        simulate_both(Asked(first, tmp_path / "out", books=False), other, work)
    snapshot = write_synthetic(tmp_path / "snapshot", 400, 7, MARCH)
    with pytest.raises(Refusal, match=r"^scenarios_apart: .*: .* months, prices\.inflation"):
        simulate_both(Asked(first, tmp_path / "out", snapshot, books=False), other, work)
    assert not (tmp_path / "out").exists()


# --- what the real cycle selects ---------------------------------------------------------------


@pytest.fixture
def office(app: psycopg.Connection) -> Office:
    return open_office(app)


BY_PROVINCE = Quota(by="province", households={"TR-27": 4, "TR-34": 6, "TR-63": 3})
MOVED = Quota(by="province", households={"TR-27": 2, "TR-34": 1, "TR-70": 40}, unused="move")


@pytest.mark.parametrize(
    "selection",
    [
        Selection(order="highest_score_first", quota=BY_PROVINCE),
        Selection(order="lowest_score_first", quota=MOVED, budget=Decimal("91000.00")),
    ],
    ids=["a quota", "the lowest first, places that move, a budget"],
)
def test_selection_simulated_for_today_is_the_real_cycles(
    office: Office, database: Database, tmp_path: Path, selection: Selection
) -> None:
    engine = database.engine()
    write_population(tmp_path / "people", 300, 5, MARCH, ExportFormat.JSON_LINES)
    [export] = (tmp_path / "people").glob("registrations*.jsonl")
    import_file(engine, VAULT, StillClock(), office.amal, export)
    programme = load(SHIPPED / "bank-transfer.yaml")
    rules = programme.rules.model_copy(update={"selection": selection})
    programme = programme.model_copy(update={"rules": rules})
    publishing.publish(office.conn, programme, person_id=office.amal, at=AT)
    cycle = publishing.open_cycle(
        office.conn, "bank-transfer", "2026-03", MARCH, date(2026, 3, 31),
        person_id=office.amal, at=AT,
    )  # fmt: skip
    office.conn.commit()

    run = assess_cycle(
        engine, cycle.cycle_id, person_id=office.amal, clock=StillClock(), work=tmp_path / "work"
    )
    snapshot = export_snapshot(engine, office.amal, "bank-transfer", tmp_path / "snapshot")
    scenario = scenario_of(tmp_path).scenario.model_copy(update={"start": MARCH, "months": 2})
    projection = project(
        fitted(scenario, [rules]), People.of(snapshot.households, snapshot.members),
        cycle.cycle_id, tmp_path,
    )  # fmt: skip

    columns = ("household_id", "status", "score", "rank", "selected", "waitlist_position",
               "amount_minor", "people", "reason")  # fmt: skip
    real = office.conn.execute(
        f"SELECT {', '.join(columns)} FROM assessment.decision WHERE run_id = %s"
        ' ORDER BY household_id COLLATE "C"',
        (run.run_id,),
    ).fetchall()
    decisions = pq.read_table(projection.base.loads.runs[0].decisions).select(columns)
    simulated = [tuple(row.values()) for row in decisions.to_pylist()]
    assert len(real) > 250
    assert simulated == real
    chosen = [row for row in real if row[4]]
    assert 5 < len(chosen) <= sum(selection.quota.households.values())
    base = projection.base.base
    assert base.due[0, 0] == len(chosen)
    strata = projection.base.strata
    assert projection.base.loads.selected[0].sum() == len(chosen)
    assert (projection.base.loads.selected[0] * strata.amounts).sum() == sum(
        row[6] for row in chosen
    )


# --- simulated books ---------------------------------------------------------------------------


@pytest.fixture
def projection(tmp_path: Path) -> Projection:
    text = SCENARIO.replace("grants:\n", (
        "costs: {fee_share: 0.01, fixed_month: 500.00, failed: 0.05, returned: 0.02}\n"
        "grants:\n"
        "  - {code: GR-TWO, donor: Donor, currency: EUR, amount: 9000.00, from: 2025-12-01,"
        " to: 2026-12-31, lead_months: 1, provinces: [TR-27, TR-34]}\n"
    ))  # fmt: skip
    loaded = scenario_of(tmp_path, text)
    files = write_synthetic(tmp_path / "population", 400, 7, loaded.scenario.start)
    return project(loaded, People.of(*files), "lots", tmp_path)


def test_the_simulated_books_balance_like_real_ones(
    projection: Projection, app: psycopg.Connection
) -> None:
    books = posting.post(app, projection, "simulation")

    base = projection.base.base
    assert base.unfunded.sum() > 0  # the money runs dry within
    held = {account.code: account.balance_minor for account in books.accounts}
    returned = int(base.returned.sum())
    [[first]] = app.execute(
        "SELECT min(effective_on) FROM books.entry WHERE event = 'grant_received'"
    ).fetchall()
    assert first == date(2025, 12, 1)  # drawn a month before the first payment
    assert sum(held[code] for code in held if code.startswith("5010")) == (
        int(base.transfers.sum()) - returned
    )
    assert {account.pending_minor for account in books.accounts} == {0}
    assert [check.wrong for check in books.checks] == [0] * len(books.checks)
    part = books_part(books)
    assert part.table.frame["debit_minor"].sum() > 0
    for currency in ("TRY", "USD", "EUR"):
        own = part.table.frame[part.table.frame["currency"] == currency]
        assert own["debit_minor"].sum() == own["credit_minor"].sum()


def test_books_that_differ_from_the_projection_are_refused(
    projection: Projection, app: psycopg.Connection
) -> None:
    base = projection.base.base
    wrong = replace(base, fees=base.fees + 0, transfers=base.transfers + 1)
    outcome = replace(projection.base, base=wrong)

    with pytest.raises(Refusal, match=r"^simulated_books_differ"):
        posting.post(app, replace(projection, outcomes={"base": outcome}), "simulation")
    assert posting.SIMULATED_BOOKS_WRONG.code == "simulated_books_wrong"


# --- shipped scenarios and what is refused -----------------------------------------------------


FULL = os.environ.get("CVA_SCENARIOS") == "full"
SHIPPED_SCENARIOS = scenario_sources.shipped_scenarios()


def smaller(loaded: Loaded) -> Loaded:
    """A shipped scenario with fewer households, months and draws, unless all of it is wanted."""
    if FULL:
        return loaded
    population = loaded.scenario.population
    synthetic = population.synthetic.model_copy(update={"households": 600})
    months = min(loaded.scenario.months, 12)
    changes = {
        "draws": 100, "months": months,
        "population": population.model_copy(update={"synthetic": synthetic}),
        "rules": loaded.scenario.rules.model_copy(update={"every_months": 12}),
    }  # fmt: skip
    if loaded.scenario.frontier is not None:
        changes["frontier"] = loaded.scenario.frontier.model_copy(update={"months": months})
    return fitted(loaded.scenario.model_copy(update=changes), loaded.packs)


@pytest.mark.parametrize("name", SHIPPED_SCENARIOS)
def test_a_shipped_scenario_has_a_page_that_stands_for_itself(name: str, tmp_path: Path) -> None:
    path = scenario_sources.SCENARIOS / f"{name}.yaml"
    loaded = smaller(load_scenario(path, programme_pack))
    scenario = loaded.scenario
    asked = scenario.population.synthetic
    files = write_synthetic(tmp_path, asked.households, scenario.seed, scenario.start)
    people = People.of(*files, asked.represents)
    projection = project(loaded, people, "lots", tmp_path)
    manifest = manifest_of(loaded, people, "synthetic", "lots", "test", books=False)
    report = report_of(projection, manifest)

    own = list(Language)[SHIPPED_SCENARIOS.index(name) % len(Language)]
    for language in Language if FULL else [own]:
        page = page_of(report, language)
        assert f'dir="{language.direction}"' in page
        assert "<script" not in page
        assert "http://" not in page.replace("http://www.w3.org/", "")
        assert page.count("<svg") >= 6
        assert page.count("<table") == len([one for one in report.sections if one.table])
    assert projection.base.base.paid.sum() > 0


def test_every_word_is_there_in_three_languages_with_the_same_facts() -> None:
    import string

    def facts(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    for key, said in words().items():
        assert set(said) == {"en", "tr", "ar"}, key
        assert facts(said["en"]) == facts(said["tr"]) == facts(said["ar"]), key
        assert all(text.strip() for text in said.values()), key


def test_headings_are_names_of_sheets_as_they_stand(first: Path) -> None:
    report = report_folder.read(first)

    for section in report.sections:
        for said in words()[section.key].values():
            assert len(said) <= SHEET_NAME_MAX, said


def test_a_report_is_written_again_in_another_language(first: Path, tmp_path: Path) -> None:
    write_again(first, tmp_path / "again.html", Language.TR)
    write_again(first, tmp_path / "again.xlsx", Language.EN)

    assert (tmp_path / "again.html").read_bytes() == (first / "report.tr.html").read_bytes()
    assert (tmp_path / "again.xlsx").read_bytes() == (first / "report.xlsx").read_bytes()
    with pytest.raises(Refusal, match=r"^report_shape_unknown"):
        write_again(first, tmp_path / "again.pdf", Language.TR)
    with pytest.raises(Refusal, match=r"^report_missing"):
        write_again(tmp_path, tmp_path / "again.html", Language.TR)


def test_a_report_whose_words_are_not_ours_is_refused(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "older")
    path = tmp_path / "older" / "report.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"cost_says"', '"cost_said"'))

    with pytest.raises(Refusal, match=r"^report_older"):
        write_again(tmp_path / "older", tmp_path / "again.html", Language.TR)


def test_what_cannot_be_run_is_refused_and_leaves_nothing(tmp_path: Path, work: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine", encoding="utf-8")
    broken = tmp_path / "manifest.json"
    broken.write_text("{}", encoding="utf-8")

    for asked, code in (
        (Asked("no-such", tmp_path / "out"), "scenario_unknown"),
        (Asked("cost", tmp_path / "full"), "report_folder_taken"),
        (Asked(str(broken), tmp_path / "out"), "manifest_unreadable"),
    ):
        with pytest.raises(Refusal, match=f"^{code}"):
            simulate(asked, work)
    with pytest.raises(Refusal, match=r"^programme_not_shipped: No programme nosuch .*market-card"):
        programme_pack("nosuch")
    with pytest.raises(Refusal, match=r"^snapshot_half"):
        scenario_sources.snapshot_of(broken, None)
    with pytest.raises(Refusal, match=r"^snapshot_file_unreadable"):
        scenario_sources.snapshot_of(broken, broken)
    with pytest.raises(Refusal, match=r"^snapshot_file_missing"):
        scenario_sources.snapshot_of(broken, tmp_path / "none.parquet")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["letter.txt"]
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("values", ["500", "500,500", "0,750"])
def test_values_that_make_no_frontier_are_refused_before_anything_is_computed(
    tmp_path: Path, work: Path, values: str
) -> None:
    with pytest.raises(Refusal, match=r"^frontier_values_few"):
        simulate_frontier(Asked("frontier", tmp_path / "out", books=False), values, work)
    assert not (tmp_path / "out").exists()


def half_written(out: Path) -> None:
    with report_folder.placed(out) as fresh:
        (fresh / "report.json").write_text("{", encoding="utf-8")
        raise KeyboardInterrupt


def test_a_report_stays_whole_where_another_is_cancelled(
    first: Path, tmp_path: Path, work: Path
) -> None:
    def interrupted(done: int, total: int | None) -> None:
        del done, total
        raise KeyboardInterrupt

    shutil.copytree(first, tmp_path / "out")
    before = contents(tmp_path / "out")

    with pytest.raises(KeyboardInterrupt):
        simulate(Asked(written(tmp_path), tmp_path / "out", books=False), work, (interrupted, None))
    assert contents(tmp_path / "out") == before
    with pytest.raises(KeyboardInterrupt):
        half_written(tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_months_of_draws_are_told_one_after_the_other(tmp_path: Path, work: Path) -> None:
    told: list[tuple[int, int | None]] = []

    asked = Asked(written(tmp_path), tmp_path / "out", books=False)
    simulate(asked, work, (None, lambda done, total: told.append((done, total))))

    # Three courses of six months in a hundred draws, from none to all.
    assert told == [(100 * month, 1800) for month in range(19)]


def test_ctrl_c_stops_a_run_and_leaves_nothing(tmp_path: Path, work: Path) -> None:
    told: list[tuple[int, int | None]] = []

    def interrupted(done: int, total: int | None) -> None:
        told.append((done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(Asked(written(tmp_path), tmp_path / "out", books=False), work, (interrupted, None))

    # Three courses on three days: the first, and those on which one of them changes.
    assert told == [(400, 3600)]
    assert not (tmp_path / "out").exists()
    assert list(work.iterdir()) == []


def test_a_snapshot_goes_into_an_empty_folder_only(
    office: Office, database: Database, tmp_path: Path
) -> None:
    engine = database.engine()

    first = export_snapshot(engine, office.amal, "bank-transfer", tmp_path / "snapshot")

    assert (first.household_rows, first.member_rows) == (0, 0)
    with pytest.raises(Refusal, match=r"^snapshot_folder_taken"):
        export_snapshot(engine, office.amal, "bank-transfer", tmp_path / "snapshot")
    with pytest.raises(Refusal, match=r"^role_missing"):
        export_snapshot(engine, office.rana, "bank-transfer", tmp_path / "other")
    assert load_pack(scenario_sources.SCENARIOS / "basic-needs.yaml").currency == "TRY"
