"""The designed list of errors, as people read it: `cva help` and `cva/docs/errors.md`.

A problem is known once the module that defines it is imported, so every module of the five packages
is imported here first.
"""

import importlib
import pkgutil

from ledgers.problems import EXIT_CODES, PROBLEMS, Answer, Problem

CODE_UNKNOWN = Problem(
    "error_code_unknown", "There is no page and no error {code}.", "See `cva help` for all codes.",
    Answer.NOT_FOUND,
)  # fmt: skip
PACKAGES = ("ledgers", "eligibility", "adapters", "simulations", "cva")


def all_problems() -> list[Problem]:
    """Return every problem of the five packages, by code."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            # Alembic runs the environment and the revisions itself; they define no problems.
            if ".migrations." not in module.name:
                importlib.import_module(module.name)
    return [PROBLEMS[code] for code in sorted(PROBLEMS)]


def rows(code: str = "") -> list[tuple[str, str, str]]:
    """Return (code, sentence, remedy) of one problem, or of all. Raises `error_code_unknown`."""
    problems = all_problems()
    if code and code not in PROBLEMS:
        raise CODE_UNKNOWN.refusal(code=code)
    return [(p.code, *p.general) for p in problems if code in ("", p.code)]


def page() -> str:
    """Return `cva/docs/errors.md`."""
    head = (
        "# Errors\n\nEvery refusal and finding, by its code. A refusal ends the command with the"
        " exit code given, and nothing was written; a finding names its place in an input and the"
        " rest goes on. Written by `python -m cva.errors_page`.\n"
    )
    parts = [
        f"\n## {p.code}\n\n{p.general[0]}\n\n*What to do:* {p.general[1]}\n\n"
        f"Exit code {EXIT_CODES[p.answer]}; as a finding: {p.weight}.\n"
        for p in all_problems()
    ]
    return head + "".join(parts)


if __name__ == "__main__":
    from pathlib import Path

    (Path(__file__).parent / "docs" / "errors.md").write_text(page(), encoding="utf-8")
