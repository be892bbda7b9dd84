"""Numbers for people who do not exist: well formed, with right check digits, from fixed ranges.

Nobody reserves such ranges officially. These are this program's own; it uses no other, so that a
made-up number is recognised wherever it turns up:

| what | range |
|---|---|
| foreigner identity number | 99 5..., 99 6..., 99 7..., 99 8..., 99 9... (11 digits, two check) |
| Turkish identity number | 89... (11 digits, two check digits) |
| passport | X and nine digits |
| mobile phone | +90 596 xxx xx xx: a valid mobile range that no carrier is listed for |
| IBAN | TR, bank code 09999 (not assigned) |
| card reference | VC- and DC- and eight digits, from 00000001 |

A number belongs to an index: equal indexes give equal numbers, different ones different numbers,
in an order that the seed scatters. Sources: python-stdnum `tr.tckimlik` for the check digits,
ISO 13616 for those of an IBAN, ISO 7064 mod 97-10.
"""

from dataclasses import dataclass, field

import numpy as np

from simulations.population.margins import Ints
from simulations.population.shape import Fault

FOREIGNER_FIRST, FOREIGNERS = 995_000_000, 5_000_000
NATIONAL_FIRST, NATIONALS = 890_000_000, 10_000_000
PHONE_PREFIX, PHONES = "596", 10_000_000
BANK_CODE = "09999"
ACCOUNT_STEMS = 1_000_000_000_000
TAILS = 9_900  # ordinary account numbers end in 0000..9899
CARDS_PER_THOUSAND = 996  # 901 to 904 are kept for faults
KEPT_FROM = 901

ACCOUNT_TAILS = {
    Fault.BANK_REJECTED: "9901",
    Fault.BANK_SILENT: "9902",
    Fault.BANK_RETURNED: "9903",
}
CARD_TAILS = {
    Fault.VOUCHER_REJECTED: 901,
    Fault.VOUCHER_SILENT: 902,
    Fault.VOUCHER_SHORT: 903,
    Fault.DEBIT_REJECTED: 901,
    Fault.DEBIT_SILENT: 902,
    Fault.DEBIT_SHORT: 903,
}


@dataclass(frozen=True, slots=True)
class Scatter:
    """An order of 0..size-1 that looks like chance: index * multiplier + offset, modulo size.

    `size` must be a power of ten or half of one; the multiplier ends in 3, so that it shares no
    factor with it.
    """

    size: int
    multiplier: int
    offset: int

    @classmethod
    def seeded(cls, rng: np.random.Generator, size: int) -> "Scatter":
        """Return an order that `rng` chooses."""
        return cls(
            size, int(rng.integers(size // 20, size // 10)) * 10 + 3, int(rng.integers(size))
        )

    def at(self, index: int) -> int:
        """Return the number at `index`."""
        return (index * self.multiplier + self.offset) % self.size

    def all_at(self, index: Ints) -> Ints:
        """Return the numbers at each index; sizes up to ten million."""
        numbers: Ints = (index * self.multiplier + self.offset) % self.size
        return numbers


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of one population; all of them follow from the seed."""

    foreigners: Scatter
    nationals: Scatter
    phones: Scatter
    accounts: Scatter

    @classmethod
    def seeded(cls, rng: np.random.Generator) -> "Numbers":
        """Return numbers in an order that `rng` chooses."""
        sizes = (FOREIGNERS, NATIONALS, PHONES, ACCOUNT_STEMS)
        return cls(*(Scatter.seeded(rng, size) for size in sizes))

    def foreigner_ids(self, index: Ints) -> Ints:
        """Return foreigner identity numbers for people's indexes."""
        return with_check_digits(FOREIGNER_FIRST + self.foreigners.all_at(index))

    def national_ids(self, index: Ints) -> Ints:
        """Return Turkish identity numbers for people's indexes."""
        return with_check_digits(NATIONAL_FIRST + self.nationals.all_at(index))

    def phone(self, index: int) -> str:
        """Return the phone of a household, written in one of three usual ways."""
        digits = f"{PHONE_PREFIX}{self.phones.at(index):07d}"
        grouped = f"0{digits[:3]} {digits[3:6]} {digits[6:8]} {digits[8:]}"
        return (f"+90{digits}", f"0{digits}", grouped)[index % 3]

    def iban(self, index: int, fault: Fault | None = None) -> str:
        """Return the IBAN of a household; the fault of an account stands in its last digits."""
        tail = ACCOUNT_TAILS.get(fault) if fault else None
        account = f"{self.accounts.at(index):012d}{tail or f'{index * 7919 % TAILS:04d}'}"
        bban = f"{BANK_CODE}0{account}"
        return f"TR{98 - int(bban + '292700') % 97:02d}{bban}"


@dataclass(slots=True)
class Cards:
    """Hands out the serials of one kind of card: good ones in order, faulty ones by their tail."""

    prefix: str
    good: int = 0
    faulty: dict[Fault, int] = field(default_factory=dict)

    def next(self, fault: Fault | None = None) -> str:
        """Return the reference of the next card, one that fails where `fault` is of its kind."""
        if fault in CARD_TAILS:
            thousands = self.faulty[fault] = self.faulty.get(fault, -1) + 1
            return f"{self.prefix}-{thousands * 1000 + CARD_TAILS[fault]:08d}"
        self.good += 1
        thousands, rest = divmod(self.good, CARDS_PER_THOUSAND)
        last = rest if rest < KEPT_FROM else rest + len({901, 902, 903, 904})
        return f"{self.prefix}-{thousands * 1000 + last:08d}"


def with_check_digits(stems: Ints) -> Ints:
    """Return eleven-digit identity numbers for stems of nine digits."""
    digits = stems[:, None] // 10 ** np.arange(8, -1, -1) % 10
    first = -(digits @ np.array([3, 1] * 4 + [3])) % 10
    second = (first + digits.sum(axis=1)) % 10
    numbers: Ints = stems * 100 + first * 10 + second
    return numbers
