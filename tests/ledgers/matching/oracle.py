"""A matcher in plain Python: the documented rules one line at a time, without any SQL.

It knows nothing of the engine's tables and is as slow as it looks; property tests hold the engine
to it. Lines are named by side and id.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations, product

from ledgers.matching.rules import Bounds, workday

OURS, THEIRS = "ours", "theirs"
Id = tuple[str, str]


@dataclass(frozen=True)
class Line:
    side: str
    line_id: str
    amount: int
    on: date = date(2026, 3, 2)
    ref: str = ""
    token: str = ""
    keys: tuple[str, ...] = ()
    kind: str = "payment"
    words: str = ""
    currency: str = "TRY"  # rules compare lines of one currency; so do the tests of all of them

    @property
    def id(self) -> Id:
        return self.side, self.line_id

    @property
    def day(self) -> int:
        return workday(self.on)


@dataclass
class Result:
    """Matches and suggestions as (rule, lines with what is applied), late matches, names."""

    matches: set = field(default_factory=set)
    late: set = field(default_factory=set)
    suggestions: set = field(default_factory=set)
    names: dict = field(default_factory=dict)


class Oracle:
    def __init__(self, lines: Iterable[Line], bounds: Bounds) -> None:
        self.all = sorted(lines, key=lambda x: (x.on, "S", x.line_id, x.side))
        self.rest = list(self.all)
        self.place = {line.id: number for number, line in enumerate(self.all)}
        self.bounds = bounds
        self.result = Result()
        self.unequal: list[tuple[Line, Line]] = []

    def run(self) -> Result:
        for step in (
            self.reference, self.repeated, self.other_amount, self.token_and_date, self.group,
            self.split, self.cancelling, self.words,
        ):  # fmt: skip
            step()
        open_ids = {line.id for line in self.rest}
        self.result.suggestions = {
            (rule, items)
            for rule, items in self.result.suggestions
            if {line_id for line_id, _ in items} <= open_ids
        }
        self.name()
        return self.result

    # --- the rules ---

    def reference(self) -> None:
        for ours, theirs in self.alike(self.rest):
            if len(ours) == len(theirs) == 1:
                self.confirm(
                    "reference", [ours[0], theirs[0]], late=self.is_late(ours[0], theirs[0])
                )

    def repeated(self) -> None:
        for ours, theirs in self.alike(self.rest):
            for o, t in zip(ours, theirs, strict=False):
                self.confirm("repeated_reference", [o, t], late=self.is_late(o, t))

    def other_amount(self) -> None:
        pairs = [
            (o, t)
            for o, t in self.pairs()
            if o.ref and o.ref == t.ref and (o.amount > 0) == (t.amount > 0)
        ]
        self.unequal = self.mutual(
            pairs, lambda o, t: (abs(o.amount - t.amount), abs(o.day - t.day))
        )
        for o, t in self.unequal:
            least = min(abs(o.amount), abs(t.amount)) * (1 if o.amount > 0 else -1)
            self.suggest("reference_other_amount", {o: least, t: least})

    def token_and_date(self) -> None:
        pairs = [
            (o, t)
            for o, t in self.pairs()
            if o.token and o.token == t.token and o.amount == t.amount
            and not (o.ref and t.ref) and self.in_time(o, t)
        ]  # fmt: skip
        best = self.mutual(pairs, lambda o, t: (abs(o.day - t.day),))
        for o, t in best:
            rivals = [pair for pair in pairs if o in pair or t in pair]
            if len(rivals) == 1 and not self.known(o) and not self.known(t):
                self.confirm("token_and_date", [o, t])
            else:
                self.suggest("token_and_date", {o: o.amount, t: t.amount})

    def group(self) -> None:
        exact = set()
        for key in {key for line in self.rest for key in line.keys}:
            ours = [x for x in self.rest if key in x.keys and x.side == OURS]
            theirs = [x for x in self.rest if key in x.keys and x.side == THEIRS]
            if min(len(ours), len(theirs)) == 1 and total(ours) == total(theirs):
                exact.add(frozenset(ours + theirs))
        for lines in exact:
            if any(lines & other for other in exact - {lines}):
                self.suggest("group", {line: line.amount for line in lines})
            else:
                self.confirm("group", list(lines))

    def split(self) -> None:
        for one in self.rest:
            parts = [
                c
                for c in self.rest
                if c.side != one.side and c.token and c.token == one.token
                and (c.amount > 0) == (one.amount > 0) and abs(c.amount) < abs(one.amount)
                and not self.known(c) and not self.known(one)
                and (self.in_time(one, c) if one.side == OURS else self.in_time(c, one))
            ]  # fmt: skip
            ways = [
                chosen
                for size in range(2, self.bounds.split_lines_max + 1)
                for chosen in combinations(parts, size)
                if total(chosen) == one.amount
            ]
            if len(ways) == 1:
                self.suggest("split", {line: line.amount for line in (one, *ways[0])})

    def cancelling(self) -> None:
        alike = defaultdict(list)
        for line in self.rest:
            if line.ref or line.token:
                token = "" if line.ref else line.token
                alike[line.side, abs(line.amount), line.ref, token].append(line)
        for lines in alike.values():
            days = [line.day for line in lines]
            if (
                len(lines) == 2
                and total(lines) == 0
                and (lines[0].ref or max(days) - min(days) <= self.bounds.days_after)
            ):
                self.confirm("cancelling", lines)

    def words(self) -> None:
        pairs = [
            (o, t)
            for o, t in self.pairs()
            if o.amount == t.amount and self.in_time(o, t)
            and self.likeness(o, t) >= self.bounds.words_percent
        ]  # fmt: skip
        for o, t in self.mutual(pairs, lambda o, t: (-self.likeness(o, t),)):
            self.suggest("words", {o: o.amount, t: t.amount})

    def name(self) -> None:
        paired = {t.id: o for o, t in self.unequal if o in self.rest and t in self.rest}
        ours_of_pairs = {o.id for o in paired.values()}
        for line in self.rest:
            if line.id in paired:
                less = abs(line.amount) < abs(paired[line.id].amount)
                self.result.names[line.id] = "short" if less else "over"
            elif line.id not in ours_of_pairs:
                self.result.names[line.id] = self.single_name(line)

    def single_name(self, line: Line) -> str:
        across = self.across(line)
        if line.kind == "fee":
            return "fee"
        if line.kind == "return" or (across and not self.known_same_way(line)):
            return "returned"
        if any(x.amount == line.amount for x in across):
            return "duplicate"
        if line.side == OURS:
            return "missing"
        return "over" if across else "unknown"

    # --- what they stand on ---

    def alike(self, lines: Sequence[Line]) -> list[tuple[list[Line], list[Line]]]:
        groups = defaultdict(lambda: ([], []))
        for line in lines:
            if line.ref:
                groups[line.ref, line.amount][line.side == THEIRS].append(line)
        return list(groups.values())

    def pairs(self) -> list[tuple[Line, Line]]:
        ours = [line for line in self.rest if line.side == OURS]
        theirs = [line for line in self.rest if line.side == THEIRS]
        return list(product(ours, theirs))

    def mutual(self, pairs: list[tuple[Line, Line]], cost) -> list[tuple[Line, Line]]:  # noqa: ANN001
        def of_ours(pair: tuple[Line, Line]) -> tuple:
            return (*cost(*pair), self.place[pair[1].id])

        def of_theirs(pair: tuple[Line, Line]) -> tuple:
            return (*cost(*pair), self.place[pair[0].id])

        return [
            pair
            for pair in pairs
            if pair == min((p for p in pairs if p[0] == pair[0]), key=of_ours)
            and pair == min((p for p in pairs if p[1] == pair[1]), key=of_theirs)
        ]

    def across(self, line: Line) -> list[Line]:
        return [x for x in self.all if line.ref and x.ref == line.ref and x.side != line.side]

    def known(self, line: Line) -> bool:
        return bool(self.across(line))

    def known_same_way(self, line: Line) -> bool:
        return any((x.amount > 0) == (line.amount > 0) for x in self.across(line))

    def in_time(self, o: Line, t: Line) -> bool:
        return -self.bounds.days_before <= t.day - o.day <= self.bounds.days_after

    def is_late(self, o: Line, t: Line) -> bool:
        return t.day - o.day > self.bounds.days_after

    def likeness(self, o: Line, t: Line) -> int:
        a, b = words_of(o.words), words_of(t.words)
        return 100 * len(a & b) // len(a | b) if a & b else 0

    def confirm(self, rule: str, lines: Sequence[Line], *, late: bool = False) -> None:
        match = rule, frozenset((line.id, line.amount) for line in lines)
        self.result.matches.add(match)
        if late:
            self.result.late.add(match)
        self.rest = [line for line in self.rest if line not in lines]

    def suggest(self, rule: str, applied: dict[Line, int]) -> None:
        items = frozenset((line.id, minor) for line, minor in applied.items())
        self.result.suggestions.add((rule, items))


def total(lines: Iterable[Line]) -> int:
    return sum(line.amount for line in lines)


def words_of(text: str) -> set[str]:
    return {word for word in re.split(r"[^A-Z0-9]+", text.upper()) if len(word) > 2}


def reconcile(lines: Iterable[Line], bounds: Bounds) -> Result:
    return Oracle(lines, bounds).run()
