"""Engines that play no script: the caller's own voice back, or the same audio for ever."""

from __future__ import annotations

import audioop
import math
from array import array
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from workers.twin import speech
from workers.twin.live_api.engine import Send
from workers.twin.live_api.messages import AudioIn, ClientMessage, LegacyMediaIn
from workers.twin.live_api.script import LiveScript
from workers.twin.live_api.wire import audio_frame

_TONE_PEAK = 8000


class Parrot:
    """Sends the caller's audio back as it comes, brought to 24 kHz; says nothing of its own."""

    deadline: float | None = None

    def __init__(self, audio_mime: str) -> None:
        self._mime = audio_mime
        self._state: Any = None  # audioop's own, opaque
        self._rate_hz = 0
        self._outgoing: list[Send] = []
        self._said_ms = 0.0

    def receive(self, message: ClientMessage, now: float) -> None:
        """Take in a message; all but audio is ignored."""
        match message:
            case AudioIn():
                self._echo(message)
            case LegacyMediaIn(chunks):
                for chunk in chunks:
                    self._echo(chunk)
            case _:
                pass

    def wake(self, now: float) -> None:
        """Do nothing: a parrot speaks when it is spoken to."""

    def take(self) -> list[Send]:
        """Return the frames to send, each once."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def _echo(self, audio: AudioIn) -> None:
        if audio.rate_hz != self._rate_hz:
            self._state, self._rate_hz = None, audio.rate_hz
        # Straight lines between samples: images lie above 8 kHz, where a phone hears nothing.
        pcm, self._state = audioop.ratecv(
            audio.pcm[: len(audio.pcm) & ~1],
            2,
            1,
            audio.rate_hz,
            speech.AGENT_RATE_HZ,
            self._state,
        )
        if pcm:
            audio_ms = len(pcm) * 500 / speech.AGENT_RATE_HZ
            frame = audio_frame(pcm, self._mime)
            self._outgoing.append(Send(frame, 1, self._said_ms, audio_ms))
            self._said_ms += audio_ms


def endless_frames(script: LiveScript, audio_mime: str) -> Sequence[bytes]:
    """Return the frames that modes ``tone`` and ``stream`` repeat at real time.

    They are complete WebSocket frames: what goes on the wire is made once, so that the far end of
    a benchmark costs next to nothing but its TLS.
    """
    if script.mode == "tone":
        return _frames(tone(script.tone_hz), script.chunk_ms, audio_mime)
    return _frames(script.audio or speech.line("agent_hours").pcm, script.chunk_ms, audio_mime)


def tone(hz: int, *, seconds: int = 1) -> bytes:
    """Return a sine of whole seconds, PCM16 at 24 kHz, which repeats without a seam."""
    samples = array(
        "h",
        (
            round(_TONE_PEAK * math.sin(math.tau * hz * n / speech.AGENT_RATE_HZ))
            for n in range(speech.AGENT_RATE_HZ * seconds)
        ),
    )
    return samples.tobytes()


@lru_cache(maxsize=16)
def _frames(pcm: bytes, chunk_ms: int, audio_mime: str) -> Sequence[bytes]:
    size = speech.AGENT_RATE_HZ * chunk_ms // 1000 * 2
    return tuple(
        websocket_frame(audio_frame(pcm[at : at + size], audio_mime))
        for at in range(0, len(pcm) - size + 1, size)
    )


def websocket_frame(payload: bytes) -> bytes:
    """Wrap a payload as one unmasked binary WebSocket message (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x82" + size.to_bytes(1, "big") + payload
    if size < 1 << 16:
        return b"\x82\x7e" + size.to_bytes(2, "big") + payload
    return b"\x82\x7f" + size.to_bytes(8, "big") + payload
