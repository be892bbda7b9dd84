"""An explanation said to people: the tree of reasons as lines of text, in one of three languages.

Every test says what was seen and what is needed ("ratio of dependants to able: 4 / 3 = 1.33, needs
1.50 or more"), who of the household was counted, and who came nearest to it. Values that the rules
state come with the day they are in force from and their source. Names of facts, inputs and
parameters are the pack's `words`; members are named by their number, never by their name.

A number is never rounded towards a limit: 1.499 is not said to be 1.50.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from eligibility.entitlements import AddOn, TopUp
from eligibility.rules import terms
from eligibility.rules.checked import AMOUNT_REVIEW, REVIEW_IDS, Rules
from eligibility.rules.explain import Explanation, InForce, Observed, Reason, Status
from eligibility.rules.fields import parameter_in
from eligibility.rules.phrases import Language, name_of, phrase
from eligibility.rules.reasons import Outcome, Reading, Shape, Sign, Test, kind_of_ratio
from eligibility.rules.rows import RATIO_SCALE, Parameter, Range, Value
from eligibility.rules.terms import Kind, Term
from ledgers.money import grouped, parse_amount

SYMBOLS = {"<": "<", "<=": "≤", "==": "=", ">": ">", ">=": "≥"}
TURNED = {"<": ">", "<=": "≥", "==": "="}
SWAPPED = str.maketrans(",.", ".,")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an explanation: how deep it stands, what it says, and what it came to."""

    depth: int
    text: str
    outcome: Outcome | None = None


def tell(why: Explanation, rules: Rules, language: Language) -> tuple[Line, ...]:
    """Return the explanation of a household by `rules` as lines for people."""
    return tuple(_Teller(why, rules, language).lines())


def missing_of(why: Explanation) -> tuple[str, ...]:
    """Return what beside the criteria keeps the household under review: its size, score, amount."""
    if why.status is not Status.REVIEW:
        return ()
    ids = why.because.partition(":")[2].split(",")
    return tuple(id_ for id_ in ids if id_ in REVIEW_IDS)


