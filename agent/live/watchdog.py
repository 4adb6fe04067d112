"""Notices the silences of a session: a model that does not answer, a line where nobody speaks.

How it works. Something makes an answer due: the greeting was asked for, the caller stopped
speaking, the caller barged in, a tool was answered. Model audio that can be heard, or a tool call,
answers it; a transcript or an empty turn does not, because turns without audio and audio at
near-zero loudness are among the commonest faults of Live models (observed:
googleapis/python-genai#2117, google-gemini/gemini-live-api-examples#40). While the caller speaks,
the agent is still being heard or a tool runs, nobody is late. An answer that is late gets one
nudge, one that is later still is overdue, and the session has to do something else. A caller who
keeps asking does not put that off for ever; one who only draws breath while telling a long story
has not been waiting. A connection that was moved to has to prove itself sooner, because a session
restored from a bad handle hears and never speaks (observed: yagudaev/voiceclaw#255).

What the caller says while the agent is still being played makes no answer due: it may be the
agent's own echo. If it was a barge-in the server says so. A voice that goes on after the echo has
died away is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.audio import AUDIBLE_RMS, PcmChunk, loudness
from agent.live.caller_speech import CallerSpeech, CallerSpeechEnded, CallerSpeechStarted
from agent.spec import Limits

MIN_SPEECH_MS = 250.0
"""Shorter is a cough, and models rightly do not answer one."""
NUDGE_AFTER = 0.4
"""Of the answer time-out. In use elsewhere: nudge after 4 s, end after 10 s (cookbook#1228)."""
PROOF_S = 8.0
"""Bound on the first answer after a move; as voiceclaw has it."""
PATIENCE = 2.0
"""Times the answer time-out, for a caller who speaks again and again into silence."""
# First audio comes up to 3.4 s after the last word where the server takes 2 s to believe that it
# was the last (3.1); speech is known to be over 0.6 s after it.
_PAUSE_S = 3.0
# A caller who goes on sooner has drawn breath, not waited; models wait 0.5-2 s before they answer.
_BREATH_S = 1.4
# There and back through two networks, with the playout's own lead.
_ECHO_S = 1.0
# Audio that was heard so recently needs no second look.
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class AnswerSlow:
    """The model is late; tell it so."""


@dataclass(frozen=True, slots=True)
class AnswerOverdue:
    """The model has not answered in time."""

    waited_s: float


@dataclass(frozen=True, slots=True)
class IdleReached:
    """Nobody has spoken for as long as the agent's file allows."""


@dataclass(frozen=True, slots=True)
class DurationReached:
    """The call is as long as the agent's file allows."""


Alarm = AnswerSlow | AnswerOverdue | IdleReached | DurationReached
Speech = CallerSpeechStarted | CallerSpeechEnded


class Watchdog:
    """Tells who has been silent for too long.

    Args:
        limits: The agent's limits.
        started_s: When this session started, on the same clock as every ``now``.
        elapsed_s: How long the call had lasted by then.
    """

    def __init__(self, limits: Limits, *, started_s: float, elapsed_s: float = 0.0) -> None:
        self._limits = limits
        self._end_s = started_s + max(0.0, limits.max_call_s - elapsed_s)
        self._caller = CallerSpeech()
        self._perhaps_echo = False
        self._agent_stopped_s = started_s
        self._active_s = started_s
        self._agent_playing = False
        self._tools_running = False
        self._connected = False
        # When an answer became due: the newest moment, and the first since the last answer.
        self._due_s: float | None = None
        self._first_due_s = 0.0
        self._kept_waiting = False
        self._nudged = False
        self._hurried = False
        self._given_up = False
        self._unproven = False
        self.uninterruptible = False
        """What is played comes from a connection that is gone."""
        self._audible_s: float | None = None

    @property
    def caller_speaking(self) -> bool:
        """Whether the caller speaks at this moment, by energy."""
        return self._caller.speaking

    @property
    def caller_voiced_ms(self) -> float:
        """How much voice there was in the speech under way."""
        return self._caller.voiced_ms

    @property
    def caller_quiet_ms(self) -> float:
        """For how long the voice has been silent in the speech under way."""
        return self._caller.quiet_ms

    @property
    def answer_due(self) -> bool:
        """Whether the model owes an answer."""
        return self._due_s is not None

    @property
    def agent_heard(self) -> bool:
        """Whether the caller hears the agent at this moment."""
        return self._agent_playing

    def line_quiet(self, now: float, seconds: float) -> bool:
        """Whether nothing but noise has come from the caller for so long."""
        loud_s = self._caller.loud_s
        return loud_s is None or now - loud_s > seconds

    @property
    def deadline(self) -> float:
        """When ``tick`` is needed at the latest."""
        moments = [self._end_s, self._active_s + self._limits.idle_s]
        if (stalled_s := self._caller.deadline) is not None:
            moments.append(stalled_s)
        if self._is_waiting() and self._due_s is not None:
            moments.append(self._overdue_at(self._due_s))
            if not self._nudged:
                moments.append(self._nudge_at(self._due_s))
        return min(moments)

    def caller_audio(self, pcm: bytes, now: float) -> Speech | None:
        """Hear a piece of caller audio, PCM16 at 16 kHz."""
        change = self._caller.push(pcm, now)
        if change is not None:
            self._speech_changed(change, now)
        return change

    def agent_playing(self, playing: bool, now: float) -> None:
        """The caller began or ceased to hear the agent."""
        if self._agent_playing and not playing:
            self._agent_stopped_s = now
        self._agent_playing = playing
        self._active_s = now
        if not playing and self._due_s is not None:
            self._due_s = now

    def connected(self, now: float, *, moved: bool = False) -> None:
        """The model can hear from now on; what is due counts from here.

        Args:
            now: Seconds.
            moved: The session came from another connection: this one has to prove itself.
        """
        self._connected = True
        self._unproven = moved
        if self._due_s is not None:
            self._due_s = self._first_due_s = now
            if moved:
                self._nudged = self._hurried = self._given_up = False

    def disconnected(self) -> None:
        """There is no model at the moment: nobody is late."""
        self._connected = False

    def model_works(self, now: float) -> None:
        """The model thinks, or says that it is at it: not late yet, but not for ever."""
        if (
            self._due_s is not None
            and now < self._first_due_s + PATIENCE * self._limits.answer_timeout_s
        ):
            self._due_s = now

    def hurry(self) -> None:
        """The model has ended its answer and nothing of it could be heard: do not wait for it.

        It is nudged at once; where that was tried before, the answer is overdue.
        """
        self._given_up = self._nudged
        self._hurried = True

    def tools_running(self, running: bool, now: float) -> None:
        """Note whether any function runs; while one does the model is not late."""
        self._tools_running = running
        self._active_s = now

    def expect_answer(self, now: float, *, nudge: bool = True) -> None:
        """Something was said to the model that it has to answer."""
        if self._due_s is None:
            self._first_due_s = now
            self._nudged = not nudge
            self._kept_waiting = self._hurried = self._given_up = False
        self._due_s = now
        self._active_s = now

    def model_audio(self, audio: PcmChunk, now: float) -> bool:
        """The model speaks; it answers if it can be heard, which is returned."""
        self._active_s = now
        # Telling loudness is quick, but not free: 50 times a second and call.
        if self._due_s is None and self._audible_s is not None and now - self._audible_s < _LOOK_S:
            return True
        if loudness(audio.pcm) < AUDIBLE_RMS:
            return False
        self._audible_s = now
        self._due_s = None
        self._unproven = False
        return True

    def caller_acted(self, now: float) -> None:
        """The caller pressed a key: the line is not idle."""
        self._active_s = now

    def answered(self, now: float) -> None:
        """The model did something that counts as an answer, or none is due any more."""
        self._due_s = None
        self._unproven = False
        self._active_s = now

    def tick(self, now: float, *, pending_ms: float) -> Speech | Alarm | None:
        """Say the next thing that is due at ``now``; call again until it is None.

        Args:
            now: Seconds.
            pending_ms: Agent audio the caller has still to hear.
        """
        if (ended := self._caller.tick(now)) is not None:
            self._speech_changed(ended, now)
            return ended
        if now >= self._end_s:
            return DurationReached()
        if pending_ms > 0 or self._agent_playing or self._caller.speaking or self._tools_running:
            self._active_s = now
        if now >= self._active_s + self._limits.idle_s:
            return IdleReached()
        if not self._is_waiting() or self._due_s is None:
            return None
        if now >= self._overdue_at(self._due_s):
            return AnswerOverdue(now - self._first_due_s)
        if not self._nudged and now >= self._nudge_at(self._due_s):
            self._nudged = True
            return AnswerSlow()
        return None

    def _speech_changed(self, change: Speech, now: float) -> None:
        self._active_s = now
        if isinstance(change, CallerSpeechStarted):
            # Where no server can tell a barge-in from an echo, it is taken for one.
            self._perhaps_echo = (
                self._agent_playing and self._connected and not self.uninterruptible
            )
            if self._due_s is not None and change.at_s - self._due_s >= _BREATH_S:
                self._kept_waiting = True
        elif self._due_s is not None or (
            change.voiced_ms >= MIN_SPEECH_MS
            and not change.endless
            and not self._is_echo(change)
            and not self._is_answered(change)
        ):
            self.expect_answer(now)
            if not self._kept_waiting:
                self._first_due_s = now

    def _is_echo(self, speech: CallerSpeechEnded) -> bool:
        gone_s = self._agent_stopped_s + _ECHO_S + MIN_SPEECH_MS / 1000
        return self._perhaps_echo and (self._agent_playing or speech.at_s < gone_s)

    def _is_answered(self, speech: CallerSpeechEnded) -> bool:
        """A server that waits less for the end of a turn answers before we have noticed it."""
        return self._audible_s is not None and self._audible_s > speech.at_s

    def _is_waiting(self) -> bool:
        return self._connected and not (
            self._caller.speaking or self._tools_running or self._agent_playing
        )

    @property
    def _timeout_s(self) -> float:
        timeout_s = self._limits.answer_timeout_s
        return min(timeout_s, PROOF_S) if self._unproven else timeout_s

    def _nudge_at(self, due_s: float) -> float:
        return due_s if self._hurried else due_s + NUDGE_AFTER * self._timeout_s

    def _overdue_at(self, due_s: float) -> float:
        if self._given_up:
            return due_s
        timeout_s = self._timeout_s
        patience = 1.0 if self._unproven else PATIENCE
        patient_s = max(self._first_due_s + patience * timeout_s, due_s + _PAUSE_S)
        return min(due_s + timeout_s, patient_s)
