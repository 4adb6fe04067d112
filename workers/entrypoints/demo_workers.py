"""Processes of a demo: ``evercall serve`` or ``up`` as an operator starts it, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

import workers
from workers.store.calls import CallStore, StoreUnavailable
from workers.store.sql import SqlCallStore

PROCESSES = 2
SERVE = ("serve", "--processes", str(PROCESSES))
LEAVE_S = (1.5, 5.0, 5.0)
"""How long each signal is given; where the call is over, the first takes half a second."""
_START_S = 30.0
_POLL_S = 0.1
_COMMAND = "from workers.entrypoints.cli import main; main()"
# What this terminal has set for real services is not for the simulated ones.
_OURS = ("EVERCALL_", "GOOGLE_", "TWILIO_", "SSL_CERT_")


@asynccontextmanager
async def served(
    *,
    agent: Path,
    port: int,
    folder: Path,
    log: Path,
    settings: Mapping[str, str],
    words: Sequence[str] = SERVE,
    processes: int = PROCESSES,
    leave_s: tuple[float, float, float] = LEAVE_S,
    on_started: Callable[[int], object] = lambda _pid: None,
) -> AsyncIterator[CallStore]:
    """Serve in processes; gives their store once all take calls. Afterwards they are gone.

    Args:
        agent: The agent's file.
        port: Where they listen.
        folder: They run there: no ``.env`` is in it.
        log: They write there, behind what it holds.
        settings: Environment variables.
        words: The command, without what is said above.
        processes: How many of those that it starts take calls.
        leave_s: How long SIGTERM, a second one and SIGKILL are given.
        on_started: Told the process id of the command.

    Raises:
        RuntimeError: they do not start.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: ASYNC220, S603  our own interpreter and command
            [
                *(sys.executable, "-c", _COMMAND, *words, "--agent", str(agent)),
                *("--host", "127.0.0.1", "--port", str(port)),
            ],
            env=_environment(settings),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A terminal's Ctrl-C is for the demo, which ends them in order.
            start_new_session=True,
        )
    store: CallStore | None = None
    try:
        on_started(process.pid)
        try:
            async with asyncio.timeout(_START_S):
                await _ready(process, port)
                store = SqlCallStore(settings["EVERCALL_DATABASE_URL"])
                await _beating(process, store, processes)
        except TimeoutError as error:
            raise RuntimeError(f"the workers are not ready after {_START_S:.0f} s") from error
        yield store
    finally:
        if store is not None:
            await store.close(deadline_s=1.0)
        # A thread, because a second Ctrl-C must not leave them behind.
        await asyncio.to_thread(_end, process, leave_s)


async def _ready(process: subprocess.Popen[bytes], port: int) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            _must_run(process)
            with contextlib.suppress(httpx.HTTPError):
                if (await client.get(f"http://127.0.0.1:{port}/readyz")).is_success:
                    return
            await asyncio.sleep(_POLL_S)


async def _beating(process: subprocess.Popen[bytes], store: CallStore, least: int) -> None:
    while True:
        _must_run(process)
        with contextlib.suppress(StoreUnavailable):
            if len(await store.list_workers()) >= least:
                return
        await asyncio.sleep(_POLL_S)


def _must_run(process: subprocess.Popen[bytes]) -> None:
    code = process.poll()
    if code is not None:
        raise RuntimeError(f"the workers did not start: exit code {code}")


def _end(process: subprocess.Popen[bytes], leave_s: tuple[float, float, float]) -> None:
    """Have them leave; a second SIGTERM hurries them.

    Children whose parent was killed leave by themselves: its end of their line is closed.
    """
    signals = (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL)
    for number, timeout_s in zip(signals, leave_s, strict=True):
        if process.poll() is None:
            process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
            return


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
    # They run elsewhere; from a checkout that is not installed they would not find themselves.
    root = str(Path(workers.__file__).parent.parent)
    path = os.pathsep.join(part for part in (root, kept.get("PYTHONPATH", "")) if part)
    return {**kept, "PYTHONPATH": path, **settings}
