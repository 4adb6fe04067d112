"""What the caller heard of the model, frame by frame, by the numbers that its lines carry.

An utterance is a run of numbers of one line. A number that is missing in it was lost, unless its
sound was there and only cut in two by a hole, which makes it unreadable. An utterance ends for
these counts when the caller speaks into it: what a barge-in cuts off was meant to be cut off. The
model may say a line again, or go on with it elsewhere after a move; so a jump in the numbers begins
another utterance where a turn of the model has begun since.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.loadtest.loudness import Span, quiet_in
from workers.loadtest.measured import FramesCounted, Gap
from workers.twin import phone_audio
from workers.twin.phone_audio import FRAME_MS, RATE_HZ
from workers.twin.position_code import Found

LEAST_GAP_MS: Final = 5.0
"""Places of frames are good to 4 ms, where a splice cut them."""
LONGEST_GAP_MS: Final = 400.0
"""Where no turns are known, a longer silence is taken for a pause between utterances."""

_PER_MS = RATE_HZ // 1000
# Stretches of playout nearer than this are searched in one go: a frame may lie across a hole.
_NEAR_MS = 100.0


@dataclass(frozen=True, slots=True)
class HeardModel:
    """What came of the model's frames."""

    frames: FramesCounted
    gaps: tuple[Gap, ...]


def numbered_frames(
    heard: bytes, played_ms: Sequence[Span], lines: Sequence[range]
) -> list[tuple[Found, int]]:
    """Find the frames of the model in what the caller heard, each with the index of its line.

    Args:
        heard: µ-law since the ring.
        played_ms: Where in it something was played.
        lines: The numbers of each line of the model.
    """
    stretches: list[list[float]] = []
    for start, end in played_ms:
        if stretches and start - stretches[-1][1] <= _NEAR_MS:
            stretches[-1][1] = end
        else:
            stretches.append([start, end])
    line_of = {code: index for index, line in enumerate(lines) for code in line}
    found: list[tuple[Found, int]] = []
    for start, end in stretches:
        piece = heard[round(start * _PER_MS) : round(end * _PER_MS)]
        found += [
            (Found(start + one.at_ms, one.code), line_of[one.code])
            for one in phone_audio.codes(piece)
            if one.code in line_of
        ]
    return found


def count_heard(
    found: Sequence[tuple[Found, int]],
    rms: NDArray[np.float32],
    *,
    turns_ms: Sequence[float] | None,
    barge_ins_ms: Sequence[float],
) -> HeardModel:
    """Count what was lost between numbers, and measure the silence between them.

    Args:
        found: Of ``numbered_frames``.
        rms: Of what was heard, by 2 ms.
        turns_ms: When turns of the model began, in order; None: not known.
        barge_ins_ms: When the caller began to speak, in order.
    """
    count = _Count(rms, turns_ms, barge_ins_ms)
    for one, line in found:
        count.take(one, line)
    return HeardModel(FramesCounted(count.sent, count.lost, count.twice), tuple(count.gaps))


class _Count:
    """Goes through the frames in the order in which they were heard."""

    def __init__(
        self,
        rms: NDArray[np.float32],
        turns_ms: Sequence[float] | None,
        barge_ins_ms: Sequence[float],
    ) -> None:
        self._rms = rms
        self._turns_ms = turns_ms
        self._barge_ins_ms = barge_ins_ms
        self._line = -1
        self._last = 0
        self._before = Found(0.0, 0)
        self._turns = 0
        self._barge_ins = 0
        self.sent = self.lost = self.twice = 0
        self.gaps: list[Gap] = []

    def take(self, one: Found, line: int) -> None:
        """Count what lies between the frame before and this one."""
        turns = bisect_right(self._turns_ms or (), one.at_ms)
        barge_ins = bisect_right(self._barge_ins_ms, one.at_ms)
        if line != self._line or self._begins_anew(one, turns):
            self._line, self._last = line, one.code
            self._turns, self._barge_ins = turns, barge_ins
            self.sent += 1
        elif barge_ins > self._barge_ins:
            self._last = max(self._last, one.code)
        elif one.code <= self._last:
            self.twice += 1
        else:
            self._go_on(one)
        self._before = one

    def _begins_anew(self, one: Found, turns: int) -> bool:
        if one.code == self._last + 1:
            return False
        if self._turns_ms is not None:
            return turns > self._turns
        if one.code == self._before.code:
            return False
        hole_ms = one.at_ms - self._before.at_ms - FRAME_MS
        return one.code <= self._last or hole_ms > LONGEST_GAP_MS

    def _go_on(self, one: Found) -> None:
        missing = one.code - self._last - 1
        hole_ms = one.at_ms - self._before.at_ms - FRAME_MS
        silent_ms = 0.0
        if missing or hole_ms >= LEAST_GAP_MS:
            # From middle to middle, because the places are not exact.
            half_ms = FRAME_MS / 2
            start, end = quiet_in(self._rms, (self._before.at_ms + half_ms, one.at_ms + half_ms))
            silent_ms = end - start
            if silent_ms >= LEAST_GAP_MS:
                self.gaps.append(Gap(start / 1000, silent_ms))
        unreadable = max(0, round((hole_ms - silent_ms) / FRAME_MS))
        self.lost += max(0, missing - unreadable)
        self.sent += missing + 1
        self._last = one.code
