"""One run: a snapshot, a rule pack, a day and a seed make decisions; again, and the same bytes.

All households are decided in one pass of columns. For each one the run keeps what every criterion
said (`pass_bits`, `unknown_bits`: gates first, then any_of, the first criterion is bit 0), the
facts that are known, the status, the order and the amount, and says why in a stable `reason`:

* `selected`, `waiting`: eligible, and served now or on the waiting list;
* `nothing_due`: eligible, and what is due in this cycle comes to nothing (no day was attended);
* `discretionary`, `discretionary:a,b`: served because a person listed it; what else it lacked;
* `not_eligible:a,b`: the criteria that failed;
* `review:a,b`: what is not known well enough to decide; people look. Besides criteria this can be
  `score`, `size` (nobody knows how many people), `stratum` (no province, say, for the quota) or
  `amount` (who counts or what was attended is not known);
* `excluded:why`: taken out before the run by a decision of people or of another step;
* `taken:pack`, `open:pack`: a pack that is decided before this one takes the household, or people
  have yet to look at it there; see `ordered`.

No household of the snapshot is ever missing from the decisions.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import duckdb
import ibis
import pyarrow.parquet as pq

from eligibility.decisions import (
    SNAPSHOT_HOUSEHOLD_TWICE,
    AssessmentTotals,
    component_name,
    decisions_schema,
    totals_of,
    write_decisions,
)
from eligibility.rules.amount_columns import HAS_ALL, NAMED_PEOPLE
from eligibility.rules.checked import (
    AMOUNT_REVIEW,
    SCORE_REVIEW,
    SIZE_REVIEW,
    STRATUM_REVIEW,
    Rule,
    Rules,
    parameters_on,
    rules_of,
)
from eligibility.rules.columns import (
    Question,
    answered,
    fact_name,
    high_name,
    low_name,
)
from eligibility.rules.pack import RulePack
from eligibility.rules.pairs import TYPES
from eligibility.rules.rows import RULE_OVERFLOW, Parameter
from eligibility.rules.terms import Kind
from eligibility.selection import stratum_of, tie_key_sql
from eligibility.serving import DUE, budget_of, filled_in, served_now, with_place
from eligibility.snapshot import Snapshot, engine, opened, view
from ledgers.problems import Problem

SNAPSHOT_MEMBER_ALONE = Problem(
    "snapshot_member_alone",
    "The snapshot has {people:person|people} without a household in it.",
    "Make both files of the snapshot from the same registrations.",
)
SNAPSHOT_EXCLUDED_UNREADABLE = Problem(
    "snapshot_excluded_unreadable",
    "The list of excluded households has no columns household_id and reason.",
    "Write it as Parquet with these two text columns.",
)

SNAPSHOT_EARLIER_UNREADABLE = Problem(
    "snapshot_earlier_unreadable",
    "The list of households that earlier packs claim has no columns household_id, standing, pack.",
    "Write it as Parquet with these three text columns.",
)
SCORE = "score"
MEMORY_MB = 192  # for each million households
MILLIONS_MAX = 10
# What ordering, serving and counting read of a household that was decided.
NEEDED = frozenset({NAMED_PEOPLE, DUE, "stands", "is_listed", "province", "population_group"})
TRUE = ibis.literal(value=True)
FALSE = ibis.literal(value=False)


class Reading(NamedTuple):
    """What a criterion says of every household: certainly, possibly."""

    low: ibis.Value
    high: ibis.Value


def assess(  # noqa: PLR0913 - a run states everything it depends on
    households: Path,
    members: Path,
    pack: RulePack,
    on: date,
    out: Path,
    *,
    seed: str,
    spill: Path,
    excluded: Path | None = None,
    earlier: Path | None = None,
    grant_minor: int | None = None,
    memory_mb: int | None = None,
    threads: int = 2,
) -> AssessmentTotals:
    """Decide every household of a snapshot and write the decisions to `out` (Parquet).

    Arguments: `households` and `members` are the snapshot; `on` is the reference date; `seed` the
    published seed of the draw; `spill` a folder for what does not fit in `memory_mb` (by default
    what `memory_for` says); `excluded` a Parquet file of household_id and reason (a code) of
    households that are not to be served; `earlier` one of household_id, standing (`taken` or
    `open`) and pack, of households that packs decided before this one claim; `grant_minor` what the
    grant has left, for `budget: grant`.
    The decisions are sorted by household_id and have one row for each household. Nothing stands at
    `out` unless the run was completed.

    Raises `pack_refused`, `parameter_not_in_force`, `snapshot_refused`, `snapshot_member_alone`,
    `snapshot_household_twice`, `rule_overflow`, `selection_budget_unstated` or `_short`.
    """
    rules, parameters = rules_of(pack), parameters_on(pack, on)
    budget_minor = budget_of(rules, parameters, grant_minor)
    part = out.with_name(f".{out.name}.part")
    try:
        with engine(spill, memory_mb or memory_for(households), threads) as connection:
            snapshot = opened(connection, households, members, rules)
            decided = judged(snapshot, rules, parameters, on)
            decided = _excluding(connection, _after(connection, decided, earlier), excluded)
            schema = decisions_schema(rules, on, seed)
            kept = _keep(connection, with_place(decided, rules), schema.names, seed)
            _check_people(connection, snapshot)
            filled = filled_in(connection, kept, rules, budget_minor)
            final = served_now(kept, rules, filled).select(*schema.names)
            write_decisions(connection, final, schema, part)
            totals = totals_of(connection, rules, part, households, budget_minor)
            part.replace(out)
    except (duckdb.OutOfRangeException, duckdb.ConversionException) as error:
        raise RULE_OVERFLOW.refusal() from error
    finally:
        part.unlink(missing_ok=True)
    return totals


def memory_for(households: Path) -> int:
    """Return the megabytes that the engine is given for so many households; the rest is spilled.

    The process holds about 400 MB besides: the libraries, and a group of rows on its way out.
    """
    millions = -(-pq.read_metadata(households).num_rows // 1_000_000)
    return MEMORY_MB * min(max(millions, 1), MILLIONS_MAX)


# --- what each household is ------------------------------------------------------------------


def judged(
    snapshot: Snapshot, rules: Rules, parameters: Mapping[str, Parameter], on: date
) -> ibis.Table:
    """Return one row for each household: status, why, bits, facts, score, people and amount."""
    questions = [Question(fact_name(name), term) for name, term in rules.facts]
    questions += [Question(_bit_name(at), rule.term) for at, rule in enumerate(rules.criteria)]
    questions.append(Question(SCORE, rules.score))
    questions += [Question(component_name(name), term) for name, term in rules.amount.components]
    questions.append(Question(DUE, rules.amount.due))
    table = answered(snapshot.households, snapshot.members, questions, parameters, on)
    table = _with_people(table)
    table = _with_standing(table, rules)
    return _with_reason(table, rules)


def _bit_name(at: int) -> str:
    return f"criterion_{at}"


def _reading(table: ibis.Table, at: int) -> Reading:
    return Reading(table[low_name(_bit_name(at))], table[high_name(_bit_name(at))])


def _effective(table: ibis.Table, at: int, rule: Rule) -> Reading:
    """Return what the criterion comes to: an unknown stops, passes or fails as the pack says."""
    low, high = _reading(table, at)
    if rule.on_unknown == "pass":
        return Reading(high, high)
    return Reading(low, low) if rule.on_unknown == "fail" else Reading(low, high)


def _with_people(table: ibis.Table) -> ibis.Table:
    """Add how many people count, from where, and whether that is known.

    Without a roster and without a declared size, the people who were named are counted.
    """
    declared = ibis.coalesce(table.declared_size > 0, FALSE)
    from_form = ~table[HAS_ALL] & declared
    return table.mutate(
        people=ibis.ifelse(from_form, table.declared_size, table[NAMED_PEOPLE]),
        people_from=ibis.ifelse(from_form, "declared", "roster"),
        size__known=table[HAS_ALL] | declared,
    )


def _with_standing(table: ibis.Table, rules: Rules) -> ibis.Table:
    """Add the bits, the known score and whether the criteria are certainly and possibly met."""
    gates = [_effective(table, at, rule) for at, rule in enumerate(rules.criteria) if rule.gate]
    any_of = [
        _effective(table, at, rule) for at, rule in enumerate(rules.criteria) if not rule.gate
    ]
    some = _or(any_of) if any_of else Reading(TRUE, TRUE)
    every = reduce(lambda one, two: Reading(one.low & two.low, one.high & two.high), gates, some)
    readings = [_reading(table, at) for at in range(len(rules.criteria))]
    score_low, score_high = table[low_name(SCORE)], table[high_name(SCORE)]
    known = ibis.coalesce(score_low == score_high, FALSE)
    stratum = stratum_of(rules.pack.selection)
    return table.mutate(
        pass_bits=_bits([reading.low for reading in readings]),
        unknown_bits=_bits([reading.high & ~reading.low for reading in readings]),
        score=ibis.ifelse(known, score_low, ibis.null("int64")),
        some__low=some.low,
        some__high=some.high,
        met__low=every.low,
        met__high=every.high,
        stratum__known=TRUE if stratum is None else table[stratum].notnull(),
        due=_known(table, DUE, Kind.MONEY),
        **{fact_name(name): _known(table, fact_name(name), t.kind) for name, t in rules.facts},
        **{
            component_name(name): _known(table, component_name(name), Kind.MONEY)
            for name, _ in rules.amount.components
        },
    )


def _or(pairs: list[Reading]) -> Reading:
    return reduce(lambda one, two: Reading(one.low | two.low, one.high | two.high), pairs)


def _bits(conditions: list[ibis.Value]) -> ibis.Value:
    zero = ibis.literal(0, "int32").cast("int64")
    return sum(
        (
            ibis.ifelse(condition, ibis.literal(1 << at, "int64"), zero)
            for at, condition in enumerate(conditions)
        ),
        start=zero,
    )


def _known(table: ibis.Table, question: str, kind: Kind) -> ibis.Value:
    """Return the answer where it is known, else null."""
    low, high = table[low_name(question)], table[high_name(question)]
    return ibis.ifelse(ibis.coalesce(low == high, FALSE), low, ibis.null(TYPES[kind]))


def _with_reason(table: ibis.Table, rules: Rules) -> ibis.Table:
    """Add status and reason; who is served is not known yet."""
    placed = table.score.notnull() & table.size__known & table.stratum__known
    placed &= table.due.notnull()
    eligible, possible = table.met__low & placed, table.met__high
    failed, open_ = [], []
    for at, rule in enumerate(rules.criteria):
        low, high = _effective(table, at, rule)
        failed.append((~high if rule.gate else ~table.some__high, rule.id))
        unsettled = TRUE if rule.gate else ~table.some__low
        open_.append((high & ~low & unsettled, rule.id))
    open_.append((table.score.isnull(), SCORE_REVIEW))
    open_.append((~table.size__known, SIZE_REVIEW))
    open_.append((~table.stratum__known, STRATUM_REVIEW))
    open_.append((table.due.isnull() & table.size__known, AMOUNT_REVIEW))
    return table.mutate(
        status=ibis.cases((~possible, "ineligible"), (eligible, "eligible"), else_="review"),
        reason=ibis.cases(
            (~possible, _listed("not_eligible:", failed)),
            (eligible, ""),
            else_=_listed("review:", open_),
        ),
    )


def _listed(prefix: str, ids: list[tuple[ibis.Value, str]]) -> ibis.Value:
    if not ids:
        return ibis.literal(prefix)
    items = [ibis.ifelse(condition, name, ibis.null("string")) for condition, name in ids]
    return ibis.literal(prefix) + ibis.literal(",").join(items)


def _excluding(
    connection: duckdb.DuckDBPyConnection, decided: ibis.Table, excluded: Path | None
) -> ibis.Table:
    """Return the decisions with the households of `excluded` made ineligible, and why."""
    if excluded is None:
        return decided
    columns = {"household_id": Kind.TEXT, "reason": Kind.TEXT}
    if not columns.keys() <= set(pq.read_schema(excluded).names):
        raise SNAPSHOT_EXCLUDED_UNREADABLE.refusal()
    listed = view(connection, "excluded", excluded, columns)
    once = listed.group_by("household_id").aggregate(
        why__excluded=ibis.coalesce(listed.reason.min(), ibis.literal("unstated"))
    )
    joined = decided.left_join(once, "household_id").drop("household_id_right")
    out = joined.why__excluded.notnull()
    return joined.mutate(
        status=ibis.ifelse(out, "ineligible", joined.status),
        reason=ibis.ifelse(out, ibis.literal("excluded:") + joined.why__excluded, joined.reason),
    )


def _after(
    connection: duckdb.DuckDBPyConnection, decided: ibis.Table, earlier: Path | None
) -> ibis.Table:
    """Return the decisions with the households that earlier packs claim set aside, and why."""
    if earlier is None:
        return decided
    columns = {"household_id": Kind.TEXT, "standing": Kind.TEXT, "pack": Kind.TEXT}
    if not columns.keys() <= set(pq.read_schema(earlier).names):
        raise SNAPSHOT_EARLIER_UNREADABLE.refusal()
    listed = view(connection, "earlier", earlier, columns)
    joined = decided.left_join(
        listed.select("household_id", standing__before="standing", pack__before="pack"),
        "household_id",
    ).drop("household_id_right")
    taken = ibis.coalesce(joined.standing__before == "taken", FALSE)
    open_ = ibis.coalesce(joined.standing__before == "open", FALSE) & (
        joined.status != "ineligible"
    )
    return joined.mutate(
        status=ibis.cases((taken, "ineligible"), (open_, "review"), else_=joined.status),
        reason=ibis.cases(
            (taken, ibis.literal("taken:") + joined.pack__before),
            (open_, ibis.literal("open:") + joined.pack__before),
            else_=joined.reason,
        ),
    )


# --- keeping, ordering, writing --------------------------------------------------------------


def _keep(
    connection: duckdb.DuckDBPyConnection, decided: ibis.Table, written: Sequence[str], seed: str
) -> ibis.Table:
    """Compute what is `written` or needed to get there, once, and forget what it was read from."""
    wanted = {*written, *NEEDED}
    columns = [name for name in decided.columns if name in wanted]
    sql = ibis.to_sql(decided.select(*columns), dialect="duckdb")
    key = tie_key_sql(seed, "household_id")
    connection.execute(f"CREATE TABLE decided AS SELECT *, {key} AS tie_key FROM ({sql})")
    types = {name: decided[name].type() for name in columns}
    return ibis.table({**types, "tie_key": "string"}, name="decided")


def _check_people(connection: duckdb.DuckDBPyConnection, snapshot: Snapshot) -> None:
    [(people,)] = connection.execute(
        f"SELECT coalesce(sum({NAMED_PEOPLE}), 0) FROM decided"
    ).fetchall()
    if people > snapshot.people:
        raise SNAPSHOT_HOUSEHOLD_TWICE.refusal()
    if people < snapshot.people:
        raise SNAPSHOT_MEMBER_ALONE.refusal(people=snapshot.people - people)
