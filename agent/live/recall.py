"""What the next connection of a session has to be told, beside what a handle makes it remember.

A handle restores the conversation up to the last turn before it came. What came after is told in
the system instruction, which every model takes; and because each setup brings its own instruction,
what was told once is told again at every later resume of the same session. A fresh session is told
everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agent.conversation.prompt import Opening, go_on, join_newest, tool_line, turn_line
from agent.conversation.record import ToolRecord
from agent.conversation.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Brief:
    """An instruction for one dial, and what it tells."""

    instruction: str
    lines: tuple[str, ...] = ()


class Recall:
    """Keeps what a session's connections know.

    Args:
        opening: How the session was opened.
        transcript: What was said and heard.
        tools: All function calls so far.
        now_s: Seconds since the call was answered, as in the records.
    """

    def __init__(
        self,
        opening: Opening,
        transcript: Transcript,
        tools: Sequence[ToolRecord],
        now_s: Callable[[], float],
    ) -> None:
        self._opening = opening
        self._transcript = transcript
        self._tools = tools
        self._now_s = now_s
        # What the opening's instruction tells, and a handle would not bring back.
        self._told = tuple(turn_line(turn) for turn in opening.history)
        if opening.greeting is not None and opening.greeting_audio is not None:
            self._told += (f"You: {opening.greeting}",)
        self._mark: object = None
        self._mark_s = 0.0
        self._moved = False

    def handle_came(self) -> None:
        """The server took a snapshot: it knows everything up to here."""
        self._mark = self._transcript.mark()
        self._mark_s = self._now_s()

    def brief(
        self, *, resumed: bool, cut_off: bool = False, orphans: frozenset[str] = frozenset()
    ) -> Brief:
        """Compose what a connection is told.

        Args:
            resumed: It comes up by the newest handle; else it knows nothing.
            cut_off: The agent had not finished when the connection before was left.
            orphans: Ids of function calls that still run.
        """
        if not self._moved and not self._transcript.history() and not self._tools:
            # Nothing has happened yet: the opening says it all, and may be said again.
            return Brief(self._opening.system_instruction, self._told)
        since_s = self._mark_s if resumed else float("-inf")
        turns = self._transcript.history(self._mark if resumed else None)
        entries = [
            (
                turn.started_s,
                turn_line(turn, cut_off=cut_off and turn is turns[-1] and turn.speaker == "agent"),
            )
            for turn in turns
        ]
        entries += [
            (tool.started_s, tool_line(tool, running=tool.call_id in orphans))
            for tool in self._tools
            if tool.ended_s >= since_s or tool.call_id in orphans
        ]
        entries.sort(key=lambda entry: entry[0])
        before = self._told if resumed else tuple(turn_line(turn) for turn in self._opening.history)
        lines = (*before, *(line for _, line in entries))
        return Brief(go_on(self._opening, join_newest(lines)), lines)

    def opened(self, brief: Brief) -> None:
        """A connection came up with this brief."""
        self._told = brief.lines
        self._moved = True
