"""What one call of a drill left behind, from both ends of it, as plain data for the judge.

Times count seconds or milliseconds since the telephone began to ring; only those in the worker's
own record count from the start of its stream, ``stream_s``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.conversation.record import CallRecord, MoveRecord

FRAME_MS = 20
# A splice puts a frame's place out by up to 4 ms (position_code).
_PLACE_MS = 8
# Two loud stretches nearer than this are one utterance: shorter than any model's end of speech.
_PAUSE_MS = 200


@dataclass(frozen=True, slots=True)
class Coded:
    """One 20 ms frame at the phone that carried a number."""

    at_ms: float
    code: int


@dataclass(frozen=True, slots=True)
class Run:
    """Frames without a hole whose numbers follow each other."""

    start_ms: float
    end_ms: float
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Connected:
    """One Live connection, as the twin saw it."""

    number: int
    opened_s: float
    closed_s: float | None = None
    """None while it was still open when everything had ended."""
    ready: bool = True
    resumed: bool = False
    caller_codes: tuple[int, ...] = ()
    """Numbers of the caller's frames in the order in which they arrived."""
    instruction: str = ""
    texts: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    """Turns of the conversation so far that it was given, each with who spoke before it."""
    memory: tuple[str, ...] = ()
    """What the model knew at the end, restored or said since."""
    tool_answers: tuple[str, ...] = ()
    stray_answers: tuple[str, ...] = ()
    """Answers to calls that this connection had never made."""

    @property
    def told(self) -> str:
        """Everything the worker told in words."""
        return "\n".join((self.instruction, *self.history, *self.texts))


@dataclass(frozen=True, slots=True)
class Execution:
    """One run of the slow tool, told by the tool itself."""

    key: str
    result: str
    finished: bool


@dataclass(frozen=True, slots=True)
class Observed:
    """One call."""

    record: CallRecord
    connections: tuple[Connected, ...] = ()
    refused_dials: int = 0
    stream_s: float = 0.0
    """When the media stream began."""
    first_streamed: int = 0
    """Number of the first frame that the phone sent on the stream."""
    spoken: tuple[Coded, ...] = ()
    """What the caller sent, quiet frames too."""
    loud: frozenset[int] = frozenset()
    """Numbers of the frames in which the caller spoke."""
    heard: tuple[Coded, ...] = ()
    """What the caller heard of the model."""
    noises_ms: tuple[tuple[float, float], ...] = ()
    """Sound on the stream that the model did not make: fillers."""
    said: tuple[str, ...] = ()
    """What the carrier's own voice said."""
    bridged: bool = False
    """Whether the caller was put through to somebody who answered."""
    executions: tuple[Execution, ...] = ()
    left_open: tuple[str, ...] = ()
    """What was still open when the call was over."""
    ended_ms: float = 0.0
    files: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """What was left in the folder: kind and path."""

    @property
    def moves(self) -> Sequence[MoveRecord]:
        """The reset reports."""
        return self.record.moves

    @property
    def dials(self) -> int:
        """How often a connection was dialled."""
        return len(self.connections) + self.refused_dials

    def at_phone_ms(self, record_s: float) -> float:
        """Turn a time of the worker's record into one of the phone."""
        return (record_s + self.stream_s) * 1000


def runs(frames: Iterable[Coded]) -> list[Run]:
    """Join frames that follow each other in number and in time."""
    found: list[Run] = []
    for frame in frames:
        last = found[-1] if found else None
        end_ms = frame.at_ms + FRAME_MS
        if (
            last is not None
            and frame.code == last.last + 1
            and abs(frame.at_ms - last.end_ms) <= _PLACE_MS
        ):
            found[-1] = Run(last.start_ms, end_ms, last.first, frame.code)
        else:
            found.append(Run(frame.at_ms, end_ms, frame.code, frame.code))
    return found


def utterances(observed: Observed) -> list[Run]:
    """Return what the caller said: loud frames, and the short pauses between them."""
    found: list[Run] = []
    for run in runs(frame for frame in observed.spoken if frame.code in observed.loud):
        last = found[-1] if found else None
        if last is not None and run.start_ms - last.end_ms <= _PAUSE_MS:
            found[-1] = Run(last.start_ms, run.end_ms, last.first, run.last)
        else:
            found.append(run)
    return found
