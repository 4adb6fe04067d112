"""The slowest calls one by one."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.workers.dashboard.loadtest_page.sample import sample_result
from tests.workers.dashboard.outline import Outline
from workers.dashboard.loadtest_page.timelines import slowest_section
from workers.loadtest.measured import Answered, BargedIn, Ending, Gap
from workers.loadtest.plan import LineTrouble

CALL = replace(
    sample_result(1).calls[0],
    number=12,
    began_s=65.0,
    duration_s=20.0,
    lines=(LineTrouble.JITTER,),
    answers=(Answered(5.0, 500.0, 460.0),),
    barge_ins=(BargedIn(8.0, 120.0),),
    gaps=(Gap(10.0, 90.0),),
    reset_gaps_ms=(),
    caller_spoke=((3.0, 5.0),),
    agent_spoke=((5.5, 8.12),),
)


def places(page: str, kind: str) -> list[tuple[float, float]]:
    found = re.findall(rf'<rect class="{kind}" x="(.*?)" width="(.*?)"', page)
    return [(float(x), float(width)) for x, width in found]


def test_sides_waits_and_gaps_lie_on_one_axis() -> None:
    """The longest of the calls is as wide as the drawing."""
    page = slowest_section([CALL], {})
    assert places(page, "caller") == [(150.0, 100.0)]
    assert places(page, "agent") == [(275.0, 131.0)]
    assert places(page, "wait") == [(250.0, 25.0)]
    assert places(page, "cut") == [(400.0, 6.0)]
    assert places(page, "gap") == [(500.0, 4.5)]


def test_all_calls_share_the_axis() -> None:
    """So that they can be compared."""
    page = slowest_section([CALL, replace(CALL, number=13, duration_s=40.0)], {})
    assert [width for _, width in places(page, "life")] == [500.0, 1000.0]


def test_a_call_is_told_in_words_too() -> None:
    """Who called, when, how it went, how it ended; by its drawing for who does not see it."""
    dropped = replace(CALL, ending=Ending.DROPPED, reason="the stream ended")
    page = slowest_section([dropped], {12: "calls/12.wav"})
    text = Outline(page).text
    assert "Call 12 90 ms" in text
    assert "jitter at 1:05, " in text
    assert "1 answer, longest 500 ms, 1 gap" in text
    assert "Dropped: the stream ended" in text
    assert 'href="./calls/12.wav"' in page
    assert "Answered at 0:05.0 after 500 ms. Barge-ins at 0:08.0, 120 ms. Gaps at" in page


def test_who_spoke_when_may_be_unknown() -> None:
    """Where it was not kept, waits, gaps and the beginnings of answers are drawn all the same."""
    page = slowest_section([replace(CALL, caller_spoke=(), agent_spoke=())], {})
    assert places(page, "wait")
    assert '<line class="answered" x1="275"' in page
    assert not places(page, "agent")


def test_there_may_be_no_call_to_show() -> None:
    """Nobody waited where nobody was answered."""
    assert "Nobody waited" in slowest_section([], {})
