"""The books in plain Python: dictionaries and integers, no database.

`decide` says what a command answers (`done`, `already`, `nothing`, or the code of the refusal, in
the order in which the books look) and what it does; `do` does it. A model is what one connection
sees: what is committed, and what it has done itself.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from datetime import date

from ledgers.entries import EntryHead, Leg
from ledgers.items import BURNING, Code

DEBIT, CREDIT = 0, 1
POSTED, PENDING = 0, 2
DIMENSIONS = {
    "programme": "programme_id", "cycle": "cycle_id", "provider": "provider",
    "location": "location",
}  # fmt: skip


@dataclass(frozen=True)
class Account:
    number: int
    code: str
    currency: str
    normal: int
    limited: bool
    control: bool
    memo: bool
    striped: bool
    needs: frozenset[str]
    grant: str | None


@dataclass(frozen=True)
class Line:
    """One transfer."""

    debit: str
    credit: str
    amount: int
    currency: str
    grant: str
    ref: str
    wallet: int | None = None
    until: date | None = None
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class Record:
    head: EntryHead
    legs: tuple[Leg, ...]


@dataclass(frozen=True)
class Reverse:
    head: EntryHead
    entry_ref: str


@dataclass(frozen=True)
class Move:
    """A hold of every line, or a transfer at once."""

    head: EntryHead
    lines: tuple[Line, ...]
    is_hold: bool


@dataclass(frozen=True)
class Settle:
    head: EntryHead
    amounts: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Expire:
    """Give free what is over; of a log, what was: others' holds it did not see yet stay."""

    head: EntryHead
    among: frozenset[str] | None = None


@dataclass(frozen=True)
class Items:
    """Transfers judged one by one, each under a key of the sender's own."""

    head: EntryHead
    items: tuple[tuple[str, Line], ...]


@dataclass(frozen=True)
class Shut:
    """Put the period to a day into a state."""

    ends_on: date
    state: str
    today: date


@dataclass(frozen=True)
class CloseAccount:
    code: str


Command = Record | Reverse | Move | Settle | Expire | Items | Shut | CloseAccount


@dataclass(frozen=True)
class Effect:
    """What a command does: postings are (account, wallet, stage, side, amount)."""

    head: EntryHead | None = None
    body: Hashable = None
    reverses: str | None = None
    legs: tuple[Leg, ...] = ()
    holds: tuple[Line, ...] = ()
    resolved: tuple[tuple[str, str], ...] = ()
    postings: tuple[tuple[str, int | None, int, int, int], ...] = ()
    batch: tuple[str, Hashable] | None = None
    judged: tuple[tuple[str, Line, Code], ...] = ()
    shut: tuple[date, str] | None = None
    closed: str | None = None

    def touches(self, model: "Model") -> set[tuple[str, ...]]:
        """What nobody else can touch until the transaction ends."""
        found: set[tuple[str, ...]] = set()
        if self.head:
            found.add(("key", self.head.key))
        if self.reverses:
            found.add(("reverses", self.reverses))
        if self.closed:
            found.add(("account", self.closed))
        if self.batch:
            found.add(("key", self.batch[0]))
        found |= {("item", key) for key, _, code in self.judged if code is Code.RECORDED}
        found |= {("hold", line.ref) for line in self.holds}
        found |= {("resolved", ref) for ref, _ in self.resolved}
        for code, wallet, *_ in self.postings:
            found.add(("stripes" if model.accounts[code].striped else "account", code))
            if wallet is not None:
                found.add(("wallet", code, str(wallet)))
        return found


NOTHING = Effect()


