"""Keeps what the model of one session knows abreast of what it may lose.

The context is counted by the lifecycle's budget. Here the running summary is kept beside the call,
what a connection is told is composed, and when the server is about to cut turns that stand nowhere
else, the model is to be told what they said.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal

import structlog

from agent import events
from agent.context.budget import START_TOKENS_PER_S, ContextBudget, Fill
from agent.context.facts import Facts
from agent.context.keeper import SummaryKeeper
from agent.context.notes import Notes
from agent.context.text_model import TextModel
from agent.conversation.prompt import Opening
from agent.conversation.record import (
    ContextRecord,
    MoveCause,
    SummaryMade,
    SummaryRecord,
    ToolRecord,
    UpdateRecord,
)
from agent.conversation.transcript import Transcript
from agent.live.context_notes import ContextNotes
from agent.live.models import UpdatePath
from agent.live.recall import Brief, Recall
from agent.live.session_events import Opened, SessionEvent, UpdateWanted
from agent.spec import AgentSpec

# Of text; Google's own rule of thumb (ai.google.dev/gemini-api/docs/tokens).
_CHARS_PER_TOKEN = 4
# Of what a cut leaves: what was said lately must lie well within it.
_SAFE_SHARE = 0.75

OnSummary = Callable[[SummaryMade, SummaryRecord | None], None]

_log = structlog.get_logger()


class ContextKeeping:
    """What is remembered of a session, and how the model gets to know it.

    Args:
        spec: The agent.
        opening: How the session was opened.
        transcript: What was said and heard.
        tools: All function calls so far.
        budget: The size of the context.
        now_s: Seconds since the call was answered.
        spawn: Runs a task that ends with the session.
        facts: Pinned facts, which a tool adds to.
        notes: What operators and functions have the model know.
        summary: Of the call so far, where it goes on with a fresh session.
        text_model: Keeps the running summary; None keeps sentences with facts.
        on_summary: Takes what became of each attempt, and the summary there is now.
    """

    def __init__(
        self,
        *,
        spec: AgentSpec,
        opening: Opening,
        transcript: Transcript,
        tools: Sequence[ToolRecord],
        budget: ContextBudget,
        now_s: Callable[[], float],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
        facts: Facts | None,
        notes: Notes | None,
        summary: SummaryRecord | None,
        text_model: TextModel | None,
        on_summary: OnSummary | None,
    ) -> None:
        self._transcript = transcript
        self._budget = budget
        self._record = ContextNotes(budget, now_s)
        self._notes = notes or Notes()
        self._on_summary = on_summary
        self.recall = Recall(
            opening,
            transcript,
            tools,
            now_s,
            facts=facts,
            notes=self._notes,
            summary=lambda: (self._keeper.summary, self._keeper.version),
            max_chars=spec.context.seed_tokens * _CHARS_PER_TOKEN,
        )
        """What each connection is told."""
        self._keeper = SummaryKeeper(
            spec.context.summary,
            model=text_model,
            source=self.recall,
            spawn=spawn,
            now_s=now_s,
            summary=summary,
            on_made=self._summarised,
        )
        # What had been said in all when the model was last told what is remembered.
        self._told_at_tokens = 0.0
        self._turns = 0
        self._uncounted = False
        self._was_cut = False
        self._served = False
        self._history = opening.history

    @property
    def record(self) -> ContextRecord:
        """The size of the context so far, and what was done about it."""
        return self._record.record

    @property
    def summary(self) -> SummaryRecord | None:
        """The running summary, if there is one yet."""
        return self._keeper.summary

    @property
    def summary_tokens(self) -> int:
        """What the text model has cost."""
        return self._keeper.tokens

    def add_note(self, text: str, path: UpdatePath) -> UpdateRecord:
        """Have the model know a text from now on.

        Raises:
            ValueError: the text is empty or too long.
        """
        self._notes.add(text)
        return self._update("context", path)

    def replace_instruction(self, text: str, path: UpdatePath) -> UpdateRecord:
        """Put an instruction in place of the agent's own.

        Raises:
            ValueError: the text is empty or too long.
        """
        self._notes.replace_instruction(text)
        return self._update("instruction", path)

    # -- what happens --------------------------------------------------------------------------

    def serves(self, brief: Brief, *, resumed: bool, moved: bool) -> None:
        """A connection serves from now on; it was told its brief when it was opened."""
        restored = self._restored() if resumed and not self._served else []
        self._served = True
        self._budget.connected(
            instruction=brief.instruction,
            resumed=resumed and not restored,
            seed=[turn.text for turn in brief.turns],
            restored=restored,
        )
        self._told_at_tokens = self._budget.added_tokens
        if moved or self.recall.goes_on:
            self.recall.opened(brief)
            if not self.recall.updates_untold:
                self._record.told(by_move=True)

    def look(self, event: SessionEvent, path: UpdatePath) -> UpdateWanted | None:
        """Take in an event; return what the model should be told because of it.

        Args:
            event: What has happened.
            path: How this model is told something that asks for no answer.
        """
        match event:
            case Opened():
                self._record.sampled(reported=False)
                if self.recall.updates_untold:
                    # It came while this connection was being dialled.
                    return UpdateWanted(MoveCause.UPDATE, "there is a note for the model")
                return None
            case events.TurnCompleted():
                # Both sides' turns since the last one.
                for _ in range(len(self._transcript) - self._turns):
                    self._keeper.turn_over()
                self._turns = len(self._transcript)
                # Its count comes in the next moment, if one comes at all.
                counted, self._uncounted = not self._uncounted, True
                return None if counted else self._cut_near()
            case events.UsageReported(prompt_tokens) if prompt_tokens > 0:
                self._uncounted = False
                self._record.sampled(reported=True)
                was_cut, self._was_cut = self._was_cut, False
                if was_cut and path is UpdatePath.SYSTEM_CONTENT:
                    # A message is cut one day like any other; an instruction never is.
                    return UpdateWanted(MoveCause.CONTEXT, "the reminder may have been cut")
                return self._cut_near()
        return None

    def cut(self, before_tokens: int, after_tokens: int, *, ago_s: float) -> None:
        """The server has cut the oldest turns off."""
        _log.info("live.context_cut", before_tokens=before_tokens, after_tokens=after_tokens)
        self._record.cut(before_tokens, after_tokens, ago_s=ago_s)
        self._was_cut = True

    def instructed(self, brief: Brief) -> None:
        """The connection that serves has been given another instruction."""
        self.recall.opened(brief)
        self._budget.instruction_changed(brief.instruction)
        self._updated()

    def reminded(self, text: str, version: tuple[int, int]) -> None:
        """The connection that serves has been told a reminder, as it was at ``version``."""
        self.recall.reminded(version)
        self._budget.text(text)
        self._updated()

    def update_refused(self) -> None:
        """The connection was closed for what it was told last: the next one is told it."""
        self._record.untold()

    # -- how -----------------------------------------------------------------------------------

    def _restored(self) -> list[float]:
        """Seconds of speech that another worker's handle has restored, as far as a cut left it."""
        window = self._budget.window
        room_s = (window.trigger_tokens or window.window_tokens) / START_TOKENS_PER_S
        seconds: list[float] = []
        for turn in reversed(self._history[: self.recall.known.turns]):
            spoken_s = turn.said_ms / 1000 if turn.said_ms else turn.ended_s - turn.started_s
            room_s -= spoken_s
            if room_s < 0:
                break
            seconds.append(max(0.0, spoken_s))
        return seconds[::-1]

    def _cut_near(self) -> UpdateWanted | None:
        if self._budget.fill() is Fill.EASY:
            return None
        # What was said since the instruction was written is the newest of the context: a cut takes
        # none of it as long as there is less of it than a cut leaves.
        kept_tokens = self._budget.window.target_tokens
        added_tokens = self._budget.added_tokens - self._told_at_tokens
        if kept_tokens is None or added_tokens <= kept_tokens * _SAFE_SHARE:
            return None
        self._keeper.cut_near()
        if self._keeper.in_flight or not self.recall.summary_untold:
            return None
        return UpdateWanted(MoveCause.CONTEXT, "the context is about to be cut")

    def _update(self, kind: Literal["context", "instruction"], path: UpdatePath) -> UpdateRecord:
        return self._record.update(kind, path)

    def _updated(self) -> None:
        self._told_at_tokens = self._budget.added_tokens
        if not self.recall.updates_untold:
            self._record.told(by_move=False)

    def _summarised(self, made: SummaryMade) -> None:
        self._record.summarised(made)
        report = _log.info if made.outcome == "ok" else _log.warning
        report(
            "live.summarised",
            outcome=made.outcome,
            by=made.by,
            turns=made.turns,
            took_ms=round(made.took_s * 1000),
            detail=made.detail,
        )
        if self._on_summary is not None:
            self._on_summary(made, self._keeper.summary)
