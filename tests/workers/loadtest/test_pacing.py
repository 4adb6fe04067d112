"""Frames that callers sent late are counted, and no others."""

from __future__ import annotations

import pytest

from workers.loadtest.pacing import CallerPacing


def send(pacing: CallerPacing, *at_s: float, chunk: int = 1) -> None:
    for number, at in enumerate(at_s, start=chunk):
        pacing.sent("CA0", number, at)


def test_frames_in_time_are_not_late() -> None:
    """Whatever the jitter below what delays are to be good to."""
    pacing = CallerPacing()
    send(pacing, 10.0, 10.023, 10.041, 10.0649)
    assert pacing.late_frames == 0


def test_frames_after_a_stall_are_late_each() -> None:
    """Three were due meanwhile."""
    pacing = CallerPacing()
    send(pacing, 10.0, 10.02, 10.1, 10.1, 10.1, 10.101, 10.12)
    assert pacing.late_frames == 3


def test_stream_that_follows_has_a_time_of_its_own() -> None:
    """Its frames are counted from 1 again; that there was none in between is nobody's lateness."""
    pacing = CallerPacing()
    send(pacing, 10.0, 10.02, 10.04)
    send(pacing, 11.0, 11.02)
    pacing.received("CA0", b"", 11.0)
    assert pacing.late_frames == 0
    send(pacing, 11.05, chunk=3)
    assert pacing.late_frames == pytest.approx(1)
