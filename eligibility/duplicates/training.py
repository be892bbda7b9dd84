"""Learning what each agreement is worth, from the records alone and without labels.

Decides the shares of a model: *u* from pairs taken blindly, *m* by expectation maximisation in
blocks where some pairs are one person, the prior from pairs that agree in everything that matters.
A block made of household facts (a phone, a surname with a parent) is never used: the two classes
found there are same household and other household, and a sister's birth date would count for her.
So the blocks are the birth day, for everything but the date, and given with family name, for
everything but the names.

Where too few records are one person to learn from, the shipped shares stay. A disagreement never
counts for a pair, whatever was learned.

Source: Splink 5, `linker.training`; figures in decision 0024.
"""

import logging
from dataclasses import replace

import duckdb

from eligibility.duplicates.blocking import Blocked
from eligibility.duplicates.model import SHARE_MIN, Model, Shares, shipped
from eligibility.duplicates.splinking import Learned, Splinking

PEOPLE_MIN = 1_000  # fewer teach nothing
MATCHES_MIN = 40  # agreeing pairs below which shares are not learned
PAIRS_BLIND = 500_000
PAIRS_BLOCK = 1_500_000
SEED = 1
SURE_RECALL = 0.6  # of the rules below; the prior need not be better than a factor of two

_BLOCKS = {
    "birth_date": "l.birth = r.birth AND NOT l.birth_coarse AND NOT r.birth_coarse",
    "given_name": "l.given_skeleton = r.given_skeleton AND l.family_skeleton = r.family_skeleton",
}

logger = logging.getLogger(__name__)


def train(conn: duckdb.DuckDBPyConnection, blocked: Blocked) -> Model:
    """Return the model learned from the `blocked` persons; the shipped one where they are few."""
    prepared = blocked.prepared
    start = shipped(prepared.fields, prepared.facts, prepared.people)
    sure = _sure(prepared.facts, prepared.fields.kinds())
    matches = _matches(conn, prepared.table, sure)
    if prepared.people < PEOPLE_MIN or matches < MATCHES_MIN:
        return start
    total = prepared.people * (prepared.people - 1) / 2
    model = replace(start, prior=min(0.1, matches / SURE_RECALL / total))
    linker = Splinking(conn, blocked, model)
    names = set(prepared.facts)
    needed = {"birth_date": {"birth_date"}, "given_name": {"given_name", "family_name"}}
    blocks = [sql for fact, sql in _BLOCKS.items() if needed[fact] <= names]
    learned = linker.learned(blocks, PAIRS_BLIND, PAIRS_BLOCK, SEED)
    return replace(model, shares=_sensible(model, learned), trained="expectation maximisation")


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
            share_m = max(first[0] if m is None else m, SHARE_MIN)
            share_u = max(first[1] if u is None else u, SHARE_MIN)
            if level.against:
                share_m = min(share_m, share_u)
            pairs.append(first if level.settled else (share_m, share_u))
        shares[fact.name] = tuple(pairs)
    return shares
