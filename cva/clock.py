"""The clock: the only place that knows what time it is.

Moments are UTC; a day is the day in Turkey, where the programmes run, because cycles, consent and
value dates are days people there write down.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

from cva.settings import Settings

ZONE = ZoneInfo("Europe/Istanbul")


class Clock(Protocol):
    """Says what time it is."""

    def now(self) -> datetime:
        """Return the moment, in UTC."""

    def today(self) -> date:
        """Return the day it is in Turkey."""


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the machine's moment, in UTC."""
        return datetime.now(UTC)

    def today(self) -> date:
        """Return the day it is in Turkey."""
        return self.now().astimezone(ZONE).date()


@dataclass(frozen=True, slots=True)
class FixedClock:
    """A clock that stands at `moment` (an aware datetime), for demonstrations and tests."""

    moment: datetime

    def now(self) -> datetime:
        """Return the moment it stands at, in UTC."""
        return self.moment.astimezone(UTC)

    def today(self) -> date:
        """Return the day that moment is in, in Turkey."""
        return self.moment.astimezone(ZONE).date()


def clock_of(settings: Settings) -> Clock:
    """Return the clock that the settings ask for: fixed by `CVA_NOW`, otherwise the machine's."""
    return SystemClock() if settings.now is None else FixedClock(settings.now)
