"""Ctrl-C in the middle of a long command: the sentence, nothing half done, and it goes on later."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import pytest

from tests.faults.canonical import differences
from tests.faults.conftest import SEEDS
from tests.faults.path import SPEAKERS, Played, Site, Step, moment_of

SENTENCE = "Interrupted. Nothing half-done was kept; the same command goes on.\n"
# The last statement that the server has seen of a command that is in the middle of its work.
WORKING = {
    Step.IMPORT: "SELECT import_id, form%",
    Step.ASSESS: "COPY (%",
}
INTERRUPTED = 130


@contextmanager
def typed(site: Site, step: Step) -> Iterator[subprocess.Popen[str]]:
    """Type a command in a terminal's foreground, wherever the tests themselves run."""
    cva = Path(sys.executable).parent / "cva"
    # A shell's background ignores Ctrl-C, and so would everything begun from it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = subprocess.Popen(
        [cva, *site.words(step)], env=site.environment(SPEAKERS[step], moment_of(step)),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    with command:
        yield command


def wait_for(site: Site, statement: str, command: subprocess.Popen[str]) -> None:
    seen = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database()"
        " AND query LIKE %s AND state <> 'idle' AND pid <> pg_backend_pid()"
    )
    with site.connected() as conn:
        while not conn.execute(seen, (statement,)).rowcount:
            assert command.poll() is None, "the command ended before it was seen at work"


@pytest.mark.parametrize("step", WORKING)
def test_an_interrupted_command_keeps_nothing_and_goes_on(played: Played, step: Step) -> None:
    with played.before(step) as site:
        before = site.state()
        with typed(site, step) as command:
            wait_for(site, WORKING[step], command)
            os.killpg(command.pid, signal.SIGINT)
            out, err = command.communicate()

        assert (command.returncode, out, err) == (INTERRUPTED, "", SENTENCE)
        site.let_go()
        assert differences(site.state(), before) == {}
        assert site.left_over() == []
        assert site.again(step).code == 0
        assert differences(site.state(), played.ends[step]) == {}


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("step", WORKING)
def test_ctrl_c_at_any_moment_is_answered(played: Played, step: Step, seed: int) -> None:
    with played.before(step) as site:
        with typed(site, step) as command:
            wait_for(site, "%", command)
            moment = Random(f"interrupted {step} {seed}").random() * played.seconds[step]  # noqa: S311 - a moment, no secret
            try:
                command.wait(timeout=moment)
            except subprocess.TimeoutExpired:
                os.killpg(command.pid, signal.SIGINT)
            _, err = command.communicate()

        site.let_go()
        assert site.left_over() == []
        if command.returncode != INTERRUPTED:
            # It had come to its end, or was clearing up after it.
            assert (command.returncode, err) in [(0, ""), (-signal.SIGINT, "")]
            assert differences(site.state(), played.ends[step]) == {}
        else:
            assert err == SENTENCE
        assert site.again(step).code == 0
        assert differences(site.state(), played.ends[step]) == {}
