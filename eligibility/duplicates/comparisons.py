"""What is compared of two persons, in levels from the strongest agreement to none.

Decides what counts as agreeing. Each fact known of both gives one *level*; what a level is worth
in bits is learned from the data (`training.py`) and starts from the shares written here: `m`, how
often two records of one person are at this level, and `u`, how often two records of two people.
Facts of the household (surname, parents, phone, place) are compared like the others and marked:
together they may not exceed a limit (`deciding.py`).

Term frequencies: agreeing in a rare name says more than agreeing in Muhammad; they are taken on
the skeleton, so that all spellings of a name count as one.

The conditions are SQL that DuckDB and Spark both read, except for two functions with other names.
"""

from collections.abc import Callable
from dataclasses import dataclass

from eligibility.duplicates.shapes import Group

FUNCTIONS = {
    "duckdb": {"similar": "jaro_winkler_similarity", "edits": "damerau_levenshtein"},
    "spark": {"similar": "jaro_winkler", "edits": "damerau_levenshtein"},
}
SETTLED_U = 1e-7  # two people with one strong number: rarer than any sample shows


@dataclass(frozen=True, slots=True)
class Level:
    """One level: what it says, its SQL condition, its first shares, and its term frequency.

    `against` marks a disagreement: it never counts for a pair, whatever was learned. `alone`
    marks agreement enough for a link without a person looking (with a strong identifier).
    """

    says: str
    sql: str
    m: float
    u: float
    frequency: str | None = None
    against: bool = False
    alone: bool = False
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """A comparison: its name, the sum it belongs to, when it cannot be made, its levels."""

    name: str
    group: Group
    unknown: str
    levels: tuple[Level, ...]


def facts_of(names: tuple[str, ...], kinds: dict[str, tuple[bool, bool]]) -> tuple[Fact, ...]:
    """Return the comparisons of the facts `names` (`Prepared.facts`); `kinds` of identifiers."""
    both_names = {"given_name", "family_name"} <= set(names)
    found = []
    for name in names:
        stem = name.rpartition("_")[0] if name[-1].isdigit() else name
        if name == "identifier":
            found.append(_identifier(tuple(kinds)))
        elif stem in {"given_name", "family_name"}:
            found.append(_NAMES[stem](both_names))
        else:
            found.append(_MAKERS[stem](name))
    return tuple(found)


def spoken(sql: str, dialect: str) -> str:
    """Return `sql` with the functions of `dialect` (`duckdb` or `spark`)."""
    for name, function in FUNCTIONS[dialect].items():
        sql = sql.replace(f"{name}(", f"{function}(")
    return sql


def _either(*columns: str) -> str:
    return " OR ".join(f"{column}_{side} IS NULL" for column in columns for side in "lr")


_VOWELS_AGREE = (
    "((given_script_l = given_script_r AND (given_has_l & ~given_keeps_r) = 0"
    " AND (given_has_r & ~given_keeps_l) = 0)"
    " OR (given_script_l <> given_script_r AND (given_says_l & ~given_allows_r) = 0"
    " AND (given_says_r & ~given_allows_l) = 0))"
)
_SWAPPED = "given_skeleton_l = family_skeleton_r AND family_skeleton_l = given_skeleton_r"


