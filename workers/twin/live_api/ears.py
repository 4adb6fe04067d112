"""Hears when the caller speaks: energy of the audio received, on the audio's own time.

Time is milliseconds of audio received, not the wall clock, so that audio replayed faster than real
time is heard as it was spoken, and a stream that stops leaves the turn open, as on the real server.
"""

from __future__ import annotations

import audioop
from dataclasses import dataclass

from workers.twin.live_api.setup import Detection

_BLOCK_MS = 20
# Consonants and the gaps between words are quiet; a pause this long starts the count again.
_GAP_MS = 120
# How much of an utterance is kept for who wants to listen to it.
_KEPT_MS = 60_000


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller speaks; ``at_ms`` is where in the audio it began."""

    at_ms: float


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The caller has been silent long enough; ``at_ms`` is where the silence began."""

    started_ms: float
    at_ms: float


class Ears:
    """Turns caller audio into starts and ends of speech."""

    def __init__(self, detection: Detection) -> None:
        self._detection = detection
        self._rest = b""
        self._rate_hz = 0
        self._heard_ms = 0.0
        self._voiced_ms = 0.0
        self._quiet_ms = 0.0
        self._started_ms = 0.0
        self._last_voice_ms = 0.0
        self._utterance = bytearray()
        self._marked = False
        self.speaking = False
        self.speech_ms = 0.0
        """Audio that was part of a turn, so far."""

    @property
    def utterance(self) -> tuple[bytes, int]:
        """The audio of the turn that is open or has just ended, PCM16, and its rate."""
        return bytes(self._utterance), self._rate_hz

    @property
    def spoken_ms(self) -> float:
        """Length of the turn that is open, so far; 0 where none is."""
        return self._heard_ms - self._started_ms if self.speaking else 0.0

    def mark(self, *, started: bool) -> SpeechStarted | SpeechEnded:
        """Open or close a turn at the client's word (manual activity detection)."""
        self._marked = self.speaking = started
        if started:
            self._utterance.clear()
            self._started_ms = self._heard_ms
            return SpeechStarted(self._heard_ms)
        return SpeechEnded(self._started_ms, self._heard_ms)

    @property
    def heard_ms(self) -> float:
        """Audio received, so far."""
        return self._heard_ms

    def push(self, pcm: bytes, rate_hz: int) -> list[SpeechStarted | SpeechEnded]:
        """Take in PCM16 of any length and say what it showed."""
        if rate_hz != self._rate_hz:
            self._rest = b""
            self._rate_hz = rate_hz
        if self._rest:
            pcm = self._rest + pcm
        size = rate_hz * _BLOCK_MS // 1000 * 2
        whole = len(pcm) - len(pcm) % size
        self._rest = pcm[whole:]
        events: list[SpeechStarted | SpeechEnded] = []
        for at in range(0, whole, size):
            loud = audioop.rms(pcm[at : at + size], 2) >= self._detection.loudness
            self._heard_ms += _BLOCK_MS
            if self._marked:
                self.speech_ms += _BLOCK_MS
                self._keep(pcm[at : at + size])
                continue
            event = self._block(loud)
            if self.speaking or self._voiced_ms:
                self._keep(pcm[at : at + size])
            if event is not None:
                events.append(event)
        return events

    def flush(self) -> list[SpeechStarted | SpeechEnded]:
        """End the turn now if one is open (``audioStreamEnd``)."""
        if not self.speaking:
            return []
        return [self._end()]

    def _block(self, loud: bool) -> SpeechStarted | SpeechEnded | None:
        if self.speaking:
            self.speech_ms += _BLOCK_MS
        if loud:
            if self._voiced_ms == 0 and not self.speaking:
                self._started_ms = self._heard_ms - _BLOCK_MS
                self._utterance.clear()
            self._voiced_ms += _BLOCK_MS
            self._quiet_ms = 0
            self._last_voice_ms = self._heard_ms
            if not self.speaking and self._voiced_ms >= self._detection.prefix_padding_ms:
                self.speaking = True
                self.speech_ms += self._voiced_ms
                return SpeechStarted(self._started_ms)
            return None
        self._quiet_ms += _BLOCK_MS
        if self._quiet_ms > _GAP_MS and not self.speaking:
            self._voiced_ms = 0
        if self.speaking and self._quiet_ms >= self._detection.silence_ms:
            return self._end()
        return None

    def _keep(self, block: bytes) -> None:
        if len(self._utterance) < _KEPT_MS * self._rate_hz // 500:
            self._utterance += block

    def _end(self) -> SpeechEnded:
        self.speaking = False
        self._voiced_ms = self._quiet_ms = 0
        voiced_ms = int(self._last_voice_ms - self._started_ms)
        del self._utterance[voiced_ms * self._rate_hz // 1000 * 2 :]
        return SpeechEnded(self._started_ms, self._last_voice_ms)
