"""What both ends saw of one call over several Live connections, and what it cost the caller.

All of it comes from position codes: what the phone said and heard, and what each connection of the
Live twin was sent. Nothing here asks the bot, so any bot can be measured. Times count from the
moment the telephone began to ring.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from agent.conversation.record import CallRecord
from workers.entrypoints.drill.observed import FRAME_MS, Coded, Run, runs

# The stream runs for about this long before its first frame is sent.
_START_FRAMES = 2
# What may be on its way, or waiting for its turn, when the caller hangs up.
_END_FRAMES = 25
# Two loud stretches nearer than this are one utterance: shorter than any model's end of speech.
_PAUSE_MS = 200
# The twin notices a close a little later than the client that asked for it.
_OVERLAP_S = 0.05


@dataclass(frozen=True, slots=True)
class Connected:
    """One Live connection as the twin saw it.

    Args:
        number: Counts dials from 1.
        codes: The caller's frames in the order in which they arrived.
        turns: First and last code of each turn of the caller that was heard to its end, and when.
        answers_s: When its model began to be heard, or called a tool.
        results: Everything the client told of tools, as answers to calls and in words.
        strays: Answers to calls that this connection never made: the server ignores them.
    """

    number: int
    opened_s: float
    closed_s: float | None = None
    closed_by: str = ""
    resumed: bool = False
    codes: tuple[int, ...] = ()
    turns: tuple[tuple[int, int, float], ...] = ()
    answers_s: tuple[float, ...] = ()
    results: str = ""
    strays: str = ""

    def has_answered(self, said: Run) -> bool:
        """Whether its model heard the end of what was said, and acted on it."""
        ended = [at for first, last, at in self.turns if first <= said.last and said.first <= last]
        return bool(ended) and any(at >= ended[0] for at in self.answers_s)


@dataclass(frozen=True, slots=True)
class Seen:
    """One call.

    Args:
        refused: Dials that were refused.
        first_streamed: Number of the first frame that the phone sent on the stream.
        spoken: What the caller sent, quiet frames too.
        loud: Numbers of the frames in which the caller spoke.
        heard: What the phone heard of the model.
        record: The worker's own record; None for a bot that keeps none.
    """

    connections: tuple[Connected, ...]
    refused: int
    first_streamed: int
    spoken: tuple[Coded, ...]
    loud: frozenset[int]
    heard: tuple[Coded, ...]
    ended_ms: float
    record: CallRecord | None = None

    @property
    def dials(self) -> int:
        """How often a connection was dialled."""
        return len(self.connections) + self.refused

    def utterances(self) -> list[Run]:
        """Return what the caller said: loud frames, and the short pauses between them."""
        found: list[Run] = []
        for run in runs(frame for frame in self.spoken if frame.code in self.loud):
            last = found[-1] if found else None
            if last is not None and run.start_ms - last.end_ms <= _PAUSE_MS:
                found[-1] = Run(last.start_ms, run.end_ms, last.first, run.last)
            else:
                found.append(run)
        return found


@dataclass(frozen=True, slots=True)
class LostAudio:
    """Caller audio that no model will ever have heard.

    Args:
        early_ms: Before the first that any connection received: the bot did not hold it until then.
        unsent_ms: No connection received it, later.
        died_ms: Of speech: only connections received it that ended before they answered it.
    """

    early_ms: float
    unsent_ms: float
    died_ms: float

    @property
    def total_ms(self) -> float:
        """All of it."""
        return self.early_ms + self.unsent_ms + self.died_ms


def lost_audio(seen: Seen) -> LostAudio:
    """Count the caller's frames, from the first on the stream to the hang-up."""
    received = {code for one in seen.connections for code in one.codes}
    last = seen.spoken[-1].code - _END_FRAMES if seen.spoken else -1
    first = seen.first_streamed + _START_FRAMES
    unsent = set(range(first, last + 1)) - received
    early = {code for code in unsent if code < min(received, default=first)}
    died: set[int] = set()
    for said in seen.utterances():
        known = {
            code
            for one in seen.connections
            if one.closed_s is None or _lived_on(one, seen, said) or one.has_answered(said)
            for code in one.codes
        }
        died |= set(range(max(first, said.first), min(last, said.last) + 1)) & received - known
    return LostAudio(*(FRAME_MS * len(codes) for codes in (early, unsent - early, died)))


