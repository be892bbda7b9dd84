"""A provider's list of expired loads is read whole or not at all."""

import pytest

from cva.payments.expired_list import read_expired
from ledgers.problems import Refusal


def test_amounts_by_instruction() -> None:
    lines = ["\ufeffinstruction,amount,note\n", "A1,1250.50,card 3\n", " B2 , 9000 ,\n"]
    assert read_expired(lines, "expired.csv", "TRY") == {"A1": 125_050, "B2": 900_000}


def test_every_unfit_row_is_told_and_nothing_is_taken() -> None:
    lines = ["instruction,amount\n", "A1,10\n", "A1,10\n", ",5\n", "B2,5.005\n", "C3,0\n", "D4\n"]
    with pytest.raises(Refusal, match="expired_row_unfit") as refused:
        read_expired(lines, "expired.csv", "TRY")
    assert [(f.place.row, f.problem.code) for f in refused.value.findings] == [
        (row, "expired_row_unfit") for row in (3, 4, 5, 6, 7)
    ]


def test_columns_and_rows_have_to_be_there() -> None:
    with pytest.raises(Refusal, match="expired_column_missing") as refused:
        read_expired(["reference,value\n", "A1,10\n"], "expired.csv", "TRY")
    assert [f.facts["column"] for f in refused.value.findings] == ["instruction", "amount"]
    with pytest.raises(Refusal, match="expired_empty"):
        read_expired(["instruction,amount\n"], "expired.csv", "TRY")
