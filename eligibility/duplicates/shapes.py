"""What goes into linkage and what comes out of it: the only shapes its neighbours need to know.

In: *persons*, one row a person and registration, with the columns of `PERSON`; what is not known
is null, never invented. A plain file with other columns is described by a fields file
(`fields.py`) instead.

Out: *pairs*, one row for each two persons who may be one, with the columns of `PAIR` first and
then, for each fact compared, its *bits* (`bits_given_name` ...), the evidence as a base-2 logarithm
of how much likelier it is seen on one person than on two. Bits add up: prior + person facts +
household facts + cap (negative or 0) = `score`. Pairs below the review threshold are not written.

*Clusters* say which persons are one, as far as automatic links go; *household pairs* say what the
person links mean for two rosters.

Sources: Fellegi & Sunter, A Theory for Record Linkage (1969); Splink 5 (match weights).
"""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Band(StrEnum):
    """What may be done with a pair without a person looking at it."""

    AUTOMATIC = "automatic"  # one person: a strong identifier agrees and nothing contradicts
    REVIEW = "review"  # maybe one person: a person decides
    NONE = "none"  # not written


class Group(StrEnum):
    """Which sum a piece of evidence belongs to."""

    PRIOR = "prior"  # two records taken blindly
    PERSON = "person"  # given name, birth date, sex, identifiers: facts of one person
    HOUSEHOLD = "household"  # surname, parents, phone, place: one fact that a household shares
    CAP = "cap"  # what the household facts exceed their limit by, taken off again


_PERSON: dict[str, pa.DataType] = {
    "record_id": pa.string(),  # unique in the table
    "household_id": pa.string(),  # the roster; two persons of one roster are never linked
    "given_name": pa.string(),
    "family_name": pa.string(),
    "father_name": pa.string(),
    "mother_name": pa.string(),
    "sex": pa.string(),  # female | male
    "birth_date": pa.string(),  # 1990-01-31, as written; 1 January is a year
    "birth_date_precision": pa.string(),  # exact | year
    "id_type": pa.string(),  # a kind of `identifiers.Kind`, or none
    "id_number": pa.string(),
    "registration_number": pa.string(),  # of another body, such as UNHCR's
    "phone": pa.string(),
    "iban": pa.string(),
    "card_ref": pa.string(),
    "province": pa.string(),
    "district": pa.string(),
    "address": pa.string(),
    "relationship": pa.string(),  # head, child ...; alternate: a second collector
}  # fmt: skip
PERSON: pa.Schema = pa.schema(_PERSON)

_PAIR: dict[str, pa.DataType] = {
    "id_l": pa.string(),  # of `link_new`: of those held; otherwise the lesser of the two
    "id_r": pa.string(),
    "score": pa.float64(),  # bits; 0 = as likely one person as two
    "band": pa.string(),
    "shared_id": pa.string(),  # kind of a valid strong identifier both hold, null = none
    "veto": pa.string(),  # kind of which both hold valid ones that differ, null = none
    "contradiction": pa.string(),  # first fact that speaks against, null = none
}  # fmt: skip
PAIR: pa.Schema = pa.schema(_PAIR)

BITS = "bits_"  # prefix of the columns that add up: bits_prior, bits_<fact>, bits_cap
LEVEL = "level_"  # prefix of the columns that name the level of agreement of each fact

_CLUSTER: dict[str, pa.DataType] = {
    "cluster_id": pa.string(),  # the least record id of the cluster
    "record_id": pa.string(),
}  # fmt: skip
CLUSTER: pa.Schema = pa.schema(_CLUSTER)


class Likeness(StrEnum):
    """What the person links of two rosters mean for the households."""

    SAME = "same"  # one household, registered twice
    SPLIT = "split"  # several persons in common, and too few for one household
    SHARED_MEMBER = "shared_member"  # one person on two rosters: moved, or listed twice
    COLLECTOR_TWICE = "collector_twice"  # one alternate collector of two households
    INSTRUMENT = "instrument"  # only a phone, an account or a card in common: not identity


_HOUSEHOLD_PAIR: dict[str, pa.DataType] = {
    "household_l": pa.string(),
    "household_r": pa.string(),
    "likeness": pa.string(),
    "shared": pa.int32(),  # persons matched
    "overlap": pa.float64(),  # shared / size of the smaller roster
    "band": pa.string(),  # automatic where every matched pair is, otherwise review
    "instruments": pa.string(),  # phone, iban, card_ref in common, comma between
}  # fmt: skip
HOUSEHOLD_PAIR: pa.Schema = pa.schema(_HOUSEHOLD_PAIR)


@dataclass(frozen=True, slots=True)
class Piece:
    """One addend of a score.

    `fact` is the fact compared (`given_name`), `level` how it agrees in plain words, `bits` its
    weight; pieces of a pair add up to its score.
    """

    fact: str
    level: str
    group: Group
    bits: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a pair has its score and its band: pieces that add up, without any value compared."""

    id_l: str
    id_r: str
    score: float
    band: Band
    pieces: tuple[Piece, ...]
    model: str  # digest of the model
    shared_id: str | None
    veto: str | None
    contradiction: str | None
