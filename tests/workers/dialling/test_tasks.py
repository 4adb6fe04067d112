"""Tasks look, and whatever they find, nobody has to look after them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from sqlalchemy import Engine
from structlog.testing import capture_logs

from telephony.calls.rest import TwilioRest
from telephony.settings import TwilioSettings
from workers.dialling import tasks
from workers.dialling.beginning import Limits
from workers.dialling.celery_app import make_app
from workers.dialling.context import Context, OfThisProcess, build_context
from workers.dialling.tasks import MOST_APART_S, PERIODIC
from workers.settings import SettingsError, load_settings
from workers.store.database import clock_ahead_s, open_engine, writing
from workers.store.migrate import migrate

TWILIO = TwilioSettings(
    account_sid="AC" + "0" * 32,
    auth_token="0" * 32,
    public_url="http://127.0.0.1:9",
    base_url="http://127.0.0.1:9",
)


@pytest.fixture(autouse=True)
def _fresh_loggers(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where another test has logged, its processors would be kept.
    monkeypatch.setattr(tasks, "_log", structlog.get_logger("test"))


@pytest.fixture
def context(tmp_path: Path) -> Iterator[Callable[..., Context]]:
    """Makes contexts on a database, with or without tables."""
    made: list[Context] = []

    def make(*, tables: bool = True) -> Context:
        engine = open_engine(f"sqlite:///{tmp_path}/db.sqlite3")
        made.append(
            Context(
                engine=engine,
                limits=Limits(TWILIO.account_sid, 1.0),
                rest=lambda: TwilioRest(TWILIO),
                http=aiohttp.ClientSession,
                secret_of=lambda _: None,
                locks=tmp_path,
            )
        )
        if tables:
            with writing(engine) as connection:
                migrate(connection)
        return made[-1]

    yield make
    for each in made:
        each.engine.dispose()


def run_all(context_of: Callable[[], Context]) -> list[Any]:
    """Every task as Celery runs it; returns what was logged."""
    app = make_app(load_settings(None), context_of)
    with capture_logs() as logs:
        for each in PERIODIC:
            app.tasks[each.name]()
    return logs


def test_nothing_to_do_is_nothing_to_say(context: Callable[..., Context]) -> None:
    """An installation without campaigns fills no logs, and asks nobody."""
    ours = context()
    assert run_all(lambda: ours) == []


def test_a_database_that_is_away_fails_no_task(context: Callable[..., Context]) -> None:
    """Each says so in a line, and the next looks again."""
    ours = context(tables=False)
    logs = run_all(lambda: ours)
    assert {log["event"] for log in logs} == {"task.database_away"}
    assert {log["task"] for log in logs} == {each.name for each in PERIODIC}


@pytest.mark.parametrize("ahead_s", [-MOST_APART_S - 1, MOST_APART_S + 1])
def test_host_whose_clock_is_wrong_does_nothing(
    context: Callable[..., Context], ahead_s: float
) -> None:
    """It would dial outside of hours, and not find what others have asked Twilio for."""
    ours = replace(context(tables=False), ahead_s=lambda: ahead_s)
    logs = run_all(lambda: ours)
    assert [(log["event"], log["ahead_s"]) for log in logs] == [
        ("task.clock_wrong", ahead_s) for _ in PERIODIC
    ]


def test_clock_is_held_against_that_of_the_database(engine: Engine) -> None:
    """PostgreSQL has one of its own; SQLite is on this machine."""
    on_time_s = clock_ahead_s(engine, time.time)
    assert abs(on_time_s) < MOST_APART_S
    ahead_s = clock_ahead_s(engine, lambda: time.time() + 600)
    assert ahead_s - on_time_s == pytest.approx(
        0 if engine.dialect.name == "sqlite" else 600, abs=MOST_APART_S
    )


def test_a_defect_fails_no_task_either() -> None:
    """It is logged with its traceback."""

    def broken() -> Context:
        raise ZeroDivisionError

    logs = run_all(broken)
    assert {log["event"] for log in logs} == {"task.failed"}
    assert len(logs) == len(PERIODIC)


def test_no_more_than_so_many_pump_on_one_machine(tmp_path: Path) -> None:
    """Who comes in addition does nothing, until one is through or dead."""
    with tasks._one_of(tmp_path, "dial", 2) as first, tasks._one_of(tmp_path, "dial", 2) as second:
        assert (first, second) == (0, 1)
        with tasks._one_of(tmp_path, "dial", 2) as third:
            assert third is None
        with tasks._one_of(tmp_path, "deliver", 1) as other:
            assert other == 0
    with tasks._one_of(tmp_path, "dial", 2) as later:
        assert later == 0


def test_a_lock_is_given_back_where_the_work_fails(tmp_path: Path) -> None:
    """Whatever it fails of."""
    with pytest.raises(BlockingIOError), tasks._one_of(tmp_path, "dial", 1):
        raise BlockingIOError
    with tasks._one_of(tmp_path, "dial", 1) as place:
        assert place == 0


def test_each_process_has_a_context_of_its_own(context: Callable[..., Context]) -> None:
    """A fork's connections are not its parent's."""
    built: list[Context] = []

    def build() -> Context:
        built.append(context())
        return built[-1]

    of_this_process = OfThisProcess(build)
    assert of_this_process() is of_this_process()
    assert len(built) == 1
    child = os.fork()
    if child == 0:
        os._exit(0 if of_this_process() is not built[0] and len(built) == 2 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_context_makes_the_tables_and_names_what_is_missing(tmp_path: Path) -> None:
    """Whoever comes first makes them, server or worker."""
    settings = load_settings(None, data_dir=tmp_path / "data")
    with pytest.raises(SettingsError, match="TWILIO_AUTH_TOKEN"):
        build_context(settings)
    settings = load_settings(
        None,
        data_dir=tmp_path / "data",
        twilio_account_sid=TWILIO.account_sid,
        twilio_auth_token=TWILIO.auth_token,
        public_url=TWILIO.public_url,
        calls_per_second=3,
        kept_for_inbound=2,
    )
    ours = build_context(settings)
    assert ours.limits == Limits(TWILIO.account_sid, 3.0, 2)
    assert run_all(lambda: ours) == []
    ours.engine.dispose()
