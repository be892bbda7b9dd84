"""A card processor to test and demonstrate against: it takes load files and answers by files.

It shares no code with the rest of the program and reads the agreed format by its own hand
(`card_wire`). It keeps its own state: which files it took, which references it
loaded, the float each programme has with it. Killed at any moment it goes on where it was: files
appear and are moved only after the state that they tell of is committed.

    python -m adapters.simulators.card_processor --inbox DIR --outbox DIR --state FILE \
        --float-minor N [--fee-minor-per-load N] [--once] [--settle YYYY-MM-DD] \
        [--redeem YYYY-MM-DD [--percent N]]

The last three digits of a card reference choose what goes wrong:
    901  rejected, code 51 (card not activated)
    902  loaded, and left out of the result file; an inquiry finds it
    903  code 61 on the first load of a card: half the amount, rounded down to whole units
    904  not loaded, and left out of the result file; an inquiry does not find it
    905  loaded, and never used
    906  used, and the same use is reported a second time in the same file
Beyond that a load is refused with 71 when the float does not cover it and its fee, and with 94 when
its reference was used with another card or amount. A reference known already is answered as it was
before and not loaded again. A load file is refused as a whole: F01 unreadable, F02 totals disagree,
F03 file id used before, F04 other currency than the programme's, F05 a reference twice.

The float of `--float-minor` is given to each programme it meets, and the first settlement books it
as funding. A settlement of a date holds the loads effective until then that no earlier one held,
and one fee for them all. It reads no clock: answers bear the time of the question, settlements
18:00 UTC of their date. `redeem` lets every card use a share of what is left of its loads, the
oldest first, at one of seven vendors, and reports it; a date is reported once.
"""

import argparse
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.simulators.card_state import INSERT_LOAD, LEFT, STATE
from adapters.simulators.card_wire import (
    NO_HEAD,
    Answer,
    Head,
    Unacceptable,
    answer_head,
    read_details,
    read_head,
    read_lines,
)

_POLL_SECONDS = 0.5
_WHOLE = 100
_VENDORS = 7


