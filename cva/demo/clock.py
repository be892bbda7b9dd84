"""The demo's clock.

It starts on a given day and moves on with every question, so that the same seed tells the same
story on any day.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from cva.clock import ZONE

STEP = timedelta(seconds=1)


@dataclass
class StoryClock:
    """A clock that only the story moves."""

    moment: datetime

    def now(self) -> datetime:
        """Return the moment, and move on a little."""
        self.moment += STEP
        return self.moment

    def today(self) -> date:
        """Return the day it is in Turkey."""
        return self.moment.astimezone(ZONE).date()

    def sleep(self, days: int) -> None:
        """Move on by whole days."""
        self.moment += timedelta(days=days)
