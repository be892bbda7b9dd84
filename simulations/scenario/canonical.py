"""The canonical form of what a scenario says: equal meanings are equal JSON values."""

from collections.abc import Mapping
from datetime import date
from decimal import Decimal


def plain(value: object) -> object:
    """Return a value as JSON has it; a number that is written in another way is the same."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in sorted(value.items())}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value
