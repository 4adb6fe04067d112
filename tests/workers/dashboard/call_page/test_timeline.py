"""A call on one time axis."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    DigitRecord,
    StreamRecord,
    ToolRecord,
)
from tests.fakes.long_call import long_record
from tests.fakes.sample_call import sample_moves, sample_record, sample_wav
from tests.fakes.shared_call import FIRST, SECOND, shared_record
from workers.dashboard.call_page.timeline import timeline
from workers.dashboard.call_page.waveform import Waves, read_recording, waveform
from workers.dashboard.streams import shortened


def lanes(drawing: str) -> list[str]:
    return re.findall(r'<div class="name ([a-z]+)', drawing)


def placed(drawing: str, kind: str) -> list[tuple[float, float]]:
    """Left and width, in per cent, of the elements of a class."""
    found = re.findall(rf'class="{kind}[^"]*" style="left:([\d.]+)%(?:;width:([\d.]+)%)?', drawing)
    return [(float(left), float(width or 0)) for left, width in found]


def test_lanes_appear_where_there_is_something_to_show() -> None:
    """Both sides are always there, events only when they happened."""
    assert lanes(timeline(CallRecord("CA0", "a", "m"), None)) == ["side", "side"]
    assert lanes(timeline(sample_record(), None)) == [
        "side", "delays", "side", "cuts", "tools", "keys",
    ]  # fmt: skip


def test_spans_stand_where_they_happened() -> None:
    """A delay ends where its answer begins; the cut audio begins at the barge-in."""
    drawing = timeline(sample_record(), None)
    left, width = placed(drawing, "delay")[0]
    assert left + width == pytest.approx(100 * 8.35 / 47.9, abs=0.01)
    assert width == pytest.approx(100 * 0.75 / 47.9, abs=0.01)
    cuts = drawing.partition('class="lane cuts"')[2]
    assert placed(cuts, "mark")[0] == pytest.approx((100 * 13.3 / 47.9, 100 * 7.4 / 47.9), abs=0.01)
    assert placed(drawing, "line barge-in")[0][0] == pytest.approx(100 * 13.3 / 47.9, abs=0.01)


def test_both_sides_have_their_waveform() -> None:
    """The recording draws a wave in each side's lane, as long as it lasts."""
    record = sample_record()
    recording = read_recording(sample_wav(record))
    caller, agent = (waveform(recording.side(agent=side), rate_hz=8000) for side in (False, True))
    drawing = timeline(record, Waves(caller, agent, recording.duration_s))
    assert drawing.count("<svg") == 2
    assert drawing.count("width:100.000%") == 2
    assert timeline(record, None).count("<svg") == 0


def test_labels_that_would_touch_have_rows_of_their_own() -> None:
    """Tools called together stand under each other; past the last row they lose their label."""
    tools = [ToolRecord(str(i), "look_up", {}, 5 + i / 10, 5.05 + i / 10, "ok") for i in range(6)]
    drawing = timeline(CallRecord("CA0", "a", "m", ended_s=60, tools=tools), None)
    rows = [int(row) for row in re.findall(r"--row:(\d+)", drawing)]
    assert rows[:4] == [0, 1, 2, 3]
    assert set(rows[4:]) == {3}
    assert drawing.count("look_up · ") == 4


def test_a_label_at_the_end_stands_before_its_mark() -> None:
    """Near the right edge there is no room behind a mark."""
    digits = [DigitRecord("1", 2.0), DigitRecord("2", 59.0)]
    drawing = timeline(CallRecord("CA0", "a", "m", ended_s=60, digits=digits), None)
    assert re.findall(r'class="(mark[^"]*)"', drawing) == ["mark", "mark flip"]


def test_a_further_stream_is_a_line() -> None:
    """Where a call went on over another stream, a line crosses all lanes."""
    streams = [StreamRecord("MZ1", 0.0, 20.0), StreamRecord("MZ2", 30.0, 60.0)]
    drawing = timeline(CallRecord("CA0", "a", "m", ended_s=60, streams=streams), None)
    assert placed(drawing, "line stream") == [(50.0, 0.0)]


