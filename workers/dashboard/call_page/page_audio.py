"""A recording small enough to live inside a page: µ-law while it is short, then Opus."""

from __future__ import annotations

import base64
import io
import struct

import av
import av.error

from telephony.audio.g711 import pcm_to_ulaw
from workers.dashboard.call_page.waveform import Recording

# Base64 adds a third, the waveforms and the text some 250 kB: the page stays under 2 MB.
MAX_BYTES = 1_250_000
# Speech stays intelligible from 6 kbit/s on, good from 16 (RFC 6716, section 2.1.1); more than 32
# is wasted on the telephone's 4 kHz in two channels.
OPUS_LEAST_BPS = 6_000
OPUS_MOST_BPS = 32_000
# The real rate strays from what was asked.
_OPUS_SPARE = 0.85
# Opus knows these; a recording has the telephone's 8 kHz (RFC 6716, section 2).
_OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
# RFC 2361: WAVE_FORMAT_MULAW.
_WAVE_FORMAT_MULAW = 7


def data_uri(recording: Recording, *, max_bytes: int = MAX_BYTES) -> str | None:
    """A URI that a browser plays and seeks in; None where not even Opus makes it small enough.

    Both forms were played and sought in Chromium from a page of its own (observed 2026-11-21).
    """
    if not recording.pcm:
        return None
    if len(recording.pcm) // 2 <= max_bytes:
        return _uri("audio/wav", ulaw_wav(recording))
    bit_rate = int(max_bytes * 8 * _OPUS_SPARE / recording.duration_s)
    if bit_rate < OPUS_LEAST_BPS or recording.rate_hz not in _OPUS_RATES_HZ:
        return None
    try:
        opus = opus_webm(recording, bit_rate=min(bit_rate, OPUS_MOST_BPS))
    except (av.error.FFmpegError, ValueError):
        return None  # an FFmpeg without libopus
    return _uri("audio/webm", opus) if len(opus) <= max_bytes else None


def ulaw_wav(recording: Recording) -> bytes:
    """Pack a recording as a µ-law WAV file, half the size of its PCM16."""
    ulaw = pcm_to_ulaw(recording.pcm)
    rate_hz = recording.rate_hz
    layout = struct.pack("<HHIIHHH", _WAVE_FORMAT_MULAW, 2, rate_hz, rate_hz * 2, 2, 8, 0)
    samples = struct.pack("<I", len(ulaw) // 2)
    body = b"WAVE" + _chunk(b"fmt ", layout) + _chunk(b"fact", samples) + _chunk(b"data", ulaw)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def opus_webm(recording: Recording, *, bit_rate: int) -> bytes:
    """Encode a recording as Opus in WebM, stereo."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as container:
        stream = container.add_stream("libopus", rate=recording.rate_hz, layout="stereo")
        stream.bit_rate = bit_rate
        # A tenth of the work of the best, 10, for a difference nobody hears on a telephone.
        stream.codec_context.options = {"application": "voip", "compression_level": "3"}
        step = recording.rate_hz * 4  # one second
        for start in range(0, len(recording.pcm), step):
            piece = recording.pcm[start : start + step]
            frame = av.AudioFrame(format="s16", layout="stereo", samples=len(piece) // 4)
            frame.planes[0].update(piece + bytes(frame.planes[0].buffer_size - len(piece)))
            frame.sample_rate = recording.rate_hz
            frame.pts = start // 4
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
    # RIFF: chunks begin at even offsets.
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
