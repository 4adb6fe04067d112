"""Telephone sound as the twin's phones make it: µ-law frames of 20 ms, ready to be sent.

Independent of the bridge's own G.711 code on purpose: one mistake must not hide in both.
"""

from __future__ import annotations

import audioop
import base64
import math
import random
import wave
from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from workers.twin import position_code, speech

RATE_HZ = 8_000
FRAME_MS = 20
FRAME_BYTES = RATE_HZ * FRAME_MS // 1000
SILENCE = b"\xff"  # µ-law zero (ITU-T G.711).

# Below this, one sample is taken for line noise: -38 dBFS, well under speech at -20 dBFS.
_LOUD_AT = 400
_LOUD = bytes(
    abs(sample) >= _LOUD_AT
    for sample in array("h", audioop.ulaw2lin(bytes(range(256)), 2)).tolist()
)
_LOUD_SHARE = 8  # One loud sample in eight makes a loud frame.

HISS_RMS = 79
"""The noise of a noisy line: 30 dB below the loudness of numbered frames."""
# Below and above all tones that numbers are made of, and like them whole periods in 10 ms: in every
# window that is read they add to none of those. White noise of this loudness hides quiet numbers.
_HISS_HZ = (100, 200, 300, 3400, 3500, 3600)
_HISS_FRAMES = 50
# Numbers whose frames are made together; it divides ``CODES``.
_RUN = 64
# Of a WAV that is written, at once: ten seconds.
_PIECE_BYTES = 10 * RATE_HZ
# A number that is not spoken has to be heard above the hiss, and to be no speech all the same:
# those who judge by energy begin at 300.
_QUIET_OVER_HISS = 200 / position_code.LOUD_RMS


@dataclass(frozen=True, slots=True)
class Frame:
    """20 ms of µ-law, and the same in base64 so that sending it costs nothing."""

    ulaw: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Sound:
    """``count`` frames; where there are fewer they start again from the first."""

    frames: tuple[Frame, ...]
    count: int

    def ulaw(self) -> bytes:
        """Give the whole sound as µ-law bytes."""
        return b"".join(self.frames[n % len(self.frames)].ulaw for n in range(self.count))


def cut(ulaw: bytes) -> Sound:
    """Cut µ-law into frames; the last one is filled with silence."""
    frames = tuple(
        _frame(ulaw[at : at + FRAME_BYTES].ljust(FRAME_BYTES, SILENCE))
        for at in range(0, len(ulaw), FRAME_BYTES)
    )
    return Sound(frames, len(frames))


@lru_cache(maxsize=128)
def said(what: str) -> Sound:
    """Say a recorded line by name, a WAV file by path, or any text.

    Raises:
        KeyError: ``what`` looks like a line's name but is none.
        ValueError: the file is not mono PCM16.
    """
    if what.endswith(".wav"):
        return from_pcm(*_read_wav(Path(what)))
    line = speech.line(what).at_rate(RATE_HZ)
    return from_pcm(line.pcm, line.rate_hz)


def from_pcm(pcm: bytes, rate_hz: int = RATE_HZ) -> Sound:
    """Turn PCM16 mono into telephone sound."""
    if rate_hz != RATE_HZ:
        pcm, _ = audioop.ratecv(pcm, 2, 1, rate_hz, RATE_HZ, None, 1, 1)
    return cut(audioop.lin2ulaw(pcm, 2))


@lru_cache(maxsize=256)
def tone(hz: int, ms: int, amplitude: int = 6000) -> Sound:
    """Make a sine without a seam: whole hertz repeat after one second, whatever ``ms`` is."""
    second = array(
        "h", [round(amplitude * math.sin(math.tau * hz * n / RATE_HZ)) for n in range(RATE_HZ)]
    )
    return Sound(cut(audioop.lin2ulaw(second.tobytes(), 2)).frames, math.ceil(ms / FRAME_MS))


