"""Processes under test: started, watched by their log, and gone afterwards whatever happens."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

CHECKOUT = Path(__file__).parents[4]


@dataclass
class Supervised:
    """A parent with its children."""

    process: subprocess.Popen[bytes]
    folder: Path

    def log(self, event: str = "") -> list[dict[str, Any]]:
        """Records so far, of one event or all."""
        lines = self.text().splitlines()
        records = [json.loads(line) for line in lines if line.startswith("{")]
        return [record for record in records if event in ("", record["event"])]

    def text(self) -> str:
        return (self.folder / "stderr").read_text()

    def noted(self) -> list[str]:
        """What cheap children were told."""
        notes = self.folder / "noted"
        return sorted(notes.read_text().splitlines()) if notes.exists() else []

    def wait(self, what: Callable[[], object], *, within_s: float = 20) -> None:
        ends_at = time.monotonic() + within_s
        while not what():
            assert time.monotonic() < ends_at, self.text()
            time.sleep(0.02)

    def wait_logged(self, event: str, count: int, *, within_s: float = 20) -> None:
        self.wait(lambda: len(self.log(event)) >= count, within_s=within_s)

    def wait_ready(self, count: int, *, within_s: float = 20) -> None:
        """Until so many children have got ready, ever."""
        self.wait_logged("supervisor.child_ready", count, within_s=within_s)

    def exited(self, *, within_s: float = 20) -> int:
        self.process.wait(within_s)
        return self.process.returncode

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def ask(self, *, timeout_s: float = 10) -> tuple[int, int]:
        """Place and pid of the cheap child that answers."""
        port = int((self.folder / "port").read_text())
        with socket.create_connection(("127.0.0.1", port), timeout_s) as caller:
            caller.sendall(b"?")
            place, pid = caller.recv(100).split()
        return int(place), int(pid)


@contextmanager
def supervised(
    folder: Path, words: Sequence[str], *, terminal: int | None = None
) -> Iterator[Supervised]:
    """Run Python with ``words``, one of which names ``folder``; all that names it ends with it."""
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            stdin=subprocess.DEVNULL if terminal is None else terminal,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        yield Supervised(process, folder)
    finally:
        left = [*_with_children(process.pid), *_naming(folder)]
        for each in left:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        process.wait(10)
        psutil.wait_procs(left, 10)


@contextmanager
def cheap(
    folder: Path, places: int = 2, *, leave_s: float = 20, terminal: int | None = None
) -> Iterator[Supervised]:
    """A parent with cheap children."""
    script = str(Path(__file__).with_name("cheap.py"))
    words = [script, str(folder), str(places), str(leave_s)]
    with supervised(folder, words, terminal=terminal) as parent:
        yield parent


def _with_children(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _naming(folder: Path) -> list[psutil.Process]:
    """Children outlive a parent that was killed."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in (process.info["cmdline"] or [])
    ]
