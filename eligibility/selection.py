"""Who is served now, of those who qualify: order, quota, waiting list.

Whether a household qualifies and whether it is served when places are short are two things, and
both are kept. Eligible households stand in one order: the highest score first, ties by a key that
nobody can choose, HMAC-SHA256 of the household's id under a seed published before the draw. The
quota is filled strictly from the top, in each stratum by itself: a household that comes later is
never taken first because it is cheaper or smaller, and unused places of one stratum never move to
another. The rest is the waiting list, with positions.

The key is computed once and stored, because other engines hash and break ties differently.
"""

import hmac
from hashlib import sha256
from typing import Annotated, Literal, Self

import ibis
from pydantic import BaseModel, ConfigDict, Field, model_validator

Places = Annotated[int, Field(ge=0, le=100_000_000)]
BLOCK_BYTES = 64


class Quota(BaseModel):
    """Places in each stratum of one column; a stratum that is not named has none."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    by: Literal["province", "population_group"]
    households: Annotated[dict[str, Places], Field(min_length=1)]


class Selection(BaseModel):
    """The order, and the places: either `households` in all or a `quota` by stratum."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    order: Literal["highest_score_first"]
    households: Places | None = None
    quota: Quota | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.households is None) == (self.quota is None):
            message = "give either households (places in all) or quota (places by stratum)"
            raise ValueError(message)
        return self

    @property
    def places(self) -> int:
        """How many households can be served in all."""
        if self.quota is not None:
            return sum(self.quota.households.values())
        return self.households or 0


def tie_key(seed: str, household_id: str) -> str:
    """Return HMAC-SHA256 of `household_id` under the published `seed`, in hexadecimal."""
    return hmac.new(seed.encode(), household_id.encode(), sha256).hexdigest()


def tie_key_sql(seed: str, column: str) -> str:
    """Return `tie_key` of a text column as an expression of DuckDB (RFC 2104 over its sha256)."""
    secret = seed.encode()
    if len(secret) > BLOCK_BYTES:
        secret = sha256(secret).digest()
    block = secret.ljust(BLOCK_BYTES, b"\0")
    inner, outer = (_blob(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    return f"sha256({outer} || unhex(sha256({inner} || encode({column}))))"


def _blob(content: bytes) -> str:
    return f"unhex('{content.hex()}')"


def stratum_of(selection: Selection) -> str | None:
    """Return the column the quota is by, or None where places are counted in all."""
    return selection.quota.by if selection.quota is not None else None


def served(eligible: ibis.Table, selection: Selection) -> ibis.Table:
    """Add `rank`, `selected` and `waitlist_position` to a table of households.

    Needs the columns household_id, status, score, tie_key and the stratum's. `rank` counts from 1
    within the stratum and is null where the status is not `eligible`; `waitlist_position` counts
    from 1 after the last place.
    """
    qualifies = eligible.status == "eligible"
    stratum = stratum_of(selection)
    group = [qualifies] if stratum is None else [qualifies, eligible[stratum]]
    order = [eligible.score.desc(), eligible.tie_key, eligible.household_id]
    number = (ibis.row_number().over(group_by=group, order_by=order) + 1).cast("int32")
    ranked = eligible.mutate(rank=ibis.ifelse(qualifies, number, ibis.null("int32")))
    places = _places(ranked, selection)
    selected = ibis.coalesce(ranked.rank <= places, ibis.literal(value=False))
    waiting = ranked.rank.notnull() & ~selected
    position = ibis.ifelse(waiting, (ranked.rank - places).cast("int32"), ibis.null("int32"))
    return ranked.mutate(selected=selected, waitlist_position=position)


def _places(table: ibis.Table, selection: Selection) -> ibis.Value:
    if selection.quota is None:
        return ibis.literal(selection.households or 0, "int64")
    column = table[selection.quota.by]
    branches = [
        (column == stratum, ibis.literal(places, "int64"))
        for stratum, places in sorted(selection.quota.households.items())
    ]
    return ibis.cases(*branches, else_=ibis.literal(0, "int64"))
