"""A whole snapshot at once: the terms as columns, one grouped pass over the members.

The expressions are Ibis, so the same rules run on another engine by handing over its tables. All
counts and tallies of a pack are merged into one aggregation of the members; whatever appears twice
is computed once. Nothing here is shared with the back end for one household but the terms.

A truth becomes two boolean columns that are never null (certainly, possibly); anything else two
columns in which null is an open end. So no null of SQL ever decides about anybody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import reduce, singledispatchmethod
from operator import and_, or_

import ibis
from ibis import _ as row
from ibis.common.deferred import Deferred

from eligibility.rules import amount_columns, terms
from eligibility.rules.ages import AgeTest, age_test, grown
from eligibility.rules.amount_columns import HAS_ALL, NAMED_PEOPLE
from eligibility.rules.pairs import (
    NO,
    YES,
    ZERO_ANSWERS,
    Pair,
    age,
    compared,
    known,
    literal,
    null,
    share,
    whole,
    with_birth_range,
)  # fmt: skip
from eligibility.rules.rows import RATIO_SCALE, Parameter
from eligibility.rules.terms import Count, Gather, Kind, Tally, Term


def fact_name(name: str) -> str:
    """Return the name of the question that answers the fact `name`."""
    return f"fact_{name}"


@dataclass(frozen=True, slots=True)
class Question:
    """One named term to be answered for every household."""

    name: str
    term: Term


def low_name(name: str) -> str:
    """Return the column of the lowest or certain reading of a question."""
    return f"{name}__low"


def high_name(name: str) -> str:
    """Return the column of the highest or possible reading of a question."""
    return f"{name}__high"


def answered(
    households: ibis.Table,
    members: ibis.Table,
    questions: Sequence[Question],
    parameters: Mapping[str, Parameter],
    on: date,
) -> ibis.Table:
    """Return the households with two columns for every question, and two about the roster.

    `questions` are answered in order; a question that is a fact may be named by later ones.
    `_named_people` counts the household's rows in `members`; `_has_all` says whether they are all
    of its people.
    """
    gathered = _gathered(questions)
    grouped = _grouped(members, gathered, parameters, on)
    joined = households.left_join(grouped, "household_id").drop("household_id_right")
    joined = joined.mutate(**{NAMED_PEOPLE: ibis.coalesce(row[NAMED_PEOPLE], whole(0))})
    complete = known(row.has_roster) & (row[NAMED_PEOPLE] > 0)
    builder = _Columns(joined.mutate(**{HAS_ALL: complete}), parameters, on, gathered)
    for question in questions:
        builder.keep(question)
    return builder.table.drop(*(name for name in builder.table.columns if name.startswith("_v")))


def _gathered(questions: Sequence[Question]) -> dict[Term, str]:
    """Return a column name for every distinct count and tally of the questions."""
    names: dict[Term, str] = {}
    for question in questions:
        for term in terms.every(question.term):
            if isinstance(term, Count | Gather):
                names.setdefault(term, f"_v_members_{len(names)}")
    return names


def _grouped(
    members: ibis.Table, gathered: Mapping[Term, str], parameters: Mapping[str, Parameter], on: date
) -> ibis.Table:
    builder = _Columns(with_birth_range(members), parameters, on, gathered)
    sums = {NAMED_PEOPLE: builder.people()}
    for term, name in gathered.items():
        sums |= builder.totals(term, name)
    grouped: ibis.Table = builder.table.group_by("household_id").aggregate(**sums)
    return grouped


@dataclass(slots=True)
class _Columns:
    """Builds columns on one table; what is used twice is kept as a column of its own."""

    table: ibis.Table
    parameters: Mapping[str, Parameter]
    on: date
    gathered: Mapping[Term, str]
    ready: dict[Term, Pair] = field(default_factory=dict)

    def keep(self, question: Question) -> None:
        pair = self.pair(question.term)
        low, high = low_name(question.name), high_name(question.name)
        self.table = self.table.mutate(**{low: pair.low, high: pair.high})
        self.ready[question.term] = Pair(row[low], row[high])

    def column(self, pair: Pair) -> Pair:
        """Make `pair` two columns of the table, so that its uses do not repeat its text."""
        name = f"_v{len(self.table.columns)}"
        low, high = low_name(name), high_name(name)
        if pair.low is pair.high:
            self.table = self.table.mutate(**{low: pair.low})
            both = row[low]
            return Pair(both, both)
        self.table = self.table.mutate(**{low: pair.low, high: pair.high})
        return Pair(row[low], row[high])

    def kept(self, term: Term, pair: Pair) -> Pair:
        """Make the answer to `term` two columns, which answer it from now on."""
        self.ready[term] = self.column(pair)
        return self.ready[term]

    def pair(self, term: Term) -> Pair:
        found = self.ready.get(term)
        return self.build(term) if found is None else found

    @singledispatchmethod
    def build(self, term: Term) -> Pair:
        message = f"{type(term).__name__} is no term"
        raise TypeError(message)

    # --- values ---

    def plain(self, column: Deferred, kind: Kind) -> Pair:
        if kind is Kind.BOOL:
            return Pair(ibis.coalesce(column, NO), ibis.coalesce(column, YES))
        return Pair(column, column)

    @build.register
    def _const(self, term: terms.Const) -> Pair:
        value = literal(term.value, term.kind)
        return Pair(value, value)

    @build.register
    def _param(self, term: terms.Param) -> Pair:
        value = literal(self.parameters[term.name], term.kind)
        return Pair(value, value)

    @build.register
    def _reference_date(self, term: terms.ReferenceDate) -> Pair:
        value = literal(self.on, term.kind)
        return Pair(value, value)

    @build.register
    def _input(self, term: terms.Input) -> Pair:
        return self.plain(row[term.name], term.kind)

    @build.register
    def _fact(self, term: terms.Fact) -> Pair:
        return Pair(row[low_name(fact_name(term.name))], row[high_name(fact_name(term.name))])

    @build.register
    def _member_input(self, term: terms.MemberInput) -> Pair:
        if term.name == "birth_date":
            return Pair(row.birth_date__low, row.birth_date__high)
        return self.plain(row[term.name], term.kind)

    @build.register
    def _age_at(self, term: terms.AgeAt) -> Pair:
        born, at = self.pair(term.born), self.pair(term.at)
        return self.kept(term, Pair(age(born.high, at.low), age(born.low, at.high)))

    # --- conditions ---

    @build.register
    def _not(self, term: terms.Not) -> Pair:
        inner = self.pair(term.term)
        return Pair(~inner.high, ~inner.low)

    @build.register
    def _both(self, term: terms.Both) -> Pair:
        left, right = self.pair(term.left), self.pair(term.right)
        return Pair(left.low & right.low, left.high & right.high)

    @build.register
    def _either(self, term: terms.Either) -> Pair:
        left, right = self.pair(term.left), self.pair(term.right)
        return Pair(left.low | right.low, left.high | right.high)

    @build.register
    def _compare(self, term: terms.Compare) -> Pair:
        aged = age_test(term, self.parameters, self.on)
        if aged is not None:
            return self.of_age(aged)
        return compared(term.sign, self.pair(term.left), self.pair(term.right))

    def of_age(self, test: AgeTest) -> Pair:
        """Return a comparison of an age with a number as one of the birth date with two days."""
        born = self.pair(test.born)
        found = Pair(YES, YES)
        if test.least is not None:
            found = grown(born, test.on, test.least)
        if test.below is not None:
            over = grown(born, test.on, test.below)
            found = Pair(found.low & ~over.high, found.high & ~over.low)
        return found

    @build.register
    def _one_of(self, term: terms.OneOf) -> Pair:
        value = self.pair(term.term)
        if isinstance(term.items, terms.Param):
            given = self.parameters[term.items.name]
            kind = term.term.kind
            items = [literal(item, kind) for item in given] if isinstance(given, tuple) else []
        else:
            items = [literal(item.value, item.kind) for item in term.items]
        found = [compared("==", value, Pair(item, item)) for item in items]
        if not found:
            return Pair(NO, NO)
        return Pair(reduce(or_, (f.low for f in found)), reduce(or_, (f.high for f in found)))

    @build.register
    def _ratio_compare(self, term: terms.RatioCompare) -> Pair:
        above, below = self.pair(term.above), self.pair(term.below)
        limit = self.parameters[term.limit.name]
        scale, factor = whole(RATIO_SCALE), literal(limit, Kind.RATIO)
        left = Pair(above.low * scale, above.high * scale)
        right = Pair(below.low * factor, below.high * factor)
        if term.sign in (">", ">="):
            left, right = right, left
        plain = self.column(compared("<" if term.sign in ("<", ">") else "<=", left, right))
        stated = ZERO_ANSWERS[term.zero]
        zero_certain = known(below.high <= 0)
        zero_possible = ~known(below.low > 0)
        low = ibis.ifelse(zero_possible, plain.low & stated.low, plain.low)
        high = ibis.ifelse(zero_possible, plain.high | stated.high, plain.high)
        return Pair(
            ibis.ifelse(zero_certain, stated.low, low), ibis.ifelse(zero_certain, stated.high, high)
        )

    # --- numbers ---

    @build.register
    def _plus(self, term: terms.Plus) -> Pair:
        left, right = self.pair(term.left), self.pair(term.right)
        return Pair(left.low + right.low, left.high + right.high)

    @build.register
    def _minus(self, term: terms.Minus) -> Pair:
        left, right = self.pair(term.left), self.pair(term.right)
        return Pair(left.low - right.high, left.high - right.low)

    @build.register
    def _times(self, term: terms.Times) -> Pair:
        inner, factor = self.pair(term.term), term.factor
        value = factor.value if isinstance(factor, terms.Const) else self.parameters[factor.name]
        factors = literal(value, factor.kind)
        low, high = inner.low * factors, inner.high * factors
        negative = isinstance(value, int) and value < 0
        return Pair(high, low) if negative else Pair(low, high)

    @build.register
    def _product(self, term: terms.Product) -> Pair:
        left = self.kept(term.left, self.pair(term.left))
        right = self.kept(term.right, self.pair(term.right))
        ends = (*left, *right)
        closed = reduce(and_, (end.notnull() for end in ends))
        corners = [one * other for one in left for other in right]
        nothing = null(Kind.INT)
        return self.kept(
            term,
            Pair(
                ibis.ifelse(closed, ibis.least(*corners), nothing),
                ibis.ifelse(closed, ibis.greatest(*corners), nothing),
            ),
        )

    @build.register
    def _choice(self, term: terms.Choice) -> Pair:
        when = self.kept(term.when, self.pair(term.when))
        then = self.kept(term.then, self.pair(term.then))
        other = self.kept(term.other, self.pair(term.other))
        if term.kind is Kind.BOOL:
            low, high = then.low & other.low, then.high | other.high
        else:
            neither = null(term.kind)
            low = ibis.cases(
                (then.low <= other.low, then.low), (other.low <= then.low, other.low), else_=neither
            )
            high = ibis.cases(
                (then.high >= other.high, then.high),
                (other.high >= then.high, other.high),
                else_=neither,
            )
        return self.kept(
            term,
            Pair(
                ibis.cases((when.low, then.low), (~when.high, other.low), else_=low),
                ibis.cases((when.low, then.high), (~when.high, other.high), else_=high),
            ),
        )

    # --- amounts ---

    build.register(terms.People, amount_columns.people)
    build.register(terms.Lookup, amount_columns.lookup)
    build.register(terms.Bounded, amount_columns.bounded)
    build.register(terms.Rounded, amount_columns.rounded)
    build.register(terms.Instalment, amount_columns.instalment)

    # --- members ---

    @build.register
    def _count(self, term: terms.Count) -> Pair:
        name = self.gathered[term]
        low = ibis.coalesce(row[low_name(name)], whole(0))
        high = ibis.ifelse(row[HAS_ALL], row[high_name(name)], null(Kind.INT))
        return self.kept(term, Pair(low, high))

    @build.register
    def _gather(self, term: terms.Gather) -> Pair:
        name, unknown = self.gathered[term], null(term.kind)
        low = ibis.ifelse(row[HAS_ALL], row[low_name(name)], unknown)
        high = ibis.ifelse(row[HAS_ALL], row[high_name(name)], unknown)
        return self.kept(term, Pair(low, high))

    def totals(self, term: Term, name: str) -> dict[str, Deferred]:
        """Return the sums over one household's members that `term` needs, by column name."""
        if isinstance(term, Count):
            low, high = self.counted(term)
        elif isinstance(term, Gather) and term.tally is Tally.SUM:
            low, high = self.summed(term)
        elif isinstance(term, Gather):
            low, high = self.extreme(term)
        else:
            message = f"{type(term).__name__} is no count and no tally"
            raise TypeError(message)
        return {low_name(name): low, high_name(name): high}

    def people(self, where: Deferred | None = None) -> Deferred:
        return row.count(where=where)

    def counted(self, term: Count) -> Pair:
        if term.where is None:
            return Pair(self.people(), self.people())
        where = self.pair(term.where)
        return Pair(self.people(where.low), self.people(where.high))

    def holds(self, term: Gather) -> Pair:
        if term.where is None:
            return Pair(YES, YES)
        return self.kept(term.where, self.pair(term.where))

    def summed(self, term: Gather) -> Pair:
        where, value = self.holds(term), self.pair(term.value)
        value = self.kept(term.value, value)
        shares = self.column(
            Pair(share(where, value.low, below=True), share(where, value.high, below=False))
        )
        return Pair(self.sum(shares.low), self.sum(shares.high))

    def sum(self, shares: Deferred) -> Deferred:
        """Return the sum of the shares, open where one of them is; summed in 128 bits."""
        total = shares.sum().cast("decimal(38, 0)").cast("int64")
        return ibis.ifelse(self.people(shares.isnull()) > 0, null(Kind.INT), total)

    def extreme(self, term: Gather) -> Pair:
        where = self.holds(term)
        value = self.kept(term.value, self.pair(term.value))
        least = term.tally is Tally.MIN
        outer, inner = (value.low, value.high) if least else (value.high, value.low)
        if least:
            far, near = outer.min(where=where.high), inner.min(where=where.low)
        else:
            far, near = outer.max(where=where.high), inner.max(where=where.low)
        nobody = self.people(where.low) == 0
        open_end = self.people(where.high & outer.isnull()) > 0
        far = ibis.ifelse(nobody | open_end, null(term.kind), far)
        near = ibis.ifelse(nobody, null(term.kind), near)
        return Pair(far, near) if least else Pair(near, far)
