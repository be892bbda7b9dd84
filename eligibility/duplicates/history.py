"""The identifiers of a person over time: several, lawfully, and each with its dates.

Decides when two people's identifiers say that they are one, or two. A person in Türkiye may have
had a first-registration number (98...), then a foreigner number (99...), then a citizen's; a
passport that was renewed; a number of another body; phones and accounts that changed. So any
number of one history is held against any of the other of the same kind, whenever they were valid;
a difference *between* kinds says nothing. Only kinds with check digits contradict, only by valid
numbers, and only if no number of that kind is shared.

Days are inclusive at the beginning and exclusive at the end; None is not known, or still valid.
"""

from dataclasses import dataclass, field
from datetime import date

from eligibility.duplicates.fields import CHECKED
from eligibility.duplicates.identifiers import STRONG, Kind, Verdict, judge


@dataclass(frozen=True, slots=True)
class Held:
    """An identifier somebody held: judged, with who issued it and from when until when."""

    kind: Kind
    number: str = field(repr=False)
    verdict: Verdict
    issuer: str = ""
    valid_from: date | None = None
    valid_until: date | None = None

    def on(self, day: date) -> bool:
        """Return whether it was held on `day`, as far as its dates say."""
        begun = self.valid_from is None or self.valid_from <= day
        return begun and (self.valid_until is None or day < self.valid_until)


@dataclass(frozen=True, slots=True)
class History:
    """The identifiers of one person, in the order they became known."""

    held: tuple[Held, ...] = ()

    def with_number(
        self,
        kind: str,
        raw: str,
        *,
        issuer: str = "",
        valid_from: date | None = None,
        valid_until: date | None = None,
    ) -> "History":
        """Return the history with one more identifier; fillers and what is known add nothing.

        The kind is what the number turns out to be (`identifiers.judge`), not what was ticked.
        """
        judged = judge(kind, raw)
        if not judged.normalised:
            return self
        new = Held(judged.kind, judged.normalised, judged.verdict, issuer, valid_from, valid_until)
        return self if new in self.held else History((*self.held, new))

    def current(self, kind: Kind, day: date) -> Held | None:
        """Return the identifier of `kind` held on `day`: the valid one, the last known first."""
        found = [one for one in reversed(self.held) if one.kind is kind and one.on(day)]
        found.sort(key=lambda one: one.verdict is not Verdict.VALID)
        return found[0] if found else None

    def numbers(self, kind: Kind) -> frozenset[str]:
        """Return the valid numbers of `kind`, of any time."""
        return frozenset(
            one.number for one in self.held if one.kind is kind and one.verdict is Verdict.VALID
        )


def shared(one: History, other: History) -> Kind | None:
    """Return the first strong kind of which both held the same valid number, None if none."""
    for kind in sorted(STRONG):
        if one.numbers(kind) & other.numbers(kind):
            return kind
    return None


def contradicting(one: History, other: History) -> Kind | None:
    """Return the first kind by which these are two people, None if none."""
    for kind in sorted(STRONG):
        ours, theirs = one.numbers(kind), other.numbers(kind)
        if kind.value in CHECKED and ours and theirs and ours.isdisjoint(theirs):
            return kind
    return None
