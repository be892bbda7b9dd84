"""The band of each pair: our own decision on Splink's match weights, as SQL.

Decides what may be done with a pair without a person looking at it, and what nobody needs to see.

* **Household evidence is capped.** Surname, parents, phone and place are one fact that a whole
  household shares; taken as independent they make brothers and sisters one person. What they
  exceed the model's cap by is taken off, and shown as a piece of its own. Where the given name is
  another, a birth date in common is one of these facts: twins share it.
* **Veto** only by two valid identifiers of one kind that differ, where the kind has check digits.
* **Automatic** only with a shared strong identifier, with every personal fact agreeing, and a
  score above the model's line. A shared strong identifier with less is always *reviewed*.
* Where a personal fact speaks against (another given name, another date), the line for review is
  higher by the model's `doubt`: fathers and sons, grandsons named after their grandfathers.
* Two persons of one roster are two people; so a person is linked to at most one member of
  another roster, the likeliest. Exactly equal scores are both kept.

Source: Fellegi & Sunter (1969); the measurements are in decision 0024.
"""

from eligibility.duplicates.comparisons import Fact
from eligibility.duplicates.model import Model
from eligibility.duplicates.preparing import Prepared
from eligibility.duplicates.shapes import BITS, LEVEL, Band, Group

_DECISIVE = ("given_name", "birth_date")  # must be known and agree for an automatic link


def scored(model: Model, weighed: str) -> str:
    """Return the query from Splink's weights to scores; pairs that nobody needs are left out.

    `weighed` is a query of `splinking.Weights`. The columns are n_l, n_r, shared_id, score, and of
    each fact gamma_ and bits_, with bits_prior and bits_cap.
    """
    facts = [fact.name for fact in model.facts]
    household = " + ".join(f"{BITS}{f.name}" for f in model.in_group(Group.HOUSEHOLD)) or "0.0"
    person = " + ".join(f"{BITS}{f.name}" for f in model.in_group(Group.PERSON)) or "0.0"
    return f"""
    WITH pieces AS (
        SELECT n_l, n_r, match_key AS shared_id, {", ".join(f"gamma_{f}" for f in facts)},
            {", ".join(_bits(fact) for fact in model.facts)}
        FROM ({weighed})
    ), capped AS (
        SELECT *, {model.prior_bits!r}::DOUBLE AS bits_prior,
            least(0.0, {model.cap!r}::DOUBLE - ({household} + {_twins(model)})) AS bits_cap
        FROM pieces
    ), scored AS (
        SELECT *, bits_prior + {person} + {household} + bits_cap AS score FROM capped
    )
    SELECT * FROM scored WHERE score >= {model.review!r} OR shared_id IS NOT NULL
    """


def decided(model: Model, left: Prepared, right: Prepared, scored: str) -> str:
    """Return the query from the table `scored` to the pairs that are kept, with their band.

    The columns are those of `linkage.Links.table`.
    """
    bits = ", ".join(f"{BITS}{fact.name}" for fact in model.facts)
    doubted = model.review + model.doubt
    return f"""
    WITH judged AS (
        SELECT p.n_l, p.n_r, l.record_id AS id_l, r.record_id AS id_r, l.roster AS roster_l,
            r.roster AS roster_r, p.score, p.shared_id, {_veto(model)} AS veto,
            {_contradiction(model)} AS contradiction, {_sure(model)} AS sure,
            {_levels(model)}, bits_prior, {bits}, bits_cap
        FROM {scored} p
        JOIN {left.table} l ON l.n = p.n_l
        JOIN {right.table} r ON r.n = p.n_r
        WHERE coalesce(l.roster <> r.roster, true)
    ), likeliest AS (
        SELECT * FROM judged WHERE shared_id IS NOT NULL OR (veto IS NULL AND score >=
            CASE WHEN contradiction IS NULL THEN {model.review!r} ELSE {doubted!r} END)
        QUALIFY shared_id IS NOT NULL OR (
            (roster_r IS NULL OR rank() OVER (PARTITION BY n_l, roster_r ORDER BY score DESC) = 1)
            AND
            (roster_l IS NULL OR rank() OVER (PARTITION BY n_r, roster_l ORDER BY score DESC) = 1)
        )
    )
    SELECT *, CASE WHEN sure AND shared_id IS NOT NULL AND veto IS NULL
        AND score >= {model.automatic!r} THEN '{Band.AUTOMATIC}' ELSE '{Band.REVIEW}' END AS band
    FROM likeliest
    """


def _bits(fact: Fact) -> str:
    shared = any(level.frequency for level in fact.levels)
    rarity = f" + mw_tf_adj_{fact.name}" if shared else ""
    return f"mw_{fact.name}{rarity} AS {BITS}{fact.name}"


def _levels(model: Model) -> str:
    """Return the columns that say how each fact agrees."""
    columns = []
    for fact in model.facts:
        whens = " ".join(
            f"WHEN {place} THEN '{level.says}'"
            for place, level in zip(reversed(range(len(fact.levels))), fact.levels, strict=True)
        )
        name = fact.name
        columns.append(f"CASE gamma_{name} {whens} ELSE 'not known' END AS {LEVEL}{name}")
    return ", ".join(columns)


def _at(model: Model, name: str, *, alone: bool) -> list[int]:
    """Return Splink's numbers of the levels of `name` that suffice alone, or that speak against."""
    fact = next(fact for fact in model.facts if fact.name == name)
    places = reversed(range(len(fact.levels)))
    return [
        place
        for place, level in zip(places, fact.levels, strict=True)
        if (level.alone if alone else level.against)
    ]


def _contradiction(model: Model) -> str:
    """Return the first personal fact that speaks against, as SQL."""
    whens = []
    for fact in model.in_group(Group.PERSON):
        against = ", ".join(str(place) for place in _at(model, fact.name, alone=False))
        whens.append(f"WHEN gamma_{fact.name} IN ({against}) THEN '{fact.name}'")
    return f"CASE {' '.join(whens)} END" if whens else "CAST(NULL AS VARCHAR)"


def _sure(model: Model) -> str:
    """Return whether every personal fact agrees well enough for a link nobody looks at."""
    terms = []
    for fact in model.in_group(Group.PERSON):
        alone = ", ".join(str(place) for place in _at(model, fact.name, alone=True))
        unknown = "" if fact.name in _DECISIVE else f"gamma_{fact.name} = -1 OR "
        terms.append(f"({unknown}gamma_{fact.name} IN ({alone}))")
    known = set(_DECISIVE) <= set(model.names)
    return " AND ".join(terms) if terms and known else "false"


def _twins(model: Model) -> str:
    """Return the part of the birth date's evidence that a household shares, as SQL.

    Where the given name is another, one birth date is what twins have.
    """
    if not set(_DECISIVE) <= set(model.names):
        return "0.0"
    against = ", ".join(str(place) for place in _at(model, "given_name", alone=False))
    return (
        f"CASE WHEN gamma_given_name IN ({against})"
        f" THEN greatest(0.0, {BITS}birth_date) ELSE 0.0 END"
    )


def _veto(model: Model) -> str:
    """Return the kind of which both hold valid numbers that differ, as SQL."""
    whens = [
        f"WHEN l.id_{kind}_valid AND r.id_{kind}_valid AND l.id_{kind} <> r.id_{kind}"
        f" AND coalesce(shared_id <> '{kind}', true) THEN '{kind}'"
        for kind, (_, veto) in model.fields.kinds().items()
        if veto
    ]
    return f"CASE {' '.join(whens)} END" if whens else "CAST(NULL AS VARCHAR)"
