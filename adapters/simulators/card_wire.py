"""The simulated card processor's own reading and writing of the agreed files.

The format is described in the `cards` adapter and read here a second time, from that description
and without its code: where the two disagree, a test fails.
"""

import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_ID = re.compile(r"[A-Z0-9]{1,35}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_WIDTH = {"LOAD": 7, "INQUIRY": 3}  # fields of a detail
_MODULUS = 10_000_000_000


class Unacceptable(Exception):  # noqa: N818 - an answer of the processor, not an error of it
    """A whole file is refused, with a reject code and why."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class Head(NamedTuple):
    """The head of a file sent to the processor."""

    kind: str
    file_id: str
    programme: str
    created: str
    currency: str
    exponent: int


NO_HEAD = Head("", "", "-", "1970-01-01T00:00:00Z", "XXX", 0)


def read_lines(file: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of `file` without their ends; raises `Unacceptable` F01."""
    for line in file:
        try:
            yield line.decode("utf-8").removesuffix("\n")
        except UnicodeDecodeError:
            raise Unacceptable("F01", "not UTF-8") from None


def read_head(line: str) -> Head:
    """Return the head of a load or inquiry file; raises `Unacceptable` F01."""
    try:
        tag, version, kind, file_id, programme, created, currency, exponent, sequence, about = (
            line.split("|")
        )
    except ValueError:
        raise Unacceptable("F01", "head is not of ten fields") from None
    fixed = (tag, version, sequence, about) == ("H", "CVA-CARD-1", "1", "") and kind in _WIDTH
    if not (fixed and _ID.fullmatch(file_id) and _TIME.fullmatch(created) and programme):
        raise Unacceptable("F01", "head is not as agreed")
    if exponent not in {"0", "2", "3"}:
        raise Unacceptable("F01", "decimals of the currency")
    return Head(kind, file_id, programme, created, currency, int(exponent))


def read_details(kind: str, lines: Iterator[str]) -> Iterator[list[str]]:
    """Yield the fields of each detail, then check the trailer; raises `Unacceptable` F01, F02."""
    total = hashed = 0
    for count, line in enumerate(lines):
        fields = line.split("|")
        if fields[0] == "T":
            if fields[1:] != [str(count), str(total), f"{hashed % _MODULUS:010d}"]:
                raise Unacceptable("F02", "trailer disagrees with the lines")
            if next(lines, None) is not None:
                raise Unacceptable("F01", "lines after the trailer")
            return
        amount = _amount(kind, fields, count + 1)
        total += amount
        hashed += zlib.crc32(f"{fields[2]}|{amount}".encode("ascii"))
        yield fields
    raise Unacceptable("F01", "no trailer")


def _amount(kind: str, fields: list[str], number: int) -> int:
    """Check a detail and return its amount, 0 for a question."""
    wrong = Unacceptable("F01", f"line {number} is not as agreed")
    if len(fields) != _WIDTH[kind] or fields[:2] != ["D", str(number)]:
        raise wrong
    if not _ID.fullmatch(fields[2]):
        raise wrong
    if kind == "INQUIRY":
        return 0
    _, _, _, card_ref, operation, amount, effective_on = fields
    digits = re.fullmatch(r"[1-9][0-9]{0,14}", amount)
    if operation != "LOAD" or not card_ref or not digits or not _is_date(effective_on):
        raise wrong
    return int(amount)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def answer_head(kind: str, number: int, question: Head, about: str) -> str:
    """Return the head of the processor's file `number`, in the programme of `question`."""
    return (
        f"H|CVA-CARD-1|{kind}|CP{number:06d}|{question.programme}|{question.created}"
        f"|{question.currency}|{question.exponent}|{number}|{about}"
    )


class Answer:
    """A file the processor is writing, under a name that nobody collects yet.

    Used as a context: its trailer is written at the end; after an error nothing of it remains.
    """

    def __init__(self, path: Path, head: str) -> None:
        self._path = path
        self._file = path.open("wb")
        self._count = self._total = self._hash = 0
        self.record(head)

    def record(self, text: str) -> None:
        """Write one line."""
        self._file.write(f"{text}\n".encode())

    def detail(self, ref: str, amount_minor: int, *before: str, after: Sequence[str]) -> None:
        """Write the next detail: the fields `before` its amount, the amount, those `after` it."""
        self._count += 1
        self._total += amount_minor
        self._hash += zlib.crc32(f"{ref}|{amount_minor}".encode("ascii"))
        self.record("|".join(("D", str(self._count), ref, *before, str(amount_minor), *after)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.record(f"T|{self._count}|{self._total}|{self._hash % _MODULUS:010d}")
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file.close()
        if error is not None:
            self._path.unlink()
