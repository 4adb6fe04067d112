"""Keeps unlike processes running side by side: another for each that dies, and an order to stop.

The supervisor beside it (``workers.entrypoints.supervisor``) keeps many of one kind, which share a
socket and replace each other while calls go on. Here each part is there once, and what it serves
waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from asyncio.subprocess import STDOUT, Process
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

import structlog

from workers.entrypoints.supervisor.core import EXIT_USAGE, LONGEST_WAIT_S, YOUNG_S

_LINE_BYTES: Final = 1024 * 1024
_REST_S: Final = 2.0
"""For the last lines of a process that is gone; what it started may have its output open."""

_log = structlog.get_logger(__name__)

Show = Callable[[str, str], None]
"""A line of a part: its name, and the line."""


@dataclass(frozen=True, slots=True)
class Part:
    """One of them."""

    name: str
    command: Sequence[str]
    leave_s: float
    """From SIGTERM until it is killed."""
    hurries: bool = False
    """A second SIGTERM hurries it; others are killed then."""


def wait_s(early_deaths: int) -> float:
    """How long its next start waits after so many that died young, in a row."""
    if early_deaths == 0:
        return 0.0
    # Not at once even the first time: a broker or a database that comes back takes a moment.
    return min(LONGEST_WAIT_S, 0.5 * 2.0 ** (early_deaths - 1))


class Keeper:
    """Runs parts until ``stop``. For the main thread's loop, which hears of children.

    Args:
        parts: In the order in which they are stopped.
        environment: Theirs.
        show: Gets the lines they write.
    """

    def __init__(self, parts: Sequence[Part], *, environment: Mapping[str, str], show: Show):
        self._parts = parts
        self._environment = environment
        self._show = show
        self._running: dict[str, Process] = {}
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._stopped: dict[str, asyncio.Event] = {part.name: asyncio.Event() for part in parts}
        self._exit_code = 0

    def stop(self) -> None:
        """Let the parts leave, one after the other; the second time in a hurry."""
        if self._stop.is_set():
            self._hurry.set()
        self._stop.set()

    async def run(self) -> int:
        """Return the exit code when all of them are gone.

        0; 1 where one had to be killed; 2 where one would not start because of how it is set up.
        """
        async with asyncio.TaskGroup() as group:
            for part in self._parts:
                group.create_task(self._keep(part), name=part.name)
            await self._stop.wait()
            for part in self._parts:
                await self._let_leave(part)
        return self._exit_code

    async def _keep(self, part: Part) -> None:
        early_deaths = 0
        first = True
        while not self._stop.is_set():
            begun_at = time.monotonic()
            code = await self._run_once(part)
            lived_s = time.monotonic() - begun_at
            if self._stop.is_set():
                break
            if code == EXIT_USAGE and first:
                # It has said what is wrong; the next would say the same.
                self._exit_code = EXIT_USAGE
                self._stop.set()
                break
            first = False
            early_deaths = early_deaths + 1 if lived_s < YOUNG_S else 0
            restart_in_s = wait_s(early_deaths)
            _log.error(
                "up.part_died",
                part=part.name,
                **how_ended(code),
                lived_s=round(lived_s, 1),
                restart_in_s=restart_in_s,
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), restart_in_s)
        self._stopped[part.name].set()

    async def _run_once(self, part: Part) -> int:
        # Pipes of our own: with asyncio's, wait() would wait for whatever a part has started and
        # left behind with them (python/cpython #119710).
        input_end, ours = os.pipe()
        output, output_end = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *part.command,
                # It ends when we do, however that comes about (kept.py).
                stdin=input_end,
                stdout=output_end,
                stderr=STDOUT,
                env=dict(self._environment),
                # A terminal's Ctrl-C is for us, who stop them in order.
                start_new_session=True,
            )
        except OSError as error:
            _log.error("up.cannot_start", part=part.name, error=str(error))
            os.close(output)
            os.close(ours)
            return 1
        finally:
            os.close(input_end)
            os.close(output_end)
        self._running[part.name] = process
        reading = asyncio.create_task(self._read(part, output))
        code = await process.wait()
        del self._running[part.name]
        os.close(ours)
        # A worker's own processes outlive it where it was killed, and would go on beside the next.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.wait({reading}, timeout=_REST_S)
        reading.cancel()
        return code

    async def _read(self, part: Part, output: int) -> None:
        reader = asyncio.StreamReader(limit=_LINE_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(output, "rb")
        )
        try:
            while True:
                try:
                    line = await reader.readline()
                except ValueError:
                    # Longer than any log's; what was there of it is gone.
                    continue
                if not line:
                    return
                self._show(part.name, line.decode(errors="replace").rstrip("\n"))
        finally:
            transport.close()

    async def _let_leave(self, part: Part) -> None:
        process = self._running.get(part.name)
        if process is not None:
            _log.info("up.stopping", part=part.name)
            _signal(process, signal.SIGTERM)
            if not await self._left(part):
                self._exit_code = self._exit_code or 1
                _log.error("up.part_killed", part=part.name)
                _signal(process, signal.SIGKILL)
        await self._stopped[part.name].wait()

    async def _left(self, part: Part) -> bool:
        """Whether it left in time, or in a hurry."""
        stopped = asyncio.create_task(self._stopped[part.name].wait())
        hurry = asyncio.create_task(self._hurry.wait())
        try:
            await asyncio.wait(
                {stopped, hurry}, timeout=part.leave_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not stopped.done() and hurry.done() and part.hurries:
                if (process := self._running.get(part.name)) is not None:
                    _signal(process, signal.SIGTERM)
                await asyncio.wait({stopped}, timeout=part.leave_s)
            return stopped.done()
        finally:
            stopped.cancel()
            hurry.cancel()


def printer(stream: TextIO) -> Show:
    """Write a part's lines with its name: as a key where they are JSON, in front of others."""
    console = structlog.dev.ConsoleRenderer() if stream.isatty() else None

    def show(name: str, line: str) -> None:
        stream.write(f"{_named(name, line, console)}\n")
        stream.flush()

    return show


def _named(name: str, line: str, console: structlog.dev.ConsoleRenderer | None) -> str:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        return f"{name} | {line}"
    record["part"] = name
    if console is None:
        return json.dumps(record)
    return console(None, "", record)


def how_ended(code: int) -> dict[str, object]:
    """An exit code, or the signal's name, as a log says it."""
    if code >= 0:
        return {"code": code}
    with contextlib.suppress(ValueError):
        return {"signal": signal.Signals(-code).name}
    return {"signal": -code}


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
