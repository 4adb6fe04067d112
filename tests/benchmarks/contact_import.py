"""How fast a contact file is read, folded and kept in bounds: rows/s and peak memory.

    python -m tests.benchmarks.contact_import [--rows 1000000] [--json FILE]

Each file is written to a temporary directory and read in a process of its own, whose peak is its
``ru_maxrss`` above what it held once everything was imported. "read" drops the rows; "fold" keeps
the identities, as an import does. Goal: 20,000 rows/s on one core for simple rows.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.report import Load, publish, table
from workers.campaign.contacts import Folding, RowError, RowOrError, read_rows
from workers.campaign.model import Columns, Source

AREAS = (212, 415, 312, 503, 602, 305, 617, 206)


@dataclass(frozen=True)
class Kind:
    name: str
    source: Source
    header: str
    line: Callable[[random.Random, int], str]


@dataclass(frozen=True)
class Measured:
    rows: int
    errors: int
    duplicates: int
    seconds: float
    peak_mb: float


def local(chance: random.Random) -> int:
    return chance.randrange(2_000_000, 10_000_000)


def simple(chance: random.Random, n: int) -> str:
    return f"+1{chance.choice(AREAS)}{local(chance)},Person {n},{n % 500}.00"


def national(chance: random.Random, n: int) -> str:
    digits = str(local(chance))
    return f"({chance.choice(AREAS)}) {digits[:3]}-{digits[3:]},Person {n},{n % 500}.00"


def quoted(chance: random.Random, n: int) -> str:
    return f'"+49301{local(chance)}","Person, ""{n}""","{n % 500}.00"'


def full(chance: random.Random, n: int) -> str:
    number = f"+4930{local(chance)}"
    return f"C{n};{number};Jürgen Groß {n};Europe/Berlin;form {n};{n % 500},00 €;2026-11-{n % 28}"


def broken(chance: random.Random, n: int) -> str:
    if n % 10:
        return simple(chance, n)
    number = f"+1{chance.choice(AREAS)}{local(chance)}"
    return chance.choice(
        [f'{number},"Person {n},1', f"{number},1", f"{n},Person,1", f"{number},\0,1"]
    )


PLAIN = Columns(name="name", variables={"amount": "amount"})
EVERYTHING = Columns(
    name="name",
    zone="zone",
    key="id",
    consent="consent",
    variables={"amount": "amount", "date": "date"},
)
KINDS = (
    Kind("simple: +1, name, variable", Source("", PLAIN), "number,name,amount", simple),
    Kind("(212) 555-0123 in US", Source("", PLAIN, region="US"), "number,name,amount", national),
    Kind("quoted, +49", Source("", PLAIN), "number,name,amount", quoted),
    Kind(
        "all columns, +49", Source("", EVERYTHING), "id;number;name;zone;consent;amount;date", full
    ),
    Kind("simple, one in ten broken", Source("", PLAIN), "number,name,amount", broken),
)


def write(kind: Kind, rows: int, file: Path) -> None:
    chance = random.Random(1)
    with file.open("w", encoding="utf-8") as out:
        out.write(kind.header + "\n")
        for n in range(rows):
            out.write(kind.line(chance, n) + "\n")


def peak_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def measure(at: int, file: Path, fold: bool) -> Measured:
    """In a process of its own: read everything, drop every row."""
    kind = KINDS[at]
    before = peak_kb()
    folding = Folding()
    good = bad = 0
    begin = time.perf_counter()
    with file.open("rb") as data:
        rows: Iterable[RowOrError] = read_rows(
            data, kind.source, consent_required=bool(kind.source.columns.consent)
        )
        for row in folding.fold(rows) if fold else rows:
            if isinstance(row, RowError):
                bad += 1
            else:
                good += 1
    seconds = time.perf_counter() - begin
    peak_mb = (peak_kb() - before) / 1024
    return Measured(good, bad, folding.duplicates, seconds, peak_mb)


def alone(at: int, file: Path, fold: bool) -> Measured:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, at, file, fold).result()


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast a contact file is read.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each file")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there, too")
    options = parser.parse_args()
    load = Load()
    lines: list[tuple[object, ...]] = []
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "contacts.csv"
        for at, kind in enumerate(KINDS):
            write(kind, options.rows, file)
            size_mb = file.stat().st_size / 1e6
            for way, fold in (("read", False), ("fold", True)):
                found = alone(at, file, fold)
                all_rows = found.rows + found.errors + found.duplicates
                rate = all_rows / found.seconds
                lines.append(
                    (
                        f"{kind.name}, {way}",
                        f"{size_mb:.0f}",
                        f"{rate:,.0f}",
                        f"{found.peak_mb:.0f}",
                        f"{found.rows:,}",
                        f"{found.errors:,}",
                        f"{found.duplicates:,}",
                    )
                )
                results[f"{kind.name}, {way}"] = {
                    "rows_per_second": rate,
                    "peak_mb": found.peak_mb,
                    "rows": found.rows,
                    "errors": found.errors,
                    "duplicates": found.duplicates,
                }
    head = ("file", "MB", "rows/s", "peak MB", "good", "bad", "folded")
    text = f"{options.rows:,} rows each, nice {os.nice(0)}, {load}\n\n{table(head, lines)}"
    publish("contact_import", results, text, options.json)


if __name__ == "__main__":
    main()
