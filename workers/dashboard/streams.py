"""The streams of a call in words: who served each, how it ended, who went on with the call."""

from __future__ import annotations

from agent.conversation.record import CallRecord, EndReason, StreamRecord
from workers.dashboard.story import StreamChange, Tone, end_of, long

# Of a worker's name, which begins with its host's: room for the rest, which no other has.
WORKER_LETTERS = 24

# What differs from the words for the end of a call: somebody went on, or was to.
_LEFT: dict[EndReason | None, tuple[Tone, str]] = {
    EndReason.HANDED_OVER: ("good", "Handed over to another worker"),
    EndReason.TAKEN_OVER: ("odd", "Taken over by another worker, this one fell silent"),
    None: ("bad", "Its worker died or fell silent"),
}


def left_of(stream: StreamRecord) -> tuple[Tone, str]:
    """How grave the end of a stream in the middle of a call is, and the end in a few words."""
    return _LEFT.get(stream.end_reason) or end_of(stream.end_reason)


def stream_end(record: CallRecord, number: int) -> tuple[Tone, str]:
    """The same of the stream with this number, counted from 1, wherever in the call it stands."""
    stream = record.streams[number - 1]
    if number < len(record.streams):
        return left_of(stream)
    if stream.end_reason is None and stream.ended_s is None and record.end_reason is None:
        return "good", "It goes on"
    return end_of(stream.end_reason)


def change_words(change: StreamChange) -> str:
    """Why a stream ended, where the call went on and how much later."""
    before, after = change.before, change.stream
    if after.worker and after.worker == before.worker:
        where = " at the same worker"
    else:
        where = f" at {after.worker}" if after.worker else ""
    pause = ""
    if before.ended_s is not None:
        pause = f" after {long(max(0.0, after.started_s - before.ended_s))}"
    return f"{left_of(before)[1]}; stream {change.number}{where}{pause}"


def workers_of(record: CallRecord) -> list[str]:
    """The workers that have served a call, each once, in the order they came."""
    return list(dict.fromkeys(stream.worker for stream in record.streams if stream.worker))


def shortened(worker: str, letters: int = WORKER_LETTERS) -> str:
    """A worker's name; of a long one the end."""
    return worker if len(worker) <= letters else f"…{worker[1 - letters :]}"
