"""The list of problems: one meaning for each code, and masking that tells nobody anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledgers.problems import PROBLEMS, Place, Problem, Refusal, Weight, counted, masked

SUM_WRONG = Problem(
    "sum_wrong_in_a_test", "The sum of {file} is {sum}.", "Add it up again.", weight=Weight.REFUSED
)


def test_a_code_has_one_meaning() -> None:
    assert Problem("sum_wrong_in_a_test", SUM_WRONG.sentence, SUM_WRONG.remedy,
                   weight=Weight.REFUSED) == SUM_WRONG  # fmt: skip
    with pytest.raises(ValueError, match="defined twice"):
        Problem("sum_wrong_in_a_test", "Something else.", "Do something else.")
    PROBLEMS.pop("sum_wrong_in_a_test")


def test_a_refusal_says_what_why_and_what_to_do() -> None:
    refusal = SUM_WRONG.refusal(file="a.csv", sum=3)
    assert (str(refusal), refusal.sentence, refusal.remedy) == (
        "sum_wrong_in_a_test: The sum of a.csv is 3. Add it up again.",
        "The sum of a.csv is 3.",
        "Add it up again.",
    )
    finding = SUM_WRONG.finding(Place("a.csv", row=7, field="sum"), "3", file="a.csv", sum=3)
    told = Refusal(SUM_WRONG, refusal.facts, [finding])
    assert [str(f) for f in told.findings] == [
        "a.csv, row 7, sum: sum_wrong_in_a_test: The sum of a.csv is 3. Add it up again."
    ]


def test_what_is_counted_is_said_for_one_and_for_more() -> None:
    found = Problem(
        "found_in_a_test", "{rows:row is|rows are} lost of {of}.", "Keep {of:row|rows}."
    )
    told = [found.refusal(rows=rows, of=1) for rows in (0, 1, 2, 1_200, "1")]
    assert [refusal.sentence for refusal in told] == [
        "0 rows are lost of 1.", "1 row is lost of 1.", "2 rows are lost of 1.",
        "1,200 rows are lost of 1.", "1 row is lost of 1.",
    ]  # fmt: skip
    assert found.finding(Place(), rows=1, of=3).remedy == "Keep 3 rows."
    assert found.general == ("{rows} rows are lost of {of}.", "Keep {of} rows.")
    assert counted(21, "day", "days") == "21 days"
    PROBLEMS.pop("found_in_a_test")


@given(st.text(min_size=1, max_size=60))
def test_masked_shows_at_most_four_characters(value: str) -> None:
    shown = masked(value).rpartition(" ")[0]
    assert len(shown.replace("…", "", 1)) <= 4


def test_the_example_of_the_module_is_not_in_the_list() -> None:
    # `example_only` is defined where its example runs, and nowhere else.
    assert "example_only" not in PROBLEMS or PROBLEMS["example_only"].sentence.startswith(
        "The file has"
    )
