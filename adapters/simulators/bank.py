"""An independent bank for demonstrations and tests: `mock-bank`, steered from here.

The bank is a program of other people (the package `mock-bank`, MIT): it reads pain.001 and writes
pain.002, camt.054, camt.053 and pacs.004 by its own understanding. It runs as a separate process
on a free port of this machine, keeps everything in memory, and forgets it when stopped.

Behaviours belong to accounts. Of the paying account: `accept`, `return-later` (parameters `days`,
`reason`, `end_to_end_id`), `reject-file`, `insufficient-funds`, `silent` (no status report, still
booked), `statement-gap`. Of a payee's account, where the bank keeps it: `closed-account` (AC04),
`bad-bank-id` (RC01). A message id seen before is always refused as a duplicate.
"""

import re
import secrets
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime
from threading import Thread
from types import TracebackType
from typing import IO, Self

import httpx

from adapters.bank import BankChannel
from ledgers.problems import Problem

NOT_STARTED = Problem(
    "simulated_bank_not_started",
    "The simulated bank did not start: {detail}.",
    "Install the demonstration's dependencies (the extra `demo`).",
)
NOT_STEERED = Problem(
    "simulated_bank_not_steered",
    "The simulated bank did not take the order: {detail}.",
    "Correct the account, behaviour or date that was given to it.",
)

PAYMENTS_PATH = "/payments"
MAILBOX_PATH = "/_mock/mailbox?leave"  # looks without taking: a message comes again

_LISTENING = re.compile(r"listening on (?P<url>http://[\d.]+:\d+)/")
_SECONDS = 30


class SimulatedBank:
    """A running bank; use it as a context manager.

    `opens_at` is the bank's local time at the start (its clock then runs on by itself), so that
    settlement dates are the same in every run. The password is made up for each bank.
    """

    user = "agency"

    def __init__(self, opens_at: datetime, timezone: str = "Europe/Istanbul") -> None:
        self._clock = opens_at.strftime("%Y-%m-%dT%H:%M")
        self._timezone = timezone
        self._process: subprocess.Popen[str] | None = None
        self.password = secrets.token_urlsafe(12)
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the bank and wait until it listens; `url` is its address from then on."""
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mockbank", "--port", "0"),
                *("--auth", f"{self.user}:{self.password}"),
                *("--timezone", self._timezone, "--clock", self._clock),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        log = self._process.stderr
        said = ""
        for line in log or ():
            match = _LISTENING.search(line)
            if match and log:
                self.url = match["url"]
                Thread(target=_drain, args=(log,), daemon=True).start()
                self._close_strangers()
                return
            said = line.strip()
        self.stop()
        raise NOT_STARTED.refusal(detail=said or "no word from it")

    def stop(self) -> None:
        """Stop the bank; everything it knew is gone. Stopping twice is fine."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        process.wait(timeout=_SECONDS)
        if process.stderr:
            with suppress(OSError, ValueError):
                process.stderr.close()

    def channel(self) -> BankChannel:
        """Return a channel with the right password."""
        return BankChannel(
            self.url,
            self.user,
            self.password,
            payments_path=PAYMENTS_PATH,
            mailbox_path=MAILBOX_PATH,
        )

    def open_account(
        self,
        account_id: str,
        iban: str,
        *,
        name: str = "",
        balance_minor: int = 0,
        currency: str = "TRY",
        behaviour: str = "accept",
        closed: bool = False,
    ) -> None:
        """Let the bank keep an account; `account_id` names it in `steer`.

        A payee's account that is `closed` refuses payments with AC04 and gets no statements, which
        keeps the mailbox to our own.
        """
        self._order(
            "POST",
            "/_mock/accounts",
            {
                "id": account_id,
                "iban": iban,
                "name": name,
                "balance": balance_minor,
                "currency": currency,
                "behaviour": behaviour,
                "closed": closed,
            },
        )

    def steer(self, account_id: str, behaviour: str, **parameters: str | int) -> None:
        """Change what the bank does with an account from now on."""
        self._order(
            "PATCH",
            f"/_mock/accounts/{account_id}",
            {"behaviour": behaviour, "parameters": parameters},
        )

    def advance(self, days: int) -> None:
        """Move the bank's calendar on; what falls due is booked, and days end with statements."""
        self._order("POST", f"/_mock/advance?days={days}")

    def advance_to(self, day: date) -> None:
        """Move the bank's calendar to the start of `day`."""
        self._order("POST", f"/_mock/advance?to={day.isoformat()}")

    def balance_minor(self, account_id: str) -> int:
        """Return the bank's own balance of an account, in minor units."""
        balance = self._order("GET", f"/_mock/accounts/{account_id}").json()["balance"]
        return int(balance)

    def _close_strangers(self) -> None:
        """Close the accounts the bank opens with: their statements would fill our mailbox."""
        for account in self._order("GET", "/_mock/accounts").json():
            self._order("PATCH", f"/_mock/accounts/{account['id']}", {"closed": True})

    def _order(
        self, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> httpx.Response:
        answer = httpx.request(
            method,
            self.url + path,
            json=body,
            auth=(self.user, self.password),
            timeout=_SECONDS,
            trust_env=False,
        )
        if answer.is_error:
            raise NOT_STEERED.refusal(detail=f"HTTP {answer.status_code}: {answer.text.strip()}")
        return answer


def _drain(log: IO[str]) -> None:
    """Read on, so that the bank never waits for its log to be read."""
    with suppress(OSError, ValueError):
        for _ in log:
            pass
