"""Shards of a load test in processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, cast

import workers
from workers.entrypoints.loadtest_shard import COMMAND
from workers.loadtest.shards.lead import Gone, Patience
from workers.loadtest.shards.messages import FromLeader, FromShard, Prepare
from workers.loadtest.shards.pipe import LONGEST_BYTES, from_line, to_line

PATIENCE: Final = Patience(prepare_s=60.0, lead_s=1.0)
"""Two processes import for a few seconds each, and share the machine with the worker's."""
_LEAVE_S: Final = 5.0
_MOST_WAITING: Final = 1_000
"""Messages; whoever sends more has to wait."""


@asynccontextmanager
async def in_processes(asked: Sequence[Prepare], log: Path) -> AsyncIterator[Processes]:
    """Start a process for each of these; none is left on exit.

    Args:
        asked: What each is to prepare.
        log: What they have to say beside that is written there, if anything.
    """
    processes: list[Process] = []
    try:
        # That of an earlier test says nothing of this one.
        await asyncio.to_thread(log.write_bytes, b"")
        for _ in asked:
            processes.append(await _start(log))  # noqa: PERF401  those there are must be ended
        link = Processes(processes, log)
        async with link:
            for index, prepare in enumerate(asked):
                await link.send(index, prepare)
            yield link
    finally:
        await asyncio.gather(*(_end(process) for process in processes))
        await asyncio.to_thread(_forget_if_empty, log)


def _forget_if_empty(log: Path) -> None:
    if log.exists() and not log.stat().st_size:
        log.unlink()


async def _start(log: Path) -> Process:
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *COMMAND,
            env=shard_environment(),
            stdin=PIPE,
            stdout=PIPE,
            stderr=output,
            limit=LONGEST_BYTES,
            # A terminal's Ctrl-C is for whoever leads the test.
            start_new_session=True,
        )


def shard_environment() -> Mapping[str, str]:
    """Return the environment of a shard: ours, in which it finds us wherever it runs."""
    root = str(Path(workers.__file__).parent.parent)
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    return {**os.environ, "PYTHONPATH": path}


class Processes:
    """The way to shards in these processes; use as an async context manager."""

    def __init__(self, processes: Sequence[Process], log: Path) -> None:
        self._processes = processes
        self._log = log
        self._heard: asyncio.Queue[tuple[int, FromShard | Gone]] = asyncio.Queue(_MOST_WAITING)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> None:
        self._tasks = [
            asyncio.create_task(self._listen(index, process), name=f"shard {index + 1}")
            for index, process in enumerate(self._processes)
        ]

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def send(self, index: int, message: FromLeader) -> None:
        """Tell one something, if it is there."""
        stdin = self._processes[index].stdin
        assert stdin is not None
        with contextlib.suppress(OSError):
            stdin.write(to_line(message))
            await stdin.drain()

    async def receive(self) -> tuple[int, FromShard | Gone]:
        """Return what the next one says, or that it is gone."""
        return await self._heard.get()

    async def _listen(self, index: int, process: Process) -> None:
        assert process.stdout is not None
        try:
            while (line := await process.stdout.readline()).endswith(b"\n"):
                # Whether it is one from a shard the conductor's table says.
                await self._heard.put((index, cast(FromShard, from_line(line))))
        except ValueError as error:
            why = f"says what nobody here understands: {error} (see {self._log})"
            await self._heard.put((index, Gone(why)))
            return
        code = await process.wait()
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        await self._heard.put((index, Gone(f"ended by itself: {how} (see {self._log})")))


async def _end(process: Process) -> None:
    """Have it leave: what it is told by ends there."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_LEAVE_S):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        # With the one that measures for it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
