"""How the model answers, sans-IO: one reply at a time, produced, played, interrupted.

A reply is *pending* while the model thinks, from its request to its first frame. Then it is *open*:
frames are produced faster than real time, calls are made, and after the last step
``generationComplete`` is sent. It stays open until the server's own playback clock, which starts
with the first frame, says that all audio has been played; then come ``turnComplete`` and a new
resumption handle.

An interruption ends an open reply: nothing more of it is sent, then ``interrupted``,
``toolCallCancellation`` for its calls, ``turnComplete``. What the model remembers of it is what its
playback clock says was heard. A pending reply is taken back instead, for
the caller had only paused.

A blocking call keeps its reply open and the model silent. A non-blocking one closes the turn; what
the script has after it is a reply of its own, given when the result is there and the model idle.

Faults that last are branches here, named by ``Quirks``; those that happen once are methods.
"""

from __future__ import annotations

import math
import random
import re
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from workers.twin import speech
from workers.twin.live_api.calls import CallBook, OpenCalls
from workers.twin.live_api.compression import make_room
from workers.twin.live_api.engine import Event, Send
from workers.twin.live_api.memory import Memory, Snapshot
from workers.twin.live_api.messages import FunctionAnswer
from workers.twin.live_api.production import Frame, Loudness, audio_content, audio_data, produce
from workers.twin.live_api.quirks import Quirks
from workers.twin.live_api.recollection import recall, rest
from workers.twin.live_api.replies import Reply
from workers.twin.live_api.script import (
    CallTool,
    GoOn,
    LiveScript,
    Recall,
    Say,
    Silence,
    Wait,
)
from workers.twin.live_api.session_log import SaidTurn, SessionLog
from workers.twin.live_api.setup import Setup
from workers.twin.live_api.wire import encode

_BYTES_PER_MS = speech.AGENT_RATE_HZ * 2 // 1000
_WORDS = re.compile(r"\s*\w[\w'’-]*|\s*[^\w\s]+")


