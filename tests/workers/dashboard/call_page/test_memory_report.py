"""What the agent remembers, and the work done for it, on the page."""

from __future__ import annotations

import re

from agent.conversation.record import (
    CallRecord,
    ContextRecord,
    FactRecord,
    SummaryMade,
    SummaryRecord,
    UpdateRecord,
)
from tests.fakes.long_call import long_record
from workers.dashboard.call_page.axis import Axis
from workers.dashboard.call_page.memory_report import (
    remembers_section,
    summaries_lane,
    updates_lane,
    work_section,
)


def text_of(markup: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", markup).split())


def test_nothing_is_shown_of_a_call_without_memory() -> None:
    """No lane, no section, no table."""
    record = CallRecord("CA0", "a", "m")
    assert remembers_section(record) == work_section(record) == ""
    assert summaries_lane([], Axis(9.0)) is updates_lane([], Axis(9.0)) is None


def test_summary_and_facts_are_shown_whole() -> None:
    """Every part of the summary under its heading, every fact with its time."""
    text = text_of(remembers_section(long_record()))
    assert text.startswith("What the agent remembers Summary after 294 of 300 turns Caller Ann ")
    for words in (
        "Wants To report water damage",
        "Promises Assessor comes on Wednesday",
        "Open points Name of the neighbour&#x27;s insurer",
        "Language English",
        "Pinned facts never cut name Ann Taylor 0:21.0",
        "assessor Wednesday 2 December, 9 to 12 36:50.0",
    ):
        assert words in text


def test_one_of_summary_and_facts_is_enough() -> None:
    """Facts without a summary, a summary without facts; the other's heading is left out."""
    facts = CallRecord("CA0", "a", "m", facts=[FactRecord("name", "Ann", 1.0)])
    assert text_of(remembers_section(facts)).endswith("Pinned facts never cut name Ann 0:01.0")
    assert "Summary" not in remembers_section(facts)
    summary = CallRecord("CA0", "a", "m", summary=SummaryRecord(wants="bread"))
    assert "Pinned" not in remembers_section(summary)


def test_table_tells_every_attempt_in_order() -> None:
    """Summaries and updates by time, with all their numbers; what waits is said to wait."""
    context = ContextRecord(
        summaries=[
            SummaryMade(8.0, 1.5, "ok", 6, "text-model", 1_900),
            SummaryMade(20.0, 20.0, "timeout", 7, "text-model", detail="no answer within 20 s"),
        ],
        updates=[
            UpdateRecord(9.0, "context", "context_update", 9.2),
            UpdateRecord(30.0, "instruction", "next_move"),
        ],
    )
    section = work_section(CallRecord("CA0", "a", "m", context=context))
    rows = [text_of(row) for row in re.findall(r"<tr class.*?</tr>", section)]
    assert rows == [
        "0:08.0 summary ok 6 1.5 s text-model 1,900",
        "0:09.0 context update as new instruction 200 ms",
        "0:20.0 summary timeout 7 20 s text-model no answer within 20 s",
        "0:30.0 instruction update waits, at a move",
    ]
    assert "1 of 2 summaries made; 1 timeout; 1 of 2 updates sent" in section
    assert 'class="box"' not in section


def test_a_long_table_has_a_box_of_its_own() -> None:
    """Forty summaries do not push the rest off the page, and can be scrolled by keys."""
    section = work_section(long_record())
    assert '<div class="box" tabindex="0" role="region"' in section
    assert "36 of 40 summaries made; 1 discarded; 1 failed; 2 timeout; 2 of 3" in section


def test_lanes_mark_how_long_things_took() -> None:
    """A summary for as long as it took, an update until it was sent or the call was over."""
    axis = Axis(100.0)
    made = [SummaryMade(10.0, 5.0, "ok", 6, "x"), SummaryMade(50.0, 20.0, "timeout", 6, "x")]
    lane = summaries_lane(made, axis)
    assert lane is not None
    assert re.findall(
        r'class="(mark \w+)[^"]*" style="left:([\d.]+)%;width:([\d.]+)%', lane.content
    ) == [
        ("mark ok", "10.000", "5.000"),
        ("mark timeout", "50.000", "20.000"),
    ]
    told = [
        UpdateRecord(10.0, "context", "next_move", 30.0),
        UpdateRecord(60, "context", "next_move"),
    ]
    lane = updates_lane(told, axis)
    assert lane is not None
    widths = re.findall(r"left:[\d.]+%;width:([\d.]+)%", lane.content)
    assert widths == ["20.000", "40.000"]
    assert "context · 20 s" in lane.content
    assert "context · waits" in lane.content
