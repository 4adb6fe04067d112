"""Writes a session's checkpoint, and says when there is something new for one."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from agent import events
from agent.checkpoint import News, SessionCheckpoint
from agent.context.notes import Notes
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.handover import Standing
from agent.live.known import Known
from agent.live.session_events import Opened, SessionEvent

_TURN_TAKING: frozenset[type[SessionEvent]] = frozenset(
    {events.GenerationCompleted, events.Interrupted, CallerSpeechStarted, CallerSpeechEnded}
)

_WORDS: frozenset[type[SessionEvent]] = frozenset(
    {events.InputTranscribed, events.OutputTranscribed}
)
"""All that is left of what was being said, but more of them will come."""

_log = structlog.get_logger()


class Checkpointing:
    """What a session leaves to another worker, at any moment and after its end.

    Args:
        standing: Where it stands now.
        known: What its newest handle knows.
        notes: What operators and functions have added.
        now_s: Seconds since the call was answered.
        origin_s: When that was, on the clock that the standing counts by.
        on_change: Told when a new checkpoint would say something else, and what; what it raises is
            logged, once.
    """

    def __init__(
        self,
        *,
        standing: Callable[[], Standing],
        known: Known,
        notes: Notes,
        now_s: Callable[[], float],
        origin_s: float,
        on_change: Callable[[News], None] | None,
    ) -> None:
        self._standing = standing
        self._known = known
        self._notes = notes
        self._now_s = now_s
        self._origin_s = origin_s
        self._on_change = on_change
        self._failed = False
        self._new_words = False
        """Since the last checkpoint."""
        self._speaking = False
        """The caller, as far as events tell."""

    def make(self) -> SessionCheckpoint:
        """Return the checkpoint of this moment; its cost does not grow with the call."""
        self._new_words = False
        standing, known = self._standing(), self._known
        there = standing.handle is not None
        return SessionCheckpoint(
            at_s=self._now_s(),
            model=standing.model,
            handle=standing.handle,
            handle_s=standing.handle_s - self._origin_s if there else 0.0,
            known_turns=known.turns if there else 0,
            told_turns=known.told_turns if there else (),
            told_tools=known.told_tools if there else (),
            generating=standing.generating,
            caller_speaking=standing.caller_speaking,
            answer_due=standing.answer_due,
            notes=tuple(self._notes.texts),
            instruction=self._notes.instruction,
        )

    def look(self, event: SessionEvent) -> None:
        """Something has happened in the session."""
        if type(event) is events.TurnCompleted:
            self.changed(News.FINISHED if self._new_words else News.CHANGED)
        elif type(event) in _TURN_TAKING:
            if type(event) in (CallerSpeechStarted, CallerSpeechEnded):
                self._speaking = type(event) is CallerSpeechStarted
            self.changed(News.TURN_TAKING)
        elif type(event) in (events.ResumptionUpdated, Opened):
            self.changed()
        elif type(event) in _WORDS:
            self._new_words = True
            # What the caller has said often comes when they have finished.
            over = type(event) is events.InputTranscribed and not self._speaking
            self.changed(News.CHANGED if over else News.WORDS)

    def changed(self, news: News = News.CHANGED) -> None:
        """A new checkpoint would say something else."""
        if self._on_change is None:
            return
        try:
            self._on_change(news)
        except Exception:  # noqa: BLE001  # the edge of a session: what is kept of it must not end it
            if not self._failed:
                _log.exception("live.on_change_failed")
            self._failed = True
