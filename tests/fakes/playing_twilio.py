"""Twilio's playback in numbers: no loop, no sleep. Drives a ``Playout`` in virtual time.

Everything sent arrives ``latency_s`` later and every echo takes as long back. What the caller
really heard is known here, to be compared with what the playout says.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, deque
from collections.abc import Callable

from telephony.media_stream.messages import OutClear, OutMark, OutMedia
from telephony.media_stream.playout import Playout, PlayoutCommand, SpeechStarted, SpeechStopped


class PlayingTwilio:
    """Runs the playout's shell and Twilio together up to any time."""

    def __init__(
        self,
        playout: Playout,
        counters: Counter[str],
        *,
        latency_s: float = 0.0,
        echoes: bool = True,
    ) -> None:
        self.playout = playout
        self.counters = counters
        self.now = 100.0
        self.sent: list[tuple[float, PlayoutCommand]] = []
        self.speech: list[str] = []
        self.underruns = 0
        self._latency_s = latency_s
        self._echoes = echoes
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._queue: deque[tuple[float, float, bytes]] = deque()
        self._plays_until = 0.0
        self._marks: deque[tuple[float, str]] = deque()

    def run(self, duration_s: float) -> None:
        """Let time pass: deliver what is due, and let the shell act on its deadlines."""
        end = self.now + duration_s
        while True:
            self._act()
            deadline = self.playout.deadline()
            arrival = self._events[0][0] if self._events else None
            due = min((t for t in (deadline, arrival) if t is not None), default=end)
            if due > end:
                break
            self.now = max(self.now, due)
            while self._events and self._events[0][0] <= self.now:
                heapq.heappop(self._events)[2]()
            if due == end and deadline is None and arrival is None:
                break
        self.now = end

    def stall(self, duration_s: float) -> None:
        """Let time pass while the shell does not run, as a busy loop would."""
        self.now += duration_s

    def really_heard(self, now: float | None = None) -> bytes:
        """What the caller has heard by now."""
        at = self.now if now is None else now
        return b"".join(
            piece[: max(0, round((min(at, until) - start) * 8000))]
            for start, until, piece in self._queue
        )

    def media(self) -> list[tuple[float, bytes]]:
        return [(at, sent.payload) for at, sent in self.sent if isinstance(sent, OutMedia)]

    def _act(self) -> None:
        while (command := self.playout.take(self.now)) is not None:
            self.sent.append((self.now, command))
            if isinstance(command, SpeechStarted | SpeechStopped):
                self.speech.append("started" if isinstance(command, SpeechStarted) else "stopped")
            else:
                self._later(lambda command=command: self._arrive(command))  # type: ignore[misc]  # mypy cannot type a bound default

    def _later(self, what: Callable[[], None], at: float | None = None) -> None:
        due = self.now + self._latency_s if at is None else at
        heapq.heappush(self._events, (due, next(self._order), what))

    def _arrive(self, command: PlayoutCommand) -> None:
        if isinstance(command, OutMedia):
            if self._queue and self.now > self._plays_until + 1e-9:
                self.underruns += 1
            start = max(self.now, self._plays_until)
            self._plays_until = start + len(command.payload) / 8000
            self._queue.append((start, self._plays_until, command.payload))
        elif isinstance(command, OutMark):
            self._marks.append((self._plays_until, command.name))
            self._later(self._echo_played, at=max(self.now, self._plays_until))
        elif isinstance(command, OutClear):
            self._queue = deque(
                (start, min(until, max(start, self.now)), piece)
                for start, until, piece in self._queue
            )
            self._plays_until = self.now
            while self._marks:
                self._echo(self._marks.popleft()[1])

    def _echo_played(self) -> None:
        while self._marks and self._marks[0][0] <= self.now + 1e-9:
            self._echo(self._marks.popleft()[1])

    def _echo(self, name: str) -> None:
        if self._echoes:
            self._later(lambda: self._echoed(name))

    def _echoed(self, name: str) -> None:
        self.playout.mark_echoed(name, self.now)