def test_each_stream_is_a_bar_with_its_worker_and_how_it_ended() -> None:
    """The end of one whose worker died is drawn where the next one began; the last one's is its."""
    drawing = timeline(shared_record(), None)
    lane = drawing.partition('class="lane streams"')[2].partition('class="lane moves"')[0]
    assert f"1 · {shortened(FIRST)}" in lane
    assert f"2 · {shortened(SECOND)}" in lane
    call_s = 61.4
    for tone, number, from_s, until_s in (
        ("bad", 0, 0.0, 19.6),
        ("good", 0, 19.6, 41.3),
        ("good", 1, 42.5, 61.4),
    ):
        left, width = placed(lane, f"mark {tone}")[number]
        assert left == pytest.approx(100 * from_s / call_s, abs=0.01)
        assert width == pytest.approx(100 * (until_s - from_s) / call_s, abs=0.01)
    assert "Its worker died or fell silent" in lane
    assert "Handed over to another worker. SIGTERM" in lane


def test_one_stream_has_no_lane() -> None:
    """Nearly all calls have one, and its ends are the call's."""
    assert "streams" not in lanes(timeline(sample_record(), None))


def test_function_whose_worker_died_is_neither_good_nor_failed() -> None:
    """Its bar has no length, and its label tells none."""
    drawing = timeline(shared_record(), None)
    assert "book_table · unknown" in drawing
    assert len(placed(drawing, "mark unknown")) == 1
    assert "it may have been carried out" in drawing


def test_a_move_lasts_from_the_old_connection_to_the_next() -> None:
    """Its bar says how it went, and a line crosses all lanes where the old one was left."""
    record = replace(sample_record(), ended_s=100.0, moves=sample_moves())
    drawing = timeline(record, None)
    assert lanes(drawing)[-1] == "moves"
    lane = drawing.partition('class="lane moves"')[2]
    assert placed(lane, "mark good") == [(21.2, 0.31)]
    assert placed(lane, "mark odd") == [(27.4, 1.5)]
    assert placed(lane, "mark bad") == [(34.2, 0.11)]
    for tone, left_s in (("good", 21.2), ("odd", 27.4), ("bad", 34.2)):
        assert placed(drawing, f"line move {tone}") == [(left_s, 0.0)]
    assert "go_away → resume · gap 0 ms" in lane
    assert "lost → refill · gap 640 ms" in lane


def test_context_and_summaries_have_lanes_on_the_same_axis() -> None:
    """Below the moves; a call whose context was never counted has none of them."""
    drawing = timeline(long_record(), None)
    assert lanes(drawing)[-4:] == ["moves", "context", "summaries", "updates"]
    assert "at most 20,885 tokens, 12 cuts" in drawing
    drawing = timeline(replace(long_record(), context=ContextRecord()), None)
    assert lanes(drawing)[-1] == "moves"
    assert "model's context" not in drawing


def test_a_long_call_begins_crowded() -> None:
    """Where labels would lie on each other they are left out at first."""
    assert 'class="timeline crowded"' in timeline(CallRecord("CA0", "a", "m", ended_s=600), None)
    assert 'class="timeline"' in timeline(CallRecord("CA0", "a", "m", ended_s=60), None)


def test_labels_of_a_long_call_are_laid_out_for_the_zoom_that_shows_them() -> None:
    """Marks too close for labels at first still have labels, apart, when zoomed in."""
    tools = [ToolRecord(str(i), "look_up", {}, 40.0 * i, 40.0 * i, "ok") for i in range(60)]
    drawing = timeline(CallRecord("CA0", "a", "m", ended_s=2400, tools=tools), None)
    assert drawing.count("look_up · ") == 60
    assert set(re.findall(r"--row:(\d+)", drawing)) == {"0"}
