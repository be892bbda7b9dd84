"""The providers of the bench: our card processor, and a bank that writes one statement per file.

What they do is never measured. The bank takes every payment that it is given; it reads and writes
its files as text, by its own hand, one payment at a time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from lxml import etree

from adapters.simulators.card_processor import CardProcessor

AGENCY_IBAN = "TR330006100519786457841326"
PAIN = "{urn:iso:std:iso:20022:tech:xsd:pain.001.001.09}"
CAMT = "urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where files go to a provider and come from it."""

    outgoing: Path
    incoming: Path

    @classmethod
    def made(cls, folder: Path) -> "Folders":
        """Make them in `folder`."""
        folders = cls(folder / "out", folder / "in")
        for path in (folders.outgoing, folders.incoming):
            path.mkdir(parents=True)
        return folders


@contextmanager
def nothing() -> Iterator[None]:
    """Open nothing: for work that needs neither database nor file."""
    yield


def answer_loads(_: None, folders: Folders, float_minor: int) -> int:
    """Let the card processor answer what lies in its folder."""
    with _processor(folders, float_minor) as processor:
        return processor.run_once()


def settle_loads(_: None, folders: Folders, float_minor: int, on: date) -> int:
    """Let the card processor write its settlement file of a day."""
    with _processor(folders, float_minor) as processor:
        return processor.settle(on)


def _processor(folders: Folders, float_minor: int) -> CardProcessor:
    state = folders.outgoing.parent / "state.sqlite"
    return CardProcessor(folders.outgoing, folders.incoming, state, float_minor)


def book_transfers(_: None, folders: Folders, opening_minor: int, on: date) -> int:
    """Let the bank book every file in its folder; return how many payments there were."""
    count = 0
    for number, path in enumerate(sorted(folders.outgoing.glob("*.xml")), 1):
        balance = opening_minor
        entries = folders.incoming / f".{path.name}.part"
        with entries.open("w", encoding="utf-8") as out:
            for ref, amount in _payments(path):
                count += 1
                balance -= int(amount.replace(".", ""))
                out.write(_entry(ref, amount, on, count))
        with (folders.incoming / f"camt053-{number:04d}.xml").open("w", encoding="utf-8") as out:
            out.write(_head(number, opening_minor, balance, on))
            with entries.open(encoding="utf-8") as lines:
                out.writelines(lines)
            out.write("</Stmt></BkToCstmrStmt></Document>\n")
        entries.unlink()
        opening_minor = balance
    return count


def _payments(path: Path) -> Iterator[tuple[str, str]]:
    for _, payment in etree.iterparse(path, tag=f"{PAIN}CdtTrfTxInf"):
        yield (
            payment.findtext(f"{PAIN}PmtId/{PAIN}EndToEndId"),
            payment.findtext(f"{PAIN}Amt/{PAIN}InstdAmt"),
        )
        payment.clear()
        while payment.getprevious() is not None:
            del payment.getparent()[0]


def _head(number: int, opening_minor: int, closing_minor: int, on: date) -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="{CAMT}"><BkToCstmrStmt>'
        f"<GrpHdr><MsgId>S{number:06d}</MsgId><CreDtTm>{on}T18:00:00Z</CreDtTm></GrpHdr>"
        f"<Stmt><Id>S{number:06d}</Id><CreDtTm>{on}T18:00:00Z</CreDtTm>"
        f"<Acct><Id><IBAN>{AGENCY_IBAN}</IBAN></Id><Ccy>TRY</Ccy></Acct>"
        f"{_balance('OPBD', opening_minor, on)}{_balance('CLBD', closing_minor, on)}\n"
    )


def _balance(kind: str, minor: int, on: date) -> str:
    return (
        f"<Bal><Tp><CdOrPrtry><Cd>{kind}</Cd></CdOrPrtry></Tp><Amt"
        f' Ccy="TRY">{minor // 100}.{minor % 100:02d}</Amt><CdtDbtInd>CRDT</CdtDbtInd>'
        f"<Dt><Dt>{on}</Dt></Dt></Bal>"
    )


def _entry(ref: str, amount: str, on: date, number: int) -> str:
    return (
        f'<Ntry><Amt Ccy="TRY">{amount}</Amt><CdtDbtInd>DBIT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>'
        f"<BookgDt><Dt>{on}</Dt></BookgDt><AcctSvcrRef>B{number:09d}</AcctSvcrRef><NtryDtls>"
        f"<TxDtls><Refs><EndToEndId>{ref}</EndToEndId></Refs></TxDtls></NtryDtls></Ntry>\n"
    )
