"""The recording of a call as both sides' waveforms: peaks, loudness and loudness's curve.

The caller is left, the agent right, as ``recording.py`` writes them.
"""

from __future__ import annotations

import io
import math
import warnings
import wave
from dataclasses import dataclass

from telephony.audio.frames import FRAME_MS, SILENCE_DBFS, loudness_dbfs

with warnings.catch_warnings():
    # 3.11 and 3.12 announce its removal (PEP 594); audioop-lts stands in from 3.13 on.
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

# A pixel or two each on a wide screen; more would only make the page heavier.
MAX_POINTS = 2400


class RecordingUnreadable(ValueError):
    """The bytes are not a stereo PCM16 WAV file."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Both sides of a call, PCM16, interleaved: caller, agent."""

    pcm: bytes
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.pcm) / (4 * self.rate_hz)

    def side(self, *, agent: bool) -> bytes:
        """One side, PCM16 mono."""
        return audioop.tomono(self.pcm, 2, 0.0 if agent else 1.0, 1.0 if agent else 0.0)


@dataclass(frozen=True, slots=True)
class Waveform:
    """One side in equal steps of time; every value lies between -1 and 1."""

    low: list[float]
    high: list[float]
    rms: list[float]
    speech_dbfs: float
    """How loud it is where it speaks: a twentieth of the 20 ms frames are louder."""


@dataclass(frozen=True, slots=True)
class Waves:
    """Both sides' waveforms and how long they last."""

    caller: Waveform
    agent: Waveform
    duration_s: float


def read_recording(wav: bytes) -> Recording:
    """Read a stereo PCM16 WAV file; what is missing of a file cut short is left out.

    Raises:
        RecordingUnreadable: The bytes are something else.
    """
    try:
        with wave.open(io.BytesIO(wav)) as file:
            if file.getnchannels() != 2 or file.getsampwidth() != 2:
                raise RecordingUnreadable("the recording is not stereo PCM16")
            pcm, rate_hz = file.readframes(file.getnframes()), file.getframerate()
    except (wave.Error, EOFError, RuntimeError) as error:  # RuntimeError: a seek past a chunk
        raise RecordingUnreadable(f"the recording is not a WAV file: {error}") from error
    if rate_hz <= 0:
        raise RecordingUnreadable("the recording has no sample rate")
    return Recording(pcm[: len(pcm) - len(pcm) % 4], rate_hz)


def waveform(side: bytes, *, rate_hz: int, max_points: int = MAX_POINTS) -> Waveform:
    """Measure one side, PCM16 mono, in steps of 20 ms or longer."""
    frame_bytes = max(2, rate_hz * FRAME_MS // 1000 * 2)
    frames = math.ceil(len(side) / frame_bytes)
    step_bytes = frame_bytes * max(1, math.ceil(frames / max_points))
    low: list[float] = []
    high: list[float] = []
    rms: list[float] = []
    for start in range(0, len(side), step_bytes):
        piece = side[start : start + step_bytes]
        least, most = audioop.minmax(piece, 2)
        low.append(min(0, least) / 32768)
        high.append(max(0, most) / 32768)
        rms.append(audioop.rms(piece, 2) / 32768)
    loudness = sorted(
        loudness_dbfs(side[start : start + frame_bytes])
        for start in range(0, len(side), frame_bytes)
    )
    speech_dbfs = loudness[len(loudness) * 19 // 20] if loudness else SILENCE_DBFS
    return Waveform(low, high, rms, speech_dbfs)
