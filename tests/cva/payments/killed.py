"""A process that pays and stands still at a given point, to be killed there.

    python -m tests.cva.payments.killed ADDRESS FOLDER PLAN POINT

It says `here` when it stands at the point, with whatever is open still open.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Engine, make_url

from adapters.port import Channel, Document, Format, Reading, Receipt
from cva.database.connect import engine_at, transaction
from cva.payments import planning, releasing, settling
from tests.cva.payments.agency import REASON, WORDS, Agency

POINTS = (
    "before the release is kept", "after the release", "before the hand-over",
    "after the hand-over", "while a document is kept", "between two documents",
    "before the settlement is kept", "after the settlement", "after the question",
)  # fmt: skip


def stand_still() -> None:
    sys.stdout.write("here\n")
    sys.stdout.flush()
    sys.stdin.read()


@dataclass
class Address:
    """A database known by its address only."""

    text: str

    def engine(self) -> Engine:
        return engine_at(make_url(self.text).set(drivername="postgresql+psycopg"))


@dataclass
class Pausing:
    """The usual channel and format, standing still at the point."""

    point: str
    channel: Channel
    format: Format

    def hand_over(self, name: str, path: Path, sha256: str) -> Receipt:
        if self.point == "before the hand-over":
            stand_still()
        receipt = self.channel.hand_over(name, path, sha256)
        if self.point == "after the hand-over":
            stand_still()
        return receipt

    def collect(self) -> Iterator[Document]:
        for document in self.channel.collect():
            yield document
            if self.point == "between two documents":
                stand_still()

    def read(self, document: Document) -> Iterator[Reading]:
        for reading in self.format.read(document):
            yield reading
            if self.point == "while a document is kept":
                stand_still()


def main(address: str, folder: str, plan_id: str, point: str) -> None:
    agency = Agency(Address(address), Path(folder), "card_processor")
    with transaction(agency.engine) as conn:
        plan = planning.load(conn, plan_id)
        agency.cycle_id = plan.cycle_id
    usual = agency.provider
    pausing = Pausing(point, usual.channel, usual.format)
    agency.provider = replace(usual, channel=pausing)
    with transaction(agency.engine) as conn:
        releasing.release(
            conn, plan_id, person_id=agency.id_of("selin"), passphrase=WORDS, reason=REASON,
            at=agency.clock.now(),
        )  # fmt: skip
        if point == "before the release is kept":
            stand_still()
    if point == "after the release":
        stand_still()
    agency.send(plan)
    with agency.processor() as far:
        far.run_once()
    agency.provider = replace(agency.provider, format=_reading(usual.format, pausing))
    agency.collect()
    with transaction(agency.engine) as conn:
        settling.settle(conn, plan_id, person_id=agency.id_of("deniz"), at=agency.clock.now())
        if point == "before the settlement is kept":
            stand_still()
    if point == "after the settlement":
        stand_still()
    agency.inquire(plan)
    stand_still()


def _reading(usual: Format, pausing: Pausing) -> Format:
    class Both:
        render, inquiry, read = usual.render, usual.inquiry, pausing.read

    return Both()


if __name__ == "__main__":
    main(*sys.argv[1:])
