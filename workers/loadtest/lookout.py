"""Looks at the worker under test, again and again: CPU, memory, calls, event loops, queues, files.

A worker of our own is seen through the system, by its processes, and by its metrics page; of
somebody else's there is the page, where it can be reached, or nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from workers.loadtest.measured import WorkerSample
from workers.loadtest.worker_page import CpuSum, WorkerPage, read_page, worst_lag_ms

LOOK_S: Final = 2.0
"""Between two looks. A page costs a worker 2 ms of its loop (median of 200, measured)."""
_ANSWER_S: Final = 2.0
_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessesSeen:
    """What the system says of processes: CPU seconds by process id, memory and files of all."""

    cpu_s: Mapping[str, float]
    memory_mib: float
    open_files: int


def see(pids: Sequence[int]) -> ProcessesSeen | None:
    """Ask the system; processes that are gone are left out. None: there is none, or no ``/proc``.

    CPU time is that of the process's clock, to the nanosecond; a page has it in steps of 10 ms.
    """
    cpu_s: dict[str, float] = {}
    memory, files = 0.0, 0
    for pid in pids:
        try:
            pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
            files += len(os.listdir(_PROC / str(pid) / "fd"))  # noqa: PTH208  half the time
            # See clock_getcpuclockid(3): the number of another process's clock holds its id.
            cpu_s[str(pid)] = time.clock_gettime((~pid << 3) | 2)
        except (OSError, IndexError, ValueError):
            continue
        memory += pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return ProcessesSeen(cpu_s, memory, files) if cpu_s else None


class Lookout:
    """Use as an async context manager.

    Args:
        metrics_url: The worker's page; None: it has none.
        pids: The processes that serve now; none where they are somebody else's.
        transport: In place of the network.
    """

    def __init__(
        self,
        metrics_url: str | None,
        pids: Callable[[], Sequence[int]] = tuple,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = metrics_url
        self._pids = pids
        self._client = httpx.AsyncClient(
            timeout=_ANSWER_S,
            trust_env=False,
            transport=transport,
            # Where processes share a port, a connection that is kept dies with one of them.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._cpu = CpuSum()
        self._before: WorkerPage | None = None

    async def __aenter__(self) -> Lookout:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.aclose()

    async def look(self, at_s: float, *, calls: int) -> WorkerSample | None:
        """Look once; None where nothing is to be seen.

        Args:
            at_s: Of the test, for the sample.
            calls: Calls under way by our own count, where the worker does not say.
        """
        page = await self._page()
        seen = see(self._pids())
        if page is None and seen is None:
            return None
        # How late it was before the first look was no lateness of the test's.
        before = self._before
        lag_ms = None if page is None or before is None else worst_lag_ms(before, page)
        queued = None if page is None else page.queued
        if page is not None:
            self._before = page
            calls = calls if page.calls is None else page.calls
        if seen is not None:
            cpu_s, memory_mib, open_files = seen.cpu_s, seen.memory_mib, seen.open_files
        else:
            assert page is not None
            if not page.cpu_s:
                return None
            cpu_s, memory_mib, open_files = page.cpu_s, page.memory_mib, page.open_files or 0
        return WorkerSample(
            at_s=at_s,
            calls=calls,
            cpu_s=self._cpu.add(cpu_s),
            memory_mib=memory_mib,
            loop_lag_ms=lag_ms,
            queued=queued,
            open_files=open_files,
        )

    async def _page(self) -> WorkerPage | None:
        if self._url is None:
            return None
        try:
            answer = await self._client.get(self._url)
            # Somebody else's page may be anything.
            return read_page(answer.text) if answer.is_success else None
        except (httpx.HTTPError, ValueError, KeyError):
            return None
