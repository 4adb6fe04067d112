"""The conversation's side of a session's life: turns, barge-ins, tools, keys, the goodbye.

What is kept here holds whichever connection serves: who owes whom an answer, which functions run,
what the model was told and has not answered. ``lifecycle.py`` adds the connections, and the table
that says in which state each of these actions is taken.
"""

from __future__ import annotations

from collections.abc import Callable

from agent import commands, events
from agent.audio import PcmChunk
from agent.commands import Command, ToolResponse
from agent.context.budget import ContextBudget, Fill
from agent.context.window import Window, window_of
from agent.conversation.prompt import CUT_OFF, WAITING, Opening, tool_result
from agent.conversation.record import EndReason, MoveCause
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.drift import LatencyDrift
from agent.live.goodbye import Goodbye
from agent.live.keypad import Keypad
from agent.live.models import ModelProfile
from agent.live.regreeting import Regreeting
from agent.live.replay import CallerTape
from agent.live.resumption import FORGOT_GRACE_S, Departure, Handles
from agent.live.session_events import EndRequested, KeysPressed, SessionEnd, SessionEvent
from agent.live.toolbook import ToolBook
from agent.live.watchdog import Watchdog
from agent.spec import AgentSpec
from agent.tools.runner import ClosingRequested, ToolAnswers

PHANTOM_S = 1.5
"""An ``interrupted`` after so long a silence of the caller is nobody's (python-genai#2333): speech
is taken for begun within 0.5 s, and a network adds some."""
RESIDUAL_S = 0.5
"""Audio so soon after ``interrupted`` is left over: nobody is answered while still speaking."""
SPOKEN_OVER_MS = 600.0
"""Voice over audio that no server can interrupt; longer than a "hm" or an echo's syllable."""


