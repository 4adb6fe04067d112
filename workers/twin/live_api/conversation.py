"""One session of a model that plays a script, sans-IO: what the client sends, and what it sets off.

The caller's turns come from the ears or, in manual mode, from the client. Text is activity too and
needs no end. Both interrupt an open reply, unless the setup says ``NO_INTERRUPTION``.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from workers.twin import speech
from workers.twin.live_api.ears import Ears, SpeechEnded, SpeechStarted
from workers.twin.live_api.engine import Send
from workers.twin.live_api.memory import BLANK, Memory, Snapshot
from workers.twin.live_api.messages import (
    ActivityEndIn,
    ActivityStartIn,
    AudioIn,
    AudioStreamEndIn,
    ClientMessage,
    ContentIn,
    ContextUpdateIn,
    LegacyMediaIn,
    TextIn,
    ToolResponseIn,
    VideoIn,
    invalid,
)
from workers.twin.live_api.mouth import Mouth
from workers.twin.live_api.quirks import SOUND, Quirks
from workers.twin.live_api.replies import Replies, Reply
from workers.twin.live_api.script import LiveScript
from workers.twin.live_api.session_log import HeardTurn, SessionLog
from workers.twin.live_api.setup import Setup
from workers.twin.live_api.understanding import Understanding, codes_of
from workers.twin.live_api.usage import Meter


class Conversation:
    """The engine of mode ``script``."""

    def __init__(
        self,
        setup: Setup,
        script: LiveScript,
        log: SessionLog,
        *,
        new_handle: Callable[[Snapshot], str],
        snapshot: Snapshot = BLANK,
        understanding: Understanding | None = None,
        quirks: Quirks = SOUND,
        seed: int = 0,
    ) -> None:
        """Begin, or go on from ``snapshot``: what the session was when the handle was issued."""
        self._setup = setup
        self._profile = setup.profile
        self._detection = setup.detection
        self._log = log
        position = snapshot.position
        if not quirks.greets_again:
            position = _told(script, setup.system_instruction, position)
        self._replies = Replies(
            script,
            understanding,
            position=position,
            greeted=snapshot.greeted or position > 0,
            greets_again=quirks.greets_again,
        )
        self._ears = Ears(setup.detection)
        self._meter = Meter(vertex=setup.profile.vertex)
        self._meter.instruction(setup.system_instruction)
        self._memory = Memory(log.memory, self._meter, snapshot)
        self._mouth = Mouth(
            setup,
            script,
            log,
            self._memory,
            new_handle=new_handle,
            random_=random.Random(seed),  # noqa: S311  (a repeatable simulation, no secret)
            quirks=quirks,
        )
        self._postponed: Reply | None = None
        self._counted_ms = 0.0
        self._activity_open = False
        self._seeding = setup.history_first
        self._asked = ""
        self.utterances = 0
        """Turns of the caller that began; a pause in a turn begins another."""

    @property
    def deadline(self) -> float | None:
        """When ``wake`` is next wanted."""
        return self._mouth.deadline

    @property
    def spoken_ms(self) -> float:
        """Length of the caller's turn that is open, so far; 0 where none is."""
        return self._ears.spoken_ms

    def phantom_interrupt(self, now: float) -> None:
        """Interrupt the model although nobody spoke."""
        self._mouth.phantom_interrupt(now)

    def residual_audio(self, duration_ms: float) -> None:
        """Send a frame of an answer that is over."""
        self._mouth.residual_audio(duration_ms)

    def take(self) -> list[Send]:
        """Return the frames to send, each once."""
        return self._mouth.take()

    def wake(self, now: float) -> None:
        """Do what is due by ``now``."""
        self._mouth.wake(now)

    def receive(self, message: ClientMessage, now: float) -> None:
        """Take in a message.

        Raises:
            RefusedError: The real server closes the connection here.
        """
        self._mouth.messages_consumed += 1
        match message:
            case AudioIn():
                self._audio(message, now)
            case LegacyMediaIn(chunks):
                if not self._profile.media_chunks:
                    raise invalid()  # sip-to-ai#5
                for chunk in chunks:
                    self._audio(chunk, now)
            case TextIn(text):
                self._text(text, now)
            case ActivityStartIn() | ActivityEndIn():
                self._manual_activity(started=isinstance(message, ActivityStartIn), now=now)
            case AudioStreamEndIn():
                if self._detection.manual:
                    raise invalid()
                if self._profile.stream_end_ends_turn:
                    self._hear(self._ears.flush(), now)
            case ContentIn():
                self._content(message, now)
            case ToolResponseIn(answers):
                if not self._profile.vertex and any(not answer.id for answer in answers):
                    raise invalid()
                self._mouth.tool_answers(answers, now)
            case ContextUpdateIn(system_instruction):
                if not self._profile.context_update:
                    raise invalid()
                self._meter.instruction(system_instruction or "")
            case VideoIn():
                pass

    def _audio(self, audio: AudioIn, now: float) -> None:
        if self._detection.manual:
            # Audio outside an activity is dropped (pipecat#4597); the ears only keep the time.
            if self._activity_open:
                self._ears.push(audio.pcm, audio.rate_hz)
            return
        self._hear(self._ears.push(audio.pcm, audio.rate_hz), now)

    def _manual_activity(self, *, started: bool, now: float) -> None:
        if not self._detection.manual:
            raise invalid()
        if started == self._activity_open:
            self._log.oddities.append("activityStart or activityEnd twice")
            return
        self._activity_open = started
        self._hear([self._ears.mark(started=started)], now)

    def _hear(self, events: list[SpeechStarted | SpeechEnded], now: float) -> None:
        for event in events:
            started = isinstance(event, SpeechStarted)
            self._mouth.caller_speaks = started
            self._log.note(now, "speech_started" if started else "speech_ended")
            if self._setup.vad_signal:
                kind = "ACTIVITY_START" if started else "ACTIVITY_END"
                offset = f"{event.at_ms / 1000:g}s"
                self._mouth.send(
                    {"voiceActivity": {"voiceActivityType": kind, "audioOffset": offset}}
                )
            if isinstance(event, SpeechStarted):
                self.utterances += 1
                self._postponed = self._mouth.take_back() or self._postponed
                self._interrupt(now)
            else:
                self._caller_turn_ended(event, now)

    def _caller_turn_ended(self, event: SpeechEnded, now: float) -> None:
        # A reply that was taken back is still owed; the caller's turn simply went on.
        codes = codes_of(*self._ears.utterance)
        postponed, self._postponed = self._postponed, None
        if postponed is None:
            reply = self._replies.to_speech(codes)
        else:
            reply = self._replies.to_more_speech(postponed, codes)
            if reply is not postponed:
                self._memory.add("user", postponed.heard)
        heard = HeardTurn(reply.heard, event.started_ms, event.at_ms, now, codes)
        self._log.heard.append(heard)
        self._mouth.happened("speech_end")
        ears = self._ears
        total_ms = ears.heard_ms if self._detection.all_input else ears.speech_ms
        self._meter.caller_audio(total_ms - self._counted_ms)
        self._counted_ms = total_ms
        self._mouth.ask(reply, now)

    def _text(self, text: str, now: float) -> None:
        self._log.texts.append(text)
        self._log.note(now, "text", text)
        self._meter.text(text)
        self._memory.add("user", text)
        if self._profile.echoes_text and self._setup.transcribe_input:
            self._mouth.send({"serverContent": {"inputTranscription": {"text": text}}})
        self._asked_by_text(text, now)

    def _content(self, content: ContentIn, now: float) -> None:
        """Take in ``clientContent``: history, context, or text that asks for an answer."""
        roles = {"user", "model", "system"} if self._profile.vertex else {"user", "model"}
        if any(role not in roles for role, _ in content.turns):
            raise invalid()
        if self._mouth.answers and not self._profile.content_after_first_turn:
            raise invalid()  # google/adk-python#5076
        for role, text in content.turns:
            self._meter.text(text)
            self._memory.add(role, text)
            if role == "user":
                self._log.texts.append(text)
                self._asked = text
        self._log.note(now, "content", f"{len(content.turns)} turns")
        if not content.turn_complete:
            return
        text, self._asked = self._asked, ""
        if self._seeding:
            # The seed ends here and never asks for an answer; realtime input follows.
            self._seeding = False
            return
        self._asked_by_text(text, now)

    def _asked_by_text(self, text: str, now: float) -> None:
        reply = self._replies.to_text(text)
        self._interrupt(now)
        self._mouth.ask(reply, now)

    def _interrupt(self, now: float) -> None:
        if self._detection.interrupts and self._mouth.is_open:
            self._mouth.interrupt(now)


def _told(script: LiveScript, instruction: str, position: int) -> int:
    """Return the script's position past the turns that the instruction says have been."""
    told = " ".join(instruction.split())
    turns = script.turns
    while position < len(turns) and speech.line(turns[position].heard).text in told:
        position += 1
    return position
