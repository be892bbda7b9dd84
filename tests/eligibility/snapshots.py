"""Snapshots of a few households, written as the registry writes them."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

HOUSEHOLDS = pa.schema(
    [
        ("household_id", pa.string()),
        ("province", pa.string()),
        ("district", pa.string()),
        ("population_group", pa.string()),
        ("declared_size", pa.int32()),
        ("has_roster", pa.bool_()),
        ("rcsi", pa.int64()),
        ("months_rent_owed", pa.int64()),
        ("monthly_income_minor", pa.int64()),
        ("has_voucher_card", pa.bool_()),
        ("has_debit_card", pa.bool_()),
        ("has_iban", pa.bool_()),
    ]
)
MEMBERS = pa.schema(
    [
        ("household_id", pa.string()),
        ("member_no", pa.int32()),
        ("relationship", pa.string()),
        ("sex", pa.string()),
        ("birth_date", pa.date32()),
        ("birth_date_precision", pa.string()),
        ("nationality", pa.string()),
        ("disability_percent", pa.int32()),
    ]
)
ADULT = {"relationship": "head", "birth_date": date(1990, 1, 1), "birth_date_precision": "exact"}

Facts = Mapping[str, object]


def write_snapshot(
    folder: Path, households: Sequence[Facts], members: Mapping[str, Sequence[Facts]]
) -> tuple[Path, Path]:
    """Write the two files and return their paths; what is not given is null."""
    rows = [
        {"household_id": household_id, "member_no": number, **person}
        for household_id, people in members.items()
        for number, person in enumerate(people, start=1)
    ]
    paths = folder / "households.parquet", folder / "members.parquet"
    pq.write_table(pa.Table.from_pylist(list(households), HOUSEHOLDS), paths[0])
    pq.write_table(pa.Table.from_pylist(rows, MEMBERS), paths[1])
    return paths


def household(household_id: str, **facts: object) -> Facts:
    """A household with a roster and an account."""
    return {
        "household_id": household_id,
        "province": "TR-34",
        "has_roster": True,
        "has_iban": True,
        "rcsi": 20,
        **facts,
    }
