"""An event loop without waiting: when nothing is ready, its clock jumps to the next timer.

An hour of a call takes as long as its work does. Nothing outside of the loop exists: no sockets, no
threads, no real time. What would wait for ever, or never let time pass, is an error that says who.

looptime (0.9) and aiotools' ``VirtualClock`` (2.2) do the jumping, too; both step on quietly where
a loop is stuck, and the first brings a pytest plugin that wraps every loop of a suite.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from pathlib import Path
from typing import Any, NoReturn, TypeVar, TypeVarTuple, Unpack

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

START_S = 1_000.0
"""What the clock shows first; not 0, which is easily taken for none."""
# A call's busiest moment, held audio sent on after an outage, takes a few hundred turns.
_MAX_TURNS = 100_000


class StuckLoop(Exception):
    """The loop would wait for ever, or time stands still."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes by itself.

    Raises:
        StuckLoop: out of ``run``: nothing is ready and no timer is set; or there is always
            something ready.
    """

    def __init__(self) -> None:
        self.now = START_S
        self._thread = threading.get_ident()
        super().__init__(_VirtualSelector(self))

    def time(self) -> float:
        """Return the clock's seconds."""
        return self.now

    def run_in_executor(self, *_: object, **__: object) -> NoReturn:
        """Refuse: a thread's time is not the loop's.

        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("a virtual loop has no threads")

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: *_Ts,
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Call soon, from this thread only.

        Raises:
            RuntimeError: another thread calls.
        """
        if threading.get_ident() != self._thread:
            raise RuntimeError("a virtual loop has no threads")
        return self.call_soon(callback, *args, context=context)


class _VirtualSelector(selectors.SelectSelector):
    """Waits by moving the clock; the loop registers nothing but its own wake-up pipe."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if len(self.get_map()) > 1:
            raise StuckLoop("a virtual loop has no sockets")
        if timeout is None:
            raise StuckLoop(f"nothing is ready and no timer is set: {_waiting(self._loop)}")
        if timeout > 0:
            self._loop.now += timeout
            self._turns = 0
        self._turns += 1
        if self._turns > _MAX_TURNS:
            self._turns = 0  # Tasks are given the time to be cancelled.
            raise StuckLoop(
                f"always something to do, and time stands still: {_waiting(self._loop)}"
            )
        return []


def _waiting(loop: VirtualLoop) -> str:
    """Name the tasks and the line at which each waits."""
    return "; ".join(sorted(map(_place, asyncio.all_tasks(loop)))) or "no task is left"


def _place(task: asyncio.Task[Any]) -> str:
    """Follow what a task awaits down to the line that does not go on."""
    inner: Any = task.get_coro()
    frame = None
    while inner is not None and (found := getattr(inner, "cr_frame", None)) is not None:
        frame, inner = found, inner.cr_await
    where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" if frame else "its end"
    return f"{task.get_name()} at {where}"


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run ``work`` to its end in a virtual loop of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(work)