class _Teller:
    """Says one explanation in one language."""

    def __init__(self, why: Explanation, rules: Rules, language: Language) -> None:
        self.why = why
        self.rules = rules
        self.language = language
        self.values: Mapping[str, Parameter] = {p.name: p.value for p in why.parameters}

    def say(self, code: str, **holes: object) -> str:
        return phrase(code, self.language, **holes)

    def name(self, name: str) -> str:
        label = (self.rules.pack.words or {}).get(name)
        return str(getattr(label, self.language)) if label else name_of(name, self.language)

    # --- the whole ---

    def lines(self) -> Iterator[Line]:
        why = self.why
        yield Line(0, self.say(why.status))
        pack = f"{self.rules.pack.code} ({self.rules.pack.pack_hash[:16]})"
        yield Line(1, self.say("decided_on", on=why.on.isoformat(), pack=pack))
        if why.amount_minor is not None:
            amount = self.value(why.amount_minor, Kind.MONEY)
            yield Line(1, self.say("amount", amount=amount, people=why.people))
            yield from self.components()
            yield from self.held()
            yield from self.part()
        if why.score.low is not None and self.rules.pack.score != "0":
            yield Line(1, self.say("score_is", score=self.observed(why.score, Kind.INT)))
        yield from self.nearest()
        for head, gate in (("gates", True), ("any_of", False)):
            reasons = [reason for reason in why.reasons if reason.gate is gate]
            if reasons:
                yield Line(0, self.say(head))
            for reason in reasons:
                yield from self.reason(reason)
        yield from self.facts()
        yield from self.parameters()

    def components(self) -> Iterator[Line]:
        """Yield what each part of the amount gives, where it has more than one."""
        entitlement = self.rules.pack.entitlement
        blocks: list[TopUp | AddOn] = [*(entitlement.top_ups or ()), *(entitlement.add_ons or ())]
        labels = {block.id: block.label for block in blocks}
        if entitlement.case_by_case is not None:
            labels |= {id_: item.label for id_, item in entitlement.case_by_case.items.items()}
        for part in self.why.components if len(self.why.components) > 1 else ():
            label = labels.get(part.name)
            name = str(getattr(label, self.language)) if label else self.say("base")
            amount = self.observed(part, Kind.MONEY)
            yield Line(2, self.say("component", name=name, amount=amount))

    def held(self) -> Iterator[Line]:
        """Yield how the sum was rounded and bounded, where that changed it."""
        entitlement, part = self.rules.pack.entitlement, self.why.part
        whole = self.why.amount_minor if part is None else part.whole.low
        given = [component.low for component in self.why.components]
        if whole == sum(minor for minor in given if isinstance(minor, int)):
            return
        for code, amount in (
            ("rounded_to", entitlement.round_to),
            ("held_least", entitlement.at_least),
            ("held_most", entitlement.at_most),
        ):
            if amount is not None:
                yield Line(2, self.say(code, amount=self.stated(amount)))

    def stated(self, amount: Decimal | str) -> str:
        """Return an amount of the pack, written out or named."""
        name = parameter_in(amount)
        if name is None:
            return self.value(parse_amount(str(amount), self.rules.pack.currency), Kind.MONEY)
        value = self.values[name]
        return self.value(None if isinstance(value, tuple) else value, Kind.MONEY)

    def part(self) -> Iterator[Line]:
        """Yield which instalment is due, and of which amount."""
        part = self.why.part
        if part is not None:
            whole, name = self.observed(part.whole, Kind.MONEY), self.name(part.instalment)
            said = {"name": name, "share": part.share, "of": part.of, "whole": whole}
            yield Line(2, self.say("instalment", **said))

    def nearest(self) -> Iterator[Line]:
        heads = {Status.ELIGIBLE: "margin", Status.INELIGIBLE: "lacks", Status.REVIEW: "open"}
        missing = [
            self.say("amount_open" if item == AMOUNT_REVIEW else item)
            for item in missing_of(self.why)
        ]
        if self.why.nearest or missing:
            yield Line(0, self.say(heads[self.why.status]))
        labels = {reason.id: reason.label for reason in self.why.reasons}
        for item in self.why.nearest:
            label = str(getattr(labels[item.id], self.language))
            for test in item.tests:
                yield Line(1, f"{label}: {self.test(test)}")
                yield from self.closest(test, 2)
        for said in missing:
            yield Line(1, said, Outcome.UNKNOWN)

    def reason(self, reason: Reason) -> Iterator[Line]:
        label = str(getattr(reason.label, self.language))
        yield Line(1, f"{label}: {self.say(reason.outcome)}", reason.outcome)
        yield from self.reading(reason.reading, 2)
        if reason.outcome is Outcome.UNKNOWN and reason.on_unknown != "stop":
            yield Line(2, self.say(f"on_unknown_{reason.on_unknown}"))

    def reading(self, reading: Reading, depth: int) -> Iterator[Line]:
        if reading.named:
            yield Line(depth, self.name(reading.named), reading.outcome)
            depth += 1
        if reading.test is not None:
            yield Line(depth, self.test(reading.test), reading.outcome)
            yield from self.members(reading.test, depth + 1)
        elif reading.shape is not Shape.GIVEN:
            head = "part_all" if reading.shape is Shape.ALL else "part_any"
            yield Line(depth, self.say(head), reading.outcome)
            for part in reading.parts:
                yield from self.reading(part, depth + 1)

    def members(self, test: Test, depth: int) -> Iterator[Line]:
        if test.counted and test.counted.certain:
            yield Line(depth, self.say("members", numbers=_numbers(test.counted.certain)))
        if test.counted and test.counted.possible:
            numbers = _numbers(test.counted.possible)
            yield Line(depth, self.say("maybe", numbers=numbers), Outcome.UNKNOWN)
        yield from self.closest(test, depth)

    def closest(self, test: Test, depth: int) -> Iterator[Line]:
        if test.closest is not None:
            tests = "; ".join(self.test(one) for one in test.closest.tests)
            number = test.closest.member_no
            code = "closest" if test.closest.joins else "leaves"
            yield Line(depth, self.say(code, number=number, tests=tests))

    def facts(self) -> Iterator[Line]:
        meanings = dict(self.rules.facts)
        if self.why.facts:
            yield Line(0, self.say("facts"))
        for fact in self.why.facts:
            term = meanings[fact.name]
            value = self.observed(fact, term.kind)
            said = {"name": self.name(fact.name), "value": value, "meaning": self.term(term)}
            yield Line(1, self.say("fact", **said))
            counted = self.why.counted.get(fact.name)
            if counted and counted.certain:
                yield Line(2, self.say("members", numbers=_numbers(counted.certain)))
            if counted and counted.possible:
                numbers = _numbers(counted.possible)
                yield Line(2, self.say("maybe", numbers=numbers), Outcome.UNKNOWN)

    def parameters(self) -> Iterator[Line]:
        if self.why.parameters:
            yield Line(0, self.say("parameters"))
        for item in self.why.parameters:
            value = self.parameter(item)
            since, source = item.since.isoformat(), item.source
            said = {"name": self.name(item.name), "value": value, "since": since, "source": source}
            yield Line(1, self.say("parameter", **said))

    def parameter(self, item: InForce) -> str:
        if isinstance(item.value, tuple):
            return ", ".join(map(str, item.value))
        return self.value(item.value, Kind(item.type))

    # --- tests ---

    def test(self, test: Test) -> str:
        kind = kind_of_ratio(test)
        if kind is Kind.RATIO:
            return self.ratio(test)
        what, seen = self.term(test.what), self.range(test.seen, kind)
        if test.sign in (Sign.AMONG, Sign.NOT_AMONG):
            needs = ", ".join(map(str, test.needed))
        else:
            needs = self.range(test.needs, kind)
            varies = any(isinstance(part, terms.Fact | terms.Input) for part in _parts(test.limit))
            needs = f"{self.term(test.limit)} ({needs})" if test.limit and varies else needs
        return self.say("seen", what=what, seen=seen, needs=self.say(test.sign, needs=needs))

    def ratio(self, test: Test) -> str:
        above, below = self.range(test.seen, Kind.INT), self.range(test.below or (0, 0), Kind.INT)
        seen = f"{above} / {below}"
        needs = self.value(test.needs[0], Kind.RATIO)
        exact = _exact(test.seen), _exact(test.below or (None, None))
        if exact[0] is not None and exact[1]:
            finer = isinstance(test.needs[0], int) and test.needs[0] % 10
            scaled = exact[0] * RATIO_SCALE // exact[1]
            seen += f" = {self.decimal(scaled, 3 if finer else 2)}"
        what = self.term(test.what)
        said = self.say("seen", what=what, seen=seen, needs=self.say(test.sign, needs=needs))
        return said + self.nobody(test)

    def nobody(self, test: Test) -> str:
        """Return what the rule says where there is nobody, or may be nobody, to divide by."""
        low, high = test.below or (1, 1)
        if not isinstance(test.what, terms.RatioCompare) or (isinstance(low, int) and low > 0):
            return ""
        none = isinstance(high, int) and high <= 0 and test.what.zero is not terms.Zero.STOP
        return f" ({self.say(f'zero_{test.what.zero}' if none else 'zero_unknown')})"

    # --- terms ---

    def term(self, term: Term) -> str:  # noqa: PLR0911 - one answer per shape of a term
        match term:
            case terms.Input(name=name) | terms.Fact(name=name) | terms.MemberInput(name=name):
                return self.name(name)
            case terms.AgeAt():
                return self.name("age")
            case terms.Not() | terms.Both() | terms.Either() | terms.Compare() | terms.OneOf():
                return self.condition(term)
            case terms.RatioCompare(above=above, below=below):
                return self.say("ratio", above=self.term(above), below=self.term(below))
            case terms.Choice(when=when, then=then, other=other):
                said = {"when": when, "then": then, "other": other}
                return self.say("choice", **{hole: self.term(part) for hole, part in said.items()})
            case terms.Plus() | terms.Minus() | terms.Times() | terms.Product():
                return self.arithmetic(term)
            case terms.Count() | terms.Gather():
                return self.of_members(term)
            case _:
                return self.fixed(term)

    def fixed(self, term: Term) -> str:  # noqa: PLR0911 - one answer per shape of a term
        match term:
            case terms.Const(kind=kind, value=value):
                return self.value(value, kind)
            case terms.Param(name=name, kind=kind):
                given = self.values[name]
                if isinstance(given, tuple):
                    return ", ".join(map(str, given))
                return self.value(given, kind)
            case terms.ReferenceDate():
                return self.why.on.isoformat()
            case terms.People():
                return self.say("household_size")
            case terms.Lookup(term=inner):
                return self.say("looked_up", term=self.term(inner))
            case terms.Bounded(term=inner) | terms.Rounded(term=inner):
                return self.term(inner)
            case _:
                message = f"{type(term).__name__} has no words"
                raise TypeError(message)

    def condition(self, term: Term) -> str:
        match term:
            case terms.Not(term=inner):
                return self.say("not", it=f"({self.term(inner)})")
            case terms.Both(left=left, right=right):
                return f"{self.within(left)} {self.say('and')} {self.within(right)}"
            case terms.Either(left=left, right=right):
                return f"({self.term(left)} {self.say('or')} {self.term(right)})"
            case terms.Compare():
                return self.compare(term)
            case terms.OneOf(term=inner, items=items):
                listed = items if isinstance(items, tuple) else (items,)
                return f"{self.term(inner)} = {'/'.join(map(self.term, listed))}"
            case _:
                return self.fixed(term)

    def arithmetic(self, term: terms.Plus | terms.Minus | terms.Times | terms.Product) -> str:
        match term:
            case terms.Plus(left=left, right=right):
                return f"{self.term(left)} + {self.term(right)}"
            case terms.Minus(left=left, right=right):
                return f"{self.term(left)} - {self.within(right)}"
            case terms.Times(factor=factor, term=inner):
                return f"{self.term(factor)} × {self.within(inner)}"
            case terms.Product(left=left, right=right):
                return f"{self.within(left)} × {self.within(right)}"

    def of_members(self, term: terms.Count | terms.Gather) -> str:
        if isinstance(term, terms.Count):
            if term.where is None:
                return self.say("people")
            return self.say("people_where", where=self.term(term.where))
        said = self.say(term.tally, value=self.term(term.value))
        if term.where is None:
            return said
        return self.say("of_people", value=said, where=self.term(term.where))

    def within(self, term: Term) -> str:
        said = self.term(term)
        return f"({said})" if isinstance(term, terms.Plus | terms.Minus) else said

    def compare(self, term: terms.Compare) -> str:
        left, right, sign = term.left, term.right, SYMBOLS[term.sign]
        if isinstance(left, terms.Const | terms.Param):
            left, right, sign = right, left, TURNED[term.sign]
        return f"{self.term(left)} {sign} {self.term(right)}"

    # --- values ---

    def observed(self, observed: Observed, kind: Kind) -> str:
        return self.range((observed.low, observed.high), kind)

    def range(self, found: Range, kind: Kind) -> str:
        low, high = found
        if low is not None and low == high:
            return self.value(low, kind)
        if kind is Kind.BOOL or (low is None and high is None):
            return self.say("unknown")
        if high is None:
            return self.say("from", low=self.value(low, kind))
        if low is None:
            return self.say("up_to", high=self.value(high, kind))
        return self.say("range", low=self.value(low, kind), high=self.value(high, kind))

    def value(self, value: Value | None, kind: Kind) -> str:
        if value is None:
            return self.say("unknown")
        if isinstance(value, bool):
            return self.say("pass" if value else "fail")
        if isinstance(value, date):
            return value.isoformat()
        if kind is Kind.RATIO and isinstance(value, int):
            return self.decimal(value, 3 if value % 10 else 2)
        if kind is Kind.MONEY and isinstance(value, int):
            return f"{self.local(grouped(value, self.rules.pack.currency))} {self.why.currency}"
        return str(value)

    def decimal(self, thousandths: int, places: int) -> str:
        """Return a ratio, cut off and never rounded up to a limit that it does not reach."""
        whole, rest = divmod(abs(thousandths), RATIO_SCALE)
        sign = "-" if thousandths < 0 else ""
        return self.local(f"{sign}{whole}.{str(rest).rjust(3, '0')[:places]}")

    def local(self, number: str) -> str:
        return number.translate(SWAPPED) if self.language is Language.TR else number


def _parts(term: Term | None) -> tuple[Term, ...]:
    return () if term is None else terms.every(term)


def _exact(found: Range) -> int | None:
    low, high = found
    return low if isinstance(low, int) and low == high else None


def _numbers(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