def _given(with_family: bool) -> Fact:  # noqa: FBT001 - whether the other name is there to be swapped
    first = "given_first_l = given_first_r"
    levels = [
        Level("same spelling", "given_written_l = given_written_r", 0.40, 0.004,
              "given_skeleton", alone=True),
        Level("same name, spelled otherwise",
              "given_known_l = given_known_r OR (given_skeleton_l = given_skeleton_r"
              " AND (given_known_l IS NULL OR given_known_r IS NULL)"
              f" AND {_VOWELS_AGREE})", 0.40, 0.004, "given_skeleton", alone=True),
        Level("given and family name swapped", _SWAPPED, 0.03, 0.0001, alone=True),
        Level("same consonants, another name",
              "given_skeleton_l = given_skeleton_r", 0.01, 0.004),
        Level("spelled almost the same",
              "given_script_l = given_script_r"
              " AND similar(given_written_l, given_written_r) >= 0.9", 0.06, 0.004),
        Level("one of several names the same", first, 0.02, 0.004),
        Level("another reading of the letters",
              "given_second_l = given_skeleton_r OR given_skeleton_l = given_second_r"
              " OR given_second_l = given_second_r", 0.02, 0.002),
        Level("somewhat alike",
              "similar(given_skeleton_l, given_skeleton_r) >= 0.86 OR (given_script_l ="
              " given_script_r AND similar(given_written_l, given_written_r) >= 0.8)",
              0.02, 0.02),
        Level("another name", "ELSE", 0.04, 0.95, against=True),
    ]  # fmt: skip
    if not with_family:
        del levels[2]
    return Fact("given_name", Group.PERSON, _either("given_written"), tuple(levels))


def _family(with_given: bool) -> Fact:  # noqa: FBT001 - whether the other name is there to be swapped
    levels = [
        Level("same spelling", "family_written_l = family_written_r", 0.40, 0.003,
              "family_skeleton"),
        Level("same name, spelled otherwise",
              "family_skeleton_l = family_skeleton_r", 0.40, 0.003, "family_skeleton"),
        Level("given and family name swapped", _SWAPPED, 0.0001, 0.0001, settled=True),
        Level("spelled almost the same",
              "family_script_l = family_script_r"
              " AND similar(family_written_l, family_written_r) >= 0.9", 0.06, 0.003),
        Level("one of several names the same", "family_last_l = family_last_r", 0.02, 0.002),
        Level("another reading of the letters",
              "family_second_l = family_skeleton_r OR family_skeleton_l = family_second_r"
              " OR family_second_l = family_second_r", 0.02, 0.002),
        Level("somewhat alike",
              "similar(family_skeleton_l, family_skeleton_r) >= 0.88 OR (family_script_l ="
              " family_script_r AND similar(family_written_l, family_written_r) >= 0.8)",
              0.02, 0.02),
        Level("another name", "ELSE", 0.05, 0.95, against=True),
    ]  # fmt: skip
    if not with_given:
        del levels[2]
    return Fact("family_name", Group.HOUSEHOLD, _either("family_written"), tuple(levels))


def _parent(name: str) -> Fact:
    stem = name.removesuffix("_name")
    return Fact(name, Group.HOUSEHOLD, _either(f"{stem}_written"), (
        Level("same name", f"{stem}_skeleton_l = {stem}_skeleton_r", 0.80, 0.005,
              f"{stem}_skeleton"),
        Level("one of several names the same", f"{stem}_first_l = {stem}_first_r", 0.05, 0.004),
        Level("somewhat alike", f"similar({stem}_skeleton_l, {stem}_skeleton_r) >= 0.88"
              f" OR similar({stem}_written_l, {stem}_written_r) >= 0.88", 0.07, 0.02),
        Level("another name", "ELSE", 0.08, 0.97, against=True),
    ))  # fmt: skip


