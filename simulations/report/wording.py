"""Words and numbers of a report in one of three languages.

English writes 1,234.50, Turkish 1.234,50; Arabic reports use Western digits, as the agencies do.
Amounts are shown without decimals where they are a thousand and more, in sentences as millions
where they are a million and more: the tables have every minor unit. Words are `words.yaml`; what
is missing there is a bug and raises KeyError.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from importlib import resources

import pandas as pd
import yaml
from pydantic import TypeAdapter

from eligibility.rules.pack import Label
from ledgers.money import exponent, format_amount, round_to
from simulations.rates import MILLION
from simulations.report.model import Column, Kind, Sentence

WHOLE_FROM = 1000
MILLIONS_FROM = 1_000_000
NOTHING = "–"
HYPHEN = "\N{NON-BREAKING HYPHEN}"
ISOLATE, ISOLATE_END = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"


class Language(StrEnum):
    """A language of the reports."""

    EN = "en"  # English
    TR = "tr"  # Turkish
    AR = "ar"  # Arabic, from right to left

    @property
    def direction(self) -> str:
        """How it is written."""
        return "rtl" if self is Language.AR else "ltr"


@cache
def words() -> Mapping[str, Mapping[str, str]]:
    """Return every key with its words in the three languages."""
    text = resources.files("simulations.report").joinpath("words.yaml").read_text(encoding="utf-8")
    content: dict[str, dict[str, str]] = yaml.safe_load(text)
    return content


@dataclass(frozen=True, slots=True)
class Wording:
    """One language with the names of the report: provinces, courses, stress paths."""

    language: Language
    names: Mapping[str, Label]

    def word(self, key: str) -> str:
        """Return the words of a key. Raises KeyError."""
        return words()[key][self.language]

    def name(self, code: str) -> str:
        """Return the name of a code, or its words, or the code."""
        if code in self.names:
            return self.label(self.names[code])
        return words()[code][self.language] if code in words() else code

    def label(self, label: Label) -> str:
        """Return a label in this language."""
        said: str = getattr(label, self.language.value)
        return said

    def says(self, sentence: Sentence | Mapping[str, object] | str | None) -> str:
        """Return a sentence with its facts; facts may be sentences themselves."""
        if sentence is None or isinstance(sentence, str):
            return sentence or ""
        if isinstance(sentence, Mapping):
            sentence = TypeAdapter(Sentence).validate_python(sentence)
        facts = sentence.facts
        plain: Mapping[str, Callable[[], str]] = {
            "an_amount": lambda: self.amount(_int(facts, "minor"), str(facts["currency"])),
            "a_count": lambda: self.count(_int(facts, "number")),
            "a_share": lambda: self.share(_int(facts, "millionths")),
            "a_month": lambda: str(facts["month"]).replace("-", HYPHEN),
            "a_name": lambda: self.name(str(facts["code"])),
        }
        if sentence.key in plain:
            return self._apart(plain[sentence.key]())
        told = {
            name: self.says(fact) if isinstance(fact, Sentence | Mapping) else fact
            for name, fact in facts.items()
        }
        return self.word(sentence.key).format(**told)

    def count(self, number: int) -> str:
        """Return a whole number: 1,234 or 1.234."""
        return self._separated(f"{number:,}")

    def amount(self, minor: int, currency: str, *, with_currency: bool = True) -> str:
        """Return an amount for people to read."""
        unit = 10 ** exponent(currency)
        if with_currency and abs(minor) >= MILLIONS_FROM * unit:
            tenths = round_to(minor, unit * MILLION // 10) * 10 // (unit * MILLION)
            said = self._separated(f"{'-' * (tenths < 0)}{abs(tenths) // 10:,}.{abs(tenths) % 10}")
            return self.word("millions_of").format(amount=said, currency=currency)
        whole = abs(minor) >= WHOLE_FROM * unit
        text = f"{round_to(minor, unit) // unit:,}" if whole else format_amount(minor, currency)
        text = text if minor else "0"
        shown = self._separated(text)
        return f"{shown}\N{NO-BREAK SPACE}{currency}" if with_currency else shown

    def share(self, millionths: int) -> str:
        """Return a share in per cent: 25.0 % or %25,0."""
        tenths = round_to(millionths, MILLION // 1000) * 1000 // MILLION
        sign = "-" if tenths < 0 else ""
        text = self._separated(f"{abs(tenths) // 10}.{abs(tenths) % 10}")
        if self.language is Language.TR:
            return f"{sign}%{text}"
        return f"{sign}{text}\N{NO-BREAK SPACE}%"

    def rate(self, millionths: int) -> str:
        """Return a rate with two decimals."""
        cents = round_to(millionths, MILLION // 100) * 100 // MILLION
        return self._separated(f"{cents // 100:,}.{cents % 100:02d}")

    def header(self, column: Column) -> str:
        """Return the heading of a column."""
        said = self.name(column.name.removesuffix("_minor"))
        return (
            f"{said} ({column.currency})"
            if column.currency and column.currency not in said
            else said
        )

    def cell(self, value: object, column: Column) -> str:
        """Return a cell of a table for people to read; a dash where there is nothing."""
        if pd.isna(value):  # type: ignore[call-overload]
            return NOTHING
        currency = column.currency or "TRY"
        shown: Mapping[Kind, Callable[[str], str]] = {
            Kind.COUNT: lambda text: self.count(int(text)),
            Kind.AMOUNT: lambda text: self.amount(int(text), currency, with_currency=False),
            Kind.SHARE: lambda text: self.share(int(Decimal(text).scaleb(6).to_integral_value())),
            Kind.RATE: lambda text: self.rate(int(text)),
            Kind.NUMBER: lambda text: self._separated(f"{Decimal(text):,.2f}"),
            Kind.MONTH: lambda text: text[:7],
            Kind.WORD: self.name,
            Kind.NAME: self.name,
            Kind.TEXT: str,
        }
        return shown[column.kind](str(value))

    def _apart(self, text: str) -> str:
        """Return figures so that Arabic sentences keep their parts in order."""
        return f"{ISOLATE}{text}{ISOLATE_END}" if self.language is Language.AR else text

    def _separated(self, text: str) -> str:
        """Return digits with the language's separators."""
        if self.language is not Language.TR:
            return text
        return text.translate(str.maketrans(",.", ".,"))


def _int(facts: Mapping[str, object], name: str) -> int:
    return int(str(facts[name]))
