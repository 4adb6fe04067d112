"""Engines that play no script."""

from __future__ import annotations

import base64
import json
import math
from array import array

from workers.twin.live_api.loops import Parrot, endless_frames, tone, websocket_frame
from workers.twin.live_api.messages import AudioIn, TextIn
from workers.twin.live_api.script import LiveScript

_MIME = "audio/pcm;rate=24000"


def audio_of(frame: bytes) -> bytes:
    part = json.loads(frame)["serverContent"]["modelTurn"]["parts"][0]["inlineData"]
    assert part["mimeType"] == _MIME
    return base64.b64decode(part["data"])


def power(pcm: bytes, hz: int, rate_hz: int) -> float:
    samples = array("h", pcm)
    sine = sum(s * math.sin(math.tau * hz * n / rate_hz) for n, s in enumerate(samples))
    cosine = sum(s * math.cos(math.tau * hz * n / rate_hz) for n, s in enumerate(samples))
    return math.hypot(sine, cosine) / max(1, len(samples)) * 2


def test_a_parrot_sends_the_callers_tone_back_at_24_khz() -> None:
    """A tone of 1 kHz in 20 ms frames comes back as one, without seams, and nothing else."""
    parrot = Parrot(_MIME)
    said = array("h", (round(8000 * math.sin(math.tau * n / 16)) for n in range(16_000))).tobytes()
    for at in range(0, len(said), 640):
        parrot.receive(AudioIn(said[at : at + 640], 16_000), 0.0)
    parrot.receive(TextIn("hello"), 0.0)
    heard = b"".join(audio_of(send.data) for send in parrot.take())
    assert parrot.take() == []
    assert abs(len(heard) - 48_000) <= 8
    assert power(heard, 1000, 24_000) > 7500
    assert power(heard, 1500, 24_000) < 40


def test_endless_frames_are_websocket_messages_of_the_chunk_length() -> None:
    """Tone frames hold 20 ms each, and a second of them repeats without a seam."""
    frames = endless_frames(LiveScript(mode="tone", tone_hz=440), _MIME)
    assert len(frames) == 50
    assert all(frame[:2] == b"\x82\x7e" for frame in frames)
    pcm = b"".join(audio_of(frame[4:]) for frame in frames)
    assert pcm == tone(440)
    assert power(pcm, 440, 24_000) > 7900


def test_websocket_frames_have_the_three_lengths_of_the_rfc() -> None:
    """RFC 6455, section 5.2: 7, 16 or 64 bits of length."""
    assert websocket_frame(b"x" * 125)[:2] == b"\x82\x7d"
    assert websocket_frame(b"x" * 126)[:4] == b"\x82\x7e\x00\x7e"
    assert websocket_frame(b"x" * 65536)[:10] == b"\x82\x7f" + (65536).to_bytes(8, "big")