@dataclass
class Model:
    accounts: dict[str, Account]
    sums: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0] * 4))
    wallets: dict[tuple[str, int], list[int]] = field(
        default_factory=lambda: defaultdict(lambda: [0] * 4)
    )
    days: Counter[tuple[str, date, int]] = field(default_factory=Counter)
    keys: dict[str, tuple[str, Hashable]] = field(default_factory=dict)
    entries: dict[str, tuple[EntryHead, tuple[Leg, ...]]] = field(default_factory=dict)
    reversals: dict[str, str] = field(default_factory=dict)
    holds: dict[str, Line] = field(default_factory=dict)
    resolved: dict[str, str] = field(default_factory=dict)
    periods: set[tuple[date, str]] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    batches: dict[str, Hashable] = field(default_factory=dict)
    items: dict[str, Line] = field(default_factory=dict)
    refusals: set[tuple[str, int, str, Code]] = field(default_factory=set)

    def copy(self) -> "Model":
        other = Model(self.accounts)
        other.sums.update({code: list(sums) for code, sums in self.sums.items()})
        other.wallets.update({key: list(sums) for key, sums in self.wallets.items()})
        for name in (
            "days", "keys", "entries", "reversals", "holds", "resolved", "periods", "batches",
            "items", "refusals",
        ):  # fmt: skip
            getattr(other, name).update(getattr(self, name))
        other.closed |= self.closed
        return other

    # --- what is done -----------------------------------------------------------------------

    def do(self, effect: Effect) -> None:
        if effect.head:
            head = effect.head
            self.keys[head.key] = (head.entry_ref, effect.body)
            self.entries[head.entry_ref] = (head, effect.legs)
            if effect.reverses:
                self.reversals[effect.reverses] = head.key
            for code, _, stage, side, amount in effect.postings:
                if stage == POSTED:
                    self.days[code, head.effective_on, side] += amount
        self.holds |= {line.ref: line for line in effect.holds}
        self.resolved |= dict(effect.resolved)
        _add(self.sums, self.wallets, effect.postings)
        if effect.batch:
            key, body = effect.batch
            self.batches[key] = body
            for number, (item, line, code) in enumerate(effect.judged, start=1):
                if code is Code.RECORDED:
                    self.items[item] = line
                else:
                    self.refusals.add((key, number, item, code))
        if effect.shut:
            self.periods.add(effect.shut)
        if effect.closed:
            self.closed.add(effect.closed)

    # --- what is answered -------------------------------------------------------------------

    def decide(self, command: Command) -> tuple[str, Effect]:  # noqa: PLR0911 - one per command
        if isinstance(command, Shut):
            return self._shut(command)
        if isinstance(command, CloseAccount):
            return self._close(command)
        if not command.head.reason.strip():
            return "reason_missing", NOTHING
        if isinstance(command, Record):
            return self._record(command)
        if isinstance(command, Reverse):
            return self._reverse(command)
        if isinstance(command, Items):
            return self._each(command)
        if command.head.corrects and command.head.corrects not in self.entries:
            return "entry_unknown", NOTHING
        if isinstance(command, Move):
            return self._move(command)
        return self._settle(command) if isinstance(command, Settle) else self._expire(command)

    def _shut(self, command: Shut) -> tuple[str, Effect]:
        if (command.ends_on, command.state) in self.periods:
            return "nothing", NOTHING
        if command.ends_on <= self._closed_to():
            return "period_out_of_order", NOTHING
        if command.ends_on >= command.today:
            return "period_not_over", NOTHING
        return "done", Effect(shut=(command.ends_on, command.state))

    def _close(self, command: CloseAccount) -> tuple[str, Effect]:
        if command.code not in self.accounts:
            return "account_unknown", NOTHING
        debit, credit, *held = self.sums[command.code]
        if debit != credit or any(held):
            return "account_not_empty", NOTHING
        return "done", Effect(closed=command.code)

    def _record(self, command: Record) -> tuple[str, Effect]:
        head, legs = command.head, command.legs
        code = self._unsound(legs)
        if code:
            return code, NOTHING
        if head.corrects and head.corrects not in self.entries:
            return "entry_unknown", NOTHING
        return self._write(head, legs, None)

    def _reverse(self, command: Reverse) -> tuple[str, Effect]:
        head = command.head
        if command.entry_ref not in self.entries:
            return "entry_unknown", NOTHING
        target, legs = self.entries[command.entry_ref]
        if not legs:
            return "transfers_not_reversed", NOTHING
        if head.effective_on < target.effective_on:
            return "reversal_too_early", NOTHING
        if self.reversals.get(command.entry_ref, head.key) != head.key:
            return "already_reversed", NOTHING
        if head.corrects and head.corrects not in self.entries:
            return "entry_unknown", NOTHING
        return self._write(head, tuple(_mirrored(leg) for leg in legs), command.entry_ref)

    def _write(
        self, head: EntryHead, legs: tuple[Leg, ...], reverses: str | None
    ) -> tuple[str, Effect]:
        body = (*_said(head), reverses, legs)
        if head.key in self.keys:
            return self._repeated(head, body), NOTHING
        postings = tuple(
            (leg.account, leg.wallet_id, POSTED, DEBIT if leg.amount_minor > 0 else CREDIT,
             abs(leg.amount_minor))
            for leg in legs
        )  # fmt: skip
        kinds = {
            (self.accounts[leg.account].number, self.accounts[leg.account].currency,
             leg.grant_code, leg.layer, leg.wallet_id is not None, _missing(leg), leg.account)
            for leg in legs
        }  # fmt: skip
        code = self._wrong_day(head) or self._unfit(kinds) or self._breach(postings)
        if code:
            return code, NOTHING
        return "done", Effect(head, body, reverses, legs, postings=postings)

    def _move(self, command: Move) -> tuple[str, Effect]:
        head, lines = command.head, command.lines
        if not lines:
            return "nothing", NOTHING
        body = (*_said(head), command.is_hold, tuple(sorted(lines, key=repr)))
        currencies = {line.currency for line in lines}
        is_sound = all(line.amount > 0 for line in lines) and len(currencies) == 1
        if head.key in self.keys:
            return self._repeated(head, body), NOTHING
        if not is_sound:
            return ("currencies_mixed" if len(currencies) > 1 else "amount_unfit"), NOTHING
        refs = [line.ref for line in lines]
        if command.is_hold and (len(set(refs)) < len(refs) or self.holds.keys() & set(refs)):
            return "instruction_held_twice", NOTHING
        stage = PENDING if command.is_hold else POSTED
        postings = tuple(
            posting for line in lines for posting in self._sides(line, stage, line.amount)
        )
        code = self._wrong_day(head) or self._unfit_lines(lines) or self._breach(postings)
        if code:
            return code, NOTHING
        return "done", Effect(head, body, holds=lines if command.is_hold else (), postings=postings)

    def _settle(self, command: Settle) -> tuple[str, Effect]:
        head, amounts = command.head, command.amounts
        if not amounts:
            return "nothing", NOTHING
        body = (*_said(head), None, tuple(sorted(amounts)))
        code = self._unsettled(head, amounts)
        if head.key in self.keys:
            return self._repeated(head, body), NOTHING
        code = code or self._wrong_day(head)
        if code:
            return code, NOTHING
        resolved = [(ref, "posted" if amount else "voided") for ref, amount in amounts]
        postings = [
            posting
            for ref, amount in amounts
            for posting in self._resolution(self.holds[ref], amount)
        ]
        return "done", Effect(head, body, resolved=tuple(resolved), postings=tuple(postings))

    def _unsettled(  # noqa: PLR0911 - one per refusal, in their order
        self, head: EntryHead, amounts: tuple[tuple[str, int], ...]
    ) -> str:
        refs = [ref for ref, _ in amounts]
        if any(ref not in self.holds for ref in refs):
            return "hold_unknown"
        if any(ref in self.resolved for ref in refs):
            return "hold_already_resolved"
        if len(set(refs)) < len(refs):
            return "instruction_twice"
        if any(amount < 0 for _, amount in amounts):
            return "amount_unfit"
        if any(amount > self.holds[ref].amount for ref, amount in amounts):
            return "hold_exceeded"
        if any(amount and self._is_over(self.holds[ref], head) for ref, amount in amounts):
            return "hold_expired"
        return "currencies_mixed" if len({self.holds[ref].currency for ref in refs}) > 1 else ""

    def _expire(self, command: Expire) -> tuple[str, Effect]:
        head = command.head
        over = tuple(
            sorted(
                ref
                for ref, line in self.holds.items()
                if ref not in self.resolved
                and self._is_over(line, head)
                and (command.among is None or ref in command.among)
            )
        )
        if not over:
            return "nothing", NOTHING
        body = (*_said(head), None, over)
        if head.key in self.keys:
            return self._repeated(head, body), NOTHING
        code = self._wrong_day(head)
        if code:
            return code, NOTHING
        postings = [posting for ref in over for posting in self._resolution(self.holds[ref], 0)]
        resolved = tuple((ref, "expired") for ref in over)
        return "done", Effect(head, body, resolved=resolved, postings=tuple(postings))

    def _each(self, command: Items) -> tuple[str, Effect]:
        head = command.head
        if not command.items:
            return "batch_empty", NOTHING
        body = (*_said(head), command.items)
        if head.key in self.batches:
            same = self.batches[head.key] == body
            return ("already" if same else "batch_key_used_differently"), NOTHING
        judged = self._judged(command.items)
        if head.corrects and head.corrects not in self.entries:
            return "entry_unknown", NOTHING
        good = [line for _, line, code in judged if code is Code.RECORDED]
        code = self._wrong_day(head) if good else ""
        if code:
            return code, NOTHING
        postings = tuple(
            posting for line in good for posting in self._sides(line, POSTED, line.amount)
        )
        return "done", Effect(
            head if good else None, body, postings=postings, batch=(head.key, body), judged=judged
        )

    def _judged(self, items: tuple[tuple[str, Line], ...]) -> tuple[tuple[str, Line, Code], ...]:
        found: list[tuple[str, Line, Code]] = []
        sums = {code: list(kept) for code, kept in self.sums.items()}
        wallets = {key: list(kept) for key, kept in self.wallets.items()}
        for key, line in items:
            code = self._item(key, line, {before for before, *_ in found})
            if code is None:
                code = self._fits(line, sums, wallets)
            found.append((key, line, code))
        return tuple(found)

    def _item(self, key: str, line: Line, before: set[str]) -> Code | None:  # noqa: PLR0911
        burnt = {item for _, _, item, code in self.refusals if code in BURNING}
        if key in before:
            return Code.ITEM_REPEATED
        if key in self.items:
            return Code.EXISTS if self.items[key] == line else Code.EXISTS_DIFFERENTLY
        if key in burnt:
            return Code.ALREADY_REFUSED
        if not {line.debit, line.credit} <= self.accounts.keys():
            return Code.ACCOUNT_UNKNOWN
        if {line.debit, line.credit} & self.closed:
            return Code.ACCOUNT_CLOSED
        sides = [self.accounts[line.debit], self.accounts[line.credit]]
        if line.debit == line.credit or any(
            side.currency != line.currency or side.grant not in {None, line.grant} or side.memo
            for side in sides
        ):
            return Code.ACCOUNT_UNFIT
        controls = sum(side.control for side in sides)
        if controls and line.wallet is None:
            return Code.WALLET_MISSING
        if controls != 1 and line.wallet is not None:
            return Code.WALLET_UNFIT
        if any(side.needs & set(line.missing) for side in sides):
            return Code.DIMENSION_MISSING
        return Code.AMOUNT_UNFIT if line.amount <= 0 else None

    def _fits(
        self, line: Line, sums: dict[str, list[int]], wallets: dict[tuple[str, int], list[int]]
    ) -> Code:
        """Take the item's place among those before it, where it fits."""
        postings = self._sides(line, POSTED, line.amount)
        after = {code: list(sums.get(code, [0] * 4)) for code, *_ in postings}
        carried = {
            (code, wallet): list(wallets.get((code, wallet), [0] * 4))
            for code, wallet, *_ in postings
            if wallet is not None
        }
        _add(after, carried, postings)
        kept = [*after.items(), *((code, sums) for (code, _), sums in carried.items())]
        if any(self._is_short(code, one) for code, one in kept):
            return Code.ACCOUNT_LIMIT
        sums |= after
        wallets |= carried
        return Code.RECORDED

    def _is_short(self, code: str, sums: list[int]) -> bool:
        return self.accounts[code].limited and available(self.accounts[code], sums) < 0

    # --- the pieces -------------------------------------------------------------------------

    @staticmethod
    def _is_over(line: Line, head: EntryHead) -> bool:
        return line.until is not None and line.until < head.effective_on

    def _closed_to(self) -> date:
        return max((day for day, state in self.periods if state == "closed"), default=date.min)

    def _wrong_day(self, head: EntryHead) -> str:
        if head.effective_on > head.recorded_on:
            return "entry_in_future"
        if head.effective_on <= self._closed_to():
            return "period_closed"
        adjusting = max((day for day, _ in self.periods), default=date.min)
        return "period_adjusting" if head.effective_on <= adjusting and not head.adjustment else ""

    def _repeated(self, head: EntryHead, body: Hashable) -> str:
        return "already" if self.keys[head.key][1] == body else "key_used_differently"

    def _unsound(self, legs: tuple[Leg, ...]) -> str:
        if len(legs) < 2:
            return "entry_without_lines"
        sums: Counter[tuple[str, str, str]] = Counter()
        found = []
        for leg in legs:
            if not leg.amount_minor:
                found.append("leg_zero")
            if leg.account not in self.accounts:
                found.append("account_unknown")
                continue
            sums[leg.layer, self.accounts[leg.account].currency, leg.grant_code] += leg.amount_minor
        if "account_unknown" not in found and any(sums.values()):
            found.append("entry_unbalanced")
        return found[0] if found else ""

    def _unfit(self, kinds: Iterable[tuple]) -> str:
        for _, currency, grant, layer, has_wallet, missing, code in sorted(kinds):
            account = self.accounts[code]
            if (
                account.currency != currency
                or account.grant not in {None, grant}
                or account.memo != (layer == "M")
            ):
                return "account_unfit"
            if account.control != has_wallet:
                return "wallet_missing" if account.control else "wallet_unfit"
            if account.needs & set(missing):
                return "dimension_missing"
        return ""

    def _unfit_lines(self, lines: tuple[Line, ...]) -> str:
        kinds = set()
        for line in lines:
            for code, other in ((line.debit, line.credit), (line.credit, line.debit)):
                is_mine = self.accounts[code].control or not self.accounts[other].control
                kinds.add(
                    (self.accounts[code].number, line.currency, line.grant, "A",
                     line.wallet is not None and is_mine, line.missing, code)
                )  # fmt: skip
        code = self._unfit(kinds)
        both = any(
            self.accounts[line.debit].control and self.accounts[line.credit].control
            for line in lines
        )
        return code or ("wallet_unfit" if both else "")

    def _sides(
        self, line: Line, stage: int, amount: int
    ) -> list[tuple[str, int | None, int, int, int]]:
        return [
            (code, line.wallet if self.accounts[code].control else None, stage, side, amount)
            for code, side in ((line.debit, DEBIT), (line.credit, CREDIT))
        ]

    def _resolution(self, line: Line, amount: int) -> list[tuple[str, int | None, int, int, int]]:
        posted = self._sides(line, POSTED, amount) if amount else []
        return [*self._sides(line, PENDING, -line.amount), *posted]

    def _breach(self, postings: tuple[tuple[str, int | None, int, int, int], ...]) -> str:
        touched = {code for code, *_ in postings}
        if touched & self.closed:
            return "account_closed"
        sums = {code: list(self.sums[code]) for code in touched}
        wallets = {
            (code, wallet): list(self.wallets[code, wallet])
            for code, wallet, *_ in postings
            if wallet is not None
        }
        _add(sums, wallets, postings)
        after = [*sums.items(), *((code, sums) for (code, _), sums in wallets.items())]
        short = any(self._is_short(code, kept) for code, kept in after)
        return "account_limit" if short else ""


def available(account: Account, sums: list[int]) -> int:
    """What the account or wallet may still lose: what is on hold to leave is gone."""
    normal, other = account.normal, 1 - account.normal
    return sums[normal] - sums[other] - sums[PENDING + other]


def _add(
    sums: dict[str, list[int]],
    wallets: dict[tuple[str, int], list[int]],
    postings: Iterable[tuple[str, int | None, int, int, int]],
) -> None:
    for code, wallet, stage, side, amount in postings:
        sums[code][stage + side] += amount
        if wallet is not None:
            wallets[code, wallet][stage + side] += amount


def _said(head: EntryHead) -> tuple[Hashable, ...]:
    return (head.event, head.effective_on, head.adjustment, head.corrects)


def _missing(leg: Leg) -> tuple[str, ...]:
    return tuple(name for name, field_name in DIMENSIONS.items() if not getattr(leg, field_name))


def _mirrored(leg: Leg) -> Leg:
    return Leg(
        leg.account, -leg.amount_minor, leg.layer, grant_code=leg.grant_code,
        programme_id=leg.programme_id, cycle_id=leg.cycle_id, provider=leg.provider,
        location=leg.location, wallet_id=leg.wallet_id,
    )  # fmt: skip
