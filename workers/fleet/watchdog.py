"""Kills this process when its event loop hangs, rather than leave its callers in silence.

Twilio keeps the socket of a worker that says nothing open for as long as the caller stays. Once the
process is gone its sockets are closed, Twilio asks what is next, and another worker goes on.

A thread looks whether the loop still touches a timestamp. It says nothing about a loop that is held
up by code which does not release the GIL: then the thread stands still as well, and takes itself
for stopped. Such a worker misses its signs of life, and its calls are steered by another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import orjson

LOOK_S = 0.25
STOPPED_S = 1.0
"""A thread that sleeps for so much longer than it wanted was stopped, with all of the process: by
SIGSTOP, by a debugger, or because the machine slept."""
# What a pipe takes in one piece, and without waiting where poll says that it can be written
# (POSIX, PIPE_BUF; pipe(7)): nobody may be reading stderr any more.
_PIECE_BYTES = 4096
_FRAMES = 40


class Pulse:
    """Whether a loop hangs, by when it was last alive.

    Args:
        hung_s: How long it may stand still.
        now: Monotonic seconds.
    """

    def __init__(self, hung_s: float, now: float) -> None:
        self._hung_s = hung_s
        self._since = now
        self._looked_at = now

    def look(self, touched_at: float, now: float) -> float | None:
        """For how long the loop has hung; None: it does not.

        A look that is late itself gives the loop its time anew: it could not have run either.
        """
        if now - self._looked_at > LOOK_S + STOPPED_S:
            self._since = now
        self._looked_at = now
        stood_s = now - max(touched_at, self._since)
        return stood_s if stood_s > self._hung_s else None


class LoopWatchdog:
    """Looks after the event loop that it is started in.

    Args:
        hung_s: How long it may stand still; 0: for ever.
        kill: Is given the process's id and SIGKILL.
        stderr: Where it says why: a file descriptor, past the logs, which may hang as well.
        on_lag: Told in the loop, each ``LOOK_S``, how many seconds late the loop came to it.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        hung_s: float,
        *,
        kill: Callable[[int, int], None] = os.kill,
        stderr: int = 2,
        on_lag: Callable[[float], object] = lambda _lag_s: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hung_s = hung_s
        self._kill = kill
        self._stderr = stderr
        self._on_lag = on_lag
        self._clock = clock
        self._touched_at = clock()
        self._stop = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._loop_thread = 0

    def start(self) -> None:
        """Begin; to be called in the loop, once what holds it up at the start is done."""
        if self._hung_s <= 0:
            return
        self._loop_thread = threading.get_ident()
        self._touched_at = self._clock()
        self._touch_later(asyncio.get_running_loop())
        self._thread = threading.Thread(target=self._watch, name="loop-watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join(2 * LOOK_S)

    def _touch(self, loop: asyncio.AbstractEventLoop) -> None:
        now = self._clock()
        lag_s = now - self._touched_at - LOOK_S
        self._touched_at = now
        self._touch_later(loop)
        # A loop may wake up a little before the time (its clock has a resolution).
        self._on_lag(max(0.0, lag_s))

    def _touch_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(LOOK_S, self._touch, loop)

    def _watch(self) -> None:
        pulse = Pulse(self._hung_s, self._clock())
        while not self._stop.wait(LOOK_S):
            hung_s = pulse.look(self._touched_at, self._clock())
            if hung_s is not None:
                with contextlib.suppress(OSError):
                    self._tell(hung_s)
                self._kill(os.getpid(), signal.SIGKILL)
                return

    def _tell(self, hung_s: float) -> None:
        """Write one line, as a log's, if somebody reads it."""
        stack = _stack(sys._current_frames().get(self._loop_thread))
        text = _line(hung_s, stack)
        while len(text) > _PIECE_BYTES and stack:
            stack.pop()  # The outermost: where it hangs stands first.
            text = _line(hung_s, stack)
        poll = select.poll()
        poll.register(self._stderr, select.POLLOUT)
        if any(events & select.POLLOUT for _, events in poll.poll(0)):
            os.write(self._stderr, text)


def _line(hung_s: float, stack: list[str]) -> bytes:
    told = {
        "event": "loop.hung",
        "level": "critical",
        "hung_s": round(hung_s, 1),
        "pid": os.getpid(),
        "does": "kills this process, so that its calls go on at another worker",
        "stack": stack,
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return orjson.dumps(told) + b"\n"


def _stack(frame: FrameType | None) -> list[str]:
    """File, line and function from the innermost out; no values, which may be anybody's words."""
    places: list[str] = []
    while frame is not None and len(places) < _FRAMES:
        code = frame.f_code
        file = "/".join(Path(code.co_filename).parts[-3:])
        places.append(f"{file}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return places