class CardProcessor:
    """The processor, to run in the same process: `run_once` over the folders, `settle` a date.

    Arguments: `inbox` is where we leave files for it and `outbox` where it leaves its own (both
    are made when missing), `state` its SQLite file, `float_minor` what each programme has placed
    with it, `fee_minor_per_load` what a load costs; both in minor units. Close it after use.
    """

    def __init__(
        self, inbox: Path, outbox: Path, state: Path, float_minor: int, fee_minor_per_load: int = 0
    ) -> None:
        self._inbox, self._outbox, self._taken = inbox, outbox, inbox / "taken"
        self._float_minor, self._fee_minor = float_minor, fee_minor_per_load
        for folder in (self._taken, outbox, state.parent):
            folder.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(state, isolation_level=None, timeout=30)
        self._db.executescript(STATE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the state."""
        self._db.close()

    def run_once(self) -> int:
        """Take and answer every file of the inbox; return how many there were.

        Loads come before questions, so that a question never misses a load that lies beside it;
        within each, the order is that of the names.
        """
        self._publish()
        paths = [
            path
            for path in self._inbox.iterdir()
            if path.is_file() and not path.name.startswith(".") and path.suffix != ".part"
        ]
        paths.sort(key=lambda path: (_is_question(path), path.name))
        for path in paths:
            self._take(path)
            self._publish()
        return len(paths)

    def settle(self, on_date: date) -> int:
        """Write a settlement file of `on_date` for each programme; return how many were written.

        A date settled before gets another file only when loads came after it.
        """
        with self._transaction():
            programmes = [row[0] for row in self._db.execute("SELECT programme FROM programmes")]
            written = sum(self._settle(programme, on_date.isoformat()) for programme in programmes)
        self._publish()
        return written

    def redeem(self, on_date: date, percent: int = _WHOLE) -> int:
        """Let the cards use `percent` of what is left of each load, and report it as of `on_date`.

        Amounts are rounded down to whole units, except for all that is left. Returns how many
        report files were written: one for each programme, none for a date reported before.
        """
        with self._transaction():
            at = f"{on_date.isoformat()}T19:00:00Z"
            heads = [
                Head("", "", programme, at, currency, exponent)
                for programme, currency, exponent in self._db.execute(
                    "SELECT programme, currency, exponent FROM programmes"
                ).fetchall()
            ]
            written = sum(self._redeem(head, percent) for head in heads)
        self._publish()
        return written

    def available_minor(self, programme: str) -> int:
        """Return what is left of the programme's float for loads, in minor units."""
        row = self._db.execute(
            "SELECT available_minor FROM programmes WHERE programme = ?", (programme,)
        ).fetchone()
        return int(row[0]) if row else self._float_minor

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _take(self, path: Path) -> None:
        head = NO_HEAD
        try:
            with self._transaction(), path.open("rb") as file:
                lines = read_lines(file)
                head = read_head(next(lines, ""))
                answered = self._load if head.kind == "LOAD" else self._find
                answered(head, read_details(head.kind, lines), path.name)
        except Unacceptable as refused:
            with (
                self._transaction(),
                self._answer("REJECT", head, head.file_id, path.name) as answer,
            ):
                answer.record(f"E|{refused.code}|{refused.text}")

    def _load(self, head: Head, details: Iterator[list[str]], name: str) -> None:
        available = self._programme(head)
        fresh = self._db.execute("INSERT OR IGNORE INTO files VALUES (?)", (head.file_id,))
        if fresh.rowcount == 0:
            raise Unacceptable("F03", "file id used before")
        (number,) = self._db.execute("SELECT coalesce(max(number), 0) FROM loads").fetchone()
        # A card is loaded short once: the rest that follows it goes through.
        short = {ref for (ref,) in self._db.execute("SELECT card_ref FROM loads WHERE code = '61'")}
        with self._answer("RESULT", head, head.file_id, name) as answer:
            for fields in details:
                _, _, ref, card_ref, _, amount, effective_on = fields
                fault, asked = card_ref[-3:], int(amount)
                if card_ref in short:
                    fault = ""
                if fault == "904":
                    continue
                unit, covered = 10**head.exponent, available - self._fee_minor
                code, loaded = _decide(fault, asked, unit, covered)
                fee = self._fee_minor if loaded else 0
                line = (number + 1, ref, head.file_id, head.programme, card_ref, asked, code,
                        loaded, fee, effective_on, head.created)  # fmt: skip
                known, at = number + 1, head.created
                if self._db.execute(INSERT_LOAD, line).rowcount:
                    number += 1
                    available -= loaded + fee
                else:
                    known, code, loaded, at = self._before(head.file_id, ref, card_ref, asked)
                if fault != "902":
                    answer.detail(ref, loaded, code, after=(_load_ref(known), at))
        self._db.execute(
            "UPDATE programmes SET available_minor = ? WHERE programme = ?",
            (available, head.programme),
        )

    def _before(
        self, file_id: str, ref: str, card_ref: str, asked: int
    ) -> tuple[int, str, int, str]:
        """Return how a reference that is known already was answered."""
        number, first_file, first_card, first_asked, code, loaded, at = self._db.execute(
            "SELECT number, file_id, card_ref, asked_minor, code, loaded_minor, loaded_at "
            "FROM loads WHERE ref = ?",
            (ref,),
        ).fetchone()
        if first_file == file_id:
            raise Unacceptable("F05", "a reference is twice in the file")
        if (first_card, first_asked) != (card_ref, asked):
            return number, "94", 0, at
        return number, code, loaded, at

    def _find(self, head: Head, details: Iterator[list[str]], name: str) -> None:
        known = "SELECT 1 FROM programmes WHERE programme = ?"
        authoritative = "Y" if self._db.execute(known, (head.programme,)).fetchone() else "N"
        with self._answer("ANSWER", head, head.file_id, name) as answer:
            for _, _, ref in details:
                row = self._db.execute(
                    "SELECT number, code, loaded_minor, loaded_at FROM loads "
                    "WHERE ref = ? AND programme = ?",
                    (ref, head.programme),
                ).fetchone()
                if row is None:
                    after = (authoritative, "", head.created)
                    answer.detail(ref, 0, "NOT_FOUND", "", after=after)
                else:
                    number, code, loaded, at = row
                    answer.detail(ref, loaded, "FOUND", code, after=("Y", _load_ref(number), at))

    def _programme(self, head: Head) -> int:
        """Open the programme's float when it is new; return what is left of it."""
        self._db.execute(
            "INSERT OR IGNORE INTO programmes VALUES (?, ?, ?, ?, 0, ?)",
            (head.programme, head.currency, head.exponent, self._float_minor, self._float_minor),
        )
        currency, exponent, available = self._db.execute(
            "SELECT currency, exponent, available_minor FROM programmes WHERE programme = ?",
            (head.programme,),
        ).fetchone()
        if (currency, exponent) != (head.currency, head.exponent):
            raise Unacceptable("F04", f"the programme's float is in {currency}")
        return int(available)

    def _settle(self, programme: str, on_date: str) -> bool:
        currency, exponent, opening, funding = self._db.execute(
            "SELECT currency, exponent, stated_minor, funding_minor FROM programmes "
            "WHERE programme = ?",
            (programme,),
        ).fetchone()
        number = self._next_number()
        loads = self._db.execute(
            "UPDATE loads SET settlement = ? WHERE programme = ? AND effective_on <= ? "
            "AND loaded_minor > 0 AND settlement IS NULL",
            (number, programme, on_date),
        ).rowcount
        settled = (programme, on_date)
        first = self._db.execute("INSERT OR IGNORE INTO settled VALUES (?, ?)", settled).rowcount
        if not (first or loads):
            return False
        net, fees = funding, 0
        head = Head("", "", programme, f"{on_date}T18:00:00Z", currency, exponent)
        with self._answer("SETTLEMENT", head, on_date, None) as answer:
            answer.record(f"O|{opening}")
            if funding:
                answer.detail("", funding, "FUNDING", after=("",))
            for load, ref, loaded, fee in self._db.execute(
                "SELECT number, ref, loaded_minor, fee_minor FROM loads WHERE settlement = ? "
                "ORDER BY number",
                (number,),
            ):
                answer.detail(ref, loaded, "LOAD", after=(_load_ref(load),))
                net, fees = net - loaded, fees + fee
            if fees:
                answer.detail("", fees, "FEE", after=("",))
            closing = opening + net - fees
            answer.record(f"C|{closing}")
        self._db.execute(
            "UPDATE programmes SET stated_minor = ?, funding_minor = 0 WHERE programme = ?",
            (closing, programme),
        )
        return True

    def _redeem(self, head: Head, percent: int) -> bool:
        on_date = head.created[:10]
        reported = (head.programme, on_date)
        if not self._db.execute("INSERT OR IGNORE INTO redeemed VALUES (?, ?)", reported).rowcount:
            return False
        unit = 1 if percent == _WHOLE else 10**head.exponent
        (number,) = self._db.execute("SELECT coalesce(max(number), 0) FROM uses").fetchone()
        with self._answer("REDEMPTION", head, on_date, None) as answer:
            for load, ref, card_ref, left in self._db.execute(LEFT, reported).fetchall():
                amount = left * percent // _WHOLE // unit * unit
                if not amount or card_ref.endswith("905"):
                    continue
                number += 1
                use = (number, load, amount, on_date)
                self._db.execute("INSERT INTO uses VALUES (?, ?, ?, ?)", use)
                after = (f"CPT{number:09d}", f"V{number % _VENDORS + 1:03d}", on_date)
                for _ in range(2 if card_ref.endswith("906") else 1):
                    answer.detail(ref, amount, "PURCHASE", after=after)
        return True

    def _next_number(self) -> int:
        (number,) = self._db.execute("SELECT coalesce(max(number), 0) + 1 FROM answers").fetchone()
        return int(number)

    def _answer(self, kind: str, head: Head, about: str, question: str | None) -> Answer:
        number = self._next_number()
        name = f"{number:06d}-{kind.lower()}.txt"
        self._db.execute("INSERT INTO answers VALUES (?, ?, ?, 0)", (number, name, question))
        return Answer(self._outbox / f".{name}.part", answer_head(kind, number, head, about))

    def _publish(self) -> None:
        """Show the answers whose state is committed, and move their questions to `taken`."""
        rows = self._db.execute(
            "SELECT number, name, question FROM answers WHERE published = 0 ORDER BY number"
        ).fetchall()
        for number, name, question in rows:
            with suppress(FileNotFoundError):  # it was shown before we were killed
                (self._outbox / f".{name}.part").replace(self._outbox / name)
            if question is not None:
                place = self._taken / question
                with suppress(FileNotFoundError):
                    (self._inbox / question).replace(
                        self._taken / f"{question}.{number}" if place.exists() else place
                    )
            self._db.execute("UPDATE answers SET published = 1 WHERE number = ?", (number,))


def _decide(fault: str, asked: int, unit: int, available: int) -> tuple[str, int]:
    """Return the result code and what is loaded; `available` is the float less the fee."""
    loaded = asked // 2 // unit * unit if fault == "903" else asked
    if fault == "901" or not loaded:
        return "51", 0
    if loaded > available:
        return "71", 0
    return ("61" if fault == "903" else "00"), loaded


def _is_question(path: Path) -> bool:
    start = b"H|CVA-CARD-1|INQUIRY|"
    with path.open("rb") as file:
        return file.read(len(start)) == start


def _load_ref(number: int) -> str:
    return f"CPL{number:09d}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the processor as a program; without `--once` or `--settle` until it is interrupted."""
    parser = argparse.ArgumentParser(prog="card_processor", description="A simulated processor.")
    parser.add_argument("--inbox", type=Path, required=True)
    parser.add_argument("--outbox", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--float-minor", type=int, required=True)
    parser.add_argument("--fee-minor-per-load", type=int, default=0)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--settle", type=date.fromisoformat, metavar="YYYY-MM-DD")
    parser.add_argument("--redeem", type=date.fromisoformat, metavar="YYYY-MM-DD")
    parser.add_argument("--percent", type=int, default=_WHOLE)
    given = parser.parse_args(arguments)
    with CardProcessor(
        given.inbox, given.outbox, given.state, given.float_minor, given.fee_minor_per_load
    ) as processor:
        taken = processor.run_once()
        settled = processor.settle(given.settle) if given.settle else 0
        redeemed = processor.redeem(given.redeem, given.percent) if given.redeem else 0
        sys.stdout.write(
            f"files taken: {taken}, settlement files written: {settled}"
            + (f", redemption files written: {redeemed}\n" if given.redeem else "\n")
        )
        with suppress(KeyboardInterrupt):
            while not (given.once or given.settle or given.redeem):
                time.sleep(_POLL_SECONDS)
                processor.run_once()
    return 0


if __name__ == "__main__":
    sys.exit(main())
