"""What the next connection of a session has to be told, beside what a handle makes it remember.

A handle restores the conversation up to the last turn before it came. What came after is told in
the system instruction, which every model takes; and because each setup brings its own instruction,
what was told there once is told again at every later resume of the same session. A fresh session is
told everything: the running summary, and word for word what it does not cover yet, in messages
where the model takes those. Facts, summary and notes stand in every instruction but the first,
because compression cuts the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from agent.context.facts import Facts
from agent.context.notes import Notes
from agent.context.seed import Entry, SeedTurn, seed_in_instruction, seed_in_turns
from agent.conversation.prompt import (
    Opening,
    Remembered,
    go_on,
    remind,
    tool_line,
    turn_line,
)
from agent.conversation.record import SummaryRecord, ToolRecord, TurnRecord
from agent.conversation.transcript import Transcript
from agent.live.known import Key, Known
from agent.live.models import SeedPath

VERBATIM_TURNS = 4
"""The newest turns stay word for word: late transcripts may still change them, and a conversation
goes on from its last words."""
_MAX_RETOLD = 400
"""Of the turns that the summary covers: a fresh session is told the newest, as far as its bound of
characters reaches, and nobody has to read an hour again for that."""


@dataclass(frozen=True, slots=True)
class Brief:
    """What one dial tells."""

    instruction: str
    turns: tuple[SeedTurn, ...] = ()
    """Of a fresh session whose model takes history in messages."""
    told: frozenset[Key] = frozenset()
    """What the instruction tells, to be told again at the next resume."""
    version: tuple[int, int] = (0, 0)
    """Of the summary with the facts, and of what operators and functions have added."""


@dataclass(frozen=True, slots=True)
class _Item:
    key: Key
    entry: Entry
    place: int | None = None
    """Of a turn."""
    known_s: float | None = None
    """When a function's result was known; None where it runs."""

    def known_by(self, at_s: float) -> bool:
        """Whether it is a function that was over by then."""
        return self.known_s is not None and self.known_s <= at_s


