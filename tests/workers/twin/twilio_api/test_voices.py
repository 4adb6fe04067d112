"""Whether two servers spoke to one call, and what was between two streams."""

from __future__ import annotations

import pytest

from workers.twin.twilio_api.media.voice import MAX_STRETCHES, VoiceLog
from workers.twin.twilio_api.voices import Heard, Voice, stream_gaps, two_voices

Stretches = tuple[tuple[float, float], ...]


def voice(
    number: int,
    started_s: float,
    *heard: tuple[float, float],
    unheard: Stretches = (),
    ended_s: float | None = None,
    second: bool = False,
) -> Voice:
    return Voice(
        f"MZ{number}",
        number,
        started_s,
        ended_s,
        Heard(len(heard), heard),
        Heard(len(unheard), unheard),
        cut_ms=40.0,
        second=second,
    )


def test_audio_without_a_pause_is_one_stretch() -> None:
    """Frames are counted in 20 ms, a begun one as a whole."""
    log = VoiceLog()
    for at_s in (1.0, 1.09, 1.18, 1.3, 1.3):
        log.add(160, at_s)
    log.add(1, 2.0)
    assert log.stretches == [(1.0, 1.18), (1.3, 1.3), (2.0, 2.0)]
    assert log.frames == 6


def test_stretches_are_bounded() -> None:
    """The last one becomes longer instead, so that the end is still true."""
    log = VoiceLog()
    for at_s in range(MAX_STRETCHES + 5):
        log.add(160, float(at_s))
    assert len(log.stretches) == MAX_STRETCHES
    assert log.stretches[-1] == (MAX_STRETCHES - 1, MAX_STRETCHES + 4)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (((1.0, 2.0),), ((3.0, 4.0),), None),
        (((1.0, 3.1),), ((3.0, 4.0),), (3.0, 3.1)),
        # A word in the other's pause is no less a second voice.
        (((1.0, 2.0), (5.0, 6.0)), ((3.0, 4.0), (8.0, 9.0)), (3.0, 6.0)),
        ((), ((3.0, 4.0),), None),
        (((1.0, 9.0),), (), None),
    ],
)
def test_two_voices_are_found_by_the_later_ones_first_word(
    first: Stretches, second: Stretches, both: tuple[float, float] | None
) -> None:
    """From then on the earlier stream has to be silent."""
    voices = [voice(1, 0.5, *first), voice(2, 2.5, *second)]
    found = [(two.from_s, two.until_s) for two in two_voices(voices)]
    assert found == ([] if both is None else [both])


def test_unheard_words_count_where_they_are_asked_for() -> None:
    """Only then: nobody heard them. Every pair is looked at, not only neighbours."""
    voices = [
        voice(1, 0.5, (1.0, 2.0), unheard=((7.0, 8.0),)),
        voice(2, 2.5, (3.0, 4.0)),
        voice(3, 5.0, (6.0, 9.0)),
    ]
    assert not two_voices(voices)
    found = two_voices(voices, unheard=True)
    assert [(two.earlier.number, two.later.number) for two in found] == [(1, 2), (1, 3)]


def test_gap_begins_where_the_stream_ended() -> None:
    """The question that counts is the one between the two; a second stream is no part of it."""
    voices = [
        voice(1, 0.5, (1.0, 2.0), ended_s=2.0),
        voice(2, 1.0, (1.5, 1.6), ended_s=1.7, second=True),
        voice(3, 2.5, (3.0, 4.0), ended_s=4.0),
        voice(4, 5.0, ended_s=6.0),
    ]
    first, last = stream_gaps(voices, [(0.1, 0.2), (2.1, 2.3), (7.0, None)])
    assert (first.before.number, first.after.number) == (1, 3)
    assert (first.ended_s, first.asked_s, first.answered_s) == (2.0, 2.1, 2.3)
    assert (first.deaf_s, first.silent_s, first.cut_ms) == (0.5, 1.0, 40.0)
    assert (last.asked_s, last.deaf_s, last.spoke_s, last.silent_s) == (None, 1.0, None, None)
