"""Months as the first day of each: counting them and naming them."""

from datetime import date


def month_after(day: date, count: int) -> date:
    """Return the first day of the month that comes `count` months after that of `day`.

    >>> month_after(date(2026, 11, 20), 3), month_after(date(2026, 1, 1), -1)
    (datetime.date(2027, 2, 1), datetime.date(2025, 12, 1))
    """
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    return date(year, month + 1, 1)


def months_between(first: date, last: date) -> int:
    """Return how many months `last` comes after `first`.

    >>> months_between(date(2026, 10, 1), date(2027, 1, 31))
    3
    """
    return (last.year - first.year) * 12 + last.month - first.month


def months_from(start: date, count: int) -> list[date]:
    """Return the first days of `count` months, that of `start` first."""
    return [month_after(start, at) for at in range(count)]


def named(day: date) -> str:
    """Return the name of the month that a day is in.

    >>> named(date(2026, 11, 20))
    '2026-11'
    """
    return day.strftime("%Y-%m")
