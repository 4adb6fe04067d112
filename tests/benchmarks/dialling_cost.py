"""What choosing and beginning cost with a long list: ``python -m tests.benchmarks.dialling_cost``.

A campaign with 100,000 contacts waiting, half of them in a zone where nobody may be called now;
50,000 numbers on the suppression list, 200,000 attempts of the past. On SQLite and, where it is
installed, PostgreSQL. Times are of whole transactions, in milliseconds; medians of as many as the
table says.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, insert, text, update

from tests.fakes.postgresql import NoPostgresqlError, postgresql
from tests.workers.dialling.world import ACCOUNT, NO_RAMP, NOON, World, campaign
from workers.campaign.model import AttemptState, Hours, Pace, Weekday, Window
from workers.dialling.beginning import Begun, Limits, begin_next
from workers.dialling.choosing import choose
from workers.dialling.settling import settle
from workers.store.campaign_schema import attempts, contacts, suppressions
from workers.store.database import open_engine, writing
from workers.store.migrate import migrate

DAYTIME = Hours(
    {day: (Window(NOON.time().replace(hour=9), NOON.time().replace(hour=18)),) for day in Weekday}
)


@contextmanager
def databases(only: str | None) -> Iterator[list[tuple[str, Engine]]]:
    """The databases there are, empty, by name."""
    with tempfile.TemporaryDirectory() as folder:
        found: list[tuple[str, Engine]] = []
        if only in (None, "sqlite"):
            found.append(("SQLite", open_engine(f"sqlite:///{Path(folder) / 'calls.sqlite3'}")))
        if only in (None, "postgresql"):
            try:
                with postgresql() as cluster:
                    yield [*found, ("PostgreSQL", open_engine(cluster.url))]
                return
            except NoPostgresqlError as error:
                Console().print(f"PostgreSQL is left out: {error}")
        yield found


def fill(engine: Engine, count: int, past: int) -> tuple[World, int]:
    """A campaign with ``count`` contacts waiting, and attempts of one that is long over."""
    world = World(engine)
    everybody = [f"+4477{number:08}" for number in range(count)]
    old = world.add(campaign("old"), [])
    pace = Pace(calls_per_second=20.0, calls_at_once=500, ramp=NO_RAMP)
    definition = campaign("now", hours=DAYTIME, pace=pace, consent_required=False)
    now = world.add(definition, [])
    with writing(engine) as connection:
        rows = [
            {
                "campaign_id": now,
                "identity": f"{place:016}".encode(),
                "line": place + 2,
                "number": number,
                "zones": ("Europe/London", "America/Los_Angeles")[place % 2],
                "state": "waiting",
                "due_at": NOON,
            }
            for place, number in enumerate(everybody)
        ]
        connection.execute(insert(contacts), rows)
        connection.execute(
            insert(suppressions),
            [
                {
                    "number": f"+4478{number:08}",
                    "reason": "",
                    "source": "import",
                    "created_at": NOON,
                }
                for number in range(count // 2)
            ],
        )
        first = connection.execute(
            insert(contacts).returning(contacts.c.id),
            {
                "campaign_id": old, "identity": b"0" * 16, "line": 1, "number": "+447800000000",
                "zones": "", "state": "done", "due_at": NOON,
            },
        ).scalar_one()  # fmt: skip
        month_ago = NOON - timedelta(days=30)
        connection.execute(
            insert(attempts),
            [
                {
                    "contact_id": first, "campaign_id": old, "number": everybody[number % count],
                    "caller": "+15550100001", "ordinal": number, "state": "ended",
                    "created_at": month_ago, "asked_at": month_ago, "settled_at": month_ago,
                    "outcome": "human",
                }
                for number in range(past)
            ],
        )  # fmt: skip
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))
    world.beat()
    return world, now


def timed(work: Callable[[], object]) -> float:
    """Milliseconds that it takes."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def measure(engine: Engine, count: int, past: int, runs: int) -> dict[str, list[float]]:
    """Milliseconds of each kind of transaction."""
    with writing(engine) as connection:
        migrate(connection)
    world, campaign_id = fill(engine, count, past)
    limits = Limits(ACCOUNT, 1_000_000.0)
    took: dict[str, list[float]] = {
        "choose, 100 seen": [],
        "begin one": [],
        "settle one": [],
    }
    for _ in range(runs):
        took["choose, 100 seen"].append(timed(lambda: choose(engine, campaign_id, now=world.now)))
        for _ in range(20):
            world.pass_s(0.06)

            def begin() -> None:
                with writing(engine) as connection:
                    found = begin_next(connection, limits, world.wall)
                    assert isinstance(found, Begun), found

            took["begin one"].append(timed(begin))
        world.beat()
        with writing(engine) as connection:
            connection.execute(
                update(attempts)
                .where(attempts.c.state == AttemptState.ASKING.value)
                .values(state=AttemptState.ENDED.value, status="busy", ended_at=world.now)
            )
        took["settle one"].append(timed(lambda: settle(engine, now=world.now)) / 20)
    return took


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--contacts", type=int, default=100_000)
    parser.add_argument("--attempts", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    asked = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    table = Table(title=f"{asked.contacts:,} contacts waiting")
    for heading in ("database", "transaction", "n", "median ms", "p95 ms", "worst ms"):
        table.add_column(
            heading, justify="left" if heading in ("database", "transaction") else "right"
        )
    with databases(asked.only) as found:
        for name, engine in found:
            took = measure(engine, asked.contacts, asked.attempts, asked.runs)
            for kind, each in took.items():
                p95 = statistics.quantiles(each, n=20)[-1]
                table.add_row(
                    name, kind, str(len(each)),
                    *(f"{value:.1f}" for value in (statistics.median(each), p95, max(each))),
                )  # fmt: skip
            engine.dispose()
    Console().print(table)


if __name__ == "__main__":
    main()
