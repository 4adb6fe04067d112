"""Sound small enough for a page."""

from __future__ import annotations

import base64
import io
import struct
from array import array

import av

from telephony.audio.g711 import ulaw_to_pcm
from tests.tone import amplitude_at, tone
from workers.dashboard.call_page.page_audio import MAX_BYTES, data_uri, opus_webm, ulaw_wav
from workers.dashboard.call_page.waveform import Recording

RATE_HZ = 8000


def two_tones(duration_ms: float) -> Recording:
    """Caller 500 Hz, agent 1200 Hz."""
    caller = array("h", tone(500, duration_ms, rate_hz=RATE_HZ))
    agent = array("h", tone(1200, duration_ms, rate_hz=RATE_HZ))
    pcm = array("h", bytes(4 * len(caller)))
    pcm[0::2], pcm[1::2] = caller, agent
    return Recording(pcm.tobytes(), RATE_HZ)


def test_ulaw_wav_is_well_formed_and_keeps_both_tones() -> None:
    """RIFF sizes are right, the format is µ-law, and each side has its tone."""
    wav = ulaw_wav(two_tones(500))
    assert struct.unpack("<4sI4s", wav[:12]) == (b"RIFF", len(wav) - 8, b"WAVE")
    layout = struct.unpack("<4sIHHIIHHH", wav[12:38])
    assert layout == (b"fmt ", 18, 7, 2, RATE_HZ, 2 * RATE_HZ, 2, 8, 0)
    assert struct.unpack("<4sII", wav[38:50]) == (b"fact", 4, 4000)
    assert struct.unpack("<4sI", wav[50:58]) == (b"data", 8000)
    sound = Recording(ulaw_to_pcm(wav[58:]), RATE_HZ)
    for agent, hz, other_hz in ((False, 500, 1200), (True, 1200, 500)):
        side = sound.side(agent=agent)
        assert 7600 < amplitude_at(side, hz, rate_hz=RATE_HZ) < 8400
        assert amplitude_at(side, other_hz, rate_hz=RATE_HZ) < 200


def test_opus_keeps_both_tones_and_the_length() -> None:
    """WebM that FFmpeg reads back as long as it was, each side with its tone."""
    file = io.BytesIO(opus_webm(two_tones(2000), bit_rate=24_000))
    sound = b""
    with av.open(file, "r") as container:
        resampler = av.AudioResampler("s16", "stereo", RATE_HZ)
        for frame in container.decode(audio=0):
            for piece in resampler.resample(frame):
                sound += bytes(piece.planes[0])[: piece.samples * 4]
    back = Recording(sound, RATE_HZ)
    assert abs(back.duration_s - 2.0) < 0.05
    for agent, hz, other_hz in ((False, 500, 1200), (True, 1200, 500)):
        side = back.side(agent=agent)
        loud = amplitude_at(side, hz, rate_hz=RATE_HZ)
        assert loud > 10 * amplitude_at(side, other_hz, rate_hz=RATE_HZ)


def test_short_is_ulaw_and_long_is_opus() -> None:
    """A recording that fits is a WAV; a longer one Opus within the bound; too long, none."""
    recording = two_tones(3000)
    short = data_uri(recording)
    assert short is not None
    assert short.startswith("data:audio/wav;base64,")
    longer = data_uri(recording, max_bytes=20_000)
    assert longer is not None
    assert longer.startswith("data:audio/webm;base64,")
    assert len(base64.b64decode(longer.partition(",")[2])) <= 20_000
    assert data_uri(recording, max_bytes=1000) is None
    assert data_uri(Recording(b"", RATE_HZ)) is None


def test_a_minute_is_ulaw_within_the_bound() -> None:
    """The demo's call needs no encoder."""
    minute = data_uri(Recording(bytes(60 * RATE_HZ * 4), RATE_HZ))
    assert minute is not None
    assert minute.startswith("data:audio/wav")
    assert len(minute) < MAX_BYTES * 4 / 3
