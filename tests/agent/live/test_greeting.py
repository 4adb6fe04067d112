"""Catching a greeting that is worth keeping."""

from __future__ import annotations

from agent.audio import PcmChunk
from agent.live.greeting import MAX_GREETING_MS, GreetingCapture

HELLO = "Hello, this is Corner Bakery. How can I help you today?"


HALF = PcmChunk(b"\0\x10" * 36_000, 24_000)
REST = PcmChunk(b"\0\x11" * 36_000, 24_000)


def spoken(text: str, *audio: PcmChunk) -> GreetingCapture:
    capture = GreetingCapture(HELLO)
    capture.text(text)
    for piece in audio or (HALF, REST):
        capture.audio(piece)
    return capture


def test_greeting_spoken_whole_is_caught() -> None:
    """Transcripts spell a little differently; the words count."""
    audio = spoken(" hello this is Corner bakery, how can I help you today").complete()
    assert audio == PcmChunk(HALF.pcm + REST.pcm, 24_000)


def test_something_else_is_not_kept() -> None:
    """A model that answered the caller instead did not greet."""
    assert spoken("Hi! Sure, let me look that up for you.").complete() is None


def test_greeting_that_cannot_be_heard_is_not_kept() -> None:
    """Full-length audio at near-zero loudness must not greet every caller from now on."""
    assert spoken(HELLO, PcmChunk(b"\1\0" * 72_000, 24_000)).complete() is None


def test_greeting_whose_audio_broke_off_is_not_kept() -> None:
    """A whole transcript beside half a second of audio is no whole greeting."""
    assert spoken(HELLO, PcmChunk(b"\0\x10" * 12_000, 24_000)).complete() is None


def test_interrupted_greeting_is_not_kept() -> None:
    """Half a greeting must not greet the next caller."""
    capture = spoken(HELLO)
    capture.spoil()
    assert capture.complete() is None


def test_greeting_is_caught_once() -> None:
    """Later turns are not greetings."""
    capture = spoken(HELLO)
    assert capture.complete() is not None
    assert capture.done
    assert capture.complete() is None


def test_endless_greeting_is_not_collected() -> None:
    """A model that does not stop does not fill the memory."""
    capture = GreetingCapture(HELLO)
    second = PcmChunk(bytes(48_000), 24_000)
    for _ in range(int(MAX_GREETING_MS / 1_000) + 1):
        capture.audio(second)
    assert capture.done
