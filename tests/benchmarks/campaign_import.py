"""How fast contacts come into the database: ``python -m tests.benchmarks.campaign_import``.

Simple rows (number, name, one variable) of a file, into an empty campaign, as ``evercall campaign
import`` does it: read, checked, looked up in the suppression list, written. Rows a second by the
clock, and the memory that the process gained over all of it. Goal: 20,000 rows/s.
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import Engine

from tests.benchmarks.contact_import import simple
from tests.benchmarks.dialling_cost import databases
from tests.benchmarks.report import Load, table
from tests.workers.dialling.world import campaign
from workers.campaign.model import Columns, Source
from workers.dialling.importing import import_contacts
from workers.store.campaigns.campaigns import create, load_by_id
from workers.store.database import writing
from workers.store.migrate import migrate


def measure(engine: Engine, file: Path, name: str) -> tuple[float, int]:
    """Seconds that it takes, and contacts that came of it."""
    columns = Columns(number="number", name="name", variables={"sum": "sum"})
    definition = campaign(name, source=Source(str(file), columns))
    now = datetime.now(UTC)
    with writing(engine) as connection:
        migrate(connection)
        found = load_by_id(connection, create(connection, definition, now=now))
    assert found is not None
    began = time.perf_counter()
    with file.open("rb") as opened:
        done = import_contacts(engine, found, opened, now=now)
    return time.perf_counter() - began, done.new


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    asked = parser.parse_args()
    load = Load()
    rows: list[list[str]] = []
    with TemporaryDirectory() as folder, databases(asked.only) as found:
        file = Path(folder) / "people.csv"
        chance = random.Random(7)
        lines = (simple(chance, number) for number in range(asked.rows))
        file.write_text("number,name,sum\n" + "\n".join(lines) + "\n")
        for name, engine in found:
            for run in range(asked.runs):
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                seconds, new = measure(engine, file, f"run {run}")
                gained = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
                rows.append(
                    [
                        name,
                        str(run + 1),
                        f"{new:,}",
                        f"{asked.rows / seconds:,.0f}",
                        f"{gained / 1024:.0f}",
                    ]
                )
            engine.dispose()
    print(f"{asked.rows:,} rows, {load}")
    print(table(["database", "run", "contacts", "rows/s", "gained MB"], rows))


if __name__ == "__main__":
    main()
