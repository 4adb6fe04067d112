"""Turns being assembled: a record, the text so far, and where the agent's audio lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from agent.conversation.heard import TOLERANCE_MS, SpokenText, heard_text
from agent.conversation.record import TurnRecord

# A hole between two pieces of a turn's audio beyond this means that something else was played.
_FOREIGN_AUDIO_MS = 40.0


class PlayoutClock(Protocol):
    """What the caller has heard, on a timeline of all agent audio ever handed in."""

    def offered_ms(self) -> float:
        """Milliseconds of agent audio handed in so far; never goes back."""

    def heard_ms(self, since_ms: float, until_ms: float) -> float:
        """How much of the offered interval [since, until) the caller has heard."""

    def pending_ms(self) -> float:
        """Offered, not cleared, not yet heard."""


@dataclass(slots=True)
class CallerTurn:
    """A run of input transcripts."""

    record: TurnRecord
    spoken: SpokenText = field(default_factory=SpokenText)
    serial: int = 0
    """Which turn it is, whatever is put in before it."""
    said_again: bool = False
    """Its audio goes to another connection, whose transcript replaces this one."""

    def update(self) -> None:
        """Bring the record up to date."""
        self.record.said = self.record.heard = squeeze(self.spoken.text)


@dataclass(slots=True)
class AgentTurn:
    """What the agent says in one go."""

    record: TurnRecord
    spoken: SpokenText = field(default_factory=SpokenText)
    spans: list[tuple[float, float]] = field(default_factory=list)
    """Parts of the playout's timeline that hold this turn's audio, in order."""
    serial: int = 0
    """Which turn it is, whatever is put in before it."""
    began_s: float = 0.0
    """When its first audio arrived; its first text while there is none."""
    complete: bool = False
    """The model has produced all of it."""
    closed_s: float | None = None
    late_pieces: list[str] = field(default_factory=list)
    """Text that came after the turn was closed; the next turn's, if that begins right away."""
    settled: bool = False
    """What was heard of it cannot change any more."""

    def add_text(self, text: str, *, finished: bool) -> None:
        """Add a piece of its transcript."""
        if self.closed_s is not None and text:
            self.late_pieces.append(text)
            self.settled = False
        self.spoken.append(text, self.record.said_ms, finished=finished)

    def give_up_late_text(self) -> list[str]:
        """Return what came after its end, to be the next turn's; not if that is all there is."""
        pieces, self.late_pieces = self.late_pieces, []
        if len(pieces) == len(self.spoken.anchors):
            return []
        self.spoken.take_back(len(pieces))
        self.settled = False
        return pieces

    def add_audio(self, since_ms: float, until_ms: float) -> None:
        """Note where on the playout's timeline a piece of its audio lies."""
        if self.spans and since_ms - self.spans[-1][1] <= _FOREIGN_AUDIO_MS:
            self.spans[-1] = (self.spans[-1][0], until_ms)
        else:
            self.spans.append((since_ms, until_ms))
        self.record.said_ms += until_ms - since_ms

    def heard_ms(self, playout: PlayoutClock) -> float:
        """How much of its audio the caller has heard."""
        heard_ms = sum(playout.heard_ms(since, until) for since, until in self.spans)
        return min(heard_ms, self.record.said_ms)

    def update(self, playout: PlayoutClock, pace_ms: float) -> None:
        """Bring the record up to date with what was heard until now."""
        record = self.record
        if self.settled:
            return
        record.heard_ms = self.heard_ms(playout)
        record.said = squeeze(self.spoken.text)
        record.heard = squeeze(
            heard_text(
                self.spoken,
                heard_ms=record.heard_ms,
                audio_ms=record.said_ms,
                complete=self.complete,
                pace_ms=pace_ms,
            )
        )
        record.ended_s = max(record.ended_s, record.started_s + record.heard_ms / 1000)

    def expected(self, pace_ms: float) -> str:
        """The words the caller will have heard once everything queued has been played."""
        record = self.record
        if self.settled or record.interrupted:
            return record.heard
        return squeeze(
            heard_text(
                self.spoken,
                heard_ms=record.said_ms,
                audio_ms=record.said_ms,
                complete=self.complete,
                pace_ms=pace_ms,
            )
        )

    def is_heard(self) -> bool:
        """Whether, as of the last ``update``, all there will ever be of it was heard."""
        return self.complete and self.record.heard_ms >= self.record.said_ms - TOLERANCE_MS


def squeeze(text: str) -> str:
    """Return ``text`` on one line, with single spaces."""
    return " ".join(text.split())
