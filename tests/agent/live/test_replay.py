"""Caller audio: in order, bounded, and what falls off is counted."""

from __future__ import annotations

from agent.live.replay import CallerTape


def test_audio_comes_out_in_order() -> None:
    """Pieces are joined, never reordered or split."""
    tape = CallerTape()
    pieces = [bytes([n, 0]) * 320 for n in range(12)]
    for piece in pieces:
        tape.add(piece)
    assert tape.take(100) == b""
    tape.held = False
    assert tape.unsent_ms == 240
    assert tape.take(100) == b"".join(pieces[:5])
    assert tape.take(1_000) == b"".join(pieces[5:])
    assert tape.unsent_ms == 0
    assert tape.take(100) == b""


def test_oldest_falls_off_and_is_counted() -> None:
    """The bound is kept by dropping what the caller said first."""
    tape = CallerTape()
    for n in range(1_503):
        tape.add(bytes([n % 200, 0]) * 320)
    assert tape.lost_ms == 60
    assert tape.unsent_ms == 30_000
    tape.held = False
    assert tape.take(20) == bytes([3, 0]) * 320
