"""One session of a model that plays a script, sans-IO: what the client sends, and what it sets off.

The caller's turns come from the ears or, in manual mode, from the client. Text is activity too and
needs no end. Both interrupt an open reply, unless the setup says ``NO_INTERRUPTION``.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from workers.twin.live_api.compression import check_window
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
from workers.twin.live_api.usage import RATES, Meter, Rates


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
        rates: Rates = RATES,
        seed: int = 0,
    ) -> None:
        """Begin, or go on from ``snapshot``: what the session was when the handle was issued."""
        self._setup = setup
        self._profile = setup.profile
        self._detection = setup.detection
        self._log = log
        self._replies = Replies(
            script,
            understanding,
            position=snapshot.position,
            greeted=snapshot.greeted,
            greets_again=quirks.greets_again,
        )
        self._learns = not quirks.greets_again
        if self._learns:
            self._replies.told(setup.system_instruction)
        self._ears = Ears(setup.detection)
        self._meter = Meter(vertex=setup.profile.vertex, rates=rates)
        self._memory = Memory(
            log.lines, self._meter, snapshot, instruction=setup.system_instruction
        )
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
        self._turn_tokens = 0.0
        self._history: list[str] = []
        self._activity_open = False
        self._seeding = setup.history_first
        self._asked: tuple[str, int | None] = ("", None)
        self.utterances = 0
        """Turns of the caller that began; a pause in a turn begins another."""
        log.context_tokens = self._meter.context_tokens

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
        """Do what is due by ``now``.

        Raises:
            RefusedError: The context is full.
        """
        self._mouth.wake(now)
        self._measure()

    def receive(self, message: ClientMessage, now: float) -> None:
        """Take in a message.

        Raises:
            RefusedError: The real server closes the connection here.
        """
        self._receive(message, now)
        self._measure()

    def _receive(self, message: ClientMessage, now: float) -> None:
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
                if system_instruction is not None:
                    self._update(system_instruction, now)
            case VideoIn():
                pass

    def _measure(self) -> None:
        self._log.context_tokens = self._meter.context_tokens
        if self._setup.compression is None:
            check_window(self._memory, self._setup.window_tokens)

    def _update(self, instruction: str, now: float) -> None:
        self._memory.instruct(instruction)
        self._log.context_updates.append(instruction)
        self._log.note(now, "context_update", f"{len(instruction)} characters")

    def _audio(self, audio: AudioIn, now: float) -> None:
        if self._detection.manual:
            # Audio outside an activity is dropped (pipecat#4597); the ears only keep the time.
            if self._activity_open:
                self._ears.push(audio.pcm, audio.rate_hz)
                self._count()
            return
        self._hear(self._ears.push(audio.pcm, audio.rate_hz), now)
        self._count()

    def _count(self) -> None:
        """Count the audio that came since this was last asked for."""
        ears = self._ears
        total_ms = ears.heard_ms if self._detection.all_input else ears.speech_ms
        self._turn_tokens += self._meter.caller_audio(total_ms - self._counted_ms)
        self._counted_ms = total_ms

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
                self._memory.heard(postponed.heard, postponed.heard_tokens)
        self._count()
        reply.heard_tokens += self._turn_tokens
        self._turn_tokens = 0.0
        heard = HeardTurn(reply.heard, event.started_ms, event.at_ms, now, codes)
        self._log.heard.append(heard)
        self._log.sample(now, self._meter.context_tokens)
        self._mouth.happened("speech_end")
        self._mouth.ask(reply, now)

    def _text(self, text: str, now: float) -> None:
        self._log.texts.append(text)
        self._log.note(now, "text", text)
        self._interrupt(now)
        asked = self._memory.written("user", text)
        if self._profile.echoes_text and self._setup.transcribe_input:
            self._mouth.send({"serverContent": {"inputTranscription": {"text": text}}})
        self._asked_by_text(text, asked, now)

    def _content(self, content: ContentIn, now: float) -> None:
        """Take in ``clientContent``: history, context, or text that asks for an answer."""
        roles = {"user", "model", "system"} if self._profile.vertex else {"user", "model"}
        if any(role not in roles for role, _ in content.turns):
            raise invalid()
        if self._mouth.answers and not self._profile.content_after_first_turn:
            raise invalid()  # google/adk-python#5076
        if content.turn_complete and not self._seeding:
            self._interrupt(now)
        for role, text in content.turns:
            number = self._memory.written(role, text)
            if role == "user":
                self._log.texts.append(text)
                self._asked = (text, number)
        self._learn(content)
        self._log.note(now, "content", f"{len(content.turns)} turns")
        if not content.turn_complete:
            return
        (text, asked), self._asked = self._asked, ("", None)
        if self._seeding:
            # The seed ends here and never asks for an answer; realtime input follows.
            self._seeding = False
            return
        self._asked_by_text(text, asked, now)

    def _learn(self, content: ContentIn) -> None:
        """Go on after what history says has been, as after what the instruction says."""
        if not self._learns or self._log.heard or self._mouth.answers:
            return
        turns = list(content.turns)
        if content.turn_complete and not self._seeding and turns and turns[-1][0] == "user":
            turns.pop()  # This one is asked here and now.
        self._history += (text for _, text in turns)
        told = "\n".join((self._setup.system_instruction, *self._history))
        self._replies.told(told, greeted=any(role == "model" for role, _ in turns))

    def _asked_by_text(self, text: str, asked: int | None, now: float) -> None:
        reply = self._replies.to_text(text)
        reply.asked = asked
        self._mouth.ask(reply, now)

    def _interrupt(self, now: float) -> None:
        if self._detection.interrupts and self._mouth.is_open:
            self._mouth.interrupt(now)
