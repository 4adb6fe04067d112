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
import itertools
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from agent.conversation.heard import DEFAULT_PACE_MS, TOLERANCE_MS, SpokenText, pace_of
from agent.conversation.record import BargeInRecord, TurnRecord, copy_of
from agent.conversation.turns import AgentTurn, CallerTurn, PlayoutClock, squeeze

# Fragments of the caller's words were seen to arrive up to half a second after the model began
# (dograh), whole sentences up to about two (3.1); after that the caller is talking over the agent.
LATE_CALLER_TEXT_S = 2.0
# Text without a turn is the last one's for so long after its end, unless audio of a next turn shows
# that it was that one's. Nobody is answered sooner than this after barging in.
LATE_AGENT_TEXT_S = 1.0
OPEN_TURNS = 4
"""The newest turns may still get words, or another turn put in before them; of all others the words
and the place are settled."""


@dataclass(frozen=True, slots=True)
class PastTurn:
    """A turn as another model is to be told of it."""

    serial: int
    """Which turn it is, for as long as the transcript lives."""
    place: int
    """How many turns came before it, those included that are said again."""
    record: TurnRecord
    """A copy; of what the agent said, ``heard`` holds the words of all audio there is: what is
    queued will be heard."""


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
        self._turns: list[AgentTurn | CallerTurn] = []
        # So many of the oldest cannot change any more.
        self._whole = 0
        self._serials = itertools.count(1)
        self._agent: AgentTurn | None = None
        self._end_ms = 0.0
        self._pace_ms = DEFAULT_PACE_MS
        # Where the caller's speech began since the newest agent turn opened, and before it.
        self._speech_s: float | None = None
        self._speech_before_s: float | None = None
        self._speech_started_s: float | None = None
        self._speech_ended_s: float | None = None
        self._unanswered_s: float | None = None
        # Bound: 8 texts; the oldest echo is forgotten.
        self._told: deque[str] = deque(maxlen=8)

    def told_model(self, text: str) -> None:
        """Note a text sent to the model: some echo it as if the caller had said it."""
        self._told.append(squeeze(text))

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
            sent_s = turn.began_s
            if ended_s <= sent_s <= ended_s + LATE_CALLER_TEXT_S:
                turn.record.answer_delay_s = sent_s - ended_s
                self._unanswered_s = None

    def caller_text(self, text: str, finished: bool = False) -> None:
        """Add a fragment of what the caller said."""
        if text and squeeze(text) in self._told:
            self._told.remove(squeeze(text))
            return
        if not text.strip() and not finished:
            return
        now_s = self._now()
        turn = self._caller_turn(now_s)
        if turn is None:
            if not text.strip():
                return
            turn = self._new_caller_turn(now_s)
        if turn.said_again:
            turn.said_again = False
            turn.spoken = SpokenText()
        turn.spoken.append(text, finished=finished)
        turn.record.ended_s = max(turn.record.started_s, self._speech_end_in(turn, now_s))

    def agent_text(self, text: str, finished: bool = False) -> None:
        """Add a fragment of what the agent says; never a thought."""
        if not text and not finished:
            return
        turn = self._agent or self._late_agent_turn()
        if turn is None:
            if not text.strip():
                return
            turn = self._open_agent_turn()
        turn.add_text(text, finished=finished)

    def agent_audio(self, duration_ms: float) -> None:
        """Note model audio; call it before the audio is handed on to be played."""
        turn = self._agent or self._open_agent_turn()
        if not turn.spans:
            self._begin_audio(turn)
        since_ms = max(self._playout.offered_ms(), self._end_ms)
        self._end_ms = since_ms + duration_ms
        turn.add_audio(since_ms, self._end_ms)

    def generation_completed(self) -> None:
        """The model has produced the last audio of this turn."""
        if self._agent and self._agent.record.said_ms:
            self._agent.complete = True

    def turn_completed(self) -> None:
        """The server closed the turn."""
        turn, self._agent = self._agent, None
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
        for turn in self._turns[self._whole :]:
            if isinstance(turn, AgentTurn) and not turn.settled:
                unheard_ms = turn.record.said_ms - turn.heard_ms(self._playout)
                if unheard_ms > TOLERANCE_MS or not turn.complete:
                    turn.record.interrupted = True
                    if turn.closed_s is None:
                        # One that the server has closed before, or a kept greeting, which was
                        # whole from the start, does not begin to wait for late words again.
                        turn.closed_s = now_s
                    cut_ms += unheard_ms
        self._agent = None
        self._end_ms = 0.0
        return BargeInRecord(at_s=now_s, cut_ms=cut_ms)

    def connection_left(self, *, said_again: bool) -> None:
        """The model that speaks will say no more; what it said so far may still be heard.

        Args:
            said_again: What the caller said last goes to another model, which transcribes it anew.
        """
        turn, self._agent = self._agent, None
        if turn is not None:
            turn.closed_s = self._now()
        for last in reversed(self._turns):
            if not isinstance(last, CallerTurn):
                break
            last.said_again = said_again

    def mark(self) -> int:
        """Return a place in the conversation: behind the newest turn that the server has closed.

        It is the turn's serial; 0 where none is closed.
        """
        closed = (
            turn.serial
            for turn in reversed(self._turns)
            if isinstance(turn, AgentTurn) and turn.closed_s is not None
        )
        return next(closed, 0)

    def place_of(self, serial: int) -> int | None:
        """Return the place of a turn by its serial.

        A turn that has another behind it keeps its place: what is put in goes before the last one.
        """
        # For the same reason it is at the place that its serial says, or next to that.
        for place in (serial - 1, serial, serial - 2):
            if 0 <= place < len(self._turns) and self._turns[place].serial == serial:
                return place
        return next((n for n, turn in enumerate(self._turns) if turn.serial == serial), None)

    def __len__(self) -> int:
        return len(self._turns)

    def history(self, first: int = 0) -> list[PastTurn]:
        """Return the turns from a place on; what the caller says again is left out.

        Until it was answered: what was not transcribed anew by then never will be.
        """
        self._update()
        answered = self.mark()
        told: list[PastTurn] = []
        for place in range(first, len(self._turns)):
            turn = self._turns[place]
            if isinstance(turn, AgentTurn):
                heard = turn.expected(self._pace_ms)
                record = dataclasses.replace(turn.record, heard=heard)
            elif turn.said_again and turn.serial > answered:
                continue
            else:
                record = copy_of(turn.record)
            told.append(PastTurn(turn.serial, place, record))
        return told

    def snapshot(self, first: int = 0) -> list[TurnRecord]:
        """Return copies of the turns from a place on, in order, with what was heard until now.

        Of those before the last ``OPEN_TURNS`` neither place nor words change any more; how much
        was heard of the agent's may, while they are being played.
        """
        self._update()
        return [copy_of(turn.record) for turn in self._turns[first:]]

    def _now(self) -> float:
        return self._clock() - self._origin_s

    def _last_agent_turn(self) -> AgentTurn | None:
        return next((turn for turn in reversed(self._turns) if isinstance(turn, AgentTurn)), None)

    def _open_agent_turn(self) -> AgentTurn:
        now_s = self._now()
        played = self._playout.pending_ms() <= 0 and self._end_ms <= self._playout.offered_ms()
        opened = AgentTurn(
            TurnRecord("agent", "", "", now_s, now_s), serial=next(self._serials), began_s=now_s
        )
        before = self._turns[-1] if self._turns else None
        if isinstance(before, AgentTurn) and self._closed_within(before, 2 * LATE_AGENT_TEXT_S):
            for piece in before.give_up_late_text():
                opened.spoken.append(piece)
        self._update()
        for turn in self._turns[self._whole :]:
            if isinstance(turn, AgentTurn) and (played or turn.record.interrupted):
                turn.settled = True
        self._speech_before_s, self._speech_s = self._speech_s, None
        self._turns.append(opened)
        self._agent = opened
        return opened

    def _begin_audio(self, turn: AgentTurn) -> None:
        now_s = self._now()
        turn.began_s = now_s
        turn.record.started_s = now_s + self._playout.pending_ms() / 1000
        if self._unanswered_s is not None:
            turn.record.answer_delay_s = max(0.0, now_s - self._unanswered_s)
            self._unanswered_s = None

    def _late_agent_turn(self) -> AgentTurn | None:
        """Return the closed turn that a text without a turn may belong to, if any."""
        turn = self._last_agent_turn()
        if turn is None or not turn.spans:
            return None
        # Once the caller has been transcribed, only an interrupted turn is still waited for.
        if turn is not self._turns[-1] and not turn.record.interrupted:
            return None
        return turn if self._closed_within(turn, LATE_AGENT_TEXT_S) else None

    def _closed_within(self, turn: AgentTurn, seconds: float) -> bool:
        return turn.closed_s is not None and self._now() - turn.closed_s <= seconds

    def _caller_turn(self, now_s: float) -> CallerTurn | None:
        """Return the turn a fragment arriving now goes on with; None for a new one."""
        last = self._turns[-1] if self._turns else None
        if last is None or isinstance(last, CallerTurn):
            return last
        if not self._is_late(last, now_s):
            return None
        before = self._turns[-2] if len(self._turns) > 1 else None
        return before if isinstance(before, CallerTurn) else None

    def _is_late(self, agent: AgentTurn, now_s: float) -> bool:
        """Whether the caller's words arriving now were said before ``agent`` began."""
        if agent.record.interrupted:
            return False
        for spoke_s in (self._speech_started_s, self._speech_ended_s):
            if spoke_s is not None and spoke_s > agent.began_s:
                return False
        return now_s - agent.began_s <= LATE_CALLER_TEXT_S

    def _new_caller_turn(self, now_s: float) -> CallerTurn:
        last = self._turns[-1] if self._turns else None
        late = isinstance(last, AgentTurn) and self._is_late(last, now_s)
        spoke_s = self._speech_before_s if late else self._speech_s
        started_s = now_s if spoke_s is None else min(now_s, spoke_s)
        turn = CallerTurn(
            TurnRecord("caller", "", "", started_s, now_s), serial=next(self._serials)
        )
        if late and isinstance(last, AgentTurn):
            turn.record.started_s = min(started_s, last.began_s)
            self._turns.insert(len(self._turns) - 1, turn)
        else:
            self._turns.append(turn)
        return turn

    def _speech_end_in(self, turn: CallerTurn, now_s: float) -> float:
        ended_s = self._speech_ended_s
        return ended_s if ended_s is not None and ended_s >= turn.record.started_s else now_s

    def _update(self) -> None:
        for turn in self._turns[self._whole :]:
            if isinstance(turn, CallerTurn):
                turn.update()
            elif not turn.settled:
                turn.update(self._playout, self._pace_ms)
                turn.settled = turn.is_heard() and turn.closed_s is not None
        # An hour has a thousand turns, and this is done at each.
        while self._whole < len(self._turns) - OPEN_TURNS:
            turn = self._turns[self._whole]
            if isinstance(turn, AgentTurn) and not turn.settled:
                break
            self._whole += 1
