"""From draft to submissions, batch by batch, in the order in which they are sent in.

A batch is 2,048 households with a random source of its own, so memory does not grow with the
population. The second registrations of a batch follow at its end. Submissions are numbered and
dated as they come: over 50 days that begin 60 days before the reference date; corrections begin
ten days after it. Every seed has a million record ids of its own, so that populations of different
seeds can be registered beside each other.
"""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta

import numpy as np

from adapters.kobo.export import Submission
from simulations.population.draft import FAULTS, FLAWS, SEED_NEGATIVE, Again, Draft, drafted
from simulations.population.flaws import spoil
from simulations.population.identifiers import Cards, Numbers
from simulations.population.names import Names, district_respelled, respelled
from simulations.population.people import (
    OPENED_BEFORE,
    Answers,
    Batch,
    household_answers,
    member_answers,
)
from simulations.population.rosters import Rosters, raked
from simulations.population.shape import Fault, Flaw, Shape

BATCH = 2_048
FIRST_RECORD = 10_000_001
RECORDS_OF_A_SEED = 1_000_000  # more than a population has, second registrations included
SEEDS_APART = 999_000_000  # record ids keep to 15 digits, which is all a spreadsheet holds
VERSION = "vPopulation1"
OPEN_SECONDS = 50 * 24 * 3600
CORRECTED_AFTER = timedelta(days=10)
RESPELLED_SHARE = 0.5  # of the names in a second registration of a free population
ID_LOST_SHARE = 0.2  # of identity numbers there, never the head's

# What a person in the field can put right: a new card, another account.
CORRECTABLE = {
    Fault.VOUCHER_REJECTED: "voucher_card_ref",
    Fault.DEBIT_REJECTED: "debit_card_ref",
    Fault.BANK_REJECTED: "iban",
    Fault.BANK_RETURNED: "iban",
}


@dataclass(frozen=True, slots=True)
class Made:
    """A submission, and what is known of it because it was made."""

    submission: Submission = field(repr=False)
    stratum: int  # place in the shape, 0 for a free population
    people: int  # members as drawn, before the row was spoilt
    flaw: Flaw | None = None
    fault: Fault | None = None
    first_record: int | None = None  # of a second registration: the record of the first


