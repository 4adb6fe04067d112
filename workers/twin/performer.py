"""Acts a caller's script out in 20 ms steps: what the phone sends next, and what the person does.

The person starts when the phone rings. A step either takes time (waits, sounds) or is handed out
at once as an act. What the other end says is judged by loudness, counted since the caller last
made a sound; a wait that runs out makes the person hang up, so that no script lasts for ever.

The voice of a coded script is one running number for each frame from the answer on, whatever the
steps do; they only say whether it is loud. After 327 s the numbers begin again with 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from workers.twin import phone_audio, position_code
from workers.twin.caller import (
    Act,
    CallerScript,
    HangUp,
    Press,
    Record,
    Say,
    Speak,
    StaySilent,
    Step,
    Tone,
    Wait,
    WaitAgentDone,
    WaitAgentSpoke,
    WaitAgentStarts,
    WaitSeconds,
    WaitStream,
)
from workers.twin.phone_audio import FRAME_MS, QUIET, Frame, Sound

# Two loud frames: one alone may be a click.
_STARTED_MS = 2 * FRAME_MS
# People press about four keys a second.
_KEY_S = 0.25
_KEY_PAUSE_S = {"w": 0.5, "W": 1.0}
# What people hang up in place of; whoever has asked hears the answer first.
_OF_THEIR_OWN = (Say, Tone, Speak, Press, Record, WaitSeconds, StaySilent)


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """One key of ``Press``."""

    digit: str


@dataclass(frozen=True, slots=True)
class StepBegun:
    """The script has come to this step."""

    step: Step


@dataclass(frozen=True, slots=True)
class StepTimedOut:
    """A wait ran out; the person hangs up."""

    step: Step


Doing = Act | KeyPressed | StepBegun | StepTimedOut


class Performer:
    """Set ``answered`` and ``streaming`` as the call goes; call ``tick`` every 20 ms."""

    def __init__(self, script: CallerScript, *, speed: float = 1.0) -> None:
        self._steps = script.steps
        self._speed = speed
        self._index = 0
        self._begun_s: float | None = None
        self._sound: Sound | None = None
        self._coded = script.coded
        self._noisy = script.noisy
        self._leaves_after_s = script.leaves_after_s
        self._answered_s: float | None = None
        self._ticks = 0
        self._code = 0
        self._loud_frames = 0
        self._frame = 0
        self._keys: list[tuple[float, str]] = []
        self._spoke_ms = 0
        self._quiet_since_s = 0.0
        self._quiet = 0
        self._doings: list[Doing] = []
        self.answered = False
        self.streaming = False

    @property
    def finished(self) -> bool:
        """Whether every step is done."""
        return self._index >= len(self._steps)

    def tick(self, now: float, hears_speech: Callable[[], bool]) -> Frame:
        """Return the next 20 ms of the person's voice, mostly silence."""
        self._ticks += 1
        if self.answered and self._answered_s is None:
            self._answered_s = now
        if not self.finished:
            if hears_speech():
                self._spoke_ms += FRAME_MS
                self._quiet_since_s = now
            while self._index < len(self._steps) and self._is_over(self._steps[self._index], now):
                self._index += 1
                self._begun_s = None
        if self._coded and self.answered:
            return self._next_code()
        frame = self._next_frame()
        return phone_audio.with_hiss(frame, self._ticks) if self._noisy else frame

    def _next_frame(self) -> Frame:
        sound = self._sound
        if sound is None:
            self._quiet = (self._quiet + 1) % len(QUIET)
            return QUIET[self._quiet]
        frame = sound.frames[self._frame % len(sound.frames)]
        self._frame += 1
        return frame

    def _next_code(self) -> Frame:
        loud = self._frame < self._loud_frames
        self._frame += loud
        code, self._code = self._code, (self._code + 1) % position_code.CODES
        return phone_audio.coded(code, loud=loud, hiss=self._noisy)

    def take_doings(self) -> list[Doing]:
        """Hand out what the person did since the last time."""
        if not self._doings:
            return self._doings
        doings, self._doings = self._doings, []
        return doings

    def _is_over(self, step: Step, now: float) -> bool:
        if self._begun_s is None:
            if isinstance(step, Say | Tone | Speak | Press | Record) and not self.answered:
                return False  # Nobody talks to a phone that rings.
            if self._has_stayed(now) and isinstance(step, _OF_THEIR_OWN):
                self._leave()
                return False
            self._begun_s = now
            self._doings.append(StepBegun(step))
            self._begin(step, now)
        match step:
            case Say() | Tone() | Speak():
                return self._sound_is_over(now)
            case Press():
                return self._keys_are_pressed(now)
            case WaitSeconds(seconds):
                return now >= self._begun_s + seconds / self._speed
            case Record(seconds):
                return now >= self._begun_s + seconds
            case WaitStream() | WaitAgentStarts() | WaitAgentDone() | WaitAgentSpoke():
                return self._has_come(step, now) or self._is_too_late(step, now)
            case StaySilent():
                return False
        self._doings.append(step)
        return True

    def _has_stayed(self, now: float) -> bool:
        """Whether they meant to be gone by now."""
        if self._leaves_after_s is None or self._answered_s is None:
            return False
        return now >= self._answered_s + self._leaves_after_s / self._speed

    def _leave(self) -> None:
        self._doings.append(HangUp())
        self._index = len(self._steps)

    def _begin(self, step: Step, now: float) -> None:
        self._frame = 0
        match step:
            case Say(bytes(pcm)):
                self._sound = phone_audio.from_pcm(pcm)
            case Say(str(what)):
                self._sound = phone_audio.said(what)
            case Tone(hz, ms):
                self._sound = phone_audio.tone(hz, ms)
            case Speak(ms):
                self._loud_frames = math.ceil(ms / FRAME_MS)
            case Press(digits):
                at_s = now
                for digit in digits:
                    if digit not in _KEY_PAUSE_S:
                        self._keys.append((at_s, digit))
                    at_s += _KEY_PAUSE_S.get(digit, _KEY_S)

    def _sound_is_over(self, now: float) -> bool:
        count = self._loud_frames if self._sound is None else self._sound.count
        if self._frame < count:
            return False
        self._sound = None
        self._loud_frames = 0
        self._forget_speech(now)
        return True

    def _keys_are_pressed(self, now: float) -> bool:
        while self._keys and self._keys[0][0] <= now:
            self._doings.append(KeyPressed(self._keys.pop(0)[1]))
            self._forget_speech(now)
        return not self._keys

    def _forget_speech(self, now: float) -> None:
        self._spoke_ms = 0
        self._quiet_since_s = now

    def _has_come(self, step: Wait, now: float) -> bool:
        match step:
            case WaitStream():
                return self.streaming
            case WaitAgentSpoke(ms):
                return self._spoke_ms >= ms
            case WaitAgentDone(quiet_ms):
                quiet_s = now - self._quiet_since_s
                return self._spoke_ms >= _STARTED_MS and quiet_s * 1000 >= quiet_ms
        return self._spoke_ms >= _STARTED_MS

    def _is_too_late(
        self, step: WaitStream | WaitAgentStarts | WaitAgentDone | WaitAgentSpoke, now: float
    ) -> bool:
        if self._begun_s is None or now < self._begun_s + step.timeout_s:
            return False
        self._doings.append(StepTimedOut(step))
        self._leave()
        return True
