"""Speech of both simulated ends: recorded lines by name or text, and babble for any other text.

The recorded lines are WAV files under ``data/speech``, rendered by ``infra/speech/make.sh``. For
tests that count frames there is ``coded:<first>:<ms>``: position codes for so long.
"""

from __future__ import annotations

import audioop
import math
import re
import wave
import zlib
from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from workers.twin import position_code

AGENT_RATE_HZ = 24_000
PHONE_RATE_HZ = 8_000

_FOLDER = Path(__file__).parent / "data" / "speech"
_SYLLABLE_MS = 170
_WORD_GAP_MS = 30
_SENTENCE_GAP_MS = 250
_CODED = "coded:"
# A word of a letter and four digits takes about a second to say: quicker ones would be no speech
# to whoever tells by its pace which words were heard.
_CODED_WORD_FRAMES = 50
_LOUDNESS = 3277  # RMS of babble: -20 dBFS, the level of the recorded lines.


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its punctuation, and when it is spoken."""

    text: str
    start_ms: float
    end_ms: float


@dataclass(frozen=True, slots=True)
class Speech:
    """Spoken text: PCM16 mono little-endian at ``rate_hz``, and its words in time."""

    pcm: bytes
    rate_hz: int
    text: str
    words: tuple[Word, ...]

    @property
    def duration_ms(self) -> float:
        """Length in milliseconds."""
        return len(self.pcm) * 500 / self.rate_hz

    def after(self, count: int) -> Speech:
        """Give what follows the first ``count`` words."""
        if not 0 < count < len(self.words):
            return self if count <= 0 else Speech(b"", self.rate_hz, "", ())
        start_ms = self.words[count].start_ms
        words = tuple(
            Word(word.text, word.start_ms - start_ms, word.end_ms - start_ms)
            for word in self.words[count:]
        )
        pcm = self.pcm[round(start_ms * self.rate_hz / 1000) * 2 :]
        return Speech(pcm, self.rate_hz, " ".join(word.text for word in words), words)

    def at_rate(self, rate_hz: int) -> Speech:
        """Give the same speech at another rate (telephone quality, not for measuring)."""
        if rate_hz == self.rate_hz:
            return self
        # ratecv has no filter to speak of; its one-pole weights (1:1) halve what would alias.
        weights = (1, 1) if rate_hz < self.rate_hz else (1, 0)
        pcm, _ = audioop.ratecv(self.pcm, 2, 1, self.rate_hz, rate_hz, None, *weights)
        return Speech(pcm, rate_hz, self.text, self.words)


def line(name: str) -> Speech:
    """Return the recorded line ``name``, or what ``spoken`` makes of it if it is a text.

    ``coded:<first>:<ms>`` is 24 kHz whose frames of 20 ms carry the numbers from ``first`` on; its
    words, one for ten frames, are ``c<number>`` by the first of the ten.

    Raises:
        KeyError: ``name`` looks like a line's name (lower case and underscores) but is none.
        ValueError: ``name`` begins with ``coded:`` and goes on in another way.
    """
    if name.startswith(_CODED):
        return _coded(name)
    lines = _recorded()
    if name in lines:
        return _load(name, lines[name])
    if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", name):
        raise KeyError(f"no line {name!r} in lines.yaml; there are: {', '.join(sorted(lines))}")
    return spoken(name)


def spoken(text: str, *, rate_hz: int = AGENT_RATE_HZ) -> Speech:
    """Say ``text``: the recording of it if there is one, else babble that is the same every time.

    Babble is voiced, has syllables and pauses, and takes as long as the words would.
    """
    name = _by_text().get(_plain(text))
    if name is not None:
        return line(name).at_rate(rate_hz)
    return _babble(text, rate_hz)


def names() -> tuple[str, ...]:
    """Return the names of all recorded lines."""
    return tuple(_recorded())


@lru_cache(maxsize=1)
def _recorded() -> dict[str, str]:
    document = yaml.safe_load((_FOLDER / "lines.yaml").read_text(encoding="utf-8"))
    return {name: entry["text"] for name, entry in document.items()}


@lru_cache(maxsize=1)
def _by_text() -> dict[str, str]:
    return {_plain(text): name for name, text in _recorded().items()}


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


@lru_cache(maxsize=64)
def _load(name: str, text: str) -> Speech:
    with wave.open(str(_FOLDER / f"{name}.wav"), "rb") as file:
        pcm = file.readframes(file.getnframes())
        rate_hz = file.getframerate()
    return Speech(pcm, rate_hz, text, _timed(text, len(pcm) * 500 / rate_hz))


def _timed(text: str, duration_ms: float) -> tuple[Word, ...]:
    """Spread the words over the speech by their letters; a full stop weighs five letters more."""
    pieces = text.split()
    weights = [len(piece) + 1 + (5 if piece[-1] in ".?!" else 0) for piece in pieces]
    ms_each = duration_ms / max(1, sum(weights))
    words = []
    at_ms = 0.0
    for piece, weight in zip(pieces, weights, strict=True):
        words.append(Word(piece, at_ms, at_ms + weight * ms_each))
        at_ms += weight * ms_each
    return tuple(words)


@lru_cache(maxsize=16)
def _coded(name: str) -> Speech:
    written = re.fullmatch(r"coded:(\d+):(\d+)", name)
    count, rest = divmod(int(written[2]), position_code.FRAME_MS) if written else (0, 0)
    if written is None or rest or not count:
        raise ValueError(f"{name!r} is not coded:<first>:<ms> with whole frames of 20 ms")
    first = int(written[1])
    pcm = position_code.encode_run(first, count, rate_hz=AGENT_RATE_HZ)
    words = tuple(
        Word(
            f"c{first + at}",
            at * position_code.FRAME_MS,
            min(at + _CODED_WORD_FRAMES, count) * position_code.FRAME_MS,
        )
        for at in range(0, count, _CODED_WORD_FRAMES)
    )
    return Speech(pcm, AGENT_RATE_HZ, " ".join(word.text for word in words), words)


@lru_cache(maxsize=64)
def _babble(text: str, rate_hz: int) -> Speech:
    pcm = bytearray()
    words = []
    for piece in text.split():
        start_ms = len(pcm) * 500 / rate_hz
        syllables = max(1, len(re.findall(r"[aeiouyäöüáéíóúàèìòù]+", piece.lower())))
        for number in range(syllables):
            pcm += _syllable(zlib.crc32(f"{piece}{number}".encode()), rate_hz)
        words.append(Word(piece, start_ms, len(pcm) * 500 / rate_hz))
        gap_ms = _SENTENCE_GAP_MS if piece[-1] in ".?!" else _WORD_GAP_MS
        pcm += bytes(rate_hz * gap_ms // 1000 * 2)
    return Speech(bytes(pcm), rate_hz, text, tuple(words))


def _syllable(seed: int, rate_hz: int) -> bytes:
    """Build one voiced sound: a pitch between 110 and 190 Hz under two vowel formants."""
    pitch_hz = 110 + seed % 81
    formants_hz = (300 + seed // 81 % 500, 900 + seed // 7919 % 1300)
    period = rate_hz // pitch_hz
    harmonics = range(1, min(3400, rate_hz // 2) // pitch_hz)
    weights = [
        sum(math.exp(-(((h * pitch_hz - formant) / 250) ** 2)) for formant in formants_hz)
        + 0.02 / h
        for h in harmonics
    ]
    shape = [
        sum(
            w * math.sin(math.tau * h * n / period) for h, w in zip(harmonics, weights, strict=True)
        )
        for n in range(period)
    ]
    rms = math.sqrt(sum(value * value for value in shape) / period)
    # 1.4: the envelope below takes away that much of the power.
    one = array("h", [round(max(-8.0, min(8.0, v / rms)) * 1.4 * _LOUDNESS) for v in shape])
    size = rate_hz * _SYLLABLE_MS // 1000
    voiced = (one * (size // period + 1))[:size].tobytes()
    steps = 17
    step = size // steps * 2
    return b"".join(
        audioop.mul(voiced[n * step : (n + 1) * step], 2, math.sin(math.pi * (n + 0.5) / steps))
        for n in range(steps)
    )
