"""Turns one line of speech into timed server frames: audio in pieces, transcript around it."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from workers.twin.live_api.profiles import Profile
from workers.twin.live_api.usage import Meter
from workers.twin.live_api.wire import audio_frame, audio_part, encode
from workers.twin.speech import AGENT_RATE_HZ, Speech, Word

_STEP_MS = 20
_BYTES_PER_MS = AGENT_RATE_HZ * 2 // 1000
# The transcript runs slightly ahead of the audio (recorded on 2.5).
_LEAD_MS = 150
_WORDS_AT_ONCE = (1, 3)
_NEAR_ZERO_PEAK = 5  # RMS about 3: below the finest step of µ-law.

Loudness = Literal["full", "near_zero", "none"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame, when it is due, and what it carries."""

    due: float
    data: bytes = b""
    """Empty where there is audio: that is written as it is sent, see ``audio_data``."""
    audio_ms: float = 0.0
    text: str = ""
    pcm: bytes = b""


def produce(
    speech: Speech,
    profile: Profile,
    *,
    start: float,
    speed: float,
    transcribe: bool,
    random_: random.Random,
    loudness: Loudness = "full",
) -> list[Frame]:
    """Cut ``speech`` into frames of this profile, produced from ``start`` at ``speed``.

    Frame lengths vary, as the real server's do; the last one is whatever is left. With loudness
    ``none`` the transcript comes alone, when the audio would have come.
    """
    pieces = _pieces(speech, profile, random_)
    groups = _groups(speech.words, random_) if transcribe else []
    frames: list[Frame] = []
    if profile.text_first and groups:
        frames += _text_first(groups, start)
        groups = []
    offset_ms = 0.0
    for pcm in pieces:
        audio_ms = len(pcm) / _BYTES_PER_MS
        due = start + offset_ms / speed / 1000
        text = ""
        while groups and groups[0][0] < offset_ms + audio_ms + _LEAD_MS:
            text += groups.pop(0)[1]
            if not profile.bundled or loudness == "none":
                frames.append(Frame(due, _transcript(text), text=text))
                text = ""
        if loudness == "near_zero":
            pcm = near_zero(len(pcm))
        if loudness != "none":
            frames.append(Frame(due, audio_ms=audio_ms, text=text, pcm=pcm))
        offset_ms += audio_ms
    return frames


def near_zero(size_bytes: int) -> bytes:
    """Return PCM16 that is there and cannot be heard, up to one second of it."""
    return _noise()[:size_bytes]


@lru_cache(maxsize=1)
def _noise() -> bytes:
    noise = random.Random(5)  # noqa: S311  (the same in every run)
    samples = (noise.randint(-_NEAR_ZERO_PEAK, _NEAR_ZERO_PEAK) for _ in range(AGENT_RATE_HZ))
    return array("h", samples).tobytes()


def _pieces(speech: Speech, profile: Profile, random_: random.Random) -> list[bytes]:
    shortest, longest = profile.frame_ms
    pieces = []
    at = 0
    while at < len(speech.pcm):
        size = random_.randrange(shortest, longest + 1, _STEP_MS) * _BYTES_PER_MS
        pieces.append(speech.pcm[at : at + size])
        at += size
    return pieces


def _groups(words: tuple[Word, ...], random_: random.Random) -> list[tuple[float, str]]:
    """Join words to pieces of a transcript: when each begins, and its text with a space before."""
    groups = []
    at = 0
    while at < len(words):
        some = words[at : at + random_.randint(*_WORDS_AT_ONCE)]
        groups.append((some[0].start_ms, "".join(f" {word.text}" for word in some)))
        at += len(some)
    return groups


def _text_first(groups: list[tuple[float, str]], due: float) -> list[Frame]:
    frames = [Frame(due, encode({"serverContent": {"outputTranscription": {}}}))]
    frames += [Frame(due, _transcript(text), text=text) for _, text in groups]
    frames.append(
        Frame(due, encode({"serverContent": {"outputTranscription": {"finished": True}}}))
    )
    return frames


def _transcript(text: str) -> bytes:
    return encode({"serverContent": {"outputTranscription": {"text": text}}})


def audio_data(frame: Frame, profile: Profile, meter: Meter) -> bytes:
    """Write a frame with audio; all of a long answer at once would hold everybody up for 4 ms."""
    if not (frame.text or profile.vertex or profile.usage_per_frame):
        return audio_frame(frame.pcm, profile.audio_mime)
    content = audio_content(frame.pcm, profile)
    if frame.text:
        content["outputTranscription"] = {"text": frame.text}
    message: dict[str, Any] = {"serverContent": content}
    if profile.usage_per_frame:
        message["usageMetadata"] = meter.frame(frame.audio_ms)
    return encode(message)


def audio_content(pcm: bytes, profile: Profile) -> dict[str, Any]:
    """Build the ``serverContent`` that carries this audio and nothing else."""
    turn: dict[str, Any] = {"parts": [audio_part(pcm, profile.audio_mime)]}
    if profile.vertex:
        turn["role"] = "model"
    return {"modelTurn": turn}
