"""Carrying files to a bank over HTTP and fetching what it sends.

A hand-over ends in one of three answers, and which one is decided by what is proved *of the file*,
not of this hand-over: an earlier one of the same file may have arrived although no answer came.

* ACCEPTED: the bank said it has the file (202), or that it had it before (422 with DUPL or its
  kin);
* REJECTED: the bank looked at the file and refused it (4xx with the verdict RJCT). It would say
  the same of an earlier copy, so a new file is safe;
* UNKNOWN: everything else: a connection lost once bytes were on their way, a time-out, 5xx, an
  answer that cannot be read. Where this hand-over cannot have brought anything (no connection,
  no access, a busy bank) the detail begins with `NOT_SENT`. Either way the next step is the same
  file again, under the same name.

Only what cannot have been taken is tried again here: no connection, and 429. Time-outs are
explicit. Proxies and passwords of the environment are not used.
"""

import hashlib
import json
import re
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import httpx

from adapters.port import Document, Outcome, Receipt
from ledgers.problems import Problem

FILE_CHANGED = Problem(
    "bank_file_changed",
    "The file {name} is not the one that was released: its SHA-256 differs.",
    "Nothing was sent. Render the file again from the released plan.",
)
MAILBOX_CLOSED = Problem(
    "bank_mailbox_closed",
    "The bank's mailbox could not be read: {detail}.",
    "Try again later; the bank keeps its messages. Check address and password where it stays so.",
)

NOT_SENT = "not sent"
DUPLICATE = frozenset({"DUPL", "AM05", "DU01", "DU02", "DU03", "DU04", "DU05"})

# Refused at the door, before the file was looked at.
_NO_ACCESS = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
    }
)
# Nothing left us in these.
_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_CODE = re.compile(r"[A-Z0-9]{1,35}")
_WAIT_MAX_SECONDS = 60
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often to try; whole seconds.

    `connect_seconds` bounds a connection, `answer_seconds` each wait for bytes either way.
    `attempts` bounds how often something that was not sent is tried, `wait` is called between two
    tries.
    """

    connect_seconds: int = 10
    answer_seconds: int = 120
    attempts: int = 3
    wait: Callable[[int], None] = time.sleep


_PATIENCE = Patience()


class BankChannel:
    """The way to one bank (see `adapters.port.Channel`)."""

    def __init__(
        self,
        base_url: str,
        user: str,
        password: str,
        *,
        payments_path: str = "/payments",
        mailbox_path: str = "/mailbox",
        patience: Patience = _PATIENCE,
    ) -> None:
        """Take the bank's address, our credentials and its paths.

        The paths may carry a query: a mailbox is best read without taking from it where the bank
        can do that, so that a crash loses no message.
        """
        self._auth = httpx.BasicAuth(user, password)
        self._base_url = base_url.rstrip("/")
        self._payments = payments_path
        self._mailbox = mailbox_path
        self._timeout = httpx.Timeout(patience.answer_seconds, connect=patience.connect_seconds)
        self._patience = patience

    def hand_over(self, name: str, path: Path, sha256: str) -> Receipt:
        """Hand the file at `path` over; `name` is its identity, `sha256` what was released.

        Raises the refusal `bank_file_changed` where the bytes are others; nothing is sent then.
        """
        digest = _digest(path)
        if digest.hexdigest() != sha256:
            raise FILE_CHANGED.refusal(name=name)
        headers = {
            "Content-Type": "application/xml; charset=utf-8",
            "Content-Digest": f"sha-256=:{b64encode(digest.digest()).decode()}:",
            "Idempotency-Key": name,
        }
        for attempt in range(1, self._patience.attempts + 1):
            with self._client() as client, path.open("rb") as body:
                receipt, pause = self._attempt(client, body, headers)
            if pause is None:
                return receipt
            if attempt < self._patience.attempts:
                self._patience.wait(pause)
        return receipt

    def collect(self) -> Iterator[Document]:
        """Yield every message of the mailbox, oldest first; a message may come again.

        Raises the refusal `bank_mailbox_closed` where the mailbox cannot be read.
        """
        try:
            with self._client() as client:
                answer = client.get(self._mailbox)
        except httpx.TransportError as error:
            raise MAILBOX_CLOSED.refusal(detail=type(error).__name__) from error
        if answer.status_code != HTTPStatus.OK:
            raise MAILBOX_CLOSED.refusal(detail=f"HTTP {answer.status_code}")
        messages = _json(answer)
        if not isinstance(messages, list):
            raise MAILBOX_CLOSED.refusal(detail="the answer is not a list of messages")
        for message in messages:
            yield _document(message)

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        with httpx.Client(
            base_url=self._base_url,
            auth=self._auth,
            timeout=self._timeout,
            follow_redirects=False,
            trust_env=False,
        ) as client:
            yield client

    def _attempt(
        self, client: httpx.Client, body: BinaryIO, headers: dict[str, str]
    ) -> tuple[Receipt, int | None]:
        """Return a receipt and, where nothing was taken and a retry may help, a pause."""
        try:
            answer = client.post(self._payments, content=body, headers=headers)
        except _NO_CONNECTION as error:
            detail = f"{NOT_SENT}: no connection ({type(error).__name__})"
            return Receipt(Outcome.UNKNOWN, detail), 1
        except httpx.TransportError as error:
            return Receipt(Outcome.UNKNOWN, f"no answer ({type(error).__name__})"), None
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            receipt = Receipt(Outcome.UNKNOWN, f"{NOT_SENT}: the bank is busy (HTTP 429)")
            return receipt, _pause(answer)
        return _receipt(answer), None


def _receipt(answer: httpx.Response) -> Receipt:
    """Read the bank's answer; only codes of its text are kept, never prose about people."""
    parsed = _json(answer)
    said = parsed if isinstance(parsed, dict) else {}
    status, reason, ref = (_code(said.get(key)) for key in ("status", "reason", "msg_id"))
    detail = " ".join(filter(None, (f"HTTP {answer.status_code}", status, reason)))
    match answer.status_code:
        case HTTPStatus.ACCEPTED if parsed is said or not answer.content:
            outcome = Outcome.ACCEPTED
        case HTTPStatus.UNPROCESSABLE_ENTITY if reason in DUPLICATE:
            outcome, detail = Outcome.ACCEPTED, f"already has it: {detail}"
        case code if answer.is_client_error and status == "RJCT" and reason not in DUPLICATE:
            outcome = Outcome.REJECTED
        case code if code in _NO_ACCESS:
            outcome, detail = Outcome.UNKNOWN, f"{NOT_SENT}: no access ({detail})"
        case _:
            outcome = Outcome.UNKNOWN
    return Receipt(outcome, detail, provider_ref=ref)


def _json(answer: httpx.Response) -> object:
    try:
        return json.loads(answer.content)
    except ValueError:
        return None


def _code(said: object) -> str:
    return said if isinstance(said, str) and _CODE.fullmatch(said) else ""


def _pause(answer: httpx.Response) -> int:
    stated = answer.headers.get("Retry-After", "")
    return min(int(stated), _WAIT_MAX_SECONDS) if stated.isdecimal() else 1


def _document(message: object) -> Document:
    match message:
        case {"id": str() | int() as identity, "type": str() as kind, "body": str() as body}:
            return Document(f"{kind}-{identity}.xml", body.encode())
        case _:
            raise MAILBOX_CLOSED.refusal(detail="a message has no id, type or body")


def _digest(path: Path) -> "hashlib._Hash":
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest
