"""Settings, clock and identifiers: what is said once and read everywhere."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from cva.clock import FixedClock, SystemClock, clock_of
from cva.identifiers import new_id, parsed_id
from cva.settings import Settings, settings_of
from ledgers.problems import Answer, Refusal

NINE = datetime(2026, 3, 5, 9, tzinfo=UTC)


def test_settings_of_an_empty_environment_follow_the_desktop_rules() -> None:
    assert settings_of(
        {"HOME": "/home/omar", "DATABASE_URL": "", "XDG_DATA_HOME": "not/absolute"}
    ) == (
        Settings(
            home=Path("/home/omar/.local/share/cva"),
            key_file=Path("/home/omar/.config/cva/master.key"),
        )
    )


def test_settings_say_everything_the_environment_says() -> None:
    environment = {
        "HOME": "/home/omar",
        "XDG_CONFIG_HOME": "/etc/omar",
        "CVA_HOME": "/srv/cva",
        "DATABASE_URL": "postgresql://db/cva",
        "CVA_OWNER_DATABASE_URL": "postgresql://owner@db/cva",
        "CVA_AUDITOR_DATABASE_URL": "postgresql://auditor@db/cva",
        "CVA_USER": "omar",
        "CVA_PASSPHRASE_FILE": "/run/secrets/omar",
        "CVA_PASSPHRASE": "not to be shown",
        "CVA_NOW": "2026-03-05T12:00:00+03:00",
        "CVA_PROGRESS": "always",
    }
    settings = settings_of(environment)
    assert settings == Settings(
        home=Path("/srv/cva"),
        key_file=Path("/etc/omar/cva/master.key"),
        database_url="postgresql://db/cva",
        owner_database_url="postgresql://owner@db/cva",
        auditor_database_url="postgresql://auditor@db/cva",
        user="omar",
        passphrase_file=Path("/run/secrets/omar"),
        passphrase="not to be shown",
        now=NINE,
        progress_always=True,
    )
    assert "not to be shown" not in repr(settings)
    assert "db/cva" not in repr(settings)


def test_a_key_in_the_data_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for place in ("data/master.key", "data/keys/master.key", "link/master.key"):
        with pytest.raises(Refusal, match="key_file_inside_home"):
            Settings(home=tmp_path / "data", key_file=tmp_path / place)


def test_a_moment_without_an_offset_is_refused() -> None:
    for text in ("2026-03-05T09:00:00", "soon"):
        with pytest.raises(Refusal, match="moment_unclear"):
            settings_of({"HOME": "/home/omar", "CVA_NOW": text})


def test_a_day_is_the_day_in_turkey(tmp_path: Path) -> None:
    late = FixedClock(datetime(2026, 3, 5, 21, 30, tzinfo=UTC))
    assert (late.now(), late.today()) == (late.moment, date(2026, 3, 6))
    assert late.now().utcoffset() == timedelta(0)
    settings = Settings(tmp_path / "data", tmp_path / "key", now=NINE)
    assert clock_of(settings) == FixedClock(NINE)


def test_without_a_fixed_moment_the_machine_says_the_time(tmp_path: Path) -> None:
    clock = clock_of(Settings(tmp_path / "data", tmp_path / "key"))
    assert clock == SystemClock()
    first, second = clock.now(), clock.now()
    assert first <= second
    assert second.utcoffset() == timedelta(0)
    assert abs(clock.today() - second.date()) <= timedelta(days=1)


@given(
    st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.binary(min_size=10, max_size=10),
)
def test_an_identifier_is_its_moment_and_its_randomness(moment: datetime, noise: bytes) -> None:
    identifier = new_id("plan", moment, lambda count: noise[:count])
    assert identifier == new_id("plan", moment, lambda count: noise[:count])
    ulid = ULID.from_str(identifier.removeprefix("plan_").upper())
    assert ulid.bytes[6:] == noise
    assert timedelta(0) <= moment - ulid.datetime < timedelta(milliseconds=1)
    assert parsed_id(f" {identifier.upper()}\n", "plan") == identifier


def test_identifiers_sort_by_time_and_differ() -> None:
    made = [new_id("hh", NINE + timedelta(milliseconds=n)) for n in range(50)]
    assert made == sorted(made)
    assert len({new_id("hh", NINE) for _ in range(1000)}) == 1000


def test_an_identifier_of_something_else_is_refused() -> None:
    good = new_id("plan", NINE)
    for text in (
        "",
        "plan_",
        good[:-1],
        good + "0",
        good.replace("plan", "hh"),
        "plan_" + "u" * 26,
    ):
        with pytest.raises(Refusal, match="identifier_unreadable"):
            parsed_id(text, "plan")


def test_a_passphrase_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    environment = {"HOME": "/home/omar", "CVA_PASSPHRASE_FILE": str(path)}
    assert settings_of(environment).passphrase_file == path  # whoever reads it says it is missing
    path.write_text("four words that differ", encoding="utf-8")
    for mode in (0o640, 0o604, 0o644):
        path.chmod(mode)
        with pytest.raises(Refusal, match="passphrase_file_open_to_others") as refused:
            settings_of(environment)
        assert refused.value.problem.answer is Answer.USAGE
        assert refused.value.remedy == f"Close it: chmod 600 {path}"
    path.chmod(0o600)
    assert settings_of(environment).passphrase_file == path
