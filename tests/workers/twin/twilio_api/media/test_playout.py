"""The playout clock: what is heard when, and which marks come back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.twin.twilio_api.media.playout import QUEUE_LIMIT_BYTES, Playout
from workers.twin.twilio_api.media.timeline import Timeline

TONE = b"\x10"


def test_audio_is_played_in_order_without_holes() -> None:
    """Payloads of any size queue behind each other, silence stands before the first."""
    timeline = Timeline(100.0)
    playout = Playout(timeline)
    assert playout.play(TONE * 160, 100.5)
    assert playout.play(b"\x20" * 7, 100.51)
    assert timeline.until(4200) == b"\xff" * 4000 + TONE * 160 + b"\x20" * 7 + b"\xff" * 33
    assert timeline.spans_ms() == ((500.0, 520.875),)


def test_underrun_shows_as_a_hole() -> None:
    """Audio that comes after the queue ran dry starts when it comes."""
    timeline = Timeline(0.0)
    playout = Playout(timeline)
    playout.play(TONE * 160, 1.0)
    playout.play(TONE * 160, 1.03)
    assert timeline.spans_ms() == ((1000.0, 1020.0), (1030.0, 1050.0))


def test_mark_on_an_empty_queue_returns_at_once() -> None:
    """Nothing queued: nothing to wait for."""
    assert Playout(Timeline(0.0)).mark("m", 1.0) == ["m"]


def test_marks_fall_due_with_their_audio() -> None:
    """Each mark is due at the end of what was queued before it."""
    playout = Playout(Timeline(0.0))
    playout.play(TONE * 800, 1.0)
    assert playout.mark("a", 1.0) == []
    playout.play(TONE * 800, 1.0)
    assert playout.mark("b", 1.0) == []
    assert playout.next_s() == 1.1
    assert playout.due(1.099) == []
    assert playout.due(1.1) == ["a"]
    assert playout.next_s() == 1.2
    assert playout.due(5.0) == ["b"]
    assert playout.next_s() is None


def test_clear_cuts_what_was_not_heard_and_returns_all_marks() -> None:
    """After ``clear`` the queue is empty and no mark is outstanding."""
    timeline = Timeline(0.0)
    playout = Playout(timeline)
    playout.play(TONE * 8000, 1.0)
    playout.mark("a", 1.0)
    playout.mark("b", 1.0)
    assert playout.clear(1.25) == ["a", "b"]
    assert timeline.spans_ms() == ((1000.0, 1250.0),)
    assert playout.queued_ms(1.25) == 0
    assert playout.mark("c", 1.25) == ["c"]


def test_more_than_ten_minutes_are_discarded() -> None:
    """What does not fit is lost, what fits before it is not."""
    playout = Playout(Timeline(0.0))
    assert playout.play(TONE * QUEUE_LIMIT_BYTES, 0.0)
    assert not playout.play(TONE, 0.0)
    assert playout.play(TONE, 0.001)


steps = st.lists(
    st.tuples(
        st.sampled_from(["play", "mark", "clear", "due"]),
        st.integers(0, 2000),
        st.floats(0, 0.5, allow_nan=False),
    ),
    max_size=40,
)


@given(steps)
def test_every_mark_returns_exactly_once(script: list[tuple[str, int, float]]) -> None:
    """Whatever the order, marks come back once each, in order, and never before their audio."""
    timeline = Timeline(10.0)
    playout = Playout(timeline)
    now, count = 10.0, 0
    returned: list[str] = []
    for step, size, wait_s in script:
        now += wait_s
        # As a shell would: what fell due before this step is returned first.
        returned += playout.due(now)
        if step == "play":
            playout.play(TONE * size, now)
        elif step == "mark":
            returned += playout.mark(str(count), now)
            count += 1
        elif step == "clear":
            returned += playout.clear(now)
            assert len(timeline.audio) <= timeline.position(now)
    returned += playout.due(now + 10_000)
    assert returned == [str(n) for n in range(count)]
