"""The demo's campaign goes the same way whenever it is run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from workers.entrypoints.campaign_check import run_campaign_check
from workers.entrypoints.demo_campaign_files import where, write_files

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def test_there_is_day_and_night_at_every_quarter_of_an_hour() -> None:
    """Some of them over a year, so that all changes of clocks are met."""
    for quarter in range(0, 365 * 96, 7):
        now = BEGIN + timedelta(minutes=15 * quarter)
        chosen = where(now)
        assert 1 <= len(chosen.days) <= 3
        assert chosen.night not in chosen.days
        for zone in (*chosen.days, chosen.night):
            assert now.astimezone(ZoneInfo(zone)).date() == chosen.ends_on, (now, zone)


@pytest.mark.parametrize("hour", range(24))
def test_its_files_are_good(hour: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All but one may be called now, and that one never: the campaign ends before their morning."""
    now = BEGIN + timedelta(hours=hour, minutes=5)
    file = write_files(tmp_path, where(now))
    assert run_campaign_check(file, now=now) == 0
    told = capsys.readouterr().out
    assert "23 contacts, 1 duplicates folded, 3 rows kept aside" in told
    assert "callable now 22, later 0, never 1" in told
    assert "No permitted hour is left before the campaign ends." in told