class Dialogue:
    """What is said in one session, decided without doing anything."""

    def __init__(
        self,
        *,
        spec: AgentSpec,
        opening: Opening,
        profiles: Callable[[str], ModelProfile],
        now: float,
        elapsed_s: float,
    ) -> None:
        self.end: SessionEnd | None = None
        self.tape = CallerTape()
        """The caller's audio, for the shell to send from."""
        self._spec = spec
        self._opening = opening
        self._profiles = profiles
        self._profile = profiles(spec.model)
        self._watchdog = Watchdog(spec.limits, started_s=now, elapsed_s=elapsed_s)
        self._handles = Handles()
        self.budget = ContextBudget(self._window())
        """The size of the context."""
        self._drift = LatencyDrift(spec.moves.latency_drift_s)
        self._tools = ToolBook()
        self._keypad = Keypad()
        self._keys = ""
        self._goodbye: Goodbye | None = None
        self._farewell: SessionEnd | None = None
        # Texts the model has not answered, to be said again if its connection goes.
        self._unanswered: list[commands.SendText] = []
        # Results of functions that the connection did not ask for, by id.
        self._untold: dict[str, ToolResponse] = {}
        self._wish: Departure | None = None
        # Audio that the connection knows nothing of: a kept greeting, or what was left to be played
        # by the connection before. The server cannot interrupt either.
        self._greeting_playing = False
        self._leftover_playing = False
        # Voice of the speech under way that came before the leftovers did.
        self._voiced_before_ms = 0.0
        self._generating = False
        # Unlike the above it outlasts a function that the turn waits for.
        self._turn_begun = False
        self._turn_began_s = now
        self._in_progress = False
        self._spoke = False
        self._audible = False
        self._empty_turn = False
        self._cut_short = False
        self._interrupted_s: float | None = None
        self._speech_ended_s: float | None = None
        self._regreeting: Regreeting | None = None
        self._greets_again = False
        self._turn_has_calls = False
        self._changes = 0
        self._now = now
        self._out: list[Command] = []

    def _window(self) -> Window:
        return window_of(
            self._spec.context,
            window_tokens=self._profile.window_tokens,
            trigger_share=self._profile.trigger_share,
        )

    @property
    def tools_pending(self) -> frozenset[str]:
        """Ids of calls that the connection waits for."""
        return self._tools.pending

    def key_pressed(self, key: str, now: float) -> None:
        """Note a key; it reaches the model when the caller stops pressing.

        Raises:
            ValueError: ``key`` is on no keypad.
        """
        self._keypad.press(key, now)
        self._watchdog.caller_acted(now)

    # -- the model speaks ----------------------------------------------------------------------

    def _audio(self, event: SessionEvent) -> None:
        assert isinstance(event, events.AudioReceived)
        now = self._now
        if self._interrupted_s is not None:
            if now - self._interrupted_s < RESIDUAL_S:
                self._do(commands.DropAudio("late"))
                return
            self._interrupted_s = None
        if self._greets_again:
            self._do(commands.DropAudio("a second greeting"))
            return
        self._generates()
        self.budget.model_audio(event.audio.duration_ms)
        if self._regreeting is not None:
            self._do(commands.DropAudio("kept back"))
            if not self._regreeting.audio(event):
                self._trust_words()
            return
        self._model_speaks(event.audio)

    def _model_speaks(self, audio: PcmChunk) -> None:
        due = self._watchdog.answer_due
        begins = not self._audible
        self._generates()
        self._spoke = True
        if self._watchdog.model_audio(audio, self._now):
            self._audible = True
            if due or begins:
                self._answered()
        if self._greeting_playing:
            self._clear()
        if self._goodbye is not None:
            self._goodbye.agent_spoke(self._now)

    def _agent_text(self, event: SessionEvent) -> None:
        assert isinstance(event, events.OutputTranscribed)
        if event.text.strip() and (self._spoke or self._watchdog.answer_due):
            # Else it is late: transcripts come in no order with what they are of.
            self._generates()
        if self._regreeting is None:
            return
        match self._regreeting.text(event.text):
            case False:
                self._trust_words()
            case True:
                self._regreeting = None
                self._greets_again = True

    def _trust_words(self) -> None:
        """The first answer of a resumed session is an answer: what was kept back may be heard."""
        if self._regreeting is not None:
            kept, self._regreeting = tuple(self._regreeting.take()), None
            for event in kept:
                self._model_speaks(event.audio)
            if kept:
                self._do(commands.PlayAudio(kept))

    def _works_at_it(self, event: SessionEvent) -> None:
        if isinstance(event, events.InteractionStatusChanged):
            self._in_progress = event.status == "IN_PROGRESS"
            if not self._in_progress:
                self._judge_turn()
                return
        elif self._watchdog.answer_due:
            self._generates()
        self._watchdog.model_works(self._now)

    def _generated(self, _event: SessionEvent) -> None:
        self._trust_words()
        self._empty_turn = not (self._audible or self._turn_has_calls)
        if self._empty_turn and self._spoke and self._watchdog.answer_due:
            # Audio near zero would be played for as long as an answer takes.
            self._clear()
        self._begin_turn()
        self._judge_turn()
        if self._goodbye is not None:
            self._goodbye.turn_ended(self._now)

    def _turn_over(self, _event: SessionEvent) -> None:
        self._trust_words()
        self._begin_turn()
        self._turn_begun = False
        self._interrupted_s = None
        self._conversation_changed()
        self._judge_turn()
        if self.budget.fill() is Fill.FULL:
            self._context_full()
        self._settled()
        if self._goodbye is not None:
            self._goodbye.turn_ended(self._now)

    def _generates(self) -> None:
        self._generating = True
        if not self._turn_begun:
            self._turn_begun = True
            self._turn_began_s = self._now
            self.budget.turn_begins()

    def _begin_turn(self) -> None:
        """What the model says next belongs to another turn."""
        self._generating = self._audible = self._spoke = False
        self._turn_has_calls = False

    def starved(self, now: float) -> None:
        """The caller has heard all there is of an answer whose rest does not come."""
        if self._generating and self._spoke and not self._tools.running:
            self._cut_short = True
            self._watchdog.expect_answer(now)
            self._watchdog.hurry()

    def _judge_turn(self) -> None:
        """A turn that is over and could not be heard is no answer, and must not be waited for.

        While ``interactionStatus`` says IN_PROGRESS more of it may come (3.8 extended thinking has
        several turns to an answer).
        """
        if self._empty_turn and not self._in_progress:
            self._empty_turn = False
            if self._watchdog.answer_due and not self._tools.running:
                self._watchdog.hurry()

    def _answered(self) -> None:
        """The model answers: nothing of what it was asked has to be said again."""
        ended_s, self._speech_ended_s = self._speech_ended_s, None
        quiet_ms = self._watchdog.caller_quiet_ms
        if ended_s is None and quiet_ms > 0:
            # The server has noticed the end of the turn before we have.
            ended_s = self._now - quiet_ms / 1000
        if ended_s is not None:
            delay_s = self._now - ended_s
            if (drift_s := self._drift.answered(delay_s)) is not None:
                self._wish = Departure(
                    MoveCause.LATENCY,
                    self._now,
                    float("inf"),
                    fresh_session=True,
                    detail=f"answers have become {drift_s * 1000:.0f} ms slower",
                )
        self._cut_short = False
        self._unanswered.clear()
        self.tape.answered(quiet_ms=quiet_ms)
        self._proven()

    def _proven(self) -> None:
        """The model answers; ``Passage`` takes note."""

    def _settled(self) -> None:
        """A turn was completed; ``Passage`` takes note."""

    def _usage(self, event: SessionEvent) -> None:
        assert isinstance(event, events.UsageReported)
        found = self.budget.reported(event)
        if found.cut is not None:
            self._do(commands.NoteCut(*found.cut, ago_s=self._now - self._turn_began_s))
        if found.forgot is not None:
            self._wish = Departure(
                MoveCause.FORGOT,
                self._now,
                self._now + FORGOT_GRACE_S,
                fresh_session=True,
                detail=found.forgot,
            )
        elif self.budget.fill() is Fill.FULL:
            self._context_full()

    def _context_full(self) -> None:
        """The context is nearly full; ``Leaving`` takes note."""

    # -- the caller speaks ---------------------------------------------------------------------

    def _speech_started(self, event: SessionEvent) -> None:
        assert isinstance(event, CallerSpeechStarted)
        self._voiced_before_ms = 0.0
        said_ms = (self._now - event.at_s) * 1000
        self.budget.caller_audio(said_ms)
        self.tape.speech_started(said_ms)
        if self._goodbye is not None:
            self._goodbye.caller_speaks(True, self._now)

    def _speech_ended(self, event: SessionEvent) -> None:
        assert isinstance(event, CallerSpeechEnded)
        due = self._watchdog.answer_due
        self.tape.speech_ended(answer_due=due)
        if due:
            self._speech_ended_s = event.at_s
            self._conversation_changed()
        if self._goodbye is not None:
            self._goodbye.caller_speaks(False, self._now)

    def _caller_words(self, event: SessionEvent) -> None:
        assert isinstance(event, events.InputTranscribed)
        if (self._greeting_playing or self._leftover_playing) and event.text.strip():
            self._clear()

    def _barge_in(self, _event: SessionEvent) -> None:
        # A text or a function's result interrupts, too: then it is what was asked for.
        phantom = (
            self._watchdog.line_quiet(self._now, PHANTOM_S)
            and not self._watchdog.answer_due
            and not self._greeting_playing
        )
        was_generating = self._generating
        self._stop_generating()
        if phantom:
            # Nobody spoke: what there is of the answer is worth hearing, and its rest is missing.
            if was_generating:
                self._cut_short = True
                self._watchdog.expect_answer(self._now)
                self._watchdog.hurry()
            return
        if not self._watchdog.line_quiet(self._now, PHANTOM_S):
            self._interrupted_s = self._now
        self._clear()
        self._watchdog.expect_answer(self._now)

    def _barge_in_while_closing(self, _event: SessionEvent) -> None:
        assert self._goodbye is not None
        self._stop_generating()
        self._clear()
        self._goodbye.interrupted(self._now)

    def _stop_generating(self) -> None:
        self._trust_words()
        self._begin_turn()
        self._turn_begun = self._in_progress = self._empty_turn = False
        self._conversation_changed()

    def _spoken_over(self, _event: SessionEvent) -> None:
        self._clear()

    def _keys_pressed(self, event: SessionEvent) -> None:
        assert isinstance(event, KeysPressed)
        self._keys += event.keys

    def _keys_pressed_and_told(self, event: SessionEvent) -> None:
        self._keys_pressed(event)
        self._send_keys()

    def _take_keys(self) -> str | None:
        if not self._keys:
            return None
        keys, self._keys = self._keys, ""
        return f"The caller pressed {keys} on the phone's keypad."

    def _send_keys(self) -> None:
        if not self._tools.pending and (text := self._take_keys()) is not None:
            self._say_to_model(text)

    # -- functions -----------------------------------------------------------------------------

    def _run_tools(self, event: SessionEvent) -> None:
        assert isinstance(event, events.ToolCallsRequested)
        before = self._tools.pending
        calls = self._tools.requested(event.calls)
        if self._tools.pending == before:
            return
        self._generates()
        self._answered()
        self._watchdog.answered(self._now)
        self._begin_turn()
        self._turn_has_calls = True
        self._note_tools_running()
        if self._profile.holds_audio_during_tools:
            self.tape.held = True
        if calls:
            self._do(commands.RunTools(calls))

    def _cancel_tools(self, event: SessionEvent) -> None:
        assert isinstance(event, events.ToolCallsCancelled)
        ids = self._tools.cancelled(event.ids)
        if ids:
            self._do(commands.CancelTools(ids))
            self._conversation_changed()
            self._settle_tools()

    def _answer_tools(self, event: SessionEvent) -> None:
        assert isinstance(event, ToolAnswers)
        delivery = self._tools.answered(event.responses)
        if not delivery.responses and not delivery.told:
            return
        if delivery.responses:
            self._do(commands.SendToolResponses(delivery.responses))
            for response in delivery.responses:
                self.budget.text(str(response.response))
        self._untold |= {response.id: response for response in delivery.told}
        self._conversation_changed()
        self._settle_tools()
        if self._goodbye is None:
            self._watchdog.expect_answer(self._now)

    def _settle_tools(self) -> None:
        self._note_tools_running()
        if self._tools.pending:
            return
        if self._untold:
            self._say_to_model(" ".join(self._take_results()))
        if self._goodbye is None:
            self._send_keys()
        if self._profile.holds_audio_during_tools:
            self._release_caller_audio()

    def _take_results(self) -> list[str]:
        results = [tool_result(item.name, item.response) for item in self._untold.values()]
        self._untold.clear()
        return results

    def _note_tools_running(self) -> None:
        self._watchdog.tools_running(self._tools.running, self._now)
        if self._goodbye is not None:
            self._goodbye.tools_running(self._tools.running, self._now)

    # -- the goodbye ---------------------------------------------------------------------------

    def _begin_goodbye(self, event: SessionEvent) -> None:
        assert isinstance(event, ClosingRequested)
        self._farewell = (
            SessionEnd(EndReason.TRANSFERRED, "the agent transferred the call", event.transfer_to)
            if event.kind == "transfer_call"
            else SessionEnd(EndReason.AGENT_HUNG_UP, "the agent ended the call")
        )
        self._goodbye = Goodbye(self._now)
        if self._tools.running:
            self._goodbye.tools_running(True, self._now)
        if self._watchdog.caller_speaking:
            self._goodbye.caller_speaks(True, self._now)
        self._watchdog.answered(self._now)

    def _closing_again(self, event: SessionEvent) -> None:
        # The caller spoke into the goodbye and asked for a person: that is what they get. Hanging
        # up while a transfer is under way is what it ends with anyway.
        assert isinstance(event, ClosingRequested)
        assert self._farewell is not None
        if event.transfer_to is not None and self._farewell.transfer_to is None:
            self._begin_goodbye(event)

    def _lost_while_closing(self, _event: SessionEvent) -> None:
        assert self._goodbye is not None
        self._goodbye.nothing_follows(self._now)

    def _end_goodbye(self, _event: SessionEvent) -> None:
        self.end = self._farewell

    # -- silence and ends ----------------------------------------------------------------------

    def _answer_slow(self, _event: SessionEvent) -> None:
        if self.tools_pending:
            # The model waits for us.
            return
        text = CUT_OFF if self._cut_short else WAITING
        self._cut_short = False
        # Not to be said again elsewhere: it asks for what is said again anyway.
        self._do(commands.SendText(text))

    def _idle(self, _event: SessionEvent) -> None:
        self.end = SessionEnd(EndReason.IDLE, "nobody spoke for limits.idle_s")

    def _too_long(self, _event: SessionEvent) -> None:
        self.end = SessionEnd(EndReason.MAX_DURATION, "the call reached limits.max_call_s")

    def _end_as_asked(self, event: SessionEvent) -> None:
        assert isinstance(event, EndRequested)
        self.end = SessionEnd(event.reason, event.detail)

    # -- shared --------------------------------------------------------------------------------

    def _do(self, command: Command) -> None:
        self._out.append(command)

    def _say_to_model(self, text: str, *, opening: bool = False, nudge: bool = True) -> None:
        """Send a text that wants an answer."""
        told = commands.SendText(text, opening=opening)
        self._do(told)
        self.budget.text(text)
        self._unanswered.append(told)
        self._conversation_changed()
        self._watchdog.expect_answer(self._now, nudge=nudge)

    def _conversation_changed(self) -> None:
        self._changes += 1
        self._handles.conversation_changed(self._now)

    def _release_caller_audio(self) -> None:
        self.tape.held = False
        self._do(commands.ReleaseCallerAudio())

    def _clear(self) -> None:
        self._do(commands.ClearPlayout(leftover=self._leftover_playing))
        self._greeting_playing = self._leftover_playing = False
