"""Whatever is written as a rule pack is taken or refused by design: no text crashes the reader.

`CVA_FUZZ_SECONDS` is how long each of the two fuzzers runs; `make proof` gives them ten minutes.
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eligibility.rules.check import check
from eligibility.rules.checked import read_pack
from eligibility.rules.document import read_document
from eligibility.rules.parser import canonical_text
from tests.eligibility.rosters import SCOPE

ROOT = Path(__file__).parent.parent.parent
SECONDS = float(os.environ.get("CVA_FUZZ_SECONDS", "3"))
EXPRESSIONS = (
    "members.filter(m, m.age < p.k || m.disability_percent >= 40).size() >= 2 && flag",
    "ratio(members.size(), members.filter(m, m.sex == 'female').size()) >= p.limit",
    'a in [1, 2, 3] ? b * -2 : age_at(since, date("2026-01-31"))',
    "members.all(m, !(m.birth_date > reference_date)) && place in p.places",
    "members.map(m, m.age).max() - members.map(m, m.birth_date_precision).min() + a",
)
PIECES = (
    *"()[]{}.,:?!<>=+-*/%&|'\"\\ \n\t#@$_09azAZ~^;",
    "&&", "||", "==", "!=", "<=", ">=", "members", "m.age", "p.k", "p.", ".size()", ".filter(m, ",
    ".map(m, ", ".sum()", ".exists(", "ratio(", "age_at(", 'date("', "in", "true", "null",
    "999999999999999999999", "1.5", "0x1F", "1e9", "ş", "ى", "\u200f", "\x00", "\ufeff",
    "\U0001f600", "(" * 60, "a.b.c", "__import__", "{{", "${x}", "- ", ": ", "? ", "|\n", ">\n",
    "&a ", "*a",
    "!!python/object:os.system", "<<: *a", "2020-02-30", "2020-01-01", "null", "~", "---\n", "...",
    "[1, [2, [3]]]", "{a: {b: c}}", "!!binary aGk=", "!!set {a}", "yes", "1_000", "0o17", ".inf",
)  # fmt: skip


def mutations(seeds: tuple[str, ...], made: random.Random) -> Iterator[str]:
    """Texts made from the seeds: pieces put in, taken out, doubled, moved, joined."""
    kept = list(seeds)
    while True:
        text = made.choice(kept)
        for _ in range(made.randint(1, 6)):
            text = made.choice(CHANGES)(text, made)
        yield text
        if len(kept) < 400:  # what was odd once leads further
            kept.append(text)
        else:
            kept[made.randrange(len(seeds), 400)] = text


def _put_in(text: str, made: random.Random) -> str:
    at = made.randint(0, len(text))
    return text[:at] + made.choice(PIECES) + text[at:]


def _take_out(text: str, made: random.Random) -> str:
    at = made.randint(0, len(text))
    return text[:at] + text[at + made.randint(1, 20) :]


def _double(text: str, made: random.Random) -> str:
    at = made.randint(0, len(text))
    end = at + made.randint(1, 40)
    return text[:end] + text[at:end] + text[end:]


def _exchange(text: str, made: random.Random) -> str:
    one, two = sorted(made.randint(0, len(text)) for _ in range(2))
    return text[two:] + text[one:two] + text[:one]


def _replace(text: str, made: random.Random) -> str:
    at = made.randint(0, len(text))
    return (
        text[:at] + chr(made.choice((made.randrange(128), made.randrange(0x800)))) + text[at + 1 :]
    )


CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    _put_in, _put_in, _take_out, _double, _exchange, _replace,
)  # fmt: skip


def fuzz(seeds: tuple[str, ...], judge: Callable[[str], bool]) -> tuple[int, int]:
    """How many texts were judged, and how many of them taken."""
    made = random.Random(20261122)  # noqa: S311 - chance that can be repeated
    judged = taken = 0
    end = time.monotonic() + SECONDS
    for text in mutations(seeds, made):
        try:
            taken += judge(text)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is no answer
            pytest.fail(f"{type(error).__name__} instead of an answer to {text!r}")
        judged += 1
        if time.monotonic() > end:
            break
    return judged, taken


def expression_is_taken(text: str) -> bool:
    term, troubles = check(text, SCOPE)
    assert (term is None) == bool(troubles)
    for trouble in troubles:
        assert trouble.problem.sentence.format(**trouble.facts)
        assert trouble.spot.line >= 1
        assert trouble.spot.column >= 1
    if term is not None:
        assert check(canonical_text(text), SCOPE)[0] == term
    return term is not None


def pack_is_taken(text: str) -> bool:
    document, findings = read_document(text, "pack.yaml")
    if document is None:
        assert findings
        return False
    pack, wrong = read_pack(document, document.values)
    for finding in (*findings, *wrong):
        assert str(finding)
    assert pack is not None or findings or wrong
    if pack is None or findings or wrong:
        return False
    assert len(pack.pack_hash) == 64
    return True


def test_no_expression_crashes_the_reader() -> None:
    judged, taken = fuzz(EXPRESSIONS, expression_is_taken)
    assert 0 < taken < judged


def test_no_pack_crashes_the_reader() -> None:
    shipped = sorted((ROOT / "eligibility" / "packs").glob("*.yaml"))
    broken = sorted((ROOT / "tests" / "scenarios" / "broken_packs").glob("*.yaml"))
    seeds = tuple(path.read_text(encoding="utf-8") for path in (*shipped[:2], *broken))
    judged, taken = fuzz(seeds, pack_is_taken)
    assert 0 < taken < judged
