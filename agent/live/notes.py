"""What is kept of a session: transcript, usage, barge-ins, a greeting worth keeping, counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import structlog

from agent import events
from agent.audio import PcmChunk
from agent.conversation.record import BargeInRecord, UsageRecord
from agent.conversation.transcript import Transcript
from agent.live.caller_speech import CallerSpeechEnded, CallerSpeechStarted
from agent.live.greeting import GreetingCapture
from agent.live.session_events import SessionEvent

_log = structlog.get_logger()


class SessionNotes:
    """Takes down what each event means for the records of a call.

    Args:
        transcript: Is told what both sides say.
        on_greeting_audio: Takes the audio of a greeting that was spoken whole.
    """

    def __init__(
        self, transcript: Transcript, on_greeting_audio: Callable[[PcmChunk], None] | None
    ) -> None:
        self.usage = UsageRecord()
        self.barge_ins: list[BargeInRecord] = []
        self.counters: Counter[str] = Counter()
        self._transcript = transcript
        self._on_greeting_audio = on_greeting_audio
        self._capture: GreetingCapture | None = None

    def greeting_asked(self, greeting: str) -> None:
        """The model is about to be asked for its greeting."""
        if self._on_greeting_audio is not None:
            self._capture = GreetingCapture(greeting)

    def playout_cleared(self) -> float:
        """What the caller has not heard by now will not be heard; return its milliseconds."""
        record = self._transcript.interrupted()
        if record.cut_ms > 0:
            self.barge_ins.append(record)
        if self._capture is not None:
            self._capture.spoil()
        return record.cut_ms

    def take(self, event: SessionEvent) -> None:
        """Take down one event; agent audio before it is handed on to be played."""
        note = _NOTES.get(type(event))
        if note is not None:
            note(self, event)

    def _audio(self, event: SessionEvent) -> None:
        assert isinstance(event, events.AudioReceived)
        self._transcript.agent_audio(event.audio.duration_ms)
        if self._capture is not None and not self._capture.done:
            self._capture.audio(event.audio)

    def _agent_text(self, event: SessionEvent) -> None:
        assert isinstance(event, events.OutputTranscribed)
        self._transcript.agent_text(event.text, event.finished)
        if self._capture is not None and not self._capture.done:
            self._capture.text(event.text)

    def _caller_text(self, event: SessionEvent) -> None:
        assert isinstance(event, events.InputTranscribed)
        self._transcript.caller_text(event.text, event.finished)

    def _generation(self, _event: SessionEvent) -> None:
        self._transcript.generation_completed()

    def _turn(self, _event: SessionEvent) -> None:
        self._transcript.turn_completed()
        if self._capture is not None and self._on_greeting_audio is not None:
            # Here and not at ``generationComplete``: its last words may still be to come.
            audio = self._capture.complete()
            if audio is not None:
                self._on_greeting_audio(audio)

    def _speech_start(self, event: SessionEvent) -> None:
        assert isinstance(event, CallerSpeechStarted)
        self._transcript.caller_speech_started(event.at_s)

    def _speech_end(self, event: SessionEvent) -> None:
        assert isinstance(event, CallerSpeechEnded)
        self._transcript.caller_speech_ended(event.at_s)

    def _tokens(self, event: SessionEvent) -> None:
        assert isinstance(event, events.UsageReported)
        if event.prompt_tokens > 0:
            # Samples without a prompt are per chunk of audio (observed on 3.1).
            self.usage.context_tokens = event.prompt_tokens
        self.usage.response_tokens += event.response_tokens
        self.usage.total_tokens += event.total_tokens

    def _unrecognised(self, event: SessionEvent) -> None:
        assert isinstance(event, events.Unrecognised)
        if not self.counters["live_unrecognised"]:
            _log.info("live.unrecognised", keys=event.keys)
        self.counters["live_unrecognised"] += 1

    def _malformed(self, event: SessionEvent) -> None:
        assert isinstance(event, events.MalformedReceived)
        if not self.counters["live_malformed"]:
            _log.warning("live.malformed", detail=event.detail)
        self.counters["live_malformed"] += 1


_NOTES: dict[type[SessionEvent], Callable[[SessionNotes, SessionEvent], None]] = {
    events.AudioReceived: SessionNotes._audio,
    events.OutputTranscribed: SessionNotes._agent_text,
    events.InputTranscribed: SessionNotes._caller_text,
    events.GenerationCompleted: SessionNotes._generation,
    events.TurnCompleted: SessionNotes._turn,
    events.UsageReported: SessionNotes._tokens,
    events.Unrecognised: SessionNotes._unrecognised,
    events.MalformedReceived: SessionNotes._malformed,
    CallerSpeechStarted: SessionNotes._speech_start,
    CallerSpeechEnded: SessionNotes._speech_end,
}
