"""Turns of one stream: who said what, when, and how much of the agent's speech was heard.

How it works. Transcripts carry no order relative to audio, so a turn is delimited by what is
certain. An agent turn opens with its first text or audio and closes with ``turn_completed`` or
``interrupted``; the parts of the playout's timeline its audio will occupy are noted as the audio
comes. Heard text is not decided when a turn closes but asked of the playout when somebody wants to
know, until the turn is fully heard or another has begun after a barge-in: audio is produced faster
than it is played, so most of a turn is heard after it was completed.

A caller turn is a run of input transcripts. The transcript of the words that made the model speak
may arrive, or go on, after it began to speak; then it belongs before the agent's turn unless the
caller has spoken, or barged in, since.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from agent.conversation.heard import (
    DEFAULT_PACE_MS,
    TOLERANCE_MS,
    SpokenText,
    heard_text,
    pace_of,
)
from agent.conversation.record import BargeInRecord, TurnRecord

# Fragments of the caller's words were seen to arrive up to half a second after the model began
# (dograh), whole sentences up to about two (3.1); after that the caller is talking over the agent.
LATE_CALLER_TEXT_S = 2.0
# Nobody is answered sooner than this after barging in, so text until then is the old turn's; the
# same for text that comes after all of its turn's audio.
LATE_AGENT_TEXT_S = 1.0
# A hole between two pieces of a turn's audio beyond this means that something else was played.
_FOREIGN_AUDIO_MS = 40.0


class PlayoutClock(Protocol):
    """What the caller has heard, on a timeline of all agent audio ever handed in."""

    def offered_ms(self) -> float:
        """Milliseconds of agent audio handed in so far; never goes back."""

    def heard_ms(self, since_ms: float, until_ms: float) -> float:
        """How much of the offered interval [since, until) the caller has heard."""

    def pending_ms(self) -> float:
        """Offered, not cleared, not yet heard."""


@dataclass(slots=True)
class _AgentTurn:
    record: TurnRecord
    spoken: SpokenText = field(default_factory=SpokenText)
    spans: list[tuple[float, float]] = field(default_factory=list)
    """Parts of the playout's timeline that hold this turn's audio, in order."""
    first_s: float = 0.0
    """When its first audio arrived; its first text while there is none."""
    complete: bool = False
    """The model has produced all of it."""
    closed_s: float | None = None
    settled: bool = False
    """What was heard of it cannot change any more."""


@dataclass(slots=True)
class _CallerTurn:
    record: TurnRecord
    spoken: SpokenText = field(default_factory=SpokenText)


class Transcript:
    """Assembles the turns of one stream from what the Live API tells.

    Args:
        playout: What was played of the agent's audio.
        clock: Monotonic seconds.
        origin_s: The clock's reading when the call was answered; times are counted from it.
    """

    def __init__(
        self,
        playout: PlayoutClock,
        clock: Callable[[], float] = time.monotonic,
        *,
        origin_s: float | None = None,
    ) -> None:
        self._playout = playout
        self._clock = clock
        self._origin_s = clock() if origin_s is None else origin_s
        self._turns: list[_AgentTurn | _CallerTurn] = []
        self._agent: _AgentTurn | None = None
        self._end_ms = 0.0
        self._pace_ms = DEFAULT_PACE_MS
        # Where the caller's speech began since the newest agent turn opened, and before it.
        self._speech_s: float | None = None
        self._speech_before_s: float | None = None
        self._speech_started_s: float | None = None
        self._speech_ended_s: float | None = None
        self._unanswered_s: float | None = None
        self._interrupted_s: float | None = None
        # Bound: 8 texts; the oldest echo is forgotten.
        self._told: deque[str] = deque(maxlen=8)

    def told_model(self, text: str) -> None:
        """Note a text sent to the model: some echo it as if the caller had said it."""
        self._told.append(_squeeze(text))

    def caller_speech_started(self, at_s: float) -> None:
        """The caller's voice was first heard at ``at_s`` on the clock."""
        self._speech_started_s = at_s - self._origin_s
        if self._speech_s is None:
            self._speech_s = self._speech_started_s

    def caller_speech_ended(self, at_s: float) -> None:
        """The caller's voice was last heard at ``at_s`` on the clock, which may be a while ago."""
        ended_s = at_s - self._origin_s
        self._speech_ended_s = ended_s
        self._unanswered_s = ended_s
        turn = self._last_agent_turn()
        if turn and turn.spans and turn.record.answer_delay_s is None:
            sent_s = turn.first_s
            if ended_s <= sent_s <= ended_s + LATE_CALLER_TEXT_S:
                turn.record.answer_delay_s = sent_s - ended_s
                self._unanswered_s = None

    def caller_text(self, text: str, finished: bool = False) -> None:
        """Add a fragment of what the caller said."""
        if text and _squeeze(text) in self._told:
            self._told.remove(_squeeze(text))
            return
        if not text.strip() and not finished:
            return
        now_s = self._now()
        turn = self._caller_turn(now_s)
        if turn is None:
            if not text.strip():
                return
            turn = self._new_caller_turn(now_s)
        turn.spoken.append(text, finished=finished)
        turn.record.ended_s = max(turn.record.started_s, self._speech_end_in(turn, now_s))

    def agent_text(self, text: str, finished: bool = False) -> None:
        """Add a fragment of what the agent says; never a thought."""
        if not text and not finished:
            return
        turn = self._late_agent_turn() if self._agent is None else self._agent
        if turn is None:
            if not text.strip():
                return
            turn = self._open_agent_turn()
        turn.spoken.append(text, turn.record.said_ms, finished=finished)

    def agent_audio(self, duration_ms: float) -> None:
        """Note model audio; call it before the audio is handed on to be played."""
        turn = self._agent or self._open_agent_turn()
        offered_ms = self._playout.offered_ms()
        if not turn.spans:
            self._begin_audio(turn)
        since_ms = max(offered_ms, self._end_ms)
        self._end_ms = since_ms + duration_ms
        if turn.spans and since_ms - turn.spans[-1][1] <= _FOREIGN_AUDIO_MS:
            turn.spans[-1] = (turn.spans[-1][0], self._end_ms)
        else:
            turn.spans.append((since_ms, self._end_ms))
        turn.record.said_ms += duration_ms

    def generation_completed(self) -> None:
        """The model has produced the last audio of this turn."""
        if self._agent and self._agent.record.said_ms:
            self._agent.complete = True

    def turn_completed(self) -> None:
        """The server closed the turn."""
        turn, self._agent = self._agent, None
        self._interrupted_s = None
        if turn is None:
            return
        turn.complete = True
        turn.closed_s = self._now()
        if pace := pace_of(turn.spoken.text, turn.record.said_ms):
            self._pace_ms += (pace - self._pace_ms) / 2

    def interrupted(self) -> BargeInRecord:
        """The caller barged in: what is not heard by now never will be."""
        now_s = self._now()
        cut_ms = 0.0
        for turn in self._turns:
            if isinstance(turn, _AgentTurn) and not turn.settled:
                unheard_ms = turn.record.said_ms - self._heard_ms(turn)
                if turn is self._agent or unheard_ms > TOLERANCE_MS:
                    turn.record.interrupted = True
                    turn.closed_s = now_s
                    cut_ms += max(0.0, unheard_ms)
        self._agent = None
        self._end_ms = 0.0
        self._interrupted_s = now_s
        return BargeInRecord(at_s=now_s, cut_ms=cut_ms)

    def snapshot(self) -> list[TurnRecord]:
        """Return copies of all turns in order, with what was heard until now."""
        for turn in self._turns:
            self._update(turn)
        return [dataclasses.replace(turn.record) for turn in self._turns]

    def _now(self) -> float:
        return self._clock() - self._origin_s

    def _last_agent_turn(self) -> _AgentTurn | None:
        return next((turn for turn in reversed(self._turns) if isinstance(turn, _AgentTurn)), None)

    def _open_agent_turn(self) -> _AgentTurn:
        now_s = self._now()
        played = self._playout.pending_ms() <= 0 and self._end_ms <= self._playout.offered_ms()
        for turn in self._turns:
            self._update(turn)
            if isinstance(turn, _AgentTurn) and (played or turn.record.interrupted):
                turn.settled = True
        self._interrupted_s = None
        self._speech_before_s, self._speech_s = self._speech_s, None
        opened = _AgentTurn(TurnRecord("agent", "", "", now_s, now_s), first_s=now_s)
        self._turns.append(opened)
        self._agent = opened
        return opened

    def _begin_audio(self, turn: _AgentTurn) -> None:
        now_s = self._now()
        turn.first_s = now_s
        turn.record.started_s = now_s + self._playout.pending_ms() / 1000
        if self._unanswered_s is not None:
            turn.record.answer_delay_s = max(0.0, now_s - self._unanswered_s)
            self._unanswered_s = None

    def _late_agent_turn(self) -> _AgentTurn | None:
        """Return the closed turn that a text without audio belongs to, if any."""
        turn = self._last_agent_turn()
        if turn is None or turn.settled:
            return None
        if self._interrupted_s is not None:
            late = self._now() - self._interrupted_s <= LATE_AGENT_TEXT_S
            return turn if late and turn.record.interrupted else None
        if turn is not self._turns[-1] or turn.spoken.text or not turn.record.said_ms:
            return None
        late = turn.closed_s is None or self._now() - turn.closed_s <= LATE_AGENT_TEXT_S
        return turn if late else None

    def _caller_turn(self, now_s: float) -> _CallerTurn | None:
        """Return the turn a fragment arriving now goes on with; None for a new one."""
        last = self._turns[-1] if self._turns else None
        if last is None or isinstance(last, _CallerTurn):
            return last
        if not self._is_late(last, now_s):
            return None
        before = self._turns[-2] if len(self._turns) > 1 else None
        return before if isinstance(before, _CallerTurn) else None

    def _is_late(self, agent: _AgentTurn, now_s: float) -> bool:
        """Whether the caller's words arriving now were said before ``agent`` began."""
        if agent.record.interrupted:
            return False
        for spoke_s in (self._speech_started_s, self._speech_ended_s):
            if spoke_s is not None and spoke_s > agent.first_s:
                return False
        return now_s - agent.first_s <= LATE_CALLER_TEXT_S

    def _new_caller_turn(self, now_s: float) -> _CallerTurn:
        last = self._turns[-1] if self._turns else None
        late = isinstance(last, _AgentTurn) and self._is_late(last, now_s)
        spoke_s = self._speech_before_s if late else self._speech_s
        started_s = now_s if spoke_s is None else min(now_s, spoke_s)
        turn = _CallerTurn(TurnRecord("caller", "", "", started_s, now_s))
        if late and isinstance(last, _AgentTurn):
            turn.record.started_s = min(started_s, last.first_s)
            self._turns.insert(len(self._turns) - 1, turn)
        else:
            self._turns.append(turn)
        return turn

    def _speech_end_in(self, turn: _CallerTurn, now_s: float) -> float:
        ended_s = self._speech_ended_s
        return ended_s if ended_s is not None and ended_s >= turn.record.started_s else now_s

    def _heard_ms(self, turn: _AgentTurn) -> float:
        return sum(self._playout.heard_ms(since, until) for since, until in turn.spans)

    def _update(self, turn: _AgentTurn | _CallerTurn) -> None:
        record = turn.record
        if isinstance(turn, _CallerTurn):
            record.said = record.heard = _squeeze(turn.spoken.text)
            return
        if turn.settled:
            return
        heard_ms = min(self._heard_ms(turn), record.said_ms)
        record.heard_ms = heard_ms
        record.said = _squeeze(turn.spoken.text)
        record.heard = _squeeze(
            heard_text(
                turn.spoken,
                heard_ms=heard_ms,
                audio_ms=record.said_ms,
                complete=turn.complete,
                pace_ms=self._pace_ms,
            )
        )
        record.ended_s = max(record.ended_s, record.started_s + heard_ms / 1000)
        if (
            turn.closed_s is not None
            and record.said
            and heard_ms >= record.said_ms - TOLERANCE_MS > 0
        ):
            turn.settled = True


def _squeeze(text: str) -> str:
    return " ".join(text.split())
