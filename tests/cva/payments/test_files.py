"""Files out: the same bytes for ever, one at a time, and no trace of them afterwards."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from adapters.cards import CardFiles, FolderChannel
from adapters.port import Outcome, Receipt
from adapters.simulators.card_processor import CardProcessor
from cva import providers
from cva.database.connect import transaction
from cva.payments import planning, releasing, sending
from cva.payments.planning import Plan
from ledgers.problems import Refusal
from tests.cva.payments.agency import VAULT, Agency, agency_with, many
from tests.databases import Database


class Line:
    """A connection that breaks: nothing is answered, whether or not the file arrives."""

    def __init__(self, agency: Agency, *, arrives: bool) -> None:
        self.usual = agency.provider.channel
        self.arrives = arrives

    def hand_over(self, name: str, path: Path, sha256: str) -> Receipt:
        if self.arrives:
            self.usual.hand_over(name, path, sha256)
        return Receipt(Outcome.UNKNOWN, "no answer in time")


class Full:
    """A folder that takes nothing."""

    def hand_over(self, *_: object) -> Receipt:
        return Receipt(Outcome.REJECTED, "nothing was handed over: disk full")


def rendered(agency: Agency, plan: Plan, name: str) -> bytes:
    with transaction(agency.engine) as conn:
        (file,) = sending._open_files(conn, plan.plan_id)
        path = agency.folder / name
        sending.render(conn, VAULT, agency.provider, planning.load(conn, plan.plan_id), file, path)
    return path.read_bytes()


def test_a_file_has_the_same_bytes_whenever_it_is_rendered(cards: Agency) -> None:
    plan = cards.released(cards.prepare())
    first = rendered(cards, plan, "first")
    cards.clock.moment = cards.clock.now().replace(month=4)
    assert rendered(cards, plan, "second") == first
    assert b"|VC-00001000|LOAD|600000|2026-03-02\n" in first


def test_a_file_that_would_have_other_bytes_is_not_sent(cards: Agency) -> None:
    plan = cards.released(cards.prepare())
    with cards.channel(Line(cards, arrives=False)):
        cards.send(plan)
    cards.provider = replace(
        cards.provider, format=CardFiles("OTHER", "TRY", 2), debtor_account="OTHER"
    )
    with pytest.raises(Refusal, match="rendering_differs"):
        cards.send(plan)
    assert list((cards.folder / "to-cards").iterdir()) == []
    assert cards.one("SELECT count(*) FROM payments.handover") == 1


@pytest.mark.parametrize("arrives", [True, False])
def test_a_hand_over_without_an_answer_is_unknown_and_goes_again(
    cards: Agency, processor: CardProcessor, *, arrives: bool
) -> None:
    plan = cards.released(cards.prepare())
    with cards.channel(Line(cards, arrives=arrives)):
        (sent,) = cards.send(plan)
    assert sent.outcome == "unknown"
    assert set(cards.states().values()) == {"unknown", "stopped"}
    processor.run_once()
    assert cards.inquire(plan) == 0

    (again,) = cards.send(plan)

    assert (again.message_id, again.outcome) == (sent.message_id, "accepted")
    processor.run_once()
    cards.collect()
    assert cards.settle(plan).loaded == 2
    assert cards.one("SELECT count(*) FROM payments.file") == 1
    assert cards.rows("SELECT attempt, outcome FROM payments.handover_answer ORDER BY 1") == [
        (1, "unknown"), (2, "accepted"),
    ]  # fmt: skip
    cards.check_money()


def test_what_an_unanswered_file_says_itself_is_believed(
    cards: Agency, processor: CardProcessor
) -> None:
    plan = cards.released(cards.prepare())
    with cards.channel(Line(cards, arrives=True)):
        cards.send(plan)
    processor.run_once()
    cards.collect()
    assert cards.settle(plan).loaded == 2
    assert cards.send(plan) == []  # some of its lines have ended: it is not handed over again
    with pytest.raises(Refusal, match="file_was_taken"):
        cards.not_taken(cards.files()[0][0])


def test_a_refused_hand_over_makes_way_for_a_new_file(cards: Agency) -> None:
    plan = cards.released(cards.prepare())
    with cards.channel(Full()):
        cards.send(plan)
    assert set(cards.states().values()) == {"pending", "stopped"}
    cards.send(plan)
    assert [generation for *_, generation in cards.files()] == [1, 2]
    assert len(list((cards.folder / "to-cards").glob("*.txt"))) == 1


def test_a_refusal_after_an_unanswered_hand_over_proves_nothing(cards: Agency) -> None:
    plan = cards.released(cards.prepare())
    with cards.channel(Line(cards, arrives=True)):
        cards.send(plan)
    with cards.channel(Full()):
        cards.send(plan)
    assert set(cards.states().values()) == {"unknown", "stopped"}
    (again,) = cards.send(plan)
    assert (again.outcome, again.detail) == ("accepted", "already handed over")
    assert len(cards.files()) == 1


def test_a_plan_goes_to_its_own_provider(cards: Agency) -> None:
    plan = cards.released(cards.prepare())
    cards.provider = replace(cards.provider, code="OTHER-CARDS")
    with pytest.raises(Refusal, match="wrong_provider"):
        cards.send(plan)


def test_a_large_plan_goes_in_parts_and_each_part_once(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "LINES_PER_FILE", 3)
    agency = agency_with(database, tmp_path, "card_processor", many(7))
    plan = agency.approved(agency.prepare())
    assert agency.release(plan).files == 3
    sent = agency.send(plan)
    assert [(s.message_id[-5:], s.control_count) for s in sent] == [
        ("00101", 3), ("00201", 3), ("00301", 1),
    ]  # fmt: skip
    with agency.processor() as far:
        far.run_once()
    agency.collect()
    assert agency.settle(plan).loaded_minor == plan.total_minor
    agency.check_money()


# --- the providers file ----------------------------------------------------------------------


CARD_ENTRY = {
    "kind": "card_processor", "code": "CARDS", "debtor_name": "Umut", "programme": "MARKET",
    "currency": "TRY", "outgoing": "out", "incoming": "in",
}  # fmt: skip
BANK_ENTRY = {
    "kind": "bank", "code": "HALK", "debtor_name": "Umut", "url": "http://127.0.0.1:1",
    "user": "agency", "password_file": "nowhere", "account": "TR330006100519786457841326",
}  # fmt: skip


def written(folder: Path, content: object) -> Path:
    path = folder / "providers.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_a_provider_is_made_of_its_entry(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("open sesame\n", encoding="utf-8")
    bank = BANK_ENTRY | {"password_file": str(secret)}
    path = written(tmp_path, {"providers": [CARD_ENTRY, bank]})
    cards = providers.connect(path, "CARDS", "voucher_card_ref")
    assert (cards.format, cards.channel, cards.debtor_account, cards.destination) == (
        CardFiles("MARKET", "TRY", 2), FolderChannel(Path("out"), Path("in")), "MARKET",
        "voucher_card_ref",
    )  # fmt: skip
    halk = providers.connect(path, "HALK", "iban")
    assert (halk.debtor_account, halk.names_payee) == (BANK_ENTRY["account"], True)
    assert "open sesame" not in repr(halk)


def test_an_unknown_provider_is_named_with_those_there_are(tmp_path: Path) -> None:
    assert providers.read(tmp_path / "none.yaml") == {}
    path = written(tmp_path, {"providers": [CARD_ENTRY]})
    with pytest.raises(Refusal, match=r"provider_not_found: .* ZIRAAT; known are: CARDS"):
        providers.connect(path, "ZIRAAT", "iban")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"providers": [CARD_ENTRY | {"code": "lower"}]}, "with capital letters A to Z"),
        ({"providers": [CARD_ENTRY | {"kind": "paper"}]}, "write one of card_processor, bank as"),
        ({"providers": [{"code": "CARDS"}]}, "give the field kind"),
        ({"providers": [CARD_ENTRY, CARD_ENTRY]}, "twice"),
        (["providers"], "the file: write a block of named fields"),
    ],
)
def test_a_providers_file_that_cannot_be_used_says_why(
    tmp_path: Path, content: object, said: str
) -> None:
    with pytest.raises(Refusal, match=rf"providers_unreadable: .*({said})"):
        providers.read(written(tmp_path, content))


def test_an_unreadable_file_is_told_without_its_content(tmp_path: Path) -> None:
    for content in (b"\xff\xfe\x00", b"providers: [unclosed"):
        path = tmp_path / "providers.yaml"
        path.write_bytes(content)
        with pytest.raises(Refusal, match=r"providers_unreadable: .* not YAML"):
            providers.read(path)
    path = written(tmp_path, {"providers": [BANK_ENTRY]})
    with pytest.raises(Refusal, match=r"providers_unreadable: .* password file of HALK"):
        providers.connect(path, "HALK", "iban")