class Recall:
    """Keeps what a session's connections know.

    Args:
        opening: How the session was opened.
        transcript: What was said and heard.
        tools: All function calls so far.
        now_s: Seconds since the call was answered, as in the records.
        facts: Pinned facts.
        notes: What operators and functions have the model know.
        summary: The running summary as it is now, and how often it has changed.
        max_chars: Bound on what a fresh session is told word for word.
    """

    def __init__(
        self,
        opening: Opening,
        transcript: Transcript,
        tools: Sequence[ToolRecord],
        now_s: Callable[[], float],
        *,
        facts: Facts | None = None,
        notes: Notes | None = None,
        summary: Callable[[], tuple[SummaryRecord | None, int]] = lambda: (None, 0),
        max_chars: int = 24_000,
    ) -> None:
        self._opening = opening
        self._transcript = transcript
        self._tools = tools
        self._now_s = now_s
        self._facts = facts or Facts()
        self._summary = summary
        self._max_chars = max_chars
        self._notes = notes or Notes()
        self.goes_on = bool(
            opening.history
            or opening.tools
            or opening.checkpoint
            or self._facts.records
            or self._notes.version
        )
        """An earlier stream of the call has left something to be told to the first connection."""
        self.known = Known(transcript, len(opening.history), opening.checkpoint)
        """What the newest handle knows, and what it would not bring back."""
        if opening.greeting is not None and opening.greeting_audio is not None:
            # It is the first that is said.
            self.known.opened(frozenset({("turn", 1)}))
        # Of what an earlier stream was told the first connection of this one is told at its dial.
        self._told_version = (0, 0)
        self._cut_s = 0.0 if opening.checkpoint is None else opening.checkpoint.handle_s
        self._moved = False

    @property
    def version(self) -> tuple[int, int]:
        """Changes with what an instruction composed now would hold beyond the conversation."""
        return self._summary()[1] + self._facts.version, self._notes.version

    @property
    def summary_untold(self) -> bool:
        """Whether the connection's instruction is behind the summary or the facts."""
        return self._told_version[0] != self.version[0]

    @property
    def updates_untold(self) -> bool:
        """Whether there are notes or an instruction that the connection does not know."""
        return self._told_version[1] != self._notes.version

    def handle_came(self) -> None:
        """The server took a snapshot: it knows everything up to here."""
        self.known.handle_came(self._now_s())

    def unfolded(self, covered: int) -> tuple[int, list[str]]:
        """Return what the summary could cover beyond ``covered`` turns.

        Returns:
            How many turns it would cover then, and their lines with those of the functions.
        """
        until = max(covered, self._count() - VERBATIM_TURNS)
        if until == covered:
            return covered, []
        turns = self._turns(covered, cut_off=False)
        ends_s = next((i.entry.at_s for i in turns if (i.place or 0) >= until), float("inf"))
        starts_s = turns[0].entry.at_s if turns and covered else float("-inf")
        items = [item for item in turns if (item.place or 0) < until]
        items += [item for item in self._tool_items(since_s=starts_s) if item.known_by(ends_s)]
        items.sort(key=lambda item: item.entry.at_s)
        return until, [item.entry.line for item in items if item.entry.line]

    def brief(
        self,
        *,
        resumed: bool,
        path: SeedPath = SeedPath.SYSTEM_INSTRUCTION,
        cut_off: bool = False,
        orphans: frozenset[str] = frozenset(),
    ) -> Brief:
        """Compose what a connection is told.

        Args:
            resumed: It comes up by the newest handle; else it knows nothing.
            path: How its model takes what was said before, where it knows nothing.
            cut_off: The agent had not finished when the connection before was left.
            orphans: Ids of function calls that still run.
        """
        if self._nothing_happened():
            # The opening says it all, and may be said again.
            return Brief(
                self._opening.system_instruction, told=self.known.told, version=self.version
            )
        if resumed:
            items = self._missing(self._items(cut_off=cut_off, orphans=orphans))
            return self._instructed(items)
        items = self._items(cut_off=cut_off, orphans=orphans, everything=True)
        if path is SeedPath.SYSTEM_INSTRUCTION:
            return self._instructed(items)
        # That a function runs and must not be called again is no part of what was said.
        running = [item for item in items if item.key[1] in orphans]
        seed = seed_in_turns(
            [item.entry for item in items if item.key[1] not in orphans],
            summary=self._summary()[0],
            max_chars=self._max_chars,
        )
        lines = [*seed.instruction_lines, *(item.entry.line for item in running)]
        told = frozenset(item.key for item in running)
        return Brief(self._compose(lines), seed.turns, told, self.version)

    def refreshed(self) -> Brief:
        """Compose an instruction for the connection that serves, in place of its own."""
        return self._instructed([item for item in self._items() if item.key in self.known.told])

    def _instructed(self, items: Sequence[_Item]) -> Brief:
        seed = seed_in_instruction(
            [item.entry for item in items], summary=self._summary()[0], max_chars=self._max_chars
        )
        told = frozenset(item.key for item in items)
        return Brief(self._compose(seed.instruction_lines), (), told, self.version)

    def _compose(self, lines: Sequence[str]) -> str:
        instruction = self._notes.instruction
        if instruction is None:
            instruction = self._opening.instruction or self._opening.system_instruction
        return go_on(instruction, self._remembered(lines))

    def _remembered(self, lines: Sequence[str]) -> Remembered:
        return Remembered(self._facts.lines(), lines, self._notes.texts)

    def reminder(self) -> str:
        """Word facts, summary, notes and a changed instruction as a message of its own."""
        seed = seed_in_instruction((), summary=self._summary()[0], max_chars=self._max_chars)
        text = remind(self._remembered(seed.instruction_lines))
        changed = self._notes.instruction
        return text if changed is None else f"{changed}\n\n{text}"

    def opened(self, brief: Brief) -> None:
        """A connection came up with this brief, or has been given it."""
        self.known.opened(brief.told)
        self._told_version = brief.version
        self._moved = True

    def reminded(self, version: tuple[int, int]) -> None:
        """The connection has been told a reminder; ``version`` as it was when that was worded."""
        self._told_version = version

    def _nothing_happened(self) -> bool:
        return not (
            self._moved
            or self.goes_on
            or len(self._transcript)
            or self._tools
            or self._notes.version
        )

    def _count(self) -> int:
        return len(self._opening.history) + len(self._transcript)

    def _items(
        self,
        *,
        cut_off: bool = False,
        orphans: frozenset[str] = frozenset(),
        everything: bool = False,
    ) -> list[_Item]:
        """What the summary does not cover, or everything there is, in order."""
        summary = self._summary()[0]
        covered = 0 if summary is None else summary.turns
        oldest = max(0, covered - _MAX_RETOLD) if everything else covered
        turns = self._turns(oldest, cut_off=cut_off)
        # A function belongs to the turns around its end: until then there is nothing to cover.
        first = next((item for item in turns if (item.place or 0) >= covered), None)
        since_s = float("-inf") if not covered else first.entry.at_s if first else float("inf")
        tools_since_s = since_s
        if everything:
            tools_since_s = turns[0].entry.at_s if oldest and turns else float("-inf")
        items = [*turns, *self._tool_items(orphans, since_s=min(tools_since_s, since_s))]
        items.sort(key=lambda item: item.entry.at_s)
        if not covered:
            return items
        return [
            replace(item, entry=replace(item.entry, covered=True))
            if item.known_by(since_s) or (item.place is not None and item.place < covered)
            else item
            for item in items
        ]

    def _turns(self, first: int, *, cut_off: bool) -> list[_Item]:
        """The turns of the call from a place on."""
        before = self._opening.history
        last = len(before) - 1 if cut_off and not len(self._transcript) else None
        items = [
            _turn_item(("before", place), place, turn, cut_off=place == last)
            for place, turn in enumerate(before[first:], start=first)
        ]
        past = self._transcript.history(max(0, first - len(before)))
        for turn in past:
            ends_cut_off = cut_off and turn is past[-1]
            items.append(
                _turn_item(
                    ("turn", turn.serial), len(before) + turn.place, turn.record, ends_cut_off
                )
            )
        return items

    def _tool_items(self, orphans: frozenset[str] = frozenset(), *, since_s: float) -> list[_Item]:
        """The functions whose results were known after ``since_s``, and those that run."""
        items: list[_Item] = []
        for kind, tools in (("tool before", self._opening.tools), ("tool", self._tools)):
            for tool in tools:
                # The result of one in ``orphans`` may have come, and has still to be told.
                running = kind == "tool" and (tool.call_id in orphans or _runs(tool))
                if running or tool.ended_s > since_s:
                    entry = Entry(tool.started_s, tool_line(tool, running=running), "tool")
                    known_s = None if running else tool.ended_s
                    if tool.outcome == "unknown":
                        # Its result never came: no handle from before the line was cut knows more.
                        known_s = max(tool.ended_s, self._cut_s)
                    items.append(_Item((kind, tool.call_id), entry, known_s=known_s))
        return items

    def _missing(self, items: Sequence[_Item]) -> list[_Item]:
        """Return what a session resumed by the newest handle does not know."""
        known = self.known
        known_turns, since_s = known.turns, known.since_s
        return [
            item
            for item in items
            if item.key in known.told
            or (item.place is not None and item.place >= known_turns)
            or (item.place is None and (item.known_s is None or item.known_s >= since_s))
        ]


def _turn_item(key: Key, place: int, turn: TurnRecord, cut_off: bool = False) -> _Item:
    line = turn_line(turn, cut_off=cut_off and turn.speaker == "agent")
    return _Item(key, Entry(turn.started_s, line, turn.speaker), place)


def _runs(tool: ToolRecord) -> bool:
    return tool.response is None and tool.outcome not in ("cancelled", "unknown")
