"""What overlap is judged on, and what is said: assistance, rosters, links, acts, findings.

Nothing here names a person: people, households and records are ids that mean something only to who
handed them over. Lists are Arrow tables of the schemas below, so that a registry of millions is
judged in one pass; the dataclasses are the same rows for whoever writes or reads a few.

Vocabulary: a *record* is one piece of assistance, planned or given, with its need and its period;
its *unit* says whether it is for a person or for a household; a *link* says that two people (or two
households) of different records may be the same; the *basis* is how two records come to concern the
same people; the *first* record of a finding stands, the *second* yields to it; an *act* is what
people did about a finding, under the *evidence* they saw.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime
from enum import StrEnum

import pyarrow as pa


class Unit(StrEnum):
    """Who a record is for."""

    HOUSEHOLD = "household"
    PERSON = "person"


class Status(StrEnum):
    """How far a record has come."""

    PLANNED = "planned"  # on a list, nobody has committed it
    COMMITTED = "committed"  # approved; the money is on hold
    PAID = "paid"
    FAILED = "failed"  # not received; may be paid again
    CANCELLED = "cancelled"  # will never be paid; the only status that is not live


class Modality(StrEnum):
    """What is given; it never decides whether two needs overlap."""

    CASH = "cash"
    VOUCHER = "voucher"
    IN_KIND = "in_kind"


class Strength(StrEnum):
    """How certain it is that both records concern the same people."""

    CONFIRMED = "confirmed"
    POSSIBLE = "possible"


class HouseholdLink(StrEnum):
    """What is known of two households besides their people."""

    CONFIRMED = "confirmed"  # people decided that they are one
    POSSIBLE = "possible"  # nobody has decided
    INSTRUMENT = "instrument"  # one phone, account or card; says nothing about who they are


class Basis(StrEnum):
    """How two records come to concern the same people."""

    SAME_PERSON = "same_person"
    SAME_HOUSEHOLD = "same_household"
    MEMBER_OF_HOUSEHOLD = "member_of_household"  # one is for a person, one for their household
    SHARED_MEMBER = "shared_member"  # two households, too few people in common to be one
    INSTRUMENT = "instrument"  # only a phone, an account or a card in common


class Relation(StrEnum):
    """What two needs (or two programmes) are to each other."""

    SAME = "same"
    PARTIAL = "partial"  # one contains some of the other
    COMPLEMENTARY = "complementary"  # meant to go together; never overlaps
    EXCLUSIVE = "exclusive"  # two programmes that shut each other out, whatever the need


class Verdict(StrEnum):
    """What the policy says of the second record, from the heaviest to the lightest."""

    STOP = "stop"  # it is not paid; it never lapses into payment
    HOLD = "hold"  # people look first, by a deadline
    CAP = "cap"  # it is paid up to the ceiling
    REPORT = "report"  # told to both sides; nothing is stopped and nothing is taken back
    FLAG = "flag"  # a note on the payment instrument
    CLEAR = "clear"  # it overlaps and is allowed


class Reason(StrEnum):
    """Why the verdict is what it is; a stable code, worded in `explaining`."""

    SAME_NEED = "same_need"
    NEED_CONTAINED = "need_contained"
    PROGRAMMES_EXCLUSIVE = "programmes_exclusive"
    MAY_BE_THE_SAME = "may_be_the_same"
    MEMBER_SHARED = "member_shared"
    INSTRUMENT_SHARED = "instrument_shared"
    CEILING_FULL = "ceiling_full"
    CEILING_NEARLY_FULL = "ceiling_nearly_full"
    BELOW_CEILING = "below_ceiling"
    AMOUNT_UNKNOWN = "amount_unknown"
    SIZE_UNKNOWN = "size_unknown"
    FAILED_MAY_BE_REPAID = "failed_may_be_repaid"
    BOTH_PAID = "both_paid"
    TIE = "tie"
    REISSUED = "reissued"
    REFERRED = "referred"
    COMPLEMENT_AGREED = "complement_agreed"
    OVERRIDDEN = "overridden"
    UNDER_APPEAL = "under_appeal"
    APPEAL_UPHELD = "appeal_upheld"


class Action(StrEnum):
    """What people did about a finding."""

    OVERRIDE = "override"  # pay in spite of it; counts when enough people say so
    TOLD = "told"  # the household was told why; the time for an appeal begins
    APPEAL = "appeal"  # the household objects
    UPHOLD = "uphold"  # the appeal is right; counts when enough people say so
    DISMISS = "dismiss"  # the appeal is not


@dataclass(frozen=True, slots=True)
class Assistance:
    """One piece of assistance of one agency for one household or person.

    `recipient_id` is unique over all lists handed over together, for each unit. `first_day` and
    `last_day` are both included; no `last_day` is an open end. A `one_off` record counts for its
    window, whatever its last day. `amount_minor` is for the whole period, None where the agency
    does not say it; `people` the number of people it was worked out for. `committed_at` is when
    the agency bound itself. `replaces` names the record this one is issued again for; a referral
    has the agency that referred and the day.
    """

    record_id: str
    agency: str
    programme: str
    recipient_id: str
    unit: Unit
    need: str
    modality: Modality
    first_day: date
    last_day: date | None
    one_off: bool
    status: Status
    committed_at: datetime | None = None
    currency: str | None = None
    amount_minor: int | None = None
    people: int | None = None
    replaces: str | None = None
    referred_by: str | None = None
    referred_on: date | None = None


@dataclass(frozen=True, slots=True)
class RosterLine:
    """A person in a household, from and until the days given, both included; None is open."""

    household_id: str
    person_id: str
    is_head: bool
    first_day: date | None = None
    last_day: date | None = None


@dataclass(frozen=True, slots=True)
class PersonLink:
    """Two people who are or may be the same; in either order."""

    left_id: str
    right_id: str
    strength: Strength


@dataclass(frozen=True, slots=True)
class HouseholdPair:
    """Two households that are or may be the same, or share an instrument; in either order."""

    left_id: str
    right_id: str
    link: HouseholdLink


@dataclass(frozen=True, slots=True)
class Act:
    """What one person did about the finding of two records, under the evidence they saw."""

    first_id: str
    second_id: str
    evidence: str
    action: Action
    person_id: str
    reason: str
    on: date


@dataclass(frozen=True, slots=True)
class Overlap:
    """A finding: two live records that concern the same people, overlapping need and period.

    `shared` counts the people of both, `size` those of the smaller household (1 and 1 for people).
    `first_day` and `last_day` are the days in common, both included. `payable_minor` is what may
    still be paid of the second record, None where the verdict is not `cap`. `lapses` says whether
    a deadline that passes lets it be paid. `evidence` is the SHA-256 of what the verdict rests on
    except acts: an act counts only for the evidence it was done under.
    """

    first_id: str
    second_id: str
    basis: Basis
    strength: Strength
    shared: int
    size: int
    relation: Relation
    first_day: date
    last_day: date | None
    verdict: Verdict
    reason: Reason
    payable_minor: int | None
    lapses: bool
    evidence: str


TEXT = pa.string()
DAY = pa.date32()
MOMENT = pa.timestamp("us", tz="UTC")
MINOR = pa.int64()
COUNT = pa.int32()
TRUTH = pa.bool_()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


ASSISTANCE = _schema(
    record_id=TEXT, agency=TEXT, programme=TEXT, recipient_id=TEXT, unit=TEXT, need=TEXT,
    modality=TEXT, first_day=DAY, last_day=DAY, one_off=TRUTH, status=TEXT, committed_at=MOMENT,
    currency=TEXT, amount_minor=MINOR, people=COUNT, replaces=TEXT, referred_by=TEXT,
    referred_on=DAY,
)  # fmt: skip
ROSTER = _schema(household_id=TEXT, person_id=TEXT, is_head=TRUTH, first_day=DAY, last_day=DAY)
PERSON_LINKS = _schema(left_id=TEXT, right_id=TEXT, strength=TEXT)
HOUSEHOLD_LINKS = _schema(left_id=TEXT, right_id=TEXT, link=TEXT)
ACTS = _schema(
    first_id=TEXT, second_id=TEXT, evidence=TEXT, action=TEXT, person_id=TEXT, reason=TEXT, on=DAY,
)  # fmt: skip
OVERLAPS = _schema(
    first_id=TEXT, second_id=TEXT, basis=TEXT, strength=TEXT, shared=COUNT, size=COUNT,
    relation=TEXT, first_day=DAY, last_day=DAY, verdict=TEXT, reason=TEXT, payable_minor=MINOR,
    lapses=TRUTH, evidence=TEXT,
)  # fmt: skip

Row = Assistance | RosterLine | PersonLink | HouseholdPair | Act | Overlap
SCHEMAS: dict[type[Row], pa.Schema] = {
    Assistance: ASSISTANCE,
    RosterLine: ROSTER,
    PersonLink: PERSON_LINKS,
    HouseholdPair: HOUSEHOLD_LINKS,
    Act: ACTS,
    Overlap: OVERLAPS,
}


@dataclass(frozen=True, slots=True)
class Lists:
    """Everything that is judged together: one table of each of the schemas above.

    Records of several agencies stand in one table, and so do their rosters and links.
    """

    assistance: pa.Table
    roster: pa.Table
    person_links: pa.Table
    household_links: pa.Table
    acts: pa.Table


def table_of(kind: type[Row], rows: Iterable[Row]) -> pa.Table:
    """Return the rows, all of `kind`, as a table of its schema."""
    schema = SCHEMAS[kind]
    values = list(zip(*(astuple(row) for row in rows), strict=True)) or [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def overlaps_of(table: pa.Table) -> list[Overlap]:
    """Return the rows of a table of `OVERLAPS`, in its order."""
    columns = [table[field.name].to_pylist() for field in fields(Overlap)]
    return [
        Overlap(
            first_id, second_id, Basis(basis), Strength(strength), shared, size,
            Relation(relation), first_day, last_day, Verdict(verdict), Reason(reason),
            payable, lapses, evidence,
        )
        for (
            first_id, second_id, basis, strength, shared, size, relation, first_day, last_day,
            verdict, reason, payable, lapses, evidence,
        ) in zip(*columns, strict=True)
    ]  # fmt: skip