def _lived_on(one: Connected, seen: Seen, said: Run) -> bool:
    """Whether it was still the last one when the call ended: it could have answered yet."""
    return one is seen.connections[-1] and bool(one.codes) and one.codes[-1] > said.last


def share_heard(seen: Seen, said: Run) -> float | None:
    """Return how much of what the caller said the model heard that acted on it; None for none."""
    answering = [one for one in seen.connections if one.has_answered(said)]
    if not answering:
        return None
    codes = range(said.first, said.last + 1)
    return len(set(codes).intersection(answering[-1].codes)) / len(codes)


def heard_twice_ms(seen: Seen) -> float:
    """Count the model's audio that the phone heard again."""
    times = Counter(frame.code for frame in seen.heard)
    return FRAME_MS * float(sum(count - 1 for count in times.values()))


def times_begun(seen: Seen, line: range) -> int:
    """Count how often a line, such as the greeting, began to be heard."""
    return sum(frame.code == line.start for frame in seen.heard)


def is_whole(seen: Seen, line: range) -> bool:
    """Whether every frame of a line was heard."""
    return {frame.code for frame in seen.heard}.issuperset(line)


def cut_gap_ms(seen: Seen, line: range) -> float | None:
    """Measure the silence between the last of a line that was cut off and what came next.

    Returns:
        0 where it was not cut off; None where nothing came before the caller spoke again.
    """
    frames = [frame for frame in seen.heard if frame.code in line]
    if not frames or frames[-1].code == line.stop - 1:
        return 0.0
    cut_ms = frames[-1].at_ms + FRAME_MS
    return _silence_from(seen, cut_ms, cut_ms)


def answer_delay_ms(seen: Seen, said: Run) -> float | None:
    """Measure from the caller's last word to the model's first; None where there was none.

    What the model still said of an answer before is not an answer to this.
    """
    frames = [frame for frame in seen.heard if frame.at_ms >= said.end_ms - FRAME_MS]
    before = [frame for frame in seen.heard if frame.at_ms < said.end_ms - FRAME_MS]
    if before and frames and frames[0].code == before[-1].code + 1:
        for one, other in pairwise(frames):
            if other.code != one.code + 1:
                return _silence_from(seen, said.end_ms, other.at_ms)
        return None
    return _silence_from(seen, said.end_ms, said.end_ms - FRAME_MS)


def _silence_from(seen: Seen, since_ms: float, not_before_ms: float) -> float | None:
    voice = next((one.at_ms for one in seen.heard if one.at_ms >= not_before_ms), None)
    said = next((one.start_ms for one in seen.utterances() if one.start_ms >= since_ms), None)
    if voice is None or (said is not None and said < voice):
        return None
    return max(0.0, voice - since_ms)


def open_at_once(connections: Sequence[Connected], ended_s: float) -> int:
    """Return how many connections were up at the same time at most."""
    moments: list[tuple[float, int]] = []
    for one in connections:
        closed_s = ended_s if one.closed_s is None else one.closed_s
        moments += [(one.opened_s, 1), (max(one.opened_s, closed_s - _OVERLAP_S), -1)]
    most = count = 0
    for _, change in sorted(moments):
        count += change
        most = max(most, count)
    return most


@dataclass(frozen=True, slots=True)
class Spread:
    """Some measurements of one thing."""

    count: int
    p50: float
    p95: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Sort them; zeros for none."""
        ordered = sorted(values)
        if not ordered:
            return cls(0, 0.0, 0.0, 0.0)
        # Nearest rank: of 100 the 95th, which five others exceed.
        rank = max(0, -(-len(ordered) * 95 // 100) - 1)
        return cls(len(ordered), ordered[(len(ordered) - 1) // 2], ordered[rank], ordered[-1])

    def __str__(self) -> str:
        return f"{self.p50:.0f} / {self.p95:.0f} / {self.most:.0f}"
