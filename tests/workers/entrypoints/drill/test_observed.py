"""What the judge looks at, made of frames."""

from __future__ import annotations

from dataclasses import replace

from tests.workers.entrypoints.drill.samples import frames, observed
from workers.entrypoints.drill.observed import Run, runs, utterances


def test_frames_that_follow_each_other_are_one_run() -> None:
    """In number and in time; a few milliseconds out of place are a splice."""
    some = [*frames(10, 3, 100), *frames(13, 2, 166)]
    assert runs(some) == [Run(100, 206, 10, 14)]


def test_hole_or_jump_begins_a_new_run() -> None:
    """Later, or another number."""
    assert runs([*frames(10, 3, 100), *frames(13, 2, 180)]) == [
        Run(100, 160, 10, 12),
        Run(180, 220, 13, 14),
    ]
    assert runs([*frames(10, 3, 100), *frames(20, 1, 160)])[1] == Run(160, 180, 20, 20)
    assert runs([]) == []


def test_utterance_goes_over_a_short_pause() -> None:
    """Shorter than a model takes for the end of a turn."""
    seen = replace(
        observed(), loud=frozenset({*range(100, 110), *range(115, 120), *range(150, 160)})
    )
    assert [(said.first, said.last) for said in utterances(seen)] == [(100, 119), (150, 159)]


def test_times_of_the_record_count_from_the_stream() -> None:
    """The phone's count from its first ring."""
    assert observed().at_phone_ms(5.9) == 6000
