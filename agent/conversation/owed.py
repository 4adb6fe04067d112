"""What a session owes the caller that goes on with a call from where another one was lost.

Nothing is owed where nobody was speaking and nothing was asked: then the caller hears nothing of
it. What the caller said last, and no transcript has told, is lost with the worker that heard it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from agent.checkpoint import SessionCheckpoint
from agent.conversation.heard import TOLERANCE_MS
from agent.conversation.record import ToolRecord, TurnRecord


class Owed(Enum):
    """What the caller is to hear first."""

    NOTHING = "nothing"
    GREETING = "greeting"
    """They have heard nothing at all yet."""
    REST = "rest"
    """Of what the agent was saying."""
    ANSWER = "answer"
    """To what they have said, or of a function they wait for."""
    QUESTION = "question"
    """What it was that they said: it was not understood to its end."""


def owed(
    history: Sequence[TurnRecord],
    tools: Sequence[ToolRecord],
    checkpoint: SessionCheckpoint,
    *,
    now_s: float,
) -> Owed:
    """Say what the caller is owed.

    Args:
        history: What was said until then, and how much of it was heard.
        tools: The functions called until then.
        checkpoint: The newest of the session that was lost.
        now_s: When the call goes on, since it was answered.
    """
    last = next((turn for turn in reversed(history) if turn.heard.strip()), None)
    if last is None:
        return Owed.GREETING
    newest = history[-1]
    if last.speaker == "agent" and not last.interrupted:
        goes_on = checkpoint.generating and last is newest
        if goes_on or _is_cut(last, now_s):
            return Owed.REST
    # An answer of which nothing was heard is as good as none.
    unheard = last is not newest and newest.speaker == "agent" and not newest.interrupted
    if checkpoint.caller_speaking:
        return Owed.QUESTION
    if checkpoint.answer_due or checkpoint.generating or unheard:
        understood = last.speaker == "caller" or unheard or _waits_for_function(tools, last)
        return Owed.ANSWER if understood else Owed.QUESTION
    return Owed.NOTHING


def _is_cut(turn: TurnRecord, now_s: float) -> bool:
    """Whether some of its audio has never been played; what is noted may run ahead of that."""
    missing_ms = turn.said_ms - turn.heard_ms
    return missing_ms > TOLERANCE_MS or turn.started_s + turn.said_ms / 1000 > now_s


def _waits_for_function(tools: Sequence[ToolRecord], last: TurnRecord) -> bool:
    return any(
        tool.outcome != "cancelled" and max(tool.started_s, tool.ended_s) >= last.started_s
        for tool in tools
    )