class Mouth:
    """The model's side of one session; ``caller_speaks`` is set by whoever hears."""

    def __init__(
        self,
        setup: Setup,
        script: LiveScript,
        log: SessionLog,
        memory: Memory,
        *,
        new_handle: Callable[[Snapshot], str],
        random_: random.Random,
        quirks: Quirks,
    ) -> None:
        self._setup = setup
        self._profile = setup.profile
        self._script = script
        self._log = log
        self._memory = memory
        self._meter = memory.meter
        self._new_handle = new_handle
        self._random = random_
        self._quirks = quirks
        self._mute = quirks.mute
        self._hands_out_handles = setup.resumption and quirks.hands_out_handles
        self._calls = CallBook(self._profile, random_)
        self._outgoing: list[Send] = []
        self._reply: Reply | None = None
        self._queued: deque[Reply] = deque()
        self._frames: deque[Frame] = deque()
        self._unsent = b""
        self._last_sent = b""
        self._wake_at: float | None = None
        self._on_wake: Callable[[float], None] = self._open
        self.caller_speaks = False
        self.messages_consumed = 0
        self.answers = 0
        """Replies that were opened."""

    @property
    def deadline(self) -> float | None:
        """When ``wake`` is next wanted."""
        return self._frames[0].due if self._frames else self._wake_at

    def take(self) -> list[Send]:
        """Return the frames to send, each once."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def wake(self, now: float) -> None:
        """Send the frames that are due, and take the next step.

        Raises:
            RefusedError: A turn would begin with more than the context holds.
        """
        while True:
            if self._frames:
                if self._frames[0].due > now:
                    return
                self._produce(self._frames.popleft(), now)
                if not self._frames:
                    self._step(now)
            elif self._wake_at is not None and self._wake_at <= now:
                self._wake_at = None
                self._on_wake(now)
            else:
                return

    def ask(self, reply: Reply, now: float) -> None:
        """Give ``reply`` now, or as soon as the model and the caller are both silent."""
        if reply.by_text and self._quirks.mute_after_barge_in == "until_text":
            self._mute = self._quirks.mute
        self._queued.append(reply)
        self._next(now)

    def take_back(self) -> Reply | None:
        """Return the pending reply, if there is one, for the caller goes on speaking."""
        if self._reply is None or self._reply.opened:
            return None
        reply, self._reply = self._reply, None
        self._wake_at = None
        return reply

    @property
    def is_open(self) -> bool:
        """Whether there is something to interrupt: an open reply, or a call it waits for."""
        return self._calls.blocking or (self._reply is not None and self._reply.opened)

    def interrupt(self, now: float) -> None:
        """Stop the open reply at once."""
        reply, self._reply = self._reply, None
        self._unsent = next((frame.pcm for frame in self._frames if frame.pcm), b"")
        self._frames.clear()
        self._wake_at = None
        self._mute = self._mute or self._quirks.mute_after_barge_in != "no"
        cancelled = self._calls.cancel(reply)
        if reply is not None:
            self._log.said[-1].interrupted_at = now
            self._remember(reply, reply.heard_ms(now))
        if reply is not None and self._quirks.interrupted_last:
            self._turn_complete(now)
        self._log.note(now, "interrupted")
        self.send({"serverContent": {"interrupted": True}}, "interruption")
        if cancelled:
            self._log.cancelled_calls += cancelled
            self.send({"toolCallCancellation": {"ids": cancelled}})
        if reply is None or self._quirks.interrupted_last:
            return
        if self._quirks.turn_complete_after_interrupted:
            self._turn_complete(now)
        else:
            self._turn_ended(now)

    def phantom_interrupt(self, now: float) -> None:
        """Be interrupted by nobody; between turns nothing but ``interrupted`` comes of it."""
        if self.is_open:
            self.interrupt(now)
            return
        self._log.note(now, "interrupted")
        self.send({"serverContent": {"interrupted": True}}, "interruption")

    def residual_audio(self, duration_ms: float) -> None:
        """Send one more audio frame of the last answer: what was not sent of it, or its end."""
        size = int(duration_ms) * _BYTES_PER_MS
        pcm = self._unsent[:size] or self._last_sent[-size:]
        if pcm:
            data = encode({"serverContent": audio_content(pcm, self._profile)})
            audio_ms = len(pcm) / _BYTES_PER_MS
            self._outgoing.append(Send(data, self.answers, 0.0, audio_ms))

    def tool_answers(self, answers: tuple[FunctionAnswer, ...], now: float) -> None:
        """Take in function results; ids that are not open are noted and ignored."""
        complete: list[OpenCalls] = []
        for answer in answers:
            record = {
                "id": answer.id,
                "name": answer.name,
                "response": answer.response,
                "scheduling": answer.scheduling,
            }
            if not self._calls.knows(answer.id):
                self._log.stray_tool_responses.append(record)
                continue
            self._log.tool_responses.append(record)
            self._log.note(now, "tool_response", answer.name)
            if self._reply is not None and self._calls.blocking:
                self._remember(self._reply)
            self._memory.tool_result(answer)
            calls = self._calls.answer(answer)
            if calls is not None:
                complete.append(calls)
        if complete:
            self._issue_handle(now)
        for calls in complete:
            self._answered(calls, now)

    def send(self, message: dict[str, Any], event: Event | None = None) -> None:
        """Send a message as it is."""
        audio_ms = self._reply.audio_ms if self._reply is not None else 0.0
        self._outgoing.append(Send(encode(message), self.answers, audio_ms, event=event))

    def happened(self, event: Event) -> None:
        """Tell that something has happened which sends nothing."""
        self._outgoing.append(Send(b"", self.answers, event=event))

    # -- one reply, from pending to complete ---------------------------------------------------

    @property
    def _current(self) -> Reply:
        assert self._reply is not None
        return self._reply

    def _later(self, at: float, action: Callable[[float], None]) -> None:
        self._wake_at = at
        self._on_wake = action

    def _next(self, now: float) -> None:
        if self._reply is not None or self.caller_speaks or self._calls.blocking:
            return
        if not self._queued:
            return
        self._reply = reply = self._queued.popleft()
        if self._hands_out_handles:
            self.send({"sessionResumptionUpdate": {"resumable": False}})
        delay_s = self._script.answer_delay_s if reply.delay_s is None else reply.delay_s
        self._later(now + delay_s + self._late_s(), self._open)

    def _late_s(self) -> float:
        """Return how late the next answer is: the latency creeps up (forum 115508)."""
        first = self._quirks.slow_from
        slower = first is not None and self._memory.answers + 1 >= first
        return self._memory.late_s + (self._quirks.slow_add_s if slower else 0.0)

    def _open(self, now: float) -> None:
        reply = self._current
        reply.opened = True
        self._memory.heard(reply.heard, reply.heard_tokens)
        if reply.turn is not None:
            self._memory.position = max(self._memory.position, reply.turn + 1)
        if self._mute:
            self._log.note(now, "mute", reply.heard)
            self._transcribe_caller(reply.heard)
            self._reply = None
            return
        make_room(
            self._memory,
            self._setup.compression,
            self._log,
            now,
            window_tokens=self._setup.window_tokens,
            answering=reply.asked,
        )
        self.answers += 1
        self._transcribe_caller(reply.heard)
        self._memory.late_s = self._late_s()
        self._memory.answers += 1
        self._memory.greeted = True
        self._log.note(now, "answer_started", reply.heard)
        self._log.said.append(SaidTurn(now))
        if reply.steps and isinstance(reply.steps[0], Silence):
            self._reply = None
            return
        if self._profile.empty_frames:
            self.send({"serverContent": {}})
        if self._profile.interaction_status:
            self.send({"serverContent": {"interactionStatus": "IN_PROGRESS"}})
        if self._setup.thinks:
            thought = {"text": "**Considering the answer**\n\nI will reply.", "thought": True}
            self.send({"serverContent": {"modelTurn": {"parts": [thought]}}})
        self._step(now)

    def _transcribe_caller(self, text: str) -> None:
        if text and self._setup.transcribe_input:
            pieces = _WORDS.findall(f" {text}") if self._profile.words_in else [text]
            for piece in pieces:
                self.send({"serverContent": {"inputTranscription": {"text": piece}}})

    def _step(self, now: float) -> None:
        """Take the next step of the open reply."""
        reply = self._current
        if not reply.steps:
            self._generated(now)
            return
        match reply.steps.popleft():
            case Say(what):
                self._say(speech.line(reply.fill(what)), reply, now)
            case GoOn(lines):
                self._say(
                    rest([speech.line(line) for line in lines], self._memory.held), reply, now
                )
            case Recall() as step:
                text, known = recall(step, self._memory.held)
                self._log.note(now, "recalled" if known else "not_recalled", step.known)
                self._say(speech.line(text), reply, now)
            case CallTool() as step:
                self._call(step, reply, now)
            case Wait(seconds):
                self._later(now + seconds, self._step)
            case Silence():
                self._reply = None

    def _say(self, line: speech.Speech, reply: Reply, now: float) -> None:
        line = line.at_rate(speech.AGENT_RATE_HZ)
        loudness: Loudness = "full"
        if self.answers in self._quirks.silent_answers:
            loudness = "none"
        elif self.answers in self._quirks.near_zero_answers:
            loudness = "near_zero"
        reply.words += [(reply.audio_ms + word.start_ms, word.text) for word in line.words]
        self._frames.extend(
            produce(
                line,
                self._profile,
                start=now,
                speed=self._script.speed,
                transcribe=self._setup.transcribe_output,
                random_=self._random,
                loudness=loudness,
            )
        )
        if not self._frames:
            self._step(now)

    def _remember(self, reply: Reply, heard_ms: float = math.inf) -> None:
        """Remember what was said so far, up to where it was heard."""
        words = [text for start_ms, text in reply.words if start_ms < heard_ms]
        self._memory.said(" ".join(words))
        reply.words.clear()

    def _produce(self, frame: Frame, now: float) -> None:
        reply = self._current
        said = self._log.said[-1]
        data = frame.data or audio_data(frame, self._profile, self._meter)
        self._outgoing.append(Send(data, self.answers, reply.audio_ms, frame.audio_ms))
        said.text += frame.text
        if frame.audio_ms:
            reply.audio_ms += frame.audio_ms
            self._last_sent, self._unsent = frame.pcm, b""
            said.audio_ms = reply.audio_ms
            self._meter.model_audio(frame.audio_ms)
            reply.audio_ends_at = max(reply.audio_ends_at or now, now) + frame.audio_ms / 1000

    def _generated(self, now: float) -> None:
        """The last audio is out; the turn ends when the playback clock says so."""
        self._log.said[-1].generated_at = now
        self.send({"serverContent": {"generationComplete": True}})
        ends_at = self._current.audio_ends_at
        self._later(now if ends_at is None else max(now, ends_at), self._complete)

    def _complete(self, now: float) -> None:
        self._log.said[-1].completed_at = now
        self._remember(self._current)
        self._reply = None
        self._turn_complete(now)
        self._next(now)

    def _turn_ended(self, now: float) -> dict[str, Any]:
        usage = self._meter.turn_ended()
        self._log.usage.append(usage)
        self._log.sample(now, self._meter.context_tokens)
        return usage

    def _turn_complete(self, now: float) -> None:
        usage = self._turn_ended(now)
        content: dict[str, Any] = {"turnComplete": True}
        if self._profile.interaction_status and not self._calls:
            content["interactionStatus"] = "IDLE"
        self.send({"serverContent": content, "usageMetadata": usage})
        self._log.note(now, "turn_complete")
        self._issue_handle(now)
        # Told with the last of what ends a turn, so that faults after a turn leave the handle.
        self._outgoing[-1] = replace(self._outgoing[-1], event="turn")

    # -- function calls ------------------------------------------------------------------------

    def _call(self, step: CallTool, reply: Reply, now: float) -> None:
        calls: list[dict[str, Any]] = []
        for call in step.calls:
            calls.append(
                {"id": self._calls.new_id(), "name": call.name, "args": reply.arguments(call)}
            )
            if call.name not in self._setup.non_blocking:
                self._log.oddities.append(f"function {call.name} was not declared")
        self._log.tool_calls += calls
        self._log.note(now, "tool_call", ",".join(call.name for call in step.calls))
        self.send({"toolCall": {"functionCalls": calls}}, "tool_call")
        blocking = not self._setup.runs_non_blocking(step.name)
        stays_open = blocking and not self._profile.closes_call_turn
        # Where the turn closes, the rest of the script's answer becomes a turn of its own.
        waits = reply if stays_open else Reply(reply.steps, groups=reply.groups)
        self._calls.open(OpenCalls(step, reply, waits, blocking, {call["id"] for call in calls}))
        if not stays_open:
            reply.steps = deque()
            self._generated(now)

    def _answered(self, calls: OpenCalls, now: float) -> None:
        """All calls of one message have their answer: the reply that waited goes on."""
        reply = calls.waits
        if calls.failed and calls.step.on_error is not None:
            reply.steps = deque(calls.step.on_error)
        if reply is self._reply:
            self._later(now + self._script.tool_delay_s, self._step)
            return
        reply.delay_s = self._script.tool_delay_s
        if not reply.steps or calls.scheduling == "SILENT":
            if self._profile.interaction_status and self._reply is None and not self._calls:
                self.send({"serverContent": {"interactionStatus": "IDLE"}})
            self._next(now)
            return
        if calls.scheduling == "INTERRUPT" and self._reply is not None and self._reply.opened:
            self.interrupt(now)
            self._queued.appendleft(reply)
            self._next(now)
            return
        self.ask(reply, now)

    def _issue_handle(self, now: float) -> None:
        # Not resumable while calls are open (google-genai, LiveServerSessionResumptionUpdate).
        if not self._hands_out_handles or self._calls:
            return
        handle = self._new_handle(self._memory.snapshot())
        self._log.handles.append(handle)
        self._log.note(now, "handle")
        update: dict[str, Any] = {"newHandle": handle, "resumable": True}
        if self._setup.transparent:
            # int64 as protobuf JSON writes it: a string.
            update["lastConsumedClientMessageIndex"] = str(self.messages_consumed)
        self.send({"sessionResumptionUpdate": update})
