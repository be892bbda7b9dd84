"""One cell of a form: what text it is, and whether a spreadsheet has damaged it.

Decides that a doubtful cell is named and, as far as it can be, kept: digits that a spreadsheet
rounded are unknown, never guessed.
"""

import re
import unicodedata

from ledgers.problems import Problem, Weight

NUMBER_IN_TEXT = Problem(
    "number_in_text",
    "{value} was stored as a number; leading zeros may be lost.",
    "Compare with the form, and format the column as text before saving.",
)
DIGITS_LOST = Problem(
    "digits_lost",
    "{value} was stored as a rounded number; its digits are lost and it stays unknown.",
    "Export again and do not save the file in a spreadsheet.",
)
FORMULA_IN_CELL = Problem(
    "formula_in_cell",
    "A cell holds a formula instead of an answer; its last value was taken.",
    "Export again without opening the file in a spreadsheet.",
)
SIGNS_REMOVED = Problem(
    "signs_removed",
    "An answer held signs that are no text; they were removed.",
    "Check the answer.",
    weight=Weight.NOTE,
)

_SCIENTIFIC = re.compile(r"\d+(?:[.,]\d+)?[eE]\+?\d+\Z")
_WHOLE = re.compile(r"(\d+)[.,]0+\Z")
_EXCEL_TEXT = re.compile(r'="(.*)"\Z', re.DOTALL)


def cleaned(text: str, *, is_digits: bool) -> tuple[str, Problem | None]:
    """Return a cell's text as an answer, and what is doubtful about it (None: nothing).

    `is_digits` says that the digits are a name for something (a phone, a document). The text is
    empty where it cannot be known any more.
    """
    if text.isdigit() or (text.isalnum() and not is_digits):
        return text, None
    problem = None
    if not text.isprintable():
        plain = "".join(_plain(sign) for sign in text)
        problem = None if len(plain) == len(text) else SIGNS_REMOVED
        text = plain
    text = text.strip()
    if text.startswith("="):
        inner = _EXCEL_TEXT.match(text)
        return (inner.group(1).strip(), problem) if inner else (text, FORMULA_IN_CELL)
    if is_digits and text[-1:].isdigit():
        if _SCIENTIFIC.match(text):
            return "", DIGITS_LOST
        whole = _WHOLE.match(text)
        if whole:
            return whole.group(1), NUMBER_IN_TEXT
    return text, problem


def _plain(sign: str) -> str:
    """Return a space for a line break, nothing for what no text column can hold."""
    if sign in "\t\n\r":
        return " "
    return "" if unicodedata.category(sign) in {"Cc", "Cs"} else sign
