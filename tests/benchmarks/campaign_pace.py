"""How evenly a campaign is dialled: ``python -m tests.benchmarks.campaign_pace``.

Beat, Celery's workers and the server as operators run them, on the true clock, for 90 seconds at
each pace, with one Celery worker and with two. The judge is the ledger of Twilio's twin, so
everything between the decision and Twilio's having the request counts. Nobody answers. A last run
has more to dial than it may have calls at once.

The judge needs a processor itself: "judge late" is by how much its own naps were too long, of
which a hundredth was longer, and the longest. A call is asked for, to the judge, when it gets round
to it: what it says of seconds is worth nothing where these are tens of ms.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.scenarios.campaigns.paced import full_pace, paced
from workers.twin.twilio_api.ledger import LedgerEntry

RATES = (1.0, 5.0, 10.0, 20.0)
WARM_S = 10.0
"""Left out at the beginning: processes start, pumps find their rhythm."""
START_S = 60.0
CAPPED = 10
"""Calls at once of the last run; at its pace there would be three times as many."""
_CAPPED_RINGS_S = 3.0


@dataclass(frozen=True, slots=True)
class Measured:
    """What the ledger says of one run."""

    least: float
    """Of the set pace, in the slowest minute, from whatever instant it is counted."""
    most: float
    busiest_second: int
    """Calls in any second, from whatever instant it is counted."""
    at_once: int
    longest_gap_s: float
    judge_late_s: float = 0.0
    judge_worst_s: float = 0.0
    load: float = 0.0


class Watch:
    """How late the process that judges is itself."""

    _NAP_S = 0.01

    def __init__(self) -> None:
        self._late: list[float] = []
        self._loads: list[float] = []

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(self._NAP_S)
            self._late.append(time.monotonic() - before - self._NAP_S)
            self._loads.append(os.getloadavg()[0])

    @property
    def late_s(self) -> float:
        """A hundredth of the naps was later."""
        return sorted(self._late)[len(self._late) * 99 // 100]

    @property
    def worst_s(self) -> float:
        """By how much the longest nap was too long."""
        return max(self._late)

    @property
    def load(self) -> float:
        """The mean of the machine's."""
        return sum(self._loads) / len(self._loads)


def judge(entries: Sequence[LedgerEntry], rate: float, until_s: float) -> Measured:
    """Judge the calls that were asked for after the first ``WARM_S`` and before ``until_s``."""
    every = sorted(entry.asked_at for entry in entries)
    asked = [at for at in every if every[0] + WARM_S <= at <= until_s]
    minute_s = min(60.0, asked[-1] - asked[0])
    # From a call on and up to a call: so the least and the most are found.
    starts = [
        asked[0] + step / 10 for step in range(int((asked[-1] - asked[0] - minute_s) * 10) + 1)
    ]
    shares = [
        sum(start <= at < start + minute_s for at in asked) / (rate * minute_s) for start in starts
    ]
    return Measured(
        min(shares),
        max(shares),
        # As a promise holds from the first call on, the first seconds count here.
        max(_within(every, 1.0)),
        max(_at_once(entries)),
        max(after - before for before, after in pairwise(asked)),
    )


def _within(instants: Sequence[float], span_s: float) -> Iterator[int]:
    first = 0
    for place, at in enumerate(instants):
        while instants[first] <= at - span_s:
            first += 1
        yield place - first + 1


def _at_once(entries: Sequence[LedgerEntry]) -> Iterator[int]:
    edges = [(entry.asked_at, 1) for entry in entries]
    edges += [(entry.ended_at, -1) for entry in entries if entry.ended_at is not None]
    running = 0
    for _, step in sorted(edges):
        running += step
        yield running


async def run(
    asked: argparse.Namespace, rate: float, workers: int, *, at_once: int, rings_s: float
) -> Measured:
    """Dial for so long at one pace."""
    with tempfile.TemporaryDirectory() as folder:
        async with paced(
            Path(folder),
            database="postgresql" if asked.postgresql else "sqlite",
            broker=asked.broker,
            workers=workers,
            rings_s=rings_s,
            calls_per_second=max(asked.account, rate),
        ) as it:
            count = math.ceil(rate * (asked.seconds + 30))
            await asyncio.to_thread(it.fill, count, full_pace(rate, at_once))
            await it.until_dialled(1, START_S)
            # To be walked for garbage takes the judge a third of a second.
            gc.collect()
            gc.freeze()
            watch = Watch()
            with suppress(TimeoutError):
                await asyncio.wait_for(watch.run(), WARM_S + asked.seconds)
            until_s, ledger = time.time(), list(it.twilio.ledger)
            if asked.keep is not None:
                for log in it.folder.glob("*.log"):
                    name = f"{rate:g}-{workers}-{log.name}"
                    await asyncio.to_thread((asked.keep / name).write_text, log.read_text())
                decided = await asyncio.to_thread(it.decided_at)
                lines = [
                    f"{entry.asked_at:.6f} {decided[int(entry.query['attempt'])]:.6f}\n"
                    for entry in ledger
                ]
                await asyncio.to_thread(
                    (asked.keep / f"{rate:g}-{workers}-ledger.txt").write_text, "".join(lines)
                )
            found = judge(ledger, rate, until_s)
            return replace(
                found,
                judge_late_s=watch.late_s,
                judge_worst_s=watch.worst_s,
                load=watch.load,
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker", choices=("embedded", "redis", "rabbitmq"), default="embedded")
    parser.add_argument("--postgresql", action="store_true", help="in place of SQLite")
    parser.add_argument("--seconds", type=float, default=90.0, help="of each run")
    parser.add_argument("--rates", type=float, nargs="*", default=RATES, help="calls per second")
    parser.add_argument("--workers", type=int, nargs="*", default=(1, 2), help="Celery workers")
    parser.add_argument("--account", type=float, default=100.0, help="the account's pace")
    parser.add_argument("--without-cap", action="store_true", help="leave the last run out")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="logs and instants, too")
    asked = parser.parse_args()
    table = Table(
        title=f"Pace over {asked.seconds:g} s, {asked.broker} broker, "
        f"{'PostgreSQL' if asked.postgresql else 'SQLite'}, {os.cpu_count()} processors"
    )
    for heading in (
        "calls/s", "workers", "slowest minute", "fastest minute", "busiest second", "at once",
        "longest gap", "judge late", "load",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    runs = [(rate, workers, 1_000, 1.0) for workers in asked.workers for rate in asked.rates]
    if not asked.without_cap:
        runs.append((10.0, 1, CAPPED, _CAPPED_RINGS_S))
    for rate, workers, at_once, rings_s in runs:
        found = asyncio.run(run(asked, rate, workers, at_once=at_once, rings_s=rings_s))
        row = (
            f"{rate:g}", str(workers), f"{found.least:.1%}", f"{found.most:.1%}",
            f"{found.busiest_second} of {rate + 1:g}", f"{found.at_once} of {at_once}",
            f"{found.longest_gap_s * 1000:.0f} ms",
            f"{found.judge_late_s * 1000:.0f}, {found.judge_worst_s * 1000:.0f} ms",
            f"{found.load:.1f}",
        )  # fmt: skip
        table.add_row(*row)
        print("  ".join(row), flush=True)
    Console().print(table)


if __name__ == "__main__":
    main()
