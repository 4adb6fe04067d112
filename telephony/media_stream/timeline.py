"""How much of the agent's audio the caller has heard, by the marks: sans-IO.

All audio ever handed in lies on one timeline, counted in µ-law bytes, which never goes back. Audio
on it was offered, then sent, then heard; a barge-in clears what was not heard, and the next
*generation* begins where the offers had got to. Twilio says what it played by echoing marks, and
since ``clear`` makes it echo all of them, an echo counts only for the generation in its name.

Between two echoes the position is estimated, by three bounds at once: time passed since the last
echo (or since Twilio began to play), time left of what Twilio should have queued, and the next mark
not yet echoed, which was certainly not reached.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from telephony.audio.g711 import BYTES_PER_MS

BYTES_PER_S: Final = BYTES_PER_MS * 1000

# Twilio queues ten minutes at most (error 31931), which is this many marks of 100 ms. Were it to
# echo none, the oldest are forgotten first.
_MAX_MARKS: Final = 6000
# Marks of a day-long call, the longest there is, need seven digits.
_MAX_DIGITS: Final = 9


class Timeline:
    """Positions of offered, sent, confirmed and heard audio, in bytes."""

    def __init__(self) -> None:
        self.generation = 0
        self.offered = 0
        self.sent = 0
        self.marked = 0
        """Position of the newest mark."""
        self.confirmed = 0
        """Position of the newest mark that was echoed: heard for certain."""
        self.plays_until = 0.0
        """When Twilio will have played all that was sent, if it plays without a break."""
        self._given_up = 0
        self._start = 0
        self._heard = 0
        self._anchor = (0, 0.0)
        self._mark_count = 0
        self._marks: deque[tuple[int, int]] = deque(maxlen=_MAX_MARKS)
        self._past: list[tuple[int, int]] = []

    @property
    def unconfirmed(self) -> bool:
        """Whether Twilio may still have audio to play, as far as marks tell."""
        return self.sent > self.confirmed

    @property
    def settled(self) -> int:
        """Up to here there is nothing to wait for: it was heard, or its echo was given up."""
        return max(self.confirmed, self._given_up)

    def send(self, size_bytes: int, now: float) -> float:
        """Note that audio goes out now; returns when the caller begins to hear it."""
        if not self.unconfirmed:
            self._anchor = (self.sent, now)
        starts_at = max(self.plays_until, now)
        self.plays_until = starts_at + size_bytes / BYTES_PER_S
        self.sent += size_bytes
        return starts_at

    def mark(self) -> str:
        """Set a mark behind all that was sent; returns its name."""
        self._mark_count += 1
        self._marks.append((self._mark_count, self.sent))
        self.marked = self.sent
        return f"g{self.generation}:{self._mark_count}"

    def echo(self, name: str, now: float) -> bool:
        """Note an echo; False where it says nothing, being flushed, repeated or not ours."""
        prefix = f"g{self.generation}:"
        number = name.removeprefix(prefix)
        if number is name or not number.isdecimal() or len(number) > _MAX_DIGITS:
            return False
        echoed = int(number)
        if not self._marks or not self._marks[0][0] <= echoed <= self._mark_count:
            return False
        while self._marks and self._marks[0][0] <= echoed:
            self.confirmed = self._marks.popleft()[1]
        self._anchor = (self.confirmed, now)
        return True

    def heard(self, now: float) -> int:
        """Up to where the caller has heard this generation; never goes back."""
        if self.unconfirmed:
            limit = self._marks[0][1] if self._marks else self.sent
            position, at = self._anchor
            by_echo = position + (now - at) * BYTES_PER_S
            by_plan = self.sent - max(0.0, self.plays_until - now) * BYTES_PER_S
            self._heard = max(self._heard, self.confirmed, int(min(limit, by_echo, by_plan)))
        else:
            self._heard = self.confirmed
        return self._heard

    def heard_between(self, since: float, until: float, now: float) -> float:
        """How many of the bytes offered between two positions were heard, in any generation."""
        total = max(0.0, min(until, self.heard(now)) - max(since, self._start))
        for start, end in reversed(self._past):
            if end <= since:
                break
            total += max(0.0, min(until, end) - max(since, start))
        return total

    def pending(self, now: float) -> int:
        """Bytes offered that the caller has yet to hear."""
        return self.offered - max(self.heard(now), self._given_up)

    def give_up(self) -> None:
        """Stop waiting for what was sent; its echoes still count should they come."""
        self._given_up = self.sent

    def clear(self, now: float) -> float:
        """Begin a new generation: what was not heard never will be.

        Returns:
            When the caller would have begun to hear the first thing they did not.
        """
        heard = self.heard(now)
        cut_at = (
            max(self.plays_until, now)
            if heard >= self.sent
            else (self.plays_until - (self.sent - heard) / BYTES_PER_S)
        )
        if heard > self._start:
            if self._past and self._past[-1][1] == self._start:
                self._past[-1] = (self._past[-1][0], heard)
            else:
                self._past.append((self._start, heard))
        self.generation += 1
        self._start = self.sent = self.marked = self.confirmed = self.offered
        self._heard = self._given_up = self.offered
        self.plays_until = now
        self._mark_count = 0
        self._marks.clear()
        return cut_at
