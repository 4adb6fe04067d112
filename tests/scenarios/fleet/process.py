"""A worker as operators run it: ``evercall serve`` in a process of its own, and its log."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.scenarios.rig import until

ROOT = Path(__file__).parents[3]
START_S = 60.0
"""Three of them at once, on a machine of two processors that has other things to do."""
# Numbers of the fictional range that all callers of these tests have.
_NUMBER = re.compile(r"\+1555\d{7}")
_PR_SET_PDEATHSIG = 1
_COMMAND = "from workers.entrypoints.cli import main; main()"


class WorkerProcess:
    """``evercall serve`` on a port of its own.

    Args:
        name: As the balancer knows it.
        port: Where it listens.
        agent: The agent's file.
        environment: All that it finds set beside PATH and HOME.
        log_file: Where its output goes.
        options: More options of ``serve``.
    """

    def __init__(
        self,
        name: str,
        *,
        port: int,
        agent: Path,
        environment: Mapping[str, str],
        log_file: Path,
        options: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.port = port
        self.log_file = log_file
        self.killed_at: float | None = None
        """When it was killed or stopped by the test, by the monotonic clock."""
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *("-X", "faulthandler", "-c", _COMMAND),
                    *("serve", "--agent", str(agent), "--host", "127.0.0.1", "--port", str(port)),
                    *options,
                ],
                env=_outside() | dict(environment) | {"PYTHONPATH": str(ROOT)},
                cwd=agent.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # So that all of it can be ended at the end, its children included.
                start_new_session=True,
                preexec_fn=_end_with_the_test,
            )

    @property
    def pid(self) -> int:
        """Of the process itself."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    @property
    def exit_code(self) -> int | None:
        """As it ended; negative: the signal that ended it. None while it runs."""
        return self._process.poll()

    def children(self) -> list[psutil.Process]:
        """Its own workers, where it was started with ``--processes``."""
        with contextlib.suppress(psutil.NoSuchProcess):
            found = psutil.Process(self.pid).children()
            # The resource tracker of multiprocessing is one, too.
            return [one for one in found if "resource_tracker" not in " ".join(one.cmdline())]
        return []

    def kill(self) -> None:
        """SIGKILL: gone in mid-word."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGSTOP: hung, its sockets open."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """SIGCONT: goes on as if nothing had been."""
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM: asked to leave."""
        os.kill(self.pid, signal.SIGTERM)

    async def wait_gone(self, timeout_s: float = 30.0) -> int:
        """Wait for its end; the exit code.

        Raises:
            TimeoutError: with the end of its log.
        """
        try:
            await until(lambda: self.gone, timeout_s=timeout_s)
        except TimeoutError:
            raise TimeoutError(f"{self.name} is still there:\n{self.log_text[-1500:]}") from None
        assert self.exit_code is not None
        return self.exit_code

    def end(self) -> None:
        """Leave nothing of it, whatever state it is in."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(10)

    @property
    def log_text(self) -> str:
        """Everything that it wrote so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its log records, oldest first."""
        found = []
        for line in self.log_text.splitlines():
            # The last one may not be whole: it was killed.
            with contextlib.suppress(json.JSONDecodeError):
                record = json.loads(line)
                if isinstance(record, dict) and "event" in record:
                    found.append(record)
        return found

    def logged(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Its log records of one name, with these fields."""
        return [
            record
            for record in self.records
            if record["event"] == event
            and all(record.get(name) == value for name, value in fields.items())
        ]

    async def until_logged(
        self, event: str, *, timeout_s: float = 15.0, **fields: object
    ) -> dict[str, Any]:
        """Wait for a log record."""
        await until(lambda: self.logged(event, **fields), timeout_s=timeout_s, poll_s=0.05)
        return self.logged(event, **fields)[-1]

    def complaints(self) -> list[str]:
        """What no log may hold: failures nobody expected, and numbers of callers."""
        text = self.log_text
        found = []
        for line in text.splitlines():
            if "Traceback" in line:
                with contextlib.suppress(ValueError):
                    record = json.loads(line)
                    line = f"{record['event']}: {record.get('exception')}"
                found.append(f"{self.name}: {line[-4000:]}")
        return found + [f"{self.name} logs a number: {hit}" for hit in _NUMBER.findall(text)[:3]]

    def _signal(self, number: int) -> None:
        self.killed_at = time.monotonic()
        os.kill(self.pid, number)


async def all_ready(workers: Sequence[WorkerProcess], is_ready: Mapping[str, Any]) -> None:
    """Wait until workers that have just been started take calls.

    Raises:
        RuntimeError: one has ended instead; with its log.
    """
    async with asyncio.timeout(START_S):
        while not all(is_ready[worker.name].ready for worker in workers):
            for worker in workers:
                if worker.gone:
                    raise RuntimeError(f"{worker.name} did not start:\n{worker.log_text[-1500:]}")
            await asyncio.sleep(0.02)


_LIBC = ctypes.CDLL(None)


def _end_with_the_test() -> None:
    """Have the kernel kill it, should the tests themselves be killed (Linux, prctl(2))."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _outside() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
