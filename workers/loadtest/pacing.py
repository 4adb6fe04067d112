"""Counts the frames that callers sent late: what a delay of their call is worth."""

from __future__ import annotations

import math

from workers.loadtest.clockwork import LATE_MS
from workers.twin.phone_audio import FRAME_MS


class CallerPacing:
    """Tap of one call (``MediaTap``): knows each frame's time by the earliest of its stream.

    What a line withholds on purpose is not late: the tap sees frames before that.
    """

    def __init__(self) -> None:
        self.late_frames = 0
        """Those that left more than ``LATE_MS`` after their time."""
        self._base_s = math.inf
        self._chunk = 0

    def sent(self, _call_sid: str, chunk: int, at_s: float) -> None:
        """Take in a frame that went out."""
        if chunk <= self._chunk:
            self._base_s = math.inf  # A stream of its own, that began when it did.
        self._chunk = chunk
        begun_s = at_s - chunk * FRAME_MS / 1000
        self._base_s = min(self._base_s, begun_s)
        self.late_frames += (begun_s - self._base_s) * 1000 > LATE_MS

    def received(self, _call_sid: str, _ulaw: bytes, _at_s: float) -> None:
        """Take in a frame that came: nothing is to be counted."""
