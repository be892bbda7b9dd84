"""A clock that was set back: what is done next would stand before what was done, and is refused."""

import pytest

from tests.faults.canonical import differences
from tests.faults.path import MINUTES_PER_STEP, Played, Step


@pytest.mark.parametrize("step", Step)
def test_a_clock_set_back_is_refused_until_it_is_right(played: Played, step: Step) -> None:
    with played.before(step) as site:
        before = site.state()
        with site.begun(step, later=-6 * MINUTES_PER_STEP) as command:
            ended = command.ended()

        assert (ended.code, ended.refused_with) == (1, "clock_set_back")
        assert differences(site.state(), before) == {}
        assert site.left_over() == []
        assert step is not Step.SEND or list((site.root / "to-cards").iterdir()) == []
        assert site.again(step).code == 0
        assert differences(site.state(), played.ends[step]) == {}
