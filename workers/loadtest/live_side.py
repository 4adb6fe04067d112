"""What the simulated model saw of a call: which connections were its, what came, how long it took.

A connection says whose it is by its instruction: the load test's agent tells its model the number
of whoever calls, and no two calls of a test come from the same. The numbers of frames could not
tell calls apart, for every caller begins to count at 0.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workers.loadtest.casting import call_number
from workers.loadtest.loudness import Span
from workers.loadtest.measured import FramesCounted
from workers.twin.live_api.session_log import SessionLog
from workers.twin.phone_audio import FRAME_MS
from workers.twin.position_code import CODES, QUIET_RMS, Found, decode

# A frame that is nowhere near its time is noise that looked like one.
_ASTRAY_FRAMES = 1_500
# µ-law silence is below 10 once it has been resampled, quiet numbers are at 60.
_FILLED_RMS = QUIET_RMS / 3


def connections_of(sessions: Iterable[SessionLog], number: int) -> list[SessionLog]:
    """Choose the connections of the ``number``-th call of the test, oldest first."""
    return [log for log in sessions if call_number(log.system_instruction) == number]


@dataclass(frozen=True, slots=True)
class Arrived:
    """A frame of the caller as a connection got it."""

    number: int
    """Of the frame, counted on where the codes begin again."""
    at: float
    """When the message came that brought its middle, by the server's clock."""


@dataclass(frozen=True, slots=True)
class Connected:
    """One connection of a call."""

    frames: tuple[Arrived, ...]
    unreadable: int
    """Frames whose sound came, cut in two, so that their numbers cannot be read."""
    turns_at: tuple[float, ...]
    """When the first audio of each turn of the model went out."""

    def arrival_of(self, number: int) -> float | None:
        """Return when this frame first came; None: it never did."""
        return min((one.at for one in self.frames if one.number == number), default=None)


def look_into(log: SessionLog, *, counts_from: float) -> Connected:
    """Read what a connection got.

    Args:
        log: Of a server that keeps audio and ``arrivals``.
        counts_from: When frame 0 of the caller was due, by the server's clock.
    """
    rate_hz = log.audio_rate_hz
    pcm = log.caller_audio
    placed: list[tuple[int, Found]] = []
    frames: list[Arrived] = []
    for one in decode(pcm[: len(pcm) & ~1], rate_hz=rate_hz):
        at = _arrival(log, one.at_ms + FRAME_MS / 2)
        expected = (at - counts_from) * 1000 / FRAME_MS
        number = one.code + round((expected - one.code) / CODES) * CODES
        if number >= 0 and abs(number - expected) <= _ASTRAY_FRAMES:
            frames.append(Arrived(number, at))
            placed.append((number, one))
    turns = tuple(said.sent_at for said in log.said if said.sent_at is not None)
    return Connected(tuple(frames), sum(_cut_in_two(placed, pcm, rate_hz)), turns)


def count_caller(
    connections: Sequence[Connected],
    *,
    counts_from: float,
    unsent: Sequence[Span],
    owed: Span | None = None,
) -> FramesCounted:
    """Count the frames of the caller that no connection got.

    Args:
        connections: Of the call.
        counts_from: As in ``look_into``.
        unsent: From when until when there was no stream to send them on, by the same clock.
        owed: From when until when every other frame has to have come through; beyond that they are
            counted between the first and the last that did. None: nowhere else.
    """

    def number_at(at: float) -> int:
        return int((at - counts_from) * 1000 / FRAME_MS)

    times = Counter(one.number for connected in connections for one in connected.frames)
    ends = [*times]
    if connections and owed is not None and owed[0] < owed[1]:
        ends += map(number_at, owed)
    if not ends:
        return FramesCounted()
    first, last = min(ends), max(ends)
    never: set[int] = set()
    for start, end in unsent:
        never |= {n for n in range(number_at(start), number_at(end) + 1) if first <= n <= last}
    never -= times.keys()
    sent = last - first + 1 - len(never)
    unreadable = sum(connected.unreadable for connected in connections)
    return FramesCounted(
        sent=sent,
        lost=max(0, sent - len(times) - unreadable),
        twice=sum(count > 1 for count in times.values()),
    )


def model_took_s(
    connections: Iterable[Connected], number: int, *, asked: float, heard: float
) -> float | None:
    """Return how long the model took to answer, by its own clock; None where it cannot be told.

    Args:
        connections: Of the call.
        number: The last loud frame of the question.
        asked: When the caller sent it.
        heard: When the caller heard the answer begin.
    """
    newest: tuple[float, Connected] | None = None
    for connected in connections:
        index = bisect_right(connected.turns_at, heard)
        sent_at = connected.turns_at[index - 1] if index else asked
        if sent_at > asked and (newest is None or sent_at > newest[0]):
            newest = sent_at, connected
    if newest is None:
        return None
    sent_at, connected = newest
    came_at = connected.arrival_of(number)
    return None if came_at is None or came_at > sent_at else sent_at - came_at


def turns_of(connections: Iterable[Connected]) -> list[float]:
    """Return when the turns of the model began, on whichever connection, in order."""
    return sorted(at for connected in connections for at in connected.turns_at)


def _arrival(log: SessionLog, at_ms: float) -> float:
    """Return when the message came that brought what is at this place of the audio."""
    at_bytes = at_ms * log.audio_rate_hz * 2 / 1000
    index = bisect_left(log.arrived_bytes, at_bytes)
    if index < len(log.arrivals):
        return log.arrivals[index]
    return log.opened_at + at_ms / 1000


def _cut_in_two(placed: Sequence[tuple[int, Found]], pcm: bytes, rate_hz: int) -> Iterator[int]:
    """Say of each jump in the numbers how many frames' sound lies between all the same."""
    samples = np.frombuffer(pcm[: len(pcm) & ~1], "<i2")
    for (before, left), (after, right) in pairwise(placed):
        missing = after - before - 1
        if missing <= 0:
            continue
        start, end = left.at_ms + FRAME_MS, right.at_ms
        between = samples[round(start * rate_hz / 1000) : round(end * rate_hz / 1000)]
        block = rate_hz * 2 // 1000
        blocks = between[: len(between) // block * block].reshape(-1, block).astype(np.float32)
        sounds = np.sqrt(np.mean(blocks**2, axis=1)) >= _FILLED_RMS if len(blocks) else blocks
        yield min(missing, round(float(np.sum(sounds)) * 2 / FRAME_MS))
