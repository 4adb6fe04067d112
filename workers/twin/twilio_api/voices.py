"""Who spoke into a call, stream by stream, and what the caller had between two of them.

Times count seconds from the moment the call began.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise


@dataclass(frozen=True, slots=True)
class Heard:
    """Audio that arrived from a server: in stretches without a pause, 20 ms to a frame."""

    frames: int = 0
    stretches: tuple[tuple[float, float], ...] = ()

    @property
    def first_s(self) -> float | None:
        """When the first of it came."""
        return self.stretches[0][0] if self.stretches else None

    @property
    def last_s(self) -> float | None:
        """When the last of it came."""
        return self.stretches[-1][1] if self.stretches else None


@dataclass(frozen=True, slots=True)
class Voice:
    """One stream that started: what its server said, heard by the caller or not."""

    stream_sid: str
    number: int
    """In the order in which they started, from 1."""
    started_s: float
    ended_s: float | None
    """When Twilio ended the stream, or knew that it had ended; None while it runs."""
    heard: Heard
    unheard: Heard
    """What came when the stream was over, or nothing passed on it any more."""
    cut_ms: float
    """How much was still to be played when it ended: what the caller noticed of the end."""
    second: bool = False
    """Whether it was opened beside the call's own stream, by ``SecondStream``."""

    @property
    def first_s(self) -> float | None:
        """When the caller could first hear it; None if never."""
        return self.heard.first_s

    @property
    def last_s(self) -> float | None:
        """When the last came that the caller could hear."""
        return self.heard.last_s

    @property
    def frames(self) -> int:
        """How many frames of 20 ms the caller could hear."""
        return self.heard.frames


@dataclass(frozen=True, slots=True)
class TwoVoices:
    """The earlier stream's server still spoke when the later one's had begun to."""

    earlier: Voice
    later: Voice
    from_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class StreamGap:
    """From the end of one stream of a call to the first word of the next."""

    before: Voice
    after: Voice
    ended_s: float
    asked_s: float | None
    """When Twilio asked what is next; None where it had been told before the end."""
    answered_s: float | None
    started_s: float
    """When the next stream started; its server hears the caller from about 70 ms later."""
    spoke_s: float | None
    """When its audio first came; None if never."""
    cut_ms: float
    """How much of the stream before had not been played."""

    @property
    def deaf_s(self) -> float:
        """How long no server heard the caller."""
        return self.started_s - self.ended_s

    @property
    def silent_s(self) -> float | None:
        """How long the caller heard no server; None if none came any more."""
        return None if self.spoke_s is None else self.spoke_s - self.ended_s


def two_voices(voices: Sequence[Voice], *, unheard: bool = False) -> list[TwoVoices]:
    """Find every pair of streams of which the earlier spoke once the later had begun to.

    Args:
        voices: Of one call.
        unheard: Count also what a server sent and nobody could hear, because Twilio had ended the
            stream or nothing passed on it: what a worker that believes that it owns a call does.
    """
    found = []
    ordered = sorted(voices, key=lambda voice: voice.started_s)
    for earlier, later in combinations(ordered, 2):
        begun = _ends(later, unheard=unheard)
        spoke = _ends(earlier, unheard=unheard)
        if begun is not None and spoke is not None and spoke[1] > begun[0]:
            found.append(TwoVoices(earlier, later, begun[0], spoke[1]))
    return found


def _ends(voice: Voice, *, unheard: bool) -> tuple[float, float] | None:
    kinds = (voice.heard, voice.unheard) if unheard else (voice.heard,)
    stretches = [stretch for kind in kinds for stretch in kind.stretches]
    if not stretches:
        return None
    return min(start for start, _ in stretches), max(end for _, end in stretches)


def stream_gaps(
    voices: Sequence[Voice], asked: Sequence[tuple[float, float | None]]
) -> tuple[StreamGap, ...]:
    """Look at what was between the streams of a call, those opened beside it left out.

    Args:
        voices: Of one call.
        asked: When Twilio asked for documents, and when it was answered, oldest first.
    """
    own = sorted((v for v in voices if not v.second), key=lambda voice: voice.started_s)
    gaps = []
    for before, after in pairwise(own):
        ended_s = after.started_s if before.ended_s is None else before.ended_s
        question = next(
            ((at, answered) for at, answered in asked if ended_s <= at <= after.started_s),
            (None, None),
        )
        gaps.append(
            StreamGap(
                before=before,
                after=after,
                ended_s=ended_s,
                asked_s=question[0],
                answered_s=question[1],
                started_s=after.started_s,
                spoke_s=after.first_s,
                cut_ms=before.cut_ms,
            )
        )
    return tuple(gaps)