def coded(code: int, *, loud: bool, hiss: bool = False) -> Frame:
    """Give the frame that carries a number: speech to everybody here, or silence.

    With ``hiss`` it is on a noisy line; the same number has the same noise.

    Raises:
        ValueError: there is no such number.
    """
    return _coded_run(code // _RUN, loud, hiss)[code % _RUN]


# Many callers at once say the same numbers. A run of them is made in 0.2 ms; one by one they would
# take ten times as long. All of them, loud and quiet, are 25 MB.
@lru_cache(maxsize=2 * position_code.CODES // _RUN)
def _coded_run(index: int, loud: bool, hiss: bool) -> tuple[Frame, ...]:
    first = index * _RUN
    pcm = position_code.encode_run(first, _RUN, rate_hz=RATE_HZ, loud=loud or hiss)
    if hiss:
        if not loud:
            pcm = audioop.mul(pcm, 2, _QUIET_OVER_HISS)
        noise = b"".join(_hiss(code % _HISS_FRAMES) for code in range(first, first + _RUN))
        pcm = audioop.add(pcm, noise, 2)
    return cut(audioop.lin2ulaw(pcm, 2)).frames


def with_hiss(frame: Frame, number: int) -> Frame:
    """Lay the noise of a noisy line under the ``number``-th frame of a call."""
    noise = _hiss(number % _HISS_FRAMES)
    return _frame(audioop.lin2ulaw(audioop.add(to_pcm(frame.ulaw), noise, 2), 2))


def codes(ulaw: bytes) -> list[position_code.Found]:
    """Find the frames that carry a number, wherever they begin."""
    return position_code.decode(to_pcm(ulaw), rate_hz=RATE_HZ)


def to_pcm(ulaw: bytes) -> bytes:
    """Decode µ-law to PCM16."""
    return audioop.ulaw2lin(ulaw, 2)


def is_loud(ulaw: bytes) -> bool:
    """Say whether this sounds like speech or a tone rather than a quiet line."""
    return ulaw.translate(_LOUD).count(1) * _LOUD_SHARE > len(ulaw) > 0


def loud_ms(ulaw: bytes) -> int:
    """Say how many milliseconds of this are loud, in whole frames."""
    starts = range(0, len(ulaw), FRAME_BYTES)
    return FRAME_MS * sum(is_loud(ulaw[at : at + FRAME_BYTES]) for at in starts)


def write_wav(path: Path, *channels: bytes) -> None:
    """Write µ-law channels of any length side by side as a PCM16 WAV at 8 kHz."""
    size = max(len(channel) for channel in channels)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        # Piece by piece: whoever writes beside live calls is not to hold them up.
        for start in range(0, size, _PIECE_BYTES):
            length = min(_PIECE_BYTES, size - start)
            woven = array("h", bytes(2 * length * len(channels)))
            for number, channel in enumerate(channels):
                piece = channel[start : start + length].ljust(length, SILENCE)
                woven[number :: len(channels)] = array("h", to_pcm(piece))
            file.writeframes(woven.tobytes())


def _read_wav(path: Path) -> tuple[bytes, int]:
    with wave.open(str(path), "rb") as file:
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise ValueError(f"{path}: must be mono PCM16")
        return file.readframes(file.getnframes()), file.getframerate()


def _frame(ulaw: bytes) -> Frame:
    return Frame(ulaw, base64.b64encode(ulaw).decode("ascii"))


@lru_cache(maxsize=_HISS_FRAMES)
def _hiss(number: int) -> bytes:
    """Make 20 ms of noise as PCM16, the same in every run."""
    noise = random.Random(number)  # noqa: S311 - line noise, see above
    tones = [(hz, noise.uniform(0.5, 1.5), noise.uniform(0, math.tau)) for hz in _HISS_HZ]
    size = HISS_RMS * math.sqrt(2 / sum(weight**2 for _, weight, _ in tones))
    return array(
        "h",
        [
            round(size * sum(w * math.cos(math.tau * hz * n / RATE_HZ + at) for hz, w, at in tones))
            for n in range(FRAME_BYTES)
        ],
    ).tobytes()


def _quiet() -> tuple[Frame, ...]:
    # A quiet phone line sends 0x7E, 0xFE and 0xFF, not zeros (Twilio reference, section 8).
    noise = random.Random(8)  # noqa: S311 - line noise, the same in every run
    return tuple(
        _frame(bytes(noise.choice((0xFF, 0xFF, 0xFE, 0x7E)) for _ in range(FRAME_BYTES)))
        for _ in range(8)
    )


QUIET = _quiet()
