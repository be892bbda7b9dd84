"""A number that is known, or the distribution of one that is not.

In a scenario file an assumption is either a plain number (`0.012`) or one block that names its
distribution: `{uniform: [low, high]}`, `{triangular: [low, most likely, high]}`,
`{normal: [mean, standard deviation]}`, `{lognormal: [median, sigma of the logarithm]}`,
`{beta: [alpha, beta]}`. A distribution that cannot be is refused where it is written.

Every draw is the quantile of a uniform number: two scenarios that are handed the same uniform
numbers differ by what they assume and by nothing else (common random numbers). A normal
distribution of a share is cut at 0 and 1, one of a price at 0.

Vocabulary: the *base value* is the median: the value of the base path.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, model_validator

Floats = npt.NDArray[np.float64]
Shape = Literal["fixed", "uniform", "triangular", "normal", "lognormal", "beta"]
HALF = np.array([0.5])
WRITTEN = {
    "uniform": "[low, high]",
    "triangular": "[low, most likely, high]",
    "normal": "[mean, standard deviation]",
    "lognormal": "[median, sigma]",
    "beta": "[alpha, beta]",
}


def _number(value: object) -> Decimal:
    if isinstance(value, int | Decimal | str) and not isinstance(value, bool):
        try:
            number = Decimal(value)
        except ArithmeticError:
            number = Decimal("NaN")
        if number.is_finite():
            return number
    message = "write a number, such as 0.012"
    raise ValueError(message)


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


Number = Annotated[Decimal, BeforeValidator(_number), PlainSerializer(_plain)]


class Chance(BaseModel):
    """A known number (`fixed`) or one distribution."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    fixed: Number | None = None
    uniform: tuple[Number, ...] | None = None
    triangular: tuple[Number, ...] | None = None
    normal: tuple[Number, ...] | None = None
    lognormal: tuple[Number, ...] | None = None
    beta: tuple[Number, ...] | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            message = "give a number, or exactly one distribution"
            raise ValueError(message)
        if self.fixed is None:
            problem = impossible(self.shape, self.numbers)
            if problem:
                raise ValueError(problem)
        return self

    @property
    def shape(self) -> Shape:
        """Which of them it is."""
        for shape in ("uniform", "triangular", "normal", "lognormal", "beta"):
            if getattr(self, shape) is not None:
                return shape
        return "fixed"

    @property
    def numbers(self) -> tuple[Decimal, ...]:
        """What the shape is made of."""
        if self.fixed is not None:
            return (self.fixed,)
        numbers: tuple[Decimal, ...] = getattr(self, self.shape)
        return numbers

    @property
    def is_known(self) -> bool:
        """Whether there is nothing to draw."""
        return self.fixed is not None

    def quantiles(
        self, uniform: Floats, least: int | None = None, most: int | None = None
    ) -> Floats:
        """Return the values at the `uniform` numbers (0 to 1), cut at `least` and `most`."""
        first, *rest = (np.float64(number) for number in self.numbers)
        drawn = QUANTILES[self.shape](uniform, first, *rest)
        return drawn if least is None and most is None else np.clip(drawn, least, most)

    def base(self) -> Decimal:
        """Return the median, with nine decimals."""
        if self.fixed is not None:
            return self.fixed
        return Decimal(f"{self.quantiles(HALF)[0]:.9f}")


def impossible(shape: Shape, numbers: tuple[Decimal, ...]) -> str:
    """Return why there is no distribution of this shape and these numbers; empty: there is one."""
    if len(numbers) != WRITTEN[shape].count(",") + 1:
        return f"a {shape} distribution is written as {WRITTEN[shape]}"
    match shape:
        case "uniform":
            wrong = not numbers[0] < numbers[1]
            why = "its low is not below its high"
        case "triangular":
            low, mode, high = numbers
            wrong = not (low <= mode <= high and low < high)
            why = "its most likely value is not between its low and its high"
        case "normal":
            wrong, why = numbers[1] <= 0, "its standard deviation is not above zero"
        case "lognormal":
            wrong, why = min(numbers) <= 0, "its median and its sigma are not both above zero"
        case _:
            wrong, why = min(numbers) <= 0, "alpha and beta are not both above zero"
    return f"a {shape} distribution cannot be this one: {why}" if wrong else ""


def _fixed(uniform: Floats, value: np.float64) -> Floats:
    return np.full(uniform.shape, value)


def _uniform(uniform: Floats, low: np.float64, high: np.float64) -> Floats:
    return low + uniform * (high - low)


def _triangular(uniform: Floats, low: np.float64, mode: np.float64, high: np.float64) -> Floats:
    width = high - low
    turn = (mode - low) / width
    rising = low + np.sqrt(uniform * width * (mode - low))
    falling = high - np.sqrt((1 - uniform) * width * (high - mode))
    return np.where(uniform < turn, rising, falling)


def _normal(uniform: Floats, mean: np.float64, deviation: np.float64) -> Floats:
    from scipy.special import ndtri

    drawn: Floats = mean + deviation * ndtri(uniform)
    return drawn


def _lognormal(uniform: Floats, median: np.float64, sigma: np.float64) -> Floats:
    from scipy.special import ndtri

    drawn: Floats = median * np.exp(sigma * ndtri(uniform))
    return drawn


def _beta(uniform: Floats, alpha: np.float64, beta: np.float64) -> Floats:
    from scipy.special import betaincinv

    drawn: Floats = betaincinv(alpha, beta, uniform)
    return drawn


QUANTILES: dict[str, Callable[..., Floats]] = {
    "fixed": _fixed,
    "uniform": _uniform,
    "triangular": _triangular,
    "normal": _normal,
    "lognormal": _lognormal,
    "beta": _beta,
}


def _written(value: object) -> object:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return {"fixed": Decimal(value)}
    return value


Assumption = Annotated[Chance, BeforeValidator(_written)]
