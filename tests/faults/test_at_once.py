"""Five people start the same step at the same moment: one effect, and a clear answer for each."""

import pytest

from tests.faults.canonical import differences
from tests.faults.path import SPEAKERS, Played, Step, moment_of

STARTS = 5
# What whoever comes second may be told; everybody else gets the answer of the first.
TOLD = {Step.ASSESS: "assessment_in_progress", Step.SEND: "send_in_progress"}


@pytest.mark.parametrize("step", Step)
def test_five_at_once_have_one_effect_and_clear_answers(played: Played, step: Step) -> None:
    with played.before(step) as site:
        answers = site.at_once(SPEAKERS[step], site.words(step), STARTS, moment_of(step))

        refused = [answer for answer in answers if answer.code != 0]
        assert {(answer.code, answer.refused_with) for answer in refused} <= {(1, TOLD.get(step))}
        assert len(refused) < STARTS
        assert differences(site.state(), played.ends[step]) == {}
        assert site.left_over() == []
        site.check_money()


# Verbs beside the path: who types, what, how often it may succeed, what the others are told.
BESIDE = {
    "publish": ("amal", ["programme", "publish", "market-card.yaml"], set()),
    "open": (
        "amal",
        ["cycle", "open", "market-card", "--name", "2026-04", "--from", "2026-04-01",
         "--to", "2026-04-30"],
        set(),
    ),
    "fund": (
        "deniz",
        ["ledger", "entry", "budget_allotted", "--grant", "GR-2026", "--amount", "5.00",
         "--reason", "more", "--key", "more"],
        set(),
    ),
    "add": ("kerem", ["user", "add", "lena", "--name", "Lena", "--role", "finance"],
            {(1, "login_taken")}),
    "role": ("kerem", ["user", "role", "amal", "finance"], set()),
}  # fmt: skip


@pytest.mark.parametrize("verb", BESIDE)
def test_verbs_beside_the_path_are_done_once_too(played: Played, verb: str) -> None:
    login, words, told = BESIDE[verb]
    with played.before(Step.IMPORT) as site:
        if verb == "publish":
            text = (played.site.root / words[-1]).read_text(encoding="utf-8")
            other = site.root / words[-1]
            other.write_text(text.replace("Market card\n", "Market card 2\n"), encoding="utf-8")
            words = [*words[:-1], str(other)]
        before = {table: rows.total() for table, rows in site.state().items()}

        answers = site.at_once(login, words, STARTS, moment_of(Step.IMPORT))

        assert {(a.code, a.refused_with) for a in answers if a.code != 0} <= told
        after = {table: rows.total() for table, rows in site.state().items()}
        counts = {table: after[table] - before[table] for table in GROWS[verb]}
        assert counts == GROWS[verb]


# By how many rows each verb lets these tables grow.
GROWS = {
    "publish": {"programme.programme": 1, "ops.act": 1},
    "open": {"programme.cycle": 1, "ops.act": 1},
    "fund": {"books.entry": 1, "ops.act": 1},
    "add": {"ops.act": 2},
    "role": {"ops.act": 1},
}
