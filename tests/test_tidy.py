"""The house is tidy: words, clocks, floats, docstrings, sizes and leftovers, in every file of ours.

Each rule is a function from a text to the lines it objects to, and each is shown to object.
"""

import ast
import doctest
import importlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("cva", "simulations", "eligibility", "adapters", "ledgers")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
WORDED = {".md", ".py", ".sql", ".yaml", ".yml", ".html", ".j2", ".css", ".js", ".toml", ".csv"}
PROSE = [
    *sorted(
        path
        for folder in (*PACKAGES, "tests")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in WORDED
    ),
    *(ROOT / name for name in ("README.md", "Makefile", "pyproject.toml")),
]

FORBIDDEN_WORDS = re.compile(
    r"beneficiar|pay-?outs?\b|makers?\W{1,3}checkers?|\bintakes?\b|fuzzy|block-?chain",
    re.IGNORECASE,
)
CLOCKS = re.compile(r"\b(datetime|date)\.(now|today|utcnow)\(|\btime\.time\(")
LEFTOVERS = re.compile(r"\b(TODO|FIXME)\b")
VAGUE_MODULES = {"utils", "util", "helpers", "common", "manager", "base", "misc"}
LINES_MAX = 400

# Where another vocabulary is quoted, not spoken: file → reason.
WORDS_ALLOWED = {
    "tests/test_tidy.py": "names the words it forbids",
}
# file → reason; a binary fraction there never meets money.
FLOATS_ALLOWED = {
    "simulations/population/rosters.py": "a mean number of people, for weights of households",
}
CLOCK = ROOT / "cva" / "clock.py"


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def lines_with(pattern: re.Pattern[str], text: str) -> list[int]:
    return [number for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)]


def floats_in(text: str) -> list[int]:
    """Lines that call `float(...)`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "float"
    ]


def without_docstring(text: str) -> list[int]:
    return [] if ast.get_docstring(ast.parse(text)) else [1]


def too_long(text: str) -> list[int]:
    count = len(text.splitlines())
    return [count] if count > LINES_MAX else []


def forbidden_words(text: str) -> list[int]:
    return lines_with(FORBIDDEN_WORDS, text)


def clocks(text: str) -> list[int]:
    return lines_with(CLOCKS, text)


def leftovers(text: str) -> list[int]:
    return lines_with(LEFTOVERS, text)


def environments(text: str) -> list[int]:
    """Lines that read the environment."""
    return lines_with(re.compile(r"\bos\.(environ|getenv)\b"), text)


def objections(
    rule: Callable[[str], list[int]], paths: list[Path], allowed: dict[str, str]
) -> Iterator[str]:
    for path in paths:
        if relative(path) not in allowed:
            for line in rule(path.read_text(encoding="utf-8")):
                yield f"{relative(path)}:{line}"


def test_screens_docs_and_names_use_the_words_of_the_glossary() -> None:
    assert list(objections(forbidden_words, PROSE, WORDS_ALLOWED)) == []
    names = [relative(path) for path in PROSE]
    assert [name for name in names if FORBIDDEN_WORDS.search(name)] == []


def test_only_the_clock_knows_the_time() -> None:
    allowed = {relative(CLOCK): "the clock"}
    assert list(objections(clocks, SOURCES, allowed)) == []


def test_only_the_settings_read_the_environment() -> None:
    allowed = {"cva/settings.py": "the settings"}
    assert list(objections(environments, SOURCES, allowed)) == []


def test_no_binary_fraction_comes_near_money() -> None:
    assert list(objections(floats_in, SOURCES, FLOATS_ALLOWED)) == []


def test_nothing_is_left_unfinished() -> None:
    allowed = {"tests/test_tidy.py": "names the leftovers it looks for"}
    assert list(objections(leftovers, [*SOURCES, *TESTS], allowed)) == []


def test_every_module_says_what_it_is_for() -> None:
    assert list(objections(without_docstring, [*SOURCES, *TESTS], {})) == []


def test_no_module_is_too_long_to_read() -> None:
    assert list(objections(too_long, SOURCES, {})) == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [relative(path) for path in SOURCES if path.stem in VAGUE_MODULES] == []


def test_every_exception_to_a_rule_is_still_needed() -> None:
    for allowed, rule in ((WORDS_ALLOWED, forbidden_words), (FLOATS_ALLOWED, floats_in)):
        unneeded = [name for name in allowed if not rule((ROOT / name).read_text(encoding="utf-8"))]
        assert unneeded == []


def test_every_problem_is_raised_in_a_test() -> None:
    defined = {
        code
        for path in SOURCES
        for code in re.findall(r'\bProblem\(\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }
    tests = "\n".join(path.read_text(encoding="utf-8") for path in TESTS)
    assert len(defined) > 10
    assert sorted(code for code in defined if not re.search(rf"\b{code}\b", tests)) == []


def test_every_example_in_a_docstring_is_true() -> None:
    with_examples = [path for path in SOURCES if ">>> " in path.read_text(encoding="utf-8")]
    names = [relative(path).removesuffix(".py").replace("/", ".") for path in with_examples]
    failed = [name for name in names if doctest.testmod(importlib.import_module(name)).failed]
    assert failed == []
    assert "cva.identifiers" in names


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (forbidden_words, "Beneficiary payout", "recipient and payment"),
        (forbidden_words, "maker/checker", "prepared, approved"),
        (forbidden_words, "the intake of a blockchain", "registration"),
        (clocks, "day = date.today()", "day = clock.today()"),
        (clocks, "datetime.now(UTC)", "self.now()"),
        (environments, "os.environ['X']", "settings.user"),
        (floats_in, "x = float('1.5')", "x: float = 1.5"),
        (leftovers, "# TODO: later", "todos = 1"),
        (without_docstring, "import os", '"""Why."""'),
        (too_long, "x = 1\n" * 401, "x = 1\n" * 400),
    ],
)
def test_every_rule_objects(rule: Callable[[str], list[int]], bad: str, good: str) -> None:
    assert rule(bad) != []
    assert rule(good) == []
