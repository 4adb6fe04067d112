"""Held caller audio: in order, bounded, and what falls off is counted."""

from __future__ import annotations

from agent.live.replay import HeldAudio


def test_audio_comes_out_in_order() -> None:
    """Pieces are joined, never reordered or split."""
    held = HeldAudio()
    pieces = [bytes([n, 0]) * 320 for n in range(12)]
    for piece in pieces:
        held.add(piece)
    assert held.held_ms == 240
    assert held.take(100) == b"".join(pieces[:5])
    assert held.take(1_000) == b"".join(pieces[5:])
    assert not held
    assert held.take(100) == b""


def test_oldest_falls_off_and_is_counted() -> None:
    """The bound is kept by dropping what the caller said first."""
    held = HeldAudio(max_ms=100)
    for n in range(8):
        held.add(bytes([n, 0]) * 320)
    assert held.lost_ms == 60
    assert held.held_ms == 100
    assert held.take(20) == bytes([3, 0]) * 320
