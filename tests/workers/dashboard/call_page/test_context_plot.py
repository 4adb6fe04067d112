"""The size of the context, drawn."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    ContextSample,
    CutRecord,
    SummaryMade,
    UpdateRecord,
)
from tests.fakes.long_call import long_record
from workers.dashboard.call_page.axis import Axis
from workers.dashboard.call_page.context_plot import context_lane, context_legend, short
from workers.dashboard.memory import made_words


def drawn(record: CallRecord) -> str:
    lane = context_lane(record, Axis(record.ended_s or 60.0))
    assert lane is not None
    return lane.content


def small(**more: object) -> CallRecord:
    samples = [ContextSample(10.0, 500, reported=False), ContextSample(50.0, 900, reported=True)]
    context = replace(ContextRecord(1_600, 1_000, 400, samples=samples), **more)  # type: ignore[arg-type]  # fields of it
    return CallRecord("CA0", "a", "m", ended_s=60.0, context=context)


def count(drawing: str, kind: str) -> int:
    return len(re.findall(rf'<span class="{kind}[" ]', drawing))


def test_a_call_whose_context_was_never_counted_has_no_plot() -> None:
    """Neither a lane nor a legend."""
    record = CallRecord("CA0", "a", "m", ended_s=9.0)
    assert context_lane(record, Axis(9.0)) is None
    assert context_legend(record) == ""


def test_everything_that_changed_the_context_is_marked() -> None:
    """Every cut, move, summary and update of an hour has its mark, each with its words."""
    record = long_record()
    drawing = drawn(record)
    assert count(drawing, "forgot") == 12
    assert count(drawing, "moved") == 9
    assert count(drawing, "work ok") == 36
    assert [count(drawing, f"work {kind}") for kind in ("timeout", "discarded", "failed")] == [
        2, 1, 1,
    ]  # fmt: skip
    assert count(drawing, "work update") == 3
    assert drawing.count("title=") == 12 + 9 + 40 + 3 + 3
    assert made_words(record.context.summaries[18]) in drawing


def test_counted_and_estimated_sizes_are_told_apart() -> None:
    """Each kind of sample has dots of its own; a call with one kind has one kind of dots."""
    drawing = drawn(small())
    dots = dict(re.findall(r'class="dots (\w+)" d="([^"]*)"', drawing))
    assert {kind: path.count("h0") for kind, path in dots.items()} == {
        "estimated": 1,
        "reported": 1,
    }
    drawing = drawn(small(samples=[ContextSample(9.0, 500, reported=True)]))
    assert "dots estimated" not in drawing


def test_a_size_stands_at_its_time_and_height() -> None:
    """Half of the scale is the middle; a sixth of the call is a sixth of the width."""
    drawing = drawn(small())
    top = 1_600 * 1.14
    x, y = re.findall(r'class="dots estimated" d="M(\d+) (\d+)h0"', drawing)[0]
    assert int(x) == pytest.approx(100_000 / 6, abs=1)
    assert int(y) == pytest.approx(1_000 * (1 - 500 / top), abs=1)
    assert f'class="limit window" style="bottom:{100 / 1.14:.2f}%"' in drawing


def test_limits_far_above_are_named_and_not_drawn() -> None:
    """The reader is told where they are; those that fit stand in the plot with their number."""
    record = small(window_tokens=131_072)
    assert "limit window" not in drawn(record)
    assert "trigger 1,000" in drawn(record)
    assert "far above: window 131,072<" in context_legend(record)
    assert "far above" not in context_legend(small())


def test_labels_of_limits_that_lie_together_are_kept_apart() -> None:
    """A trigger just below the window is named below it."""
    apart = re.findall(r"margin-top:(\d+)px", drawn(small()))
    assert apart == ["0", "0", "0"]
    close = re.findall(r"margin-top:(\d+)px", drawn(small(trigger_tokens=1_590)))
    assert close[0] == "0"
    assert 10 <= int(close[1]) <= 16


def test_cuts_with_room_name_what_they_took_from_the_first() -> None:
    """Those too close together are named only when somebody zooms in."""
    cuts = [CutRecord(at_s, 900, 400) for at_s in (20.0, 20.5, 40.0)]
    drawing = drawn(small(cuts=cuts))
    assert re.findall(r'class="(forgot[^"]*)"', drawing) == [
        "forgot",
        "forgot apart",
        "forgot apart",
    ]
    assert drawing.count("<b>−500</b>") == 3


def test_legend_names_only_what_is_there() -> None:
    """A call that was never cut and had one good summary needs two lines less."""
    made = SummaryMade(20.0, 1.0, "ok", 4, "extract")
    legend = context_legend(small(summaries=[made]))
    assert "summary brought up to date" in legend
    for absent in ("cut by", "move to", "failed", "timed out", "discarded", "told something"):
        assert absent not in legend
    told = UpdateRecord(9.0, "context", "next_move")
    assert "agent was told something" in context_legend(small(updates=[told]))
    assert context_legend(long_record()).count("<li>") == 9


@pytest.mark.parametrize(
    ("tokens", "text"), [(500, "500"), (2_500, "2.5k"), (20_000, "20k"), (1_000_000, "1000k")]
)
def test_sizes_are_short(tokens: float, text: str) -> None:
    """An axis has little room."""
    assert short(tokens) == text


def test_a_cut_to_the_ground_is_named_beside_its_drop() -> None:
    """Below it, its label would lie in the next lane."""
    cuts = [CutRecord(20.0, 900, 20), CutRecord(40.0, 900, 400)]
    found = re.findall(r'class="(forgot[^"]*)"', drawn(small(cuts=cuts)))
    assert found == ["forgot apart low", "forgot apart"]