def _birth(name: str) -> Fact:
    swapped = (
        "birth_year_l = birth_year_r AND substr(birth_l, 5, 2) = substr(birth_r, 7, 2)"
        " AND substr(birth_l, 7, 2) = substr(birth_r, 5, 2)"
    )
    either_year, both_years = (f"birth_coarse_l {how} birth_coarse_r" for how in ("OR", "AND"))
    return Fact(name, Group.PERSON, _either("birth"), (
        Level("same day", "birth_l = birth_r AND NOT birth_coarse_l AND NOT birth_coarse_r",
              0.75, 0.00005, alone=True),
        Level("same year, the day not known",
              f"birth_year_l = birth_year_r AND ({either_year})",
              0.14, 0.006, alone=True),
        Level("day and month swapped", swapped, 0.02, 0.0001, alone=True),
        # One year in five is a sign apart from any other: only of days is it a slip of the pen.
        Level("a year apart, the day not known",
              f"abs(birth_year_l - birth_year_r) = 1 AND ({either_year})", 0.02, 0.03),
        Level("one sign apart", f"edits(birth_l, birth_r) <= 1 AND NOT ({both_years})",
              0.04, 0.0015, alone=True),
        Level("two signs apart", f"edits(birth_l, birth_r) <= 2 AND NOT ({both_years})",
              0.02, 0.02),
        Level("same year, another day", "birth_year_l = birth_year_r", 0.01, 0.015),
        Level("another date", "ELSE", 0.02, 0.96, against=True),
    ))  # fmt: skip


def _sex(name: str) -> Fact:
    return Fact(name, Group.PERSON, _either("sex"), (
        Level("same", "sex_l = sex_r", 0.99, 0.5, alone=True),
        Level("another", "ELSE", 0.01, 0.5, against=True),
    ))  # fmt: skip


def _identifier(kinds: tuple[str, ...]) -> Fact:
    columns = [f"id_{kind}" for kind in kinds]
    both = [f"({c}_l IS NOT NULL AND {c}_r IS NOT NULL)" for c in columns]
    same = [f"({c}_l = {c}_r AND {c}_valid_l)" for c in columns]
    typed = [f"{c}_l = {c}_r" for c in columns]
    near = [f"(edits({c}_l, {c}_r) <= 2 AND NOT ({c}_valid_l AND {c}_valid_r))" for c in columns]
    return Fact("identifier", Group.PERSON, f"NOT ({' OR '.join(both)})", (
        Level("same number", " OR ".join(same), 0.75, SETTLED_U, alone=True, settled=True),
        Level("same doubtful number", " OR ".join(typed), 0.05, SETTLED_U * 10, alone=True,
              settled=True),
        Level("almost the same doubtful number", " OR ".join(near), 0.15, 0.00001, alone=True,
              settled=True),
        Level("another number", "ELSE", 0.05, 0.999, against=True, settled=True),
    ))  # fmt: skip


def _contact(name: str) -> Fact:
    return Fact(name, Group.HOUSEHOLD, _either(name), (
        Level("same", f"{name}_l = {name}_r", 0.55, 0.00001, name),
        Level("another", "ELSE", 0.45, 0.9999, against=True),
    ))  # fmt: skip


def _place(name: str) -> Fact:
    return Fact(name, Group.HOUSEHOLD, _either(name), (
        Level("same", f"{name}_l = {name}_r", 0.70, 0.01, name),
        Level("spelled almost the same", f"{name}_skeleton_l = {name}_skeleton_r"
              f" OR similar({name}_l, {name}_r) >= 0.9", 0.08, 0.005),
        Level("somewhat alike", f"similar({name}_l, {name}_r) >= 0.8", 0.02, 0.01),
        Level("another", "ELSE", 0.20, 0.975, against=True),
    ))  # fmt: skip


def _detail(name: str) -> Fact:
    return Fact(name, Group.HOUSEHOLD, _either(name), (
        Level("same", f"{name}_l = {name}_r", 0.80, 0.01, name),
        Level("one sign apart", f"length({name}_l) > 1 AND edits({name}_l, {name}_r) <= 1",
              0.08, 0.02),
        Level("another", "ELSE", 0.12, 0.97, against=True),
    ))  # fmt: skip


_NAMES: dict[str, Callable[[bool], Fact]] = {"given_name": _given, "family_name": _family}
_MAKERS: dict[str, Callable[[str], Fact]] = {
    "father_name": _parent, "mother_name": _parent, "birth_date": _birth, "sex": _sex,
    "phone": _contact, "account": _contact, "place": _place, "detail": _detail,
}  # fmt: skip
