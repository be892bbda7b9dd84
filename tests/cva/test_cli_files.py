"""Files given to the command line a second time, or that are not what they should be."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PASSPHRASE = "four words that differ"
PROVIDERS = """
providers:
  - {{kind: card_processor, code: CARDS, debtor_name: Example Agency, programme: MARKET,
     currency: TRY, outgoing: {folder}/out, incoming: {folder}/in}}
"""


class Typed:
    """The command line of one installation; `said` is the last command's standard error."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.said = ""

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [Path(sys.executable).parent / "cva", *words],
            env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        self.said = done.stderr
        return done.stdout


@pytest.fixture
def typed(environment: dict[str, str]) -> Typed:
    """An installation with Amal, who registers, and Deniz, who reads what providers say."""
    secrets = {"CVA_NEW_PASSPHRASE": PASSPHRASE, "CVA_PASSPHRASE": PASSPHRASE}
    cli = Typed({**environment, **secrets, "CVA_USER": "kerem"})
    cli("init", "--login", "kerem", "--name", "Kerem")
    cli("user", "add", "amal", "--name", "Amal", "--role", "programme")
    cli("user", "add", "deniz", "--name", "Deniz", "--role", "finance")
    return cli


def test_the_same_file_again_says_that_nothing_was_changed(typed: Typed, tmp_path: Path) -> None:
    typed.environment["CVA_USER"] = "amal"
    typed("simulate", "population", str(tmp_path / "people"), "--households", "20", "--as", "jsonl")
    words = ("household", "import", str(tmp_path / "people" / "registrations.jsonl"))

    first = json.loads(typed(*words, "--format", "json"))["import"][0]
    again = json.loads(typed(*words, "--format", "json"))["import"][0]
    table = typed(*words)

    assert (first["added"] > 0, first["repeated"]) == (True, False)
    assert again == {**first, "repeated": True}
    assert table.startswith(
        f"registrations.jsonl was imported before ({first['import']}, {first['records']} records):"
        " nothing was changed."
    )


def test_a_wrong_file_of_a_provider_is_answered_with_its_findings(
    typed: Typed, tmp_path: Path
) -> None:
    home = Path(typed.environment["CVA_HOME"])
    home.mkdir(mode=0o700)
    (home / "providers.yaml").write_text(PROVIDERS.format(folder=tmp_path), encoding="utf-8")
    (tmp_path / "wrong.txt").write_text("Dear colleagues,\n", encoding="utf-8")
    typed.environment["CVA_USER"] = "deniz"

    answer = typed("provider", "read", "CARDS", str(tmp_path / "wrong.txt"))
    explained = typed.said
    listed = json.loads(typed("provider", "findings", "CARDS", "--format", "json"))

    assert answer == "0 observations, 1 finding\n"
    (found,) = listed
    assert found["says"] in explained
    assert "What to do: " in explained
    assert f"({found['finding']})" in explained
    assert "cva provider findings CARDS" in explained
    again = typed("provider", "read", "CARDS", str(tmp_path / "wrong.txt"))
    assert again == "This file was read before; nothing changed.\n"
    assert found["says"] in typed.said
