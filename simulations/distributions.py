"""What is not known exactly, said as a distribution in a scenario file.

A distribution turns chances (uniform numbers) into values by its quantile function. So one set of
chances serves all of them: common random numbers, the ends of a tornado (quantiles 5 and 95 %) and
the quasi-random points of Sobol indices. Parameters are exact decimals as written in the file;
impossible ones (a highest value below the lowest, a spread below zero) are refused when it is read.
"""

from decimal import Decimal
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from scipy import special

from simulations.randomness import Floats


def _exact(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return Decimal(value) if whole and isinstance(value, int) else value


Number = Annotated[Decimal, BeforeValidator(_exact), Field(allow_inf_nan=False)]
CHANCE_MIN = 2.0**-54  # below the smallest chance above 0 that is drawn; keeps quantiles finite
STRICT = ConfigDict(frozen=True, extra="forbid", strict=True)


class Constant(BaseModel):
    """Always `value`."""

    model_config = STRICT
    kind: Literal["constant"] = "constant"
    value: Number

    def quantile(self, chances: Floats) -> Floats:
        """Return the values at the `chances` (0 to 1), of the same shape."""
        return np.full_like(chances, np.float64(self.value))


class Uniform(BaseModel):
    """Anything from `low` to `high`, level."""

    model_config = STRICT
    kind: Literal["uniform"]
    low: Number
    high: Number

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.high < self.low:
            message = "high is below low"
            raise ValueError(message)
        return self

    def quantile(self, chances: Floats) -> Floats:
        """Return the values at the `chances` (0 to 1), of the same shape."""
        low, high = np.float64(self.low), np.float64(self.high)
        values: Floats = low + (high - low) * chances
        return values


class Triangular(BaseModel):
    """From `low` to `high`, most often about `mode`: what an expert says in three numbers."""

    model_config = STRICT
    kind: Literal["triangular"]
    low: Number
    mode: Number
    high: Number

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if not self.low <= self.mode <= self.high:
            message = "mode is not between low and high"
            raise ValueError(message)
        return self

    def quantile(self, chances: Floats) -> Floats:
        """Return the values at the `chances` (0 to 1), of the same shape."""
        low, mode, high = (np.float64(x) for x in (self.low, self.mode, self.high))
        if high == low:
            return np.full_like(chances, low)
        rising = low + np.sqrt(chances * (high - low) * (mode - low))
        falling = high - np.sqrt((1 - chances) * (high - low) * (high - mode))
        values: Floats = np.where(chances <= (mode - low) / (high - low), rising, falling)
        return values


class Normal(BaseModel):
    """About `mean` with standard deviation `sd`; `least` and `most` cut it off where given."""

    model_config = STRICT
    kind: Literal["normal"]
    mean: Number
    sd: Annotated[Number, Field(ge=0)]
    least: Number | None = None
    most: Number | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.least is not None and self.most is not None and self.most <= self.least:
            message = "most is not above least"
            raise ValueError(message)
        low, high = self._range()
        if high - low <= 0 and self.sd > 0:
            message = "least and most leave nothing of this normal distribution"
            raise ValueError(message)
        return self

    def _range(self) -> tuple[np.float64, np.float64]:
        if self.sd == 0:
            return np.float64(0), np.float64(1)
        ends = [
            np.float64(special.ndtr(np.float64((end - self.mean) / self.sd)))
            if end is not None
            else np.float64(whole)
            for end, whole in ((self.least, 0), (self.most, 1))
        ]
        return ends[0], ends[1]

    def quantile(self, chances: Floats) -> Floats:
        """Return the values at the `chances` (0 to 1), of the same shape."""
        low, high = self._range()
        within = _inside(low + chances * (high - low))
        values: Floats = np.float64(self.mean) + np.float64(self.sd) * special.ndtri(within)
        least = None if self.least is None else np.float64(self.least)
        most = None if self.most is None else np.float64(self.most)
        return np.clip(values, least, most) if (least, most) != (None, None) else values


class LogNormal(BaseModel):
    """Half of the values are above `median`; the logarithm has standard deviation `sigma`."""

    model_config = STRICT
    kind: Literal["log_normal"]
    median: Annotated[Number, Field(gt=0)]
    sigma: Annotated[Number, Field(ge=0, le=10)]

    def quantile(self, chances: Floats) -> Floats:
        """Return the values at the `chances` (0 to 1), of the same shape."""
        steps = special.ndtri(_inside(chances))
        values: Floats = np.float64(self.median) * np.exp(np.float64(self.sigma) * steps)
        return values


class Beta(BaseModel):
    """A share between 0 and 1 with the `mean`, as sure as if seen in `cases` cases."""

    model_config = STRICT
    kind: Literal["beta"]
    mean: Annotated[Number, Field(gt=0, lt=1)]
    cases: Annotated[Number, Field(gt=0)]

    def quantile(self, chances: Floats) -> Floats:
        """Return the values at the `chances` (0 to 1), of the same shape."""
        mean, cases = np.float64(self.mean), np.float64(self.cases)
        values: Floats = special.betaincinv(mean * cases, (1 - mean) * cases, chances)
        return values


Distribution = Annotated[
    Constant | Uniform | Triangular | Normal | LogNormal | Beta, Field(discriminator="kind")
]


def _inside(chances: Floats) -> Floats:
    """Keep chances off 0 and 1, where a normal quantile has no end."""
    kept: Floats = np.clip(chances, CHANCE_MIN, 1 - 2.0**-53)
    return kept
