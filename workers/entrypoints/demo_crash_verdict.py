"""What must come of a call whose worker was killed, and what the loss has cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agent.conversation.record import CallRecord, EndReason, MoveCause
from workers.dashboard.story import long
from workers.twin import speech
from workers.twin.live_api.session_log import SessionLog
from workers.twin.twilio_api.result import CallResult

TOOLS = ["order_status", "end_call"]
"""What the model calls, each once."""
RIGHT_ANSWER = "agent_cake_your_number"
"""What a model says that still knows what it was told before the kill."""


@dataclass(frozen=True, slots=True)
class Killed:
    """A worker that was killed while it served the call."""

    worker: str
    at: float
    """By the monotonic clock, which the twins have, too."""


def finished_turns(logs: Sequence[SessionLog], before: float) -> list[str]:
    """Words of all turns that a side had finished before a moment."""
    said = [
        turn.text
        for log in logs
        for turn in log.said
        if turn.completed_at is not None and turn.completed_at < before
    ]
    return [*said, *(turn.text for log in logs for turn in log.heard if turn.at < before)]


def next_session(logs: Sequence[SessionLog], killed: Killed) -> SessionLog | None:
    """The Live connection with which the call went on; None where it did not.

    Not one that was dialled ahead and never used.
    """
    later = (log for log in logs if log.opened_at > killed.at)
    return next((log for log in later if log.audio_frames or log.texts or log.handle), None)


def what_went_wrong(
    record: CallRecord, result: CallResult, logs: Sequence[SessionLog], killed: Killed
) -> list[str]:
    """Say what did not go as planned; nothing where all of it did."""
    wrong = []
    if record.end_reason is not EndReason.AGENT_HUNG_UP:
        wrong.append("the agent did not hang up")
    served_by = [stream.worker for stream in record.streams]
    if len(served_by) != 2 or served_by[0] != killed.worker or served_by[1] in ("", killed.worker):
        wrong.append(f"the streams were served by {served_by}, not by {killed.worker} and another")
    wrong += _memory(logs, killed)
    heard = " ".join(turn.heard for turn in record.turns if turn.speaker == "agent")
    if speech.line(RIGHT_ANSWER).text not in heard:
        wrong.append("the agent did not know the order number any more")
    asked = [str(call.get("name")) for log in logs for call in log.tool_calls]
    for whose, names in (
        ("the model called", asked),
        ("on the record are", [tool.name for tool in record.tools if tool.outcome == "ok"]),
    ):
        if names != TOOLS:
            wrong.append(f"{whose} the tools {names}, not {TOOLS}")
    if result.two_voices(unheard=True):
        wrong.append("two workers spoke at once")
    return wrong


def _memory(logs: Sequence[SessionLog], killed: Killed) -> list[str]:
    after = next_session(logs, killed)
    if after is None:
        return ["no Live connection was opened after the kill"]
    wrong = []
    if after.resumed_from is None:
        wrong.append("the session was not resumed by its handle")
    held = " ".join([after.system_instruction, *(text for _, text in after.memory)])
    known = " ".join(held.split())
    finished = finished_turns(logs, killed.at)
    lost = [text for text in finished if " ".join(text.split()) not in known]
    return [*wrong, *(f"the model does not know any more: {text!r}" for text in lost)]


def what_it_cost(
    record: CallRecord, result: CallResult, logs: Sequence[SessionLog], killed: Killed
) -> list[str]:
    """Say in sentences how long the caller was alone, by the record and by both twins."""
    told = []
    move = next((move for move in record.moves if move.cause is MoveCause.TAKEOVER), None)
    if move is not None:
        told.append(
            f"By the record the caller was owed something to hear for {long(move.gap_ms / 1000)};"
            f" {move.lost_ms:.0f} ms of their speech were lost."
        )
    after = next_session(logs, killed)
    if result.stream_gaps:
        gap = result.stream_gaps[0]
        parts = [f"had another stream after {long(gap.deaf_s)}"]
        if gap.asked_s is not None:
            parts.insert(0, f"asked what is next after {long(gap.asked_s - gap.ended_s)}")
        spoke = "never" if gap.silent_s is None else f"after {long(gap.silent_s)}"
        told.append(
            f"When the stream had ended, Twilio {' and '.join(parts)};"
            f" the caller heard the agent again {spoke}."
        )
    if after is not None and after.arrivals:
        told.append(
            f"The model heard the caller again {long(after.arrivals[0] - killed.at)}"
            " after the kill."
        )
    return told
