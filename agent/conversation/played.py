"""What can have been heard of a stream whose end nobody was there to note.

A worker that dies notes no more what is played; Twilio drops what it still had to play when the
socket goes. So a turn was heard as far as there was time for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from agent.conversation.heard import DEFAULT_PACE_MS, TOLERANCE_MS, SpokenText, heard_text
from agent.conversation.record import TurnRecord
from agent.conversation.turns import squeeze


def heard_until(
    turns: Sequence[TurnRecord], at_s: float, *, since_s: float = 0.0
) -> list[TurnRecord]:
    """Return the turns with what the caller can have heard of the agent's until the stream ended.

    Args:
        turns: As they were last noted; not changed.
        at_s: When the stream ended, since the call was answered.
        since_s: When it began; turns before it are left as they are.
    """
    return [
        turn
        if turn.speaker == "caller" or turn.interrupted or turn.started_s < since_s
        else _played(turn, at_s)
        for turn in turns
    ]


def _played(turn: TurnRecord, at_s: float) -> TurnRecord:
    time_ms = max(0.0, at_s - turn.started_s) * 1000
    heard_ms = min(turn.said_ms, time_ms)
    if time_ms >= turn.said_ms and turn.heard_ms >= turn.said_ms - TOLERANCE_MS:
        # Noted for good; its text may go beyond its audio, where a connection was lost.
        return turn
    spoken = SpokenText()
    spoken.append(turn.said)
    text = heard_text(
        spoken,
        heard_ms=heard_ms,
        audio_ms=turn.said_ms,
        complete=True,
        pace_ms=DEFAULT_PACE_MS,
    )
    ended_s = turn.started_s + heard_ms / 1000
    return replace(turn, heard=squeeze(text), heard_ms=heard_ms, ended_s=ended_s)
