"""Who is served now, of those who qualify: order, quota, budget, waiting list, discretion.

Whether a household qualifies and whether it is served when places are short are two things, and
both are kept. Eligible households stand in one order: by score, ties by a key that nobody can
choose, HMAC-SHA256 of the household's id under a seed published before the draw. Places are filled
strictly from the top, in each stratum of the quota by itself.

A budget is walked down in the order of all households: whoever is next is served if the amount
fits into what is left. The first that does not fit ends its stratum (or the whole list, where there
are no strata): a household that comes later is never taken first because it is cheaper or smaller.
Unused places of a stratum stay unused unless the pack says that they move; then they go to those
who wait in the other strata of the quota, again in the order of all. The rest of each stratum is
its waiting list, with positions. So the served of a stratum are always its first ones, and what a
walk comes to is one number for each stratum.

A *discretionary* household was listed by a person with a reason, within a cap: it is served beside
the order, takes no place of the quota, and its money comes off the budget first.

The key is computed once and stored, because other engines hash and break ties differently.
"""

import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eligibility.rules.fields import Sum

PLACES_MAX = 100_000_000
Places = Annotated[int, Field(ge=0, le=PLACES_MAX)]
BLOCK_BYTES = 64
ALL = ""  # the one stratum where places are counted in all
DISCRETIONARY = "discretionary"  # the household input that says who is listed
GRANT = "grant"

Ordered = Iterable[tuple[str, int]]


class Quota(BaseModel):
    """Places in each stratum of one column; a stratum that is not named has none."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    by: Literal["province", "population_group"]
    households: Annotated[dict[str, Places], Field(min_length=1)]
    unused: Literal["stay", "move"] | None = None  # None: they stay


class Discretion(BaseModel):
    """How many households people may list beside the order at any time, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    households_max: Annotated[int, Field(ge=1, le=1_000_000)]
    days_max: Annotated[int, Field(ge=1, le=3_660)]


class Selection(BaseModel):
    """The order, and what is short: places in all or by stratum, a budget, or both."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    order: Literal["highest_score_first", "lowest_score_first"]
    households: Places | None = None
    quota: Quota | None = None
    budget: Literal["grant"] | Sum | None = None
    discretionary: Discretion | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        none = self.households is None and self.quota is None
        if (none and self.budget is None) or (self.households is not None and self.quota):
            message = (
                "give either households (places in all) or quota (places by stratum), a budget,"
                " or one of the two with a budget"
            )
            raise ValueError(message)
        return self

    @property
    def places(self) -> int | None:
        """How many households can be served in all; None where only money is short."""
        if self.quota is not None:
            return sum(self.quota.households.values())
        return self.households

    @property
    def stated_budget(self) -> Decimal | str | None:
        """The budget that the pack itself states, or None."""
        return None if self.budget == GRANT else self.budget

    @property
    def is_walked(self) -> bool:
        """Whether who is served depends on more than the rank within the stratum."""
        moves = self.quota is not None and self.quota.unused == "move"
        return self.budget is not None or moves


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


@dataclass(frozen=True, slots=True)
class Filled:
    """What a walk down the list comes to: how many are served in each stratum, and what is left."""

    served: Mapping[str, int]
    left_minor: int | None  # of the budget; None where there is none


def fill(ordered: Callable[[], Ordered], selection: Selection, budget_minor: int | None) -> Filled:
    """Walk down the households in the order of all and count who is served in each stratum.

    `ordered` gives, each time it is called, stratum (`ALL` without a quota) and amount of every
    household that stands in the order, the first first.
    """
    walk = _Walk(places_in(selection), budget_minor)
    walk.go(ordered())
    if selection.quota is not None and selection.quota.unused == "move":
        walk.go_on(ordered(), walk.unused())
    return Filled(dict(walk.served), walk.left)


def places_in(selection: Selection) -> Mapping[str, int | None]:
    """Return the places of each stratum of the quota, or of `ALL`; None: no number is set."""
    return selection.quota.households if selection.quota else {ALL: selection.households}


class _Walk:
    """One walk: places and money are handed out one after another."""

    def __init__(self, places: Mapping[str, int | None], budget_minor: int | None) -> None:
        self.places = places
        self.left = budget_minor
        self.served: Counter[str] = Counter(dict.fromkeys(places, 0))
        self.stopped: set[str] = set()

    def go(self, ordered: Ordered) -> None:
        """Hand out the places of each stratum to its first households."""
        for stratum, amount_minor in ordered:
            places = self.places.get(stratum, 0)
            if places is None or self.served[stratum] < places:
                self.offer(stratum, amount_minor)
            if len(self.stopped) == len(self.places):
                return

    def unused(self) -> int:
        """Return the places of strata that ran out of households rather than of money."""
        return sum(
            (places or 0) - self.served[stratum]
            for stratum, places in self.places.items()
            if stratum not in self.stopped
        )

    def go_on(self, ordered: Ordered, spare: int) -> None:
        """Hand out `spare` places to those who wait in any stratum of the quota."""
        had, seen = Counter(self.served), Counter[str]()
        for stratum, amount_minor in ordered:
            if spare == 0:
                return
            seen[stratum] += 1
            if stratum in self.places and seen[stratum] > had[stratum]:
                spare -= self.offer(stratum, amount_minor)

    def offer(self, stratum: str, amount_minor: int) -> bool:
        """Serve the next household of the stratum if its amount fits, else end the stratum."""
        if stratum in self.stopped:
            return False
        if self.left is not None and amount_minor > self.left:
            self.stopped.add(stratum)
            return False
        self.served[stratum] += 1
        self.left = None if self.left is None else self.left - amount_minor
        return True
