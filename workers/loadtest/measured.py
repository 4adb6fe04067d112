"""What callers experienced: of one call as data, of many as sums that can be added up.

Times of a call count seconds from the moment its telephone began to ring. Delays are kept in
histograms (HdrHistogram), which machines that shared a test send each other: percentiles are read
from their sum, never averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from workers.loadtest.plan import LineTrouble, Persona


class Ending(StrEnum):
    """How a call ended, as the caller has it."""

    COMPLETED = "completed"
    """The caller hung up when they meant to, or the agent after a goodbye."""
    REFUSED = "refused"
    """There never was a stream."""
    DROPPED = "dropped"
    """It ended before that."""
    STOPPED = "stopped"
    """The test was broken off; the caller hung up early."""


@dataclass(frozen=True, slots=True)
class Answered:
    """One answer: what the caller waited for it."""

    asked_s: float
    """When the caller's last loud frame ended."""
    delay_ms: float
    model_ms: float | None = None
    """How much of that the simulated model took; None where it cannot be told."""


@dataclass(frozen=True, slots=True)
class BargedIn:
    """One interruption: how long the agent went on."""

    began_s: float
    stop_ms: float


@dataclass(frozen=True, slots=True)
class Gap:
    """Silence in the middle of an utterance of the agent's."""

    at_s: float
    ms: float


@dataclass(frozen=True, slots=True)
class FramesCounted:
    """Frames of 20 ms in one direction, by their numbers.

    Attributes:
        sent: Between the first and the last that came through; of the caller's also those before
            and after, but for the call's last second.
        lost: Of these, those that did not.
        twice: Those that came through more than once.
    """

    sent: int = 0
    lost: int = 0
    twice: int = 0


@dataclass(frozen=True, slots=True)
class CallMeasured:
    """One call from its caller's seat.

    Attributes:
        number: Of the call within the test, from 1.
        sid: Call SID.
        persona: Who called.
        lines: What was wrong with the line.
        began_s: When it rang, in seconds of the test.
        calls_at_once: How many there were then, this one included.
        ending: How it ended, and ``reason`` in words where it was not well.
        answered_s: When it was answered; None: never.
        duration_s: From the ring to the end.
        first_word_ms: From the answer to the first sound; None: there was none.
        answers: In order.
        unanswered: Questions that no sound came to before the next one, or the end.
        barge_ins: In order.
        gaps: In order.
        reset_gaps_ms: By the worker's own reports; empty where it is not ours.
        caller_frames: What the model was sent of the caller; zeros where it cannot be told.
        agent_frames: What the caller heard of the model.
        loudness_dbfs: RMS of what the agent said, while it spoke; None: it said nothing.
        late_frames: Of what this caller sent, frames that left more than 5 ms after their time.
        caller_spoke: From when until when, utterance by utterance; empty where it was not kept.
        agent_spoke: Likewise what the caller heard of the agent.
    """

    number: int
    sid: str
    persona: Persona
    lines: tuple[LineTrouble, ...]
    began_s: float
    calls_at_once: int
    ending: Ending
    reason: str = ""
    answered_s: float | None = None
    duration_s: float = 0.0
    first_word_ms: float | None = None
    answers: tuple[Answered, ...] = ()
    unanswered: int = 0
    barge_ins: tuple[BargedIn, ...] = ()
    gaps: tuple[Gap, ...] = ()
    reset_gaps_ms: tuple[float, ...] = ()
    caller_frames: FramesCounted = FramesCounted()
    agent_frames: FramesCounted = FramesCounted()
    loudness_dbfs: float | None = None
    late_frames: int = 0
    caller_spoke: tuple[tuple[float, float], ...] = ()
    agent_spoke: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class WorkerSample:
    """One look at the worker under test, all its processes together.

    Attributes:
        at_s: Of the test.
        calls: Calls under way by its own count.
        cpu_s: CPU time so far.
        memory_mib: Resident.
        loop_lag_ms: Worst lateness of its event loops since the last look; None: not told.
        queued: What waits in its queues: journal and log records; None: not told.
        open_files: File descriptors; None: not told.
    """

    at_s: float
    calls: int
    cpu_s: float
    memory_mib: float
    loop_lag_ms: float | None = None
    queued: int | None = None
    open_files: int | None = None


@dataclass(frozen=True, slots=True)
class OwnSlip:
    """How late the generator itself was: what it measured is good to about that.

    Attributes:
        frames: Ticks that were looked at.
        p99_ms: Of the lateness of its 20 ms ticks.
        worst_ms: Of them.
        late_share: Of the ticks, those more than 5 ms late.
    """

    frames: int
    p99_ms: float
    worst_ms: float
    late_share: float
