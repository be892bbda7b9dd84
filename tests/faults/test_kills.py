"""kill -9 of a command, at any moment: the same command again ends as if nothing had happened."""

from random import Random

import pytest

from tests.faults.canonical import differences
from tests.faults.conftest import SEEDS, Record
from tests.faults.path import Played, Step

WITH_FILES = list(Step)[list(Step).index(Step.SEND) :]


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("step", Step)
def test_a_killed_command_typed_again_ends_as_undisturbed(
    played: Played, record: Record, step: Step, seed: int
) -> None:
    moment = Random(f"{step} {seed}").random() * played.seconds[step]  # noqa: S311 - a moment, no secret
    with played.before(step) as site:
        with site.begun(step) as command:
            record.begins("the command", step, hit=command.killed_after(moment))
        site.let_go()

        ended = site.again(step)

        assert ended.code == 0, ended.err
        assert differences(site.state(), played.ends[step]) == {}
        assert site.left_over() == []
        site.check_money()
        if step in WITH_FILES:
            assert site.loads() == played.loads
        record.holds("the command", step)


def test_rows_that_differ_are_found(played: Played) -> None:
    with played.before(Step.SETTLE) as site:
        assert differences(site.state(), played.ends[Step.COLLECT]) == {}
        assert {"payments.outcome", "books.transfer", "books.balance", "ops.act"} <= set(
            differences(site.state(), played.ends[Step.SETTLE])
        )
