"""The command line as people type it: exit codes, sentences, and the sample registrations."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MAPPINGS = Path(__file__).parent.parent.parent / "adapters" / "forms" / "mappings"
PASSPHRASE = "four words that differ"


@pytest.fixture
def typed(environment: dict[str, str]) -> "Typed":
    """A command line in an installation with an administrator and Amal, who registers."""
    cli = Typed({**environment, "CVA_NEW_PASSPHRASE": PASSPHRASE, "CVA_PASSPHRASE": PASSPHRASE})
    cli("init", "--login", "kerem", "--name", "Kerem")
    cli.environment["CVA_USER"] = "kerem"
    cli("user", "add", "amal", "--name", "Amal", "--role", "programme")
    cli.environment["CVA_USER"] = "amal"
    return cli


class Typed:
    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def __call__(self, *words: str, ends: int = 0) -> str:
        done = subprocess.run(
            [Path(sys.executable).parent / "cva", *words],
            env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == ends, done.stdout + done.stderr
        return done.stdout if ends == 0 else done.stderr

    def imported(self, path: Path, mapping: str) -> dict[str, int]:
        said = self(
            "household", "import", str(path), "--mapping", str(MAPPINGS / mapping),
            "--format", "json",
        )  # fmt: skip
        answer = json.loads(said)
        return {
            **{k: v for k, v in answer["import"][0].items() if isinstance(v, int)},
            **{f["finding"]: f["rows"] for f in answer["findings"]},
        }


@pytest.mark.samples
def test_999_registrations_come_in_with_their_shared_phones(typed: Typed, samples: Path) -> None:
    file = samples / "registrations" / "mobile-money-999.csv"

    found = typed.imported(file, "mobile_money_999.yaml")

    assert (found["added"], found["named"], found["declared"]) == (999, 999, 3955)
    # Two numbers, each shared by two households.
    assert found["phone_shared"] == 4


@pytest.mark.samples
def test_nested_rosters_and_names_exports_come_in(typed: Typed, samples: Path) -> None:
    kobo = samples / "kobo"

    nested = typed.imported(kobo / "robotoolbox__nested_roster__data.json", "nested_roster.yaml")
    grouped = typed.imported(
        kobo / "formpack__grouped_repeatable.names.xlsx", "grouped_repeatable.yaml"
    )

    assert (nested["added"], nested["named"]) == (3, 7)
    assert (grouped["added"], grouped["named"]) == (6, 13)


@pytest.mark.samples
def test_label_export_is_refused_with_what_to_do(typed: Typed, samples: Path) -> None:
    said = typed(
        "household", "import", str(samples / "kobo" / "formpack__grouped_repeatable.labels.xlsx"),
        "--mapping", str(MAPPINGS / "grouped_repeatable.yaml"), ends=1,
    )  # fmt: skip

    assert "label_export" in said
    assert "XML values and headers" in said


def test_unknown_error_code_is_not_found(typed: Typed) -> None:
    assert "error_code_unknown" in typed("help", "no_such_code", ends=4)


def test_nobody_speaking_is_a_usage_error(typed: Typed) -> None:
    del typed.environment["CVA_USER"]
    assert "speaker_unknown" in typed(
        "duplicates", "decide", "a", "b", "--same", "--reason", "x", ends=2
    )


def test_wrong_words_say_where_help_is(typed: Typed) -> None:
    assert "--help" in typed("payments", "prepare", ends=2)


def test_unknown_provider_is_not_found(typed: Typed) -> None:
    assert "provider_not_found" in typed("provider", "collect", "NO-BANK", ends=4)


def test_programme_person_may_not_approve(typed: Typed) -> None:
    said = typed(
        "ledger", "entry", "budget_allotted", "--grant", "GR-1", "--amount", "10.00",
        "--reason", "agreement", "--key", "k", ends=3,
    )  # fmt: skip
    assert "role_missing" in said


def test_unknown_line_is_not_found(typed: Typed) -> None:
    assert "line_not_found" in typed("payments", "line", "NO-LINE", ends=4)
