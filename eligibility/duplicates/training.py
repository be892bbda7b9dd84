"""Learning what each agreement is worth, from the records alone and without labels.

Decides the shares of a model: *u* from pairs taken blindly, *m* by expectation maximisation in
blocks where some pairs are one person, the prior from pairs that agree in everything that matters.
A block made of household facts (a phone, a surname with a parent) is never used: the two classes
found there are same household and other household, and a sister's birth date would count for her.
So the blocks are the birth day, for everything but the date, and a strong identifier, for
everything else. Where there are no identifiers, given with family name stands in; among relatives
who share names it takes their dates for errors, so it comes last.

Where too few records are one person to learn from, the shipped shares stay. A disagreement never
counts for a pair, whatever was learned.

Source: Splink 5, `linker.training`; figures in decision 0024.
"""

from dataclasses import replace

import duckdb

from eligibility.duplicates.blocking import Blocked
from eligibility.duplicates.fields import Role
from eligibility.duplicates.model import NO_CAP_BITS, SHARE_MIN, Model, Shares, shipped
from eligibility.duplicates.preparing import Prepared
from eligibility.duplicates.splinking import Learned, Pairs, learn

PEOPLE_MIN = 1_000  # fewer teach nothing
MATCHES_MIN = 40  # agreeing pairs below which shares are not learned
IDENTIFIED_MIN = 200  # pairs with one number, below which names teach more
SHIPPED_SHARE = 0.02  # of the shipped m in a learned one: what was not met may still happen
RELATIVES_MAX = 0.2  # share of such pairs above which a file is one of households
PEOPLE_MAX = 250_000  # taken blindly; more teach nothing else, and memory is bounded
PAIRS_BLIND = 500_000  # at most
PAIRS_BLIND_EACH = 40  # for each person
PAIRS_BLOCK = 1_500_000
SEED = 1
SURE_RECALL = 0.6  # of the rules below; the prior need not be better than a factor of two

_DAY = "l.birth = r.birth AND NOT l.birth_coarse AND NOT r.birth_coarse"
_NAMES = "l.given_skeleton = r.given_skeleton AND l.family_skeleton = r.family_skeleton"


def train(conn: duckdb.DuckDBPyConnection, blocked: Blocked) -> Model:
    """Return the model learned from the `blocked` persons; the shipped one where they are few."""
    prepared = blocked.prepared
    start = shipped(prepared.fields, prepared.facts, prepared.people)
    if not _households(conn, blocked):
        start = replace(start, cap=NO_CAP_BITS, doubt=0.0)
    sure = _sure(prepared.facts, prepared.fields.kinds())
    matches = _matches(conn, prepared.table, sure)
    if prepared.people < PEOPLE_MIN or matches < MATCHES_MIN:
        return start
    total = prepared.people * (prepared.people - 1) / 2
    model = replace(start, prior=min(0.1, matches / SURE_RECALL / total))
    blind = min(PAIRS_BLIND, PAIRS_BLIND_EACH * prepared.people)
    pairs = Pairs(blind, PAIRS_BLOCK, SEED)
    some = _some(conn, prepared)
    learned = learn(conn, some, model, _blocks(conn, blocked), pairs)
    if some != prepared.table:
        conn.execute(f"DROP TABLE {some}")
    return replace(model, shares=_sensible(model, learned), trained="expectation maximisation")


def _some(conn: duckdb.DuckDBPyConnection, prepared: Prepared) -> str:
    """Return the table of the people to learn from: all, or some of very many."""
    if prepared.people <= PEOPLE_MAX:
        return prepared.table
    some = f"{prepared.table}_some"
    one_in = prepared.people / PEOPLE_MAX
    conn.execute(
        f"CREATE OR REPLACE TABLE {some} AS SELECT * FROM {prepared.table}"
        f" WHERE hash(n) % 1000000 < {1_000_000 / one_in:.0f}"
    )
    return some


def _households(conn: duckdb.DuckDBPyConnection, blocked: Blocked) -> bool:
    """Return whether people of the file share households, so that the cap is needed.

    They do if the file has rosters, or if many pairs with one surname in one place (or with one
    phone) have neither the given name nor the birth date in common: then they are relatives.
    """
    prepared = blocked.prepared
    facts = prepared.facts
    shared = [fact for fact in ("phone", "place_1") if fact in facts]
    if prepared.fields.of(Role.ROSTER) or not {"given_name", "family_name", "birth_date"} <= set(
        facts
    ):
        return True
    if not shared:
        return False
    for fact in shared:
        pairs, strangers = conn.execute(
            "SELECT count(*), count(*) FILTER (jaro_winkler_similarity(l.given_skeleton,"
            " r.given_skeleton) < 0.8 AND damerau_levenshtein(l.birth, r.birth) > 2)"
            f" FROM {prepared.table} l JOIN {prepared.table} r ON l.family_skeleton ="
            f" r.family_skeleton AND l.{fact} = r.{fact} AND l.n < r.n"
        ).fetchall()[0]
        if strangers > RELATIVES_MAX * pairs:
            return True
    return False


def _blocks(conn: duckdb.DuckDBPyConnection, blocked: Blocked) -> list[str]:
    """Return the blocks to learn m in."""
    prepared = blocked.prepared
    names = set(prepared.facts)
    strong = [kind for kind, (yes, _) in prepared.fields.kinds().items() if yes]
    rules = [f"l.id_{kind} = r.id_{kind}" for kind in strong]
    blocks = [rule for rule in rules if _matches(conn, prepared.table, [rule]) >= IDENTIFIED_MIN]
    if not blocks and {"given_name", "family_name"} <= names:
        blocks = [_NAMES]
    return [*([_DAY] if "birth_date" in names else []), *blocks]


def _sure(names: tuple[str, ...], kinds: dict[str, tuple[bool, bool]]) -> list[str]:
    """Return rules that hardly ever bring two people together."""
    rules = [
        f"l.id_{kind} = r.id_{kind} AND l.id_{kind}_valid"
        for kind, (strong, _) in kinds.items()
        if strong
    ]
    if {"given_name", "family_name", "birth_date"} <= set(names):
        rules.append(
            "l.given_skeleton = r.given_skeleton AND l.family_skeleton = r.family_skeleton"
            " AND l.birth = r.birth AND NOT l.birth_coarse"
        )
    return rules


def _matches(conn: duckdb.DuckDBPyConnection, table: str, rules: list[str]) -> int:
    """Return how many pairs fulfil one of `rules`."""
    if not rules:
        return 0
    pairs = " UNION ".join(
        f"SELECT l.n AS a, r.n AS b FROM {table} l JOIN {table} r ON {rule} AND l.n < r.n"
        for rule in rules
    )
    return int(conn.execute(f"SELECT count(*) FROM ({pairs})").fetchall()[0][0])


def _sensible(model: Model, learned: Learned) -> Shares:
    """Return the shares learned, the shipped ones where none were, none against their sense."""
    shares: Shares = {}
    for fact in model.facts:
        pairs = []
        for level, first, (m, u) in zip(
            fact.levels, model.shares[fact.name], learned[fact.name], strict=True
        ):
            share_m = SHIPPED_SHARE * first[0] + (1 - SHIPPED_SHARE) * (
                first[0] if m is None else m
            )
            share_u = max(first[1] if u is None else u, SHARE_MIN)
            if level.against:
                share_m = min(share_m, share_u)
            pairs.append(first if level.settled else (share_m, share_u))
        shares[fact.name] = tuple(pairs)
    return shares
