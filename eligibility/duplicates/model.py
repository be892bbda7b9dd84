"""The model of a linkage: what was learned, where the lines between the bands are, its version.

Decides nothing by itself: it is data, kept as JSON beside the decisions made with it, and named by
the digest of its content. It holds the roles of the fields, the comparisons with their shares, the
prior, the cap on household evidence and the thresholds; with the same records it gives the same
pairs.

The thresholds are shipped, not tuned on a caseload: `review` and `automatic` in bits, the same
for every set of fields; decision 0024 has what they were measured on.
"""

import hashlib
import json
import math
from dataclasses import dataclass

from eligibility.duplicates.comparisons import Fact, facts_of, spoken
from eligibility.duplicates.fields import Fields
from eligibility.duplicates.names import NORMALISER_VERSION
from eligibility.duplicates.shapes import Group
from ledgers.problems import Answer, Problem

MODEL_UNREADABLE = Problem(
    "link_model_unreadable",
    "The model cannot be used: {why}.",
    "Train a new one from the records, or take the model that was written by this version.",
    Answer.USAGE,
)

MODEL_VERSION = 2
CAP_BITS = 10.0  # of all household facts together
NO_CAP_BITS = 100.0  # more than all facts together: for files of people who share no household
REVIEW_BITS = -2.0  # one in five; below it deciding costs more than it finds
DOUBT_BITS = 8.0  # more than the review line, where a personal fact speaks against
AUTOMATIC_BITS = 7.0  # a hundred to one, before the strong identifier is asked for
SHARE_MIN = 1e-9

Shares = dict[str, tuple[tuple[float, float], ...]]  # fact → (m, u) of each level
Settings = dict[str, object]


@dataclass(frozen=True, slots=True)
class Model:
    """What linkage needs to know besides the records.

    `prior` is the chance that two records taken blindly are one person; `shares` are (m, u) of
    the levels of each fact, in the order of `facts`; `trained` says how they came about.
    """

    fields: Fields
    names: tuple[str, ...]
    prior: float
    shares: Shares
    trained: str
    cap: float = CAP_BITS
    review: float = REVIEW_BITS
    doubt: float = DOUBT_BITS
    automatic: float = AUTOMATIC_BITS

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The comparisons, in the order of `names`."""
        return facts_of(self.names, self.fields.kinds())

    @property
    def prior_bits(self) -> float:
        """The prior as bits; negative, for most pairs are two people."""
        return math.log2(self.prior / (1 - self.prior))

    @property
    def digest(self) -> str:
        """SHA-256 of the model's content, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def in_group(self, group: Group) -> list[Fact]:
        """Return the comparisons whose evidence belongs to `group`."""
        return [fact for fact in self.facts if fact.group is group]

    def settings(
        self, rules: list[str], dialect: str = "duckdb", *, shares: bool = True
    ) -> Settings:
        """Return the settings of a Splink linker with the blocking `rules`, in SQL of `dialect`.

        The records must have the columns of a `Prepared` table, those that the rules name, and
        with `shares` those of `frequencies.count_shares`.
        """
        return {
            "link_type": "dedupe_only",
            "unique_id_column_name": "n",
            "probability_two_random_records_match": self.prior,
            "comparisons": [self._comparison(fact, dialect, shares=shares) for fact in self.facts],
            "blocking_rules_to_generate_predictions": rules,
            "retain_matching_columns": False,  # names stay where they are
            "retain_intermediate_calculation_columns": True,
            "max_iterations": 25,
            "em_convergence": 0.0005,
        }

    def _comparison(self, fact: Fact, dialect: str, *, shares: bool) -> Settings:
        levels: list[Settings] = [
            {"sql_condition": fact.unknown, "label_for_charts": "not known", "is_null_level": True}
        ]
        for level, (m, u) in zip(fact.levels, self.shares[fact.name], strict=True):
            settings: Settings = {
                "sql_condition": spoken(level.sql, dialect),
                "label_for_charts": level.says,
                "m_probability": m,
                "u_probability": u,
                "fix_m_probability": level.settled,
                "fix_u_probability": level.settled,
            }
            if level.frequency and shares:
                settings |= {
                    "tf_adjustment_column": level.frequency,
                    "disable_tf_exact_match_detection": True,
                }
            levels.append(settings)
        return {"output_column_name": fact.name, "comparison_levels": levels}

    def to_json(self) -> str:
        """Return the model as canonical JSON."""
        content = {
            "model": MODEL_VERSION,
            "normaliser": NORMALISER_VERSION,
            "fields": self.fields.model_dump(mode="json"),
            "names": list(self.names),
            "prior": self.prior,
            "shares": self.shares,
            "trained": self.trained,
            "cap": self.cap,
            "review": self.review,
            "doubt": self.doubt,
            "automatic": self.automatic,
        }
        return json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "Model":
        """Return the model in `text`; raises `link_model_unreadable`."""
        try:
            content = json.loads(text)
            if (content["model"], content["normaliser"]) != (MODEL_VERSION, NORMALISER_VERSION):
                why = "it was made by another version of the names' keys"
                raise MODEL_UNREADABLE.refusal(why=why)
            model = cls(
                fields=Fields.model_validate_json(json.dumps(content["fields"])),
                names=tuple(content["names"]),
                prior=content["prior"],
                shares={
                    name: tuple((m, u) for m, u in pairs)
                    for name, pairs in content["shares"].items()
                },
                trained=content["trained"],
                cap=content["cap"],
                review=content["review"],
                doubt=content["doubt"],
                automatic=content["automatic"],
            )
        except (ValueError, KeyError, TypeError):
            raise MODEL_UNREADABLE.refusal(why="it is not the JSON of a model") from None
        if any(len(model.shares.get(f.name, ())) != len(f.levels) for f in model.facts):
            raise MODEL_UNREADABLE.refusal(why="its shares are not those of its comparisons")
        return model


def shipped(fields: Fields, names: tuple[str, ...], people: int) -> Model:
    """Return the model before anything was learned, for a registry of `people`."""
    shares: Shares = {
        fact.name: tuple((level.m, level.u) for level in fact.levels)
        for fact in facts_of(names, fields.kinds())
    }
    prior = min(0.1, 0.05 / max(people, 2))  # one in ten people is there twice
    return Model(fields, names, prior, shares, "shipped")