@dataclass(slots=True)
class Making:
    """A population on its way: the draft, and the counters that go on from batch to batch."""

    draft: Draft
    rosters: Rosters
    names: Names
    numbers: Numbers
    seed: int
    reference_date: date
    voucher_cards: Cards = field(default_factory=lambda: Cards("VC"))
    debit_cards: Cards = field(default_factory=lambda: Cards("DC"))
    submissions: int = 0
    corrections: int = 0

    @classmethod
    def begun(cls, source: Shape | int, seed: int, reference_date: date) -> "Making":
        """Draw the draft; everything else follows as `made` is read.

        `source` is a shape, or the number of households of a free population. Refuses a negative
        seed and numbers of households out of range.
        """
        if seed < 0:
            raise SEED_NEGATIVE.refusal(seed=seed)
        rosters = raked(np.random.default_rng([seed, 0]))
        numbers = Numbers.seeded(np.random.default_rng([seed, 1]))
        draft = drafted(source, seed, rosters)
        return cls(draft, rosters, Names.drawn(seed), numbers, seed, reference_date)

    def made(self) -> Iterator[Made]:
        """Yield every submission, once."""
        people = 0
        for start in range(0, len(self.draft), BATCH):
            draft = self.draft.rows(start, start + BATCH)
            batch = Batch.of(draft, self.rosters, (start, people), self.seed)
            people += int(batch.sizes.sum())
            rosters = member_answers(batch, self.names, self.numbers, self.reference_date)
            twice = []
            for place, fields in enumerate(household_answers(batch, self.names, self.numbers)):
                first = self._first(draft, place, fields, rosters[place])
                yield first
                if draft.again[place]:
                    twice.append((first, Again(int(draft.again[place]))))
            for first, again in twice:
                yield self._second(first, again, batch.rng)

    def corrected(self, made: Made) -> Submission | None:
        """Return the later revision with a new card or account; None where there is none to make.

        Everything but that one field, the instance id and the time is as it was.
        """
        fault = made.fault
        if fault not in CORRECTABLE:
            return None
        self.corrections += 1
        fresh = {
            Fault.VOUCHER_REJECTED: self.voucher_cards.next,
            Fault.DEBIT_REJECTED: self.debit_cards.next,
        }.get(fault, self._fresh_iban)()
        first = made.submission
        at = _morning(self.reference_date + CORRECTED_AFTER) + timedelta(minutes=self.corrections)
        return replace(
            first,
            uuid=self._uuid(first.record_id, "corrected"),
            submitted_at=at,
            fields={**first.fields, CORRECTABLE[fault]: fresh},
        )

    def _fresh_iban(self) -> str:
        return self.numbers.iban(len(self.draft) + self.corrections)

    def _first(self, draft: Draft, place: int, fields: Answers, members: list[Answers]) -> Made:
        flaw = FLAWS[draft.flaw[place]] if draft.flaw[place] >= 0 else None
        fault = FAULTS[draft.fault[place]] if draft.fault[place] >= 0 else None
        people = len(members)
        voucher, debit = bool(draft.voucher_card[place]), bool(draft.debit_card[place])
        for rail, cards, has in (
            ("voucher", self.voucher_cards, voucher),
            ("debit", self.debit_cards, debit),
        ):
            fields[f"{rail}_card_ref"] = cards.next(_on(rail, fault)) if has else ""
        if fields["iban"] and not fields["account_holder"]:
            head = members[0]
            fields["account_holder"] = f"{head['given_name']} {head['family_name']}"
        if flaw:
            spoil(flaw, fields, members, self.reference_date)
        submission = self._submission(fields, members)
        return Made(submission, int(draft.stratum[place]), people, flaw, fault)

    def _second(self, made: Made, again: Again, rng: np.random.Generator) -> Made:
        """Return the same household as another enumerator registered it, with new cards."""
        first = made.submission
        fields = dict(first.fields)
        members = [dict(member) for member in first.members]
        if fields["voucher_card_ref"]:
            fields["voucher_card_ref"] = self.voucher_cards.next()
        if fields["debit_card_ref"]:
            fields["debit_card_ref"] = self.debit_cards.next()
        if again is Again.OTHER_DISTRICT:
            fields["district"] = district_respelled(fields["district"])
        if again is Again.OTHER_NAMES:
            _written_otherwise(members, rng)
        submission = self._submission(fields, members)
        return replace(made, submission=submission, first_record=first.record_id)

    def _submission(self, fields: Answers, members: list[Answers]) -> Submission:
        """Give the next submission its number and its time."""
        total = len(self.draft) + int(np.count_nonzero(self.draft.again))
        seconds = self.submissions * OPEN_SECONDS // total
        at = _morning(self.reference_date - OPENED_BEFORE) + timedelta(seconds=seconds)
        own = self.seed % SEEDS_APART * RECORDS_OF_A_SEED
        record_id = FIRST_RECORD + own + self.submissions
        self.submissions += 1
        fields["consent_on"] = at.date().isoformat()
        return Submission(record_id, self._uuid(record_id, "first"), at, VERSION, fields, members)

    def _uuid(self, record_id: int, revision: str) -> str:
        text = f"{self.seed}/{record_id}/{revision}"
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        return str(uuid.UUID(bytes=digest, version=4))


def _morning(day: date) -> datetime:
    return datetime.combine(day, time(6), tzinfo=UTC)


def _written_otherwise(members: list[Answers], rng: np.random.Generator) -> None:
    """Change some spellings, at least the head's, and lose some identity numbers."""
    for place, member in enumerate(members):
        if place == 0 or rng.random() < RESPELLED_SHARE:
            member["given_name"] = respelled(member["given_name"])
        if rng.random() < RESPELLED_SHARE:
            member["family_name"] = respelled(member["family_name"])
        if place and rng.random() < ID_LOST_SHARE:
            member["id_type"], member["id_number"] = "none", ""


def _on(rail: str, fault: Fault | None) -> Fault | None:
    """Return the fault where it is one of the rail: a debit fault spares the voucher card."""
    return fault if fault and fault.value.startswith(f"{rail}_") else None
