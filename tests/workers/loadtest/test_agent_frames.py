"""What counts as lost, as heard twice and as another utterance."""

from __future__ import annotations

import numpy as np
import pytest

from workers.loadtest.agent_frames import HeardModel, count_heard
from workers.loadtest.measured import FramesCounted
from workers.twin.position_code import Found

LOUD = np.full(5_000, 2_500, np.float32)


def heard(
    *runs: tuple[float, range],
    turns_ms: list[float] | None = None,
    barge_ins_ms: tuple[float, ...] = (),
    quiet_ms: tuple[tuple[int, int], ...] = (),
) -> HeardModel:
    """Frames 20 ms apart, from each time on; all of one line."""
    found = [
        (Found(at_ms + 20 * index, code), 0)
        for at_ms, codes in runs
        for index, code in enumerate(codes)
    ]
    rms = LOUD.copy()
    for start, end in quiet_ms:
        rms[start // 2 : end // 2] = 0
    return count_heard(found, rms, turns_ms=turns_ms, barge_ins_ms=barge_ins_ms)


@pytest.mark.parametrize("turns_ms", [None, [50.0]])
def test_frames_thrown_away(turns_ms: list[float] | None) -> None:
    """The next one follows at once: they are lost, and nobody heard silence."""
    found = heard((100, range(10)), (300, range(12, 20)), turns_ms=turns_ms)
    assert found == HeardModel(FramesCounted(20, 2, 0), ())


def test_frame_cut_in_two() -> None:
    """Its sound was there, around a hole of 100 ms: it is not lost."""
    found = heard((100, range(10)), (420, range(11, 20)), quiet_ms=((310, 410),), turns_ms=[50.0])
    assert found.frames == FramesCounted(20, 0, 0)
    ((at_s, ms),) = [(gap.at_s, gap.ms) for gap in found.gaps]
    assert (at_s, ms) == pytest.approx((0.31, 100))


@pytest.mark.parametrize("turns_ms", [None, [50.0, 390.0]])
def test_line_that_is_said_again(turns_ms: list[float] | None) -> None:
    """It is another utterance: what was cut off of the first is not lost, nor is the rest twice."""
    found = heard((100, range(10)), (400, range(20)), turns_ms=turns_ms)
    assert found.frames == FramesCounted(30, 0, 0)


def test_rest_of_a_line_on_another_connection() -> None:
    """Where a turn has begun since, a jump forward is that turn's; without one it is a loss."""
    assert heard((100, range(5)), (500, range(50, 60)), turns_ms=[50.0, 450.0]).frames.lost == 0
    assert heard((100, range(5)), (240, range(50, 60)), turns_ms=[50.0]).frames.lost == 43


def test_heard_twice() -> None:
    """Without a turn of its own a number that comes again was played again."""
    found = heard((100, range(10)), (300, range(5, 20)), turns_ms=[50.0])
    assert found.frames == FramesCounted(20, 0, 5)
    assert heard((100, range(10)), (300, range(9, 20))).frames == FramesCounted(20, 0, 1)


def test_after_a_barge_in_nothing_is_counted() -> None:
    """Until the next utterance."""
    found = heard(
        (100, range(10)),
        (310, range(15, 20)),
        (800, range(10)),
        turns_ms=[50.0, 750.0],
        barge_ins_ms=(305.0,),
    )
    assert found.frames == FramesCounted(20, 0, 0)
